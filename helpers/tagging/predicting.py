"""Predict with a Trainer, in one process or several, in the order of the data set."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from torchmetrics.utilities.distributed import gather_all_tensors

from helpers import loaders
from helpers.tagging.data import CommentDataModule
from helpers.tagging.tagger import CommentTagger


def predict(
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
        >>> comments = datasets.at_most(datasets.load_comments(), 100)
        >>> data = tagging.CommentDataModule(comments, valid=0.2, test=0.3, max_tokens=16)
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tagger = tagging.CommentTagger(data.labels, encoder_config=settings.to_dict())
        >>> options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
        >>> with tagging.quiet():
        ...     trainer = pl.Trainer(enable_checkpointing=False, use_distributed_sampler=False, **options)
        ...     probabilities = tagging.predict(trainer, tagger, data)
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
    rows, found = (torch.cat([batch[name] for batch in batches]) for name in ("rows", "probabilities"))
    shares = [rows], [found]
    if trainer.world_size > 1:
        device = trainer.strategy.root_device
        shares = gather_all_tensors(rows.to(device)), gather_all_tensors(found.to(device))
    dataset: Any = loader.dataset
    places, values = ([part.cpu() for part in parts] for parts in shares)
    return loaders.in_row_order(places, values, n_rows=len(dataset)).numpy()
