"""Validate a parsed table: it becomes `id`, `comment_text`, labels, or is refused with the reason."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.datasets.columns import TEXT, OnEmpty, as_stored, label_values, named
from helpers.datasets.reading import DataError, rows_in_words


def check_columns(
    name: str, found: Sequence[str] | pd.Index, needed: Sequence[str], others: Sequence[str] | pd.Index = ()
) -> None:
    """Raise DataError unless `found` holds all of `needed` and nothing beyond them and `others`."""
    missing = [c for c in needed if c not in found]
    if missing:
        raise DataError(
            f"{name}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; found {', '.join(map(str, found))}"
            ". If a column has another name, say so with text=, id= or labels="
        )
    extra = [str(c) for c in found if c not in needed and c not in others]
    if extra:
        raise DataError(
            f"{name}: extra column{'s' * (len(extra) > 1)} {', '.join(extra)}: "
            "name them in keep=[...] to carry them along, or in drop=[...]"
        )


def tidy(
    frame: pd.DataFrame,
    name: str,
    *,
    text: str,
    id_column: str | None,
    labels: Sequence[str],
    keep: Sequence[str] = (),
    on_empty: OnEmpty = "error",
    allow_unknown: bool = False,
) -> pd.DataFrame:
    """Check ids, texts and labels, name the columns and put them in order. Raises DataError with file and row."""
    if on_empty not in ("error", "drop"):
        raise DataError(f"on_empty={on_empty!r}: choose 'error' or 'drop'")
    columns = ["id", "comment_text", *labels, *keep]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise DataError(
            f"{name}: {', '.join(twice)} would stand twice in the table of id, comment_text, labels and keep; "
            "rename the column in the file, or leave it out with drop=[...]"
        )
    checked = {
        "id": _ids(frame, name, id_column),
        "comment_text": frame[text],
        **{label: _labels(frame[label], label, name, allow_unknown) for label in labels},
        **{column: frame[column] for column in keep},
    }
    result = pd.DataFrame(checked)
    empty = np.flatnonzero(result["comment_text"].str.strip().eq("").to_numpy(dtype=bool))
    if len(empty) and on_empty == "error":
        raise DataError(
            f"{name}: {rows_in_words(empty)}: column {text} is empty. Mend the file, or pass on_empty='drop'"
        )
    if len(empty) == len(result):
        raise DataError(f"{name}: no row has a text")
    result = result.drop(index=empty.tolist()).reset_index(drop=True) if len(empty) else result
    return named(result, text=TEXT, labels=labels)


def _labels(column: pd.Series, label: str, name: str, allow_unknown: bool) -> np.ndarray:
    return as_stored(label_values(column, label, place=f"{name}: ", allow_unknown=allow_unknown))


def _ids(frame: pd.DataFrame, name: str, column: str | None) -> pd.Series:
    numbers = pd.Series(np.arange(1, len(frame) + 1).astype(str), index=frame.index).str.zfill(len(str(len(frame))))
    if column is None:
        return "row-" + numbers
    ids = frame[column].where(frame[column].ne(""), "row-" + numbers)
    repeated = np.flatnonzero(ids.duplicated(keep=False).to_numpy())
    if len(repeated):
        first = ids.iloc[repeated[0]]
        same = np.flatnonzero(ids.eq(first).to_numpy())
        raise DataError(
            f"{name}: column {column}: id {first!r} stands in {rows_in_words(same)}; {len(repeated):,} rows share "
            f"their id with another. Remove the repeats, or number the rows with id=None, drop=[{column!r}]"
        )
    return ids
