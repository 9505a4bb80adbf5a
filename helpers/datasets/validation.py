"""The door of the house: a parsed table becomes `id`, `comment_text`, labels, or is refused with the reason."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from helpers.datasets.reading import DataError, rows_in_words

OnEmpty = Literal["error", "drop"]


def label_names(frame: pd.DataFrame) -> list[str]:
    """The label columns of a table that `load_comments` or `load_reviews` gave: int8 or float32, after the text.

    Raises:
        DataError: the table has no label column, or such a column holds other values than 0, 1 and NaN.

    Examples:
        >>> from helpers import datasets
        >>> datasets.label_names(datasets.load_comments())
        ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult', 'identity_hate']
    """
    names = [c for c in frame.columns if frame[c].dtype in (np.int8, np.float32)]
    for name in names:
        if not frame[name].isin((0, 1)).where(frame[name].notna(), True).all():
            raise DataError(f"column {name} is {frame[name].dtype} like a label and holds other values than 0 and 1")
    if not names:
        raise DataError(f"no label column (int8 or float32) among {list(frame.columns)}: load it with datasets.load_*")
    return names


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
    """Check ids, texts and labels, and put the columns in the house's order. Raises DataError with file and row."""
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
        **{label: _labels(frame[label], name, label, allow_unknown) for label in labels},
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
    return result.drop(index=empty.tolist()).reset_index(drop=True) if len(empty) else result


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


def _labels(column: pd.Series, name: str, label: str, allow_unknown: bool) -> pd.Series:
    if pd.api.types.is_bool_dtype(column) or (pd.api.types.is_integer_dtype(column) and column.isin((0, 1)).all()):
        return column.astype(np.int8)
    words = column.astype(str).str.strip()
    values = words.map({"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0})
    unknown = words.isin(("-1", "-1.0", ""))
    bad = np.flatnonzero((values.isna() & ~(unknown & allow_unknown)).to_numpy())
    if len(bad):
        hint = "; pass allow_unknown=True if it marks an unknown label" if unknown.iloc[bad].all() else ""
        raise DataError(
            f"{name}: {rows_in_words(bad)}: column {label} holds {words.iloc[bad[0]]!r} where a label is 0 or 1{hint}. "
            f"If {label} is no label, name the label columns with labels=[...]"
        )
    return values.astype(np.float32 if unknown.any() else np.int8)
