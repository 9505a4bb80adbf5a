"""Token ids of CSV and Parquet files: made once, kept as memory-mapped Arrow, in the order of the files."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from helpers.datasets.reading import DataError, column_names
from helpers.loaders.batches import Batch, row_numbers
from helpers.loaders.tokens import loader_by_length, padded

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from torch.utils.data import DataLoader
    from transformers import PreTrainedTokenizerBase


class MappedRows:
    """Rows of Arrow files that are mapped into memory, whose pages are given back when many of them were read.

    Pages that were read count as memory of the process although the system may drop them at any time. A row brings
    some 64 KiB for each of its columns, so that an epoch of random rows would bring whole files.
    """

    release_after = 1_000  # rows

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        from datasets.table import InMemoryTable

        self.files, self.maps, self.given = list(files), [], 0
        for path in self.files:
            with path.open("rb") as file:
                self.maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        parts = [pa.ipc.open_stream(pa.py_buffer(mapped)).read_all() for mapped in self.maps]
        self.table = InMemoryTable(pa.concat_tables(parts))

    def __reduce__(self) -> tuple[type, tuple[list[Path]]]:
        return MappedRows, (self.files,)  # worker processes map the files themselves

    def __call__(self, numbers: np.ndarray) -> "pa.Table":
        """Rows by their numbers."""
        from datasets.formatting import query_table

        if self.given >= self.release_after:
            self.release()
        self.given += len(numbers)
        return query_table(self.table, numbers.tolist())

    def release(self) -> None:
        """Give the pages back; they are read again when they are needed."""
        self.given = 0
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            for mapped in self.maps:
                mapped.madvise(mmap.MADV_DONTNEED)


class TokenFiles(Dataset[Batch]):
    r"""Token ids and labels of N texts on disk, as `tokenize_files` makes them, padded a batch at a time.

    Attributes:
        files: the Arrow files.
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

    def __init__(self, files: Sequence[Path], labels: Sequence[str], pad_id: int) -> None:
        self.files, self.labels, self.pad_id, self.rows = list(files), list(labels), pad_id, MappedRows(files)

    @property
    def table(self) -> "datasets.Dataset":
        """All rows as a Hugging Face data set, memory-mapped, in the order of the files.

        `input_ids` without padding, `labels` (int8, -1 unknown), `truncated` (whether the text lost its end).
        """
        import datasets

        return datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path in self.files])

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        import pyarrow.compute as pc

        return pc.list_value_length(self.rows.table.column("input_ids")).to_numpy()

    @property
    def cut(self) -> int:
        """Number of texts that lost their end."""
        import pyarrow.compute as pc

        return pc.sum(self.rows.table.column("truncated")).as_py()

    def __len__(self) -> int:
        return len(self.rows.table)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        numbers = row_numbers(rows, len(self))
        part = self.rows(numbers)
        ids = part.column("input_ids").combine_chunks()
        offsets, values = ids.offsets.to_numpy(), ids.values.to_numpy(zero_copy_only=False)
        inputs = padded(values, offsets[:-1], np.diff(offsets), self.pad_id)
        flat = part.column("labels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        labels = flat.reshape(len(numbers), len(self.labels)).astype(np.float32)
        labels[labels < 0] = np.nan
        return Batch((inputs, torch.from_numpy(labels)))

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


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
        helpers.datasets.reading.DataError: mine.csv: row 2: column rude holds 'perhaps' where a label is 0 or 1 ...
    """
    from helpers.loaders.arrow import make_files

    paths = [Path(path) for path in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise ValueError(f"files={files!r}: expected at least one file")
    names = label_columns(paths, text=text, labels=labels, ignore=ignore)
    result = make_files(
        paths, tokenizer, cache=Path(cache).expanduser(), text=text, labels=names, max_length=max_length
    )
    return TokenFiles(result, names, tokenizer.pad_token_id or 0)


def label_columns(
    files: Sequence[str | Path], *, text: str, labels: Sequence[str] | None, ignore: Sequence[str]
) -> list[str]:
    r"""The label columns of CSV or Parquet files, after a look at the header of every file.

    Args:
        files: with the same columns.
        text: the column that holds the text.
        labels: label columns; None takes all but `text` and `ignore`.
        ignore: columns that are no labels; they need not be there.

    Raises:
        FileNotFoundError: no such file.
        DataError: a column is missing, has no name or stands in some files only, or no label column is left; the
            message names the file.
        ValueError: a label that is named twice, or that is the text.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude,kind\n1,Thank you,0,1\n")
        >>> loaders.label_columns(["mine.csv"], text="comment_text", labels=None, ignore=["id"])
        ['rude', 'kind']
    """
    if labels is not None and len({text, *labels}) != 1 + len(labels):
        raise ValueError(f"labels={list(labels)}, text={text!r}: expected different names")
    first: list[str] = []
    for path in map(Path, files):
        columns = column_names(path)
        others = [name for name in columns if name not in (text, *ignore)]
        first = first or others
        wanted = list(labels) if labels is not None else first
        if missing := [name for name in (text, *wanted) if name not in columns]:
            raise DataError(f"{path}: missing column {', '.join(missing)}; found {', '.join(columns)}")
        if labels is None and (more := [name for name in others if name not in first]):
            raise DataError(f"{path}: column {', '.join(more)} is not in {files[0]}; name the labels, labels=[...]")
    if not wanted:
        raise DataError(f"{files[0]}: no label column beside {', '.join([text, *ignore])}")
    if "" in wanted:
        raise DataError(f"{files[0]}: a column has no name (a saved index?); name the labels, labels=[...]")
    return wanted


def file_loader(
    tokens: TokenFiles,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    bucket: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> "DataLoader[Batch]":
    r"""As `token_loader`, over files: the lengths and the order are kept in memory, ids and labels stay on disk.

    Args:
        tokens: as `tokenize_files` gives them.
        batch_size: rows a batch, of all processes together.
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
