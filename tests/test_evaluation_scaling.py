import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from helpers import evaluation, metrics
from helpers.evaluation.calibration import Calibration

METHODS = ["temperature", "platt", "isotonic"]
LINES = ["temperature", "platt"]
seeds = st.integers(0, 2**32 - 1)


def make_rows(seed=0, rows=300, factor=2.0, shift=0.0):
    """Targets (N, 3) drawn from logits, and probabilities (N, 3) of logits that are multiplied and shifted."""
    rng = np.random.default_rng(seed)
    logits = rng.normal([-1, 0, 1], 1.5, (rows, 3))
    return (rng.random((rows, 3)) < expit(logits)).astype(float), expit(logits * factor + shift)


@pytest.mark.parametrize("factor", [0.4, 1, 3])
def test_the_temperature_is_the_factor_of_the_logits(factor):
    targets, scores = make_rows(rows=20_000, factor=factor)
    fitted = evaluation.fit_calibration(targets, scores).table()["temperature"]
    assert fitted.tolist() == pytest.approx([factor] * 3, rel=0.05)
    straight = evaluation.fit_calibration(*make_rows(rows=20_000, factor=1)).table()["temperature"]
    assert fitted.tolist() == pytest.approx((straight * factor).tolist(), rel=1e-5)


def test_calibrated_probabilities_have_temperature_one():
    scores = np.repeat([0.2, 0.7], 10)[:, None]
    targets = np.array([[1.0]] * 2 + [[0]] * 8 + [[1]] * 7 + [[0]] * 3)
    assert evaluation.fit_calibration(targets, scores).table()["temperature"][0] == pytest.approx(1, abs=1e-6)
    many = np.tile(targets, (5000, 1)), np.tile(scores, (5000, 1))
    assert evaluation.fit_calibration(*many, method="platt").table().loc[0, ["slope", "intercept"]].tolist() == (
        pytest.approx([1, 0], abs=1e-3)
    )


@pytest.mark.parametrize(("right", "said"), [(8, 0.95), (7, 0.6), (9, 0.9)])
def test_the_temperature_has_a_closed_form_when_all_are_equally_sure(right, said):
    targets = np.array([[1.0]] * right + [[0]] * (10 - right) + [[0]] * right + [[1]] * (10 - right))
    scores = np.repeat([said, 1 - said], 10)[:, None]
    fitted = evaluation.fit_calibration(targets, scores)
    assert fitted.table()["temperature"][0] == pytest.approx(logit(said) / logit(right / 10), rel=1e-6)
    assert fitted.apply(scores)[[0, 10], 0].tolist() == pytest.approx([right / 10, 1 - right / 10])


def test_one_temperature_for_all_is_that_of_all_entries():
    targets, scores = make_rows()
    scores[:, 2] = expit(logit(scores[:, 2]) * 2)
    targets[:40, 1] = np.nan
    shared = evaluation.fit_calibration(targets, scores, shared=True)
    known = ~np.isnan(targets)
    alone = evaluation.fit_calibration(targets[known][:, None], scores[known][:, None])
    assert shared.table()["temperature"].tolist() == pytest.approx([alone.table()["temperature"][0]] * 3, rel=1e-6)
    assert evaluation.fit_calibration(targets, scores).table()["temperature"].nunique() == 3
    assert shared.table()["rows"].tolist() == [300, 260, 300]


def test_a_label_with_one_class_borrows_the_shared_temperature():
    targets, scores = make_rows()
    targets[:, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = evaluation.fit_calibration(targets, scores, shared=True)
    assert fitted.table()["temperature"].nunique() == 1 and fitted.table()["temperature"][1] != 1
    with pytest.warns(UserWarning, match=r"one class only .*\[0, 1\]"):
        fitted = evaluation.fit_calibration(targets[:, [1, 1]], scores[:, :2], shared=True)
    assert fitted.apply(scores[:, :2]).tolist() == scores[:, :2].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_platt_is_logistic_regression_on_smoothed_targets(seed):
    targets, scores = make_rows(seed, rows=60, factor=3, shift=-1)
    fitted = evaluation.fit_calibration(targets, scores, method="platt").table()
    for place in range(3):
        truth, logits = targets[:, place], logit(scores[:, place])
        positives, negatives = truth.sum(), (1 - truth).sum()
        wanted = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        model = LogisticRegression(C=np.inf, tol=1e-8, solver="newton-cholesky")
        model.fit(np.tile(logits, 2)[:, None], np.repeat([1, 0], 60), sample_weight=np.append(wanted, 1 - wanted))
        line = fitted.loc[place, ["slope", "intercept"]].tolist()
        assert line == pytest.approx([model.coef_[0, 0], model.intercept_[0]], rel=1e-4, abs=1e-4)


def test_platt_gives_the_smoothed_rate_where_there_are_two_scores():
    targets = np.array([[1.0]] * 2 + [[0]] * 8 + [[1]] * 6 + [[0]] * 4)
    scores = np.repeat([0.0, 1.0], 10)[:, None]
    high, low = 9 / 10, 1 / 14
    rates = [(2 * high + 8 * low) / 10, (6 * high + 4 * low) / 10]
    found = evaluation.fit_calibration(targets, scores, method="platt").apply(scores)
    assert found[[0, 10], 0].tolist() == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("scores", [[0.1, 0.4, 0.6, 0.9], [0.3] * 4], ids=["falling", "constant"])
def test_platt_never_turns_the_ranking_around(scores):
    targets = pd.DataFrame({"fine": [0, 1, 0, 1], "odd": [1, 1, 0, 0]}, dtype=float)
    table = pd.DataFrame({"fine": [0.1, 0.4, 0.6, 0.9], "odd": scores})
    with pytest.warns(UserWarning, match=r"\['odd'\] do not rise with the label: their slope stays 1") as caught:
        fitted = evaluation.fit_calibration(targets, table, method="platt")
    assert len(caught) == 1 and caught[0].filename == __file__
    found = fitted.apply(table)
    assert fitted.table().loc["odd", "slope"] == 1
    assert found["odd"].mean() == pytest.approx(0.5)
    assert found["odd"].rank().tolist() == table["odd"].rank().tolist()


@given(seeds, st.sampled_from(LINES), st.sampled_from([0.5, 1.0, 4.0]))
@settings(max_examples=40, deadline=None)
def test_a_line_keeps_the_ranking(seed, method, factor):
    targets, scores = make_rows(seed, rows=80, factor=factor, shift=0.5)
    scores = scores.round(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluation.fit_calibration(targets, scores, method=method).apply(scores)
    for before, after in zip(scores.T, found.T, strict=True):
        steps, first = np.unique(before, return_index=True)
        assert (np.diff(after[first]) > 0).all()
        assert len(np.unique(after)) == len(steps)
    before, after = metrics.auc_by_label(targets, scores), metrics.auc_by_label(targets, found)
    assert after.tolist() == before.tolist()
    assert ((found >= 0) & (found <= 1)).all()


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_temperature_is_never_worse_than_none_on_its_rows(seed):
    targets, scores = make_rows(seed, rows=60, factor=np.random.default_rng(seed).uniform(0.3, 3))
    found = evaluation.fit_calibration(targets, scores).apply(scores)
    for truth, before, after in zip(targets.T, scores.T, found.T, strict=True):
        assert log_loss(truth, after) <= log_loss(truth, before) + 1e-12


def test_isotonic_is_scikit_learns_and_flat_outside():
    targets, scores = make_rows()
    fitted = evaluation.fit_calibration(targets, scores, method="isotonic")
    other = np.random.default_rng(1).random((500, 3))
    other[:2] = [[0] * 3, [1] * 3]
    for place, found in enumerate(fitted.apply(other).T):
        reference = IsotonicRegression(out_of_bounds="clip").fit(scores[:, place], targets[:, place])
        assert found.tolist() == pytest.approx(reference.predict(other[:, place]).tolist(), abs=1e-12)
        assert fitted.table()["steps"][place] == len(np.unique(reference.predict(scores[:, place])))


@given(seeds, st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_after_isotonic_no_miscalibration_is_left_on_the_same_rows(seed, rows):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(0, 2, (rows, 2)).astype(float), rng.integers(0, 21, (rows, 2)) / 20
    targets[:2] = [[0, 1], [1, 0]]
    found = evaluation.fit_calibration(targets, scores, method="isotonic").apply(scores)
    before, after = evaluation.brier(targets, scores), evaluation.brier(targets, found)
    assert after["miscalibration"].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert after["discrimination"].tolist() == pytest.approx(before["discrimination"].tolist(), abs=1e-12)
    assert evaluation.calibration_error(targets, found, n_bins=1).tolist() == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_helps_on_other_rows(method):
    fitted = evaluation.fit_calibration(*make_rows(1, rows=2000, factor=3), method=method)
    targets, scores = make_rows(2, rows=2000, factor=3)
    before, after = evaluation.brier(targets, scores), evaluation.brier(targets, fitted.apply(scores))
    assert (after["miscalibration"] < before["miscalibration"] / 3).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_label_with_one_class_stays_as_it_is(method):
    targets, scores = make_rows()
    targets = pd.DataFrame(targets, columns=["rare", "common", "unknown"]).assign(rare=0.0, unknown=np.nan)
    scores[:2, 0] = [0, 1]
    with pytest.warns(UserWarning, match=r"one class only .*\['rare', 'unknown'\]: their probabilities stay") as caught:
        fitted = evaluation.fit_calibration(targets, scores, method=method)
    assert len(caught) == 1 and caught[0].filename == __file__
    found = fitted.apply(scores)
    assert found[:, [0, 2]].tolist() == scores[:, [0, 2]].tolist()
    assert (found[:, 1] != scores[:, 1]).any()
    table = fitted.table()
    assert table["rows"].tolist() == [300, 300, 0] and table["positives"].tolist()[::2] == [0, 0]
    unchanged = {"temperature": [1.0], "platt": [1.0, 0.0], "isotonic": [0]}[method]
    assert table.loc["rare"].tolist()[: len(unchanged)] == unchanged


@pytest.mark.parametrize("wrong", [0, 1], ids=["all right", "all wrong"])
def test_a_temperature_at_the_end_of_its_range_is_told(wrong):
    targets = pd.DataFrame({"few": np.abs(np.array([0, 0, 1, 1]) - wrong)})
    with pytest.warns(UserWarning, match=r"temperature of \['few'\] stopped at an end of \[0.1, 10.0\]"):
        fitted = evaluation.fit_calibration(targets, [[0.1], [0.2], [0.7], [0.9]])
    assert fitted.table()["temperature"].item() == pytest.approx(10 if wrong else 0.1, rel=1e-2)


def test_one_half_for_all_has_no_temperature():
    fitted = evaluation.fit_calibration([[0], [1]], [[0.5], [0.5]])
    assert fitted.table()["temperature"].tolist() == [1]


@pytest.mark.parametrize("method", METHODS)
def test_unknown_targets_are_left_out(method):
    targets, scores = make_rows()
    hidden = np.random.default_rng(4).random(targets.shape) < 0.3
    fitted = evaluation.fit_calibration(np.where(hidden, np.nan, targets), scores, method=method)
    for place in range(3):
        rows = ~hidden[:, place]
        alone = evaluation.fit_calibration(targets[rows][:, [place]], scores[rows][:, [place]], method=method)
        assert fitted.curves[place] == alone.curves[0]


@given(seeds, st.sampled_from(METHODS))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_and_labels_does_not_matter(seed, method):
    targets, scores = make_rows(seed, rows=60)
    scores = scores.round(2)
    rng = np.random.default_rng(seed)
    rows, labels = rng.permutation(60), rng.permutation(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = evaluation.fit_calibration(targets, scores, method=method)
        other = evaluation.fit_calibration(targets[rows][:, labels], scores[rows][:, labels], method=method)
    new = rng.random((20, 3))
    np.testing.assert_allclose(other.apply(new[:, labels]), one.apply(new)[:, labels], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_of_zero_and_one_work(method):
    targets, scores = make_rows()
    scores[:20, 0], scores[20:40, 0] = 0, 1
    targets[:20, 0], targets[20:40, 0] = 0, 1
    found = evaluation.fit_calibration(targets, scores, method=method).apply(scores)[:, 0]
    assert ((found >= 0) & (found <= 1)).all()
    assert found[0] == found.min() and found[20] == found.max()
    if method != "isotonic":
        assert found[0] < found[40:].min() and found[20] > found[40:].max()
        ends = evaluation.fit_calibration(targets, scores, method=method).apply(np.full((1, 3), 2.0**-53))
        assert ends[0, 0] == found[0]


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_out_is_what_went_in(method):
    targets, scores = make_rows(rows=50)
    names, index = ["a", "b", "c"], pd.Index(range(100, 150), name="row")
    frame = pd.DataFrame(scores, columns=names, index=index)
    fitted = evaluation.fit_calibration(targets, frame, method=method)
    array = fitted.apply(scores)
    assert isinstance(array, np.ndarray) and array.dtype == float
    pd.testing.assert_frame_equal(fitted.apply(frame), pd.DataFrame(array, columns=names, index=index))
    tensor = fitted.apply(torch.tensor(scores, requires_grad=True))
    assert isinstance(tensor, torch.Tensor) and torch.equal(tensor, torch.tensor(array))
    assert fitted.apply(torch.tensor(scores).float()).dtype == torch.float64
    assert fitted.apply(scores.tolist()).tolist() == array.tolist()
    assert fitted.apply(frame.iloc[:0]).shape == (0, 3)
    assert fitted.table().index.tolist() == names and fitted.table().index.name == "label"
    from_tensors = evaluation.fit_calibration(torch.tensor(targets), torch.tensor(scores), method=method, labels=names)
    assert from_tensors == fitted
    assert scores.tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_calibration_is_the_same(method):
    targets, scores = make_rows(rows=50)
    targets[:, 2] = 1
    with pytest.warns(UserWarning, match="one class only"):
        fitted = evaluation.fit_calibration(targets, scores, method=method, ids=np.arange(50))
    read = json.loads(json.dumps(fitted.to_dict(), allow_nan=False))
    assert read == fitted.to_dict()
    again = Calibration.from_dict(read)
    assert again == fitted
    assert again.apply(scores, ids=np.arange(50, 100)).tolist() == fitted.apply(scores).tolist()
    pd.testing.assert_frame_equal(again.table(), fitted.table())
    with pytest.raises(ValueError, match=r"1 of these rows were fitted \(ids '49'\)"):
        again.apply(scores, ids=pd.Series(np.arange(49, 99)))


def test_a_torn_file_is_refused():
    fitted = evaluation.fit_calibration(*make_rows(rows=50), method="isotonic")
    saved = fitted.to_dict()
    for change, message in [
        ({"method": "beta"}, "method='beta': expected 'temperature' or 'platt' or 'isotonic'"),
        ({"labels": [0, 1]}, r"3 curves for the labels \[0, 1\]"),
        ({"labels": [0, 1, 1]}, "expected one per label"),
        ({"curves": [{**saved["curves"][0], "slope": -1.0}] * 3}, "the slope must be above 0"),
        ({"curves": [{**saved["curves"][0], "intercept": float("nan")}] * 3}, "both finite"),
        ({"curves": [{**saved["curves"][0], "y": [0.5]}] * 3}, "as many of both"),
        ({"curves": [{**saved["curves"][0], "x": [0.1, 0.9], "y": [0.9, 0.1]}] * 3}, "y never falling"),
        ({"curves": [{"x": [], "y": []}] * 3}, "missing 2 required"),
        ({"version": 2}, "unexpected keyword"),
    ]:
        with pytest.raises(ValueError, match=f"not a saved calibration: .*{message}"):
            Calibration.from_dict({**saved, **change})
    del saved["ids"]
    with pytest.raises(ValueError, match="not a saved calibration: KeyError: 'ids'"):
        Calibration.from_dict(saved)


def test_rows_of_the_fit_are_refused():
    targets, scores = make_rows(rows=20)
    ids = [f"row{number:02}" for number in range(20)]
    fitted = evaluation.fit_calibration(targets, scores, ids=ids)
    with pytest.raises(ValueError, match=r"20 of these rows were fitted \(ids 'row00', 'row01'.*, \.\.\.\)"):
        fitted.apply(scores, ids=pd.Series(ids))
    with pytest.raises(ValueError, match=r"1 of these rows were fitted \(ids 'row07'\)"):
        fitted.apply(scores[:1], ids=["row07"])
    expected = fitted.apply(scores)
    assert fitted.apply(scores, ids=[f"new{number}" for number in range(20)]).tolist() == expected.tolist()
    unnamed = evaluation.fit_calibration(targets, scores)
    with pytest.raises(ValueError, match="give `ids` to fit_calibration too"):
        unnamed.apply(scores, ids=ids)
    numbered = evaluation.fit_calibration(targets, scores, ids=np.arange(20.0))
    with pytest.raises(ValueError, match="20 of these rows were fitted"):
        numbered.apply(scores, ids=torch.arange(20))
    with pytest.raises(ValueError, match=r"ids=.*: expected a list of 20 ids, found 3"):
        fitted.apply(scores, ids=ids[:3])
    with pytest.raises(ValueError, match="ids is a str: expected a list of 20 ids"):
        evaluation.fit_calibration(targets, scores, ids="a" * 20)
    with pytest.raises(ValueError, match="ids is a DataFrame: expected a list of 20 ids"):
        evaluation.fit_calibration(targets, scores, ids=pd.DataFrame({"id": ids}))
    with pytest.raises(ValueError, match=r"ids: row 2 \(from 0\) has none"):
        evaluation.fit_calibration(targets, scores, ids=["a", "b", None, *ids[3:]])


def test_what_does_not_fit_is_refused():
    targets, scores = make_rows(rows=20)
    named = pd.DataFrame(scores, columns=["a", "b", "c"])
    fitted = evaluation.fit_calibration(targets, named)
    with pytest.raises(ValueError, match="method='beta': expected 'temperature' or 'platt' or 'isotonic'"):
        evaluation.fit_calibration(targets, scores, method="beta")
    with pytest.raises(ValueError, match="shared=True goes with method='temperature', not with 'platt'"):
        evaluation.fit_calibration(targets, scores, method="platt", shared=True)
    with pytest.raises(ValueError, match=r"targets \(20, 2\) and probabilities \(20, 3\)"):
        evaluation.fit_calibration(targets[:, :2], scores)
    with pytest.raises(ValueError, match="probabilities: row 0, label 0"):
        evaluation.fit_calibration(targets, scores + 1)
    with pytest.raises(ValueError, match=r"probabilities \(20, 2\): must be \(N, 3\), a column for each of \['a'"):
        fitted.apply(scores[:, :2])
    with pytest.raises(ValueError, match=r"probabilities \(3,\): must be \(N, 3\)"):
        fitted.apply(scores[0])
    with pytest.raises(ValueError, match="same labels in the same order"):
        fitted.apply(named[["b", "a", "c"]])
    with pytest.raises(ValueError, match="probabilities: row 4, label 1"):
        fitted.apply(np.where(np.arange(60).reshape(20, 3) == 13, np.nan, scores))
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.method = "platt"
