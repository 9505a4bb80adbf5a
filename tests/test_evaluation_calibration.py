import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from helpers import evaluation


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 15]), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_the_error_is_torchmetrics(seed, bins, rows):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(0, 2, (rows, 2)).astype(float), rng.random((rows, 2))
    targets[rng.random((rows, 2)) < 0.2] = np.nan
    found = evaluation.calibration_error(targets, scores, bins=bins)
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
    table = evaluation.reliability(targets, np.array([0.0, 0.05, 0.55, 0.45, 1.0, 0.5]), bins=10)
    assert table["rows"].tolist() == [2, 1, 1, 1]
    assert table["predicted"].tolist() == pytest.approx([0.025, 0.45, 0.55, 1.0])
    assert table["observed"].tolist() == [0.5, 0, 1, 1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="bins=0 must be 1 or more"):
        evaluation.calibration_error(np.zeros((2, 1)), np.zeros((2, 1)), bins=0)
    with pytest.raises(ValueError, match="bins=0 must be 1 or more"):
        evaluation.reliability([0, 1], [0.1, 0.2], bins=0)
    with pytest.raises(ValueError, match="one class only"):
        evaluation.reliability([1, 1], [0.1, 0.2])
