"""Resume a run: its parts, what it depends on, and its state between two steps."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

from helpers.loops import checkpoints, entry_checks
from helpers.loops.evaluation import Batch, Loss, Precision
from helpers.loops.fingerprints import Plain, fingerprint, generators, refuse_other
from helpers.models.weights import clean_name, clean_state_dict


def no_sums() -> dict[str, float]:
    """Sums of an epoch that has not begun."""
    return {"loss_sum": 0.0, "loss_count": 0}


def _first_state() -> dict[str, Any]:
    return {"epoch": 0, "batches": 0, "bad_epochs": 0, "best": None} | no_sums()


@dataclass
class Resumable:
    """The parts of a run, its settings, and its state: plain values, so that it can be written as it is."""

    model: nn.Module
    train: DataLoader[Batch]
    valid: DataLoader[Batch] | None
    loss: Loss
    optimizer: Optimizer
    schedule: LRScheduler | None
    folder: Path | None
    fit: Any  # a Fit
    epochs: int
    patience: int | None
    monitor: str = "valid_loss"
    accumulate: int = 1
    clip_norm: float | None = None
    precision: Precision = "32-true"
    device: str = "cpu"
    checkpoint_every: int | None = None
    progress: bool = True
    settings: Mapping[str, Plain] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=_first_state)
    identity: dict[str, Any] = field(default_factory=dict)

    @property
    def batches(self) -> int | None:
        """Batches of an epoch; None for a stream that does not know."""
        try:
            return len(self.train)
        except TypeError:
            return None

    def steps(self, epochs: int) -> int:
        """Optimizer steps of some epochs."""
        return epochs * -(-(self.batches or 0) // self.accumulate)

    def move(self) -> None:
        """Move the model to the device, and what the optimizer already knows with it."""
        before = {weight.device for weight in self.model.parameters()}
        self.model.to(self.device)
        if self.optimizer.state and before != {weight.device for weight in self.model.parameters()}:
            self.optimizer.load_state_dict(self.optimizer.state_dict())

    def resume(self) -> bool:
        """Resume the run where the folder's last checkpoint left it; False where there is none."""
        if self.folder is None:
            return False
        saved, path = checkpoints.load_last(self.folder), self.folder / checkpoints.LAST
        parts: dict[str, Any] = {"data": self.train, "valid": self.valid, "loss": self.loss, "model": self.model}
        parts |= {"optimizer": self.optimizer, "scheduler": self.schedule}
        settings: dict[str, Any] = dict(self.settings)
        settings |= {name: getattr(self, name) for name in ("accumulate", "clip_norm", "precision", "monitor")}
        self.identity = fingerprint(**parts, **settings, torch_seed=torch.initial_seed())
        if saved is None:
            return False
        try:
            self.refuse_other(saved, path)
            self.move()
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.schedule is not None:
                if saved["schedule"].keys() != self.schedule.state_dict().keys():
                    raise ValueError("the state of the schedule is not whole")
                self.schedule.load_state_dict(saved["schedule"])
            self.warn_of_frozen(saved["model"], path)
            checkpoints.restore(path, self.model, saved["model"])
            torch.set_rng_state(saved["rng"])
            if saved["cuda_rng"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(saved["cuda_rng"])
            for generator, state in zip(generators(self.train), saved["loader_rng"], strict=True):
                generator.set_state(state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, checkpoints.CheckpointError | torch.OutOfMemoryError):
                raise
            message = f"{path}: not a whole checkpoint ({error!r}); delete it to begin anew"
            raise checkpoints.CheckpointError(message) from error
        self.state = saved["state"]
        self.fit.rows, self.fit.best_epoch = saved["rows"], saved["best_epoch"]
        return True

    def refuse_other(self, saved: dict[str, Any], path: Path) -> None:
        """CheckpointError when the folder's run cannot be resumed: all must fit, or nothing is restored."""
        before, now, advice = dict(saved["fingerprint"]), dict(self.identity), ""
        old, done = saved["limits"], saved["state"]["epoch"] + bool(saved["state"]["batches"])
        changed = any(before.get(name) != now.get(name) for name in before | now if name.startswith("scheduler"))
        over = self.epochs > old["epochs"] and self.schedule_is_over()
        if self.epochs != old["epochs"] and (changed or over or self.epochs < done):
            before["epochs"], now["epochs"] = old["epochs"], self.epochs
            advice = f"{done} epochs are trained already"
            if self.epochs > done:
                advice = (
                    f"A schedule cannot be stretched: make it for {self.epochs} epochs from the start, in a new folder"
                )
        if self.patience is not None and (old["patience"] is None or self.patience < old["patience"]):
            before["patience"], now["patience"] = old["patience"], self.patience
        refuse_other(before, now, where=path, advice=advice)
        if saved["state"]["batches"] and not _can_skip(self.train):
            message = "batches of its epoch are done, and this loader cannot skip them (it needs an EpochBatchSampler)"
            raise checkpoints.CheckpointError(f"{path}: {message}; choose another folder or delete the file")

    def warn_of_frozen(self, saved: dict[str, Any], path: Path) -> None:
        """Warn where weights that are not trained are others than the checkpoint's, which replace them."""
        weights = [(clean_name(name), one) for name, one in self.model.named_parameters() if not one.requires_grad]
        other = [name for name, one in weights if not torch.equal(one.detach().cpu(), saved[name])]
        if other:
            warnings.warn(
                f"{path}: {len(other)} frozen weights (the first is {other[0]}) are others than those of this run, "
                "which replace them. Choose another folder to train with your own",
                stacklevel=4,
            )

    def schedule_is_over(self) -> bool:
        """Whether the schedule has no rate left for the last step, or begins to climb again."""
        steps = self.steps(self.epochs)
        if not steps:
            return False
        if isinstance(self.schedule, CosineAnnealingLR):
            return steps > self.schedule.T_max
        return self.schedule is not None and entry_checks.is_over(self.schedule, steps, steps)

    def ending(self) -> str:
        """Why the run is over; empty while it is not."""
        if self.state["epoch"] >= self.epochs:
            return "epochs"
        return "patience" if self.patience is not None and self.state["bad_epochs"] >= self.patience else ""

    def write(self) -> None:
        """Write everything that the next step depends on, where the run has a folder."""
        if self.folder is None:
            return
        state = {
            "model": clean_state_dict(self.model),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "loader_rng": [generator.get_state() for generator in generators(self.train)],
            "state": self.state,
            "rows": self.fit.rows,
            "best_epoch": self.fit.best_epoch,
            "fingerprint": self.identity,
            "limits": {"epochs": self.epochs, "patience": self.patience},
        }
        if self.fit.best_epoch is None:
            (self.folder / checkpoints.BEST).unlink(missing_ok=True)  # that of a run before this one
        checkpoints.save_last(self.folder, state)


def _can_skip(loader: DataLoader[Batch]) -> bool:
    return hasattr(loader.batch_sampler, "start") or hasattr(loader.dataset, "identity")
