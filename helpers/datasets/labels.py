"""Which columns of a table are its text and its labels: named once, carried in `DataFrame.attrs`, never guessed."""

import html
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from helpers.arguments import check_choice, check_count, check_names, check_table, is_numeric
from helpers.datasets.reading import DataError, rows_in_words
from helpers.text import mask

OnEmpty = Literal["error", "drop"]

TEXT = "comment_text"
_LABEL_WORDS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}
_UNKNOWN_WORDS = ("-1", "-1.0", "")


def as_comments(
    frame: pd.DataFrame,
    *,
    text: str | None = None,
    labels: Iterable[str] | None = None,
    allow_unknown: bool = False,
    on_empty: OnEmpty = "error",
) -> pd.DataFrame:
    """Turn any table in memory into a table of comments: name its text and label columns, and validate them.

    All later functions find the two in `attrs["text"]` and `attrs["labels"]`, which pandas keeps when rows or columns
    are chosen, and in Parquet and pickle files. `pd.concat` of tables with different `attrs`, `pd.DataFrame(dict)` and
    CSV files lose them: call this function again.

    Args:
        frame: N rows; other columns stay as they are.
        text: the column that holds the text; None takes the one that the table carries, or `comment_text`.
        labels: the label columns, of 0 and 1 in any type (integers, truth values, floats, categories, pandas' nullable
            and pyarrow types, the words "0" and "1"); missing cells are unknown. None takes those that the table
            carries.
        allow_unknown: accept -1 and empty texts in label columns as unknown too.
        on_empty: `error` or `drop` rows without text.

    Returns:
        A new table with the same columns, index and order; labels are int8, or float32 with NaN where some are unknown.

    Raises:
        DataError: a column that is missing, named twice or has both roles, a row without text, another label than 0, 1
            and unknown; the message names row and column.

    Examples:
        >>> import pandas as pd
        >>> from helpers import datasets
        >>> frame = pd.DataFrame({"body": ["Thank you", "Go away"], "rude": [False, True], "year": [2025, 2026]})
        >>> mails = datasets.as_comments(frame, text="body", labels=["rude"])
        >>> datasets.label_names(mails), mails["rude"].tolist()
        (['rude'], [0, 1])
    """
    names, column = label_names(frame, labels), text_column(frame, text)
    if column in names:
        raise DataError(f"column {column!r} cannot be both the text and a label: correct text= or labels=")
    return validated(frame, text=column, labels=names, on_empty=on_empty, allow_unknown=allow_unknown)


def validated(
    frame: pd.DataFrame,
    *,
    text: Hashable,
    labels: Sequence[Hashable],
    on_empty: OnEmpty,
    allow_unknown: bool,
    file: str = "",
) -> pd.DataFrame:
    """Check texts and labels and name their columns in a copy; DataError names file, row and column."""
    check_choice("on_empty", on_empty, ("error", "drop"))
    cells = frame[text].tolist()
    empty = np.array([isinstance(cell, str) and not cell.strip() for cell in cells], dtype=bool)
    if on_empty == "drop":
        empty |= frame[text].isna().to_numpy(dtype=bool)
    elif empty.any():
        raise DataError(f"{file}{rows_in_words(np.flatnonzero(empty))}: column {text} is empty; pass on_empty='drop'")
    if empty.any():
        cells = ["" if is_empty else cell for cell, is_empty in zip(cells, empty, strict=True)]
    _check_texts(cells, text)
    if empty.all():
        raise DataError(f"{file}no row has a text")
    # A file is checked as a whole; in a table in memory, rows that are dropped need no labels.
    options: dict[str, Any] = {"file": file, "skipped": empty & (not file), "allow_unknown": allow_unknown}
    values = {name: label_values(frame[name], name, **options) for name in labels}
    result = (frame[~empty] if empty.any() else frame).copy()
    for name in labels:
        result[name] = as_stored(values[name][~empty])
    return named(result, text=text, labels=labels)


def label_names(frame: pd.DataFrame, labels: Iterable[str] | None = None) -> list[Any]:
    """Return the names of the label columns: those that are passed, or those that the table carries.

    `load_comments`, `load_reviews`, `load_templates` and `as_comments` name them in `attrs["labels"]`; a column that is
    added later is no label, whatever it holds.

    Args:
        frame: a table of comments.
        labels: other label columns than the table carries, or those of a table that carries none.

    Raises:
        DataError: the table carries no names and none are passed, or a name is missing from the table or appears twice.

    Examples:
        >>> from helpers import datasets
        >>> comments = datasets.load_comments()
        >>> datasets.label_names(comments)
        ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult', 'identity_hate']
        >>> datasets.label_names(comments.assign(long=comments["comment_text"].str.len() > 500))[-1]
        'identity_hate'
    """
    check_table("frame", frame, empty=True)
    carried = labels is None
    if carried and (labels := frame.attrs.get("labels")) is None:
        raise DataError(f"the table does not say which of its columns are labels. {_way_out(frame)}")
    names = check_names("labels", labels)
    columns = [_named_column(frame, name) for name in names]
    if absent := [name for name, column in zip(names, columns, strict=True) if column is None]:
        reason = "were dropped or renamed" if carried else "are no columns"
        raise DataError(f"labels {absent} {reason}: the table has {list(frame.columns)}. {_way_out(frame)}")
    return columns


def text_column(frame: pd.DataFrame, text: str | None = None) -> Any:  # noqa: ANN401
    """Return the name of the text column: the one that is passed, the one that the table carries, or `comment_text`.

    Raises:
        DataError: the table has no such column, or has it twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import datasets
        >>> datasets.labels.text_column(datasets.load_comments())
        'comment_text'
        >>> datasets.labels.text_column(pd.DataFrame({"body": ["Hello"]}))
        Traceback (most recent call last):
            ...
        helpers.datasets.reading.DataError: no text column 'comment_text': the table has ['body']. Name it with text=...
    """
    check_table("frame", frame, empty=True)
    name = text if text is not None else frame.attrs.get("text", TEXT)
    column = _named_column(frame, name)
    if column is None:
        raise DataError(f"no text column {name!r}: the table has {list(frame.columns)}. Name it with text=...")
    return column


def comment_texts(frame: pd.DataFrame, text: str | None = None) -> list[str]:
    """Split off the texts of a table; DataError names rows whose cell is missing or no text."""
    column = text_column(frame, text)
    return _check_texts(frame[column].tolist(), column)


def _check_texts(cells: list[Any], name: object) -> list[str]:
    if bad := [row for row, cell in enumerate(cells) if not isinstance(cell, str)]:
        is_missing = pd.isna(cells[bad[0]]) is True
        what = "has no text" if is_missing else f"holds {cells[bad[0]]!r:.50} where a text is expected"
        raise DataError(f"{rows_in_words(bad)}: column {name} {what}; fill or drop such rows")
    return cells


def label_matrix(
    frame: pd.DataFrame, labels: Iterable[str] | None = None, *, allow_unknown: bool = False
) -> np.ndarray:
    """Return the labels of a table as numbers, whatever type its columns have.

    Args:
        frame: a table of comments, N rows.
        labels: L label columns; None takes those that the table carries.
        allow_unknown: accept -1 and empty texts as unknown, beside missing cells.

    Returns:
        (N, L) float32 of 0, 1 and NaN (unknown).

    Raises:
        DataError: as `label_names`; another value, with its row and column.

    Examples:
        >>> import pandas as pd
        >>> from helpers import datasets
        >>> frame = pd.DataFrame({"rude": pd.array([True, None], dtype="boolean"), "late": ["0", "1"]})
        >>> datasets.labels.label_matrix(frame, ["rude", "late"]).tolist()
        [[1.0, 0.0], [nan, 1.0]]
    """
    names = label_names(frame, labels)
    return np.column_stack([label_values(frame[name], name, allow_unknown=allow_unknown) for name in names])


def label_values(
    column: pd.Series,
    name: object,
    *,
    file: str = "",
    first: int = 0,
    skipped: np.ndarray | bool = False,
    allow_unknown: bool = False,
    words: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Parse a label column of any type to (N,) float32 of 0, 1 and NaN.

    Args:
        column: N cells.
        name: of the column, for messages.
        file: what messages begin with.
        first: row number of the first cell, for messages.
        skipped: (N,) True where any cell is accepted, as unknown.
        allow_unknown: accept -1 and empty texts as unknown, beside missing cells.
        words: further words, in lower case, that mean 0 or 1.

    Raises:
        DataError: another value; the message names row and column.
    """
    missing = column.isna().to_numpy(dtype=bool) | skipped
    if is_numeric(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        unknown = values == -1
    else:
        cells = column.astype(object).where(~missing, "0").astype(str).str.strip().str.lower()
        values = cells.map(_LABEL_WORDS | dict(words or {})).to_numpy(dtype=np.float64)
        unknown = cells.isin(_UNKNOWN_WORDS).to_numpy(dtype=bool)
    bad = np.flatnonzero(~(np.isin(values, (0, 1)) | missing | (unknown & allow_unknown)))
    if len(bad):
        cell = str(column.iloc[bad[0]]).strip()
        message = f"{file}{rows_in_words(bad + first)}: column {name} holds {cell!r} where a label is"
        if words:
            raise DataError(f"{message} {' or '.join(map(repr, words))} (or 0 or 1)")
        hint = "; pass allow_unknown=True if it marks an unknown label" if unknown[bad[0]] else ""
        raise DataError(f"{message} 0 or 1{hint}. If {name} is no label, name the label columns with labels=[...]")
    return np.where(missing | unknown, np.nan, values).astype(np.float32)


def as_stored(values: np.ndarray) -> np.ndarray:
    """Return labels as a table holds them: int8, or float32 where some are unknown."""
    return values if np.isnan(values).any() else values.astype(np.int8)


def named(frame: pd.DataFrame, *, text: Hashable, labels: Iterable[Any]) -> pd.DataFrame:
    """Write into a table which of its columns are the text and the labels, and return it."""
    frame.attrs |= {"text": text, "labels": list(labels)}
    return frame


def refuse_other_rows(frame: pd.DataFrame, name: str, values: object) -> None:
    """Raise DataError where a Series has another index than the table, so that its rows may be in another order."""
    if isinstance(values, pd.Series) and not values.index.equals(frame.index):
        raise DataError(
            f"{name} has another index than the table, so its rows may be in another order; pass {name}.to_numpy() if "
            "they are in the table's order"
        )


def _named_column(frame: pd.DataFrame, name: object) -> Any:  # noqa: ANN401
    """The name of a column as plain Python, which JSON can hold; None where the table has no such column."""
    if not isinstance(name, Hashable) or name not in frame.columns:
        return None
    index = frame.columns.get_loc(name)
    if not isinstance(index, int):
        raise DataError(f"column {name!r} appears more than once in the table; rename or drop one")
    return frame.columns.tolist()[index]


def _way_out(frame: pd.DataFrame) -> str:
    """How to name the label columns, with those that could be meant."""
    fitting = [name for index, name in enumerate(frame.columns) if _could_be_label(frame.iloc[:, index])]
    shown = f"{fitting[:8]}"[:-1] + (", ...]" if len(fitting) > 8 else "]") if fitting else "[...]"
    return f"Pass labels={shown}, or name the columns once: datasets.as_comments(table, text=..., labels={shown})"


def _could_be_label(column: pd.Series) -> bool:
    try:
        return not np.isnan(label_values(column, "")).all()
    except DataError:
        return False


def check_columns(
    file: str, columns: Sequence[str] | pd.Index, needed: Sequence[str], others: Sequence[str] | pd.Index = ()
) -> None:
    """Raise DataError unless `columns` holds all of `needed` and nothing beyond them and `others`."""
    if missing := [column for column in needed if column not in columns]:
        raise DataError(
            f"{file}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; found "
            f"{', '.join(map(str, columns))}. If a column has another name, say so with text=, id= or labels="
        )
    if extra := [str(column) for column in columns if column not in needed and column not in others]:
        raise DataError(
            f"{file}: extra column{'s' * (len(extra) > 1)} {', '.join(extra)}: "
            "name them in keep=[...] to carry them along, or in drop=[...]"
        )


def tidy(
    frame: pd.DataFrame,
    file: str,
    *,
    text: str,
    id_column: str | None,
    labels: Sequence[str],
    keep: Sequence[str] = (),
    on_empty: OnEmpty = "error",
    allow_unknown: bool = False,
) -> pd.DataFrame:
    """Check ids, texts and labels, name the columns and put them in order. Raises DataError with file and row."""
    names = ["id", TEXT, *labels, *keep]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"{file}: {', '.join(twice)} would appear twice in the table of id, comment_text, labels and keep; "
            "rename the column in the file, or leave it out with drop=[...]"
        )
    ids = _ids(frame, file, id_column)
    options: dict[str, Any] = {"on_empty": on_empty, "allow_unknown": allow_unknown, "file": f"{file}: "}
    rows = validated(frame, text=text, labels=labels, **options)
    columns = {"id": ids[rows.index], TEXT: frame[text][rows.index], **{name: rows[name] for name in (*labels, *keep)}}
    return named(pd.DataFrame(columns).reset_index(drop=True), text=TEXT, labels=labels)


def _ids(frame: pd.DataFrame, file: str, column: str | None) -> pd.Series:
    numbers = pd.Series(np.arange(1, len(frame) + 1).astype(str), index=frame.index).str.zfill(len(str(len(frame))))
    if column is None:
        return "row-" + numbers
    ids = frame[column].where(frame[column].ne(""), "row-" + numbers)
    repeated = ids.duplicated(keep=False)
    if repeated.any():
        first = ids[repeated].iloc[0]
        raise DataError(
            f"{file}: column {column}: id {first!r} stands in {rows_in_words(np.flatnonzero(ids.eq(first)))}; "
            f"{repeated.sum():,} rows share their id with another. Remove the repeats, or number the rows with "
            f"id=None, drop=[{column!r}]"
        )
    return ids


def as_html(
    frame: pd.DataFrame,
    *,
    labels: Iterable[str] | None = None,
    text: str | None = None,
    most: int = 300,
    masked: bool = False,
) -> str:
    """Comments as an HTML list in which nothing of a comment can run: mark-up is escaped, formulas are not typeset.

    Args:
        frame: a table of comments.
        labels: label columns whose positives are named before the text, unknown ones with `?`; None for none.
        text: the text column; None takes the one that the table carries, or `comment_text`.
        most: characters shown of a text.
        masked: show the texts as `mask` gives them.

    Returns:
        HTML for `IPython.display.HTML`.

    Raises:
        ValueError: no table, a column that it does not have, an entry that is no text, or `most` below 1.

    Examples:
        >>> import pandas as pd
        >>> from helpers import datasets
        >>> frame = pd.DataFrame({"comment_text": ["<b>Fool!</b>"], "toxic": [1]})
        >>> print(datasets.as_html(frame, labels=["toxic"]))
        <ul ...><li><b>toxic</b> <span ...>&lt;b&gt;Fool!&lt;/b&gt;</span></li></ul>
    """
    check_count("most", most)
    names = [] if labels is None else check_names("labels", labels, empty=True)
    verdicts = [_verdict(row, names) for row in label_matrix(frame, names)] if names else [""] * len(frame)
    items = []
    for verdict, whole in zip(verdicts, comment_texts(frame, text), strict=True):
        head = f"<b>{html.escape(verdict)}</b> " if names else ""
        cut = whole[:most] + ("…" if len(whole) > most else "")
        shown = html.escape(mask(cut) if masked else cut)
        items.append(f"<li>{head}<span style='white-space: pre-wrap'>{shown}</span></li>")
    return f"<ul class='mathjax_ignore tex2jax_ignore'>{''.join(items)}</ul>"


def _verdict(row: np.ndarray, labels: Sequence[str]) -> str:
    tags = [str(label) for label, value in zip(labels, row, strict=True) if value == 1]
    unknown = [f"{label}?" for label, value in zip(labels, row, strict=True) if np.isnan(value)]
    return ", ".join(tags + unknown) or "clean"
