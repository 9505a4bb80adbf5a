import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.special import expit, logit
from sklearn import metrics as sk

from helpers import metrics
from helpers.evaluation import tune_thresholds

NAMES = ["a", "b", "c"]
ASKED = [
    {"objective": "f1"},
    {"objective": "f_beta", "beta": 2},
    {"objective": "f_beta", "beta": 0.5},
    {"objective": "cost", "costs": (1, 3)},
    {"objective": "cost", "costs": (4, 1)},
    {"objective": "precision_at", "min_precision": 0.7},
    {"objective": "recall_at", "min_recall": 0.6},
]
ignore_named = pytest.mark.filterwarnings("ignore:.*(one class only|threshold is inf).*:UserWarning")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@st.composite
def cases(draw):
    """Targets with unknown entries, and probabilities with ties, ends and neighbouring floats."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 25)), draw(st.integers(1, 3))
    targets = (rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))).astype(float)
    targets[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = np.nan
    levels = draw(st.sampled_from([1, 4, 1000]))
    scores = rng.integers(0, levels + 1, shape) / levels
    return targets, np.where(rng.random(shape) < 0.2, np.nextafter(scores, 0.5), scores)


def made(rows=400, shares=(0.3, 0.1, 0.5), seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, len(shares))) < shares).astype(float)
    return targets, expit(np.round(rng.normal(size=targets.shape) + 1.5 * targets - 1, 1))


def exact(truth, yes, objective, beta=1, costs=(1, 1), min_precision=None, min_recall=None):
    """The objective's value of decisions as a fraction, None where they do not have what was asked for."""
    least = min_precision or min_recall
    hits, alarms, misses = (int((truth[yes == said] == is_one).sum()) for is_one, said in ((1, 1), (0, 1), (1, 0)))
    precision = Fraction(hits, max(hits + alarms, 1))
    recall = Fraction(hits, max(hits + misses, 1))
    if objective == "cost":
        return Fraction(costs[0] * alarms + costs[1] * misses, int((~np.isnan(truth)).sum()))
    if objective.endswith("_at"):
        bound, value = (precision, recall) if objective == "precision_at" else (recall, precision)
        return value if float(bound) >= least else None
    weight = Fraction(beta) ** 2
    whole = (1 + weight) * hits + weight * misses + alarms
    return (1 + weight) * hits / whole if whole else Fraction(0)


def by_brute_force(truth, scores, asked):
    """Decisions on one label's rows by the best of all cuts, tried one by one; None with one class only."""
    if len(set(truth[~np.isnan(truth)])) < 2:
        return None
    sign = -1 if asked["objective"] == "cost" else 1
    best, chosen = None, np.zeros(len(truth), dtype=int)
    for least in [np.inf, *sorted(set(scores[~np.isnan(truth)]), reverse=True)]:
        yes = (scores >= least).astype(int)
        value = exact(truth, yes, **asked)
        if value is not None and (best is None or sign * value > best):
            best, chosen = sign * value, yes
    return chosen


@pytest.mark.parametrize("asked", ASKED, ids=str)
@given(case=cases())
@settings(max_examples=40, deadline=None)
@ignore_named
def test_the_decisions_are_those_of_the_best_of_all_cuts(asked, case):
    targets, scores = case
    table = tune_thresholds(targets, scores, **asked)
    for place, (truth, column) in enumerate(zip(targets.T, scores.T, strict=True)):
        known, threshold = ~np.isnan(truth), table["threshold"][place]
        expected = by_brute_force(truth, column, asked)
        if expected is None:
            assert threshold == 0.5
        else:
            assert ((column >= threshold) == expected)[known].all()
        for name, limit in (("valid", threshold), ("valid_at_half", 0.5)):
            value = exact(truth, (column >= limit).astype(int), **asked) if known.any() else None
            assert table[name][place] == pytest.approx(np.nan if value is None else float(value), nan_ok=True)


@pytest.mark.parametrize(
    ("asked", "score"),
    [
        ({"objective": "f1"}, sk.f1_score),
        ({"objective": "f_beta", "beta": 2}, lambda t, y: sk.fbeta_score(t, y, beta=2)),
        ({"objective": "f_beta", "beta": 0.3}, lambda t, y: sk.fbeta_score(t, y, beta=0.3)),
        ({"objective": "precision_at", "min_precision": 0.6}, sk.recall_score),
        ({"objective": "recall_at", "min_recall": 0.8}, sk.precision_score),
    ],
    ids=["f1", "f2", "f0.3", "precision_at", "recall_at"],
)
def test_values_are_those_of_scikit_learn_and_no_cut_of_its_curve_is_better(asked, score):
    targets, scores = made()
    table = tune_thresholds(targets, scores, **asked)
    for place in range(3):
        truth, column = targets[:, place], scores[:, place]
        yes = column >= table["threshold"][place]
        assert table["valid"][place] == pytest.approx(score(truth, yes))
        others = sk.precision_recall_curve(truth, column)[2]
        allowed = {"precision_at": sk.precision_score, "recall_at": sk.recall_score}.get(asked["objective"])
        least = asked.get("min_precision", asked.get("min_recall"))
        assert allowed is None or allowed(truth, yes) >= least
        kept = [column >= one for one in others if allowed is None or allowed(truth, column >= one) >= least]
        assert table["valid"][place] == pytest.approx(max(score(truth, one) for one in kept))
    assert table["valid"].ne(table["valid_at_half"]).any()


@pytest.mark.parametrize("costs", [(1.0, 1.0), (1.0, 9.0), (3.0, 1.0)])
def test_for_calibrated_probabilities_the_cheapest_threshold_is_elkans(costs):
    rng = np.random.default_rng(0)
    scores = np.round(rng.random((400_000, 1)), 2)
    targets = (rng.random(scores.shape) < scores).astype(float)
    table = tune_thresholds(targets, scores, objective="cost", costs=costs)
    assert table["threshold"][0] == pytest.approx(costs[0] / sum(costs), abs=0.02)
    yes = scores >= table["threshold"][0]
    cost = costs[0] * (yes & (targets == 0)).mean() + costs[1] * (~yes & (targets == 1)).mean()
    assert table["valid"][0] == pytest.approx(cost)


@given(case=cases(), random=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
@ignore_named
def test_order_of_rows_changes_nothing_and_order_of_labels_permutes_the_table(case, random):
    targets, scores = case
    rows, labels = (random.sample(range(n), n) for n in targets.shape)
    for asked in ASKED:
        table = tune_thresholds(targets, scores, **asked)
        pd.testing.assert_frame_equal(tune_thresholds(targets[rows], scores[rows], **asked), table)
        moved = tune_thresholds(targets[:, labels], scores[:, labels], **asked)
        pd.testing.assert_frame_equal(moved, table.iloc[labels].set_axis(moved.index))


@given(case=cases())
@settings(max_examples=20, deadline=None)
@ignore_named
def test_a_strictly_monotone_transform_chooses_the_same_decisions(case):
    targets, scores = case
    scores = np.round(scores, 3)
    other = 0.1 + scores**3 / 2
    for asked in ASKED:
        first, second = (tune_thresholds(targets, table, **asked) for table in (scores, other))
        tuned = ~first["threshold"].eq(0.5) | ~second["threshold"].eq(0.5)  # else a label of one class
        yes, again = scores >= first["threshold"].to_numpy(), other >= second["threshold"].to_numpy()
        known = ~np.isnan(targets) & tuned.to_numpy()
        assert (yes == again)[known].all()
        pd.testing.assert_series_equal(first["valid"][tuned], second["valid"][tuned])


def one_label(truth, scores, **asked):
    return tune_thresholds(np.array(truth, dtype=float)[:, None], np.array(scores)[:, None], **asked).loc[0]


def test_the_threshold_is_halfway_to_the_next_probability():
    assert one_label([1, 0], [0.8, 0.4])["threshold"] == pytest.approx(0.6)
    assert one_label([0, 1], [0.8, 0.4])["threshold"] == pytest.approx(0.2)


def test_of_equally_good_cuts_the_one_that_says_yes_least_often_is_taken():
    first = one_label([1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5], objective="cost", costs=(1, 1))
    assert first["threshold"] == pytest.approx(0.85)
    assert one_label([1, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])["valid"] == pytest.approx(2 / 3)
    assert one_label([1, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])["threshold"] == pytest.approx(0.85)
    # 3 misses at 0.1 are 0.30000000000000004, and one alarm at 0.3 costs the same.
    truth, scores = [1, 1, 0, 1, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert 3 * 0.1 > 0.3
    assert one_label(truth, scores, objective="cost", costs=(0.3, 0.1))["threshold"] == pytest.approx(0.75)


@pytest.mark.parametrize("low", [0.1, 0.5, np.nextafter(1, 0), 0.0, 5e-324, float(np.float32(0.3))])
@pytest.mark.parametrize("highest_is_positive", [True, False])
def test_neighbouring_floats_and_the_ends_are_told_apart(low, highest_is_positive):
    high = np.nextafter(low, 1)
    truth, scores = np.array([highest_is_positive, not highest_is_positive, 1], dtype=float), np.array([high, low, 1])
    row = one_label(truth, scores)
    expected = np.array([1, not highest_is_positive, 1])
    assert (scores >= row["threshold"]).tolist() == expected.tolist()
    assert row["valid"] == pytest.approx(1.0 if highest_is_positive else 0.8)


def test_probabilities_of_0_and_1_alone():
    assert one_label([1, 0, 0], [1.0, 0.0, 0.0])["threshold"] == 0.5
    everything = one_label([1, 0, 1], [0.0, 0.0, 0.0])
    assert everything["threshold"] == 0
    assert everything["valid"] == pytest.approx(0.8)


def test_a_label_of_one_class_stays_at_a_half_and_is_named():
    targets, scores = made()
    targets[:, 0], targets[:, 1] = 0, [1, np.nan] * 200
    with pytest.warns(UserWarning, match=r"one class only .* \['a', 'b'\]: their threshold stays 0.5") as caught:
        table = tune_thresholds(targets, scores, labels=NAMES)
    assert [(one.filename, len(caught)) for one in caught] == [(__file__, 1)]
    assert table["threshold"][["a", "b"]].tolist() == [0.5, 0.5]
    assert table["threshold"]["c"] != 0.5
    assert table["valid"]["a"] == 0
    assert table["positives"].tolist() == [0, 200, targets[:, 2].sum()]
    assert table["rows"].tolist() == [400, 200, 400]


def test_a_label_of_which_nothing_is_known_has_no_value():
    with pytest.warns(UserWarning, match=r"one class only among the known targets of \[0\]"):
        table = tune_thresholds([[np.nan, 1], [np.nan, 0]], [[0.1, 0.9], [0.2, 0.3]])
    assert table["threshold"].tolist() == [0.5, pytest.approx(0.6)]
    assert table.loc[0, ["valid", "valid_at_half"]].isna().all()
    assert table["rows"].tolist() == [0, 2]


def test_a_precision_out_of_reach_is_never():
    targets, scores = np.array([[1.0, 0], [0, 1], [1, 0]]), np.array([[0.3, 0.2], [0.9, 0.8], [0.3, 0.4]])
    with pytest.warns(UserWarning, match=r"\['a'\]: no cut has a precision of 0.9.* inf \(never\)") as caught:
        table = tune_thresholds(targets, scores, objective="precision_at", min_precision=0.9, labels=["a", "b"])
    assert [(one.filename, len(caught)) for one in caught] == [(__file__, 1)]
    assert table["threshold"].tolist() == [np.inf, pytest.approx(0.6)]
    assert np.isnan(table["valid"]["a"])
    assert table["valid"]["b"] == 1
    assert metrics.label_report(targets, scores, threshold=table["threshold"].to_numpy())["recall"][0] == 0


def test_where_no_is_cheapest_the_threshold_is_never():
    with pytest.warns(UserWarning, match=r"\[0\]: predicting all negatives costs least"):
        row = one_label([0, 1, 0], [0.9, 0.8, 0.1], objective="cost", costs=(5, 2))
    assert row["threshold"] == np.inf
    assert row["valid"] == pytest.approx(2 / 3)
    assert row["valid_at_half"] == pytest.approx(5 / 3)


def test_the_value_at_a_half_is_missing_where_a_half_does_not_have_what_was_asked_for():
    row = one_label([1, 0, 1, 0], [0.9, 0.7, 0.6, 0.1], objective="precision_at", min_precision=0.7)
    assert row["valid"] == 0.5  # the recall
    assert np.isnan(row["valid_at_half"])  # with 0.5 two of three are right
    row = one_label([1, 0, 1, 0], [0.9, 0.7, 0.6, 0.1], objective="precision_at", min_precision=0.6)
    assert (row["valid"], row["valid_at_half"]) == (1, 1)
    row = one_label([1, 0, 1, 0], [0.9, 0.7, 0.4, 0.1], objective="recall_at", min_recall=1)
    assert row["valid"] == pytest.approx(2 / 3)  # the precision
    assert np.isnan(row["valid_at_half"])


VALID = {"ids": [f"v{i}" for i in range(400)]}


def with_rows(rows=300, **changes):
    targets, scores = made(rows, seed=1)
    targets[::7, 0] = np.nan
    return {"test_targets": targets, "test_probabilities": scores, "test_ids": range(rows)} | VALID | changes


@pytest.mark.filterwarnings("error")
def test_the_report_on_test_rows_is_that_of_the_metrics():
    targets, scores = made()
    other = with_rows()
    table = tune_thresholds(targets, scores, labels=NAMES, **other)
    assert table.columns.tolist() == [
        *("threshold", "valid", "valid_at_half", "test", "test_at_half", "positives", "rows")
    ]
    assert table.index.tolist() == NAMES
    assert table.index.name == "label"
    pd.testing.assert_frame_equal(
        table.drop(columns=["test", "test_at_half"]), tune_thresholds(targets, scores, labels=NAMES)
    )
    for column, limit in (("test", table["threshold"]), ("test_at_half", 0.5)):
        given = other["test_targets"], other["test_probabilities"]
        expected = metrics.label_report(*given, labels=NAMES, threshold=limit)["f1"]
        np.testing.assert_allclose(table[column], expected, rtol=1e-12)
    assert (table["test"] != table["valid"]).all()


@pytest.mark.parametrize(("asked", "column"), [("precision_at", "recall"), ("recall_at", "precision")])
def test_on_test_rows_too_a_value_is_missing_where_the_decisions_lack_what_was_asked_for(asked, column):
    targets, scores = made()
    other, bound = with_rows(), {"precision_at": "precision", "recall_at": "recall"}[asked]
    table = tune_thresholds(targets, scores, objective=asked, **{f"min_{bound}": 0.7}, **other)
    report = metrics.label_report(other["test_targets"], other["test_probabilities"], threshold=table["threshold"])
    expected = report[column].where(report[bound] >= 0.7)
    assert expected.notna().nunique() == 2
    np.testing.assert_allclose(table["test"], expected)


def test_a_cost_by_hand_on_test_rows():
    targets, scores = np.array([[1.0], [0], [1]]), np.array([[0.9], [0.6], [0.7]])
    other = {"test_targets": [[1.0], [0], [0], [np.nan]], "test_probabilities": [[0.6], [0.65], [0.1], [0.9]]}
    asked = {"objective": "cost", "costs": (1, 10), "ids": [1, 2, 3], "test_ids": [4, 5, 6, 7]}
    table = tune_thresholds(targets, scores, **asked, **other)
    assert table["threshold"][0] == pytest.approx(0.65)
    assert table["test"][0] == pytest.approx(11 / 3)
    assert table["test_at_half"][0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("ids", "test_ids"),
    [
        (list(range(400)), [500, 399, *range(501, 797), 398, 397]),
        (np.arange(400), torch.tensor([500, 399, *range(501, 797), 398, 397])),
        (torch.arange(400), np.array([500, 399, *range(501, 797), 398, 397])),
        (pd.Series(range(400)), [str(i) for i in [500, 399, *range(501, 797), 398, 397]]),
        ([float(i) for i in range(400)], pd.Series([str(i) for i in [500, 399, *range(501, 797), 398, 397]])),
    ],
    ids=["lists", "array and tensor", "tensor and array", "Series and text", "floats and text"],
)
def test_rows_that_chose_the_thresholds_are_refused_by_name(ids, test_ids):
    targets, scores = made()
    with pytest.raises(ValueError, match=r"3 of these rows chose the thresholds .*\(ids '?399'?, '?398'?, '?397'?\)"):
        tune_thresholds(targets, scores, **with_rows(ids=ids, test_ids=test_ids))


def test_of_many_shared_ids_five_are_named():
    targets, scores = made()
    with pytest.raises(
        ValueError, match=r"300 of these rows .*\(ids 'v0', 'v1', 'v2', 'v3', 'v4', \.\.\.\): take other"
    ):
        tune_thresholds(targets, scores, **with_rows(test_ids=VALID["ids"][:300]))


def test_frames_tensors_and_arrays_give_the_same():
    targets, scores = made()
    other = with_rows()
    expected = tune_thresholds(targets, scores, labels=NAMES, **other)
    frames = {name: pd.DataFrame(other[name], columns=NAMES) for name in ("test_targets", "test_probabilities")}
    found = tune_thresholds(*(pd.DataFrame(part, columns=NAMES) for part in (targets, scores)), **other | frames)
    pd.testing.assert_frame_equal(found, expected)
    tensors = {name: torch.tensor(other[name]) for name in ("test_targets", "test_probabilities")}
    given = torch.tensor(targets), torch.tensor(scores, requires_grad=True)
    pd.testing.assert_frame_equal(tune_thresholds(*given, labels=NAMES, **other | tensors), expected)
    whole = tune_thresholds(targets.astype(int), scores.astype(np.float32))
    np.testing.assert_allclose(whole["threshold"], expected["threshold"], atol=1e-6)


def test_the_thresholds_are_what_the_metrics_take():
    targets, scores = (pd.DataFrame(part, columns=NAMES) for part in made())
    table = tune_thresholds(targets, scores)
    report = metrics.label_report(targets, scores, threshold=table["threshold"])
    np.testing.assert_allclose(report["f1"], table["valid"])
    assert metrics.f1(targets, scores, threshold=table["threshold"]) == pytest.approx(table["valid"].mean())


def frame(table, names):
    return pd.DataFrame(table, columns=names)


T, P = made(300, seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "auc"}, "objective='auc': expected 'f1' or 'f_beta' or 'cost' or 'precision_at' or 'recall_at'"),
        ({"objective": None}, "objective=None"),
        ({"objective": "f_beta", "beta": 0}, "beta=0: expected a number, above 0"),
        ({"objective": "f_beta", "beta": np.nan}, "beta=nan"),
        ({"objective": "f_beta", "beta": np.inf}, "beta=inf"),
        ({"beta": 2}, "beta=2 goes with objective='f_beta'"),
        ({"costs": (1, 2)}, r"costs=\(1, 2\) goes with objective='cost', not with 'f1'"),
        ({"objective": "cost", "costs": (1, -1)}, r"costs\[1\]=-1: expected a number, at least 0"),
        ({"objective": "cost", "costs": (0, 0)}, "at least one of them must be above 0"),
        ({"objective": "cost", "costs": (np.nan, 1)}, r"costs\[0\]=nan"),
        ({"objective": "cost", "costs": (np.inf, 1)}, r"costs\[0\]=inf"),
        ({"objective": "cost", "costs": 5}, "costs is a int: expected a list of 2 numbers"),
        ({"objective": "precision_at"}, "min_precision=None: expected a number, above 0 and at most 1"),
        ({"objective": "recall_at", "min_recall": 0}, "min_recall=0: expected a number, above 0 and at most 1"),
        ({"objective": "recall_at", "min_recall": 1.1}, "min_recall=1.1: expected a number"),
        ({"objective": "recall_at", "min_recall": 90}, "min_recall=90: expected a number"),
        ({"min_precision": 0.9}, "min_precision=0.9 goes with objective='precision_at', not with 'f1'"),
        ({"objective": "precision_at", "min_recall": 0.9}, "min_recall=0.9 goes with objective='recall_at'"),
        ({"labels": ["a"]}, "3 different names"),
        ({"probabilities": P}, r"\(400, 3\).*\(300, 3\)"),
        (with_rows(ids=None), "to report on test rows, give ids too: ids tell that they are other rows"),
        ({"test_ids": range(3)}, "give ids, test_targets, test_probabilities too"),
        (with_rows(test_probabilities=None), "give test_probabilities too"),
        (with_rows(ids=range(399)), "^ids=.*: expected a list of 400 ids, found 399"),
        (with_rows(test_ids=list(range(301))), "^test_ids=.*: expected a list of 300 ids, found 301"),
        (with_rows(test_ids="x" * 300), "^test_ids is a str: expected a list of 300 ids"),
        (with_rows(test_ids=pd.DataFrame({"id": range(300)})), "^test_ids is a DataFrame: expected a list of 300 ids"),
        (with_rows(ids=[*range(1000, 1399), None]), r"^ids: row 399 \(from 0\) has none"),
        (with_rows(test_ids=[np.nan, *range(299)]), r"^test_ids: row 0 \(from 0\) has none"),
        (with_rows(test_targets=T + 3), "^test_targets: row 0, label 0"),
        (with_rows(test_targets=T[:5]), r"^test_targets \(5, 3\) and test_probabilities \(300, 3\)"),
        (
            with_rows(test_targets=T[:, :2], test_probabilities=P[:, :2]),
            r"expected a list of 2 different names .labels: those of the valid",
        ),
        (
            with_rows(test_targets=frame(T, ["b", "a", "c"]), labels=NAMES),
            r"^test_targets are for \['b', 'a', 'c'\], labels for \['a', 'b'",
        ),
        (
            with_rows(test_probabilities=frame(P, NAMES[::-1]), labels=NAMES),
            r"^test_probabilities are for \['c', 'b', 'a'\]",
        ),
        (with_rows(test_targets=frame(T, NAMES)), r"^test_targets are for \['a', 'b', 'c'\], labels for \[0, 1, 2\]"),
    ],
)
def test_bad_input_is_refused_before_any_warning(changes, message):
    targets, scores = made()
    targets[:, 0] = 0  # one class only: would warn
    with pytest.raises(ValueError, match=message), warnings.catch_warnings(record=True) as caught:
        tune_thresholds(**{"targets": targets, "probabilities": scores} | changes)
    assert not caught


def test_float32_probabilities_decide_as_their_thresholds_say():
    """A threshold between two neighbouring float32 is a float64, and comparing must not round it."""
    low = np.float32(0.3)
    scores = np.array([[low], [np.nextafter(low, np.float32(1))]])
    table = tune_thresholds([[0.0], [1.0]], scores)
    decided = pd.DataFrame(scores, columns=["a"]).ge(pd.Series({"a": table["threshold"][0]}), axis="columns")
    assert decided["a"].tolist() == [False, True]
    assert logit(table["threshold"][0]) > logit(float(low))
