"""Find a file, read its bytes (plain or zipped), parse them as CSV; every refusal says where and what to do."""

import csv
import hashlib
import io
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

MAX_BYTES = 4 * 2**30


class DataError(ValueError):
    """A data file, table or argument cannot be used; the message names the place and what to do."""


@dataclass(frozen=True)
class RawFile:
    """Bytes of one CSV file and the name by which messages call it."""

    name: str
    content: bytes

    def git_blob_hash(self) -> str:
        """The SHA-1 that `git hash-object` prints for the file: it tells a whole Kaggle file from a part."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content, usedforsecurity=False).hexdigest()


def find_file(folders: Sequence[Path], names: Sequence[str], advice: str) -> Path:
    """The first of `names` that lies in one of the folders, folder by folder.

    Raises:
        FileNotFoundError: none is there; the message lists where it was looked for, and the advice.
    """
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    looked = "\n".join(f"  {folder}" for folder in folders)
    raise FileNotFoundError(f"none of {', '.join(names)} was found in\n{looked}\n{advice}")


def read_file(path: Path, member: str | None = None) -> RawFile:
    """Read a CSV file, or a CSV file inside a zip (also a zip inside a zip, as Kaggle ships them), into memory.

    Nothing is extracted to disk.

    Args:
        path: a `.csv` or `.zip` file.
        member: name of the CSV file wanted from a zip; None takes the only one.

    Raises:
        FileNotFoundError: no such file.
        DataError: torn or damaged zip, a member outside the folder, no or several CSV files inside, an empty file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Correct the path, or see `python -m helpers download --help`")
    content = path.read_bytes()
    raw = _from_zip(str(path), content, member) if path.suffix.lower() == ".zip" else RawFile(str(path), content)
    if not raw.content.strip():
        raise DataError(f"{raw.name}: the file is empty; download or write it again")
    return raw


def _from_zip(name: str, content: bytes, member: str | None) -> RawFile:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            chosen = _choose_member(name, archive, member)
            data = archive.read(chosen)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{name}: torn or damaged zip ({error}); download it again") from error
    inner = f"{name}: {chosen.filename}"
    return _from_zip(inner, data, member) if chosen.filename.lower().endswith(".zip") else RawFile(inner, data)


def _choose_member(name: str, archive: zipfile.ZipFile, member: str | None) -> zipfile.ZipInfo:
    for info in archive.infolist():
        parts = PurePosixPath(info.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            raise DataError(f"{name}: member {info.filename!r} points outside the folder; do not use this file")
    tables = [i for i in archive.infolist() if i.filename.lower().endswith((".csv", ".csv.zip")) and _is_own(i)]
    if member is not None:
        tables = [i for i in tables if PurePosixPath(i.filename).name in (member, f"{member}.zip")]
    if len(tables) != 1:
        found = ", ".join(i.filename for i in archive.infolist()) or "nothing"
        raise DataError(f"{name}: expected one CSV file{f' {member}' if member else ''} inside, found {found}")
    if tables[0].file_size > MAX_BYTES:
        raise DataError(
            f"{name}: {tables[0].filename} unpacks to {tables[0].file_size / 2**30:.1f} GiB; unpack it first"
        )
    return tables[0]


def _is_own(info: zipfile.ZipInfo) -> bool:
    return not info.is_dir() and not info.filename.startswith("__MACOSX/")


def parse_csv(raw: RawFile, *, text_columns: Sequence[str], encoding: str = "utf-8") -> pd.DataFrame:
    """Parse CSV bytes. Texts such as "NA" and "null" stay texts; `text_columns` are never read as numbers.

    Raises:
        DataError: wrong encoding, a broken quote, a row with too many or too few fields, no rows.
    """
    _check_encoding(raw, encoding)
    codec = "utf-8-sig" if encoding.replace("_", "-").lower() in ("utf-8", "utf8") else encoding
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(raw.content),
                dtype=dict.fromkeys(text_columns, str),
                keep_default_na=False,
                low_memory=False,
                index_col=False,
                encoding=codec,
            )
    except pd.errors.ParserWarning as warning:
        raise DataError(
            f"{raw.name}: rows hold more fields than the header names; quote texts with commas"
        ) from warning
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"{raw.name}: not a readable CSV file ({error}). A quote that is never closed is the usual reason; "
            "a download that broke off is another"
        ) from error
    if frame.empty:
        raise DataError(f"{raw.name}: a header and no rows")
    short = _short_rows(raw.content.decode(codec), frame)
    if short:
        raise DataError(
            f"{raw.name}: {rows_in_words(short)}: fewer fields than the header names; the file may be cut off"
        )
    return frame


def _short_rows(text: str, frame: pd.DataFrame) -> list[int]:
    """Positions of rows with fewer fields than columns; pandas fills these with "" and says nothing."""
    last = frame.iloc[:, -1]
    if pd.api.types.is_numeric_dtype(last) or not last.eq("").any():
        return []
    csv.field_size_limit(MAX_BYTES // 2)
    rows = (row for row in csv.reader(io.StringIO(text, newline="")) if row)
    next(rows)
    return [place for place, row in enumerate(rows) if len(row) < frame.shape[1]]


def _check_encoding(raw: RawFile, encoding: str) -> None:
    try:
        raw.content.decode(encoding)
    except LookupError as error:
        raise DataError(f"encoding {encoding!r} is unknown to Python; use for example 'utf-8' or 'cp1252'") from error
    except UnicodeDecodeError as error:
        line = raw.content.count(b"\n", 0, error.start) + 1
        guess = "utf-16" if raw.content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise DataError(
            f"{raw.name}: line {line}, byte {error.start}: not {encoding}. "
            f"Pass the file's encoding, for example encoding={guess!r}, or save the file as UTF-8"
        ) from error


def rows_in_words(positions: Sequence[int], most: int = 5) -> str:
    """Row numbers for a message, the first data row being row 1: 'row 3' or '12 rows (3, 8, 9, 11, 20, ...)'."""
    numbers = [f"{int(p) + 1:,}" for p in positions[:most]]
    if len(positions) == 1:
        return f"row {numbers[0]}"
    return f"{len(positions):,} rows ({', '.join(numbers)}{', ...' if len(positions) > most else ''})"
