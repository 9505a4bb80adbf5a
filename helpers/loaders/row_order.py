"""Restore a data set's order from batches that know their rows, and check the form of a batch."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    SequentialSampler,
    default_collate,
    default_convert,
)

from helpers.arguments import check_count
from helpers.loaders.batches import Batch, BatchLoader
from helpers.loaders.samplers import EpochBatchSampler

FORM = "expected a batch (inputs, labels): a dict of tensors for model(**inputs), and a float tensor (B, L)"
WAY_OUT = (
    "Make it with loaders.array_loader, token_loader or loader_of, whose batches know their rows, or as "
    "DataLoader(..., shuffle=False, drop_last=False)"
)


def check_batch(batch: Any) -> tuple[Mapping[str, Tensor], Tensor]:  # noqa: ANN401
    """Return a batch as `(inputs, labels)`, or refuse its form; `loops.fit` and `loops.predict_proba` both ask here.

    Args:
        batch: what a loader gave.

    Raises:
        ValueError: another form; the message says what came, and the line that helps.

    Examples:
        >>> import torch
        >>> from helpers import loaders
        >>> inputs, labels = loaders.check_batch(({"features": torch.zeros(4, 2)}, torch.zeros(4, 1)))
        >>> loaders.check_batch((torch.zeros(4, 2), torch.zeros(4, 1)))
        Traceback (most recent call last):
            ...
        ValueError: expected a batch ... inputs are a Tensor: name it, as in ({'features': inputs}, labels)
    """
    if isinstance(batch, Mapping):
        label = next((name for name in ("labels", "label", "targets") if name in batch), None)
        labels = f"batch[{label!r}].float()" if label else "torch.zeros(B, 0)"
        inputs = f"{{name: part for name, part in batch.items() if name != {label!r}}}" if label else "batch"
        raise ValueError(
            f"{FORM}, got a dict with {list(batch)}. Return ({inputs}, {labels}) from the collate function"
        )
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        parts = f" of {len(batch)} parts" if isinstance(batch, tuple | list) else ""
        raise ValueError(f"{FORM}, got a {type(batch).__name__}{parts}")
    inputs, labels = batch
    if not isinstance(inputs, Mapping):
        kind = type(inputs).__name__
        raise ValueError(f"{FORM}, and its inputs are a {kind}: name it, as in ({{'features': inputs}}, labels)")
    for name, part in inputs.items():
        if not isinstance(name, str) or not isinstance(part, Tensor):
            raise ValueError(f"{FORM}, and its input {name!r} is a {type(part).__name__}, not a tensor")
    if not isinstance(labels, Tensor):
        kind = type(labels).__name__
        raise ValueError(f"{FORM}, and its labels are a {kind}: torch.zeros(B, 0) stands for rows without labels")
    if labels.ndim != 2:
        way = "labels[:, None] is one column" if labels.ndim == 1 else "one column per label is needed"
        raise ValueError(f"{FORM}, and its labels have shape {tuple(labels.shape)}: {way}")
    return inputs, labels


def in_row_order(rows: Any, values: Any, *, n_rows: int | None = None) -> Any:  # noqa: ANN401
    """Put values back into the order of the data set: what batches, or several processes, gave in their own order.

    A row that came twice, as distributed samplers pad, is kept once.

    Args:
        rows: (B,) positions in the data set, such as `Batch.rows`; or a list of them, one per batch or process.
        values: (B, ...) tensor or array; a dict of them; or a list of these, in the order of `rows`.
        n_rows: rows of the data set; None takes the largest position for the last.

    Returns:
        (N, ...), or a dict of them, of the type of `values`.

    Raises:
        ValueError: a row is missing, came twice with different values, or is not in the data set; rows that are
            unknown; another number of values.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders
        >>> ranks = [np.array([0, 2]), np.array([1, 0])]  # positions; row 0 was repeated to fill the last batch
        >>> loaders.in_row_order(ranks, [np.array([0.1, 0.3]), np.array([0.2, 0.1])], n_rows=3)
        array([0.1, 0.2, 0.3])
        >>> loaders.in_row_order(ranks[0], np.array([0.1, 0.3]), n_rows=3)
        Traceback (most recent call last):
            ...
        ValueError: got 2 of 3 rows; the first one missing is row 1. ...
    """
    numbers = joined_rows(rows)
    first = first_places(numbers, n_rows)
    if isinstance(values, list | tuple):
        values = joined(values)
    if isinstance(values, Mapping):
        return {name: _chosen(part, numbers, first, f"{name!r}: ") for name, part in values.items()}
    return _chosen(values, numbers, first)


def joined_rows(rows: Any) -> np.ndarray:  # noqa: ANN401
    """One int64 array of positions from one or many; ValueError where a batch does not know its rows."""
    several = isinstance(rows, list | tuple) and any(part is None or np.ndim(part) for part in rows)
    parts = list(rows) if several else [rows]
    if any(part is None for part in parts):
        raise ValueError("a batch does not know its rows (rows=None): its values cannot be put in order")
    arrays = [np.asarray(part.cpu() if isinstance(part, Tensor) else part) for part in parts]
    if bad := [array for array in arrays if array.ndim != 1 or (array.size and array.dtype.kind not in "iu")]:
        raise ValueError(f"rows of type {bad[0].dtype} and shape {bad[0].shape}: expected whole numbers (B,)")
    return np.concatenate([array.astype(np.int64) for array in arrays])


def joined(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Concatenate tensors, arrays, or dicts of them.

    Raises:
        ValueError: no part, or parts of different shapes or names.
    """
    if not parts:
        raise ValueError("no batch: nothing to put in order")
    first = parts[0]
    if isinstance(first, Mapping):
        if other := next((part for part in parts if part.keys() != first.keys()), None):
            raise ValueError(f"one batch has the outputs {list(first)}, another one {list(other)}")
        return {name: joined([part[name] for part in parts]) for name in first}
    if not np.ndim(first):
        return np.asarray(parts)
    if len(shapes := {tuple(np.shape(part)[1:]) for part in parts}) > 1:
        raise ValueError(
            f"outputs of different shapes per row, {sorted(shapes)}: each batch must give the same columns"
        )
    return torch.cat(list(parts)) if isinstance(first, Tensor) else np.concatenate(parts)


def first_places(numbers: np.ndarray, n_rows: int | None) -> np.ndarray:
    """(N,) where each row of the data set came first; ValueError where one is missing or there are too many."""
    n_rows = None if n_rows is None else check_count("n_rows", n_rows, at_least=0)
    result, first = np.unique(numbers, return_index=True)
    total = int(result[-1]) + 1 if n_rows is None and len(result) else n_rows or 0
    if len(result) and (result[0] < 0 or result[-1] >= total):
        outside = result[0] if result[0] < 0 else result[-1]
        raise ValueError(f"row {outside} is not one of the {total} rows of the data set, 0 to {total - 1}")
    if len(result) < total:
        missing = int(np.argmax(np.append(result, total) != np.arange(len(result) + 1)))
        raise ValueError(
            f"got {len(result)} of {total} rows; the first one missing is row {missing}. Each row must come: "
            "world_size=1, no drop_last, no sampler that leaves rows out, not the middle of an epoch. For the shares "
            "of several processes use loops.predict_proba_share in each of them, then loaders.in_row_order"
        )
    return first


def _chosen(values: Any, numbers: np.ndarray, first: np.ndarray, name: str = "") -> Any:  # noqa: ANN401
    """The values of each row's first place, where the other places do not contradict it."""
    values = values if isinstance(values, Tensor) else np.asarray(values)
    if values.ndim == 0 or len(values) != len(numbers):
        raise ValueError(f"{name}values of shape {tuple(values.shape)} for {len(numbers)} rows: expected one per row")

    def at(places: np.ndarray) -> Any:  # noqa: ANN401
        return values[torch.from_numpy(places).to(values.device) if isinstance(values, Tensor) else places]

    if len(again := np.setdiff1d(np.arange(len(numbers)), first)):
        one, other = (torch.as_tensor(at(places)).double() for places in (again, first[numbers[again]]))
        if not torch.allclose(one, other, rtol=0.05, atol=0.05, equal_nan=True):  # rounding depends on the batch
            raise ValueError(f"{name}a row came twice with different values: are all positions in one data set?")
    return at(first)


def numbered(loader: Iterable[Any], *, ordered: bool = True) -> Iterator[Batch]:
    """Check the batches of a loader and number their rows, whatever the loader is.

    Args:
        loader: one of ours; a DataLoader; batches, as a list or as they come.
        ordered: refuse a loader whose order cannot be known; else its batches have `rows=None`.

    Raises:
        ValueError: the form of a batch, an unknown order, or a loader that gives a part of its rows only.
    """
    if not isinstance(loader, Iterable):
        raise ValueError(f"expected a loader of batches (inputs, labels), got a {type(loader).__name__}")
    unknown, start, lost = _why_unknown(loader), 0, None
    for batch, numbers in zip(loader, _drawn(loader), strict=False):
        inputs, labels = check_batch(batch)
        rows = getattr(batch, "rows", None) if numbers is None else torch.from_numpy(np.array(numbers))
        if lost not in (None, rows is None):
            raise ValueError("some batches know their rows and others do not: their order is unknown")
        lost = rows is None
        if rows is None and unknown is None:
            rows = torch.arange(start, start + len(labels))
        if rows is None and ordered:
            raise ValueError(f"the order of the rows cannot be known: {unknown}. {WAY_OUT}")
        if ordered and not start and rows is not None:
            refuse_reordered(loader, rows, inputs, labels)
        if rows is not None and len(rows) != len(labels):
            raise ValueError(f"a batch has {len(labels)} rows of labels, and knows {len(rows)} rows")
        start += len(labels)
        yield Batch((inputs, labels), rows)


def refuse_reordered(loader: Any, rows: Tensor, inputs: Mapping[str, Tensor], labels: Tensor) -> None:  # noqa: ANN401
    """Refuse a loader whose collate function gives the rows of a batch in another order than it gets them.

    Raises:
        ValueError: the batch holds its rows in another order.
    """
    if _is_reordered(loader, rows, inputs, labels):
        raise ValueError(
            "the order of the rows cannot be known: the collate function gives the rows of a batch in another "
            "order than it gets them. Let it keep their order, and sort them in the model where that is needed"
        )


def _is_reordered(loader: Any, rows: Tensor, inputs: Mapping[str, Tensor], labels: Tensor) -> bool:  # noqa: ANN401
    """Whether a batch of torch's DataLoader holds its rows, taken one by one, in another order."""
    if isinstance(loader, BatchLoader) or not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        return False
    data, collate = loader.dataset, loader.collate_fn
    if collate in (default_collate, default_convert):
        return False
    try:
        samples = [data.__getitems__([row]) if hasattr(data, "__getitems__") else [data[row]] for row in rows.tolist()]
        alone = [collate(sample) for sample in samples]
        pairs = [(labels, [one[1] for one in alone])] + [
            (part, [one[0][key] for one in alone]) for key, part in inputs.items()
        ]
        for together, single in pairs:
            own, wanted = list(map(_content, together)), [_content(part[0]) for part in single]
            if own != wanted and sorted(own) == sorted(wanted):
                return True
    except Exception:  # a collate function or a data set that takes whole batches only
        return False
    return False


def _content(row: Tensor) -> bytes:
    """A row without its padding of zeros."""
    return row[row != 0].cpu().numpy().tobytes()


def count_rows(loader: Any) -> int | None:  # noqa: ANN401
    """Number of rows of a loader's data set; None where it cannot be known. A loader may tell it as `n_rows`."""
    if (told := getattr(loader, "n_rows", None)) is not None:
        return int(told)
    if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        return None
    data: Any = loader.dataset
    return None if isinstance(data, IterableDataset) or not hasattr(data, "__len__") else len(data)


def _in_order(loader: DataLoader[Any]) -> bool:
    return loader.num_workers == 0 or getattr(loader, "in_order", True)


def _drawn(loader: Any) -> Iterable[np.ndarray | None]:  # noqa: ANN401
    """The rows of each batch where one of our samplers serves another loader; else None for each."""
    ours = isinstance(loader, DataLoader) and isinstance(loader.batch_sampler, EpochBatchSampler)
    if ours and not isinstance(loader, BatchLoader) and _in_order(loader):
        return copy.copy(loader.batch_sampler)
    return repeat(None)


def _why_unknown(loader: Any) -> str | None:  # noqa: ANN401
    """What makes the order of batches that do not know their rows unknown; None where they come in order."""
    if isinstance(loader, list | tuple):
        return None
    if isinstance(loader, BatchLoader):
        return "its batches lost their rows on the way (a collate function, or code that rebuilds tuples)"
    if not isinstance(loader, DataLoader):
        return f"a {type(loader).__name__} of batches has no known order (a list is taken as it stands)"
    if isinstance(loader.dataset, IterableDataset):
        return "its data set is an IterableDataset (list(loader) is taken as it stands)"
    batches: Any = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        return f"its batches are drawn by a {type(batches).__name__}"
    if batches is not None and batches.drop_last:
        return "drop_last=True leaves rows out"
    if type(sampler := loader.sampler if batches is None else batches.sampler) is not SequentialSampler:
        return f"its rows are drawn by a {type(sampler).__name__}"
    return None if _in_order(loader) else "in_order=False gives batches as they are ready"
