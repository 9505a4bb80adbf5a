import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error

from helpers import evaluation


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 15]), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_the_error_is_torchmetrics(seed, bins, rows):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(0, 2, (rows, 2)).astype(float), rng.random((rows, 2))
    targets[rng.random((rows, 2)) < 0.2] = np.nan
    found = evaluation.calibration_error(targets, scores, n_bins=bins)
    for place in range(2):
        known = ~np.isnan(targets[:, place])
        if not known.any():
            assert np.isnan(found[place])
            continue
        given_rows = torch.tensor(scores[known, place]), torch.tensor(targets[known, place]).long()
        expected = binary_calibration_error(*given_rows, n_bins=bins, norm="l1").item()
        assert found[place] == pytest.approx(expected, abs=1e-6)


def test_the_label_rate_is_calibrated_and_a_shift_is_the_error():
    targets = np.array([[1.0], [0], [0], [0]] * 25)
    assert evaluation.calibration_error(targets, np.full((100, 1), 0.25))[0] == 0
    assert evaluation.calibration_error(targets, np.full((100, 1), 0.65))[0] == pytest.approx(0.4)


def test_reliability_counts_each_known_row_once():
    targets = np.array([0, 1, 1, 0, 1, np.nan])
    table = evaluation.reliability(targets, np.array([0.0, 0.05, 0.55, 0.45, 1.0, 0.5]), n_bins=10)
    assert table["rows"].tolist() == [2, 1, 1, 1]
    assert table["predicted"].tolist() == pytest.approx([0.025, 0.45, 0.55, 1.0])
    assert table["observed"].tolist() == [0.5, 0, 1, 1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="n_bins=0: expected a whole number, at least 1"):
        evaluation.calibration_error(np.zeros((2, 1)), np.zeros((2, 1)), n_bins=0)
    with pytest.raises(ValueError, match="n_bins=0: expected a whole number, at least 1"):
        evaluation.reliability([0, 1], [0.1, 0.2], n_bins=0)
    with pytest.raises(ValueError, match="one class only"):
        evaluation.reliability([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="strategy='mass': expected 'uniform' or 'quantile'"):
        evaluation.calibration_error(np.zeros((2, 1)), np.zeros((2, 1)), strategy="mass")
    with pytest.raises(ValueError, match="strategy='mass': expected 'uniform' or 'quantile'"):
        evaluation.reliability([0, 1], [0.1, 0.2], strategy="mass")
    with pytest.raises(ValueError, match="probabilities: row 1, label 0"):
        evaluation.brier(np.zeros((2, 1)), np.array([[0.5], [1.5]]))
    with pytest.raises(ValueError, match="both must be \\(N, L\\)"):
        evaluation.brier(np.zeros(2), np.zeros(2))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_bins_of_equal_mass_hold_the_sorted_rows_in_equal_parts(seed, bins, rows):
    rng = np.random.default_rng(seed)
    targets, scores = np.append(rng.integers(0, 2, rows), [0.0, 1]), rng.permutation(rows + 2) / (rows + 1)
    table = evaluation.reliability(targets, scores, n_bins=bins, strategy="quantile")
    assert len(table) == min(bins, rows + 2) and np.ptp(table["rows"]) <= 1
    order = np.argsort(scores)
    parts = np.split(order, table["rows"].cumsum()[:-1])
    assert table["predicted"].tolist() == pytest.approx([scores[part].mean() for part in parts])
    assert table["observed"].tolist() == pytest.approx([targets[part].mean() for part in parts])


def test_equal_probabilities_go_into_one_bin_together():
    targets, scores = [0, 1, 0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.8, 0.9]
    table = evaluation.reliability(targets, scores, n_bins=4, strategy="quantile")
    assert table["rows"].tolist() == [1, 5, 2]
    assert table["observed"].tolist() == pytest.approx([0, 0.6, 1])
    error = evaluation.calibration_error(np.array([targets]).T, np.array([scores]).T, n_bins=4, strategy="quantile")[0]
    assert error == pytest.approx((0.1 + 5 * 0.4 + 2 * 0.15) / 8)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["uniform", "quantile"]), st.sampled_from([1, 4, 15]))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_and_labels_does_not_matter(seed, binning, bins):
    targets, scores = random_rows(seed)
    rng = np.random.default_rng(seed)
    rows, labels = rng.permutation(len(targets)), rng.permutation(targets.shape[1])
    error = evaluation.calibration_error(targets, scores, n_bins=bins, strategy=binning)
    other = evaluation.calibration_error(
        targets[rows][:, labels], scores[rows][:, labels], n_bins=bins, strategy=binning
    )
    assert other.tolist() == pytest.approx(error[labels].tolist(), abs=1e-12, nan_ok=True)
    assert error.dropna().between(0, 1).all()
    parts, others = (
        evaluation.brier(targets, scores),
        evaluation.brier(targets[rows][:, labels], scores[rows][:, labels]),
    )
    np.testing.assert_allclose(others.to_numpy(), parts.loc[labels].to_numpy(), atol=1e-12)


def test_bins_of_equal_mass_see_a_rare_label():
    scores = np.repeat([0.01, 0.03], 500)
    targets = np.tile(np.arange(500) < 10, 2).astype(float)
    one = targets[:, None], scores[:, None]
    assert evaluation.calibration_error(*one)[0] == pytest.approx(0, abs=1e-12)
    assert evaluation.calibration_error(*one, strategy="quantile")[0] == pytest.approx(0.01)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_brier_score_is_scikit_learns_and_the_sum_of_its_parts(seed):
    targets, scores = random_rows(seed)
    table = evaluation.brier(targets, scores)
    for place, row in table.iterrows():
        known = ~np.isnan(targets[:, place])
        assert row["rows"] == known.sum()
        if not known.any():
            assert row.drop("rows").isna().all()
            continue
        expected = brier_score_loss(targets[known, place], scores[known, place], pos_label=1)
        assert row["brier"] == pytest.approx(expected, abs=1e-12)
        rate = targets[known, place].mean()
        assert row["uncertainty"] == pytest.approx(rate * (1 - rate), abs=1e-12)
        parts = row["miscalibration"] - row["discrimination"] + row["uncertainty"]
        assert parts == pytest.approx(row["brier"], abs=1e-12)
        assert 0 <= row["miscalibration"] <= row["brier"] + 1e-12 and 0 <= row["discrimination"] <= row["uncertainty"]


def test_the_parts_of_the_brier_score_by_hand():
    targets = pd.DataFrame({"up": [0, 1, 0, 1], "flat": [0, 0, 1, 0], "none": [np.nan] * 4, "always": [1, 1, 1, 1]})
    scores = pd.DataFrame({"up": [0.1, 0.2, 0.3, 0.9], "flat": [0.3] * 4, "none": [0.5] * 4, "always": [0.9] * 4})
    table = evaluation.brier(targets, scores)
    assert table.index.tolist() == ["up", "flat", "none", "always"] and table.index.name == "label"
    assert table["rows"].tolist() == [4, 4, 0, 4]
    columns = ["brier", "miscalibration", "discrimination", "uncertainty"]
    # The best rising curve of "up" is 0, one half, one half, 1; that of "flat" is its rate.
    assert table.loc["up", columns].tolist() == pytest.approx([0.1875, 0.0625, 0.125, 0.25])
    assert table.loc["flat", columns].tolist() == pytest.approx([0.19, 0.0025, 0, 0.1875])
    assert table.loc["none", columns].isna().all()
    assert table.loc["always", columns].tolist() == pytest.approx([0.01, 0.01, 0, 0])
    assert evaluation.brier(targets.to_numpy(), scores, labels=list(targets)).equals(table)


def test_a_rising_curve_changes_only_the_miscalibration():
    rng = np.random.default_rng(5)
    scores = rng.random((400, 2))
    targets = (rng.random((400, 2)) < scores).astype(float)
    before, after = evaluation.brier(targets, scores), evaluation.brier(targets, scores**3)
    assert after["discrimination"].tolist() == pytest.approx(before["discrimination"].tolist())
    assert (after["miscalibration"] > before["miscalibration"] + 0.02).all()
    tiny = evaluation.brier(targets, scores * 1e-18)
    assert tiny["discrimination"].tolist() == pytest.approx(before["discrimination"].tolist())


def random_rows(seed):
    """Targets (N, 3) with unknown ones, and probabilities that are often tied and reach 0 and 1."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 80))
    scores = rng.integers(0, int(rng.integers(1, 40)) + 1, (rows, 3)) / 40
    scores = np.where(rng.random((rows, 3)) < 0.3, np.round(scores), scores)
    targets = (rng.random((rows, 3)) < rng.random(3)).astype(float)
    return np.where(rng.random((rows, 3)) < 0.2, np.nan, targets), scores
