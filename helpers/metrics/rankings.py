"""Scores of the order: rankings of a row's labels, and the curves of one label's rows."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from helpers.metrics.checks import Table, checked, checked_curve, complete_rows


def ranking_loss(targets: Table, probabilities: Table) -> float:
    """Mean share of a row's (true, false) label pairs in the wrong order or tied; 0 is best.

    Rows with all labels or none have no such pair and count as 0; rows with any unknown label are left out
    (`sklearn.metrics.label_ranking_loss`; Tsoumakas, Katakis, Vlahavas 2010).

    Raises:
        ValueError: as `label_report`, a single label, or no row has all its labels known.

    Examples:
        >>> from helpers import metrics
        >>> metrics.ranking_loss([[1, 0, 0]], [[0.5, 0.9, 0.1]])  # one pair of two is in the wrong order
        0.5
    """
    return _ranking(sk.label_ranking_loss, targets, probabilities)


def coverage_error(targets: Table, probabilities: Table) -> float:
    """How many labels, from the most probable down, one must read on average to have met all true ones of a row.

    Best is the mean number of labels a row. Rows without labels count as 0; rows with any unknown label are left out
    (`sklearn.metrics.coverage_error`; Tsoumakas, Katakis, Vlahavas 2010).

    Raises:
        ValueError: as `label_report`, a single label, or no row has all its labels known.

    Examples:
        >>> from helpers import metrics
        >>> metrics.coverage_error([[1, 0, 0], [0, 1, 1]], [[0.5, 0.9, 0.1], [0.1, 0.8, 0.7]])
        2.0
    """
    return _ranking(sk.coverage_error, targets, probabilities)


def label_ranking_average_precision(targets: Table, probabilities: Table) -> float:
    """For each true label of a row, the share of true ones among the labels ranked as high or higher; 1 is best.

    Rows with all labels or none count as 1: where nine rows in ten have no label, random scores exceed 0.9. Rows with
    any unknown label are left out (`sklearn.metrics.label_ranking_average_precision_score`).

    Raises:
        ValueError: as `label_report`, a single label, or no row has all its labels known.

    Examples:
        >>> from helpers import metrics
        >>> metrics.label_ranking_average_precision([[1, 0, 0], [0, 1, 1]], [[0.5, 0.9, 0.1], [0.1, 0.8, 0.7]])
        0.75
    """
    return _ranking(sk.label_ranking_average_precision_score, targets, probabilities)


def roc_points(targets: Table, scores: Table) -> pd.DataFrame:
    """The corners of one label's ROC curve, from (0, 0) to (1, 1) (`sklearn.metrics.roc_curve`).

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        scores: (N,) in [0, 1].

    Returns:
        `fpr`, `tpr`, and the `threshold` from which they result; the first threshold is inf (never yes).

    Raises:
        ValueError: shapes that are not (N,) and equal, zero rows, bad values, or one class only.

    Examples:
        >>> from helpers import metrics
        >>> metrics.roc_points([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6])
           fpr  tpr  threshold
        0  0.0  0.0        inf
        1  0.0  0.5        0.9
        2  0.5  0.5        0.6
        3  0.5  1.0        0.4
        4  1.0  1.0        0.2
    """
    truth, known_scores = checked_curve(targets, scores)
    return pd.DataFrame(dict(zip(("fpr", "tpr", "threshold"), sk.roc_curve(truth, known_scores), strict=True)))


def precision_recall_points(targets: Table, scores: Table) -> pd.DataFrame:
    """The points of one label's precision-recall curve, recall falling (`sklearn.metrics.precision_recall_curve`).

    Draw it as steps (`drawstyle="steps-post"`): precision between two points is not on the line that joins them.

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        scores: (N,) in [0, 1].

    Returns:
        `recall`, `precision`, and the `threshold` from which they result; the last row, recall 0 and precision 1, is
        a convention, with threshold inf (never yes).

    Raises:
        ValueError: shapes that are not (N,) and equal, zero rows, bad values, or one class only.

    Examples:
        >>> from helpers import metrics
        >>> metrics.precision_recall_points([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6]).round(2)
           recall  precision  threshold
        0     1.0       0.50        0.2
        1     1.0       0.67        0.4
        2     0.5       0.50        0.6
        3     0.5       1.00        0.9
        4     0.0       1.00        inf
    """
    truth, known_scores = checked_curve(targets, scores)
    precision, recall, thresholds = sk.precision_recall_curve(truth, known_scores)
    return pd.DataFrame({"recall": recall, "precision": precision, "threshold": np.append(thresholds, np.inf)})


def _ranking(score: Callable[..., float], targets: Table, probabilities: Table) -> float:
    truth, scores, names = checked(targets, probabilities)
    if len(names) < 2:
        raise ValueError(f"a ranking of labels needs two or more, targets have shape {truth.shape}")
    complete = complete_rows(truth)
    return float(score(truth[complete].astype(int), scores[complete]))
