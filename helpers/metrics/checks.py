"""Check what metrics are given, decide by thresholds, and count: precision, recall and F-beta of a confusion matrix.

Ids, compared as text, tell rows that chose something (a threshold, a calibration) from rows that are to judge it.
"""

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.arguments import as_numbers, check_list, check_names, names_other_rows

if TYPE_CHECKING:
    import torch

Table: TypeAlias = "ArrayLike | pd.DataFrame | torch.Tensor"
Threshold: TypeAlias = "float | Sequence[float] | np.ndarray | pd.Series | torch.Tensor"
Ids: TypeAlias = "Sequence[object] | np.ndarray | pd.Series | torch.Tensor"
NAMES = ("targets", "probabilities")


def checked(
    targets: Table, probabilities: Table, labels: Sequence[str] | None = None, *, names: tuple[str, str] = NAMES
) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """Return targets and probabilities as float (N, L), and the L label names.

    Label names come from `labels` and from the columns of DataFrames; where several give them, they must agree in
    order. `names` are those of the two arguments, for the messages.

    Raises:
        ValueError: shapes, values or names of labels or rows that do not fit, zero rows; the message says which.
    """
    truth, scores = _checked_arrays(targets, probabilities, names, "(N, L), the same", ndim=2)
    columns = {}
    for what, table in zip(names, (targets, probabilities), strict=True):
        if isinstance(table, pd.DataFrame) and _is_named(table.columns):
            columns[what] = check_names(f"columns of {what}", table.columns)
    if labels is not None:
        columns["labels"] = check_names("labels", labels, size=truth.shape[1])
    (first, expected), *others = columns.items() or [("default", list(range(truth.shape[1])))]
    for what, other in others:
        if other != expected:
            labels_of = f"{first} are for {expected}, {what} for {other}"
            raise ValueError(f"{labels_of}: expected the same labels in the same order")
    return truth, scores, pd.Index(expected, name="label")


def checked_label(targets: Table, probabilities: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return one label's targets and probabilities as float (N,); ValueError as `checked`."""
    return _checked_arrays(targets, probabilities, NAMES, "(N,), of one label", ndim=1)


def checked_curve(targets: Table, probabilities: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return one label's known targets and their probabilities, both (K,); ValueError when that makes no curve."""
    truth, scores = checked_label(targets, probabilities)
    known = ~np.isnan(truth)
    if len(np.unique(truth[known])) < 2:
        raise ValueError(f"no curve: the {known.sum()} known targets of {len(truth)} hold one class only")
    return truth[known], scores[known]


def check_same_rows(**tables: "Table | None") -> None:
    """ValueError where two tables name their rows otherwise, or the same rows in another order.

    Rows that are only numbered from 0 have no names, so they fit any others except these numbers in another order.
    """
    indexes = [(what, t.index) for what, t in tables.items() if isinstance(t, pd.DataFrame | pd.Series)]
    for (first, index), (what, other) in combinations(indexes, 2):
        if names_other_rows(index, other):
            reason = "are both of the same rows, in the same order? If so, reset_index(drop=True)"
            raise ValueError(f"the rows of {what} are named otherwise than those of {first}: {reason}")


def id_texts(what: str, ids: Ids, rows: int) -> list[str]:
    """Return the ids of N rows as text: the number 7 is "7", whatever library and type it is of.

    Raises:
        ValueError: not one id per row, or a row without one; it says so of `what`.
    """
    ids = ids.to_pylist() if hasattr(ids, "to_pylist") else ids  # entries of pyarrow hide numbers and missing values
    plain = [one.item() if hasattr(one, "item") else one for one in check_list(what, ids, "ids", size=rows)]
    if (missing := pd.Series(plain, dtype=object).isna()).any():
        raise ValueError(f"{what}: row {missing.to_numpy().argmax()} (from 0) has none")
    return [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in plain]


def refuse_shared(known: Collection[str], others: Sequence[str], complaint: str) -> None:
    """ValueError where ids are on both sides: how many, the complaint, and up to five of them."""
    taken = frozenset(known)
    if both := [one for one in dict.fromkeys(others) if one in taken]:
        shown = ", ".join(map(repr, both[:5])) + (", ..." if len(both) > 5 else "")
        raise ValueError(f"{len(both)} of these rows {complaint} (ids {shown}): take other rows")


def decide(scores: np.ndarray, threshold: Threshold, names: pd.Index, what: str = "threshold") -> np.ndarray:
    """(N, L) of 0 and 1: 1 where the score is at least the threshold; ValueError for a threshold that does not fit."""
    least = as_numbers(what, threshold)
    if least.shape not in ((), (len(names),)):
        raise ValueError(f"{what} has shape {least.shape}: expected one number, or {len(names)}, one per label")
    if isinstance(threshold, pd.Series) and _is_named(threshold.index) and list(threshold.index) != list(names):
        raise ValueError(f"{what} is for {list(threshold.index)}, the labels are {list(names)}")
    if not (((least >= 0) & (least <= 1)) | (least == np.inf)).all():
        raise ValueError(f"{what} {least.tolist()}: each must lie in [0, 1], or be inf (never yes)")
    return (scores >= least).astype(int)


def refuse_cells(
    what: str, values: np.ndarray, bad: np.ndarray, wanted: str, columns: Sequence[object] | None = None
) -> None:
    """ValueError for the first of the bad cells of a table; it names the row, the label or column, and the value."""
    if bad.any():
        row, index = np.argwhere(bad.reshape(len(bad), -1))[0]
        cell = f"row {row}, label {index} (from 0)" if columns is None else f"row {row} (from 0), {columns[index]!r}"
        raise ValueError(f"{what}: {cell} is {values.reshape(len(bad), -1)[row, index]}; must be {wanted}")


def _checked_arrays(
    targets: Table, probabilities: Table, names: tuple[str, str], shape: str, *, ndim: int
) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = as_numbers(names[0], targets), as_numbers(names[1], probabilities)
    if truth.ndim != ndim or truth.shape != scores.shape:
        raise ValueError(f"{names[0]} {truth.shape} and {names[1]} {scores.shape}: both must be {shape}")
    if not truth.size:
        raise ValueError(f"nothing to score: {names[0]} {truth.shape} hold zero rows or zero labels")
    refuse_cells(names[0], truth, ~(np.isin(truth, (0, 1)) | np.isnan(truth)), "0, 1 or NaN (unknown; not -1)")
    refuse_cells(names[1], scores, ~((scores >= 0) & (scores <= 1)), "a number in [0, 1] (logits need a sigmoid)")
    check_same_rows(**dict(zip(names, (targets, probabilities), strict=True)))
    return truth, scores


def _is_named(index: pd.Index) -> bool:
    """Say whether an index holds names; entries that are only numbered from 0 have none."""
    return not index.equals(pd.RangeIndex(len(index)))


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
