"""Scores of each label and their means; scores of the yes/no decisions."""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from helpers.arguments import check_choice
from helpers.metrics.checks import (
    Table,
    Threshold,
    checked,
    complete_rows,
    confusion,
    decide,
    known_entries,
    precision_recall_f,
)


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
    table.insert(1, "average_precision", _average_precisions(truth, scores))
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
    return mean_of_scored("mean_auc", _fast_auc(truth, scores), names)


def mean_average_precision(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> float:
    """Mean over labels of average precision (scikit-learn's step-wise sum), the area under precision by recall.

    Guessing scores a label's share of positives here, not 0.5, so easy rows of a rare label do not raise the score.
    Labels with one class only are left out, as in `mean_auc`.

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
        >>> metrics.mean_average_precision([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.1], [0.4, 0.0]])
        0.75
    """
    truth, scores, names = checked(targets, probabilities, labels)
    return mean_of_scored("mean_average_precision", _average_precisions(truth, scores), names)


def subset_accuracy(targets: Table, probabilities: Table, *, threshold: Threshold = 0.5) -> float:
    """Share of rows with all labels decided rightly (exact match); rows with any unknown label are left out.

    Where most rows have no label at all, predicting all negatives scores well: compare with that baseline.

    Raises:
        ValueError: as `label_report`, or no row has all its labels known.

    Examples:
        >>> from helpers import metrics
        >>> found = metrics.subset_accuracy([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.1], [0.4, 0.0]])
        >>> round(found, 3)  # two rows of three
        0.667
    """
    truth, scores, names = checked(targets, probabilities)
    complete = complete_rows(truth)
    return float(sk.accuracy_score(truth[complete].astype(int), decide(scores, threshold, names)[complete]))


def hamming_loss(targets: Table, probabilities: Table, *, threshold: Threshold = 0.5) -> float:
    """Share of wrong decisions among all known entries of the table, one decision a row and label.

    Raises:
        ValueError: as `label_report`, or no entry is known.

    Examples:
        >>> from helpers import metrics
        >>> metrics.hamming_loss([[1, 0], [0, 1]], [[0.9, 0.2], [0.3, 0.1]])  # one decision of four is wrong
        0.25
    """
    return float(sk.hamming_loss(*_known_decisions(targets, probabilities, threshold)))


def label_accuracy(targets: Table, probabilities: Table, *, threshold: Threshold = 0.5) -> float:
    """Share of right decisions among all known entries of the table: 1 - `hamming_loss`.

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
    return float(sk.accuracy_score(*_known_decisions(targets, probabilities, threshold)))


def f1(
    targets: Table,
    probabilities: Table,
    *,
    average: Literal["macro", "micro"] = "macro",
    threshold: Threshold = 0.5,
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
    truth, scores, names = checked(targets, probabilities)
    decided = decide(scores, threshold, names)
    known_entries(truth)  # refuses what has none
    if average == "micro":
        truth, decided = truth.ravel(), decided.ravel()
    return float(np.nanmean(precision_recall_f(confusion(truth, decided))[2]))


def _fast_auc(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(L,) AUC from rank sums, in whole numbers until the last division.

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


def _average_precisions(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    result = np.full(truth.shape[1], np.nan)
    for i in range(truth.shape[1]):
        known = ~np.isnan(truth[:, i])
        if len(np.unique(truth[known, i])) == 2:
            result[i] = sk.average_precision_score(truth[known, i], scores[known, i])
    return result


def mean_of_scored(what: str, values: np.ndarray, names: pd.Index) -> float:
    """Mean of the values that are not NaN, NaN when there is none; a UserWarning names those left out."""
    left_out = names[np.isnan(values)].tolist()
    if left_out:
        counted = len(values) - len(left_out)
        message = f"{what} leaves out {left_out}, of which one class only is known; labels counted: {counted}"
        warnings.warn(message, UserWarning, stacklevel=3)
    return float("nan") if len(left_out) == len(values) else float(np.nanmean(values))


def _known_decisions(targets: Table, probabilities: Table, threshold: Threshold) -> tuple[np.ndarray, np.ndarray]:
    truth, scores, names = checked(targets, probabilities)
    known = known_entries(truth)
    return truth[known].astype(int), decide(scores, threshold, names)[known]
