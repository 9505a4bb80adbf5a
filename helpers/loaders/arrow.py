"""Token ids of files as an Arrow table that Hugging Face `datasets` makes, caches and maps into memory."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
import xxhash
from datasets.exceptions import DatasetGenerationError
from filelock import FileLock, Timeout

from helpers.datasets.reading import DataError, read_columns
from helpers.loaders.tokens import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = 2  # of the table; another one is made anew
_MARK_OF = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "-1": -1, "-1.0": -1, "": -1, "False": 0, "True": 1}


def make_files(
    paths: Sequence[Path],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    cache: Path,
    text: str,
    labels: list[str],
    max_length: int,
) -> list[Path]:
    """Find the token ids of files in a cache folder, or make them there, as `tokenize_files` says.

    `Dataset.from_generator` lets one process at a time make a table, and renames it when it is whole. It is given its
    fingerprint, because its own one would name the files and not their bytes. Beside the table lie digests of its
    files, so that a damaged one is refused.
    """
    tokenize(["a text"], tokenizer, max_length=max_length)  # refuses bad settings, and sets truncation and padding
    files, state = [file_digest(path) for path in paths], tokenizer.backend_tokenizer.to_str()
    settings = {"files": files, "text": text, "labels": labels, "max_length": max_length, "format": FORMAT}
    fingerprint = datasets.fingerprint.Hasher.hash([json.dumps(settings), state])
    ids = "uint16" if len(tokenizer) < 2**16 else "int32"
    features = {
        "input_ids": datasets.List(datasets.Value(ids)),
        "labels": datasets.List(datasets.Value("int8"), length=len(labels)),
        "truncated": datasets.Value("bool"),
    }

    def rows() -> Iterator[dict[str, Any]]:
        for path, before in zip(paths, files, strict=True):
            yield from _rows(path, tokenizer, text, labels, max_length)
            if file_digest(path) != before:
                raise DataError(f"{path}: the file was changed while it was read; run this again")

    options: dict[str, Any] = {"cache_dir": str(cache), "fingerprint": fingerprint, "writer_batch_size": 10_000}
    record = cache / f"{fingerprint}.json"
    with _errors_of(cache), _without_progress_bars():
        cache.mkdir(parents=True, exist_ok=True)
        _remove_remains(cache)
        _check(record)
        table = datasets.Dataset.from_generator(rows, features=datasets.Features(features), **options)
        arrow_files = [Path(part["filename"]) for part in table.cache_files]
        _note(record, table, arrow_files)
    return arrow_files


def file_digest(path: Path) -> str:
    """Digest of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _rows(
    path: Path, tokenizer: "PreTrainedTokenizerBase", text: str, labels: list[str], max_length: int
) -> Iterator[dict[str, Any]]:
    """The rows of one file."""
    done = 0
    for part in read_columns(path, [text, *labels]):
        tokens = tokenize(_texts(path, done, part[text], text), tokenizer, max_length=max_length)
        marks = zip(*(_marks(path, done, name, part[name]) for name in labels), strict=True)
        ids, ends = tokens.ids.tolist(), tokens.offsets.tolist()
        for index, (mark, truncated) in enumerate(zip(marks, tokens.truncated.tolist(), strict=True)):
            yield {"input_ids": ids[ends[index] : ends[index + 1]], "labels": list(mark), "truncated": truncated}
        done += len(part[text])
    if not done:
        raise DataError(f"{path}: no rows")


def _texts(path: Path, done: int, texts: list[Any], column: str) -> list[str]:
    for index, value in enumerate(texts):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{path}: row {done + index + 1}: column {column} is empty or no text ({value!r})")
    return texts


def _marks(path: Path, done: int, column: str, values: list[Any]) -> Iterator[int]:
    """Labels as 0 and 1, -1 where unknown."""
    for index, value in enumerate(values):
        mark = _MARK_OF.get("" if value is None or value != value else str(value))
        if mark is None:
            raise DataError(
                f"{path}: row {done + index + 1}: column {column} holds {value!r} where a label is 0 or 1 (-1 or empty "
                "where unknown). If it is no label, name the label columns with labels=[...]"
            )
        yield mark


def _check(record: Path) -> None:
    """Refuse a table whose files are not those that were written."""
    if not record.is_file():
        return
    damaged: Path | None = record
    with suppress(ValueError, AttributeError):  # no JSON, or other JSON
        digests = json.loads(record.read_text(encoding="utf-8")).items()
        result = [(record.parent / name, digest) for name, digest in digests]
        damaged = next((path for path, digest in result if not path.is_file() or file_digest(path) != digest), None)
    if damaged is not None:
        raise DataError(f"{damaged}: not as it was written, the cache is damaged; delete {record.parent} and run again")


def _note(record: Path, table: datasets.Dataset, arrow_files: list[Path]) -> None:
    """Write the digests of a table's files, whole or not at all."""
    if record.is_file():
        return
    files = [*arrow_files, arrow_files[0].with_name(datasets.config.DATASET_INFO_FILENAME)]
    if len(table) != sum(split.num_examples for split in (table.info.splits or {}).values()):
        raise DataError(f"{files[0]}: {len(table)} rows, and more were written; delete {record.parent} and run again")
    digests = {Path(os.path.relpath(path, record.parent)).as_posix(): file_digest(path) for path in files}
    partial = record.with_name(f".{uuid.uuid4().hex}.part")
    partial.write_text(json.dumps(digests) + "\n", encoding="utf-8")
    partial.replace(record)


def _remove_remains(cache: Path) -> None:
    """Remove what killed processes left half made; one that is alive holds the lock."""
    for partial in cache.rglob("*.incomplete"):
        with suppress(Timeout), FileLock(f"{str(partial).removesuffix('.incomplete')}_builder.lock", timeout=0):
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _errors_of(cache: Path) -> Iterator[None]:
    """Say what a cache's errors mean; what is wrong with a row comes out as it was raised."""
    try:
        yield
    except (OSError, DatasetGenerationError) as error:
        cause = (error.__cause__ or error) if isinstance(error, DatasetGenerationError) else error
        if not isinstance(cause, OSError):
            raise cause from None
        advice = "name another folder with cache=..., or delete it if it is damaged"
        raise OSError(cause.errno, f"{cache}: token ids cannot be written or read there ({cause}); {advice}") from error
    except (pa.ArrowException, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise DataError(f"{cache}: the cache is damaged ({error}); delete it and run again") from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
