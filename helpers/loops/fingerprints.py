"""Fingerprint a run: everything that its weights depend on, as plain values that are saved, compared and named."""

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Generator, Tensor, device as torch_device, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from helpers.loops.checkpoints import CheckpointError
from helpers.loops.digests import PLAIN, class_code, digest, is_content, is_flat, is_hub_dataset, members, state_names

Plain = str | int | float | bool | None
_SHOWN = 16  # elements of an array that a message may show
_ROUNDING = {"params", "foreach", "fused", "capturable", "differentiable"}
_CONFIG_STATE = {"transformers_version", "torch_dtype", "dtype", "name_or_path", "architectures"}


def fingerprint(
    *,
    data: Any,  # noqa: ANN401
    loss: Any,  # noqa: ANN401
    model: nn.Module,
    optimizer: Optimizer | None = None,
    scheduler: Any = None,  # noqa: ANN401
    valid: Any = None,  # noqa: ANN401
    **settings: Plain,
) -> dict[str, Plain]:
    """Describe a run by plain values: equal for the same run, and different in the entry that was changed.

    Data are compared by their content: values and order, NaN included, whatever their type (int8 or float) or path.
    Of the model, its classes, settings and shapes and which weights are trained are compared; not its weights, which a
    checkpoint replaces. Functions are compared by name, by the values that they hold (arguments of a `partial`,
    closures), and outside installed packages by their globals and their code too. What changes no more than the
    rounding is left out: the device, fused or compiled kernels, worker processes.

    Args:
        data: the training set: a loader (its order counts too), a data set, a table, arrays or texts.
        loss: a function, a `partial`, a module, or its name.
        model: compiled or not.
        optimizer: its class, the settings of all groups, and which weights each group holds are compared.
        scheduler: its class and settings are compared, not the step at which it stands.
        valid: the validation set, which chooses the best weights; of a loader only the data are compared.
        settings: further ones by name, such as `batch_size`, `clip_norm`, `precision` and `seed`.

    Returns:
        Values by name; a digest in the place of large ones.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, losses
        >>> model = torch.nn.Linear(2, 1)
        >>> run = {"loss": losses.bce, "model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
        >>> rows = loaders.array_loader({"input": torch.zeros(4, 2)}, [[0], [1], [1], [0]], batch_size=2)
        >>> saved = loops.fingerprint(data=rows, accumulate=1, **run)
        >>> saved["learning rate"], saved["batch size"], saved["parameter weight"]
        (0.1, 2, 'float32 (1, 2), trained')
        >>> swapped = loaders.array_loader({"input": torch.zeros(4, 2)}, [[0], [1], [0], [1]], batch_size=2)
        >>> own = loops.fingerprint(data=swapped, accumulate=2, **run)
        >>> [name for name in own if own[name] != saved[name]]
        ['training labels', 'accumulate']
    """
    seen = frozenset({id(model), id(optimizer)})
    result = dict(_data("training", data))
    if isinstance(data, DataLoader):
        result |= dict(_order(data))
    result |= dict(_data("validation", valid))
    for name, loader in (("training", data), ("validation", valid)):
        if isinstance(loader, DataLoader):
            result |= dict(_settings(f"{name} collate function", loader.collate_fn, seen))
    result |= dict(_settings("loss", loss, seen))
    result |= dict(_model(model))
    result |= dict(_optimizer(optimizer, model))
    result |= dict(_settings("scheduler", scheduler, seen))
    return result | {_words(name): _plain(value) for name, value in settings.items()}


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
        >>> from helpers import loops
        >>> loops.refuse_other({"learning rate": 0.001}, {"learning rate": 0.003}, where="run/last.pt")
        Traceback (most recent call last):
            ...
        helpers.loops.checkpoints.CheckpointError: run/last.pt: state of another run: learning rate was 0.001 and ...
    """
    names = [name for name in dict.fromkeys([*own, *saved]) if _of(saved, name) != _of(own, name)]
    if not names:
        return
    is_model = any(name.startswith("parameter ") for name in names)
    what = "weights of another model" if is_model else "state of another run"
    # The settings of a part that was replaced as a whole are left out.
    other = tuple(f"{part} " for part in ("loss", "scheduler", "sampler") if part in names)
    names = sorted((name for name in names if not name.startswith(other)), key=_is_of_model)
    changes = [_change(name, _of(saved, name), _of(own, name)) for name in names[:8]]
    more = f"; and {len(names) - 8} more" if len(names) > 8 else ""
    raise CheckpointError(
        f"{where}: {what}: {'; '.join(changes)}{more}. Set them back to resume that run, or choose another "
        f"folder (or delete this one) to start a new one{advice and '. '}{advice}"
    )


def _is_of_model(name: str) -> bool:
    return name.startswith(("parameter ", "buffer ", "model "))


def _of(values: Mapping[str, Plain], name: str) -> Plain:
    return values.get(name, "absent")


def _change(name: str, before: Plain, now: Plain) -> str:
    if all(isinstance(value, str) and value.startswith("digest ") for value in (before, now)):
        return f"{name} changed ({before} -> {str(now).removeprefix('digest ')})"
    return f"{name} was {before} and is {now}"


def _words(name: str) -> str:
    return "learning rate" if name == "lr" else name.replace("_", " ")


def _data(name: str, data: Any) -> Iterator[tuple[str, Plain]]:  # noqa: ANN401
    """Digests of the parts of a data set, each under its name; none of no data set."""
    if data is None:
        return
    data = data.dataset if isinstance(data, DataLoader) else data
    if type(data).__module__.startswith("helpers.loaders") and hasattr(data, "source"):
        data = data.source  # a data set whose batches know their rows
    parts: Mapping[Any, Any] = {"data": data}
    if isinstance(data, pd.DataFrame):
        parts = {column: data[column] for column in data}
    elif isinstance(data, Mapping):
        parts = data
    elif not is_content(data):
        held = members(data)[1]
        parts = {key: part for key, part in held.items() if not isinstance(part, Mapping)}
        for outer, inner in held.items():
            if isinstance(inner, Mapping):
                parts |= {f"{outer} {key}" if key in parts else key: part for key, part in inner.items()}
    for key in [key for key, part in parts.items() if is_hub_dataset(part)]:
        table = parts[key]
        parts = {name: part for name, part in parts.items() if name != key}
        parts |= {f"{key} {column}": table.select_columns([column]) for column in table.column_names}
    for key, part in parts.items():
        yield f"{name} {key}", _plain(part) if isinstance(part, int | float | None) else digest(part)


def _order(loader: DataLoader[Any]) -> Iterator[tuple[str, Plain]]:
    """What the order of a loader's batches depends on."""
    sampler: Any = loader.batch_sampler
    ours: Any = next((part for part in (sampler, loader.dataset) if hasattr(part, "identity")), None)
    if ours is not None:
        yield "order", type(ours).__name__
        yield from ((_words(name), _plain(value)) for name, value in ours.identity().items() if name != "rows")
        yield "shuffle", bool(ours.shuffle)
        return
    seeds = [one.initial_seed() for one in generators(loader)]
    yield "seed", _plain(seeds) if len(seeds) > 1 else next(iter(seeds), None)
    yield "batch size", getattr(sampler, "batch_size", loader.batch_size)
    yield from _settings("sampler", loader.sampler if sampler is None else sampler, frozenset({id(loader.dataset)}))


def generators(loader: DataLoader[Any]) -> list[Generator]:
    """The random generators that a loader and its samplers draw from, each once.

    Examples:
        >>> import torch
        >>> from torch.utils.data import DataLoader, RandomSampler
        >>> from helpers.loops.fingerprints import generators
        >>> own = torch.Generator()
        >>> generators(DataLoader([1, 2], sampler=RandomSampler([1, 2], generator=own))) == [own]
        True
    """
    batches: Any = loader.batch_sampler
    parts: list[Any] = [loader, batches, getattr(batches, "sampler", None), loader.sampler]
    result = [part.generator for part in parts if isinstance(getattr(part, "generator", None), Generator)]
    return list({id(one): one for one in result}.values())


def _model(model: nn.Module) -> Iterator[tuple[str, Plain]]:
    """Classes and settings of all modules, shapes of all weights, and which of them are trained."""
    configs: set[int] = set()
    for path, module in model.named_modules():
        if "_orig_mod" in module._modules:
            continue  # what torch.compile wraps around a module
        name = f"model {_path(path)}".strip()
        yield name, type(module).__qualname__
        if code := class_code(type(module)):
            yield f"{name} code", code
        for key, value in vars(module).items():
            if key.startswith("_") or key in state_names(module) or id(value) in configs:
                continue
            if hasattr(value, "to_dict"):
                configs.add(id(value))
                yield from _config(f"{name} {key}", value.to_dict())
            elif not isinstance(value, nn.Module):
                yield from _settings(f"{name} {key}", value, frozenset({id(model), id(module)}))
    for path, weight in model.named_parameters():
        yield f"parameter {_path(path)}", f"{_shape(weight)}, {'trained' if weight.requires_grad else 'frozen'}"
    yield from ((f"buffer {_path(path)}", _shape(weight)) for path, weight in model.named_buffers())


def _path(path: str) -> str:
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def _shape(weight: Tensor) -> str:
    return f"{str(weight.dtype).removeprefix('torch.')} {tuple(weight.shape)}"


def _config(name: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Plain]]:
    for key, value in config.items():
        if not key.startswith("_") and key not in _CONFIG_STATE:
            yield f"{name} {key}", _plain(value)


def _optimizer(optimizer: Optimizer | None, model: nn.Module) -> Iterator[tuple[str, Plain]]:
    if optimizer is None:
        return
    yield "optimizer", type(optimizer).__qualname__
    groups, names = optimizer.param_groups, {id(weight): _path(name) for name, weight in model.named_parameters()}
    held = [[names.get(id(weight), "") for weight in group["params"]] for group in groups]
    yield "optimizer groups", f"{' + '.join(str(len(group)) for group in held)} weights ({digest(held)})"
    cycled = {"momentum", "betas"} if any("max_momentum" in group for group in groups) else set()
    for key in dict.fromkeys(key for group in groups for key in group):
        if key not in _ROUNDING | cycled | {"initial_lr"}:
            # A scheduler moves `lr`, and keeps what it was under `initial_lr`.
            values = [
                _plain(group.get("initial_lr", group["lr"]) if key == "lr" else group.get(key)) for group in groups
            ]
            yield _words(key), values[0] if len(set(values)) == 1 else ", ".join(map(str, values))


def _settings(name: str, value: Any, seen: frozenset[int]) -> Iterator[tuple[str, Plain]]:  # noqa: ANN401
    """A setting and what it consists of, each under its name."""
    if isinstance(value, list | tuple) and not is_flat(value):
        same = all(part is value[0] for part in value)
        for number, part in enumerate(value[:1] if same else value, 1):
            yield from _settings(name if same else f"{name} {number}", part, seen)
    elif isinstance(value, Mapping) and not is_flat(value):
        for key, part in value.items():
            yield from _settings(f"{name} {key}", part, seen)
    elif is_content(value):
        yield name, _shown(value)
    elif id(value) not in seen:
        kind, held = members(value)
        yield name, kind
        for key, part in held.items():
            yield from _settings(f"{name} {key}", part, seen | {id(value)})


def _shown(value: Any) -> Plain:  # noqa: ANN401
    """A value as a message can show it, or its digest."""
    if isinstance(value, Tensor | np.ndarray):
        size = value.numel() if isinstance(value, Tensor) else value.size
        return _plain(value.tolist()) if size <= _SHOWN else digest(value)
    return _plain(value) if is_flat(value) or isinstance(value, torch_device | Enum) else digest(value)


def _plain(value: Any) -> Plain:  # noqa: ANN401
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    if isinstance(value, PLAIN) and not (isinstance(value, str) and len(value) > 200):
        return value
    value = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    text = str(value)
    return text if len(text) <= 200 and " at 0x" not in text else digest(value)
