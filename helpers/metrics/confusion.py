"""Precision, recall and F-beta over confusion counts: the one place where the package computes them.

Counts may be numbers or arrays of any one shape: labels, resamples or thresholds at once, which scikit-learn's
functions do not take.
"""

from typing import NamedTuple

import numpy as np


class Confusion(NamedTuple):
    """Counts of a confusion matrix, or arrays of them.

    Attributes:
        tp: true positives.
        fp: false positives.
        fn: false negatives.
        tn: true negatives.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray


def confusion_cells(truth: np.ndarray, decided: np.ndarray) -> Confusion:
    """Say of each decision, 0 or 1, which cell it is in; in none where the truth is NaN (unknown)."""
    yes = decided == 1
    return Confusion((truth == 1) & yes, (truth == 0) & yes, (truth == 1) & ~yes, (truth == 0) & ~yes)


def confusion(truth: np.ndarray, decided: np.ndarray) -> Confusion:
    """Count each column of decisions (N, ...), 0 or 1, against the truth (N, ...) of 0, 1 and NaN (unknown)."""
    return Confusion(*(cell.sum(axis=0) for cell in confusion_cells(truth, decided)))


def precision_recall_f(counts: Confusion, *, beta: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F-beta of counts: 0.0 with nothing to divide by, NaN where nothing was counted at all.

    Examples:
        >>> from helpers.metrics.confusion import Confusion, precision_recall_f
        >>> [float(score) for score in precision_recall_f(Confusion(tp=1, fp=1, fn=0, tn=2))]
        [0.5, 1.0, 0.6666666666666666]
    """
    tp, fp, fn, tn = map(np.asarray, counts)
    nothing, weight = tp + fp + fn + tn == 0, beta**2
    ratios = [(tp, tp + fp), (tp, tp + fn), ((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp)]
    precision, recall, f = (np.where(nothing, np.nan, part / np.where(whole > 0, whole, 1)) for part, whole in ratios)
    return precision, recall, f
