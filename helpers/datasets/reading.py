"""Read CSV and Parquet files: delimiter, decoding, unzipping, parsing. The only reader of tables.

Every refusal names the file and the row, and says what to do.
"""

import csv
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
import pandas as pd

from helpers.arguments import check_count, check_path

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITER, OTHER_DELIMITERS = ",", ";\t|"
MAX_BYTES, MAX_HEADER, MAX_ZIPS = 4 * 2**30, 2**20, 10
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class DataError(ValueError):
    r"""A data file, table or argument cannot be used; the message names the file, row or column, and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import datasets
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Hello,0\n1,Hello again,0\n")
        >>> try:
        ...     datasets.load_comments("mine.csv")
        ... except datasets.DataError as error:
        ...     print(error)
        mine.csv: column id: id '1' stands in 2 rows (1, 2); ... or number the rows with id=None, drop=['id']
    """


class RawFile(NamedTuple):
    """Bytes of one CSV file and the name by which messages call it."""

    name: str
    content: bytes


def read_file(path: str | Path, member: str | None = None) -> RawFile:
    """Read a CSV file, or a CSV file inside a zip (also a zip inside a zip, as Kaggle ships them), into memory.

    Nothing is extracted to disk.

    Args:
        path: a `.csv` or `.zip` file.
        member: name of the CSV file wanted from a zip; None takes the only one.

    Raises:
        FileNotFoundError: no such file.
        DataError: corrupt zip file, a member outside the folder, no or several CSV files inside, an empty file.
    """
    path = check_path("source", path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Correct the path, or see `python -m helpers download --help`")
    raw, zips = RawFile(str(path), path.read_bytes()), 0
    while raw.name.lower().endswith(".zip"):
        if (zips := zips + 1) > MAX_ZIPS:  # one may even hold itself
            raise DataError(f"{path}: over {MAX_ZIPS} zip files in each other; unpack it by hand and pass the CSV file")
        raw = _unzip(raw, member)
    if not raw.content.strip():
        raise DataError(f"{raw.name}: the file is empty; download or write it again")
    return raw


def _unzip(raw: RawFile, member: str | None) -> RawFile:
    try:
        with zipfile.ZipFile(io.BytesIO(raw.content)) as archive:
            chosen = _choose_member(raw.name, archive, member)
            return RawFile(f"{raw.name}: {chosen.filename}", archive.read(chosen))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"{raw.name}: corrupt zip file ({error}); download it again") from error
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"{raw.name}: cannot be unpacked ({error}); unpack it by hand and pass the CSV file") from error


def _choose_member(name: str, archive: zipfile.ZipFile, member: str | None) -> zipfile.ZipInfo:
    tables = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1]):
            raise DataError(f"{name}: member {info.filename!r} points outside the folder; do not use this file")
        is_left_by_macos = path.name.startswith("._") or path.parts[:1] == ("__MACOSX",)
        is_wanted = member is None or path.name in (member, f"{member}.zip")
        if info.filename.lower().endswith((".csv", ".csv.zip")) and is_wanted and not is_left_by_macos:
            tables.append(info)
    if len(tables) != 1:
        names = ", ".join(info.filename for info in archive.infolist()) or "nothing"
        raise DataError(f"{name}: expected one CSV file{f' {member}' if member else ''} inside, found {names}")
    if (size := tables[0].file_size) > MAX_BYTES:
        raise DataError(f"{name}: {tables[0].filename} unpacks to {size / 2**30:.1f} GiB; unpack it first")
    return tables[0]


def parse_csv(raw: RawFile, *, text_columns: Sequence[str], encoding: str = "utf-8") -> pd.DataFrame:
    """Parse CSV bytes. Texts such as "NA" and "null" stay texts; `text_columns` are never read as numbers.

    Raises:
        DataError: wrong encoding, a broken quote, a row with too many or too few fields, no rows.
    """
    text = _decode(raw, encoding).removeprefix("\ufeff")
    is_utf8 = encoding.replace("_", "-").lower() in ("utf-8", "utf8")
    _check_header(raw.name, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(raw.content),  # nearly twice as fast as io.StringIO(text)
                sep=DELIMITER,
                dtype=dict.fromkeys(text_columns, str),
                keep_default_na=False,
                low_memory=False,
                index_col=False,
                encoding="utf-8-sig" if is_utf8 else encoding,
            )
    except pd.errors.ParserWarning as warning:
        raise DataError(f"{raw.name}: more fields than the header names; quote texts with commas") from warning
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"{raw.name}: not a readable CSV file ({error}). A quote that is never closed is the usual reason; "
            "a download that broke off is another"
        ) from error
    if frame.empty:
        raise DataError(f"{raw.name}: a header and no rows")
    if short := _short_rows(text, frame):
        raise DataError(f"{raw.name}: {rows_in_words(short)}: fewer fields than the header; the file may be cut off")
    return frame


def _short_rows(text: str, frame: pd.DataFrame) -> list[int]:
    """Positions of rows with fewer fields than columns; pandas fills these with "" without a message."""
    last = frame.iloc[:, -1]
    if pd.api.types.is_numeric_dtype(last) or not last.eq("").any():
        return []
    with _fields_of_any_size():
        rows = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITER) if row and row != [""])
        return [index - 1 for index, row in enumerate(rows) if len(row) < frame.shape[1]]


def _check_header(name: str, text: str) -> None:
    with _fields_of_any_size():
        names = next(csv.reader(io.StringIO(text[:MAX_HEADER].lstrip(), newline=""), delimiter=DELIMITER), [])
    _refuse_repeated(name, names)
    if "" in names:
        raise DataError(f"{name}: column {names.index('') + 1} has no name (a saved index?); name it or leave it out")
    if len(names) == 1 and (others := [sign for sign in OTHER_DELIMITERS if sign in names[0]]):
        raise DataError(f"{name}: expected comma-separated columns, found {others[0]!r}; save the file with commas")


def _refuse_repeated(file: str | Path, names: Sequence[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{file}: column {', '.join(repeated)} appears twice in the header; rename one")


@contextmanager
def _fields_of_any_size() -> Iterator[None]:
    """Let `csv` read fields of any size; its limit is the whole process's, so it is put back at once."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _decode(raw: RawFile, encoding: str) -> str:
    try:
        return raw.content.decode(encoding)
    except LookupError as error:
        raise DataError(f"encoding {encoding!r} is unknown to Python; use for example 'utf-8' or 'cp1252'") from error
    except UnicodeDecodeError as error:
        line = raw.content.count(b"\n", 0, error.start) + 1
        guess = "utf-16" if raw.content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise DataError(
            f"{raw.name}: line {line}, byte {error.start}: not {encoding}. "
            f"Pass the file's encoding, for example encoding={guess!r}, or save the file as UTF-8"
        ) from error


def rows_in_words(positions: Sequence[int] | np.ndarray, most: int = 5) -> str:
    """Row numbers for a message, the first data row being row 1: 'row 3' or '12 rows (3, 8, 9, 11, 20, ...)'."""
    numbers = [f"{int(position) + 1:,}" for position in positions[:most]]
    if len(positions) == 1:
        return f"row {numbers[0]}"
    return f"{len(positions):,} rows ({', '.join(numbers)}{', ...' if len(positions) > most else ''})"


def column_names(path: Path) -> list[str]:
    """Return the names in the header of a CSV or Parquet file, without an index that pandas kept in it.

    Raises:
        FileNotFoundError: no such file.
        DataError: a file of another kind, a header that cannot be read, a name that appears twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path}: a .csv or a .parquet file is needed")
    try:
        if path.suffix == ".csv":
            with _open_csv(path) as file:
                names = next(csv.reader(file, delimiter=DELIMITER), [])
            "".join(names).encode()
        else:
            names = [name for name in pq.read_schema(path).names if not _PANDAS_INDEX.fullmatch(name)]
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable {path.suffix[1:]} file ({error})") from error
    _refuse_repeated(path, names)
    return names


def _open_csv(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def read_columns(path: Path, columns: Sequence[str], batch_rows: int = 1_000) -> Iterator[dict[str, list[Any]]]:
    """Read columns of a CSV or Parquet file of any size, some rows at a time.

    Every cell of a CSV file is text, so that "NA" stays a word and "007" an id. Nothing is written and nothing is
    cached.

    Args:
        path: of the file.
        columns: names that are in its header.
        batch_rows: rows at a time.

    Yields:
        {column: its cells}.

    Raises:
        DataError: a row with fewer or more fields than the header, an open quote, bytes that are not UTF-8, or a
            Parquet file that cannot be read to its end; the message names the file and the row.
    """
    check_count("batch_rows", batch_rows)
    return (_from_csv if path.suffix == ".csv" else _from_parquet)(path, columns, batch_rows)


def _from_csv(path: Path, columns: Sequence[str], batch_rows: int) -> Iterator[dict[str, list[Any]]]:
    # Not pandas, nor `Dataset.from_csv`, which is pandas: short rows are filled, and before pandas 3 surplus fields of
    # a chunk's first row are dropped, without a message.
    names = column_names(path)
    indexes = {column: names.index(column) for column in columns}
    with _open_csv(path) as file:
        rows = _checked_rows(path, csv.reader(file, delimiter=DELIMITER, strict=True), len(names))
        while True:
            with _fields_of_any_size():
                part = list(islice(rows, batch_rows))
            if not part:
                return
            yield {column: [row[index] for row in part] for column, index in indexes.items()}


def _checked_rows(path: Path, reader: Iterator[list[str]], fields: int) -> Iterator[list[str]]:
    """The rows below the header; a blank line is none."""
    number = -1
    try:
        for row in filter(None, reader):
            number += 1
            if len(row) != fields:
                names = f"fields than the header names ({len(row)} for {fields})"
                if len(row) < fields:
                    raise DataError(f"{path}: row {number}: fewer {names}; the file may be cut off")
                raise DataError(f"{path}: row {number}: more {names}; quote texts that hold commas or lines")
            "".join(row).encode()
            if number:
                yield row
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: row {number}: not UTF-8; save the file as UTF-8") from error
    except csv.Error as error:
        advice = "quote texts that hold commas, lines or quotes, and double the quotes inside them"
        raise DataError(f"{path}: row {number + 1}: not readable as CSV ({error}); {advice}") from error


def _from_parquet(path: Path, columns: Sequence[str], batch_rows: int) -> Iterator[dict[str, list[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    done = 0
    try:
        # Read through a small buffer: else the compressed columns of a row group are held as a whole.
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            for part in file.iter_batches(batch_rows, columns=list(columns), use_threads=False):
                yield {column: _cells(path, done, column, part.column(column)) for column in columns}
                done += part.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read beyond row {done} ({error}); write or download it again") from error


def _cells(path: Path, done: int, column: str, values: "pa.Array") -> list[Any]:
    with suppress(UnicodeDecodeError):
        return values.to_pylist()
    cells: list[Any] = []
    try:
        cells.extend(value.as_py() for value in values)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: row {done + len(cells) + 1}: column {column} is not UTF-8 ({error})") from error
    return cells
