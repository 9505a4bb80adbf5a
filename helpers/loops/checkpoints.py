"""Write and read the state of a run: whole or not at all, tensors and plain values only, one writer per folder."""

import os
import pickle
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from helpers.models.persistence import clean_state_dict, load_clean_state_dict

LAST, BEST, LOCK = "last.pt", "best.safetensors", "fit.lock"
_STATE: dict[str, Any] = {
    "rows": list,
    "best_epoch": int | None,
    "ended": str,
    "epoch": int,
    "batches": int,
    "loss_sum": float,
    "loss_count": int,
    "best": float | None,
    "bad_epochs": int,
}
_KINDS: dict[str, Any] = {
    "model": dict,
    "optimizer": dict,
    "scheduler": dict | None,
    "rng": Tensor,
    "cuda_rng": list,
    "loader_rng": list,
    "state": dict,
    "fingerprint": dict,
    "limits": dict,
}


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loops, models
        >>> Path("run").mkdir()
        >>> _ = Path("run/best.safetensors").write_bytes(b"no weights")
        >>> loops.load_best("run", models.MLP())
        Traceback (most recent call last):
            ...
        helpers.loops.checkpoints.CheckpointError: ...best.safetensors: no whole weights ...
    """


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
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        message = f"{folder}: another run of fit writes into this folder; wait until it ends, or choose another folder"
        raise CheckpointError(message) from error
    try:
        for name in (LAST, BEST):
            for remains in folder.glob(f"{name}*.part"):
                remains.unlink()
        yield
    finally:
        lock.release()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new file of a unique name beside `path`; when all is written, flush it to the disk and rename it."""
    path = path.resolve()
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with partial.open("xb") as file:
        mode = os.fstat(file.fileno()).st_mode  # as the umask has it; safetensors would make the file private
    try:
        yield partial
        partial.chmod(mode)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def save_last(folder: Path, state: dict[str, Any]) -> None:
    """Write `last.pt`."""
    with replacing(folder / LAST) as partial:
        torch.save(state, partial)


def load_last(folder: Path) -> dict[str, Any] | None:
    """Read `last.pt`; None when there is none.

    Raises:
        CheckpointError: the file is damaged, or no checkpoint of `fit`, or one without a fingerprint.
    """
    path = folder / LAST
    if not os.path.lexists(path):
        return None
    advice = "delete it to begin anew, or choose another folder"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several unrelated kinds for a file that is no checkpoint
        # torch's own message tells the reader to load the file as code.
        foreign = isinstance(error, pickle.UnpicklingError)
        shown = "it holds more than tensors and plain values" if foreign else str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not a whole checkpoint ({shown}); {advice}") from error
    if damaged is not None:
        raise CheckpointError(f"{path}: not a whole checkpoint ({damaged} is damaged); {advice}")
    if not isinstance(state, dict) or not {"model", "optimizer", "state"} <= state.keys():
        result = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(f"{path}: no checkpoint of fit (it holds {str(result)[:200]}); {advice}")
    if "fingerprint" not in state:
        raise CheckpointError(f"{path}: has no fingerprint, so an older version of this package wrote it; {advice}")
    wrong = [name for name, kind in _KINDS.items() if name not in state or not isinstance(state[name], kind)]
    if not wrong:
        wrong = _wrong_state(state["state"])
    if wrong:
        raise CheckpointError(f"{path}: not a whole checkpoint (without {', '.join(wrong)}); {advice}")
    return state


def _wrong_state(state: dict[str, Any]) -> list[str]:
    """Names of what a run's state lacks, holds as another kind, or should not hold."""
    wrong = [name for name, kind in _STATE.items() if name not in state or not isinstance(state[name], kind)]
    return wrong + [f"a known {name}" for name in state if name not in _STATE]


def save_best(folder: Path, model: nn.Module) -> None:
    """Write the model's weights to `best.safetensors`, under the names that the model has without `torch.compile`."""
    with replacing(folder / BEST) as partial:
        save_file(clean_state_dict(model), partial)


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
        >>> model = models.MLP(4, hidden=(8,), n_labels=1)
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
    restore(path, model, weights)


def restore(path: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a model; CheckpointError names the file when they are those of another shape."""
    try:
        load_clean_state_dict(model, weights)
    except RuntimeError as error:
        shown = " ".join(str(error).split())
        advice = "build that model, or delete the file to begin anew"
        raise CheckpointError(f"{path}: weights of another model ({shown}); {advice}") from error
