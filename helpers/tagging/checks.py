"""Checks of a Lightning run: what its callbacks watch, which rows a process reads, whether weights are finite."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler

from helpers import loops
from helpers.arguments import check_number
from helpers.loaders.ordering import refuse_reordered

_UNSHARED = (RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler)


def check_monitors(trainer: Any, labels: Sequence[str], *, train_auc: bool) -> None:  # noqa: ANN401
    """Refuse callbacks that watch what is never logged, or that would keep the worst of a score.

    Raises:
        ValueError: with the names to choose from.
    """
    trained = [name for name in ("train_auc",) if train_auc for name in [f"{name}/{label}" for label in labels]]
    names = {"train_loss": "min", "train_loss_step": "min", "epoch": "", "step": ""} | dict.fromkeys(trained, "max")
    if trainer.enable_validation:
        names |= {"valid_loss": "min", "valid_auc": "max"} | {f"valid_auc/{label}": "max" for label in labels}
    for callback in trainer.callbacks:
        if not isinstance(callback, EarlyStopping | ModelCheckpoint) or callback.monitor is None:
            continue
        kind, monitor = type(callback).__name__, callback.monitor
        if monitor not in names:
            unseen = "" if trainer.enable_validation else "; without a validation set there is no valid_loss"
            raise ValueError(f"{kind}(monitor={monitor!r}): expected one of {', '.join(names)}{unseen}")
        mode = callback.mode
        if names[monitor] and mode != names[monitor]:
            raise ValueError(f"{kind}(monitor={monitor!r}, mode={mode!r}): expected mode={names[monitor]!r}")


def check_shares(trainer: pl.Trainer, given: Any, *, training: bool) -> None:  # noqa: ANN401
    """Refuse loaders that do not give each of several processes its own rows.

    Args:
        trainer: of the run.
        given: one loader, or several.
        training: rows that all processes have in common are refused; in an evaluation they change no score.

    Raises:
        ValueError: rows that no process or every process would read; the message says how to share them.
    """
    place, way = (trainer.global_rank, trainer.world_size), "loaders.token_loader(..., rank=trainer.global_rank, ranks="
    for loader in [part for part in _flat(given) if isinstance(part, DataLoader)]:
        sampler: Any = loader.batch_sampler
        ours: Any = next((part for part in (sampler, loader.dataset) if hasattr(part, "ranks")), None)
        if ours is not None:
            own = (ours.rank, ours.ranks)
            if own != place and (training or own != (0, 1)):
                raise ValueError(
                    f"the loader gives the share of rank {own[0]} of {own[1]}, and this is process {place[0]} of "
                    f"{place[1]}: pass {way}trainer.world_size), or a CommentDataModule, which does so"
                )
        elif training and place[1] > 1 and type(getattr(sampler, "sampler", loader.sampler)) in _UNSHARED:
            raise ValueError(
                f"each of {place[1]} processes would train on all rows: pass use_distributed_sampler=True to the "
                "Trainer, a DistributedSampler to the DataLoader, or a CommentDataModule"
            )


def rows_of(trainer: pl.Trainer, batch: Any, batch_idx: int, dataloader_idx: int) -> Tensor:  # noqa: ANN401
    """Positions (B,) of a batch's rows in its data set: the batch knows them, or Lightning has noted them.

    Raises:
        ValueError: neither does.
    """
    if (rows := getattr(batch, "rows", None)) is not None:
        return rows
    loader: Any = _flat(trainer.predict_dataloaders)[dataloader_idx]
    drawn = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", None)
    if not drawn or (loader.num_workers and not getattr(loader, "in_order", True)):
        raise ValueError(
            f"the order of the rows of a {type(loader).__name__} over a {type(loader.dataset).__name__} cannot be "
            "known: pass a loader of helpers.loaders, or a DataLoader over a data set with a length"
        )
    rows = torch.as_tensor(np.asarray(drawn[batch_idx], dtype=np.int64))
    if batch_idx == 0:
        refuse_reordered(loader, rows, *batch)
    return rows


def _flat(given: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(given, dict):
        given = list(given.values())
    return [part for inner in given for part in _flat(inner)] if isinstance(given, list | tuple) else [given]


def check_clipping(trainer: pl.Trainer) -> None:
    """Refuse a negative limit, which would turn the gradient around."""
    if trainer.gradient_clip_val is not None:
        check_number("gradient_clip_val", trainer.gradient_clip_val, at_least=0)


def check_finite(module: nn.Module, epoch: int) -> None:
    """Refuse weights that are not finite.

    Raises:
        LossError: the first such weight by name.
    """
    weights = [(name, weight.detach()) for name, weight in module.named_parameters() if weight.is_floating_point()]
    sums = torch.stack([weight.float().sum().cpu() for _, weight in weights])
    if torch.isfinite(sums).all():
        return
    for name, weight in weights:  # a sum can overflow where no weight does
        if not torch.isfinite(weight).all():
            raise loops.LossError(
                f"the weights {name} are not finite in epoch {epoch + 1}: lower the learning rate, or clip the gradient"
            )
