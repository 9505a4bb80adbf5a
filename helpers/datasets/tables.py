"""Columns of CSV and Parquet files of any size, some rows at a time, each row checked."""

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.arguments import check_count
from helpers.datasets.reading import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def column_names(path: Path) -> list[str]:
    """The names in the header of a CSV or Parquet file, each once, without an index that pandas kept in it.

    Raises:
        FileNotFoundError: no such file.
        DataError: a file of another kind, a header that cannot be read, a name that stands twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                names = next(csv.reader(file), [])
            "".join(names).encode()
        elif path.suffix == ".parquet":
            names = [name for name in pq.read_schema(path).names if not _PANDAS_INDEX.fullmatch(name)]
        else:
            raise DataError(f"{path}: a .csv or a .parquet file is needed")
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable {path.suffix[1:]} file ({error})") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: column {', '.join(twice)} stands twice in the header; rename one")
    return names


def read_columns(path: Path, columns: Sequence[str], batch_rows: int = 1_000) -> Iterator[dict[str, list[Any]]]:
    """Columns of a CSV or Parquet file of any size, some rows at a time.

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
    places = {column: names.index(column) for column in columns}
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _checked_rows(path, csv.reader(file, strict=True), len(names))
        while part := _take(rows, batch_rows):
            yield {column: [row[place] for row in part] for column, place in places.items()}


def _take(rows: Iterator[list[str]], most: int) -> list[list[str]]:
    """The next rows, with fields of any size; the limit is the whole process's, so it is put back at once."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        return list(islice(rows, most))
    finally:
        csv.field_size_limit(before)


def _checked_rows(path: Path, reader: Iterator[list[str]], fields: int) -> Iterator[list[str]]:
    """The rows below the header; a blank line is none."""
    number = -1
    try:
        for row in reader:
            if not row:
                continue
            number += 1
            if len(row) != fields:
                which = "fewer" if len(row) < fields else "more"
                what = f"{which} fields than the header names ({len(row)} for {fields})"
                advice = "the file may be cut off" if len(row) < fields else "quote texts that hold commas or lines"
                raise DataError(f"{path}: row {number}: {what}; {advice}")
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
    with contextlib.suppress(UnicodeDecodeError):
        return values.to_pylist()
    cells: list[Any] = []
    try:
        cells.extend(value.as_py() for value in values)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: row {done + len(cells) + 1}: column {column} is not UTF-8 ({error})") from error
    return cells
