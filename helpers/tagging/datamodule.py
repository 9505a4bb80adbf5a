"""The data of a run as a Lightning data module: tables in memory, or files of any size."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from torchmetrics.utilities.distributed import gather_all_tensors

from helpers import config, datasets, loaders, text as texts
from helpers.arguments import check_count, check_names, check_number
from helpers.datasets.labels import TEXT
from helpers.loaders.row_order import in_row_order
from helpers.tagging.module import CommentTagger

Source = pd.DataFrame | str | list[str]


class CommentDataModule(pl.LightningDataModule):
    """Training, validation and test set, tokenized once, in batches of about equal lengths.

    A source is a table in memory, as `datasets.load_comments` gives it, or the path of one or several `.csv` or
    `.parquet` files, whose token ids are made once and kept on disk (`loaders.tokenize_files`). Every process of a run
    takes its share of the same batches, so the Trainer must not share them once more: `use_distributed_sampler=False`.

    Args:
        train: training set, a table or files; or `sample` or `jigsaw`, which `datasets.load_comments` knows.
        valid: validation set; a number above 0 and below 1 takes that share of the training set, stratified.
        test: test set; a number as above; None for none.
        encoder: whose tokenizer splits the texts into subword tokens.
        text: the column of the text; None takes the one that the train table carries, or `comment_text`.
        labels: label columns of 0 and 1 in any type, -1 or missing where unknown; None takes those that the train table
            carries (`datasets.as_comments`), or all other columns of a file but `ignore`.
        ignore: columns of files that are no labels.
        negatives: of a training set in memory, keep the rows with a label and this many without, see
            `datasets.downsample_negatives`.
        max_rows: of the training table, at most, before it is split.
        max_length: length at which texts are truncated, in tokens.
        batch_size: rows per step, of all processes together.
        read_batch_size: rows per batch of the validation and test set; None takes batch_size.
        cache: folder of the token ids of files.
        seed: of the split and of the orders.

    Raises:
        ValueError: a number out of its range; shares of a source that is a file, rows to draw of files; a test set
            that is also the validation or the training set.
        DataError: a table does not name its labels, lacks one, or holds other values in it than 0, 1 and unknown; no
            label of the training or validation set is known.

    Examples:
        >>> from helpers import datasets, tagging
        >>> comments = datasets.subsample(datasets.load_comments(), 200)
        >>> data = tagging.CommentDataModule(comments, valid=0.2, test=0.2, max_length=32)
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
        text: str | None = None,
        labels: list[str] | None = None,
        ignore: Sequence[str] = ("id",),
        negatives: int | None = None,
        max_rows: int | None = None,
        max_length: int = 128,
        batch_size: int = 32,
        read_batch_size: int | None = None,
        cache: str | Path = ".cache/tokens",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.max_length, self.batch_size = check_count("max_length", max_length), check_count("batch_size", batch_size)
        read_batch_size = batch_size if read_batch_size is None else read_batch_size
        self.read_batch_size = check_count("read_batch_size", read_batch_size)
        self.seed = check_count("seed", seed, at_least=0, at_most=2**32 - 1)
        for name, number, least in (("max_rows", max_rows, 1), ("negatives", negatives, 0)):
            if number is not None:
                check_count(name, number, at_least=least)
        self.encoder = str(encoder)
        self.sources: dict[str, Any] = {"train": train, "valid": valid, "test": test}
        self.sources = {name: _as_source(name, source) for name, source in self.sources.items()}
        self._check_sources(max_rows, negatives)
        self.text: Any = text if text is not None or self._is_table("train") else TEXT
        self.columns: list[Any] | None = None if labels is None else check_names("labels", labels)
        self.file_options: dict[str, Any] = {"ignore": tuple(ignore), "cache": str(cache)}
        for name in filter(self._is_table, self.sources):
            self.sources[name] = self._checked_table(name)
        if self._is_table("train"):
            self._split_tables(max_rows, negatives)
        for name in ("train", "valid"):
            if self._is_table(name):
                _check_known(name, self.sources[name][self._label_columns()])
        self.tokens: dict[str, Any] = {}  # Tokens of tables, TokenFiles of files

    def _is_table(self, name: str) -> bool:
        return isinstance(self.sources[name], pd.DataFrame)

    def _check_sources(self, max_rows: int | None, negatives: int | None) -> None:
        """Refuse sources that do not go together, see the class."""
        test = self.sources["test"]
        for name in ("valid", "train"):
            other = self.sources[name]
            are_files = isinstance(test, list) and isinstance(other, list)
            if (isinstance(test, pd.DataFrame) and test is other) or (are_files and test == other):
                raise ValueError(f"test is the same as {name}: scores on rows that trained or chose are optimistic")
        if self._is_table("train"):
            return
        if shares := [name for name, source in self.sources.items() if isinstance(source, float)]:
            raise ValueError(f"{', '.join(shares)}: a share of train, which is files: files must be split beforehand")
        if negatives is not None or max_rows is not None:
            raise ValueError(
                f"negatives={negatives}, max_rows={max_rows}: files are taken whole, choose their rows beforehand"
            )

    def _checked_table(self, name: str) -> pd.DataFrame:
        """Return a copy of a table whose labels are numbers; the first one says how text and labels are named.

        Raises:
            DataError: as `datasets.as_comments`; the message begins with the name of the set.
        """
        labels = self.columns if name == "train" else self._label_columns()
        try:
            table = datasets.as_comments(self.sources[name], text=self.text, labels=labels, allow_unknown=True)
        except ValueError as error:
            raise datasets.DataError(f"{name}: {error}") from error
        self.text, self.columns = table.attrs["text"], table.attrs["labels"]
        return table

    def _split_tables(self, max_rows: int | None, negatives: int | None) -> None:
        """Draw, split and balance the tables in memory; the validation and test set keep their natural shares."""
        train = datasets.subsample(self.sources["train"], max_rows, seed=self.seed)
        shares = {name: source for name, source in self.sources.items() if isinstance(source, float)}
        if shares:
            both: dict[str, Any] = {"valid": 0.0, "test": 0.0} | shares
            parts = datasets.split(train, **both, seed=self.seed, groups="near-duplicates")
            self.sources |= {name: getattr(parts, name) for name in shares}
            train = parts.train
        if negatives is not None:
            train = datasets.downsample_negatives(train, negatives=negatives, seed=self.seed)
        self.sources["train"] = train

    @property
    def labels(self) -> list[str]:
        """Names of the L labels."""
        return [str(name) for name in self._label_columns()]

    def _label_columns(self) -> list[Any]:
        if self.columns is not None:
            return self.columns
        from helpers.loaders.files import label_columns

        return label_columns(self.sources["train"], text=self.text, labels=None, ignore=self.file_options["ignore"])

    def prepare_data(self) -> None:
        """Make the token ids of files, in one process, once."""
        for source in self.sources.values():
            if isinstance(source, list):
                self._tokenize(source)

    def setup(self, stage: str | None = None) -> None:
        """Tokenize tables, open the token ids of files; once, whatever stage is asked for."""
        if not self.tokens:
            sources = {name: source for name, source in self.sources.items() if source is not None}
            self.tokens = {name: self._tokenize(source) for name, source in sources.items()}

    def _tokenize(self, source: Any) -> Any:  # noqa: ANN401
        tokenizer = texts.load_tokenizer(self.encoder)
        if isinstance(source, pd.DataFrame):
            return loaders.tokenize(source[self.text], tokenizer, max_length=self.max_length)
        options = self.file_options | {"text": self.text, "labels": self.labels, "max_length": self.max_length}
        return loaders.tokenize_files(source, tokenizer, **options)

    def train_dataloader(self) -> DataLoader[loaders.Batch]:
        """Shuffled batches of the training set."""
        return self._loader("train", self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[loaders.Batch]:
        """Batches of the validation set, the longest first."""
        return self._loader("valid", self.read_batch_size)

    def test_dataloader(self) -> DataLoader[loaders.Batch]:
        """Batches of the test set, the longest first."""
        return self._loader("test", self.read_batch_size)

    def predict_dataloader(self) -> DataLoader[loaders.Batch]:
        """Batches of the test set in its own order."""
        return self._loader("test", self.read_batch_size, bucket=False)

    def _loader(
        self, name: str, batch_size: int, *, shuffle: bool = False, bucket: bool = True
    ) -> DataLoader[loaders.Batch]:
        if name not in self.tokens:
            raise ValueError(f"there are no {name} rows: name them, CommentDataModule(..., {name}=...)")
        share = self._share()
        if batch_size < share["world_size"]:
            raise ValueError(f"batch_size={batch_size} is the rows of all {share['world_size']} processes together")
        options: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": self.seed, "bucket": bucket}
        options, tokens = options | share, self.tokens[name]
        if self._is_table(name):
            return loaders.token_loader(tokens, self.sources[name][self._label_columns()], **options)
        return loaders.file_loader(tokens, **options)

    def _share(self) -> dict[str, int]:
        """Which share of each batch is this process's: its rank, and the number of processes."""
        trainer = self.trainer
        if trainer is None:
            return {"rank": 0, "world_size": 1}
        connector = getattr(trainer, "_accelerator_connector", None)  # Lightning has no public word for it
        if trainer.world_size > 1 and getattr(connector, "use_distributed_sampler", False):
            raise ValueError("the batches are shared out already: pass use_distributed_sampler=False to the Trainer")
        return {"rank": trainer.global_rank, "world_size": trainer.world_size}


def _as_source(name: str, source: Any) -> pd.DataFrame | list[str] | float | None:  # noqa: ANN401
    """Return a table, a list of paths, a share, or None; ValueError for none of these, or a share out of range."""
    if isinstance(source, pd.DataFrame) or (source is None and name == "test"):
        return source
    if isinstance(source, str) and source in ("sample", "jigsaw"):
        return datasets.load_comments(source)
    try:
        share = None if name == "train" else float(source)  # a command line passes it as text
    except (TypeError, ValueError):
        share = None
    if share is not None:
        return check_number(name, share, above=0, below=1)
    paths = [source] if isinstance(source, str | Path) else source
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str | Path) for path in paths):
        wanted = "a DataFrame, the path of one or several .csv or .parquet files, 'sample' or 'jigsaw'"
        wanted += "" if name == "train" else ", or a share of the training table above 0 and below 1"
        raise ValueError(f"{name}: expected {wanted}; got {source!r:.100}")
    return [str(path) for path in paths]


def _check_known(name: str, labels: pd.DataFrame) -> None:
    """Refuse a set without a known label, and warn of labels that are unknown in all rows.

    Raises:
        DataError: every label of every row is unknown.
    """
    unknown = [str(label) for label in labels if labels[label].isna().all()]
    if len(unknown) == labels.shape[1]:
        raise datasets.DataError(
            f"{name}: all labels are unknown in all {len(labels):,} rows: expected 0 and 1 in some"
        )
    if unknown and name == "train":
        warnings.warn(f"train: {', '.join(unknown)}: unknown in all rows, so nothing is learned of them", stacklevel=4)


def predict_proba(
    trainer: pl.Trainer,
    tagger: CommentTagger,
    data: CommentDataModule | DataLoader[Any],
    *,
    ckpt_path: str | None = None,
) -> np.ndarray:
    """Predict a test set, or the rows of a loader, and restore the order of the data set.

    `trainer.predict` gives a list of batches, `{"rows": (B,), "probabilities": (B, L)}`, and to each of several
    processes its own share. Here every process gets all rows, each once.

    Args:
        trainer: its strategy may be `ddp`; one that spawns or forks processes cannot return predictions.
        tagger: in any mode; it is left as it was.
        data: a data module, whose test set is predicted; or a loader, shuffled or not, sorted by length or not, of this
            package or torch's own over a data set with a length.
        ckpt_path: checkpoint whose weights are taken; None takes those of the tagger.

    Returns:
        Probabilities (N, L), float32, in the order of `loader.dataset`.

    Raises:
        ValueError: several loaders; rows that no process predicted (`limit_predict_batches`); a loader whose order
            cannot be known, such as one over an `IterableDataset`.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from transformers import BertConfig
        >>> from helpers import datasets, tagging
        >>> comments = datasets.subsample(datasets.load_comments(), 100)
        >>> data = tagging.CommentDataModule(comments, valid=0.2, test=0.3, max_length=16)
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tagger = tagging.CommentTagger(data.labels, encoder_config=settings.to_dict())
        >>> options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
        >>> with tagging.quiet():
        ...     trainer = pl.Trainer(enable_checkpointing=False, use_distributed_sampler=False, **options)
        ...     probabilities = tagging.predict_proba(trainer, tagger, data)
        >>> probabilities.shape  # one row per row of data.sources["test"]
        (30, 6)
    """
    if not isinstance(data, pl.LightningDataModule | DataLoader):
        raise ValueError(f"data: expected a CommentDataModule or one DataLoader, got {type(data).__name__}")
    batches: Any = trainer.predict(tagger, data, return_predictions=True, ckpt_path=ckpt_path)
    if not batches:
        raise ValueError("the loader gave no batch: nothing to predict")
    loader: Any = trainer.predict_dataloaders
    if not isinstance(loader, DataLoader):
        raise ValueError(f"expected one loader, got {type(loader).__name__}: predict them one by one")
    rows, result = (torch.cat([batch[name] for batch in batches]) for name in ("rows", "probabilities"))
    shares = [rows], [result]
    if trainer.world_size > 1:
        device = trainer.strategy.root_device
        shares = gather_all_tensors(rows.to(device)), gather_all_tensors(result.to(device))
    dataset: Any = loader.dataset
    positions, values = ([part.cpu() for part in parts] for parts in shares)
    return in_row_order(positions, values, n_rows=len(dataset)).numpy()
