"""Train a model by a loop that can be read, interrupted and resumed."""

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from helpers.arguments import check_choice, check_count, check_number
from helpers.loops import entry_checks
from helpers.loops.checkpoints import BETTER, Fit, RunFolder, holds_run, locked
from helpers.loops.prediction import Batch, Loss, Precision, autocast, evaluate, known, modes_kept, move


class LossError(FloatingPointError):
    """The loss is not finite; the message names epoch and batch. The last checkpoint is left as it was.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, losses, models
        >>> rows = loaders.array_loader({"features": torch.full((8, 4), float("inf"))}, torch.zeros(8, 1))
        >>> model = models.backbones.MLP(4, hidden=(8,), n_labels=1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> loops.fit(model, rows, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False)
        Traceback (most recent call last):
            ...
        helpers.loops.training.LossError: the loss is ... at epoch 1, batch 1
    """


def fit(
    model: nn.Module,
    train: DataLoader[Batch],
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    valid: DataLoader[Batch] | None = None,
    scheduler: LRScheduler | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    patience: int | None = None,
    monitor: str = "valid_loss",
    folder: str | Path | None = None,
    checkpoint_every: int | None = None,
    settings: Mapping[str, str | float | bool | None] | None = None,
    callbacks: Sequence[Callable[[dict[str, float]], None]] = (),
    device: str = "cpu",
    precision: Precision = "32-true",
    progress: bool = True,
) -> Fit:
    """Train a model; keep the best and the last state; resume from the last state where there is one.

    A run that was killed at any moment and is called again with the same arguments ends with the same weights, bit by
    bit on the CPU: the order of the rows depends on seed and epoch alone, and the checkpoint holds weights, optimizer,
    scheduler, random state and running sums. Ctrl-C ends the run after the step in hand; history and checkpoint stay.

    The checkpoint also holds a fingerprint (see `loops.fingerprints`) of everything that the weights depend on: the
    content of both data sets, loss, model, optimizer, scheduler, order, batch size, `accumulate`, `clip_norm`,
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
        scheduler: stepped after each optimizer step.
        clip_norm: largest norm of the gradient, above 0; None does not clip.
        accumulate: batches whose gradient makes one step, weighted by their known labels, as one large batch would.
        patience: epochs without a better `monitor` after which the run ends, 1 or more; None never.
        monitor: `valid_loss` or `valid_auc`.
        folder: for `last.pt` and `best.safetensors`, for one run at a time; None keeps nothing.
        checkpoint_every: optimizer steps between checkpoints within an epoch; None checkpoints after each epoch.
        settings: what else the weights depend on, such as how the model was made; recorded in the fingerprint.
        callbacks: functions that are called with each epoch's row of the history, after its checkpoint: for
            TensorBoard, MLflow or a page of your own. An error in one ends the run, which can be resumed.
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
        >>> model = models.MultiHead(models.backbones.MLP(4, hidden=(16,)), heads={"positive": 1})
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
    check_choice("precision", precision, get_args(Precision))
    device, callbacks = entry_checks.check_device(device), entry_checks.check_functions("callbacks", callbacks)
    if patience is not None and valid is None:
        raise ValueError("patience needs valid: without a validation set there is nothing to monitor")
    recorded = {"accumulate": accumulate, "clip_norm": clip_norm, "precision": precision, "monitor": monitor}
    recorded |= entry_checks.check_settings(settings, recorded)
    limits = {"epochs": epochs, "patience": patience}
    saved = RunFolder(None if folder is None else Path(folder), model, train, optimizer, scheduler, limits)
    all_checked = entry_checks.check_parts(model, train, valid, loss, optimizer, precision)
    if folder is not None:
        entry_checks.check_state(model)
    n_batches = entry_checks.length_of(train)
    steps = epochs * math.ceil((n_batches or 0) / accumulate)
    if scheduler is not None:  # of a run that is resumed, its checkpoint says more
        entry_checks.check_schedule(scheduler, optimizer, 0 if holds_run(folder) else steps, steps // epochs)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    with modes_kept(model) as in_evaluation, locked(saved.folder):
        run = saved.resume(device, steps, {"valid": valid, "loss": loss} | recorded)
        if run.rows and (ended := run.is_over(epochs, patience)):
            print(f"{folder}: this run is finished after {run.epoch} epochs; read back, nothing was trained")
            run.ended = ended
            return run
        # One bar for all epochs: JupyterLab shows fifty outputs of a cell, and those of bars that are gone count too.
        bar = tqdm(total=n_batches, disable=not progress, leave=False)
        with deferred_interrupt() as interrupted, bar:
            while not (ended := run.is_over(epochs, patience)):
                began, n_rows, n_steps, has_moved = time.perf_counter(), 0, 0, bool(run.batches)
                batches = _start_epoch(train, run.epoch, skip=run.batches)
                model.train()
                for module in in_evaluation:
                    module.training = False
                _restart(bar, run)
                while group := list(islice(batches, accumulate)):
                    # 1. Forward and backward: the gradients of the group add up, as those of one large batch would.
                    counts = [known(labels) for _, labels in group]
                    model.zero_grad(set_to_none=True)  # what the optimizer does not train would gather gradients
                    for (inputs, labels), count in zip(group, counts, strict=True):
                        with explained_out_of_memory(inputs):
                            with autocast(device, precision):
                                outputs = model(**move(inputs, device))
                            if not all_checked:
                                entry_checks.check_labels("train", outputs, labels)
                            value = loss(outputs, labels.to(device))
                        shown = _checked_loss(value, run)
                        share = count / max(sum(counts), 1)
                        (value if share == 1 else value * share).backward()
                        run.loss_sum, run.loss_count = run.loss_sum + shown * count, run.loss_count + count
                        run.batches += 1

                    # 2. Clip the gradient.
                    has_moved |= _has_rate(optimizer, run)
                    if all(weight.grad is None for weight in weights):
                        raise ValueError("optimizer: the loss depends on none of its weights, so nothing is trained")
                    if clip_norm is not None:
                        norm = nn.utils.clip_grad_norm_(weights, clip_norm).item()
                        if not math.isfinite(norm):
                            message = f"the norm of the gradient is {norm} at {run.position()}"
                            raise LossError(f"{message}; no weight was changed by it")

                    # 3. Step, and set the learning rate of the next step.
                    optimizer.step()
                    if scheduler is not None:
                        scheduler.step()
                    n_steps, n_rows = n_steps + 1, n_rows + sum(len(labels) for _, labels in group)
                    bar.update(len(group))
                    if progress and n_steps % 10 == 0:
                        speed = n_rows / (time.perf_counter() - began)
                        lr = optimizer.param_groups[0]["lr"]
                        bar.set_postfix_str(f"loss {run.train_loss:.4f}, lr {lr:.2g}, {speed:,.0f} rows/s")
                    if interrupted.is_set():
                        break
                    if checkpoint_every and n_steps % checkpoint_every == 0 and run.batches != n_batches:
                        _refuse_infinite(model, run, folder)
                        saved.save_last(run)

                _refuse_infinite(model, run, folder)
                if interrupted.is_set():
                    ended = "interrupted"
                    saved.save_last(run)
                    break
                if not run.loss_count:
                    raise ValueError(f"train: no label was known in epoch {run.epoch + 1}, so nothing was trained")
                if scheduler is not None and not has_moved:
                    message = f"every learning rate was 0 in epoch {run.epoch + 1}: the schedule let no weight change"
                    warnings.warn(message, stacklevel=2)

                # 4. Evaluate.
                seconds = time.perf_counter() - began
                row: dict[str, Any] = {"epoch": run.epoch + 1, "train_loss": run.train_loss}
                if valid is not None:
                    scores = evaluate(model, valid, loss=loss, device=device, precision=precision)
                    row |= {"valid_loss": scores["loss"], "valid_auc": scores["auc"]}
                row |= {"lr": optimizer.param_groups[0]["lr"], "seconds": seconds, "rows_per_s": n_rows / seconds}
                run.rows.append(row)
                run.epoch, run.batches, run.loss_sum, run.loss_count = run.epoch + 1, 0, 0.0, 0

                # 5. Keep the best weights; checkpoint. The next look at the loop's condition stops early.
                run.bad_epochs += 1
                if run.is_better(row.get(monitor), monitor):
                    run.best, run.best_epoch, run.bad_epochs = row[monitor], run.epoch, 0
                    saved.save_best()
                saved.save_last(run)
                for callback in callbacks:
                    callback(dict(row))
    run.ended = ended
    return run


def _start_epoch(loader: Any, epoch: int, *, skip: int) -> Iterator[Batch]:  # noqa: ANN401
    """The batches of an epoch, without those that are done."""
    if hasattr(loader.batch_sampler, "start"):
        loader.batch_sampler.start(epoch, skip=skip)
    else:  # torch's DistributedSampler and streams of `datasets` repeat one order unless they are told the epoch
        sampler = getattr(loader.batch_sampler, "sampler", None)
        parts: list[Any] = [loader, loader.batch_sampler, sampler, loader.sampler, loader.dataset]
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
    before = torch.get_rng_state()
    batches = iter(loader)  # draws a random number, which a resumed epoch would draw twice
    torch.set_rng_state(before)
    return batches


def _checked_loss(value: Any, run: Fit) -> float:  # noqa: ANN401
    """The loss as a number; an error for what is none, or is not finite."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss: expected a tensor of one number, got {shown}; take reduction='mean'")
    number = value.item()
    if not math.isfinite(number):
        raise LossError(f"the loss is {number} at {run.position(1)}")
    if not value.requires_grad:
        raise ValueError("loss: it depends on no trained weight (detach, or torch.no_grad, in model or loss)")
    return number


def _has_rate(optimizer: Optimizer, run: Fit) -> bool:
    """Whether a learning rate is above 0; LossError for one with which a step would destroy the weights, or climb."""
    for group in optimizer.param_groups:
        if not (0 <= group["lr"] < math.inf):
            raise LossError(
                f"the learning rate is {float(group['lr'])} at {run.position()}; no weight was changed by it"
            )
    return any(group["lr"] > 0 for group in optimizer.param_groups)


def _refuse_infinite(model: nn.Module, run: Fit, folder: str | Path | None) -> None:
    """LossError when a trained weight or a statistic of a batch norm is not finite: it is not kept or evaluated."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._NormBase)]
    tensors: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
    tensors += [buffer for module in norms for buffer in module.buffers() if buffer.is_floating_point()]
    ends = [float(end) for tensor in tensors if tensor.numel() for end in tensor.detach().aminmax()]
    if not all(map(math.isfinite, ends)):
        kept = "" if folder is None else f"; {folder} holds the state from before"
        message = f"a weight is not finite after {run.position()}: lower the learning rate or clip the gradient"
        raise LossError(message + kept)


def _restart(bar: Any, run: Fit) -> None:  # noqa: ANN401
    """Set a progress bar to where the epoch stands."""
    if bar.disable:
        return
    bar.set_description(f"epoch {run.epoch + 1}", refresh=False)
    bar.set_postfix_str("", refresh=False)
    bar.reset()
    bar.initial = bar.n = run.batches


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
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


@contextlib.contextmanager
def explained_out_of_memory(inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Name the shapes of a batch that does not fit into the device's memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        shapes = {name: tuple(part.shape) for name, part in inputs.items()}
        raise torch.OutOfMemoryError(
            f"a batch of {shapes} does not fit: take a smaller batch_size (with accumulate=...), or shorter texts"
        ) from error
