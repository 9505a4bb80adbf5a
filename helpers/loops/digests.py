"""Describe and digest any object by what it holds: arrays, tables, texts, data sets, functions and modules."""

import dis
import functools
import hashlib
import inspect
import math
import pickle
import sys
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xxhash
from scipy import sparse
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Sampler

from helpers.arguments import is_numeric
from helpers.models.persistence import unwrapped

Plain = str | int | float | bool | None
_PLAIN = (str, int, float, bool, type(None))
_BUFFER = (bytes, bytearray, memoryview, pickle.PickleBuffer)
_VALUE = (*_PLAIN, Enum, torch.dtype, torch.device)
_COLUMN = (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)
_ARRAY = (np.generic, np.ndarray, Tensor)
_CONTENT = (*_BUFFER, *_VALUE, *_ARRAY, *_COLUMN, pd.DataFrame, Sequence, Set, Mapping, Path, types.CodeType)
_CHUNK = 1 << 15  # elements that are hashed at a time: they stay in a cache
_STRETCH = 20_000  # rows of a file that are mapped into memory at a time
# Attributes that say where a part stands or how it computes, in contrast to what it is set to.
_POSITION: dict[type, str] = {
    nn.Module: "training gradient_checkpointing name_or_path warnings_issued",
    Sampler: "epoch skip unreleased generator data_source",
    LRScheduler: "last_epoch _step_count _last_lr _get_lr_called_within_step _is_initial base_lrs verbose optimizer "
    "T_cur T_i best num_bad_epochs cooldown_counter",
}
_CONFIG_STATE = {"transformers_version", "torch_dtype", "dtype", "name_or_path", "architectures"}


def described(name: str, value: Any, seen: dict[int, tuple[Any, str]]) -> Iterator[tuple[str, Plain]]:  # noqa: ANN401
    """Yield a setting and all that it consists of, each under its name, as plain values.

    Args:
        name: of the setting.
        value: a function, a module, any other object, or data.
        seen: objects by `id` with the name under which they are described, empty for those of which nothing is said;
            those that are described are added.

    Examples:
        >>> from functools import partial
        >>> from helpers.loops.digests import described
        >>> dict(described("order", partial(sorted, reverse=True), {}))
        {'order': 'sorted', 'order reverse': True}
    """
    if id(value) in seen:
        if first := seen[id(value)][1]:
            yield name, f"the same as {first}"
        return
    is_part = isinstance(value, nn.Module)  # asked first, since the kinds of content take longer to rule out
    if not is_part and is_content(value) and (_is_flat(value) or not isinstance(value, list | tuple | Mapping)):
        yield name, plain(value)
        return
    seen[id(value)] = value, name  # kept, so that no other object gets its number
    kind, parts = members(value)
    if kind:
        yield name, kind
    for key, part in parts.items():
        yield from described(f"{name} {key}".strip(), part, seen)


def is_content(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is data by itself, and no function or object with settings."""
    return isinstance(value, _CONTENT) or sparse.issparse(value) or is_hub_dataset(value)


def _is_flat(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is plain, or a collection of plain values."""
    if isinstance(value, Mapping):
        return _is_flat([*value, *value.values()])
    if isinstance(value, Sequence | Set) and not isinstance(value, (str, *_BUFFER)):
        return all(map(_is_flat, value))
    return isinstance(value, _VALUE)


def plain(value: Any) -> Plain:  # noqa: ANN401
    """Return a value as a message can show it, or its digest; of weights that are trained the shape.

    Examples:
        >>> from helpers.loops.digests import plain
        >>> plain((0.9, 0.999))
        '(0.9, 0.999)'
    """
    if isinstance(value, nn.Parameter) and value.requires_grad:
        value = tuple(value.shape)
    if isinstance(value, _ARRAY) and math.prod(value.shape) <= 16:
        value = value.tolist()
    if isinstance(value, Set):
        value = sorted(value, key=str)
    if not _is_flat(value) or len(str(value)) > 200:
        return digest(value)
    return value if type(value) in _PLAIN else str(value)  # an `IntEnum` is no plain number in a file


def members(value: Any) -> tuple[str, Mapping[Any, Any]]:  # noqa: ANN401
    """Name of a function or of an object's class, and what it holds, by name; a collection has no name.

    Examples:
        >>> from functools import partial
        >>> from helpers.loops.digests import members
        >>> members(partial(sorted, reverse=True))
        ('sorted', {'reverse': True})
    """
    value = unwrapped(value) if isinstance(value, nn.Module) else value
    kind = type(value).__qualname__
    if isinstance(value, Mapping):
        return "", value
    if isinstance(value, list | tuple):
        is_same = all(part is value[0] for part in value)
        return "", {"": value[0]} if is_same else dict(enumerate(value, 1))
    if isinstance(value, functools.partial):
        kind, parts = members(value.func)
        return kind, {**parts, **{f"argument {n}": part for n, part in enumerate(value.args, 1)}, **value.keywords}
    if isinstance(value, types.MethodType):
        return value.__func__.__qualname__, {"self": value.__self__}
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType | Optimizer | Generator):
        return getattr(value, "__qualname__", getattr(value, "__name__", kind)), {}
    if hasattr(type(value), "get_vocab"):  # a tokenizer
        return kind, {"vocabulary": value.get_vocab()}
    if hasattr(type(value), "to_diff_dict"):  # a configuration of transformers
        items = value.to_dict().items()
        return kind, {key: part for key, part in items if not key.startswith("_") and key not in _CONFIG_STATE}
    parts = _attributes(value) | _class_code(type(value))
    # What a module or a sampler without settings is pickled as says where it stands.
    return kind, parts if parts or isinstance(value, tuple(_POSITION)) else _reduced(value)


def _attributes(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """The attributes of an object that are settings."""
    if isinstance(value, nn.Module):
        own = {name: part for name, part in vars(value).items() if not name.startswith("_")}
        parts: Any = [own, value._parameters, value._buffers, value._modules]
    else:
        state = object.__getstate__(value)  # `__dict__` and `__slots__`, whatever its class makes of pickling
        parts = state if isinstance(state, tuple) else [state]
    position = ["epoch"] if hasattr(type(value), "set_epoch") else []
    for kind, names in _POSITION.items():
        if isinstance(value, kind) or (kind is Sampler and type(value).__module__.startswith("helpers.loaders")):
            position += names.split()
    attributes = (item for part in parts if part for item in part.items())
    return {name: part for name, part in attributes if name not in position and not name.startswith("__")}


def _class_code(kind: type) -> dict[str, str]:
    """A digest of methods and plain attributes of a class and its bases; none of those of installed packages."""
    result: dict[str, Any] = {}
    for base in kind.__mro__:
        for name, part in {} if _is_installed(base.__module__) else vars(base).items():
            function = inspect.unwrap(getattr(part, "fget", None) or getattr(part, "__func__", part))
            if isinstance(function, types.FunctionType):
                result.setdefault(name, function.__code__)
            elif not name.startswith("_") and _is_flat(part):
                result.setdefault(name, part)
    return {"code": digest(result)} if result else {}


def _reduced(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """What an object without attributes, such as an Arrow table or a date, is pickled as; nothing of a lock."""
    try:
        parts = value.__reduce_ex__(5)
    except Exception:  # locks, open files and generators, each with an error of its own
        return {}
    return {"content": parts if isinstance(parts, str) else [part for part in parts[1:] if part is not None]}


def _function(function: types.FunctionType) -> tuple[str, dict[str, Any]]:
    """A function's name and what its closure holds; outside installed packages defaults, globals and code too.

    Variables that a function binds anew, as counters, are no settings.
    """
    code, name = function.__code__, function.__qualname__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    bound = [(key, cell) for key, cell in cells if cell != types.CellType()]  # an empty cell holds no variable yet
    parts = {key: cell.cell_contents for key, cell in bound}
    if _is_installed(function.__module__):
        name = f"{function.__module__}.{name}"
    else:  # a script's functions belong to `__main__`, or to its module where it is imported: their code counts
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
        defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
        used = {key: function.__globals__[key] for key in code.co_names if key in function.__globals__}
        parts = {**defaults, **used, **parts, "code": code}
    if not parts:
        return name, parts
    anew = [step.argval for step in dis.get_instructions(function) if step.opname in ("STORE_DEREF", "STORE_GLOBAL")]
    skipped = (types.ModuleType, type)
    return name, {key: part for key, part in parts.items() if key not in anew and not isinstance(part, skipped)}


@functools.cache
def _is_installed(module: str | None) -> bool:
    """Whether a function comes from a package, so that its name says what it does."""
    top = str(module).partition(".")[0]
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    known = top in ("helpers", "torch") or top in sys.stdlib_module_names
    return top != "__main__" and (known or "site-packages" in file or "dist-packages" in file)


def is_hub_dataset(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a data set of Hugging Face `datasets`; ValueError for a stream, which shows no content."""
    is_hub = type(value).__module__.startswith("datasets.") and hasattr(value, "with_format")
    if is_hub and not hasattr(value, "__len__"):
        raise ValueError(
            f"data: a stream ({type(value).__name__} of Hugging Face datasets) cannot be compared with that of a "
            "checkpoint: load it without streaming=True, or train by loops.fit without a folder"
        )
    return is_hub


def digest(value: Any) -> str:  # noqa: ANN401
    """Digest the content of arrays, tables, texts, data sets or settings: values and order, whatever their type.

    Examples:
        >>> import numpy as np
        >>> from helpers.loops.digests import digest
        >>> digest(np.array([[1, 0]], dtype=np.int8)) == digest(np.array([[1.0, 0.0]]))
        True
        >>> digest(["one", "row"]) == digest(["row", "one"])
        False
    """
    state = xxhash.xxh3_128()
    for part in _bytes(value):
        state.update(part)
    return f"digest {state.hexdigest()[:16]}"


def _bytes(value: Any) -> Iterator[Any]:  # noqa: ANN401
    """The content of a value, as bytes."""
    value = _content(value)
    if isinstance(value, np.ndarray):
        yield f"array {value.shape}".encode()
        flat = np.ascontiguousarray(value).reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            yield _numbers(flat[start : start + _CHUNK]).view(np.uint8)
    elif isinstance(value, list | Iterator):
        yield f"sequence {len(value)} ".encode() if isinstance(value, list) else b"tables"
        for part in value:
            yield from _bytes(part)
    else:
        yield f"content {memoryview(value).nbytes} ".encode()
        yield value


def _numbers(part: np.ndarray) -> np.ndarray:
    """Numbers in one form for all types: float32 where that holds them exactly, else float64 or whole numbers."""
    for kind in (np.float32, np.float64):
        with np.errstate(over="ignore", invalid="ignore"):
            result = part.astype(kind, copy=False)
            same = part.dtype == kind or np.array_equal(result.astype(part.dtype, copy=False), part, equal_nan=True)
        if same:  # NaN has many forms. A minimum is NaN where one is, and costs less than to look at each number
            return np.where(np.isnan(result), kind(np.nan), result) if np.isnan(result.min()) else result
    return part.astype({"i": np.int64, "u": np.uint64}.get(part.dtype.kind, part.dtype))


def _content(value: Any) -> Any:  # noqa: ANN401
    """A value in one form, whatever type holds it: an array of numbers, bytes, or a collection of values."""
    value = _simple(value)
    if isinstance(value, str):
        return b"text " + value.encode("utf-8", "surrogatepass")
    if isinstance(value, Path):  # what lies there counts, not where
        with value.open("rb") as file:
            return hashlib.file_digest(file, xxhash.xxh3_128).digest()
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, *map(_constant, value.co_consts)]
    if isinstance(value, Mapping):
        return [part for key in sorted(value, key=str) for part in (str(key), value[key])]
    if isinstance(value, Set):  # of texts, it has another order in each process
        return sorted(map(digest, value))
    if isinstance(value, (*_BUFFER, np.ndarray)):
        return value
    if isinstance(value, Sequence):
        is_numeric = all(isinstance(part, bool | int | float) and not abs(part) >= 2**53 for part in value)
        return np.asarray(value, dtype=np.float64) if len(value) and is_numeric else list(value)
    if isinstance(value, int | float) and abs(value) < 2**53:
        value = float(value)
    if isinstance(value, _VALUE):
        return f"value {value}".encode()
    return _tables(value) if is_hub_dataset(value) else _content(dict(described("", value, {})))


def _constant(value: Any) -> Any:  # noqa: ANN401
    """A constant in the code of a function, where 1, 1.0 and True differ; a set of texts in an order of its own."""
    if isinstance(value, types.CodeType):
        return value
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _simple(value: Any) -> Any:  # noqa: ANN401
    """Tensors, tables, columns and sparse matrices as arrays of numbers or lists; a missing file as None."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value if value.layout is torch.strided else value.to_dense()
        value = torch.view_as_real(value) if value.is_complex() else value
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, pd.DataFrame):
        return [list(value.columns), *(value.iloc[:, number] for number in range(value.shape[1]))]
    if isinstance(value, _COLUMN):
        column = pd.Series(value.tolist() if isinstance(value, pd.MultiIndex) else value)
        if is_numeric(column):
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return column.astype(object).where(column.notna(), None).tolist()
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"):
        return value.tolist()
    if sparse.issparse(value):  # its positions are whole numbers of a known range, whatever their type
        rows, kind = value.tocsr(), np.int32 if max(*value.shape, value.nnz) < 2**31 else np.int64
        positions = (memoryview(part.astype(kind, copy=False)) for part in (rows.indptr, rows.indices))
        return ["sparse", rows.shape, *positions, rows.data]
    return None if isinstance(value, Path) and not value.is_file() else value


def _tables(dataset: Any) -> Iterator[pd.DataFrame]:  # noqa: ANN401
    """The rows of a Hugging Face data set, whose own `_fingerprint` says what made it and when, not what it holds."""
    for start in range(0, len(dataset), _STRETCH):
        # Mapped anew, since pages that were read count as memory of the process until then.
        opened = pickle.loads(pickle.dumps(dataset)) if dataset.cache_files else dataset
        yield opened.select(range(start, min(start + _STRETCH, len(dataset)))).to_pandas()
