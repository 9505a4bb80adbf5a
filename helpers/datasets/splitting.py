"""Split a table into train, valid and test so that every label keeps its share; draw fewer rows."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from helpers.arguments import check_count, check_number, check_table
from helpers.datasets.labels import comment_texts, label_matrix, label_names, refuse_other_rows, text_column
from helpers.datasets.near_duplicates import duplicate_groups, near_duplicate_groups
from helpers.datasets.reading import DataError, rows_in_words

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
    labels: Iterable[str] | None = None,
    text: str | None = None,
    stratify: bool = True,
    groups: KeepTogether = None,
) -> Split:
    """Split rows at random into train, valid and test.

    With `stratify`, equal rows (same labels) are dealt out in exact proportion, and what is left over is drawn by
    balanced sampling (the cube method of Deville and Tillé 2004): each row has the same chance of each part, whatever
    its labels. Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) is the usual way; it decides row by row,
    and loses its balance where rows have many labels.

    Args:
        frame: a table of comments with any index, N rows.
        valid: share of the rows for `valid`, from 0 to 1.
        test: share of the rows for `test`; the rest is `train`.
        seed: the same seed and table give the same split.
        labels: label columns to stratify by; None takes those that the table carries. An unknown label is absent.
        text: the column that duplicates are found in; None takes the one that the table carries, or `comment_text`.
        stratify: False draws rows regardless of their labels.
        groups: `duplicates` or `near-duplicates` keeps such rows in one part; (N,) group names, such as the
            authors of the comments, keep each group in one part. A Series must have the index of the table.

    Returns:
        The three parts, rows numbered from 0. They carry the names of the table's text and label columns, or `labels`
        and `text` where it carries none. When rows are dealt singly, each label's positives are within a few rows of
        their share, those of rare labels within one to three.

    Raises:
        DataError: shares out of range, a part without rows, unknown label columns, group names that are missing or of
            another number than the rows.

    Examples:
        >>> from helpers import datasets
        >>> parts = datasets.split(datasets.load_comments(), groups="near-duplicates")
        >>> len(parts.train) + len(parts.valid) + len(parts.test)
        8000
        >>> bool(parts.train["id"].isin(parts.test["id"]).any())
        False
    """
    check_table("frame", frame, empty=True)
    valid, test = check_number("valid", valid, at_least=0), check_number("test", test, at_least=0)
    if not valid + test < 1:
        raise DataError(f"valid={valid} and test={test} leave no share for train: their sum must be below 1")
    shares = np.array([1 - valid - test, valid, test])
    rng = np.random.default_rng(check_count("seed", seed, at_least=0))
    labels = None if labels is None else label_names(frame, labels)
    names = _names(frame, labels, text)
    positives = label_matrix(frame, labels) == 1 if stratify else np.zeros((len(frame), 0))
    unit_of_row = _groups(frame, groups, text)
    rows_and_positives = pd.DataFrame(np.column_stack([np.ones(len(frame)), positives]))
    units = rows_and_positives.groupby(unit_of_row).sum().to_numpy()
    part = _deal(units, shares, rng)[unit_of_row]
    for number, share in enumerate(shares):
        if share > 0 and not (part == number).any():
            raise DataError(f"{len(frame):,} rows leave none for {Split._fields[number]} at a share of {share:.3g}")
    return Split(*(_rows(frame, np.flatnonzero(part == number), names) for number in range(3)))


def subsample(comments: pd.DataFrame, rows: int | None, *, seed: int = 0) -> pd.DataFrame:
    """Draw at most so many rows at random; those drawn keep the order that they have in the table.

    Args:
        comments: a table with any columns and any index; `attrs["source"]` says what was drawn.
        rows: how many at most; None for all.
        seed: of the draw.

    Returns:
        The rows drawn, numbered from 0; the table itself where it has no more rows than that.

    Raises:
        ValueError: rows below 1 or no whole number.

    Examples:
        >>> from helpers import datasets
        >>> few = datasets.subsample(datasets.load_comments(), 100)
        >>> len(few), few.attrs["source"]
        (100, 'bundled sample: 8,000 rows, 100 of them drawn')
    """
    check_table("comments", comments, empty=True)
    seed = check_count("seed", seed, at_least=0, at_most=2**32 - 1)
    if rows is None or len(comments) <= check_count("rows", rows):
        return comments
    positions = pd.Series(range(len(comments))).sample(rows, random_state=seed).sort_values()
    drawn = _rows(comments, positions.to_numpy(), comments.attrs)
    drawn.attrs["source"] = f"{comments.attrs.get('source', 'a table')}, {rows:,} of them drawn"
    return drawn


def downsample_negatives(
    frame: pd.DataFrame, *, negatives: int, seed: int = 0, labels: Iterable[str] | None = None
) -> pd.DataFrame:
    """Keep every row with at least one label and a random sample of the rows without any.

    For training rows only: scores on balanced rows say nothing of natural ones. The published tagging tutorial with
    Lightning keeps 15,000 rows without a label.

    Args:
        frame: a table of comments.
        negatives: number of rows without a label to keep.
        seed: the same seed and table give the same rows.
        labels: label columns; None takes those that the table carries. A row whose labels are all absent or unknown
            is clean.

    Returns:
        The rows kept, in the table's order, numbered from 0. They carry its names, or `labels` where it carries none.

    Raises:
        DataError: fewer rows without a label than asked for, or no row with a label.

    Examples:
        >>> from helpers import datasets
        >>> comments = datasets.load_comments()
        >>> balanced = datasets.downsample_negatives(comments, negatives=500)
        >>> labels = datasets.label_names(comments)
        >>> int(balanced[labels].eq(0).all(axis=1).sum())
        500
        >>> bool((balanced[labels].sum() == comments[labels].sum()).all())  # no positive is lost
        True
    """
    names, negatives = label_names(frame, labels), check_count("negatives", negatives, at_least=0)
    tagged = (label_matrix(frame, names) == 1).any(axis=1)
    if not tagged.any():
        raise DataError(f"no row has a label ({', '.join(map(str, names))}): nothing to balance")
    without = np.flatnonzero(~tagged)
    if negatives > len(without):
        raise DataError(f"negatives={negatives:,}, and the table has {len(without):,} rows without a label")
    chosen = np.random.default_rng(check_count("seed", seed, at_least=0)).permutation(without)[:negatives]
    return _rows(frame, np.sort(np.concatenate([np.flatnonzero(tagged), chosen])), _names(frame, names, None))


def label_distribution(parts: Sequence[pd.DataFrame], labels: Iterable[str] | None = None) -> pd.DataFrame:
    """Count each label's positives in each part.

    Args:
        parts: what `split` gave, or three tables.
        labels: label columns; None takes those that the tables carry.

    Returns:
        One row for `rows` and one per label; columns `train`, `valid`, `test` (counts), then `train %` and so on.

    Examples:
        >>> from helpers import datasets
        >>> table = datasets.label_distribution(datasets.split(datasets.load_comments()))
        >>> table.loc["rows", ["train", "valid", "test"]].astype(int).tolist()
        [6400, 800, 800]
    """
    names = label_names(parts[0], labels)
    positives = {
        part: [len(table), *(label_matrix(table, names) == 1).sum(axis=0)]
        for part, table in zip(Split._fields, parts, strict=True)
    }
    counts = pd.DataFrame(positives, index=["rows", *names])
    percent = counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0).mul(100).add_suffix(" %")
    return pd.concat([counts, percent], axis=1)


def _names(frame: pd.DataFrame, labels: Iterable[str] | None, text: str | None) -> dict[Any, Any]:
    """The `attrs` of the parts of a table: its own, and the columns that the caller named where it carries none."""
    attrs = dict(frame.attrs)
    if labels is not None and not set(attrs.get("labels", [None])) <= set(frame.columns):
        attrs["labels"] = list(labels)
    if text is not None and attrs.get("text") not in frame.columns:
        attrs["text"] = text_column(frame, text)
    return attrs


def _rows(frame: pd.DataFrame, positions: np.ndarray, attrs: dict[Any, Any]) -> pd.DataFrame:
    part = frame.iloc[positions].reset_index(drop=True)
    part.attrs = deepcopy(attrs)
    return part


def _groups(frame: pd.DataFrame, groups: KeepTogether, text: str | None) -> np.ndarray:
    """The number of the group that each row belongs to, (N,); every row is its own when none is asked for."""
    if groups is None:
        return np.arange(len(frame))
    if isinstance(groups, str):
        grouping = {"duplicates": duplicate_groups, "near-duplicates": near_duplicate_groups}.get(groups)
        if grouping is None:
            raise DataError(f"groups={groups!r}: choose 'duplicates', 'near-duplicates' or pass group names")
        return grouping(comment_texts(frame, text))
    refuse_other_rows(frame, "groups", groups)
    groups = pd.Series(list(groups), dtype=object)
    if len(groups) != len(frame):
        raise DataError(f"groups has {len(groups):,} group names, the table has {len(frame):,} rows")
    if groups.isna().any():
        missing = rows_in_words(np.flatnonzero(groups.isna()))
        raise DataError(f"groups: {missing} without a group name; give each of these a name of its own")
    try:
        return pd.factorize(groups)[0]
    except TypeError as error:
        raise DataError(f"groups: a group name cannot be compared ({error}); join it to text") from error


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


_EPSILON = 1e-9
_REFRESH = 200
_DROPPED = 0.1


def balanced_sample(columns: np.ndarray, chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw units so that totals of columns over the drawn ones are close to what the chances promise.

    The cube method (Deville, Tillé 2004), in the fast form of Chauvet and Tillé (2006). Chances move at random along
    directions that leave all totals unchanged, until each is 0 or 1; they are a martingale, so that unit k is drawn
    with chance `chances[k]` exactly, whatever its columns. When no direction is left, the last columns are let go.

    Args:
        columns: (U, C) what to balance, the most important column first.
        chances: (U,) each unit's chance of being drawn, from 0 to 1.
        rng: the generator of the draw.

    Returns:
        (U,) bool, True where drawn.
    """
    chances = chances.astype(float).copy()
    order = rng.permutation(len(chances))
    kept = columns.shape[1]
    while True:
        undecided = order[(chances[order] > _EPSILON) & (chances[order] < 1 - _EPSILON)]
        if not len(undecided):
            return chances > 0.5
        if not kept:
            chances[undecided] = rng.random(len(undecided)) < chances[undecided]
            continue
        chances[undecided] = _flight(columns[undecided, :kept].astype(float), chances[undecided], rng)
        kept -= max(1, int(kept * _DROPPED))


def _flight(columns: np.ndarray, chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move chances along directions that keep all C totals, until none is left: at most C stay between 0 and 1.

    As in the simplex method, a basis of undecided units spans the columns of those seen before, and its inverse is
    updated: a step costs C squared, not C cubed.
    """
    n_columns = columns.shape[1]
    basis = np.full(n_columns, -1)  # the unit of each column; -1 while there is none
    inverse = np.eye(n_columns)
    pivots = 0
    for unit in range(len(columns)):
        direction = inverse @ columns[unit]
        free = (basis < 0) & (np.abs(direction) > _EPSILON)
        if free.any():
            index = int(np.abs(np.where(free, direction, 0)).argmax())
        else:
            moving = np.flatnonzero((basis >= 0) & (np.abs(direction) > _EPSILON))
            units = np.append(basis[moving], unit)
            stopped = _move(chances, units, np.append(-direction[moving], 1.0), rng)
            if stopped == len(moving):
                continue
            index = int(moving[stopped])
        basis[index] = unit
        pivots += 1
        if pivots % _REFRESH:
            row = inverse[index] / direction[index]
            inverse -= np.outer(direction, row)
            inverse[index] = row
        else:
            inverse = np.linalg.inv(np.where(basis >= 0, columns[basis].T, np.eye(n_columns)))
    return chances


def _move(chances: np.ndarray, units: np.ndarray, direction: np.ndarray, rng: np.random.Generator) -> int:
    """Step along a direction or against it until a chance is 0 or 1; returns its index in `units`."""
    here = chances[units]
    to_one, to_zero = (1 - here) / np.abs(direction), here / np.abs(direction)
    ahead = np.where(direction > 0, to_one, to_zero)
    back = np.where(direction > 0, to_zero, to_one)
    go = rng.random() * (ahead.min() + back.min()) < back.min()
    room, sign = (ahead, 1) if go else (back, -1)
    stopped = int(room.argmin())
    there = np.clip(here + sign * room[stopped] * direction, 0, 1)
    there[stopped] = round(there[stopped])
    chances[units] = there
    return stopped
