"""The data of a run as a Lightning data module: tables in memory, or files of any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from helpers import config, datasets, loaders
from helpers import text as texts

Source = pd.DataFrame | str | list[str]
CACHE = ".cache/tokens"


class CommentDataModule(pl.LightningDataModule):
    """Train, valid and test rows, tokenized once, in batches of about equal lengths.

    A source is a table in memory, as `datasets.load_comments` gives it, or the path of one or several `.csv` or
    `.parquet` files, whose token ids are made once and kept on disk (`loaders.tokenize_files`). Every process of a run
    takes its share of the same batches, so the Trainer must not share them once more: `use_distributed_sampler=False`.

    Args:
        train: rows to learn from; or `sample` or `jigsaw`, which `datasets.load_comments` knows.
        valid: rows that choose; a float takes that share of the train rows, with the shares of all labels kept.
        test: rows that judge; a float as above; None for none.
        encoder: whose tokenizer cuts the texts to pieces.
        text: the column of the text.
        labels: label columns; None takes those of the table, or all other columns of a file but `ignore`.
        ignore: columns of files that are no labels.
        clean: of the train rows in memory, keep those with a label and so many without (`datasets.balance`).
        max_rows: of the train table, at most, before it is shared out.
        max_tokens: length at which texts are cut.
        batch_size: rows a step, of all processes together.
        read_batch_size: rows a batch of valid and test rows; None takes batch_size.
        bucket: batches of about equal lengths.
        stream: read train files as a stream, for data whose order alone would not fit into memory.
        shards: number of Arrow files, see `loaders.tokenize_files`.
        cache: folder of the token ids of files.
        seed: of the split and of the orders.

    Raises:
        ValueError: shares of a source that is a file, a stream of one that is a table, rows to draw of files;
            a test table that is also the valid or the train table.
        DataError: a table lacks a label, or holds other values in it than 0, 1 and NaN.

    Examples:
        >>> from helpers import datasets, tagging
        >>> comments = datasets.at_most(datasets.load_comments(), 200)
        >>> data = tagging.CommentDataModule(comments, valid=0.2, test=0.2, max_tokens=32)
        >>> data.setup()
        >>> inputs, labels = next(iter(data.val_dataloader()))
        >>> data.labels[:2], tuple(labels.shape)
        (['toxic', 'severe_toxic'], (32, 6))
    """

    def __init__(
        self,
        train: Source,
        valid: Source | float,
        test: Source | float | None = None,
        *,
        encoder: str = config.PACKAGED_ENCODER,
        text: str = "comment_text",
        labels: list[str] | None = None,
        ignore: Sequence[str] = ("id",),
        clean: int | None = None,
        max_rows: int | None = None,
        max_tokens: int = 128,
        batch_size: int = 32,
        read_batch_size: int | None = None,
        bucket: bool = True,
        stream: bool = False,
        shards: int = 16,
        cache: str | Path = CACHE,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sources: dict[str, Any] = {
            "train": _as_source(train),
            "valid": _as_source(valid),
            "test": _as_source(test),
        }
        if isinstance(test, pd.DataFrame) and (test is valid or test is train):
            name = "valid" if test is valid else "train"
            raise ValueError(f"test is the same table as {name}: rows that choose or teach cannot judge")
        shares = [name for name, source in self.sources.items() if isinstance(source, float)]
        in_memory = isinstance(self.sources["train"], pd.DataFrame)
        if (shares and not in_memory) or (stream and in_memory) or "train" in shares:
            raise ValueError(
                f"train is {'a table' if in_memory else 'files'}, {shares} are shares of it, stream={stream}: a table "
                "can be shared out and is no stream, files can be a stream and must be shared out beforehand"
            )
        if not in_memory and (clean is not None or max_rows is not None):
            raise ValueError(f"clean={clean}, max_rows={max_rows}: files are taken whole, choose their rows beforehand")
        self.text = text
        self.file_options: dict[str, Any] = {
            "text": text,
            "ignore": tuple(ignore),
            "cache": str(cache),
            "shards": shards,
        }
        self.encoder, self.given_labels, self.max_tokens, self.seed = str(encoder), labels, max_tokens, seed
        self.batch_size, self.read_batch_size = batch_size, read_batch_size or batch_size
        self.bucket, self.stream = bucket, stream
        if in_memory:
            self._share_out(max_rows, clean)
        for name, source in self.sources.items():
            if isinstance(source, pd.DataFrame):
                _check_table(name, source, [text], self.labels)
        self.tokens: dict[str, loaders.Tokens | loaders.TokenFiles] = {}

    def _share_out(self, max_rows: int | None, clean: int | None) -> None:
        """Draw, split and balance the tables in memory; test and valid rows keep their natural shares."""
        found = self.sources
        found["train"] = datasets.at_most(found["train"], max_rows, seed=self.seed)
        shares = {name: found[name] for name in ("valid", "test") if isinstance(found[name], float)}
        if shares:
            options = {"valid": 0.0, "test": 0.0} | shares
            together: dict[str, Any] = {"seed": self.seed, "keep_together": "near-duplicates"}
            parts = datasets.split(found["train"], **options, **together)
            found |= {"train": parts.train} | {name: getattr(parts, name) for name in shares}
        if clean is not None:
            found["train"] = datasets.balance(found["train"], clean=clean, seed=self.seed)

    @property
    def labels(self) -> list[str]:
        """Names of the L labels."""
        train = self.sources["train"]
        if self.given_labels is not None:
            return list(self.given_labels)
        if isinstance(train, pd.DataFrame):
            return datasets.label_names(train)
        options = {name: self.file_options[name] for name in ("text", "ignore")}
        return loaders.label_columns(train, labels=None, **options)

    def prepare_data(self) -> None:
        """Make the token ids of files, in one process, once."""
        tokenizer = texts.load_tokenizer(self.encoder)
        for source in self.sources.values():
            if source is not None and not isinstance(source, pd.DataFrame):
                self._from_files(source, tokenizer)

    def setup(self, stage: str | None = None) -> None:
        """Tokenize tables, open the token ids of files; once, whatever stage is asked for."""
        if self.tokens:
            return
        tokenizer = texts.load_tokenizer(self.encoder)
        made: dict[str, loaders.Tokens | loaders.TokenFiles] = {}
        for name, source in self.sources.items():
            if isinstance(source, pd.DataFrame):
                made[name] = loaders.tokenize(source[self.text], tokenizer, max_tokens=self.max_tokens)
            elif source is not None:
                made[name] = self._from_files(source, tokenizer)
        self.tokens = made

    def _from_files(self, source: list[str], tokenizer: Any) -> loaders.TokenFiles:  # noqa: ANN401
        options: dict[str, Any] = {"labels": self.labels, "max_tokens": self.max_tokens} | self.file_options
        return loaders.tokenize_files(source, tokenizer, **options)

    def train_dataloader(self) -> DataLoader[loaders.Batch]:
        """Shuffled batches of the train rows."""
        return self._loader("train", self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[loaders.Batch]:
        """Batches of the valid rows, the longest first."""
        return self._loader("valid", self.read_batch_size)

    def test_dataloader(self) -> DataLoader[loaders.Batch]:
        """Batches of the test rows, the longest first."""
        return self._loader("test", self.read_batch_size)

    def predict_dataloader(self) -> DataLoader[loaders.Batch]:
        """The test rows in their own order."""
        return self._loader("test", self.read_batch_size, bucket=False)

    def _loader(
        self, name: str, batch_size: int, *, shuffle: bool = False, bucket: bool | None = None
    ) -> DataLoader[loaders.Batch]:
        if name not in self.tokens:
            raise ValueError(f"there are no {name} rows: name them, CommentDataModule(..., {name}=...)")
        tokens, source, place = self.tokens[name], self.sources[name], self._share()
        if batch_size < place["ranks"]:
            raise ValueError(f"batch_size={batch_size} is the rows of all {place['ranks']} processes together")
        options: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": self.seed, **place}
        if name == "train" and self.stream:
            assert isinstance(tokens, loaders.TokenFiles)
            return loaders.StreamLoader(loaders.TokenStream(tokens, **options))
        options["bucket"] = self.bucket if bucket is None else bucket
        if isinstance(tokens, loaders.TokenFiles):
            return loaders.file_loader(tokens, **options)
        return loaders.token_loader(tokens, source[self.labels], **options)

    def _share(self) -> dict[str, int]:
        """Which share of each batch is this process's: its rank, and the number of processes."""
        trainer = self.trainer
        if trainer is None:
            return {"rank": 0, "ranks": 1}
        connector = getattr(trainer, "_accelerator_connector", None)  # Lightning has no public word for it
        if trainer.world_size > 1 and getattr(connector, "use_distributed_sampler", False):
            raise ValueError("the batches are shared out already: pass use_distributed_sampler=False to the Trainer")
        return {"rank": trainer.global_rank, "ranks": trainer.world_size}


def _as_source(source: Source | float | None) -> pd.DataFrame | list[str] | float | None:
    """A table, a list of paths, a share, or None."""
    if isinstance(source, str) and source in ("sample", "jigsaw"):
        return datasets.load_comments(source)
    if isinstance(source, str | Path):
        return [str(source)]
    if isinstance(source, Sequence):
        return [str(path) for path in source]
    return source


def _check_table(name: str, table: pd.DataFrame, columns: list[str], labels: list[str]) -> None:
    """DataError that names source, row and column of what cannot be trained or scored."""
    if missing := [column for column in (*columns, *labels) if column not in table.columns]:
        raise datasets.DataError(f"{name}: no column {', '.join(missing)}; found {', '.join(map(str, table.columns))}")
    for label in labels:
        bad = ~(table[label].isin((0, 1)) | table[label].isna()).to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise datasets.DataError(
                f"{name}: row {row + 1}: label {label} is {table[label].iloc[row]}, not 0, 1 or NaN"
            )
