"""Scores of each label and their means, of the decisions, of heads, and the points of one label's curves."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from helpers.arguments import as_numbers, check_choice, check_mapping
from helpers.metrics.checks import Table, Threshold, checked, checked_curve, confusion, decide, precision_recall_f


def label_report(
    targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None, threshold: Threshold = 0.5
) -> pd.DataFrame:
    """All scores of each label, from the rows where that label is known.

    A ratio with nothing to divide by is 0.0: precision where the model never predicts the label, recall and F1 where no
    row has the label. Where one class only is known, `auc` and `average_precision` are NaN; where no row is known, so
    are all.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.
        threshold: one for all labels, or (L,), for precision, recall and F1; inf never predicts the label.

    Returns:
        By label: `auc`, `average_precision`, `precision`, `recall`, `f1`, `support` (positives), `rows` (known).

    Raises:
        ValueError: shapes or names differ, zero rows, a target not 0, 1 or NaN, a probability NaN or outside [0, 1]
            (the first one's row and label are named), a threshold that does not fit.

    Examples:
        >>> import pandas as pd
        >>> from helpers import metrics
        >>> targets = pd.DataFrame({"toxic": [1, 0, 1, 0], "insult": [1, 0, 0, 0]})
        >>> probabilities = [[0.9, 0.6], [0.2, 0.1], [0.4, 0.7], [0.3, 0.2]]
        >>> metrics.label_report(targets, probabilities).round(2)
                 auc  average_precision  precision  recall    f1  support  rows
        label
        toxic   1.00                1.0        1.0     0.5  0.67        2     4
        insult  0.67                0.5        0.5     1.0  0.67        1     4
    """
    truth, scores, names = checked(targets, probabilities, labels)
    decided = decide(scores, threshold, names)
    parts = precision_recall_f(confusion(truth, decided))
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1"), parts, strict=True)), index=names)
    table.insert(0, "auc", _fast_auc(truth, scores))
    table.insert(1, "average_precision", list(map(_average_precision, truth.T, scores.T)))
    table["support"], table["rows"] = (truth == 1).sum(axis=0), (~np.isnan(truth)).sum(axis=0)
    if alone := table.index[table["auc"].isna()].tolist():
        message = f"one class only among the known targets of {alone}: their auc and average_precision are NaN"
        warnings.warn(message, UserWarning, stacklevel=2)
    return table


def auc_by_label(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> pd.Series:
    """ROC AUC of every label at once, as `sklearn.metrics.roc_auc_score` column by column, several times as fast.

    It is the Mann-Whitney U statistic: the share of pairs of a row with and a row without the label in which the row
    with the label scores higher, a tie counting 0.5 (Hanley and McNeil 1982). It gives no warning, so that a
    bootstrap can call it a thousand times.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        (L,) indexed by label; NaN where a label has one class only.

    Raises:
        ValueError: as `label_report`.

    Examples:
        >>> from helpers import metrics
        >>> targets, probabilities = [[1, 1], [0, 0], [1, 0], [0, 0]], [[0.9, 0.6], [0.2, 0.1], [0.4, 0.7], [0.3, 0.2]]
        >>> metrics.auc_by_label(targets, probabilities, labels=["toxic", "insult"]).round(3).to_dict()
        {'toxic': 1.0, 'insult': 0.667}
    """
    truth, scores, names = checked(targets, probabilities, labels)
    return pd.Series(_fast_auc(truth, scores), index=names, name="auc")


def mean_auc(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> float:
    """Mean column-wise ROC AUC, the score of Kaggle's Jigsaw toxic comment challenge (2018).

    Labels with one class only have no AUC: a UserWarning names them and says how many labels were counted.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        labels: L names for the warning; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        The mean over the labels with both classes; NaN when there is none.

    Raises:
        ValueError: as `label_report`.

    Examples:
        >>> from helpers import metrics
        >>> metrics.mean_auc([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.1], [0.4, 0.0]])
        0.75
        >>> metrics.mean_auc([[1, 0], [0, 1]], [[2.2, -1.4], [-0.8, -2.2]])
        Traceback (most recent call last):
            ...
        ValueError: probabilities: row 0, label 0 (from 0) is 2.2; must be a number in [0, 1] (logits need a sigmoid)
    """
    truth, scores, names = checked(targets, probabilities, labels)
    return _mean_of_scored("mean_auc", _fast_auc(truth, scores), names)


def mean_average_precision(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> float:
    """Mean over labels of average precision (scikit-learn's step-wise sum), the area under precision by recall.

    Guessing scores a label's share of positives here, not 0.5, so easy rows of a rare label do not raise the score.
    Arguments, result, warning and errors are those of `mean_auc`.

    Examples:
        >>> from helpers import metrics
        >>> metrics.mean_average_precision([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.1], [0.4, 0.0]])
        0.75
    """
    truth, scores, names = checked(targets, probabilities, labels)
    values = np.array(list(map(_average_precision, truth.T, scores.T)))
    return _mean_of_scored("mean_average_precision", values, names)


def subset_accuracy(targets: Table, probabilities: Table, *, threshold: Threshold = 0.5) -> float:
    """Share of rows with all labels decided rightly (exact match); rows with any unknown label are left out.

    Where most rows have no label at all, predicting all negatives scores well: compare with that baseline.

    Raises:
        ValueError: as `label_report`, or no row has all its labels known.

    Examples:
        >>> from helpers import metrics
        >>> accuracy = metrics.subset_accuracy([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.1], [0.4, 0.0]])
        >>> round(accuracy, 3)  # two rows of three
        0.667
    """
    truth, decided = _decided(targets, probabilities, threshold)
    complete = ~np.isnan(truth).any(axis=1)
    if not complete.any():
        raise ValueError(f"targets {truth.shape} have no row with all labels known")
    return float((truth == decided)[complete].all(axis=1).mean())


def label_accuracy(targets: Table, probabilities: Table, *, threshold: Threshold = 0.5) -> float:
    """Share of right decisions among all known entries of the table: 1 - Hamming loss.

    This is the accuracy that many tutorials print. With 4 % positives, a model that never predicts the label has 0.96.

    Raises:
        ValueError: as `label_report`, or no entry is known.

    Examples:
        >>> import numpy as np
        >>> from helpers import metrics
        >>> targets = np.zeros((100, 1))
        >>> targets[:4] = 1
        >>> metrics.label_accuracy(targets, np.zeros((100, 1)))  # it never predicts the label
        0.96
    """
    truth, decided = _decided(targets, probabilities, threshold)
    return float((truth == decided)[~np.isnan(truth)].mean())


def f1(
    targets: Table, probabilities: Table, *, average: Literal["macro", "micro"] = "macro", threshold: Threshold = 0.5
) -> float:
    """F1 of the decisions over the known entries.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        average: "macro", the mean of the labels' F1, each label weighing the same; or "micro", F1 of all decisions
            together, in which frequent labels decide.
        threshold: one for all labels, or (L,).

    Returns:
        F1. With nothing to divide by it is 0.0, so a label without positives pulls the macro mean down, as in
        scikit-learn; a label with no known row at all is left out of it.

    Raises:
        ValueError: as `label_report`, another `average`, or no entry is known.

    Examples:
        >>> from helpers import metrics
        >>> targets, probabilities = [[1, 0], [0, 1], [1, 0]], [[0.9, 0.2], [0.6, 0.4], [0.8, 0.0]]
        >>> metrics.f1(targets, probabilities)  # 0.8 of the first label, 0 of the second
        0.4
        >>> metrics.f1(targets, probabilities, threshold=[0.7, 0.3])
        1.0
    """
    check_choice("average", average, ("macro", "micro"))
    truth, decided = _decided(targets, probabilities, threshold)
    if average == "micro":
        truth, decided = truth.ravel(), decided.ravel()
    return float(np.nanmean(precision_recall_f(confusion(truth, decided))[2]))


def roc_points(targets: Table, probabilities: Table) -> pd.DataFrame:
    """The corners of one label's ROC curve, from (0, 0) to (1, 1) (`sklearn.metrics.roc_curve`).

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].

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
    fpr, tpr, thresholds = sk.roc_curve(*checked_curve(targets, probabilities))
    return pd.DataFrame({"fpr": fpr, "tpr": tpr, "threshold": thresholds})


def precision_recall_points(targets: Table, probabilities: Table) -> pd.DataFrame:
    """The points of one label's precision-recall curve, recall falling (`sklearn.metrics.precision_recall_curve`).

    Draw it as steps (`drawstyle="steps-post"`): precision between two points is not on the line that joins them.

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].

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
    precision, recall, thresholds = sk.precision_recall_curve(*checked_curve(targets, probabilities))
    return pd.DataFrame({"recall": recall, "precision": precision, "threshold": np.append(thresholds, np.inf)})


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
        >>> from helpers.metrics.classification import auc_by_head
        >>> targets = np.array([[1, 2], [0, 0], [0, 1], [1, 0]])  # a yes-or-no head, and one of three classes
        >>> toxic = np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> level = np.array([[0.1, 0.2, 0.7], [0.6, 0.2, 0.2], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])
        >>> auc_by_head(targets, {"toxic": toxic, "level": level}).to_dict()
        {'toxic': 0.75, 'level': 1.0}
    """
    truth, heads = as_numbers("targets", targets), check_mapping("probabilities", probabilities, keys="head")
    if truth.ndim != 2 or truth.shape[1] != len(heads):
        raise ValueError(f"targets {truth.shape} must be (N, {len(heads)}), a column for each of {list(heads)}")
    areas = {name: _head_auc(name, column, heads[name]) for name, column in zip(heads, truth.T, strict=True)}
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
        >>> from helpers.metrics.classification import mean_head_auc
        >>> targets, toxic = np.array([[1], [0], [0], [1]]), np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> mean_head_auc(targets, {"toxic": toxic})
        0.75
    """
    areas = auc_by_head(targets, probabilities)
    return _mean_of_scored("mean_head_auc", areas.to_numpy(), areas.index)


def _fast_auc(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(L,) AUC from rank sums, in whole numbers until the last division; 5 to 20 times as fast as scikit-learn's.

    Floats that are not negative sort like their bits read as whole numbers. So score and class fit into one key, and a
    plain sort, much faster than an argsort, carries the class along. With positives last among ties their positions are
    the highest ranks of the ties, with positives first the lowest; the mean of both is the tied rank. Unknown entries
    sort behind everything and look like negatives.
    """
    known, positive = ~np.isnan(truth).T, (truth == 1).T
    positives, one = positive.sum(axis=1), np.uint64(1)
    negatives = known.sum(axis=1) - positives
    keys = np.where(known, scores.T, np.inf).view(np.uint64) << one  # the sign of -0.0 falls off
    ranks = np.arange(1, len(truth) + 1)
    highest = (np.sort(keys | positive, axis=1) & one).astype(np.int64) @ ranks
    lowest = (~np.sort(keys | ~positive, axis=1) & one).astype(np.int64) @ ranks
    pairs = positives * negatives
    area = (highest + lowest - positives * (positives + 1)) / (2 * np.maximum(pairs, 1))
    return np.where(pairs > 0, area, np.nan)


def _average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of one label from targets (N,) and probabilities (N,); NaN where one class only is known."""
    known = ~np.isnan(truth)
    both = len(np.unique(truth[known])) == 2
    return float(sk.average_precision_score(truth[known], scores[known])) if both else np.nan


def _mean_of_scored(what: str, values: np.ndarray, names: pd.Index) -> float:
    """Mean of the values that are not NaN, NaN when there is none; a UserWarning names those left out."""
    left_out = names[np.isnan(values)].tolist()
    if left_out:
        counted = len(values) - len(left_out)
        message = f"{what} leaves out {left_out}, of which one class only is known; labels counted: {counted}"
        warnings.warn(message, UserWarning, stacklevel=3)
    return float("nan") if len(left_out) == len(values) else float(np.nanmean(values))


def _decided(targets: Table, probabilities: Table, threshold: Threshold) -> tuple[np.ndarray, np.ndarray]:
    """Targets and decisions, both (N, L); ValueError where no target is known."""
    truth, scores, names = checked(targets, probabilities)
    if np.isnan(truth).all():
        raise ValueError(f"targets {truth.shape} hold no known entry (all are NaN)")
    return truth, decide(scores, threshold, names)


def _head_auc(name: str, column: np.ndarray, probabilities: Table) -> float:
    """AUC of one head from its targets (N,) and probabilities (N, C); a ValueError names the head."""
    table = as_numbers(f"probabilities of head {name!r}", probabilities)
    if table.ndim != 2 or len(table) != len(column):
        raise ValueError(f"head {name!r}: probabilities {table.shape} must be ({len(column)}, C)")
    size, known = max(table.shape[1], 2), ~np.isnan(column)
    if not np.isin(column[known], np.arange(size)).all():
        raise ValueError(f"head {name!r}: targets must be 0 to {size - 1}, or NaN where unknown")
    classes = np.array([1]) if size == 2 else np.arange(size)  # against all others, one by one
    against = np.where(known[:, None], column[:, None] == classes, np.nan)
    names = (f"head {name!r}: targets", f"head {name!r}: probabilities")
    truth, scores, _ = checked(against, table[:, np.minimum(classes, table.shape[1] - 1)], names=names)
    return float(pd.Series(_fast_auc(truth, scores)).mean())
