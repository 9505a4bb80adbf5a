"""What a run says: one line an epoch, and nothing else."""

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.tuner import lr_finder
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities.data import dim_zero_cat
from tqdm.auto import tqdm

from helpers import loops
from helpers.arguments import check_number
from helpers.loaders.batches import refuse_reordered

_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
_CHATTER = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*treespec.*",
    ".*Trying to infer the `batch_size`.*",
    ".*custom batch sampler `(Epoch|Length)BatchSampler` for prediction.*",
    ".*but have no `val_dataloader`.*",
    ".*You have overridden `on_before_batch_transfer` in `LightningModule`.*",
    ".*`IterableDataset` has `__len__` defined.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's announcements off the screen: what hardware was found, tips, advice on worker processes.

    Errors, and warnings of anything else, are shown.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from helpers import tagging
        >>> with tagging.quiet():  # else it says what hardware it found, and more
        ...     trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    """
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        # The learning rate finder draws a bar of its own, which no setting turns off.
        no_bar = mock.patch.object(lr_finder, "tqdm", functools.partial(tqdm, disable=True), create=True)
        with warnings.catch_warnings(), no_bar:
            for message in _CHATTER:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class EpochLines(pl.callbacks.ProgressBar):
    """A bar while an epoch runs, which goes away, and a line when it is over: readable in a notebook and in a log file.

    Args:
        bar: show the bar; False leaves the lines alone.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from helpers import tagging
        >>> with tagging.quiet():
        ...     trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[tagging.EpochLines(bar=False)])
        >>> type(trainer.progress_bar_callback).__name__
        'EpochLines'
    """

    bar: Any  # of tqdm, while an epoch runs

    def __init__(self, *, bar: bool = True) -> None:
        super().__init__()
        self.with_bar, self.shown, self.bar, self.begun = bar, True, None, 0.0
        self.ended: tuple[int, float] | None = None

    def disable(self) -> None:
        """Say nothing; Lightning calls this on all processes but the first."""
        self.shown = False

    def enable(self) -> None:
        """Say something again."""
        self.shown = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of the epoch before, whose last scores came after its end, and begin a bar."""
        self._write_line(trainer)
        self._begin(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: object) -> None:
        """Move the bar on."""
        if self.bar is None:  # resumed in the middle of an epoch
            self._begin(trainer)
        self.bar.update(1)
        if self.shown and self.with_bar and self.bar.n % 10 == 0:
            loss = float(trainer.callback_metrics.get("train_loss_step", "nan"))
            self.bar.set_postfix_str(f"loss {loss:.4f}, lr {trainer.optimizers[0].param_groups[0]['lr']:.2g}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            self.ended = (trainer.current_epoch + 1, time.perf_counter() - self.begun)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last line."""
        self._write_line(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no half bar behind."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _begin(self, trainer: pl.Trainer) -> None:
        self.begun, batches = time.perf_counter(), trainer.num_training_batches
        options: dict[str, Any] = {"total": batches if batches != float("inf") else None, "leave": False}
        # None: no bar where the output is no terminal, such as a log file. A notebook is none either, but draws bars.
        drawn = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
        options["disable"] = (False if drawn else None) if self.shown and self.with_bar else True
        self.bar = tqdm(desc=f"epoch {trainer.current_epoch + 1}", **options)

    def _write_line(self, trainer: pl.Trainer) -> None:
        if self.ended is None:
            return
        (epoch, seconds), self.ended = self.ended, None
        if self.shown:
            result = trainer.callback_metrics
            names = [name for name in ("train_loss", "valid_loss", "valid_auc") if name in result]
            scores = ", ".join(f"{name.replace('_', ' ')} {float(result[name]):.4f}" for name in names)
            print(f"epoch {epoch}/{trainer.max_epochs}: {scores}, {seconds:.0f} s", flush=True)


class LabelAUROC(Metric):
    """The ROC AUC of each label, exact, over all rows of all processes.

    Torchmetrics gathers the rows and computes each area, with the course's contract: a label that is NaN in a row is
    left out of that row, and a label with one class only is NaN, where `MultilabelAUROC` says 0 and drags the mean
    down. All rows are kept until the end of the epoch: 8 bytes a row and label.

    Args:
        labels: names of the L labels.

    Examples:
        >>> import torch
        >>> from helpers import tagging
        >>> areas = tagging.LabelAUROC(["toxic", "threat"])
        >>> areas.update(torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        >>> areas.update(torch.tensor([[0.5, 0.0]]), torch.tensor([[float("nan"), 0.0]]))
        >>> areas.compute()  # no row is a threat
        tensor([1., nan])
    """

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = list(labels)
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add rows: logits (B, L), targets (B, L) with NaN where unknown."""
        self.logits.append(logits.detach().float())
        self.targets.append(targets.float())

    def compute(self) -> Tensor:
        """(L,) AUC of each label, NaN where a label has one class only."""
        if len(self.logits) == 0:  # a list of batches, or one tensor once processes were gathered
            return torch.full((len(self.labels),), torch.nan, device=self.device)
        logits, targets = dim_zero_cat(self.logits), dim_zero_cat(self.targets)
        return torch.stack([_area(logits[:, index], targets[:, index]) for index in range(len(self.labels))])


def _area(logits: Tensor, targets: Tensor) -> Tensor:
    known = targets >= 0
    probabilities, truth = torch.sigmoid(logits[known]), targets[known].long()
    if not (truth == 1).any() or not (truth == 0).any():
        return probabilities.new_tensor(torch.nan)
    return binary_auroc(probabilities, truth, validate_args=False)


class KnownMean(Metric):
    """A mean over all known labels of all processes: sums divided once, NaN where a value is.

    Torchmetrics' `MeanMetric` leaves NaN out, and with `nan_strategy="disable"` it forgets the weights (1.9).
    """

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", default=torch.zeros(2), dist_reduce_fx="sum")

    def update(self, value: Tensor, known: int) -> None:
        """Add the mean of so many known labels."""
        self.sums = self.sums + torch.stack([value.detach().to(self.sums) * known, self.sums.new_tensor(known)])

    def compute(self) -> Tensor:
        """The mean; NaN where nothing is known."""
        return self.sums[0] / self.sums[1]


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
    process = (trainer.global_rank, trainer.world_size)
    way = "loaders.token_loader(..., rank=trainer.global_rank, world_size="
    for loader in [part for part in _flat(given) if isinstance(part, DataLoader)]:
        sampler: Any = loader.batch_sampler
        ours: Any = next((part for part in (sampler, loader.dataset) if hasattr(part, "world_size")), None)
        if ours is not None:
            own = (ours.rank, ours.world_size)
            if own != process and (training or own != (0, 1)):
                raise ValueError(
                    f"the loader gives the share of rank {own[0]} of {own[1]}, and this is process {process[0]} of "
                    f"{process[1]}: pass {way}trainer.world_size), or a CommentDataModule, which does so"
                )
        elif training and process[1] > 1 and type(getattr(sampler, "sampler", loader.sampler)) in _UNSHARED:
            raise ValueError(
                f"each of {process[1]} processes would train on all rows: pass use_distributed_sampler=True to the "
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
