"""Resume a run: compare what it depends on with its checkpoint, and restore its state between two steps."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

from helpers.loops import checkpoints, entry_checks
from helpers.loops.fingerprints import Plain, fingerprint, generators, refuse_other
from helpers.loops.prediction import Batch, Loss
from helpers.models.persistence import clean_name, clean_state_dict

if TYPE_CHECKING:
    from helpers.loops.training import Fit


class RunFolder:
    """The folder of a run, or none: reads and writes the checkpoints of its parts.

    Args:
        folder: for `last.pt` and `best.safetensors`; None keeps nothing.
        model: that is trained.
        train: the training set.
        optimizer: of the model.
        scheduler: of the optimizer.
        epochs: passes over the training set.
        patience: as `fit`.
    """

    def __init__(
        self,
        folder: str | Path | None,
        model: nn.Module,
        train: DataLoader[Batch],
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        *,
        epochs: int,
        patience: int | None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.model, self.train, self.optimizer, self.scheduler = model, train, optimizer, scheduler
        self.limits: dict[str, Any] = {"epochs": epochs, "patience": patience}
        self.fingerprint: dict[str, Plain] = {}
        if self.folder is not None:
            entry_checks.check_state(model)

    @property
    def is_new(self) -> bool:
        """Whether the folder holds no run."""
        return self.folder is None or not (self.folder / checkpoints.LAST).exists()

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder for this run."""
        return checkpoints.locked(self.folder)

    def move(self, device: str) -> None:
        """Move the model to the device, and what the optimizer already knows with it."""
        before = {weight.device for weight in self.model.parameters()}
        self.model.to(device)
        if self.optimizer.state and before != {weight.device for weight in self.model.parameters()}:
            self.optimizer.load_state_dict(self.optimizer.state_dict())

    def resume(
        self,
        settings: Mapping[str, Any],
        *,
        valid: DataLoader[Batch] | None,
        loss: Loss,
        steps: int,
        device: str,
    ) -> dict[str, Any]:
        """Restore the run of the last checkpoint; the values of its `Fit`, or none where there is no checkpoint.

        Args:
            settings: what the weights depend on beside the parts of the run.
            valid: the validation set.
            loss: of the run.
            steps: of all epochs.
            device: of the run.

        Raises:
            CheckpointError: the checkpoint is damaged, or is that of another run.
        """
        if self.folder is None:
            return {}
        saved, path = checkpoints.load_last(self.folder), self.folder / checkpoints.LAST
        parts: dict[str, Any] = {"data": self.train, "valid": valid, "loss": loss, "model": self.model}
        parts |= {"optimizer": self.optimizer, "scheduler": self.scheduler}
        self.fingerprint = fingerprint(**parts, **settings, torch_seed=torch.initial_seed())
        if saved is None:
            return {}
        with _refused_where_damaged(path):
            self._refuse_other(saved, path, steps)
            self.move(device)
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.scheduler is not None:
                if saved["scheduler"].keys() != self.scheduler.state_dict().keys():
                    raise ValueError("the state of the schedule is not whole")
                self.scheduler.load_state_dict(saved["scheduler"])
            self._warn_of_frozen(saved["model"], path)
            checkpoints.restore(path, self.model, saved["model"])
            torch.set_rng_state(saved["rng"])
            if saved["cuda_rng"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(saved["cuda_rng"])
            for generator, state in zip(generators(self.train), saved["loader_rng"], strict=True):
                generator.set_state(state)
        return saved["state"]

    def _refuse_other(self, saved: dict[str, Any], path: Path, steps: int) -> None:
        """CheckpointError when the folder's run cannot be resumed: all must fit, or nothing is restored."""
        before, now, advice = dict(saved["fingerprint"]), dict(self.fingerprint), ""
        old, own = saved["limits"], self.limits
        done = saved["state"]["epoch"] + bool(saved["state"]["batches"])
        changed = any(before.get(name) != now.get(name) for name in before | now if name.startswith("scheduler"))
        over = own["epochs"] > old["epochs"] and self._schedule_is_over(steps)
        if own["epochs"] != old["epochs"] and (changed or over or own["epochs"] < done):
            before["epochs"], now["epochs"] = old["epochs"], own["epochs"]
            advice = f"{done} epochs are trained already"
            if own["epochs"] > done:
                longer = f"make it for {own['epochs']} epochs from the start, in a new folder"
                advice = f"A schedule cannot be stretched: {longer}"
        if own["patience"] is not None and (old["patience"] is None or own["patience"] < old["patience"]):
            before["patience"], now["patience"] = old["patience"], own["patience"]
        refuse_other(before, now, where=path, advice=advice)
        if saved["state"]["batches"] and not _can_skip(self.train):
            message = "batches of its epoch are done, and this loader cannot skip them (it needs an EpochBatchSampler)"
            raise checkpoints.CheckpointError(f"{path}: {message}; choose another folder or delete the file")

    def _warn_of_frozen(self, saved: Mapping[str, torch.Tensor], path: Path) -> None:
        """Warn where weights that are not trained are others than the checkpoint's, which replace them."""
        weights = [(clean_name(name), one) for name, one in self.model.named_parameters() if not one.requires_grad]
        if other := [name for name, one in weights if not torch.equal(one.detach().cpu(), saved[name])]:
            warnings.warn(
                f"{path}: {len(other)} frozen weights (the first is {other[0]}) are others than those of this run, "
                "which replace them. Choose another folder to train with your own",
                stacklevel=4,
            )

    def _schedule_is_over(self, steps: int) -> bool:
        """Whether the schedule has no rate left for the last step, or begins to climb again."""
        if not steps:
            return False
        if isinstance(self.scheduler, CosineAnnealingLR):
            return steps > self.scheduler.T_max
        return self.scheduler is not None and entry_checks.is_over(self.scheduler, steps, steps)

    def save_last(self, run: "Fit") -> None:
        """Write everything that the next step depends on."""
        if self.folder is None:
            return
        state = {
            "model": clean_state_dict(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "loader_rng": [generator.get_state() for generator in generators(self.train)],
            "state": asdict(run),
            "fingerprint": self.fingerprint,
            "limits": self.limits,
        }
        if run.best_epoch is None:
            (self.folder / checkpoints.BEST).unlink(missing_ok=True)  # that of a run before this one
        checkpoints.save_last(self.folder, state)

    def save_best(self) -> None:
        """Write the weights as the best ones."""
        if self.folder is not None:
            checkpoints.save_best(self.folder, self.model)


@contextmanager
def _refused_where_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, checkpoints.CheckpointError | torch.OutOfMemoryError):
            raise
        message = f"{path}: not a whole checkpoint ({error!r}); delete it to begin anew"
        raise checkpoints.CheckpointError(message) from error


def _can_skip(loader: DataLoader[Batch]) -> bool:
    return hasattr(loader.batch_sampler, "start") or hasattr(loader.dataset, "identity")


def start_epoch(loader: Any, epoch: int, *, skip: int) -> Iterator[Batch]:  # noqa: ANN401
    """The batches of an epoch, without those that are done."""
    if hasattr(loader.batch_sampler, "start"):
        loader.batch_sampler.start(epoch, skip=skip)
    elif hasattr(loader.dataset, "identity"):
        loader.load_state_dict(loader.state_dict() | {"epoch": epoch, "batches": skip})
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
