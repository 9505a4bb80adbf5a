"""Split a table into train, valid and test so that every label keeps its share; downsample clean rows."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from helpers.datasets.balanced import balanced_sample
from helpers.datasets.duplicates import duplicate_groups, near_duplicate_groups
from helpers.datasets.reading import DataError, rows_in_words
from helpers.datasets.validation import label_names

KeepTogether = Literal["duplicates", "near-duplicates"] | Sequence[object] | np.ndarray | pd.Series | None


class Split(NamedTuple):
    """Three tables with the columns of the table that was split, rows in its order.

    Examples:
        >>> from helpers import datasets
        >>> train, valid, test = datasets.split(datasets.load_comments(), valid=0.1, test=0.1)
        >>> len(train), len(valid), len(test)
        (6400, 800, 800)
    """

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


def split(
    frame: pd.DataFrame,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    stratify: bool = True,
    keep_together: KeepTogether = None,
) -> Split:
    """Split rows at random into train, valid and test.

    With `stratify`, equal rows (same labels) are dealt out in exact proportion, and what is left over is drawn by
    balanced sampling (the cube method of Deville and Tillé 2004): each row has the same chance of each part, whatever
    its labels. Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) is the usual way; it decides row by row,
    and loses its balance where rows have many labels.

    Args:
        frame: a table of comments, N rows.
        valid: share of the rows for `valid`, from 0 to 1.
        test: share of the rows for `test`; the rest is `train`.
        seed: the same seed and table give the same split.
        labels: label columns; None takes those of the table. An unknown label (NaN) counts as absent.
        stratify: False draws rows regardless of their labels.
        keep_together: `duplicates` or `near-duplicates` keeps such rows in one part; (N,) group names, such as the
            authors of the comments, keep each group in one part.

    Returns:
        The three parts. When rows are dealt singly, each label's positives are within a few rows of their share, those
        of rare labels within one to three.

    Raises:
        DataError: shares out of range, a part without rows, unknown label columns, group names that are missing or of
            another number than the rows.

    Examples:
        >>> from helpers import datasets
        >>> parts = datasets.split(datasets.load_comments(), keep_together="near-duplicates")
        >>> len(parts.train) + len(parts.valid) + len(parts.test)
        8000
        >>> bool(parts.train["id"].isin(parts.test["id"]).any())
        False
    """
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise DataError(f"valid={valid} and test={test} must be 0 or more and leave a share for train (sum below 1)")
    shares = np.array([1 - valid - test, valid, test])
    rng = np.random.default_rng(seed)
    positives = _positives(frame, labels) if stratify else np.zeros((len(frame), 0))
    unit_of_row = _groups(frame, keep_together)
    units = _sum_by(unit_of_row, np.column_stack([np.ones(len(frame)), positives]))
    part = _deal(units, shares, rng)[unit_of_row]
    for number, share in enumerate(shares):
        if share > 0 and not (part == number).any():
            raise DataError(f"{len(frame):,} rows leave none for {Split._fields[number]} at a share of {share:.3g}")
    return Split(*(frame[part == number].reset_index(drop=True) for number in range(3)))


def balance(frame: pd.DataFrame, *, clean: int, seed: int = 0, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Keep every row with at least one label and a random sample of the rows without any.

    For training rows only: scores on balanced rows say nothing of natural ones. The published tagging tutorial with
    Lightning keeps 15,000 clean rows.

    Args:
        frame: a table of comments.
        clean: number of rows without a label to keep.
        seed: the same seed and table give the same rows.
        labels: label columns; None takes those of the table. A row whose labels are all absent or unknown is clean.

    Returns:
        The rows kept, in the table's order.

    Raises:
        DataError: fewer clean rows than asked for, or no row with a label.

    Examples:
        >>> from helpers import datasets
        >>> comments = datasets.load_comments()
        >>> balanced = datasets.balance(comments, clean=500)
        >>> labels = datasets.label_names(comments)
        >>> int(balanced[labels].eq(0).all(axis=1).sum())
        500
        >>> bool((balanced[labels].sum() == comments[labels].sum()).all())  # no positive is lost
        True
    """
    tagged = _positives(frame, labels).any(axis=1)
    if not tagged.any():
        raise DataError(f"no row has a label ({', '.join(labels or label_names(frame))}): nothing to balance")
    without = np.flatnonzero(~tagged)
    if clean != int(clean) or not 0 <= clean <= len(without):
        raise DataError(f"clean={clean:,}, and the table has {len(without):,} rows without a label")
    chosen = np.random.default_rng(seed).permutation(without)[: int(clean)]
    rows = np.sort(np.concatenate([np.flatnonzero(tagged), chosen]))
    return frame.iloc[rows].reset_index(drop=True)


def share_table(parts: Split, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """How each label's positives fall on the parts.

    Args:
        parts: what `split` gave.
        labels: label columns; None takes those of the tables.

    Returns:
        One row for `rows` and one a label; columns `train`, `valid`, `test` (counts), then `train %` and so on.

    Examples:
        >>> from helpers import datasets
        >>> table = datasets.share_table(datasets.split(datasets.load_comments()))
        >>> table.loc["rows", ["train", "valid", "test"]].astype(int).tolist()
        [6400, 800, 800]
    """
    names = list(labels) if labels is not None else label_names(parts.train)
    counts = pd.DataFrame(
        {name: [len(part), *part[names].sum().astype(int)] for name, part in zip(Split._fields, parts, strict=True)},
        index=["rows", *names],
    )
    percent = counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0).mul(100).add_suffix(" %")
    return pd.concat([counts, percent], axis=1)


def _positives(frame: pd.DataFrame, labels: Sequence[str] | None) -> np.ndarray:
    """Where each label is present, (N, L) bool; unknown is absent."""
    names = list(labels) if labels is not None else label_names(frame)
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(f"no label column {', '.join(map(str, missing))}; the table has {', '.join(frame.columns)}")
    if words := [name for name in names if not pd.api.types.is_numeric_dtype(frame[name].infer_objects())]:
        raise DataError(
            f"label columns {', '.join(map(str, words))} hold no numbers: 0, 1 and NaN (unknown) are needed"
        )
    return frame[names].eq(1).fillna(False).to_numpy(dtype=bool)


def _groups(frame: pd.DataFrame, keep_together: KeepTogether) -> np.ndarray:
    """The number of the group that each row belongs to, (N,); every row is its own when none is asked for."""
    if keep_together is None:
        return np.arange(len(frame))
    if isinstance(keep_together, str):
        grouping = {"duplicates": duplicate_groups, "near-duplicates": near_duplicate_groups}.get(keep_together)
        if grouping is None:
            raise DataError(
                f"keep_together={keep_together!r}: choose 'duplicates', 'near-duplicates' or pass group names"
            )
        if (gone := frame["comment_text"].isna()).any():
            raise DataError(f"keep_together: {rows_in_words(np.flatnonzero(gone))} without a text; fill or drop them")
        return grouping(frame["comment_text"].tolist())
    groups = pd.Series(list(keep_together), dtype=object)
    if len(groups) != len(frame):
        raise DataError(f"keep_together has {len(groups):,} group names, the table has {len(frame):,} rows")
    if groups.isna().any():
        missing = rows_in_words(np.flatnonzero(groups.isna()))
        raise DataError(f"keep_together: {missing} without a group name; give each of these a name of its own")
    try:
        return pd.factorize(groups)[0]
    except TypeError as error:
        raise DataError(
            f"keep_together: a group name is of a kind that cannot be compared ({error}); join it to text"
        ) from error


def _sum_by(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum the rows of `values` (N, C) by group number (N,): (groups, C)."""
    sums = np.zeros((group.max() + 1 if len(group) else 0, values.shape[1]))
    np.add.at(sums, group, values)
    return sums


def _deal(units: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal units to parts. `units` (U, 1 + L): rows and positives of each unit; returns the part of each, (U,)."""
    kinds, kind_of_unit, copies = np.unique(units, axis=0, return_inverse=True, return_counts=True)
    kind_of_unit = kind_of_unit.ravel()
    order = rng.permutation(len(units))
    order = order[np.argsort(kind_of_unit[order], kind="stable")]
    whole = np.floor(copies[:, None] * shares + 1e-9).astype(int)
    part = np.full(len(units), -1)
    rank = np.arange(len(units)) - np.repeat(np.cumsum(copies) - copies, copies)
    edges = np.cumsum(whole, axis=1)[np.repeat(np.arange(len(kinds)), copies)]
    dealt = (rank[:, None] >= edges).sum(axis=1)
    part[order] = np.where(dealt < len(shares), dealt, -1)
    owed = np.maximum(copies[:, None] * shares - whole, 0)[kind_of_unit]
    rarest_first = units[:, [0, *(np.argsort(units[:, 1:].sum(axis=0), kind="stable") + 1)]]
    for number in range(len(shares) - 1, 0, -1):
        rest = np.flatnonzero(part < 0)
        if len(rest):
            chances = owed[rest, number] / np.maximum(owed[rest, : number + 1].sum(axis=1), 1e-12)
            part[rest[balanced_sample(rarest_first[rest], np.minimum(chances, 1), rng)]] = number
    return np.maximum(part, 0)
