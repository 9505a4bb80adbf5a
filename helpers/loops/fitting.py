"""Train a model by a loop that can be read, interrupted and resumed."""

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
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

from helpers.arguments import check_choice, check_count, check_mapping, check_number
from helpers.loops import checkpoints, entry_checks
from helpers.loops.evaluation import Batch, Loss, Precision, autocast, evaluate, known, move
from helpers.loops.resuming import Resumable, no_sums
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
    settings: Mapping[str, str | float | bool | None] | None = None,
    device: str = "cpu",
    precision: Precision = "32-true",
    progress: bool = True,
) -> Fit:
    """Train a model; keep the best and the last state; resume from the last state where there is one.

    A run that was killed at any moment and is called again with the same arguments ends with the same weights, bit by
    bit on the CPU: the order of the rows depends on seed and epoch alone, and the checkpoint holds weights, optimizer,
    schedule, random state and running sums. Ctrl-C ends the run after the step in hand; history and checkpoint stay.

    The checkpoint also holds a fingerprint (see `loops.fingerprint`) of everything that the weights depend on: the
    content of both data sets, loss, model, optimizer, schedule, order, batch size, `accumulate`, `clip_norm`,
    `precision`, `monitor`, torch's seed, and your own `settings`. A call with another one of these is refused, and each
    difference is named. What does not change a run's path may differ: `device`, `progress` and `checkpoint_every`; a
    larger `patience`; more `epochs`, without a schedule or with one that was made for as many steps from the start. A
    finished run is read back, and a line says so.

    Modules in evaluation mode, in a model that is not, stay in it while the rest is trained. Afterwards, also after an
    error, each module is in the mode in which it was.

    Args:
        model: gives logits (B, L), or {head: (B, C)}, for `model(**inputs)`; it is moved to the device.
        train: batches of `(inputs, labels (B, L))`, its batch sampler an `EpochBatchSampler` where runs are resumed.
        loss: of logits and labels, a mean over the known labels (`losses.multi_head` is one where all are known, or
            with `reduction="entries"`): batches are weighted by their known labels.
        optimizer: over some or all of the model's parameters, and no others.
        epochs: passes over the training set, 1 or more.
        valid: batches for loss and AUC after each epoch; never trained on.
        schedule: stepped after each optimizer step.
        clip_norm: largest norm of the gradient, above 0; None does not clip.
        accumulate: batches whose gradient makes one step, weighted by their known labels, as one large batch would.
        patience: epochs without a better `monitor` after which the run ends, 1 or more; None never.
        monitor: `valid_loss` or `valid_auc`.
        folder: for `last.pt` and `best.safetensors`, for one run at a time; None keeps nothing.
        checkpoint_every: optimizer steps between checkpoints within an epoch; None checkpoints after each epoch.
        settings: what else the weights depend on, such as how the model was made; recorded in the fingerprint.
        device: where to train.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16: the weights stay float32.
        progress: show a bar with loss, learning rate and rows per second.

    Returns:
        The history, the best epoch, and why the run ended.

    Raises:
        ValueError: arguments that are out of range or do not go together: batches of another form, labels out of range
            or all unknown, an optimizer or a schedule of another model. Nothing was moved, trained or written.
        LossError: the loss, a gradient, a learning rate or a weight is not finite. `last.pt` and `best.safetensors` are
            those from before.
        CheckpointError: the checkpoint in the folder is damaged, or that of another run, or another run writes there.
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
    epochs, accumulate = check_count("epochs", epochs), check_count("accumulate", accumulate)
    patience = None if patience is None else check_count("patience", patience)
    checkpoint_every = None if checkpoint_every is None else check_count("checkpoint_every", checkpoint_every)
    clip_norm = None if clip_norm is None else check_number("clip_norm", clip_norm, above=0)
    check_choice("monitor", monitor, BETTER)
    check_choice("precision", precision, ("32-true", "bf16-mixed"))
    device = entry_checks.check_device(device)
    if patience is not None and valid is None:
        raise ValueError("patience needs valid: without a validation set there is nothing to monitor")
    own = None if folder is None else Path(folder)
    run = _Run(model, train, valid, loss, optimizer, schedule, own, Fit(), epochs=epochs, patience=patience)
    run.monitor, run.accumulate, run.clip_norm, run.precision = monitor, accumulate, clip_norm, precision
    run.device, run.checkpoint_every, run.progress = device, checkpoint_every, progress
    run.settings = {} if settings is None else check_mapping("settings", settings)
    run.check()
    with entry_checks.modes_kept(model) as run.begin_training, checkpoints.locked(run.folder):
        if run.resume() and (ended := run.ending()):
            print(f"{folder}: this run is finished after {len(run.fit.rows)} epochs; read back, nothing was trained")
            run.fit.ended = ended
            return run.fit
        run.move()
        # One bar for all epochs: JupyterLab shows fifty outputs of a cell, and those of bars that are gone count too.
        with (
            _deferred_interrupt() as interrupted,
            tqdm(total=run.batches, disable=not progress, leave=False) as run.bar,
        ):
            while not (ended := run.ending()):
                if not run.epoch(interrupted):
                    ended = "interrupted"
                    run.checkpoint()
                    break
        run.fit.ended = ended
    return run.fit


class _Run(Resumable):
    """The steps and epochs of a run."""

    begin_training: Callable[[], None]
    all_checked: bool  # whether all labels were looked at before the first batch
    has_moved: bool  # whether a step of the epoch had a learning rate above 0
    bar: Any  # of tqdm

    def check(self) -> None:
        """Refuse what does not go together, before anything is moved or written."""
        refuse_backbone(self.model)
        if not callable(self.loss):
            raise ValueError(f"loss={self.loss!r}: expected a function of logits and labels, such as losses.bce")
        entry_checks.check_optimizer(self.model, self.optimizer, self.loss)
        self.all_checked = entry_checks.check_data("train", self.train, self.model, self.precision)
        if self.valid is not None:
            entry_checks.check_data("valid", self.valid, self.model, self.precision)
        if self.schedule is not None:
            # Where a run is resumed, its checkpoint says more.
            is_new = self.folder is None or not (self.folder / checkpoints.LAST).exists()
            steps, done = self.steps(self.epochs) if is_new else 0, getattr(self.schedule, "last_epoch", 0)
            entry_checks.check_schedule(self.schedule, self.optimizer, steps, self.steps(1), done=done)
        if self.folder is not None:
            entry_checks.check_state(self.model)
        entry_checks.warn_of_modes(self.model)

    def epoch(self, interrupted: threading.Event) -> bool:
        """Train one epoch from where it stands, evaluate, checkpoint; False when Ctrl-C ended it early."""
        state, start = self.state, time.perf_counter()
        _start_epoch(self.train, state["epoch"], state["batches"])
        self.begin_training()
        batches, steps, seen, self.has_moved = _quietly(self.train), 0, 0, bool(state["batches"])
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

    def checkpoint(self) -> None:
        """Write the state, unless a weight is not finite."""
        self.refuse_infinite()
        self.write()

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
                raise LossError(f"the loss is {shown} at {self.place(1)}")
            if not value.requires_grad:
                raise ValueError("loss: it depends on no trained weight (detach, or torch.no_grad, in model or loss)")
            (value if count == total else value * (count / total)).backward()
            self.state["loss_sum"] += shown * count
            self.state["loss_count"] += count
            self.state["batches"] += 1
        self.refuse_rates()
        trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        if all(weight.grad is None for weight in trained):
            raise ValueError("optimizer: the loss depends on none of its weights, so nothing would be trained")
        if self.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(trained, self.clip_norm).item()
            if not math.isfinite(norm):
                raise LossError(f"the norm of the gradient is {norm} at {self.place()}; no weight was changed by it")
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def place(self, ahead: int = 0) -> str:
        """Epoch and batch for messages, counted from 1."""
        return f"epoch {self.state['epoch'] + 1}, batch {self.state['batches'] + ahead}"

    def refuse_rates(self) -> None:
        """LossError when a schedule gives a rate with which a step would destroy the weights, or climb."""
        for group in self.optimizer.param_groups:
            self.has_moved |= bool(group["lr"] > 0)
            if not (0 <= group["lr"] < math.inf):
                raise LossError(
                    f"the learning rate is {float(group['lr'])} at {self.place()}; no weight was changed by it"
                )

    def refuse_infinite(self) -> None:
        """LossError when a weight is not finite, so that it is neither kept nor evaluated."""
        if not entry_checks.weights_are_finite(self.model):
            kept = "" if self.folder is None else f"; {self.folder} holds the state from before"
            raise LossError(
                f"a weight is not finite after {self.place()}: lower the learning rate or clip the gradient{kept}"
            )

    def forward(self, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """The loss of a batch."""
        try:
            with autocast(self.device, self.precision):
                out = self.model(**move(inputs, self.device))
            if not self.all_checked:
                entry_checks.check_targets("train", labels, entry_checks.check_outputs("train", out, labels))
            value = self.loss(out, labels.to(self.device))
        except torch.OutOfMemoryError as error:
            shapes = {name: tuple(part.shape) for name, part in inputs.items()}
            raise torch.OutOfMemoryError(
                f"a batch of {shapes} does not fit: take a smaller batch_size (with accumulate=...), or shorter texts"
            ) from error
        if not isinstance(value, Tensor) or value.numel() != 1:
            shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss: expected a tensor of one number, got {shown}; take reduction='mean'")
        return value

    def train_loss(self) -> float:
        """Mean over the labels trained on in this epoch."""
        return self.state["loss_sum"] / max(self.state["loss_count"], 1)

    def end_epoch(self, seen: int, seconds: float) -> None:
        """Evaluate, add a row to the history, keep the best weights, checkpoint."""
        if not self.state["loss_count"]:
            raise ValueError(f"train: no label was known in epoch {self.state['epoch'] + 1}, so nothing was trained")
        self.refuse_infinite()
        if self.schedule is not None and not self.has_moved:
            warnings.warn(
                f"every learning rate was 0 in epoch {self.state['epoch'] + 1}: the schedule let no weight change",
                stacklevel=3,
            )
        row = {"epoch": self.state["epoch"] + 1, "train_loss": self.train_loss()}
        if self.valid is not None:
            scores = evaluate(self.model, self.valid, loss=self.loss, device=self.device, precision=self.precision)
            row |= {"valid_loss": scores["loss"], "valid_auc": scores["auc"]}
        row |= {"lr": self.optimizer.param_groups[0]["lr"], "seconds": seconds, "rows_per_s": seen / seconds}
        self.fit.rows.append(row)
        self.state |= {"epoch": self.state["epoch"] + 1, "batches": 0} | no_sums()
        value, best = row.get(self.monitor), self.state["best"]
        is_known = value is not None and math.isfinite(value)
        if is_known and (best is None or BETTER[self.monitor] * (value - best) > 0):
            self.state |= {"best": value, "bad_epochs": 0}
            self.fit.best_epoch = row["epoch"]
            if self.folder is not None:
                checkpoints.save_best(self.folder, self.model)
        else:
            self.state["bad_epochs"] += 1
        self.write()


def _start_epoch(loader: Any, epoch: int, batches: int) -> None:  # noqa: ANN401
    """Make the next iteration that of an epoch, without batches that are done."""
    if hasattr(loader.batch_sampler, "start"):
        loader.batch_sampler.start(epoch, skip=batches)
    elif hasattr(loader.dataset, "identity"):
        loader.load_state_dict(loader.state_dict() | {"epoch": epoch, "batches": batches})
    else:  # torch's DistributedSampler and streams of `datasets` repeat one order unless they are told the epoch
        sampler = getattr(loader.batch_sampler, "sampler", None)
        parts: list[Any] = [loader, loader.batch_sampler, sampler, loader.sampler, loader.dataset]
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)


def _quietly(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """An iterator over the loader; making one draws a random number, which a resumed epoch would draw twice."""
    before = torch.get_rng_state()
    batches = iter(loader)
    torch.set_rng_state(before)
    return batches


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
