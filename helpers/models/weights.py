"""Weights under the names that a model has by itself: without `torch.compile`, without copies of other processes."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

Model = TypeVar("Model", bound=nn.Module)

_COMPILED = "_orig_mod"  # torch.compile wraps a module into another one, which keeps it under this name


def clean_name(name: str) -> str:
    """Name of a weight without what `torch.compile` adds to it.

    Examples:
        >>> from helpers.models import weights
        >>> weights.clean_name("encoder._orig_mod.layer.0.bias")
        'encoder.layer.0.bias'
    """
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile`, `DataParallel` or `DistributedDataParallel` wraps; the same weights.

    Parts of it may still be compiled.

    Examples:
        >>> import torch
        >>> from helpers.models import weights
        >>> layer = torch.nn.Linear(2, 1)
        >>> weights.unwrapped(torch.compile(layer)) is layer
        True
    """
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(wrapped := model._modules.get(_COMPILED), nn.Module):
            model = wrapped
        else:
            return model


def without_compiled(model: Model) -> Model:
    """Replace each compiled part of a model by the module that was compiled, in place; return the model.

    Examples:
        >>> import torch
        >>> from helpers.models import weights
        >>> model = torch.nn.Sequential(torch.compile(torch.nn.Linear(2, 1)))
        >>> weights.without_compiled(model)
        Sequential(
          (0): Linear(in_features=2, out_features=1, bias=True)
        )
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if _COMPILED in child._modules:
                setattr(parent, name, unwrapped(child))
    return model


def can_be_saved(weight: Tensor) -> bool:
    """Whether safetensors has a form for a tensor: dense, and of a type that it knows.

    Examples:
        >>> import torch
        >>> from helpers.models import weights
        >>> weights.can_be_saved(torch.ones(2)), weights.can_be_saved(torch.eye(2).to_sparse())
        (True, False)
    """
    from safetensors.torch import save

    if weight.layout is not torch.strided or weight.is_quantized:
        return False
    try:
        save({"weight": torch.empty(0, dtype=weight.dtype)})
    except KeyError:
        return False
    return True


def clean_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights on the CPU as safetensors takes them, under the names of the model without wrappers.

    Tied weights, which safetensors refuses, are stored once per name: they are equal, and loading ties them again.

    Args:
        model: may be compiled, as a whole or in parts, or wrapped for several processes.

    Raises:
        ValueError: the state holds something else than tensors.

    Examples:
        >>> import torch
        >>> from helpers.models import weights
        >>> sorted(weights.clean_state_dict(torch.compile(torch.nn.Linear(2, 1))))
        ['bias', 'weight']
    """
    found: dict[str, Tensor] = {}
    storages = set()
    for name, weight in unwrapped(model).state_dict().items():
        if not isinstance(weight, Tensor):
            raise ValueError(f"{clean_name(name)} is a {type(weight).__name__}: expected a state of tensors only")
        weight = weight.detach().cpu().contiguous()
        storage = weight.untyped_storage().data_ptr()
        found[clean_name(name)] = weight.clone() if storage in storages else weight
        storages.add(storage)
    return found


def load_clean_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `clean_state_dict` returned into a model, which may be compiled or wrapped itself.

    Raises:
        RuntimeError: weights of another model, as `torch.nn.Module.load_state_dict`.

    Examples:
        >>> import torch
        >>> from helpers.models import weights
        >>> model = torch.compile(torch.nn.Linear(2, 1))
        >>> weights.load_clean_state_dict(model, {"weight": torch.ones(1, 2), "bias": torch.ones(1)})
        >>> model.weight.tolist()
        [[1.0, 1.0]]
    """
    model = unwrapped(model)
    names = {clean_name(name): name for name in model.state_dict()}
    model.load_state_dict({names.get(name, name): weight for name, weight in state.items()})
