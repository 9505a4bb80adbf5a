"""Load film reviews, one label: is the verdict positive?"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import config
from helpers.datasets.columns import OnEmpty, column_list
from helpers.datasets.landmarks import imdb_parts
from helpers.datasets.reading import DataError, RawFile, find_file, parse_csv, read_file, rows_in_words
from helpers.datasets.validation import check_columns, tidy

IMDB_ROWS_PER_SUBSET = 25_000
_ADVICE = (
    "Fetch it: python -m helpers download imdb\nor put imdb.csv (review,sentiment,split) into data/imdb/, "
    "or name a folder that holds imdb/ in COURSE_DATA"
)


def load_reviews(
    source: str | Path = "sample",
    *,
    subset: str | None = None,
    text: str = "review",
    sentiment: str = "sentiment",
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    on_empty: OnEmpty = "error",
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """Load and validate a table of reviews.

    Args:
        source: `sample` (bundled, authored), `imdb` (looked for as `config.data_folders` says), or the path of a `.csv`
            or `.zip` file of your own.
        subset: `train` or `test`, where the file has a column `split`; None takes all rows.
        text: the column that holds the text.
        sentiment: the column that holds `positive` and `negative`, or 1 and 0.
        keep: further columns to carry along, after the label.
        drop: further columns to leave out.
        on_empty: `error` or `drop` rows without text.
        encoding: of the file.

    Returns:
        The columns that `load_comments` gives, with the single label `positive` (int8), so that every later function
        takes comments and reviews alike. Ids are row numbers of the file unless it has a column `id`.
        `attrs["source"]` says what was loaded.

    Raises:
        FileNotFoundError: no such file; the message says how to get it.
        DataError: the file cannot be trusted, has no rows of that subset, or says of IMDB's train rows that they are
            test rows (by its column `split`, or by its name where it has none).

    Examples:
        >>> from helpers import datasets
        >>> reviews = datasets.load_reviews()
        >>> list(reviews.columns), round(float(reviews["positive"].mean()), 2)
        (['id', 'comment_text', 'positive'], 0.5)
    """
    keep, drop = column_list("keep", keep), column_list("drop", drop)
    raw, title = _find(source)
    frame = parse_csv(raw, text_columns=[text, sentiment, "id"], encoding=encoding)
    optional = [c for c in ("id", "split") if c in frame.columns]
    check_columns(raw.name, frame.columns, [text, sentiment, *keep], [*optional, *drop])
    _refuse_swapped(frame, raw.name, text)
    verdicts = _verdicts(frame[sentiment], raw.name, sentiment)
    if "positive" in (text, *keep):
        raise DataError(f"{raw.name}: the name 'positive' is taken by the label; rename that column in the file")
    frame = frame.assign(positive=verdicts)
    carried = [*keep, "split"] if subset and "split" in frame.columns and "split" not in keep else list(keep)
    id_column = "id" if "id" in frame.columns else None
    result = tidy(frame, raw.name, text=text, id_column=id_column, labels=["positive"], keep=carried, on_empty=on_empty)
    if subset:
        result = _of_subset(result, raw.name, subset)
    result = result.drop(columns=[c for c in carried if c not in keep])
    result.attrs["source"] = f"{_origin(title, subset, len(result))}: {len(result):,} rows"
    return result


def _find(source: str | Path) -> tuple[RawFile, str]:
    if source == "sample":
        path = find_file(
            config.bundled_folders(),
            ["reviews.csv"],
            "It is part of the course's repository: git checkout data/reviews.csv",
        )
        return read_file(path), "bundled sample"
    if source == "imdb":
        folders = [folder / "imdb" for folder in config.data_folders()]
        return read_file(find_file(folders, ["imdb.csv", "imdb.csv.zip"], _ADVICE)), "IMDB"
    return read_file(source), Path(source).name


def _verdicts(column: pd.Series, name: str, label: str) -> pd.Series:
    words = column.str.strip().str.lower()
    verdicts = words.map({"positive": 1, "negative": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0})
    bad = np.flatnonzero(verdicts.isna().to_numpy())
    if len(bad):
        raise DataError(
            f"{name}: {rows_in_words(bad)}: column {label} holds {column.iloc[bad[0]]!r} where a verdict is "
            "'positive' or 'negative' (or 1 or 0)"
        )
    return verdicts.astype(np.int64)


def _of_subset(frame: pd.DataFrame, name: str, subset: str) -> pd.DataFrame:
    if "split" not in frame.columns:
        raise DataError(f"{name}: subset={subset!r} needs a column 'split', and there is none")
    chosen = frame[frame["split"].eq(subset)].reset_index(drop=True)
    if chosen.empty:
        found = ", ".join(sorted(map(str, frame["split"].unique())))
        raise DataError(f"{name}: no row of subset {subset!r}; the column 'split' holds {found}")
    return chosen


def _refuse_swapped(frame: pd.DataFrame, name: str, text: str) -> None:
    """IMDB's train and test rows are alike, as many and as many positive; only their texts tell that they were swapped.

    Rows that somebody has dealt anew, so that some are where they were, pass.
    """
    named = re.findall(r"(?<![a-z])(?:train|test)(?![a-z])", re.split(r"[/\\\\]", name)[-1].lower())
    if "split" in frame.columns:
        where, said = "its column 'split'", frame["split"].astype(str).tolist()
    elif len(named) == 1:
        where, said = "its name", named * len(frame)
    else:
        return
    known = {row: part for row, part in imdb_parts(frame[text]).items() if said[row] in ("train", "test")}
    if known and all(said[row] != part for row, part in known.items()):
        row, part = next(iter(known.items()))
        raise DataError(
            f"{name}: row {row + 1} is a {part} row of IMDB, and {where} says {said[row]!r}: the parts are swapped"
        )


def _origin(title: str, subset: str | None, rows: int) -> str:
    if title != "IMDB":
        return title
    whole = IMDB_ROWS_PER_SUBSET * (1 if subset else 2)
    words = f"IMDB {subset or 'train and test'}"
    return f"{words}, whole" if rows == whole else f"part of {words}, which has {whole:,} rows"
