"""Tables on disk, CSV or Parquet, as streams of columns."""

import contextlib
import csv
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from helpers.datasets.reading import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def column_names(path: Path) -> list[str]:
    """The names in the header of a CSV or Parquet file, each once.

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
            with path.open(encoding="utf-8-sig", newline="") as file:
                names = next(csv.reader(file), [])
        elif path.suffix == ".parquet":
            names = list(pq.read_schema(path).names)
        else:
            raise DataError(f"{path}: a .csv or a .parquet file is needed")
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable {path.suffix[1:]} file ({error})") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: column {', '.join(twice)} stands twice in the header; rename one")
    return names


def read_columns(path: Path, columns: Sequence[str], batch_rows: int = 1_000) -> Iterator[dict[str, list[Any]]]:
    """Columns of a CSV or Parquet file of any size, some rows at a time.

    Every cell of a CSV file is text, so that "NA" stays a word and "007" an id.

    Args:
        path: of the file.
        columns: names that are in its header.
        batch_rows: rows at a time.

    Yields:
        {column: its cells}.

    Raises:
        DataError: rows with fewer or more fields than the header, or a file that cannot be read to its end.
    """
    is_csv = path.suffix == ".csv"
    parts, looked = (_csv_tables if is_csv else _parquet_tables)(path, columns, batch_rows), not is_csv
    rows = _numbered_rows(path) if is_csv and _loses_fields() else None
    while (part := _next(path, parts)) is not None:
        if rows is not None:
            _refuse_long_rows(path, islice(rows, part.num_rows), len(part.column_names))
        if not looked and "" in part.column(part.column_names[-1]).to_pylist():
            _refuse_short_rows(path, len(part.column_names))
            looked = True
        try:
            cells = {name: part.column(name).to_pylist() for name in columns}
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: a text is not UTF-8 ({error})") from error
        yield cells


def _csv_tables(path: Path, columns: Sequence[str], batch_rows: int) -> Iterator["pa.Table"]:
    """All columns of a CSV file as text, some rows at a time; a row with too many fields shows in any of them."""
    import pandas as pd
    import pyarrow as pa

    plain: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_filter": False, "index_col": False}
    with pd.read_csv(path, chunksize=batch_rows, encoding="utf-8-sig", **plain) as chunks:
        yield from (pa.Table.from_pandas(chunk, preserve_index=False) for chunk in chunks if len(chunk))


def _parquet_tables(path: Path, columns: Sequence[str], batch_rows: int) -> Iterator["pa.Table"]:
    """Columns of a Parquet file, one row group after the other, so that memory holds one of them at most."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(batch_rows, row_groups=[group], columns=list(columns)):
                yield pa.Table.from_batches([batch])


def _loses_fields() -> bool:
    """Whether pandas, before 3, drops surplus fields of a chunk's first row, or empty ones of any, and says nothing."""
    import pandas as pd

    return Version(pd.__version__) < Version("3")


def _numbered_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header of a CSV file as lists of fields, from row 1 on."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from islice(enumerate(row for row in csv.reader(file) if row), 1, None)


def _refuse_long_rows(path: Path, rows: Iterator[tuple[int, list[str]]], fields: int) -> None:
    """DataError where a row of these has too many fields, as newer pandas has it."""
    with _fields_of_any_size():
        for number, row in rows:
            if len(row) > fields:
                more = f"row {number}: more fields than the header names"
                raise DataError(f"{path}: cannot be read to its end ({more}); quote texts that hold commas or lines")


def _refuse_short_rows(path: Path, fields: int) -> None:
    """DataError where a row of a CSV file has too few fields; pandas fills these with "" and says nothing."""
    with _fields_of_any_size():
        for number, row in _numbered_rows(path):
            if len(row) < fields:
                short = "fewer fields than the header names; the file may be cut off"
                raise DataError(f"{path}: row {number}: {short}")


@contextlib.contextmanager
def _fields_of_any_size() -> Iterator[None]:
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _next(path: Path, parts: Iterator["pa.Table"]) -> "pa.Table | None":
    """The next rows of a file, or None; DataError names a file that cannot be read."""
    import pandas as pd
    import pyarrow as pa

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more fields in a row than names in the header
            return next(parts, None)
    except UnicodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}); save the file as UTF-8") from error
    except (OSError, pd.errors.ParserError, pd.errors.ParserWarning, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read to its end ({error}); quote texts that hold commas or lines"
        ) from error
