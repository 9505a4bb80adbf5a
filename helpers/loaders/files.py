"""Token ids on disk, kept as memory-mapped Arrow by `tokenize_files`: opened, and read in batches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from helpers.datasets.reading import DataError
from helpers.loaders.rows import Batch
from helpers.loaders.tokens import loader_by_length, padded

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from torch.utils.data import DataLoader

INDEX = "index.json"


def arrow_name(place: int) -> str:
    """Name of the Arrow file of a number."""
    return f"tokens-{place:05d}.arrow"


@dataclass(frozen=True)
class TokenFiles:
    r"""Token ids of N texts in a folder of Arrow files, as `tokenize_files` makes it.

    Attributes:
        folder: of the files.
        labels: names of the L labels.
        rows: rows of each file.
        pad_id: what to pad with.
        cut: number of texts that lost their end.
        max_tokens: length at which texts were cut.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n3,Hello there,-1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=2)
        >>> tokens.labels, tokens.rows  # rows of each file
        (['rude'], [2, 1])
        >>> tokens.table()["length"][:]
        [4, 4, 4]
    """

    folder: Path
    labels: list[str]
    rows: list[int]
    pad_id: int
    cut: int
    max_tokens: int

    @property
    def files(self) -> list[Path]:
        """The Arrow files, in order."""
        return [self.folder / arrow_name(place) for place in range(len(self.rows))]

    def table(self) -> "datasets.Dataset":
        """All rows as a Hugging Face dataset, memory-mapped: input_ids, length, labels (int8, -1 unknown)."""
        import datasets

        return datasets.concatenate_datasets([self.open_file(place) for place in range(len(self.rows))])

    def open_file(self, place: int) -> "datasets.Dataset":
        """One of the files, memory-mapped.

        Raises:
            DataError: the file is torn.
        """
        import datasets
        import pyarrow as pa

        path = self.files[place]
        try:
            found = datasets.Dataset.from_file(str(path))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: torn ({error}); delete {self.folder} and make it again") from error
        if len(found) != self.rows[place]:
            rows = f"{len(found)} rows, and {self.rows[place]} were written"
            raise DataError(f"{path}: torn ({rows}); delete {self.folder} and make it again")
        return found


def open_tokens(folder: str | Path) -> TokenFiles:
    r"""What `tokenize_files` wrote into a folder.

    Raises:
        FileNotFoundError: the folder holds no such thing; the missing file is named.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n")
        >>> made = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1)
        >>> loaders.open_tokens(made.folder) == made
        True
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder / INDEX} is missing: make the folder with loaders.tokenize_files")
    found = TokenFiles(folder=folder, **json.loads((folder / INDEX).read_text(encoding="utf-8")))
    for path in found.files:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: delete {folder} and make it again")
    return found


class ArrowRows(Dataset[Batch]):
    r"""Rows of memory-mapped Arrow files, padded a batch at a time.

    Args:
        tokens: as `tokenize_files` gives them.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away now,1\n")
        >>> rows = loaders.ArrowRows(loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1))
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> len(rows), tuple(inputs["input_ids"].shape), labels.tolist()
        (2, (1, 5), [[1.0]])
    """

    def __init__(self, tokens: TokenFiles) -> None:
        self.tokens, self.table = tokens, tokens.table().with_format("arrow")

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each row."""
        return self.table.data.column("length").to_numpy()

    def __len__(self) -> int:
        return len(self.table)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        return batch_of(self.table[[int(row) for row in rows]], self.tokens)

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def batch_of(table: "pa.Table", tokens: TokenFiles) -> Batch:
    """Rows of an Arrow table as a batch."""
    ids = table.column("input_ids").combine_chunks()
    offsets = ids.offsets.to_numpy()
    values = ids.values.to_numpy(zero_copy_only=False)
    inputs = padded(values, offsets[:-1], np.diff(offsets), tokens.pad_id)
    flat = table.column("labels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    labels = flat.reshape(len(table), len(tokens.labels)).astype(np.float32)
    labels[labels < 0] = np.nan
    return Batch((inputs, torch.from_numpy(labels)))


def file_loader(
    tokens: TokenFiles,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    bucket: bool = True,
    rank: int = 0,
    ranks: int = 1,
) -> "DataLoader[Batch]":
    r"""As `token_loader`, over files: the lengths and the order are kept in memory, ids and labels stay on disk.

    Args:
        tokens: as `tokenize_files` gives them.
        batch_size: rows a batch, of all processes together.
        shuffle: a new order each epoch, for training.
        seed: of the orders.
        bucket: batches of about equal lengths.
        rank: number of this process, from 0.
        ranks: number of processes that train together; each gets its share of every batch.

    Raises:
        ValueError: a batch size below 1, a rank that is none of the processes.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n3,Hello there,-1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1)
        >>> for inputs, labels in loaders.file_loader(tokens, batch_size=2):
        ...     print(tuple(inputs["input_ids"].shape), labels.flatten().tolist())
        (2, 4) [0.0, 1.0]
        (1, 4) [nan]
    """
    rows, order = ArrowRows(tokens), {"shuffle": shuffle, "seed": seed, "rank": rank, "ranks": ranks}
    return loader_by_length(rows, rows.lengths, batch_size, bucket=bucket, **order)
