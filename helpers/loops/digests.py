"""Digest the content of arrays, tables, texts, data sets and settings."""

import dis
import functools
import inspect
import pickle
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xxhash
from scipy import sparse
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Sampler

PLAIN = (str, int, float, bool, type(None))
_CHUNK = 1 << 15  # elements that are hashed at a time: they stay in a cache
_STRETCH = 200_000  # rows of a file that are mapped into memory at a time
_SIMPLE = (*PLAIN, bytes, np.generic, Enum, torch.dtype, torch.device)
_COLUMN = (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)
_CONTENT = (*_SIMPLE, Sequence, Set, Mapping, np.ndarray, Tensor, pd.DataFrame, *_COLUMN, Path)
# Where a part stands or how it computes, in contrast to what it is set to.
_MODULE_STATE = {"training", "gradient_checkpointing", "name_or_path", "warnings_issued"}
_ORDER_STATE = {"epoch", "skip", "unreleased", "generator", "data_source"}
_SCHEDULE_STATE = {"last_epoch", "_step_count", "_last_lr", "_get_lr_called_within_step", "_is_initial", "base_lrs"}
_SCHEDULE_STATE |= {"verbose", "optimizer", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter"}


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
    for part in _bytes(value, frozenset()):
        state.update(part)
    return f"digest {state.hexdigest()[:16]}"


def is_content(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is data by itself, and no function or object with settings.

    Examples:
        >>> from helpers.loops.digests import is_content
        >>> is_content([1, 2]), is_content(len)
        (True, False)
    """
    return isinstance(value, _CONTENT) or sparse.issparse(value) or is_hub_dataset(value)


def is_flat(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is plain, or a collection of plain values.

    Examples:
        >>> from helpers.loops.digests import is_flat
        >>> is_flat({"heads": [1, 3]}), is_flat([len])
        (True, False)
    """
    if isinstance(value, Mapping):
        return is_flat([*value, *value.values()])
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        return all(map(is_flat, value))
    return isinstance(value, PLAIN)


def members(value: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    """Name of a function or of an object's class, and the settings that it holds, by name.

    Of a module's weights those that are trained count by their shape only.

    Examples:
        >>> from functools import partial
        >>> from helpers.loops.digests import members
        >>> members(partial(sorted, reverse=True))
        ('sorted', {'reverse': True})
    """
    kind = type(value).__qualname__
    if isinstance(value, functools.partial):
        name, held = members(value.func)
        return name, held | {f"argument {index}": part for index, part in enumerate(value.args, 1)} | value.keywords
    if isinstance(value, types.MethodType):
        return value.__func__.__qualname__, {"self": value.__self__}
    if isinstance(value, types.FunctionType):
        # A script's functions belong to `__main__`, or to its module where it is imported: their code identifies them.
        module = f"{value.__module__}." if _is_installed(value.__module__) else ""
        return f"{module}{value.__qualname__}", _held(value)
    if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
        return getattr(value, "__qualname__", value.__name__), {}
    if isinstance(value, Optimizer | torch.Generator):
        return kind, {}
    if hasattr(value, "get_vocab"):  # a tokenizer
        return kind, {"vocabulary": value.get_vocab()}
    if isinstance(value, DataLoader):
        return kind, {"dataset": value.dataset, "batch size": value.batch_size}
    held = {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)} | _variables(value)
    code, skipped = class_code(type(value)), state_names(value)
    if not held and not code:
        return kind, _pickled(value)
    held = {name: part for name, part in held.items() if name not in skipped and not name.startswith("__")}
    return kind, held | ({"code": code} if code else {})


def state_names(value: Any) -> set[str]:  # noqa: ANN401
    """Names of attributes that say where an object stands, and are no settings.

    Examples:
        >>> import torch
        >>> from helpers.loops.digests import state_names
        >>> "training" in state_names(torch.nn.Linear(1, 1)), "training" in state_names([])
        (True, False)
    """
    if isinstance(value, nn.Module):
        return _MODULE_STATE
    if isinstance(value, LRScheduler):
        return _SCHEDULE_STATE
    if isinstance(value, Sampler) or type(value).__module__.startswith("helpers.loaders"):
        return _ORDER_STATE
    return {"epoch"} if hasattr(value, "set_epoch") else set()


def class_code(kind: type) -> str:
    """Digest the methods and plain attributes of a class and its bases, but for those of installed packages.

    Examples:
        >>> import torch
        >>> from helpers.loops.digests import class_code
        >>> class_code(torch.nn.Linear)
        ''
    """
    result: dict[str, Any] = {}
    for base in kind.__mro__:
        if not _is_installed(base.__module__):
            for name, part in vars(base).items():
                function = inspect.unwrap(getattr(part, "fget", None) or getattr(part, "__func__", part))
                if isinstance(function, types.FunctionType):
                    result.setdefault(name, _code(function.__code__))
                elif not name.startswith("_") and is_flat(part):
                    result.setdefault(name, part)
    return digest(result) if result else ""


def _pickled(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """The content of an object that shows none, such as an Arrow table or a date; nothing where it cannot be had."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        return {"content": [content, *(np.frombuffer(part.raw(), dtype=np.uint8) for part in buffers)]}
    except Exception:  # locks, open files and generators, each with an error of its own
        return {}


def _variables(value: Any) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value, nn.Module):
        return getattr(value, "__dict__", {})
    own = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    weights = {**value._parameters, **value._buffers}
    trained = {name: part.shape for name, part in weights.items() if part is not None and part.requires_grad}
    return own | weights | trained | dict(value._modules)


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots: str | Iterable[str] = base.__dict__.get("__slots__", ())
        yield from [slots] if isinstance(slots, str) else slots


def _held(function: types.FunctionType) -> dict[str, Any]:
    """What a function holds in its closure, and outside installed packages in defaults, globals and its code too.

    Variables that a function binds anew, as counters, are no settings.
    """
    code = function.__code__
    bound = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("STORE_DEREF", "STORE_GLOBAL")}
    held: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not bound yet
            held[name] = None
    if not _is_installed(function.__module__):
        defaults = zip(
            reversed(code.co_varnames[: code.co_argcount]), reversed(function.__defaults__ or ()), strict=False
        )
        used = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
        held = dict(defaults) | (function.__kwdefaults__ or {}) | used | held | {"code": _code(code)}
    skipped = (types.ModuleType, type)
    return {name: part for name, part in held.items() if name not in bound and not isinstance(part, skipped)}


def _is_installed(module: str | None) -> bool:
    """Whether a function comes from a package, so that its name says what it does."""
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    top = str(module).split(".")[0]
    if top in ("helpers", "torch") or top in sys.stdlib_module_names:
        return True
    return top != "__main__" and ("site-packages" in file or "dist-packages" in file)


def _code(code: types.CodeType) -> str:
    return digest([code.co_code.hex(), *code.co_names, *map(_constant, code.co_consts)])


def _constant(part: Any) -> str:  # noqa: ANN401
    if isinstance(part, types.CodeType):
        return _code(part)
    # Sets of texts have another order in each process.
    return repr(sorted(map(repr, part)) if isinstance(part, frozenset) else part)


def is_hub_dataset(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a data set of Hugging Face `datasets`.

    Raises:
        ValueError: it is a stream, which shows its content only when all of it is read.

    Examples:
        >>> from helpers.loops.digests import is_hub_dataset
        >>> is_hub_dataset([1, 2])
        False
    """
    is_hub = type(value).__module__.startswith("datasets.") and hasattr(value, "with_format")
    if is_hub and not hasattr(value, "__len__"):
        raise ValueError(
            f"data: a stream ({type(value).__name__} of Hugging Face datasets) cannot be compared with that of a "
            "checkpoint: load it without streaming=True, or train by loops.fit without a folder"
        )
    return is_hub


def _bytes(value: Any, seen: frozenset[int]) -> Iterator[Any]:  # noqa: ANN401
    """The content of a value, as bytes."""
    if isinstance(value, Tensor):
        value = _array(value)
    elif isinstance(value, pd.DataFrame):
        value = [list(value.columns), *(_column(value.iloc[:, number]) for number in range(value.shape[1]))]
    elif isinstance(value, pd.MultiIndex):
        value = value.tolist()
    elif isinstance(value, _COLUMN):
        value = _column(value if isinstance(value, pd.Series) else pd.Series(value))
    if sparse.issparse(value):
        yield from _sparse(value.tocsr())
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield f"array {value.shape}".encode()
        yield from _chunks(value)
    elif isinstance(value, _SIMPLE):
        content = _simple(value)
        yield f"{'text' if isinstance(value, str) else 'value'} {len(content)} ".encode()
        yield content
    elif isinstance(value, Path):
        yield from _file(value) if value.is_file() else _bytes(None, seen)  # what lies there counts, not where
    elif is_hub_dataset(value):
        yield from _table(value)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _bytes(str(key), seen)
            yield from _bytes(value[key], seen)
    elif isinstance(value, Set):
        yield from _bytes(sorted(map(digest, value)), seen)
    elif isinstance(value, Sequence | np.ndarray):
        yield from _sequence(value, seen)
    elif id(value) not in seen:
        name, held = members(value)
        yield from _bytes(name, seen)
        yield from _bytes(held, seen | {id(value)})


def _sparse(rows: Any) -> Iterator[Any]:  # noqa: ANN401
    """The content of a CSR matrix; its positions are whole numbers of a known range, whatever their type."""
    yield f"sparse {rows.shape} {rows.nnz} ".encode()
    positions = np.int32 if max(rows.shape[1], rows.nnz) < 2**31 else np.int64
    for part in (rows.indptr, rows.indices):
        yield np.ascontiguousarray(part, dtype=positions).view(np.uint8)
    yield from _chunks(rows.data)


def _file(path: Path) -> Iterator[bytes]:
    yield f"file {path.stat().st_size} ".encode()
    with path.open("rb") as file:
        yield from iter(functools.partial(file.read, _CHUNK), b"")


def _simple(value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, bytes):
        return value
    value = value.item() if isinstance(value, np.generic) else value
    number = isinstance(value, int | float) and abs(value) < 2**53
    return str(float(value) if number else value).encode("utf-8", "surrogatepass")


def _sequence(values: Sequence[Any] | np.ndarray, seen: frozenset[int]) -> Iterator[Any]:
    numbers = all(isinstance(part, bool | int | float) and not abs(part) >= 2**53 for part in values)
    if len(values) and numbers:
        yield from _bytes(np.asarray(values, dtype=np.float64), seen)
        return
    yield f"sequence {len(values)} ".encode()
    for part in values:
        yield from _bytes(part, seen)


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    tensor = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _column(column: pd.Series) -> Any:  # noqa: ANN401
    """A column's values: numbers as numbers, whatever their type; what is missing as None."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return [None if missing else part for part, missing in zip(column.tolist(), column.isna(), strict=True)]


def _table(dataset: Any) -> Iterator[Any]:  # noqa: ANN401
    """A Hugging Face data set, read as it lies on the disk, a stretch of rows at a time.

    Its own `_fingerprint` says which files and functions made it, and when, not what it holds.
    """
    for start in range(0, len(dataset), _STRETCH):
        # Mapped anew, since pages that were read count as memory of the process until then.
        opened = pickle.loads(pickle.dumps(dataset)) if dataset.cache_files else dataset
        rows = opened.select(range(start, min(start + _STRETCH, len(dataset))))
        for table in rows.with_format("arrow").iter(batch_size=10_000):
            for name in table.column_names:
                yield from _arrow_column(name, table.column(name).combine_chunks())


def _arrow_column(name: str, column: Any) -> Iterator[Any]:  # noqa: ANN401
    yield f"column {name} {len(column)} ".encode()
    while hasattr(column, "offsets") and hasattr(column, "flatten") and not column.null_count:
        yield from _chunks(np.diff(column.offsets.to_numpy()))
        column = column.flatten()
    if column.null_count or not str(column.type).startswith(("int", "uint", "float", "double", "bool")):
        yield from _bytes(column.to_pylist(), frozenset())
    else:
        yield from _chunks(column.to_numpy(zero_copy_only=False))


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """An array's numbers in one form for all types, as bytes: float32 where that holds them exactly."""
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield _narrow(flat[start : start + _CHUNK]).view(np.uint8)


def _narrow(part: np.ndarray) -> np.ndarray:
    if part.dtype.kind in "iu":
        if -(2**24) <= part.min() <= part.max() <= 2**24:
            return part.astype(np.float32)
        if not -(2**53) <= part.min() <= part.max() <= 2**53:
            return part.astype(np.int64 if part.dtype.kind == "i" else np.uint64)
        part = part.astype(np.float64)
    if part.dtype == np.float64:
        with np.errstate(over="ignore"):
            narrow = part.astype(np.float32)
        part = narrow if np.array_equal(narrow, part, equal_nan=True) else part
    part = part.astype(np.promote_types(part.dtype, np.float32) if part.dtype.kind == "f" else np.float32, copy=False)
    # NaN has many forms. A minimum is NaN where one is, and costs less than to look at each number.
    return np.where(np.isnan(part), part.dtype.type(np.nan), part) if np.isnan(part.min()) else part
