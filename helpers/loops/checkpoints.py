"""The folder of a run: its state and its best weights, written whole or not at all, and how a run is resumed."""

import math
import os
import pickle
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, get_type_hints

import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

from helpers.loops.digests import Plain
from helpers.loops.entry_checks import is_over
from helpers.loops.fingerprints import fingerprint, generators
from helpers.models.persistence import clean_name, clean_state_dict, load_clean_state_dict

LAST, BEST, LOCK = "last.pt", "best.safetensors", "fit.lock"
BETTER = {"valid_loss": -1, "valid_auc": 1}
_KINDS: dict[str, Any] = dict.fromkeys(("model", "optimizer", "state", "fingerprint", "limits"), dict)
_KINDS |= {"scheduler": dict | None, "rng": Tensor, "cuda_rng": list, "loader_rng": list}


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loops, models
        >>> Path("run").mkdir()
        >>> _ = Path("run/best.safetensors").write_bytes(b"no weights")
        >>> loops.load_best("run", models.backbones.MLP())
        Traceback (most recent call last):
            ...
        helpers.loops.checkpoints.CheckpointError: ...best.safetensors: no whole weights ...
    """


@dataclass
class Fit:
    """The state of a run: its history, and where it stands between two steps. Plain values, written as they are.

    Attributes:
        rows: one dict per epoch, see `history`.
        best_epoch: epoch of the best value of `monitor`, or None before the first.
        ended: why the run ended: `epochs`, `patience` or `interrupted`.
        epoch: epochs that are finished.
        batches: batches of the epoch in hand.
        loss_sum: sum of the training loss over the known labels of these batches.
        loss_count: number of these labels.
        best: best value of `monitor`.
        bad_epochs: epochs since then.

    Examples:
        >>> from helpers.loops.checkpoints import Fit
        >>> run = Fit(rows=[{"epoch": 1, "train_loss": 0.7, "valid_loss": 0.6}], best_epoch=1, ended="epochs")
        >>> run.history
               train_loss  valid_loss
        epoch
        1             0.7         0.6
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    ended: str = ""
    epoch: int = 0
    batches: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float | None = None
    bad_epochs: int = 0

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: train_loss, valid_loss, valid_auc, lr, seconds, rows_per_s."""
        return pd.DataFrame(self.rows).set_index("epoch") if self.rows else pd.DataFrame()

    @property
    def train_loss(self) -> float:
        """Mean loss over the labels trained on in the epoch in hand."""
        return self.loss_sum / max(self.loss_count, 1)

    def is_over(self, epochs: int, patience: int | None) -> str:
        """Why the run is over; empty while it is not."""
        if self.epoch >= epochs:
            return "epochs"
        return "patience" if patience is not None and self.bad_epochs >= patience else ""

    def is_better(self, value: float | None, monitor: str) -> bool:
        """Whether a score of an epoch is known and better than all before."""
        if value is None or not math.isfinite(value):
            return False
        return self.best is None or BETTER[monitor] * (value - self.best) > 0

    def position(self, ahead: int = 0) -> str:
        """Epoch and batch for messages, counted from 1."""
        return f"epoch {self.epoch + 1}, batch {self.batches + ahead}"


def refuse_other(saved: Mapping[str, Plain], own: Mapping[str, Plain], *, where: str | Path, advice: str = "") -> None:
    """Raise an error that names each difference between a saved fingerprint and a run's own, with both values.

    Args:
        saved: the fingerprint in a checkpoint.
        own: the fingerprint of the run that would resume it.
        where: the checkpoint's file, for the message.
        advice: what else to do.

    Raises:
        CheckpointError: there is a difference.

    Examples:
        >>> from helpers.loops.checkpoints import refuse_other
        >>> refuse_other({"learning rate": 0.001}, {"learning rate": 0.003}, where="run/last.pt")
        Traceback (most recent call last):
            ...
        helpers.loops.checkpoints.CheckpointError: run/last.pt: state of another run: learning rate was 0.001 and ...
    """
    pairs = {name: (saved.get(name, "absent"), own.get(name, "absent")) for name in [*own, *saved]}
    names = [name for name, (before, now) in pairs.items() if before != now]
    if not names:
        return
    is_model = any(name.startswith("parameter ") for name in names)
    what = "weights of another model" if is_model else "state of another run"
    # The settings of a part that was replaced as a whole are left out.
    other = tuple(f"{part} " for part in ("loss", "scheduler", "sampler") if part in names)
    names = [name for name in names if not name.startswith(other)]
    names.sort(key=lambda name: name.startswith(("parameter ", "buffer ", "model ")))
    changes = "; ".join(_change(name, *pairs[name]) for name in names[:8])
    more = f"; and {len(names) - 8} more" if len(names) > 8 else ""
    raise CheckpointError(
        f"{where}: {what}: {changes}{more}. Set them back to resume that run, or choose another "
        f"folder (or delete this one) to start a new one{advice and '. '}{advice}"
    )


def _change(name: str, before: Plain, now: Plain) -> str:
    if all(isinstance(value, str) and value.startswith("digest ") for value in (before, now)):
        return f"{name} changed ({before} -> {str(now).removeprefix('digest ')})"
    return f"{name} was {before} and is {now}"


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold a folder for one run, and remove what killed runs left in it; None holds nothing.

    Raises:
        CheckpointError: another run writes into the folder.
        ValueError: the folder is a file.
    """
    if folder is None:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r}: expected a folder, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout as error:
        message = f"{folder}: another run of fit writes into this folder; wait until it ends, or choose another folder"
        raise CheckpointError(message) from error
    with held:
        for remains in [*folder.glob(f"{LAST}*.part"), *folder.glob(f"{BEST}*.part")]:
            remains.unlink()
        yield


def _replace(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a new file of a unique name beside `path`; when all is on the disk, rename it."""
    path = path.resolve()
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def holds_run(folder: str | Path | None) -> bool:
    """Whether there is a run in the folder that `fit` would resume."""
    return folder is not None and (Path(folder) / LAST).exists()


def load_last(folder: Path) -> dict[str, Any] | None:
    """Read `last.pt`; None when there is none.

    Raises:
        CheckpointError: the file is damaged, or no checkpoint of `fit`, or one without a fingerprint.
    """
    path = folder / LAST
    if not os.path.lexists(path):
        return None
    state: Any = None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        state = torch.load(path, map_location="cpu", weights_only=True)
        reason = f"{damaged} is damaged" if damaged else _lacking(state)
    except pickle.UnpicklingError:  # torch's own message tells the reader to load the file as code
        reason = "it holds more than tensors and plain values"
    except Exception as error:  # several unrelated kinds for a file that is no checkpoint
        reason = str(error).partition("\n")[0] or type(error).__name__
    if reason:
        raise CheckpointError(
            f"{path}: not a whole checkpoint of fit ({reason}); delete it to begin anew, or choose another folder"
        )
    return state


def _lacking(state: Any) -> str:  # noqa: ANN401
    """What a checkpoint lacks, or holds as another kind; empty for a whole one."""
    if not isinstance(state, dict):
        return f"it is a {type(state).__name__}"
    wrong = [name for name, kind in _KINDS.items() if not isinstance(state.get(name, ...), kind)]
    if not wrong:
        kinds, run = get_type_hints(Fit) | {"rows": list}, state["state"]
        wrong = [name for name, kind in kinds.items() if not isinstance(run.get(name, ...), kind)]
    return f"without {', '.join(wrong)}: an older version of this package or another one wrote it" if wrong else ""


def load_best(folder: str | Path, model: nn.Module) -> None:
    """Put the best weights that `fit` kept in a folder into the model.

    Args:
        folder: the folder that `fit` was given; it holds `best.safetensors`.
        model: of the same shapes as the one that was trained; compiled or not.

    Raises:
        CheckpointError: no such file, a damaged one, or weights of another shape.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, losses, models
        >>> features, labels = torch.randn(64, 4), torch.randint(0, 2, (64, 1))
        >>> rows = loaders.array_loader({"features": features}, labels)
        >>> model = models.backbones.MLP(4, hidden=(8,), n_labels=1)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> settings = {"loss": losses.bce, "optimizer": optimizer, "epochs": 2, "progress": False}
        >>> run = loops.fit(model, rows, valid=rows, folder="run", **settings)
        >>> loops.load_best("run", model)  # the weights of the epoch with the smallest validation loss
    """
    path = Path(folder) / BEST
    try:
        weights = load_file(path)
    except Exception as error:  # safetensors has an error type of its own beside OSError
        raise CheckpointError(f"{path}: no whole weights ({error}); fit the model again") from error
    _restore(path, model, weights)


def _restore(path: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a model; CheckpointError names the file when they are those of another shape."""
    try:
        load_clean_state_dict(model, weights)
    except RuntimeError as error:
        shown = " ".join(str(error).split())
        advice = "build that model, or delete the file to begin anew"
        raise CheckpointError(f"{path}: weights of another model ({shown}); {advice}") from error


@dataclass
class RunFolder:
    """The folder of a run, or none: writes the state of its parts, and restores it.

    Attributes:
        folder: for `last.pt` and `best.safetensors`; None keeps nothing.
        limits: `epochs` and `patience` of the run.
        fingerprint: of the run; the other attributes are its parts.
    """

    folder: Path | None
    model: nn.Module
    train: DataLoader[Any]
    optimizer: Optimizer
    scheduler: LRScheduler | None
    limits: dict[str, Any]
    fingerprint: dict[str, Plain] = field(default_factory=dict)

    def resume(self, device: str, steps: int, parts: dict[str, Any]) -> Fit:
        """Move the model to a device and restore the last checkpoint; a new state where there is none.

        Args:
            device: of the run.
            steps: of all epochs.
            parts: what else the weights depend on: the validation set, the loss, and settings by name.

        Raises:
            CheckpointError: the checkpoint is damaged, or is that of another run.
        """
        saved = None
        if self.folder is not None:
            saved = load_last(self.folder)
            own: dict[str, Any] = {"data": self.train, "scheduler": self.scheduler, "torch_seed": torch.initial_seed()}
            self.fingerprint = fingerprint(model=self.model, optimizer=self.optimizer, **own | parts)
        if saved is None or self.folder is None:
            self._move(device)
            return Fit()
        path = self.folder / LAST
        try:
            self._refuse_other(saved, path, steps)
            self._move(device)
            self._restore(saved, path)
            return Fit(**saved["state"])
        except (CheckpointError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise CheckpointError(f"{path}: not a whole checkpoint ({error!r}); delete it to begin anew") from error

    def _move(self, device: str) -> None:
        """Move the model, and what the optimizer already knows with it."""
        before = {weight.device for weight in self.model.parameters()}
        self.model.to(device)
        if self.optimizer.state and before != {weight.device for weight in self.model.parameters()}:
            self.optimizer.load_state_dict(self.optimizer.state_dict())

    def _refuse_other(self, saved: dict[str, Any], path: Path, steps: int) -> None:
        """CheckpointError when the folder's run cannot be resumed: all must fit, or nothing is restored."""
        before, now, advice = dict(saved["fingerprint"]), dict(self.fingerprint), ""
        old, own, state = saved["limits"], self.limits, saved["state"]
        done = state["epoch"] + bool(state["batches"])
        changed = any(before.get(name) != now.get(name) for name in before | now if name.startswith("scheduler"))
        longer = own["epochs"] > old["epochs"] and self._schedule_is_over(steps)
        if own["epochs"] != old["epochs"] and (changed or longer or own["epochs"] < done):
            before["epochs"], now["epochs"] = old["epochs"], own["epochs"]
            advice = f"{done} epochs are trained already"
            if own["epochs"] > done:
                way = f"make it for {own['epochs']} epochs from the start, in a new folder"
                advice = f"A schedule cannot be stretched: {way}"
        if own["patience"] is not None and (old["patience"] is None or own["patience"] < old["patience"]):
            before["patience"], now["patience"] = old["patience"], own["patience"]
        refuse_other(before, now, where=path, advice=advice)
        if state["batches"] and not hasattr(self.train.batch_sampler, "start"):
            message = "batches of its epoch are done, and this loader cannot skip them (it needs an EpochBatchSampler)"
            raise CheckpointError(f"{path}: {message}; choose another folder or delete the file")

    def _schedule_is_over(self, steps: int) -> bool:
        """Whether the schedule has no rate left for the last step, or begins to climb again."""
        if isinstance(self.scheduler, CosineAnnealingLR):
            return steps > self.scheduler.T_max
        return bool(steps) and self.scheduler is not None and is_over(self.scheduler, steps, steps)

    def _restore(self, saved: dict[str, Any], path: Path) -> None:
        """Put the saved state into all parts; warn where weights that are not trained are replaced by others."""
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler is not None:
            if saved["scheduler"].keys() != self.scheduler.state_dict().keys():
                raise ValueError("the state of the schedule is not whole")
            self.scheduler.load_state_dict(saved["scheduler"])
        weights = [(clean_name(name), one) for name, one in self.model.named_parameters() if not one.requires_grad]
        if other := [name for name, one in weights if not torch.equal(one.detach().cpu(), saved["model"][name])]:
            warnings.warn(
                f"{path}: {len(other)} frozen weights (the first is {other[0]}) are others than those of this run, "
                "which replace them. Choose another folder to train with your own",
                stacklevel=4,
            )
        _restore(path, self.model, saved["model"])
        torch.set_rng_state(saved["rng"])
        if saved["cuda_rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(saved["cuda_rng"])
        for generator, state in zip(generators(self.train), saved["loader_rng"], strict=True):
            generator.set_state(state)

    def save_last(self, run: Fit) -> None:
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
            (self.folder / BEST).unlink(missing_ok=True)  # that of a run before this one
        _replace(self.folder / LAST, lambda file: torch.save(state, file))

    def save_best(self) -> None:
        """Write the weights as the best ones, under the names that the model has without `torch.compile`."""
        if self.folder is not None:
            _replace(self.folder / BEST, lambda file: file.write(save(clean_state_dict(self.model))))
