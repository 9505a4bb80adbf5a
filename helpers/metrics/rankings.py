"""Scores of the order: rankings of a row's labels, and the curves of one label's rows."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from helpers.arguments import as_numbers, check_mapping
from helpers.metrics.checks import Table, checked, checked_curve, complete_rows
from helpers.metrics.classification import auc_by_label, mean_of_scored


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


def auc_by_head(targets: Table, probabilities: Mapping[str, Table]) -> pd.Series:
    """ROC AUC of every head: of a binary head as it is, of a categorical one the mean over its classes.

    A head of C >= 3 classes has one AUC a class, that class against all others, and their mean counts (scikit-learn's
    `multi_class="ovr", average="macro"`); a class that does not occur is left out of it. A head of two classes has one,
    that of class 1, so that it can be set beside a binary head.

    Args:
        targets: (N, H), one column per head in the order of `probabilities`: 0 or 1, class numbers 0 to C - 1 for a
            categorical head, NaN where unknown.
        probabilities: {head: (N, C)}, C = 1 for a binary head, as `loops.predict_proba` gives them.

    Returns:
        (H,) by head; NaN for a head of which one class only is known.

    Raises:
        ValueError: shapes that do not fit, a target that is no class of its head, a probability outside [0, 1].

    Examples:
        >>> import numpy as np
        >>> from helpers import metrics
        >>> targets = np.array([[1, 2], [0, 0], [0, 1], [1, 0]])  # a yes-or-no head, and one of three classes
        >>> toxic = np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> level = np.array([[0.1, 0.2, 0.7], [0.6, 0.2, 0.2], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])
        >>> metrics.auc_by_head(targets, {"toxic": toxic, "level": level}).to_dict()
        {'toxic': 0.75, 'level': 1.0}
    """
    truth, given = as_numbers("targets", targets), check_mapping("probabilities", probabilities, keys="head")
    tables = {name: as_numbers(f"probabilities of head {name!r}", table) for name, table in given.items()}
    if truth.ndim != 2 or truth.shape[1] != len(tables):
        raise ValueError(f"targets {truth.shape} must be (N, {len(tables)}), a column for each of {list(tables)}")
    areas = {
        name: _head_auc(name, column, table) for (name, table), column in zip(tables.items(), truth.T, strict=True)
    }
    return pd.Series(areas, dtype=float, name="auc").rename_axis("head")


def mean_head_auc(targets: Table, probabilities: Mapping[str, Table]) -> float:
    """Mean over heads of `auc_by_head`, each weighing the same.

    A UserWarning names heads of which one class only is known; they are left out.

    Args:
        targets: (N, H), as `auc_by_head` takes them.
        probabilities: {head: (N, C)}.

    Returns:
        The mean; NaN when no head has two classes.

    Raises:
        ValueError: as `auc_by_head`.

    Examples:
        >>> import numpy as np
        >>> from helpers import metrics
        >>> targets, toxic = np.array([[1], [0], [0], [1]]), np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> metrics.mean_head_auc(targets, {"toxic": toxic})
        0.75
    """
    areas = auc_by_head(targets, probabilities)
    return mean_of_scored("mean_head_auc", areas.to_numpy(), areas.index)


def _head_auc(name: str, column: np.ndarray, table: np.ndarray) -> float:
    """AUC of one head from its targets (N,) and probabilities (N, C); a ValueError names the head."""
    if table.ndim != 2 or len(table) != len(column):
        raise ValueError(f"head {name!r}: probabilities {table.shape} must be ({len(column)}, C)")
    size, known = max(table.shape[1], 2), ~np.isnan(column)
    if not np.isin(column[known], np.arange(size)).all():
        raise ValueError(f"head {name!r}: targets must be 0 to {size - 1}, or NaN where unknown")
    values = [1] if size == 2 else list(range(size))
    against = np.column_stack([np.where(known, column == value, np.nan) for value in values])
    places = [min(value, table.shape[1] - 1) for value in values]
    try:
        return float(auc_by_label(against, table[:, places]).mean())
    except ValueError as error:
        raise ValueError(f"head {name!r}: {error}") from error
