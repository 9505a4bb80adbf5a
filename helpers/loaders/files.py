"""Token ids of CSV and Parquet files: made once, kept as memory-mapped Arrow, in the order of the files."""

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
import xxhash
from datasets.formatting import query_table
from datasets.table import InMemoryTable
from torch.utils.data import DataLoader

from helpers import folders
from helpers.datasets.labels import label_values
from helpers.datasets.reading import DataError, column_names, read_columns
from helpers.loaders.batches import Rows
from helpers.loaders.row_order import Batch, row_numbers
from helpers.loaders.tokens import loader_by_length, padded, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FORMAT = 3  # of the table; another one is made anew


class TokenFiles(Rows):
    r"""Token ids and labels of N texts on disk, as `tokenize_files` makes them, padded a batch at a time.

    The file is mapped into memory. Pages that were read count as memory of the process although the system may drop
    them at any time, and a row brings some 64 KiB for each of its columns: they are given back after some rows.

    Attributes:
        path: the Arrow file.
        labels: names of the L labels.
        pad_id: what to pad with.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away now,1\n3,Hello there,-1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache")
        >>> tokens.table["labels"][:], tokens.lengths.tolist(), tokens.cut
        ([[0], [1], [-1]], [4, 5, 4], 0)
        >>> inputs, labels = tokens[1]  # a batch of one row
        >>> len(tokens), tuple(inputs["input_ids"].shape), labels.tolist()
        (3, (1, 5), [[1.0]])
    """

    release_after = 1_000  # rows

    def __init__(self, path: Path, labels: Sequence[str], pad_id: int) -> None:
        self.path, self.labels, self.pad_id, self.unreleased = path, list(labels), pad_id, 0
        with path.open("rb") as file:
            self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.arrow = InMemoryTable(pa.ipc.open_stream(pa.py_buffer(self.mapped)).read_all())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.labels, self.pad_id)  # worker processes map the file themselves

    @property
    def table(self) -> datasets.Dataset:
        """All rows as a Hugging Face data set, memory-mapped, in the order of the files.

        `input_ids` without padding, `labels` (int8, -1 unknown), `truncated` (whether the text lost its end).
        """
        return datasets.Dataset.from_file(str(self.path))

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return pc.list_value_length(self.arrow.column("input_ids")).to_numpy()

    @property
    def cut(self) -> int:
        """Number of texts that lost their end."""
        return pc.sum(self.arrow.column("truncated")).as_py()

    def __len__(self) -> int:
        return len(self.arrow)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        numbers = row_numbers(rows, len(self))
        if self.unreleased >= self.release_after:
            self.release()
        self.unreleased += len(numbers)
        part = query_table(self.arrow, numbers.tolist())
        ids = part.column("input_ids").combine_chunks()
        offsets, values = ids.offsets.to_numpy(), ids.values.to_numpy(zero_copy_only=False)
        inputs = padded(values, offsets[:-1], np.diff(offsets), self.pad_id)
        flat = part.column("labels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        labels = flat.reshape(len(part), len(self.labels)).astype(np.float32)
        labels[labels < 0] = np.nan
        return Batch((inputs, torch.from_numpy(labels)))

    def release(self) -> None:
        """Give the pages back; they are read again when they are needed."""
        self.unreleased = 0
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self.mapped.madvise(mmap.MADV_DONTNEED)


def tokenize_files(
    files: str | Path | Sequence[str | Path],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    cache: str | Path,
    text: str = "comment_text",
    labels: Sequence[str] | None = None,
    ignore: Sequence[str] = ("id",),
    max_length: int = 128,
) -> TokenFiles:
    r"""Tokenize the texts of CSV or Parquet files once, and keep the token ids on disk.

    Rows come in the order of the files. Files are read some rows at a time, so that their size does not matter. What
    was made is opened again as long as the bytes of the files, the tokenizer and the settings are the same, wherever
    the files lie; anything else is made anew. Several processes may ask for the same files: one of them makes the token
    ids, the others wait for it. Nothing is written outside `cache`, which may be deleted at any time.

    Args:
        files: one or several `.csv` or `.parquet` files with the same columns.
        tokenizer: a fast one.
        cache: folder of the token ids.
        text: the column that holds the text.
        labels: label columns; None takes all but `text` and `ignore`. 0, 1, true or false; -1 or empty where unknown.
        ignore: columns that are no labels; they need not be there.
        max_length: length at which texts are truncated.

    Raises:
        FileNotFoundError: no such file.
        DataError: columns, texts or labels that cannot be trusted, with file, row and column; a damaged cache.
        OSError: the cache cannot be written.
        ValueError: no files, or as `tokenize`.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache")
        >>> tokens.labels, len(tokens)
        (['rude'], 2)
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,perhaps\n")
        >>> loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache")
        Traceback (most recent call last):
            ...
        helpers.datasets.reading.DataError: mine.csv: row 2: column rude holds 'perhaps' where a label is 0 or 1. ...
    """
    paths = [Path(path) for path in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise ValueError(f"files={files!r}: expected at least one file")
    names = label_columns(paths, text=text, labels=labels, ignore=ignore)
    tokenize(["a text"], tokenizer, max_length=max_length)  # refuses bad settings, and sets truncation and padding
    path = _arrow_file(Path(cache).expanduser(), paths, tokenizer, text, names, max_length)
    return TokenFiles(path, names, tokenizer.pad_token_id or 0)


def label_columns(
    files: Sequence[str | Path], *, text: str, labels: Sequence[str] | None, ignore: Sequence[str]
) -> list[str]:
    """Return the label columns of CSV or Parquet files, after a look at the header of every file.

    Raises:
        FileNotFoundError: no such file.
        DataError: a column is missing, has no name or stands in some files only, or no label column is left; the
            message names the file.
        ValueError: a label that is named twice, or that is the text.
    """
    if labels is not None and len({text, *labels}) != 1 + len(labels):
        raise ValueError(f"labels={list(labels)}, text={text!r}: expected different names")
    wanted = None if labels is None else list(labels)
    for path in map(Path, files):
        columns = column_names(path)
        others = [name for name in columns if name not in (text, *ignore)]
        wanted = others if wanted is None else wanted
        if missing := [name for name in (text, *wanted) if name not in columns]:
            raise DataError(f"{path}: missing column {', '.join(missing)}; found {', '.join(columns)}")
        if labels is None and (more := [name for name in others if name not in wanted]):
            raise DataError(f"{path}: column {', '.join(more)} is not in {files[0]}; name the labels, labels=[...]")
    if not wanted:
        raise DataError(f"{files[0]}: no label column beside {', '.join([text, *ignore])}")
    if "" in wanted:
        raise DataError(f"{files[0]}: a column has no name (a saved index?); name the labels, labels=[...]")
    return wanted


def _arrow_file(
    cache: Path, paths: list[Path], tokenizer: "PreTrainedTokenizerBase", text: str, labels: list[str], length: int
) -> Path:
    """Find the token ids of files in a cache folder, or make them there, as `tokenize_files` says.

    Beside the table lies its digest, so that a damaged one is refused. `datasets.Dataset.from_generator` would make an
    object per row, and let a damaged table pass.
    """
    digests = [_digest(path) for path in paths]
    settings = [_FORMAT, digests, tokenizer.backend_tokenizer.to_str(), text, labels, length]
    name = xxhash.xxh3_128_hexdigest(json.dumps(settings).encode())
    table, partial, record = (cache / f"{name}.{kind}" for kind in ("arrow", "part", "digest"))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for remains in cache.glob("*.part"):  # of processes that were killed; one that is alive holds the lock
            with suppress(BlockingIOError), folders.lock(remains, timeout=0):
                remains.unlink(missing_ok=True)
        with folders.lock(partial, timeout=-1):  # another process that makes the same may take hours
            if not record.exists():
                _write(table, partial, record, _batches(paths, digests, tokenizer, text, labels, length))
            elif not table.is_file() or record.read_bytes() != _digest(table).encode():
                message = f"{table} is not as {record.name} says: the cache is damaged"
                raise DataError(f"{message}; delete {cache} and run again")
    except OSError as error:
        advice = "name another folder with cache=..., or delete it if it is damaged"
        raise OSError(error.errno, f"{cache}: token ids cannot be written or read there ({error}); {advice}") from error
    return table


def _digest(path: Path) -> str:
    """Digest the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _write(table: Path, partial: Path, record: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Write a table, then its digest, each whole or not at all."""
    try:
        first = next(batches)
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        partial.replace(table)
        partial.write_text(_digest(table))
        partial.replace(record)
    finally:
        partial.unlink(missing_ok=True)


def _batches(
    paths: list[Path],
    digests: list[str],
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    labels: list[str],
    length: int,
) -> Iterator[pa.RecordBatch]:
    """Tokenize files, some rows at a time; labels are -1 where unknown."""
    # Not the number of tokens: some vocabularies leave numbers out.
    ids_type = np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.int32
    for path, digest in zip(paths, digests, strict=True):
        done = 0
        for part in read_columns(path, [text, *labels]):
            for number, value in enumerate(part[text], done + 1):
                if not isinstance(value, str) or not value.strip():
                    raise DataError(f"{path}: row {number}: column {text} is empty or no text ({value!r})")
            tokens = tokenize(part[text], tokenizer, max_length=length)
            options: dict[str, Any] = {"file": f"{path}: ", "first": done, "allow_unknown": True}
            values = np.column_stack([label_values(pd.Series(part[name]), name, **options) for name in labels])
            flat = np.nan_to_num(values, nan=-1).astype(np.int8).ravel()
            columns = {
                "input_ids": pa.ListArray.from_arrays(tokens.offsets.astype(np.int32), tokens.ids.astype(ids_type)),
                "labels": pa.FixedSizeListArray.from_arrays(flat, len(labels)),
                "truncated": tokens.truncated,
            }
            yield pa.RecordBatch.from_pydict(columns)
            done += len(part[text])
        if not done:
            raise DataError(f"{path}: no rows")
        if _digest(path) != digest:
            raise DataError(f"{path}: the file was changed while it was read; run this again")


def file_loader(
    tokens: TokenFiles,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    bucket: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    r"""Load token ids from files as `token_loader` does: lengths and order are kept in memory, ids and labels on disk.

    Args:
        tokens: as `tokenize_files` gives them.
        batch_size: rows per batch, of all processes together.
        shuffle: a new order each epoch, for training.
        seed: of the orders.
        bucket: batches of about equal lengths; `loops.predict_proba` puts the rows back into the order of the files.
        rank: number of this process, from 0.
        world_size: number of processes that train together; each gets its share of every batch.

    Raises:
        ValueError: a batch size below 1, a rank that is none of the processes.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away now,1\n3,Hello there,-1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache")
        >>> for batch in loaders.file_loader(tokens, batch_size=2):  # the longest first
        ...     inputs, labels = batch
        ...     print(tuple(inputs["input_ids"].shape), labels.flatten().tolist(), batch.rows.tolist())
        (2, 5) [1.0, 0.0] [1, 0]
        (1, 4) [nan] [2]
    """
    order = {"shuffle": shuffle, "seed": seed, "rank": rank, "world_size": world_size}
    return loader_by_length(tokens, tokens.lengths, batch_size, bucket=bucket, **order)
