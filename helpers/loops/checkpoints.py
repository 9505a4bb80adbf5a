"""Write and read the state of a run: whole or not at all, tensors and plain values only."""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

LAST, BEST = "last.pt", "best.safetensors"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loops, models
        >>> Path("run").mkdir()
        >>> _ = Path("run/best.safetensors").write_bytes(b"torn")
        >>> loops.load_best("run", models.MLP())
        Traceback (most recent call last):
            ...
        helpers.loops.checkpoints.CheckpointError: ...best.safetensors: no whole weights ...
    """


def save_last(folder: Path, state: dict[str, Any]) -> None:
    """Write `last.pt` under a temporary name, flush it to the disk, rename it."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{LAST}.part"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / LAST)


def load_last(folder: Path) -> dict[str, Any] | None:
    """Read `last.pt`; None when there is none.

    Raises:
        CheckpointError: the file is torn, or holds more than tensors and plain values.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several unrelated kinds for a file that is no checkpoint
        raise CheckpointError(f"{path}: not a whole checkpoint ({error}); delete it to begin anew") from error


def save_best(folder: Path, model: nn.Module) -> None:
    """Write the model's weights to `best.safetensors` under a temporary name, then rename it."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{BEST}.part"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, partial)
    partial.replace(folder / BEST)


def load_best(folder: str | Path, model: nn.Module) -> None:
    """Put the best weights that `fit` kept in a folder into the model.

    Args:
        folder: the folder that `fit` was given; it holds `best.safetensors`.
        model: of the same shapes as the one that was trained.

    Raises:
        CheckpointError: no such file, a torn one, or weights of another shape.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, losses, models
        >>> features, labels = torch.randn(64, 4), torch.randint(0, 2, (64, 1))
        >>> rows = loaders.array_loader({"features": features}, labels)
        >>> model = models.MLP(4, hidden=(8,), n_labels=1)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> settings = {"loss": losses.bce, "optimizer": optimizer, "epochs": 2, "progress": False}
        >>> run = loops.fit(model, rows, valid=rows, folder="run", **settings)
        >>> loops.load_best("run", model)  # the weights of the epoch with the smallest valid loss
    """
    path = Path(folder) / BEST
    try:
        weights = load_file(path)
    except Exception as error:  # safetensors has an error type of its own beside OSError
        raise CheckpointError(f"{path}: no whole weights ({error}); fit the model again") from error
    restore(path, model, weights)


def restore(path: Path, model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights into a model; CheckpointError names the file when they are those of another shape."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: weights of another model ({error}); build that model or delete the file"
        ) from error
