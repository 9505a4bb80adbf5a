"""Load film reviews, one label: is the verdict positive?"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import config
from helpers.datasets.labels import OnEmpty, check_columns, column_list, tidy
from helpers.datasets.reading import DataError, RawFile, find_file, parse_csv, read_file, rows_in_words

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
        result = ", ".join(sorted(map(str, frame["split"].unique())))
        raise DataError(f"{name}: no row of subset {subset!r}; the column 'split' holds {result}")
    return chosen


def _refuse_swapped(frame: pd.DataFrame, name: str, text: str) -> None:
    """IMDB's train and test rows are alike, as many and as many positive; only their texts tell that they were swapped.

    Rows that were dealt anew, so that some are where they were, pass.
    """
    named = re.findall(r"(?<![a-z])(?:train|test)(?![a-z])", re.split(r"[/\\\\]", name)[-1].lower())
    if "split" in frame.columns:
        where, stated = "its column 'split'", frame["split"].astype(str).tolist()
    elif len(named) == 1:
        where, stated = "its name", named * len(frame)
    else:
        return
    known = {row: part for row, part in imdb_parts(frame[text]).items() if stated[row] in ("train", "test")}
    if known and all(stated[row] != part for row, part in known.items()):
        row, part = next(iter(known.items()))
        raise DataError(
            f"{name}: row {row + 1} is a {part} row of IMDB, and {where} says {stated[row]!r}: the parts are swapped"
        )


def _origin(title: str, subset: str | None, rows: int) -> str:
    if title != "IMDB":
        return title
    whole = IMDB_ROWS_PER_SUBSET * (1 if subset else 2)
    words = f"IMDB {subset or 'train and test'}"
    return f"{words}, whole" if rows == whole else f"part of {words}, which has {whole:,} rows"


# The first twelve digits of the SHA-256 of some reviews of each part (those with the smallest digests), and of no text
# that is in both parts.
_LANDMARKS = {
    "train": """
        00008ec0634b 00009d65489a 0000ffd50f73 0001bc097b0b 0002ce5ab06c 0009871ed533 0009b7d19606 000c66ec00d1
        000e2816e6a3 000ea7f0db77 000f4002068b 00133e3752c1 001778a7c9fb 001b077fdd80 001b35e19468 001d329eadab
        001e34957746 001e568f9312 001ed2d1ac8d 001f1ec79027 002220daf631 002241c7df30 0024ade68226 0024ee39e5cb
        002821466269 002824c553dd 0028aabadc4a 002fcc753e7d 003099658281 003103b0425a 003205a3c38b 0037d7d13d89
        0038e218f8f6 00390e422e0a 003ae0d2e7cb 003b87972daf 003d13f96243 003ff86df78e 003ffc2ca0ea 004c1361e2f7
    """,
    "test": """
        0006bbe6e89f 000d8993d10f 000f3b8bfccf 0013fad67e05 0018022564d1 00194b12f555 001a1dda94c9 0020c0dba814
        00311569b240 003c937c9cbf 004df0bce897 004f9273fff8 00536237d72b 00540ae60c38 0055c76bc29b 005ae5eba1e4
        005cba3825ee 006263535670 006c3a353474 006d99aa6b2f 007433c152e2 007688fa0e1a 00769d43c22a 007ae821701f
        007d656cab5b 007eadaf0c3a 00877907e60e 009133a70c39 0095b1d7903d 00a1de8d46ed 00a50f31317b 00a5ed68f5d9
        00a7847518d0 00a8babeaa85 00ac7e0e1694 00b6cd13a828 00b8f1911cda 00c0d48e56b8 00c0f829f37c 00cadbce3ee7
    """,
}
_PART_OF = {digest: part for part, digests in _LANDMARKS.items() for digest in digests.split()}


def imdb_parts(reviews: Iterable[str]) -> dict[int, str]:
    """The rows, counted from 0, whose reviews are known landmarks of IMDB, and the part that they belong to.

    About one review in five hundred is one; a text that is no review of IMDB never is.

    Args:
        reviews: texts as the file has them.

    Returns:
        {row: "train" or "test"}.
    """
    digests = (hashlib.sha256(review.strip().encode("utf-8", "replace")).hexdigest()[:12] for review in reviews)
    return {row: _PART_OF[digest] for row, digest in enumerate(digests) if digest in _PART_OF}
