import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.models import NBSVM


def table(rows=120, features=9, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.7, (rows, features))
    return counts, (counts[:, 0] + counts[:, 1] - counts[:, 2] + rng.normal(size=rows) > 0.7).astype(int)


NEGATIVE = {"check_decision_proba_consistency": "scikit-learn draws negative counts for it, whatever the tags say"}


@parametrize_with_checks([NBSVM()], expected_failed_checks=lambda estimator: NEGATIVE)
def test_it_is_a_scikit_learn_classifier(estimator, check):
    assert check(estimator) is None


def test_ratios_are_those_of_the_paper():
    counts = np.array([[3, 0, 1], [1, 1, 0], [0, 2, 2]])
    model = NBSVM(alpha=1.0).fit(counts, [1, 1, 0])
    positive, negative = np.array([5, 2, 2]) / 9, np.array([1, 3, 3]) / 7
    np.testing.assert_allclose(model.ratios_, np.log(positive / negative))


def test_it_is_a_logistic_regression_on_scaled_counts():
    counts, labels = table()
    model = NBSVM(C=0.5).fit(counts, labels)
    linear = LogisticRegression(C=0.5, solver="liblinear").fit(counts * model.ratios_, labels)
    np.testing.assert_allclose(model.predict_proba(counts), linear.predict_proba(counts * model.ratios_), atol=1e-9)


def test_sparse_and_dense_counts_give_the_same():
    counts, labels = table()
    dense, rows = NBSVM().fit(counts, labels), NBSVM().fit(sparse.csr_array(counts), labels)
    np.testing.assert_allclose(rows.predict_proba(sparse.csr_array(counts)), dense.predict_proba(counts), atol=1e-9)


def test_several_labels_one_against_the_rest():
    counts, first = table()
    labels = np.column_stack([first, 1 - first, counts[:, 3] > 0])
    shown = OneVsRestClassifier(NBSVM()).fit(sparse.csr_array(counts), labels).predict_proba(sparse.csr_array(counts))
    assert shown.shape == (120, 3)
    np.testing.assert_allclose(shown[:, 0], NBSVM().fit(counts, first).predict_proba(counts)[:, 1], atol=1e-9)


def test_extreme_logits_give_probabilities_without_overflow():
    counts, labels = table()
    model = NBSVM(C=1e6).fit(counts, labels)
    with np.errstate(over="raise"):
        shown = model.predict_proba(counts * 10**6)
    np.testing.assert_allclose(shown.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("counts", "labels", "options", "message"),
    [
        ([[1, -2], [0, 1]], [0, 1], {}, "Negative values"),
        ([[1, 2], [0, 1]], [1, 1], {}, "two are needed"),
        ([[1, 2], [0, 1]], [0, 1], {"alpha": 0}, "alpha=0: expected a number, above 0"),
        ([[1, 2], [0, 1]], [0, 1], {"alpha": np.inf}, "alpha=inf: expected a number, above 0"),
        ([[1, 2], [0, 1]], [0, 1], {"C": -1}, "C=-1: expected a number, above 0"),
        ([[1, 2], [0, 1]], [0, 1], {"C": np.nan}, "C=nan: expected a number, above 0"),
        ([[1, 2], [0, 1]], [0, 1], {"max_iter": 2.5}, "max_iter=2.5: expected a whole number"),
    ],
)
def test_impossible_input_is_refused(counts, labels, options, message):
    with pytest.raises(ValueError, match=message):
        NBSVM(**options).fit(np.array(counts), labels)
