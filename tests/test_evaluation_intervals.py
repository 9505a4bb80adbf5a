import ast
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import norm
from sklearn import metrics as sk

from helpers import evaluation, metrics
from helpers.evaluation import bootstrap, intervals
from helpers.evaluation.intervals import resample_weights

REFERENCES = {"auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}
NAMES = ["a", "b", "c"]
RESAMPLES = 12
ignore_one_class = pytest.mark.filterwarnings("ignore:.*one class only.*:UserWarning")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@st.composite
def cases(draw):
    """Targets with unknown entries and two models' probabilities; many ties, rare labels, labels of one class."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 3))
    targets = (rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))).astype(float)
    targets[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = np.nan
    levels = draw(st.sampled_from([1, 3, 10, 1000]))
    return targets, *(rng.integers(0, levels + 1, (2, *shape)) / levels)


def made(rows=300, shares=(0.3, 0.1, 0.5), seed=0):
    """Targets and two models' probabilities, rounded so that some tie."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, len(shares))) < shares).astype(float)
    first, second = np.round(norm.cdf(rng.normal(size=(2, *targets.shape)) + targets - 0.5), 2)
    return targets, first, second


def all_weights(rows, n_resamples=RESAMPLES):
    return np.hstack(list(resample_weights(rows, n_resamples)))


def one_score(reference, targets, scores):
    """(L,) by scikit-learn, NaN where a class is missing."""
    by_label = []
    for truth, score in zip(targets.T, scores.T, strict=True):
        known = ~np.isnan(truth)
        both = len(set(truth[known])) == 2
        by_label.append(reference(truth[known], score[known]) if both else np.nan)
    return np.array(by_label)


def slowly(reference, targets, models, confidence_level):
    """The table by a loop over repeated rows and labels: value, low, high, resamples, share_above."""
    every = [np.arange(len(targets))]
    every += [np.repeat(every[0], weights) for weights in all_weights(len(targets)).T]
    found = [[one_score(reference, targets[rows], scores[rows]) for rows in every] for scores in models]
    found = np.array(found[0]) - (np.array(found[1]) if len(models) == 2 else 0)
    both = ~np.isnan(found[0])
    mean = found[:, both].mean(axis=1, keepdims=True) if both.any() else np.full((len(found), 1), np.nan)
    value, *draws = np.hstack([found, mean])
    table = []
    for draw in np.array(draws).T:
        known = draw[~np.isnan(draw)]
        quantiles = (
            np.quantile(known, [(1 - confidence_level) / 2, (1 + confidence_level) / 2]) if len(known) else [np.nan] * 2
        )
        table.append([*quantiles, len(known), (known > 1e-12).mean() if len(known) else np.nan])
    return np.column_stack([value, table])


def assert_same(left, right, atol=1e-9):
    np.testing.assert_allclose(np.asarray(left, float), np.asarray(right, float), rtol=0, atol=atol)


@pytest.mark.parametrize("metric", REFERENCES)
@pytest.mark.parametrize("paired", [False, True])
@given(case=cases())
@settings(max_examples=25, deadline=None)
@ignore_one_class
def test_named_metrics_equal_a_loop_over_scikit_learn(metric, paired, case):
    targets, first, second = case
    found = bootstrap(
        metric, targets, first, baseline=second if paired else None, n_resamples=RESAMPLES, confidence_level=0.8
    )
    expected = slowly(REFERENCES[metric], targets, [first, second] if paired else [first], confidence_level=0.8)
    assert_same(
        found.get(["value", "low", "high", "n_resamples", *["share_above"] * paired]), expected[:, : 4 + paired]
    )


@pytest.mark.parametrize("metric", REFERENCES)
def test_each_resample_equals_scikit_learn_on_the_repeated_rows(metric):
    targets, scores, _ = made(rows=200)
    targets[::7, 1] = np.nan
    for seed in range(5):
        [[*counts]] = next(resample_weights(200, 1, seed=seed)).T
        rows = np.repeat(np.arange(200), counts)
        expected = one_score(REFERENCES[metric], targets[rows], scores[rows])
        table = bootstrap(metric, targets, scores, n_resamples=1, seed=seed)
        assert_same(table["low"], [*expected, expected.mean()])
        assert_same(table["high"], table["low"])


def test_weights_are_whole_numbers_that_sum_to_the_rows_and_look_like_draws():
    weights = all_weights(50, 2000)
    assert weights.shape == (50, 2000)
    assert np.issubdtype(weights.dtype, np.integer)
    assert (weights.sum(axis=0) == 50).all()
    assert weights.mean(axis=1) == pytest.approx(1, abs=0.15)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


@pytest.mark.parametrize("metric", [*REFERENCES, metrics.label_accuracy])
def test_the_size_of_the_pieces_changes_nothing(metric, monkeypatch):
    targets, first, second = made(rows=101)
    expected = bootstrap(metric, targets, first, baseline=second, n_resamples=30)
    for size in (1, 700, 30 * 101):
        monkeypatch.setattr(intervals, "WEIGHTS_AT_ONCE", size)
        sizes = [piece.shape[1] for piece in resample_weights(101, 30)]
        assert (sum(sizes), max(sizes)) == (30, max(1, size // 101))
        pd.testing.assert_frame_equal(bootstrap(metric, targets, first, baseline=second, n_resamples=30), expected)


def test_the_seed_decides_the_resamples():
    targets, scores, _ = made()
    tables = [bootstrap("auc", targets, scores, n_resamples=50, seed=seed) for seed in (3, 3, 4)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert (tables[0]["value"] == tables[2]["value"]).all()
    assert (tables[0]["low"] != tables[2]["low"]).all()


@given(case=cases(), random=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
@ignore_one_class
def test_order_of_rows_keeps_the_values_and_order_of_labels_permutes_the_table(case, random):
    targets, first, second = case
    rows, labels = (random.sample(range(n), n) for n in targets.shape)
    for metric in REFERENCES:
        table = bootstrap(metric, targets, first, baseline=second, n_resamples=RESAMPLES)
        moved = bootstrap(metric, targets[rows], first[rows], baseline=second[rows], n_resamples=RESAMPLES)
        assert_same(moved[["value", "positives"]], table[["value", "positives"]])
        other = second[:, labels]
        moved = bootstrap(metric, targets[:, labels], first[:, labels], baseline=other, n_resamples=RESAMPLES)
        assert_same(moved, table.iloc[[*labels, -1]])


@given(case=cases())
@settings(max_examples=20, deadline=None)
@ignore_one_class
def test_two_identical_models_differ_by_exactly_zero(case):
    targets, scores, _ = case
    for metric in REFERENCES:
        alone = bootstrap(metric, targets, scores, n_resamples=RESAMPLES)
        table = bootstrap(metric, targets, scores, baseline=scores.copy(), n_resamples=RESAMPLES)
        assert (table["n_resamples"] == alone["n_resamples"]).all()
        for column in ("value", "low", "high", "share_above"):
            assert (table[column].dropna() == 0).all()
            assert (table[column].isna() == alone["value" if column == "value" else "low"].isna()).all()


@given(case=cases())
@settings(max_examples=20, deadline=None)
@ignore_one_class
def test_exchanging_the_models_turns_the_interval_round(case):
    targets, first, second = case
    table = bootstrap("auc", targets, first, baseline=second, n_resamples=RESAMPLES)
    other = bootstrap("auc", targets, second, baseline=first, n_resamples=RESAMPLES)
    assert_same(other[["value", "high", "low"]], -table[["value", "low", "high"]])
    assert (table["share_above"].fillna(0) + other["share_above"].fillna(0) <= 1 + 1e-12).all()


@pytest.mark.parametrize("metric", REFERENCES)
def test_values_are_those_of_the_metrics(metric):
    targets, scores, _ = made()
    targets[5:20, 0] = np.nan
    table = bootstrap(metric, targets, scores, n_resamples=2, labels=NAMES)
    mean = {"auc": metrics.mean_auc, "average_precision": metrics.mean_average_precision}[metric]
    assert_same(table["value"][NAMES], metrics.label_report(targets, scores)[metric], atol=1e-12)
    assert table.loc["mean", "value"] == pytest.approx(mean(targets, scores), abs=1e-12)


def test_the_table_has_a_row_a_label_and_the_mean():
    targets, first, second = made()
    table = bootstrap("auc", pd.DataFrame(targets, columns=NAMES), first, n_resamples=50)
    assert table.index.tolist() == [*NAMES, "mean"]
    assert table.index.name == "label"
    assert table.columns.tolist() == ["value", "low", "high", "n_resamples", "positives"]
    assert table["positives"].tolist() == [*targets.sum(axis=0), targets.sum()]
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    paired = bootstrap("auc", targets, first, baseline=second, n_resamples=50)
    assert paired.columns.tolist() == ["value", "low", "high", "share_above", "n_resamples", "positives"]
    assert paired.index.tolist() == [0, 1, 2, "mean"]


def test_a_higher_level_is_a_wider_interval():
    targets, scores, _ = made()
    narrow, wide = (bootstrap("auc", targets, scores, confidence_level=level, n_resamples=200) for level in (0.5, 0.99))
    assert (wide["low"] < narrow["low"]).all()
    assert (wide["high"] > narrow["high"]).all()


def test_a_paired_interval_is_narrower_and_sees_the_better_model():
    targets, scores, _ = made(rows=1000)
    rng = np.random.default_rng(1)
    worse = np.clip(scores + rng.normal(0, 0.2, scores.shape), 0, 1)
    alone, other = (bootstrap("auc", targets, s, n_resamples=300) for s in (scores, worse))
    paired = bootstrap("auc", targets, scores, baseline=worse, n_resamples=300)
    assert_same(paired["value"], alone["value"] - other["value"], atol=1e-12)
    width = paired["high"] - paired["low"]
    assert (width < np.hypot(alone["high"] - alone["low"], other["high"] - other["low"])).all()
    assert paired.loc["mean", "low"] > 0
    assert paired.loc["mean", "share_above"] > 0.97


def test_the_interval_of_the_auc_covers_the_truth_about_as_often_as_it_says():
    rng, truth = np.random.default_rng(0), norm.cdf(1 / np.sqrt(2))
    targets = np.repeat([[1.0], [0.0]], [60, 90], axis=0)
    covered = 0
    for seed in range(200):
        table = bootstrap("auc", targets, norm.cdf(rng.normal(size=(150, 1)) + targets), n_resamples=300, seed=seed)
        covered += table.loc[0, "low"] <= truth <= table.loc[0, "high"]
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.filterwarnings("error")
def test_resamples_in_which_a_rare_label_loses_its_positives_are_not_counted():
    targets, scores, _ = made(rows=100, shares=(0.5, 0.5))
    targets[:, 1] = 0
    targets[:2, 1] = 1
    table = bootstrap("average_precision", targets, scores, n_resamples=500, labels=["often", "rare"])
    kept = (all_weights(100, 500)[:2].sum(axis=0) > 0).sum()
    assert table["n_resamples"].to_dict() == {"often": 500, "rare": kept, "mean": kept}
    assert kept / 500 == pytest.approx(1 - 0.98**100, abs=0.06)
    assert table.loc["rare", "positives"] == 2
    assert table.notna().all(axis=None)


@pytest.mark.parametrize("metric", REFERENCES)
@pytest.mark.parametrize("paired", [False, True])
def test_a_label_of_one_class_is_named_and_left_out_of_the_mean(metric, paired):
    targets, first, second = made()
    targets[:, 1] = [1, np.nan] * 150
    pairs = {"baseline": second} if paired else {}
    with pytest.warns(UserWarning, match=r"\['b'\] out of the mean.*counted: 2") as caught:
        table = bootstrap(metric, targets, first, n_resamples=50, labels=NAMES, **pairs)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert table.loc["b", ["value", "low", "high"]].isna().all()
    assert table.loc["b", ["n_resamples", "positives"]].tolist() == [0, 150]
    pairs = {"baseline": second[:, ::2]} if paired else {}
    rest = bootstrap(metric, targets[:, ::2], first[:, ::2], n_resamples=50, labels=["a", "c"], **pairs)
    pd.testing.assert_frame_equal(table.drop(index="b"), rest)


def test_where_no_label_has_both_classes_there_is_no_mean():
    with pytest.warns(UserWarning, match="counted: 0"):
        table = bootstrap("auc", [[0, np.nan], [0, 1]], [[0.1, 0.2], [0.3, 0.4]], n_resamples=5)
    assert table[["value", "low", "high"]].isna().all(axis=None)
    assert table["n_resamples"].tolist() == [0, 0, 0]
    assert table["positives"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("metric", [metrics.label_accuracy, partial(metrics.f1, threshold=0.3)])
@pytest.mark.parametrize("paired", [False, True])
def test_a_callable_that_gives_a_float_is_called_on_the_repeated_rows(metric, paired):
    targets, first, second = made(rows=60)
    table = bootstrap(
        metric, targets, first, baseline=second if paired else None, n_resamples=RESAMPLES, confidence_level=0.9
    )
    draws = []
    for counts in all_weights(60).T:
        rows = np.repeat(np.arange(60), counts)
        draws.append(metric(targets[rows], first[rows]) - paired * metric(targets[rows], second[rows]))
    assert table.index.tolist() == ["value"]
    assert_same(table[["low", "high"]], [np.quantile(draws, [0.05, 0.95])])
    assert table["value"].item() == metric(targets, first) - paired * metric(targets, second)
    assert table["n_resamples"].item() == RESAMPLES
    assert table.columns.tolist() == ["value", "low", "high", *["share_above"] * paired, "n_resamples"]
    if paired:
        assert table["share_above"].item() == np.mean(np.array(draws) > 0)


@given(case=cases())
@settings(max_examples=15, deadline=None)
@ignore_one_class
def test_a_callable_that_gives_a_series_has_a_row_for_each_label(case):
    targets, first, second = case
    for baseline in (None, second):
        named = bootstrap("auc", targets, first, baseline=baseline, n_resamples=RESAMPLES)
        called = bootstrap(metrics.auc_by_label, targets, first, baseline=baseline, n_resamples=RESAMPLES)
        assert called.index.tolist() == list(range(targets.shape[1]))
        assert_same(called, named.iloc[:-1][called.columns], atol=1e-12)


def test_a_callable_gets_frames_where_the_labels_have_names():
    targets, scores, _ = made(rows=60)
    metric = partial(metrics.f1, threshold=pd.Series([0.3, 0.4, 0.5], index=NAMES))
    frame = pd.DataFrame(targets, columns=NAMES)
    expected = bootstrap(partial(metrics.f1, threshold=[0.3, 0.4, 0.5]), targets, scores, n_resamples=5)
    pd.testing.assert_frame_equal(bootstrap(metric, frame, scores, n_resamples=5), expected)
    pd.testing.assert_frame_equal(bootstrap(metric, targets, scores, n_resamples=5, labels=NAMES), expected)
    for names in (NAMES, ["mean", "b", "c"]):
        assert bootstrap(metrics.auc_by_label, targets, scores, n_resamples=5, labels=names).index.tolist() == names

    def by_column(truth, probabilities):
        return truth[:, 0] @ probabilities[:, 0]

    assert bootstrap(by_column, targets, scores, n_resamples=5)["value"].item() == by_column(targets, scores)


def test_a_callable_without_a_value_is_not_counted():
    def once(truth, scores):
        return np.nan if truth[:2].sum() == 0 else 1.0

    targets = np.array([[1.0], [0], [0], [1]])
    table = bootstrap(once, targets, targets, n_resamples=200)
    lost = [targets[np.repeat(np.arange(4), counts)][:2].sum() == 0 for counts in all_weights(4, 200).T]
    assert table["n_resamples"].item() == 200 - sum(lost)
    assert 0 < sum(lost) < 200


DECISIONS = ["f1", "precision", "recall"]


def decisions_slowly(metric, targets, models, limits):
    """(R + 1, L + 1) of all rows, then of each resample: each label by `label_report`, and the mean, or differences."""
    every = [np.arange(len(targets))]
    every += [np.repeat(every[0], weights) for weights in all_weights(len(targets)).T]
    found = [
        [metrics.label_report(targets[rows], scores[rows], threshold=limit)[metric] for rows in every]
        for scores, limit in zip(models, limits, strict=True)
    ]
    found = np.array(found[0]) - (np.array(found[1]) if len(models) == 2 else 0)
    known = ~np.isnan(targets).all(axis=0)
    return np.column_stack([found, found[:, known].mean(axis=1) if known.any() else found[:, 0]])


@pytest.mark.parametrize("metric", DECISIONS)
@pytest.mark.parametrize("paired", [False, True])
@given(case=cases(), limits=st.lists(st.sampled_from([0, 0.3, 0.5, 1, np.inf]), min_size=6, max_size=6))
@settings(max_examples=12, deadline=None)
@ignore_one_class
def test_scores_of_decisions_equal_a_loop_over_label_report(metric, paired, case, limits):
    targets, *models = case
    n_labels = targets.shape[1]
    limits, models = [limits[:n_labels], limits[3 : 3 + n_labels]][: 1 + paired], models[: 1 + paired]
    pair = {"baseline": models[1], "baseline_threshold": limits[1]} if paired else {}
    options = {"n_resamples": RESAMPLES, "confidence_level": 0.8, "threshold": limits[0]}
    table = bootstrap(metric, targets, models[0], **options, **pair)
    value, *draws = decisions_slowly(metric, targets, models, limits)
    assert_same(table["value"], value)
    for (_, row), draw in zip(table.iterrows(), np.array(draws).T, strict=True):
        known = draw[~np.isnan(draw)]
        assert row["n_resamples"] == len(known)
        assert_same(row[["low", "high"]], np.quantile(known, [0.1, 0.9]) if len(known) else [np.nan] * 2)
        if paired and len(known):
            assert row["share_above"] == (known > 1e-12).mean()


@pytest.mark.parametrize("paired", [False, True])
def test_the_mean_of_f1_is_that_of_the_callable(paired):
    targets, first, second = made(rows=120)
    targets[::3, 1] = np.nan
    limits = [0.3, 0.4, np.inf]
    baseline = {"baseline": second} if paired else {}
    named = bootstrap("f1", targets, first, threshold=limits, n_resamples=RESAMPLES, **baseline)
    called = bootstrap(partial(metrics.f1, threshold=limits), targets, first, n_resamples=RESAMPLES, **baseline)
    assert_same(named.loc[["mean"], called.columns], called, atol=1e-12)
    assert_same(
        bootstrap("f1", targets, first, n_resamples=5), bootstrap("f1", targets, first, threshold=0.5, n_resamples=5)
    )


def test_two_thresholds_of_one_model_are_compared_row_by_row():
    targets, scores, _ = made()
    low, high = (bootstrap("recall", targets, scores, threshold=at, n_resamples=50)["value"] for at in (0.3, 0.6))
    table = bootstrap("recall", targets, scores, baseline=scores, threshold=0.3, baseline_threshold=0.6, n_resamples=50)
    assert_same(table["value"], low - high, atol=1e-12)
    assert (table["low"] >= 0).all()
    assert table.loc["mean", "share_above"] == 1
    by_name = pd.Series([0.3, 0.4, 0.5], index=NAMES)
    named = bootstrap("f1", targets, scores, threshold=by_name, labels=NAMES, n_resamples=5)
    assert_same(named, bootstrap("f1", targets, scores, threshold=by_name.tolist(), n_resamples=5))


def test_decisions_need_no_second_class_but_some_known_row():
    targets, scores, _ = made()
    targets[:, 0], targets[:, 1] = 0, np.nan
    with pytest.warns(UserWarning, match=r"\['b'\] out of the mean, .* nothing, is known; labels counted: 2") as caught:
        table = bootstrap("f1", targets, scores, n_resamples=20, labels=NAMES)
    assert [(one.filename, len(caught)) for one in caught] == [(__file__, 1)]
    assert table["n_resamples"].to_dict() == {"a": 20, "b": 0, "c": 20, "mean": 20}
    assert table["value"]["a"] == 0
    assert table["value"]["mean"] == table["value"]["c"] / 2
    assert table["positives"].tolist() == [0, 0, targets[:, 2].sum(), targets[:, 2].sum()]


def test_tensors_frames_and_arrays_give_the_same():
    targets, first, second = made(rows=50)
    expected = bootstrap("auc", targets, first, baseline=second, n_resamples=5)
    tensors = [torch.tensor(table, requires_grad=True) for table in (first, second)]
    found = bootstrap("auc", torch.tensor(targets), tensors[0], baseline=tensors[1], n_resamples=5)
    pd.testing.assert_frame_equal(found, expected)
    frames = [pd.DataFrame(table, columns=NAMES) for table in (targets, first, second)]
    found = bootstrap("auc", frames[0], frames[1], baseline=frames[2], n_resamples=5)
    assert_same(found, expected, atol=0)


GOOD = np.array([[0.0, 1], [1, 0], [0, 0]])
SCORES = np.array([[0.1, 0.8], [0.7, 0.2], [0.3, 0.4]])
FRAME = pd.DataFrame(SCORES, columns=["a", "b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "f2"}, r"metric .*'f2': expected 'auc' or 'average_precision' or 'f1' or 'precision' or 'recall'"),
        ({"metric": None}, "metric .*function.*=None"),
        ({"metric": ["auc"]}, r"metric .*=\['auc'\]"),
        ({"n_resamples": 0}, "n_resamples=0: expected a whole number, at least 1"),
        ({"n_resamples": 10.5}, "n_resamples=10.5"),
        ({"confidence_level": 0}, "confidence_level=0: expected a number, above 0 and below 1"),
        ({"confidence_level": 1}, "confidence_level=1"),
        ({"confidence_level": 95}, "confidence_level=95: expected a number, above 0 and below 1"),
        ({"confidence_level": np.nan}, "confidence_level=nan"),
        ({"targets": GOOD[:0], "probabilities": SCORES[:0]}, "zero rows"),
        ({"probabilities": SCORES[:2]}, r"\(3, 2\).*\(2, 2\)"),
        ({"probabilities": SCORES + 3}, "probabilities: row 0, label 0 .* sigmoid"),
        ({"targets": GOOD - 1}, "targets: row 0, label 0 .* not -1"),
        ({"baseline": SCORES[:2]}, r"^targets \(3, 2\) and baseline \(2, 2\)"),
        ({"baseline": SCORES[:, 0]}, r"^targets \(3, 2\) and baseline \(3,\)"),
        ({"baseline": SCORES * np.nan}, "^baseline: row 0, label 0 .* is nan"),
        ({"probabilities": FRAME, "baseline": FRAME[["b", "a"]]}, r"\['a', 'b'\], baseline for \['b', 'a'\]"),
        ({"threshold": 0.5}, "a threshold goes with f1, precision, recall: not with 'auc'"),
        ({"metric": "average_precision", "threshold": [0.5, 0.5]}, "not with 'average_precision'"),
        ({"baseline_threshold": 0.5, "baseline": SCORES}, "not with 'auc'"),
        ({"metric": metrics.f1, "threshold": 0.5}, r"a threshold goes with .*functools\.partial"),
        ({"metric": "f1", "baseline_threshold": 0.5}, "give its probabilities as baseline"),
        ({"metric": "f1", "threshold": 1.5}, r"^threshold 1\.5: each must lie in \[0, 1\], or be inf"),
        ({"metric": "f1", "threshold": [0.5] * 3}, r"^threshold has shape \(3,\)"),
        ({"metric": "f1", "threshold": [0.5, np.nan]}, "^threshold"),
        ({"metric": "f1", "baseline": SCORES, "baseline_threshold": -1}, r"^baseline_threshold -1\.0: each must lie"),
        ({"metric": "f1", "labels": ["a", "mean"]}, "rename 'mean'"),
        ({"metric": "recall", "probabilities": FRAME, "threshold": pd.Series({"b": 0, "a": 1})}, "threshold is for"),
        ({"labels": ["a"]}, "2 different names"),
        ({"labels": ["a", "mean"]}, "rename 'mean'"),
        ({"metric": lambda t, p: p[0, :1]}, "the metric gave a ndarray"),
        ({"metric": lambda t, p: None}, "the metric gave a NoneType"),
        ({"metric": lambda t, p: pd.DataFrame(p)}, "the metric gave a DataFrame: it must give a float or a Series"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(changes, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(**{"metric": "auc", "targets": GOOD, "probabilities": SCORES, "n_resamples": 3} | changes)


def test_a_callable_must_always_give_the_same_labels():
    targets, scores, _ = made(rows=30)
    with pytest.raises(ValueError, match=r"the metric gave \[0.0, .*then \[.*the same labels"):
        bootstrap(lambda t, p: pd.Series(dict.fromkeys(t[:5, 0] + np.arange(5), 1.0)), targets, scores, n_resamples=20)


def imported(nodes):
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return modules + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


BELOW = ("helpers.arguments", "helpers.text", "helpers.metrics", "helpers.evaluation")


def test_evaluation_imports_only_what_lies_below_it():
    """Of ours; and torch only where tensors came in."""
    for path in Path(evaluation.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = [name for name in imported(list(ast.walk(tree))) if name.startswith("helpers")]
        assert all(name.startswith(BELOW) for name in ours)
        assert not any(name.startswith("torch") for name in imported(tree.body))
