"""Scores of one label for many resamples at once, from sums of the rows' weights.

ROC AUC and average precision need the weights between one score of a positive and the next; F1, precision and recall
need those of the right and the wrong decisions. A sparse matrix product makes them for R resamples.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from helpers.metrics.confusion import Confusion, confusion_cells, precision_recall_f

RANKINGS = ("auc", "average_precision")
DECISIONS = ("f1", "precision", "recall")
METRICS = [*RANKINGS, *DECISIONS]


def plan(metric: str, truth: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function of weights (N, R) that gives the label's score in each resample, (R,), NaN where it has none.

    Args:
        metric: one of `METRICS`.
        truth: (N,) of 0, 1 and NaN (unknown).
        scores: (N,) in [0, 1]; for decisions 0 and 1.
    """
    if metric in RANKINGS:
        positives, negatives = _steps(truth, scores)
        score = {"auc": _auc, "average_precision": _average_precision}[metric]
        return lambda weights: _of_both_classes(score, positives @ weights, negatives @ weights)
    outcomes, index = _outcomes(truth, scores), ("precision", "recall", "f1").index(metric)
    return lambda weights: precision_recall_f(Confusion(*(outcomes @ weights)))[index]


def _steps(truth: np.ndarray, scores: np.ndarray) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Matrices that sum weights (N, R) over the positives (G, R) and the negatives (2G + 1, R) of one label.

    G is the number of different scores among the positives, in ascending order. The positives are summed at each; the
    negatives by turns between two of these scores, and at one (ties).
    """
    steps = np.unique(scores[truth == 1])
    place = np.searchsorted(steps, scores, "left") + np.searchsorted(steps, scores, "right")
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    parts = [(positive, place[positive] // 2, len(steps)), (negative, place[negative], 2 * len(steps) + 1)]
    one = np.ones(len(truth), dtype=np.int64)
    first, second = (sparse.csr_array((one[rows], (at, rows)), shape=(n, len(truth))) for rows, at, n in parts)
    return first, second


def _of_both_classes(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray], positives: np.ndarray, negatives: np.ndarray
) -> np.ndarray:
    scorable = positives.any(axis=0) & negatives.any(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(scorable, score(positives, negatives), np.nan)


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(R,) share of (positive, negative) pairs in the right order, ties one half, from the sums of `_steps`."""
    below = negatives.cumsum(axis=0)
    wins = positives * (below[:-1:2] + below[1::2])
    return wins.sum(axis=0) / (2 * positives.sum(axis=0) * below[-1])


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(R,) precision at each score of a positive, weighted by the positives there, from the sums of `_steps`."""
    true = positives[::-1].cumsum(axis=0)[::-1]
    false = negatives[::-1].cumsum(axis=0)[::-1][1::2]
    precision = true / np.maximum(true + false, 1)
    return (positives * precision).sum(axis=0) / positives.sum(axis=0)


def _outcomes(truth: np.ndarray, decided: np.ndarray) -> sparse.csr_array:
    """A matrix that sums weights (N, R) over the cells of the confusion matrix, to (4, R)."""
    return sparse.csr_array(np.array(confusion_cells(truth, decided), dtype=np.int64))
