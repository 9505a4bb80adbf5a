"""What every metric asks of its input, and how a probability becomes a decision."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.arguments import as_numbers, check_names, names_other_rows

if TYPE_CHECKING:
    import torch

Table: TypeAlias = "ArrayLike | pd.DataFrame | torch.Tensor"
Threshold: TypeAlias = "float | Sequence[float] | np.ndarray | pd.Series | torch.Tensor"


def checked(
    targets: Table, probabilities: Table, labels: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """Targets and probabilities as float (N, L), and the L label names.

    Names come from `labels` and from the columns of DataFrames; where several give them, they must agree in order.

    Raises:
        ValueError: shapes, values or names of labels or rows that do not fit, zero rows; the message says which.
    """
    truth, scores = as_numbers("targets", targets), as_numbers("probabilities", probabilities)
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise ValueError(f"targets {truth.shape} and probabilities {scores.shape}: both must be (N, L), the same")
    _check_values(truth, scores)
    tables = {"targets": targets, "probabilities": probabilities}
    check_same_rows(**tables)
    named = {what: list(t.columns) for what, t in tables.items() if hasattr(t, "columns") and _is_named(t.columns)}
    named |= {"labels": check_names("labels", labels, size=truth.shape[1])} if labels is not None else {}
    (first, names), *others = named.items() or [("default", list(range(truth.shape[1])))]
    for what, columns in others:
        if columns != names:
            raise ValueError(
                f"{first} are for {names}, {what} for {columns}: expected the same labels in the same order"
            )
    if len(names) != truth.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"labels {names} must be {truth.shape[1]} different names, one per column of {truth.shape}")
    return truth, scores, pd.Index(names, name="label")


def check_same_rows(**tables: "Table | None") -> None:
    """ValueError where two tables name their rows otherwise, or the same rows in another order.

    Rows that are only numbered from 0 have no names, so they fit any others except these numbers in another order.
    """
    named = [(what, t.index) for what, t in tables.items() if isinstance(t, pd.DataFrame | pd.Series)]
    for (first, index), (what, other) in combinations(named, 2):
        if names_other_rows(index, other):
            reason = "are both of the same rows, in the same order? If so, reset_index(drop=True)"
            raise ValueError(f"the rows of {what} are named otherwise than those of {first}: {reason}")


def decide(scores: np.ndarray, threshold: Threshold, names: pd.Index) -> np.ndarray:
    """(N, L) of 0 and 1: 1 where the score is at least the threshold; ValueError for a threshold that does not fit."""
    least = as_numbers("threshold", threshold)
    if least.shape not in ((), (len(names),)):
        raise ValueError(f"threshold has shape {least.shape}: expected one number, or {len(names)}, one per label")
    if isinstance(threshold, pd.Series) and _is_named(threshold.index) and list(threshold.index) != list(names):
        raise ValueError(f"threshold is for {list(threshold.index)}, the labels are {list(names)}")
    if not (((least >= 0) & (least <= 1)) | (least == np.inf)).all():
        raise ValueError(f"threshold {least.tolist()}: each must lie in [0, 1], or be inf (never yes)")
    return (scores >= least).astype(int)


def known_entries(truth: np.ndarray) -> np.ndarray:
    """(N, L) True where the target is known; ValueError when nowhere."""
    known = ~np.isnan(truth)
    if not known.any():
        raise ValueError(f"targets {truth.shape} hold no known entry (all are NaN)")
    return known


def complete_rows(truth: np.ndarray) -> np.ndarray:
    """(N,) True where all labels of the row are known; ValueError when nowhere."""
    complete = ~np.isnan(truth).any(axis=1)
    if not complete.any():
        raise ValueError(f"targets {truth.shape} have no row with all labels known")
    return complete


def checked_curve(targets: Table, scores: Table) -> tuple[np.ndarray, np.ndarray]:
    """One label's known targets and their scores, both (K,); ValueError when that makes no curve."""
    truth, numbers = as_numbers("targets", targets), as_numbers("scores", scores)
    check_same_rows(targets=targets, scores=scores)
    if truth.ndim != 1 or truth.shape != numbers.shape:
        raise ValueError(f"targets {truth.shape} and scores {numbers.shape}: both must be (N,), of one label")
    _check_values(truth[:, None], numbers[:, None])
    known = ~np.isnan(truth)
    if len(np.unique(truth[known])) < 2:
        raise ValueError(f"no curve: the {known.sum()} known targets of {len(truth)} hold one class only")
    return truth[known], numbers[known]


def _is_named(index: pd.Index) -> bool:
    return not index.equals(pd.RangeIndex(len(index)))


def _check_values(truth: np.ndarray, scores: np.ndarray) -> None:
    if not truth.size:
        raise ValueError(f"nothing to score: targets {truth.shape} hold zero rows or zero labels")
    _refuse("targets", truth, ~((truth == 0) | (truth == 1) | np.isnan(truth)), "0, 1 or NaN (unknown; not -1)")
    _refuse("probabilities", scores, ~((scores >= 0) & (scores <= 1)), "a number in [0, 1] (logits need a sigmoid)")


def _refuse(what: str, values: np.ndarray, bad: np.ndarray, wanted: str) -> None:
    if bad.any():
        row, label = np.argwhere(bad)[0]
        raise ValueError(f"{what}: row {row}, label {label} (from 0) is {values[row, label]}; must be {wanted}")


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
        >>> from helpers.metrics.checks import Confusion, precision_recall_f
        >>> [float(score) for score in precision_recall_f(Confusion(tp=1, fp=1, fn=0, tn=2))]
        [0.5, 1.0, 0.6666666666666666]
    """
    tp, fp, fn, tn = map(np.asarray, counts)
    nothing, weight = tp + fp + fn + tn == 0, beta**2
    ratios = [(tp, tp + fp), (tp, tp + fn), ((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp)]
    precision, recall, f = (np.where(nothing, np.nan, part / np.where(whole > 0, whole, 1)) for part, whole in ratios)
    return precision, recall, f
