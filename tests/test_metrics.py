import ast
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk
from sklearn.metrics import roc_auc_score

from helpers import metrics
from helpers.metrics.classification import auc_by_head, mean_head_auc

NAMES = ["a", "b", "c", "d"]
DECISIONS = [metrics.subset_accuracy, metrics.label_accuracy, metrics.f1]
TABLES = [metrics.label_report, metrics.auc_by_label, metrics.mean_auc, metrics.mean_average_precision]
ALL = TABLES + DECISIONS
CURVES = [metrics.roc_points, metrics.precision_recall_points]
ignore_one_class = pytest.mark.filterwarnings("ignore:.*one class only.*:UserWarning")


@st.composite
def cases(draw, unknown=False):
    """Random tables; probabilities of few levels, so that ties are many, or of very close ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(4, 40)), draw(st.integers(2, 5))
    targets = (rng.random(shape) < draw(st.sampled_from([0.1, 0.5, 0.9]))).astype(float)
    levels = draw(st.sampled_from([1, 3, 10, 1000]))
    scores = rng.integers(0, levels + 1, shape) / levels
    if draw(st.booleans()):
        scores = np.clip(0.5 + rng.integers(-2, 3, shape) * 1e-16, 0, 1)
    if unknown:
        targets[rng.random(shape) < draw(st.sampled_from([0.1, 0.7]))] = np.nan
    return targets, scores


def column_by_column(score, targets, scores):
    """The score of each label by scikit-learn, unknown rows dropped; NaN where one class only is left."""
    known = [(t[~np.isnan(t)], s[~np.isnan(t)]) for t, s in zip(targets.T, scores.T, strict=True)]
    return np.array([score(t, s) if len(set(t)) == 2 else np.nan for t, s in known])


def assert_same(left, right):
    np.testing.assert_allclose(np.asarray(left, float), np.asarray(right, float), rtol=0, atol=1e-12)


@given(cases() | cases(unknown=True))
@settings(max_examples=80, deadline=None)
def test_auc_of_all_columns_equals_scikit_learn(case):
    assert_same(metrics.auc_by_label(*case), column_by_column(sk.roc_auc_score, *case))


@given(cases(unknown=True), st.sampled_from([0.3, 0.5, "each"]))
@settings(max_examples=20, deadline=None)
@ignore_one_class
def test_label_report_equals_scikit_learn_label_by_label(case, threshold):
    targets, scores = case
    least = np.linspace(0, 1, targets.shape[1]) if threshold == "each" else threshold
    report = metrics.label_report(targets, scores, threshold=least)
    assert_same(report["auc"], column_by_column(sk.roc_auc_score, *case))
    assert_same(report["average_precision"], column_by_column(sk.average_precision_score, *case))
    for i, row in report.iterrows():
        known = ~np.isnan(targets[:, i])
        truth, decided = targets[known, i], scores[known, i] >= np.broadcast_to(least, targets.shape[1])[i]
        assert (row["rows"], row["support"]) == (len(truth), truth.sum())
        for name in ("precision", "recall", "f1"):
            score = getattr(sk, f"{name}_score")
            assert_same(row[name], score(truth, decided, zero_division=0) if len(truth) else np.nan)


@given(cases(), st.sampled_from([0.2, 0.5]))
@settings(max_examples=20, deadline=None)
def test_scores_of_decisions_equal_scikit_learn(case, threshold):
    targets, scores = case
    truth, decided = targets.astype(int), (scores >= threshold).astype(int)
    assert_same(metrics.subset_accuracy(*case, threshold=threshold), sk.accuracy_score(truth, decided))
    assert_same(metrics.label_accuracy(*case, threshold=threshold), 1 - sk.hamming_loss(truth, decided))
    for average in ("macro", "micro"):
        expected = sk.f1_score(truth, decided, average=average, zero_division=0)
        assert_same(metrics.f1(*case, average=average, threshold=threshold), expected)


@given(cases(unknown=True))
@settings(max_examples=20, deadline=None)
def test_unknown_entries_count_nowhere(case):
    targets, scores = case
    known = ~np.isnan(targets)
    complete = known.all(axis=1)
    truth, decided = targets[known], scores[known] >= 0.5
    if known.any():
        assert_same(metrics.label_accuracy(*case), (truth == decided).mean())
        assert_same(metrics.f1(*case, average="micro"), sk.f1_score(truth, decided, zero_division=0))
        columns = [(targets[k, i], scores[k, i] >= 0.5) for i, k in enumerate(known.T) if k.any()]
        assert_same(metrics.f1(*case), np.mean([sk.f1_score(t, d, zero_division=0) for t, d in columns]))
    if complete.any():
        assert_same(metrics.subset_accuracy(*case), ((scores >= 0.5) == targets)[complete].all(axis=1).mean())


@given(cases(unknown=True), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
@ignore_one_class
def test_order_of_rows_and_of_labels_does_not_matter(case, random):
    targets, scores = case
    rows, labels = (random.sample(range(n), n) for n in targets.shape)
    moved = targets[np.ix_(rows, labels)], scores[np.ix_(rows, labels)]
    assert_same(metrics.label_report(*moved), metrics.label_report(*case).iloc[labels])
    for score in [metrics.mean_auc, metrics.mean_average_precision]:
        assert_same(score(*moved), score(*case))
    if not np.isnan(targets).any(axis=1).all():
        for score in DECISIONS:
            assert_same(score(*moved), score(*case))


@given(cases(unknown=True))
@settings(max_examples=20, deadline=None)
def test_auc_sees_the_order_of_scores_only(case):
    targets, scores = case
    ranks = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)
    auc = metrics.auc_by_label(*case)
    assert_same(metrics.auc_by_label(targets, (ranks + 1) / (ranks.max() + 2)), auc)
    assert_same(metrics.auc_by_label(targets, 1 - (ranks + 1) / (ranks.max() + 2)), 1 - auc)


def test_auc_by_hand():
    targets = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, np.nan, 0]])
    scores = np.array([[0.1, 0.5, 0.9], [0.4, 0.5, 0.8], [0.4, 0.7, 0.2], [0.8, 0.0, 0.1]])
    assert metrics.auc_by_label(targets, scores).tolist() == [3.5 / 4, 1.5 / 2, 1.0]
    assert metrics.mean_auc(targets, scores) == pytest.approx((0.875 + 0.75 + 1) / 3, abs=1e-15)
    assert metrics.auc_by_label([[0], [1]], [[0.0], [-0.0]]).tolist() == [0.5]
    assert metrics.auc_by_label([[0], [1], [np.nan]], [[0.0], [1.0], [0.5]]).tolist() == [1.0]


def test_a_small_table_by_hand():
    targets = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, np.nan]]
    scores = [[0.9, 0.2, 0.1], [0.5, 0.6, 0.7], [0.4, 0.8, 0.3], [0.6, 0.1, 0.9]]
    with pytest.warns(UserWarning, match=r"\['c'\]"):
        report = metrics.label_report(targets, scores, labels=["a", "b", "c"])
    assert report.index.tolist() == ["a", "b", "c"]
    assert report.index.name == "label"
    assert_same(report["precision"], [2 / 3, 1 / 2, 0])
    assert_same(report["recall"], [1, 1 / 2, 0])
    assert_same(report["f1"], [0.8, 0.5, 0])
    assert_same(report["average_precision"], [(1 + 2 / 3) / 2, (1 / 2 + 2 / 4) / 2, np.nan])
    assert report[["support", "rows"]].to_numpy().tolist() == [[2, 4], [2, 4], [0, 3]]
    assert metrics.subset_accuracy(targets, scores) == pytest.approx(1 / 3)
    assert metrics.label_accuracy(targets, scores) == pytest.approx(7 / 11)
    assert metrics.f1(targets, scores) == pytest.approx(1.3 / 3)
    assert metrics.f1(targets, scores, average="micro") == pytest.approx(2 * 3 / (6 + 4))


def test_macro_f1_leaves_out_a_label_of_which_nothing_is_known():
    assert metrics.f1([[1, np.nan], [0, np.nan]], [[0.9, 0.9], [0.1, 0.9]]) == 1


def test_a_probability_at_the_threshold_is_a_yes_and_inf_never_is():
    assert metrics.f1([[1]], [[0.5]], threshold=0.5) == 1
    assert metrics.f1([[1]], [[1.0]], threshold=np.inf) == 0
    assert metrics.subset_accuracy([[1, 0]], [[0.5, 0.5]], threshold=[0.5, 0.6]) == 1


@pytest.mark.parametrize("score", [metrics.mean_auc, metrics.mean_average_precision])
def test_labels_with_one_class_are_named_and_left_out_of_the_mean(score):
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 2, (50, 4)).astype(float), rng.random((50, 4))
    both = score(targets[:, :2], scores[:, :2])
    targets[:, 2], targets[:, 3] = 0, 1
    with pytest.warns(UserWarning, match=r"\['c', 'd'\].* counted: 2") as caught:
        assert score(targets, scores, labels=NAMES) == pytest.approx(both, abs=1e-15)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="counted: 0"):
        assert np.isnan(score(targets[:, 2:], scores[:, 2:]))


def test_label_report_warns_once_about_all_labels_with_one_class():
    targets = np.array([[0, 0, 1, np.nan], [1, 0, 1, np.nan]])
    with pytest.warns(UserWarning, match=r"\['b', 'c', 'd'\]") as caught:
        report = metrics.label_report(targets, np.full((2, 4), 0.7), labels=NAMES)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert report["auc"].isna().tolist() == report["average_precision"].isna().tolist() == [False, True, True, True]
    assert report["f1"].isna().tolist() == [False, False, False, True]
    assert report["rows"].tolist() == [2, 2, 2, 0]


def test_nothing_warns_where_all_labels_have_both_classes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for score in ALL:
            score([[0, 1], [1, 0]], [[0.2, 0.3], [0.4, 0.1]])
        metrics.f1([[0, 0], [0, 0]], [[0.2, 0.3], [0.4, 0.1]])


@pytest.mark.parametrize("score", ALL)
def test_tensors_frames_lists_and_arrays_give_the_same(score):
    targets, scores = (
        np.array([[0, 1], [1, 0], [1, 1], [0, 0]]),
        np.array([[0.25, 0.5], [0.75, 0.5], [0.125, 1], [0, 0]]),
    )
    expected = score(targets, scores)
    tensor = torch.tensor(scores, dtype=torch.bfloat16, requires_grad=True)
    kinds = [
        (torch.tensor(targets), tensor),
        (targets.tolist(), scores.tolist()),
        (targets.astype(bool), scores.astype(np.float32)),
        (pd.DataFrame(targets, columns=["a", "b"]), pd.DataFrame(scores, index=[9, 8, 7, 6])),
    ]
    for kind in kinds:
        assert_same(score(*kind), expected)


@ignore_one_class
def test_missing_values_of_every_kind_are_unknown():
    scores = [[0.1, 0.5], [0.7, 0.6], [0.3, 0.4]]
    expected = metrics.label_report([[1, 0], [0, 1], [np.nan, 1]], scores)
    for column in (pd.array([1, 0, None], dtype="Int64"), pd.Series([1, 0, pd.NA], dtype=object), [1, 0, None]):
        assert_same(metrics.label_report(pd.DataFrame({"a": column, "b": [0, 1, 1]}), scores), expected)


@pytest.mark.parametrize("score", ALL)
def test_inputs_are_left_as_they_were(score):
    targets, scores = np.array([[0.0, 1], [1, 0], [np.nan, 1]]), np.array([[0.2, 0.3], [0.4, 0.1], [0.3, 0.9]])
    before = targets.copy(), scores.copy()
    targets.flags.writeable = scores.flags.writeable = False
    score(targets, scores)
    np.testing.assert_array_equal(targets, before[0])
    np.testing.assert_array_equal(scores, before[1])


GOOD = np.array([[0.0, 1], [1, 0], [0, 0]])


def changed(value):
    table = GOOD.copy()
    table[1, 1] = table[2, 0] = value
    return table


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize(
    ("targets", "probabilities", "message"),
    [
        (GOOD, GOOD[:2], r"\(3, 2\).*\(2, 2\)"),
        (GOOD, GOOD[:, :1], r"\(3, 2\).*\(3, 1\)"),
        (GOOD[:, 0], GOOD[:, 0], r"\(3,\).*\(3,\)"),
        (GOOD[None], GOOD[None], r"\(1, 3, 2\)"),
        (GOOD[:0], GOOD[:0], "zero rows"),
        (GOOD[:, :0], GOOD[:, :0], "zero labels"),
        (changed(-1), GOOD, r"targets: row 1, label 1 .* is -1\.0.*not -1"),
        (changed(0.4), GOOD, r"targets: row 1, label 1 .* is 0\.4"),
        (changed(np.inf), GOOD, "targets: row 1, label 1 .* is inf"),
        (GOOD, changed(np.nan), "probabilities: row 1, label 1 .* is nan"),
        (GOOD, changed(1.5), r"probabilities: row 1, label 1 .* is 1\.5.*sigmoid"),
        (GOOD, changed(-0.1), r"probabilities: row 1, label 1 .* is -0\.1"),
        ([["x", "y"]], [[0.1, 0.2]], "targets of type list .*'x'"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), [[0.1, 0.2]], "targets of type DataFrame"),
        (pd.DataFrame(GOOD, columns=["a", "b"]), pd.DataFrame(GOOD, columns=["b", "a"]), r"\['a', 'b'\].*\['b', 'a'\]"),
    ],
)
def test_bad_tables_are_refused_with_their_place(score, targets, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(targets, probabilities)


@pytest.mark.parametrize("score", TABLES)
def test_label_names_must_fit(score):
    for labels in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="2 different names"):
            score(GOOD, GOOD, labels=labels)
    with pytest.raises(ValueError, match=r"targets are for \['a', 'b'\], labels for \['b', 'a'\]"):
        score(pd.DataFrame(GOOD, columns=["a", "b"]), GOOD, labels=["b", "a"])


def test_names_come_from_either_table():
    for frames in ((pd.DataFrame(GOOD, columns=["x", "y"]), GOOD), (GOOD, pd.DataFrame(GOOD, columns=["x", "y"]))):
        assert metrics.auc_by_label(*frames).index.tolist() == ["x", "y"]
    assert metrics.auc_by_label(GOOD, GOOD).index.tolist() == [0, 1]


@pytest.mark.parametrize("score", [metrics.label_report, *DECISIONS])
@pytest.mark.parametrize("threshold", [np.nan, 50, -0.1, [0.5], [0.5] * 3, [0.5, np.nan], [[0.5, 0.5]], "half"])
def test_thresholds_that_do_not_fit_are_refused(score, threshold):
    with pytest.raises(ValueError, match="threshold"):
        score(GOOD, GOOD, threshold=threshold)


def test_a_series_of_thresholds_must_be_in_the_order_of_the_labels():
    frame = pd.DataFrame(GOOD, columns=["a", "b"])
    assert metrics.f1(frame, GOOD, threshold=pd.Series([0.5, 0.9], index=["a", "b"])) == 1
    assert metrics.f1(frame, GOOD, threshold=pd.Series([0.5, 0.9])) == 1
    with pytest.raises(ValueError, match=r"threshold is for \['b', 'a'\]"):
        metrics.f1(frame, GOOD, threshold=pd.Series([0.5, 0.9], index=["b", "a"]))


@pytest.mark.parametrize("score", DECISIONS)
def test_tables_with_nothing_known_are_refused(score):
    with pytest.raises(ValueError, match=r"targets \(3, 2\)"):
        score(np.full((3, 2), np.nan), GOOD)


def test_another_average_is_refused():
    with pytest.raises(ValueError, match="'weighted'"):
        metrics.f1(GOOD, GOOD, average="weighted")


@given(cases(unknown=True))
@settings(max_examples=20, deadline=None)
def test_curves_hold_the_areas_and_their_thresholds_give_their_points(case):
    targets, scores = case[0][:, 0], case[1][:, 0]
    known = ~np.isnan(targets)
    if len(set(targets[known])) < 2:
        return
    roc, curve = (function(targets, torch.tensor(scores)) for function in CURVES)
    assert_same(sk.auc(roc["fpr"], roc["tpr"]), sk.roc_auc_score(targets[known], scores[known]))
    assert_same(roc[["fpr", "tpr"]].iloc[[0, -1]], [[0, 0], [1, 1]])
    area = -(np.diff(curve["recall"]) * curve["precision"][:-1]).sum()
    assert_same(area, sk.average_precision_score(targets[known], scores[known]))
    for _, point in roc.iterrows():
        decided = scores[known] >= point["threshold"]
        assert_same(point[["fpr", "tpr"]], [decided[targets[known] == group].mean() for group in (0, 1)])
    for _, point in curve.iloc[:-1].iterrows():
        decided = scores[known] >= point["threshold"]
        assert_same(
            point[["recall", "precision"]], [decided[targets[known] == 1].mean(), targets[known][decided].mean()]
        )
    assert curve.iloc[-1].tolist() == [0, 1, np.inf]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        ([0, 1], [0.1], r"\(2,\).*\(1,\)"),
        (GOOD, GOOD, r"\(3, 2\).*\(3, 2\)"),
        ([], [], "zero rows"),
        ([0, 2], [0.1, 0.2], "row 1"),
        ([0, 1], [0.1, np.nan], "row 1"),
        ([1, 1, np.nan], [0.1, 0.2, 0.3], "2 known targets of 3 hold one class"),
    ],
)
def test_curves_refuse_what_is_no_curve(curve, targets, scores, message):
    with pytest.raises(ValueError, match=message):
        curve(targets, scores)


def test_metrics_import_no_torch_and_no_other_floor():
    for path in Path(metrics.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
        own = ("helpers.metrics", "helpers.arguments")
        assert not [m for m in modules if m.startswith(("torch", "helpers")) and not m.startswith(own)]


def test_auc_of_heads_is_scikit_learns():
    rng = np.random.default_rng(0)
    targets = np.column_stack([rng.integers(0, size, 200) for size in (2, 3, 2)]).astype(float)
    which = rng.dirichlet(np.ones(3), 200)
    pair = rng.dirichlet(np.ones(2), 200)
    tables = {"yes": rng.random((200, 1)), "which": which, "pair": pair}
    found = auc_by_head(targets, tables)
    expected = [
        roc_auc_score(targets[:, 0], tables["yes"][:, 0]),
        roc_auc_score(targets[:, 1], which, multi_class="ovr", average="macro"),
        roc_auc_score(targets[:, 2], pair[:, 1]),
    ]
    np.testing.assert_allclose(found, expected)
    assert list(found.index) == ["yes", "which", "pair"]
    assert mean_head_auc(targets, tables) == pytest.approx(np.mean(expected))
    targets[:100, 0] = np.nan
    half = roc_auc_score(targets[100:, 0], tables["yes"][100:, 0])
    assert auc_by_head(targets, tables)["yes"] == pytest.approx(half)
    targets[:, 2] = 1
    with pytest.warns(UserWarning, match=r"mean_head_auc leaves out \['pair'\].*counted: 2"):
        assert mean_head_auc(targets, tables) == pytest.approx((half + expected[1]) / 2)


def test_a_class_that_does_not_occur_is_left_out_of_its_heads_auc():
    rng = np.random.default_rng(0)
    targets, table = rng.integers(0, 2, (60, 1)).astype(float), rng.dirichlet(np.ones(3), 60)
    expected = np.mean([roc_auc_score(targets[:, 0] == value, table[:, value]) for value in range(2)])
    assert auc_by_head(targets, {"which": table})["which"] == pytest.approx(expected)
    assert np.isnan(auc_by_head(np.full((60, 1), np.nan), {"which": table})["which"])
    with pytest.raises(ValueError, match="head 'which': probabilities: row 3"):
        auc_by_head(targets, {"which": np.where(np.arange(60)[:, None] == 3, 2.0, table)})


def test_heads_that_do_not_fit_are_refused():
    tables = {"yes": np.zeros((4, 1)), "which": np.full((4, 3), 1 / 3)}
    for targets, message in [
        (np.zeros((4, 3)), r"targets \(4, 3\) must be \(N, 2\)"),
        (np.zeros((5, 2)), r"head 'yes': probabilities \(4, 1\) must be \(5, C\)"),
        (np.full((4, 2), 2.0), "head 'yes': targets must be 0 to 1"),
        (np.array([[0, 3.0]] * 4), "head 'which': targets must be 0 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            auc_by_head(targets, tables)
