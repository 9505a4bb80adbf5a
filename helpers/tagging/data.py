"""The data of a run as a Lightning data module: tables in memory, or files of any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from helpers import config, datasets, loaders
from helpers import text as texts
from helpers.arguments import check_count, check_number

Source = pd.DataFrame | str | list[str]
CACHE = ".cache/tokens"


class CommentDataModule(pl.LightningDataModule):
    """Training, validation and test set, tokenized once, in batches of about equal lengths.

    A source is a table in memory, as `datasets.load_comments` gives it, or the path of one or several `.csv` or
    `.parquet` files, whose token ids are made once and kept on disk (`loaders.tokenize_files`). Every process of a run
    takes its share of the same batches, so the Trainer must not share them once more: `use_distributed_sampler=False`.

    Args:
        train: training set, a table or files; or `sample` or `jigsaw`, which `datasets.load_comments` knows.
        valid: validation set; a number above 0 and below 1 takes that share of the training set, stratified.
        test: test set; a number as above; None for none.
        encoder: whose tokenizer cuts the texts to pieces.
        text: the column of the text.
        labels: label columns; None takes those of the table, or all other columns of a file but `ignore`.
        ignore: columns of files that are no labels.
        clean: of a training set in memory, keep the rows with a label and this many without (`datasets.balance`).
        max_rows: of the train table, at most, before it is shared out.
        max_tokens: length at which texts are cut.
        batch_size: rows a step, of all processes together.
        read_batch_size: rows a batch of valid and test rows; None takes batch_size.
        bucket: batches of about equal lengths.
        cache: folder of the token ids of files.
        seed: of the split and of the orders.

    Raises:
        ValueError: a number out of its range; shares of a source that is a file, rows to draw of files; a test table
            that is also the valid or the train table.
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
        cache: str | Path = CACHE,
        seed: int = 0,
    ) -> None:
        super().__init__()
        max_tokens, batch_size = check_count("max_tokens", max_tokens), check_count("batch_size", batch_size)
        if read_batch_size is not None:
            check_count("read_batch_size", read_batch_size)
        for name, number, least in (("max_rows", max_rows, 1), ("clean", clean, 0)):
            if number is not None:
                check_count(name, number, at_least=least)
        seed = check_count("seed", seed, at_least=0, at_most=2**32 - 1)
        self.sources: dict[str, Any] = {
            "train": _as_source("train", train),
            "valid": _as_source("valid", valid),
            "test": _as_source("test", test),
        }
        for name in ("valid", "train"):
            own, theirs = self.sources["test"], self.sources[name]
            if (isinstance(own, list) and isinstance(theirs, list) and own == theirs) or (
                isinstance(own, pd.DataFrame) and own is theirs
            ):
                raise ValueError(f"test is the same as {name}: scores on rows that trained or chose are optimistic")
        shares = [name for name, source in self.sources.items() if isinstance(source, float)]
        in_memory = isinstance(self.sources["train"], pd.DataFrame)
        if (shares and not in_memory) or "train" in shares:
            raise ValueError(
                f"train is {'a table' if in_memory else 'files'}, {shares} are shares of it: a table can be split, "
                "files must be split beforehand"
            )
        if not in_memory and (clean is not None or max_rows is not None):
            raise ValueError(f"clean={clean}, max_rows={max_rows}: files are taken whole, choose their rows beforehand")
        self.text = text
        self.file_options: dict[str, Any] = {"text": text, "ignore": tuple(ignore), "cache": str(cache)}
        self.encoder, self.given_labels, self.max_tokens, self.seed = str(encoder), labels, max_tokens, seed
        self.batch_size, self.read_batch_size = batch_size, read_batch_size or batch_size
        self.bucket = bucket
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


def _as_source(name: str, source: Any) -> pd.DataFrame | list[str] | float | None:  # noqa: ANN401
    """A table, a list of paths, a share, or None.

    Raises:
        ValueError: none of these, or a share out of range.
    """
    expected = f"{name}: expected a DataFrame, the path of one or several .csv or .parquet files, 'sample' or 'jigsaw'"
    if isinstance(source, pd.DataFrame) or (source is None and name == "test"):
        return source
    if isinstance(source, str) and source in ("sample", "jigsaw"):
        return datasets.load_comments(source)
    if name != "train" and _is_number(source):
        return check_number(name, float(source) if isinstance(source, str) else source, above=0, below=1)
    if isinstance(source, str | Path):
        return [str(source)]
    if isinstance(source, list | tuple) and source and all(isinstance(path, str | Path) for path in source):
        return [str(path) for path in source]
    share = "" if name == "train" else ", or a share of the train table above 0 and below 1"
    raise ValueError(f"{expected}{share}; got {source!r:.100}")


def _is_number(value: object) -> bool:
    """Whether a value is a number, or the text of one, as a command line passes it."""
    if isinstance(value, Path | pd.Series | list | tuple) or value is None:
        return False
    try:
        float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        return False
    return True


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
