"""Fingerprint a run: everything that its weights depend on, as plain values that are saved, compared and named."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from helpers.loops.digests import Plain, described, digest, is_content, is_hub_dataset, members, plain
from helpers.models.persistence import clean_name

_ROUNDING = {"params", "foreach", "fused", "capturable", "differentiable", "initial_lr"}


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
        >>> from helpers import loaders, losses
        >>> from helpers.loops.fingerprints import fingerprint
        >>> model = torch.nn.Linear(2, 1)
        >>> run = {"loss": losses.bce, "model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
        >>> rows = loaders.array_loader({"input": torch.zeros(4, 2)}, [[0], [1], [1], [0]], batch_size=2)
        >>> saved = fingerprint(data=rows, accumulate=1, **run)
        >>> saved["learning rate"], saved["batch size"], saved["parameter weight"]
        (0.1, 2, 'float32 (1, 2), trained')
        >>> swapped = loaders.array_loader({"input": torch.zeros(4, 2)}, [[0], [1], [0], [1]], batch_size=2)
        >>> own = fingerprint(data=swapped, accumulate=2, **run)
        >>> [name for name in own if own[name] != saved[name]]
        ['training labels', 'accumulate']
    """
    result = dict(_data("training", data))
    parts: dict[str, Any] = {"loss": loss, "model": model, "scheduler": scheduler}
    if isinstance(data, DataLoader):
        result |= dict(_order(data))
    for name, loader in (("training", data), ("validation", valid)):
        if isinstance(loader, DataLoader):
            parts = {f"{name} collate function": loader.collate_fn} | parts
    result |= dict(_data("validation", valid))
    weights = dict(_weights(model))
    known = {id(one): (one, "") for one in (optimizer, *weights.values()) if one is not None}
    for name, part in parts.items():
        result |= dict(described(name, part, known | ({} if part is model else {id(model): (model, "")})))
    result |= {name: _shape(weight) for name, weight in weights.items()}
    result |= {} if optimizer is None else dict(_optimizer(optimizer, model))
    return result | {_words(name): plain(value) for name, value in settings.items()}


def _words(name: str) -> str:
    return "learning rate" if name == "lr" else name.replace("_", " ")


def _data(name: str, data: Any) -> Iterator[tuple[str, Plain]]:  # noqa: ANN401
    """Digests of the parts of a data set, each under its name; none of no data set."""
    if data is None:
        return
    data = data.dataset if isinstance(data, DataLoader) else data
    parts = _columns(data) or ({"data": data} if is_content(data) else members(data)[1])
    inner = {key: _columns(part) for key, part in parts.items()}
    flat = {key: part for key, part in parts.items() if not inner[key]}
    for outer, columns in inner.items():
        flat |= {f"{outer} {key}" if key in flat else key: part for key, part in columns.items()}
    for key, part in flat.items():
        yield f"{name} {key}", plain(part) if isinstance(part, int | float | None) else digest(part)


def _columns(data: Any) -> Mapping[Any, Any]:  # noqa: ANN401
    """The parts of data that have a name each; none of others."""
    if is_hub_dataset(data):
        return {column: data.select_columns([column]) for column in data.column_names}
    if isinstance(data, pd.DataFrame):
        return dict(data.items()) if data.columns.is_unique else {}
    return data if isinstance(data, Mapping) else {}


def _order(loader: DataLoader[Any]) -> Iterator[tuple[str, Plain]]:
    """What the order of a loader's batches depends on."""
    sampler: Any = loader.batch_sampler
    if hasattr(sampler, "identity"):
        yield "order", type(sampler).__name__
        yield from ((_words(name), plain(value)) for name, value in sampler.identity().items() if name != "rows")
        yield "shuffle", bool(sampler.shuffle)
        return
    seeds = [one.initial_seed() for one in generators(loader)]
    yield "seed", plain(seeds) if len(seeds) > 1 else next(iter(seeds), None)
    yield "batch size", getattr(sampler, "batch_size", loader.batch_size)
    source = loader.dataset
    yield from described("sampler", loader.sampler if sampler is None else sampler, {id(source): (source, "")})


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


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"parameter {clean_name(name)}", weight) for name, weight in model.named_parameters())
    yield from ((f"buffer {clean_name(name)}", weight) for name, weight in model.named_buffers())


def _shape(weight: Tensor) -> str:
    trained = "trained" if weight.requires_grad else "frozen"
    mark = f", {trained}" if isinstance(weight, nn.Parameter) else ""
    return f"{str(weight.dtype).removeprefix('torch.')} {tuple(weight.shape)}{mark}"


def _optimizer(optimizer: Optimizer, model: nn.Module) -> Iterator[tuple[str, Plain]]:
    names = {id(weight): clean_name(name) for name, weight in model.named_parameters()}
    held = [[names.get(id(weight), "") for weight in group["params"]] for group in optimizer.param_groups]
    yield "optimizer", type(optimizer).__qualname__
    yield "optimizer groups", f"{' + '.join(str(len(group)) for group in held)} weights ({digest(held)})"
    # A scheduler moves `lr`, and keeps what it was under `initial_lr`.
    groups = [group | {"lr": group.get("initial_lr", group["lr"])} for group in optimizer.param_groups]
    cycled = {"momentum", "betas"} if any("max_momentum" in group for group in groups) else set()
    for key in dict.fromkeys(key for group in groups for key in group if key not in _ROUNDING | cycled):
        values = [plain(group.get(key)) for group in groups]
        yield _words(key), values[0] if len(set(values)) == 1 else ", ".join(map(str, values))
