"""Does a probability mean what it says? Of the rows that get 0.7, seven in ten should have the label."""

import numpy as np
import pandas as pd

from helpers.metrics.checks import Table, checked, checked_curve


def reliability(targets: Table, probabilities: Table, *, bins: int = 15) -> pd.DataFrame:
    """What a reliability diagram draws, for one label: predicted and observed frequency in bins of equal width.

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].
        bins: number of bins over [0, 1]; empty ones are left out.

    Returns:
        One row a bin, from low to high: `predicted` (mean probability), `observed` (share of positives), `rows`.

    Raises:
        ValueError: shapes that do not fit, one class only, a value out of range, bins below 1.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be 1 or more")
    truth, scores = checked_curve(targets, probabilities)
    return _binned(truth, scores, bins)


def calibration_error(targets: Table, probabilities: Table, *, bins: int = 15) -> pd.Series:
    """Expected calibration error of each label: mean distance of predicted from observed frequency over its bins.

    It is the mean over rows, in bins of equal width, of the probability of the positive class (torchmetrics'
    `BinaryCalibrationError` with the l1 norm). A model that gives every row the label's rate has 0: the error says
    nothing about telling rows apart, so read it beside the AUC.

    Source: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        bins: number of bins over [0, 1].

    Returns:
        (L,) by label, from 0 to 1; NaN for a label of which no row is known.

    Raises:
        ValueError: shapes that do not fit, a value out of range, bins below 1.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be 1 or more")
    truth, scores, names = checked(targets, probabilities)
    errors = []
    for column, said in zip(truth.T, scores.T, strict=True):
        known = ~np.isnan(column)
        table = _binned(column[known], said[known], bins)
        gap = (table["predicted"] - table["observed"]).abs()
        errors.append((gap * table["rows"]).sum() / known.sum() if known.any() else np.nan)
    return pd.Series(errors, index=names, name="calibration_error", dtype=float)


def _binned(truth: np.ndarray, scores: np.ndarray, bins: int) -> pd.DataFrame:
    place = np.minimum((scores * bins).astype(int), bins - 1)
    rows = np.bincount(place, minlength=bins)
    filled = rows > 0
    sums = {"predicted": scores, "observed": truth}
    table = {name: np.bincount(place, values, bins)[filled] / rows[filled] for name, values in sums.items()}
    return pd.DataFrame({**table, "rows": rows[filled]})
