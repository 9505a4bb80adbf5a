"""Train a model by a loop that can be read, interrupted, and taken up where it was."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from helpers.loops import checkpoints
from helpers.loops.evaluation import Batch, Loss, Precision, autocast, evaluate, known, move
from helpers.models.heads import refuse_backbone

BETTER = {"valid_loss": -1, "valid_auc": 1}


class LossError(FloatingPointError):
    """The loss is not finite; the message names epoch and batch. The last checkpoint is left as it was.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, losses, models
        >>> rows = loaders.array_loader({"features": torch.full((8, 4), float("inf"))}, torch.zeros(8, 1))
        >>> model = models.MLP(4, hidden=(8,), n_labels=1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> loops.fit(model, rows, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False)
        Traceback (most recent call last):
            ...
        helpers.loops.fitting.LossError: the loss is ... at epoch 1, batch 1
    """


@dataclass
class Fit:
    """What a run has done so far.

    Attributes:
        rows: one dict an epoch, see `history`.
        best_epoch: epoch of the best value of `monitor`, or None before the first.
        ended: why the run ended: `epochs`, `patience` or `interrupted`.

    Examples:
        >>> from helpers import loops
        >>> run = loops.Fit(rows=[{"epoch": 1, "train_loss": 0.7, "valid_loss": 0.6}], best_epoch=1, ended="epochs")
        >>> run.history
               train_loss  valid_loss
        epoch
        1             0.7         0.6
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    ended: str = ""

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: train_loss, valid_loss, valid_auc, lr, seconds, rows_per_s."""
        return pd.DataFrame(self.rows).set_index("epoch") if self.rows else pd.DataFrame()


def fit(
    model: nn.Module,
    train: DataLoader[Batch],
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    valid: DataLoader[Batch] | None = None,
    schedule: LRScheduler | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    patience: int | None = None,
    monitor: str = "valid_loss",
    folder: str | Path | None = None,
    checkpoint_every: int | None = None,
    device: str = "cpu",
    precision: Precision = "32-true",
    progress: bool = True,
) -> Fit:
    """Train a model; keep the best and the last state; go on from the last state where there is one.

    A run that was killed at any moment and is called again with the same arguments ends with the same weights, bit by
    bit on the CPU: the order of the rows depends on seed and epoch alone, and the checkpoint holds weights, optimizer,
    schedule, random state and running sums. Ctrl-C ends the run after the step in hand; history and checkpoint stay.

    Args:
        model: gives logits (B, L), or {head: (B, C)}, for `model(**inputs)`.
        train: batches of `(inputs, labels (B, L))`, its batch sampler an `EpochBatchSampler` where runs are taken up.
        loss: of logits and labels, a mean over the known labels (`losses.multi_head` is one where all are known, or
            with `reduction="entries"`): batches are weighted by their known labels.
        optimizer: over the model's parameters.
        epochs: passes over the training rows.
        valid: batches for loss and AUC after each epoch; never trained on.
        schedule: stepped after each optimizer step.
        clip_norm: largest norm of the gradient; None does not clip.
        accumulate: batches whose gradient makes one step, weighted by their known labels, as one large batch would.
        patience: epochs without a better `monitor` after which the run ends; None never.
        monitor: `valid_loss` or `valid_auc`.
        folder: for `last.pt` and `best.safetensors`; None keeps nothing.
        checkpoint_every: optimizer steps between checkpoints within an epoch; None checkpoints after each epoch.
        device: where to train.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16: the weights stay float32.
        progress: show a bar with loss, learning rate and rows a second.

    Returns:
        The history, the best epoch, and why the run ended.

    Raises:
        ValueError: arguments that do not go together.
        LossError: the loss is not finite.
        CheckpointError: the checkpoint in the folder is torn, or that of another model or run.
        torch.OutOfMemoryError: a batch does not fit; its shapes are named.

    Examples:
        >>> import torch
        >>> from helpers import config, loaders, loops, losses, models
        >>> config.seed_everything(0)
        >>> features = torch.randn(256, 4)
        >>> rows = loaders.array_loader({"features": features}, features[:, :1] > 0, batch_size=32, shuffle=True)
        >>> model = models.MultiHead(models.MLP(4, hidden=(16,)), heads={"positive": 1})
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        >>> run = loops.fit(model, rows, loss=losses.multi_head, optimizer=optimizer, epochs=5, progress=False)
        >>> run.ended, run.history["train_loss"].is_monotonic_decreasing
        ('epochs', True)
    """
    if monitor not in BETTER or epochs < 1 or accumulate < 1:
        raise ValueError(f"monitor={monitor!r}, epochs={epochs}, accumulate={accumulate}: see the docstring of fit")
    if patience is not None and valid is None:
        raise ValueError("patience needs valid: without validation rows there is nothing to watch")
    refuse_backbone(model)
    autocast(device, precision)  # refuses an unknown precision before anything is trained
    run = _Run(model.to(device), train, loss, optimizer, schedule, clip_norm, accumulate, device, precision, progress)
    run.folder = Path(folder) if folder is not None else None
    run.checkpoint_every, run.valid, run.monitor = checkpoint_every, valid, monitor
    run.resume()
    # One bar for all epochs: JupyterLab shows fifty outputs of a cell, and those of bars that are gone count too.
    with _deferred_interrupt() as interrupted, tqdm(total=len(train), disable=not progress, leave=False) as run.bar:
        while not run.fit.ended:
            if run.state["epoch"] >= epochs:
                run.fit.ended = "epochs"
            elif patience is not None and run.state["bad_epochs"] >= patience:
                run.fit.ended = "patience"
            elif not run.epoch(interrupted):
                run.fit.ended = "interrupted"
    run.checkpoint()
    return run.fit


class _Run:
    """The parts of a run and its state: `state` holds plain values, so that it can be written as it is."""

    folder: Path | None
    checkpoint_every: int | None
    valid: DataLoader[Batch] | None
    monitor: str
    bar: Any  # of tqdm

    def __init__(
        self,
        model: nn.Module,
        train: DataLoader[Batch],
        loss: Loss,
        optimizer: Optimizer,
        *rest: Any,  # noqa: ANN401
    ) -> None:
        self.model, self.train, self.loss, self.optimizer = model, train, loss, optimizer
        self.schedule, self.clip_norm, self.accumulate, self.device, self.precision, self.progress = rest
        self.fit = Fit()
        self.state: dict[str, Any] = {"epoch": 0, "batches": 0, "bad_epochs": 0, "best": None} | _no_sums()

    def resume(self) -> None:
        """Take up the run where the folder's last checkpoint left it."""
        if self.folder is None or (saved := checkpoints.load_last(self.folder)) is None:
            return
        self.refuse_other(saved, self.folder)
        checkpoints.restore(self.folder / checkpoints.LAST, self.model, saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(saved["schedule"])
        torch.set_rng_state(saved["rng"])
        if saved["cuda_rng"]:
            torch.cuda.set_rng_state_all(saved["cuda_rng"])
        self.state = saved["state"]
        self.fit = Fit(saved["rows"], saved["best_epoch"])

    def refuse_other(self, saved: dict[str, Any], folder: Path) -> None:
        """CheckpointError when the folder's run cannot be gone on with: all must fit, or nothing is restored."""
        own, kept = self.optimizer.param_groups, saved["optimizer"]["param_groups"]
        alike = [len(group["params"]) for group in own] == [len(group["params"]) for group in kept]
        peaks = [[group.get("initial_lr") for group in groups] for groups in (own, kept)]
        if not alike or peaks[0] != peaks[1] or (saved["schedule"] is None) != (self.schedule is None):
            what = "other parameter groups, another learning rate or another schedule"
        elif saved["state"]["batches"] and not hasattr(self.train.batch_sampler, "start"):
            what = "batches of its epoch done, and this loader cannot skip them (it needs an EpochBatchSampler)"
        else:
            return
        path = folder / checkpoints.LAST
        raise checkpoints.CheckpointError(f"{path}: a run with {what}; name another folder or delete the file")

    def checkpoint(self) -> None:
        """Write everything that the next step depends on."""
        if self.folder is None:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "state": self.state,
            "rows": self.fit.rows,
            "best_epoch": self.fit.best_epoch,
        }
        checkpoints.save_last(self.folder, state)

    def epoch(self, interrupted: threading.Event) -> bool:
        """Train one epoch from where it stands, evaluate, checkpoint; False when Ctrl-C ended it early."""
        state, start = self.state, time.perf_counter()
        sampler: Any = self.train.batch_sampler
        if hasattr(sampler, "start"):
            sampler.start(state["epoch"], skip=state["batches"])
        self.model.train()
        batches, steps, seen = _quietly(self.train), 0, 0
        self.begin_bar()
        while group := list(islice(batches, self.accumulate)):
            self.step(group)
            steps, seen = steps + 1, seen + sum(len(labels) for _, labels in group)
            self.bar.update(len(group))
            if self.progress and steps % 10 == 0:
                lr, speed = self.optimizer.param_groups[0]["lr"], seen / (time.perf_counter() - start)
                self.bar.set_postfix_str(f"loss {self.train_loss():.4f}, lr {lr:.2g}, {speed:,.0f} rows/s")
            if interrupted.is_set():
                return False
            if self.checkpoint_every and steps % self.checkpoint_every == 0:
                self.checkpoint()
        self.end_epoch(seen, time.perf_counter() - start)
        return True

    def begin_bar(self) -> None:
        """Set the bar to where the epoch stands."""
        if self.progress:
            self.bar.set_description(f"epoch {self.state['epoch'] + 1}", refresh=False)
            self.bar.set_postfix_str("", refresh=False)
            self.bar.reset()
            self.bar.initial = self.bar.n = self.state["batches"]

    def step(self, group: list[Batch]) -> None:
        """One optimizer step on the batches of a group."""
        counts = [known(labels) for _, labels in group]
        total = max(sum(counts), 1)
        self.model.zero_grad(set_to_none=True)  # what the optimizer does not train would gather gradients
        for (inputs, labels), count in zip(group, counts, strict=True):
            value = self.forward(inputs, labels)
            shown = value.item()
            if not math.isfinite(shown):
                place = self.state["batches"] + 1
                raise LossError(f"the loss is {shown} at epoch {self.state['epoch'] + 1}, batch {place}")
            (value if count == total else value * (count / total)).backward()
            self.state["loss_sum"] += shown * count
            self.state["loss_count"] += count
            self.state["batches"] += 1
        if self.clip_norm is not None:
            trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.clip_norm)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def forward(self, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """The loss of a batch."""
        try:
            with autocast(self.device, self.precision):
                out = self.model(**move(inputs, self.device))
            return self.loss(out, labels.to(self.device))
        except torch.OutOfMemoryError as error:
            shapes = {name: tuple(part.shape) for name, part in inputs.items()}
            raise torch.OutOfMemoryError(
                f"a batch of {shapes} does not fit: take a smaller batch_size (with accumulate=...), or shorter texts"
            ) from error

    def train_loss(self) -> float:
        """Mean over the labels trained on in this epoch."""
        return self.state["loss_sum"] / max(self.state["loss_count"], 1)

    def end_epoch(self, seen: int, seconds: float) -> None:
        """Evaluate, add a row to the history, keep the best weights, checkpoint."""
        row = {"epoch": self.state["epoch"] + 1, "train_loss": self.train_loss()}
        if self.valid is not None:
            scores = evaluate(self.model, self.valid, loss=self.loss, device=self.device, precision=self.precision)
            row |= {"valid_loss": scores["loss"], "valid_auc": scores["auc"]}
        row |= {"lr": self.optimizer.param_groups[0]["lr"], "seconds": seconds, "rows_per_s": seen / seconds}
        self.fit.rows.append(row)
        self.state |= {"epoch": self.state["epoch"] + 1, "batches": 0} | _no_sums()
        value = row.get(self.monitor)
        best = self.state["best"]
        known_value = value is not None and not math.isnan(value)
        if known_value and (best is None or BETTER[self.monitor] * (value - best) > 0):
            self.state |= {"best": value, "bad_epochs": 0}
            self.fit.best_epoch = row["epoch"]
            if self.folder is not None:
                checkpoints.save_best(self.folder, self.model)
        else:
            self.state["bad_epochs"] += 1
        self.checkpoint()


def _quietly(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """An iterator over the loader; making one draws a random number, which a resumed epoch would draw twice."""
    before = torch.get_rng_state()
    batches = iter(loader)
    torch.set_rng_state(before)
    return batches


def _no_sums() -> dict[str, float]:
    return {"loss_sum": 0.0, "loss_count": 0}


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the loop looks at between steps; the second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
