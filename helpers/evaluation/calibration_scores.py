"""Does a probability mean what it says? Of the rows that get 0.7, seven in ten should have the label."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from sklearn.isotonic import isotonic_regression

from helpers.arguments import check_choice, check_count
from helpers.metrics.checks import Table, checked, checked_curve

Binning: TypeAlias = Literal["uniform", "quantile"]


def reliability(
    targets: Table, probabilities: Table, *, n_bins: int = 15, strategy: Binning = "uniform"
) -> pd.DataFrame:
    """What a reliability diagram draws, for one label: predicted and observed frequency in bins.

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].
        n_bins: number of bins; empty ones are left out.
        strategy: "uniform" for bins of equal width over [0, 1], "quantile" for bins of equally many rows, as
            `calibration_error` has them.

    Returns:
        One row a bin, from low to high: `predicted` (mean probability), `observed` (share of positives), `rows`.

    Raises:
        ValueError: shapes that do not fit, one class only, a value out of range, `n_bins` below 1, unknown strategy.

    Examples:
        >>> from helpers import evaluation
        >>> evaluation.reliability([0, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.8], n_bins=2).round(2)
           predicted  observed  rows
        0       0.20      0.33     3
        1       0.83      0.67     3
    """
    _check_bins(n_bins, strategy)
    truth, scores = checked_curve(targets, probabilities)
    return _binned(truth, scores, n_bins, strategy)


def calibration_error(
    targets: Table, probabilities: Table, *, n_bins: int = 15, strategy: Binning = "uniform"
) -> pd.Series:
    """Expected calibration error of each label: mean distance of predicted from observed frequency over its bins.

    It is the mean over rows, in bins of equal width, of the probability of the positive class (torchmetrics'
    `BinaryCalibrationError` with the l1 norm). A model that gives every row the label's rate has 0: the error says
    nothing about telling rows apart, so read it beside the AUC.

    A rare label has nearly all its rows in the lowest bin of equal width, where too high and too low cancel out. With
    `strategy="quantile"` each bin holds about N / n_bins rows. Equal probabilities are never parted: all go to the bin
    in which the middle one of them falls, so that the order of the rows does not matter. Many ties make fewer bins.

    Sources: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; for bins of equal
    mass, Nguyen and O'Connor 2015, Posterior calibration and exploratory analysis for natural language processing
    models.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        n_bins: number of bins.
        strategy: "uniform" for bins of equal width over [0, 1], "quantile" for bins of equally many rows.

    Returns:
        (L,) by label, from 0 to 1; NaN for a label of which no row is known.

    Raises:
        ValueError: shapes that do not fit, a value out of range, `n_bins` below 1, unknown strategy.

    Examples:
        >>> from helpers import evaluation
        >>> errors = evaluation.calibration_error([[0], [0], [1], [1]], [[0.1], [0.1], [0.7], [0.7]], n_bins=2)
        >>> errors.round(2).to_dict()
        {0: 0.2}
    """
    _check_bins(n_bins, strategy)
    truth, scores, names = checked(targets, probabilities)
    errors = []
    for column, predictions in zip(truth.T, scores.T, strict=True):
        known = ~np.isnan(column)
        table = _binned(column[known], predictions[known], n_bins, strategy)
        gap = (table["predicted"] - table["observed"]).abs()
        errors.append((gap * table["rows"]).sum() / known.sum() if known.any() else np.nan)
    return pd.Series(errors, index=names, name="calibration_error", dtype=float)


def brier(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Brier score of each label, the mean of (probability - target)², and the three parts it is made of.

    `brier` = `miscalibration` - `discrimination` + `uncertainty`:

    - `uncertainty` is the score of giving every row the label's rate, rate × (1 - rate): how hard the rows are;
    - `discrimination` is how much better than that the probabilities can be made by a rising curve, best for these
      rows: what telling rows apart is worth (higher is better);
    - `miscalibration` is how much worse than that best curve they are as they stand (lower is better).

    The curve is isotonic regression of the targets on the probabilities, the CORP decomposition of Dimitriadis,
    Gneiting and Jordan 2021 (Stable reliability diagrams for probabilistic classifiers, PNAS 118). Murphy's parts
    (1973) need bins: they change with the number and edges of the bins, and unless all probabilities in a bin are
    equal they do not add up to the score. These need no choice, add up, and are never negative. As the curve is fitted
    on the rows that it judges, few rows make `miscalibration` and `discrimination` too large, both by the same amount.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        By label: `brier`, `miscalibration`, `discrimination`, `uncertainty`, NaN where no row is known, and `rows`
        (known).

    Raises:
        ValueError: shapes or names that do not fit, zero rows, a value out of range (its row and label are named).

    Examples:
        >>> from helpers import evaluation
        >>> table = evaluation.brier([[0], [0], [1], [1]], [[0.1], [0.1], [0.7], [0.7]], labels=["toxic"])
        >>> table.round(2)
               brier  miscalibration  discrimination  uncertainty  rows
        label
        toxic   0.05            0.05            0.25         0.25     4
    """
    truth, scores, names = checked(targets, probabilities, labels)
    known = ~np.isnan(truth)
    parts = [_brier_parts(t[k], s[k]) for t, s, k in zip(truth.T, scores.T, known.T, strict=True)]
    columns = ["brier", "miscalibration", "discrimination", "uncertainty"]
    return pd.DataFrame(parts, columns=columns, index=names, dtype=float).assign(rows=known.sum(axis=0))


def _brier_parts(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float, float, float]:
    if not len(truth):
        return (np.nan,) * 4
    # Ties become one weighted point first: isotonic regression would otherwise give equal scores different values.
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rates = np.bincount(index, truth) / counts
    curve = isotonic_regression(rates, sample_weight=counts.astype(float))[index]
    score, best, uncertainty = (
        np.square(truth - probabilities).mean() for probabilities in (scores, curve, truth.mean())
    )
    return score, max(score - best, 0.0), max(uncertainty - best, 0.0), uncertainty


def _binned(truth: np.ndarray, scores: np.ndarray, n_bins: int, strategy: Binning) -> pd.DataFrame:
    # scikit-learn's calibration_curve gives no counts, which the error needs, and its quantile bins split ties.
    index = (
        _equal_mass(scores, n_bins) if strategy == "quantile" else np.minimum((scores * n_bins).astype(int), n_bins - 1)
    )
    rows = np.bincount(index, minlength=n_bins)
    filled = rows > 0
    sums = {"predicted": scores, "observed": truth}
    table = {name: np.bincount(index, values, n_bins)[filled] / rows[filled] for name, values in sums.items()}
    return pd.DataFrame({**table, "rows": rows[filled]})


def _equal_mass(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """(N,) the bin of each row: where the middle of the rows with its score falls, in whole numbers (no rounding)."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    twice_the_middle = 2 * counts.cumsum() - counts
    return (twice_the_middle * n_bins // (2 * len(scores)))[index] if len(scores) else index


def _check_bins(n_bins: int, strategy: str) -> None:
    check_count("n_bins", n_bins)
    check_choice("strategy", strategy, ("uniform", "quantile"))
