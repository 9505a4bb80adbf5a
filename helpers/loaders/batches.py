"""Loaders that give whole batches, `(inputs, labels)`, and the rows that other loaders give."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    default_collate,
    default_convert,
)

from helpers.arguments import as_numbers, check_mapping
from helpers.loaders.row_order import Batch, EpochBatchSampler, check_batch, row_numbers

Array: TypeAlias = ArrayLike | Tensor
Sparse: TypeAlias = sparse.spmatrix | sparse.sparray


class Rows(Dataset[Batch]):
    """N rows with labels (N, L), given as whole batches by `__getitems__`; a class for each kind of inputs."""

    labels: Any  # a float tensor (N, L)

    def inputs_of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """Return the inputs of a batch of rows."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        numbers = row_numbers(rows, len(self))
        return Batch((self.inputs_of(numbers), self.labels.index_select(0, torch.from_numpy(numbers))))

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


class SparseRows(Rows):
    """Rows of a sparse matrix with their labels, sliced a batch at a time and never made dense.

    Args:
        counts: (N, F) sparse matrix; it is stored by rows (CSR).
        labels: (N, L), NaN or negative where unknown, which becomes NaN.

    Examples:
        >>> from scipy import sparse
        >>> from helpers.loaders.batches import SparseRows
        >>> rows = SparseRows(sparse.csr_array([[0, 2, 0], [1, 0, 3]]), [[1], [-1]])
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> {name: part.tolist() for name, part in inputs.items()}, labels.tolist()
        ({'indices': [0, 2], 'offsets': [0], 'values': [1.0, 3.0]}, [[nan]])
    """

    def __init__(self, counts: Sparse, labels: ArrayLike) -> None:
        self.labels = as_targets(labels, counts.shape[0], f"counts have shape {counts.shape}")
        self.counts = sparse.csr_array(counts, dtype=np.float32)

    def inputs_of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """Return the positions and values of the entries that are not zero, as `nn.EmbeddingBag` takes them."""
        part = self.counts[numbers]
        arrays = {"indices": part.indices, "offsets": part.indptr[:-1], "values": part.data}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class ArrayRows(Rows):
    """Rows of whole arrays with their labels, taken a batch at a time: one indexing per array, whatever the batch.

    Args:
        inputs: {name: (N, ...)}, the names those of the model's arguments. float64 becomes float32; whole numbers and
            bool stay what they are.
        labels: (N, L), NaN or negative where unknown, which becomes NaN; class numbers for categorical heads.
    """

    def __init__(self, inputs: Mapping[str, Array], labels: Array) -> None:
        check_mapping("inputs", inputs)
        self.inputs = {name: _own_tensor(f"input {name!r}", values) for name, values in inputs.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in self.inputs.items()}
        rows = {shape[0] if shape else 0 for shape in shapes.values()}
        self.labels = as_targets(labels, rows.pop() if len(rows) == 1 else -1, f"inputs {shapes}")

    def inputs_of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """Return a part of each array."""
        return {name: tensor.index_select(0, torch.from_numpy(numbers)) for name, tensor in self.inputs.items()}


def as_targets(labels: Array, n_rows: int, source: str) -> Tensor:
    """Return labels as float32 (N, L), NaN where negative or missing; ValueError where they do not fit the rows."""
    table = as_numbers("labels", labels)
    if table.ndim != 2 or len(table) != n_rows:
        raise ValueError(f"{source}, labels {table.shape}: expected the same number of rows N, and labels (N, L)")
    return torch.from_numpy(np.where(table < 0, np.nan, table).astype(np.float32))


def _own_tensor(name: str, values: Array) -> Tensor:
    """Return a copy as a tensor on the CPU, so that neither side sees the other's changes."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu().clone()
    else:
        array = np.array(values, order="C")
        tensor = torch.from_numpy(array if array.dtype.kind in "biufc" else as_numbers(name, array))
    return tensor.to(torch.float32) if tensor.dtype == torch.float64 else tensor


def sparse_loader(
    counts: Sparse, labels: ArrayLike, *, batch_size: int = 1024, shuffle: bool = False, seed: int = 0
) -> DataLoader[Batch]:
    """Load sparse counts in batches; every row once an epoch.

    Args:
        counts: (N, F) sparse matrix, such as CountVectorizer gives.
        labels: (N, L) with NaN where unknown.
        batch_size: rows per batch.
        shuffle: a new order each epoch, for training.
        seed: of the orders.

    Returns:
        A DataLoader of `({"indices", "offsets", "values"}, labels (B, L))`.

    Raises:
        ValueError: different numbers of rows, no rows, a batch size below 1.

    Examples:
        >>> from sklearn.feature_extraction.text import CountVectorizer
        >>> from helpers import loaders
        >>> counts = CountVectorizer().fit_transform(["you fool", "you are kind", "what a day"])
        >>> for inputs, labels in loaders.sparse_loader(counts, [[1], [0], [0]], batch_size=2):
        ...     print(inputs["offsets"].tolist(), labels.flatten().tolist())
        [0, 2] [1.0, 0.0]
        [0] [0.0]
    """
    rows = SparseRows(counts, labels)
    return loader_of(rows, EpochBatchSampler(len(rows), batch_size, shuffle=shuffle, seed=seed))


def array_loader(
    inputs: Mapping[str, Array], labels: Array, *, batch_size: int = 1024, shuffle: bool = False, seed: int = 0
) -> DataLoader[Batch]:
    """Load whole arrays in batches; every row once an epoch.

    Args:
        inputs: {name: (N, ...)}, the names those of the model's arguments; float64 becomes float32.
        labels: (N, L), NaN or negative where unknown; class numbers for categorical heads.
        batch_size: rows per batch.
        shuffle: a new order each epoch, for training.
        seed: of the orders.

    Returns:
        A DataLoader of `(inputs {name: (B, ...)}, labels (B, L))`.

    Raises:
        ValueError: different numbers of rows, no rows, a batch size below 1.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders
        >>> loader = loaders.array_loader({"features": np.zeros((5, 12))}, np.zeros((5, 2)), batch_size=2, shuffle=True)
        >>> [len(labels) for inputs, labels in loader]  # no row is dropped
        [2, 2, 1]
    """
    rows = ArrayRows(inputs, labels)
    return loader_of(rows, EpochBatchSampler(len(rows), batch_size, shuffle=shuffle, seed=seed))


class BatchLoader(DataLoader[Batch]):
    """A loader whose batches know their rows, and which knows how many of its epoch it has given.

    Each iteration of a shuffled loader is a new epoch, beginning with epoch 0; `set_epoch` chooses the next one.
    It is what `torchdata` and Lightning call stateful: a run can be resumed in the middle of an epoch.

    Args:
        dataset: gives whole batches by `__getitems__`.
        options: of torch's DataLoader: `batch_sampler`, an `EpochBatchSampler`, `num_workers` and others.

    Examples:
        >>> import torch
        >>> from helpers import loaders
        >>> features, labels = {"features": torch.arange(6)[:, None]}, torch.zeros(6, 1)
        >>> loader, again = (loaders.array_loader(features, labels, batch_size=2) for _ in range(2))
        >>> _ = next(iter(loader))
        >>> again.load_state_dict(loader.state_dict())  # after one batch
        >>> [batch.rows.tolist() for batch in again]
        [[2, 3], [4, 5]]
    """

    batch_sampler: Any  # an EpochBatchSampler, or what Lightning wraps one in
    position = ("progress",)  # names of what an iteration changes
    progress = (0, 0)  # epoch of the iteration that gave the last batch, and the number of its batches so far

    def __init__(self, dataset: Dataset[Batch], **options: Any) -> None:  # noqa: ANN401
        if not callable(getattr(dataset, "__getitems__", None)):
            raise ValueError(
                "expected a data set that gives whole batches by __getitems__, such as helpers.loaders.batches."
                f"ArrayRows, got {type(dataset).__name__}; for one that gives single rows use torch's DataLoader"
            )
        super().__init__(dataset, **{"collate_fn": _as_it_is} | options)

    def _get_iterator(self) -> Any:  # noqa: ANN401
        # torch calls it for each iteration, and its workers copy the data set from here.
        reader = copy.copy(self)
        reader.__dict__["dataset"] = _Positioned(self.dataset)
        return DataLoader._get_iterator(reader)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a generator does all that is asked of it
        # What stands here runs when the first batch is asked for, as in the sampler.
        epoch, skip = self.batch_sampler.epoch, self.batch_sampler.skip
        for number, batch in enumerate(super().__iter__(), skip + 1):
            self.progress = epoch, number
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch, as the sampler's `set_epoch` does."""
        self.batch_sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of its batches that were given, and what their order depends on."""
        sampler = self.batch_sampler
        epoch, batches = (sampler.epoch, sampler.skip) if sampler.chosen else self.progress
        if batches >= len(self):
            epoch, batches = epoch + 1, 0
        return {"epoch": epoch, "batches": batches} | sampler.identity()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next iteration begin where `state_dict` was called.

        Raises:
            ValueError: the state is that of other batches.
        """
        if not {"epoch", "batches"} <= state.keys():
            raise ValueError(f"expected a state with `epoch` and `batches`, got {sorted(state)}")
        own = self.batch_sampler.identity()
        if changed := [name for name in own if state.get(name, own[name]) != own[name]]:
            other = ", ".join(f"{name} was {state[name]} and is {own[name]}" for name in changed)
            raise ValueError(f"the run cannot be resumed within an epoch: {other}. Set them back, or begin anew")
        self.batch_sampler.start(state["epoch"], skip=state["batches"])


class _Positioned(Dataset[Batch]):
    """A data set whose batches know their positions in it, whatever the data set is (a `Subset`, a permutation)."""

    def __init__(self, source: Any) -> None:  # noqa: ANN401
        self.source = source

    def __getitems__(self, rows: Sequence[int]) -> Any:  # noqa: ANN401
        numbers = row_numbers(rows, len(self.source))
        batch = self.source.__getitems__(numbers)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            return batch  # `check_batch` says what it should be
        if len(batch[1]) != len(numbers):
            counts = f"asked for {len(numbers)} rows, got {len(batch[1])} rows of labels"
            raise ValueError(f"{type(self.source).__name__}: {counts}")
        return Batch(batch, torch.from_numpy(numbers))


def _as_it_is(batch: Batch) -> Batch:
    return batch  # a data set gave it: it is a batch already


def loader_of(rows: Dataset[Batch], order: EpochBatchSampler, **options: Any) -> BatchLoader:  # noqa: ANN401
    """Load any data set that gives whole batches, in the order of a sampler; each batch knows its `rows`.

    Args:
        rows: gives whole batches by `__getitems__`, such as `loader.dataset` of a loader of ours, or a `Subset` of it.
        order: of the rows, such as a `LengthBatchSampler`; its numbers are positions in `rows`.
        options: of torch's DataLoader, such as `num_workers`.

    Raises:
        ValueError: a data set that gives single rows, or a sampler of another number of rows.

    Examples:
        >>> import numpy as np
        >>> from torch.utils.data import Subset
        >>> from helpers import loaders
        >>> rows = loaders.array_loader({"features": np.zeros((9, 12))}, np.zeros((9, 2))).dataset
        >>> order = loaders.LengthBatchSampler([7, 3, 5, 4, 6], batch_size=3, shuffle=False)
        >>> [batch.rows.tolist() for batch in loaders.loader_of(Subset(rows, range(4, 9)), order)]
        [[0, 4, 2], [3, 1]]
    """
    held = len(rows)  # type: ignore[arg-type]  # those that give whole batches have a length
    if (drawn := getattr(order, "rows", held)) != held:
        raise ValueError(
            f"order: a sampler of {drawn} rows for a data set of {held}: for a part of the rows take a Subset of them"
        )
    # A generator of its own: without one, each pass over a loader draws from torch's global random state.
    return BatchLoader(rows, **{"batch_sampler": order, "generator": torch.Generator()} | options)


@contextmanager
def same_epoch(loader: Any) -> Iterator[None]:  # noqa: ANN401
    """Leave a loader at its place in its run: iterations within cost no epoch."""
    parts = [loader, getattr(loader, "batch_sampler", None)]
    parts = [part for part in parts if isinstance(part, BatchLoader | EpochBatchSampler)]
    before = [(part, name, getattr(part, name)) for part in parts for name in part.position]
    try:
        yield
    finally:
        for part, name, value in before:
            setattr(part, name, value)


def numbered(loader: Iterable[Any], *, ordered: bool = True) -> Iterator[Batch]:
    """Check the batches of a loader and number their rows: of one of ours, a DataLoader, a list, an iterator.

    ValueError for another form of a batch; where the order cannot be known, or, if not `ordered`, `rows=None`.
    """
    if not isinstance(loader, Iterable):
        raise ValueError(f"expected a loader of batches (inputs, labels), got a {type(loader).__name__}")
    unknown, start, lost = _why_unknown(loader), 0, None
    is_foreign = isinstance(loader, DataLoader) and not isinstance(loader, BatchLoader)
    sampler = getattr(loader, "batch_sampler", None) if is_foreign and _keeps_order(loader) else None
    drawn: Iterable[Any] = copy.copy(sampler) if isinstance(sampler, EpochBatchSampler) else repeat(None)
    for batch, numbers in zip(loader, drawn, strict=False):
        inputs, labels = check_batch(batch)
        rows = getattr(batch, "rows", None) if numbers is None else torch.from_numpy(np.array(numbers))
        if lost not in (None, rows is None):
            raise ValueError("some batches know their rows and others do not: their order is unknown")
        lost = rows is None
        if rows is None and unknown is None:
            rows = torch.arange(start, start + len(labels))
        if rows is None and ordered:
            raise ValueError(
                f"the order of the rows cannot be known: {unknown}. Make it with loaders.array_loader, token_loader or "
                "loader_of, whose batches know their rows, or as DataLoader(..., shuffle=False, drop_last=False)"
            )
        if ordered and not start:
            refuse_reordered(loader, rows, inputs, labels)
        if rows is not None and len(rows) != len(labels):
            raise ValueError(f"a batch has {len(labels)} rows of labels, and knows {len(rows)} rows")
        start += len(labels)
        yield Batch((inputs, labels), rows)


def refuse_reordered(loader: Any, rows: Any, inputs: Mapping[str, Tensor], labels: Tensor) -> None:  # noqa: ANN401
    """Refuse a loader whose collate function reorders the rows of a batch; the batch is made again row by row."""
    if isinstance(loader, BatchLoader) or not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        return
    collate, data = loader.collate_fn, loader.dataset
    if collate in (default_collate, default_convert):
        return

    def contents(part: Iterable[Tensor]) -> list[bytes]:  # of each row, without its padding of zeros
        return [row[row != 0].cpu().numpy().tobytes() for row in part]

    try:
        samples = [data.__getitems__([row]) if hasattr(data, "__getitems__") else [data[row]] for row in rows.tolist()]
        single = [collate(sample) for sample in samples]
        pairs = [(labels, [batch[1] for batch in single])]
        pairs += [(part, [batch[0][name] for batch in single]) for name, part in inputs.items()]
        both = ((contents(part), contents(rows[0] for rows in alone)) for part, alone in pairs)
        is_reordered = any(together != alone and sorted(together) == sorted(alone) for together, alone in both)
    except Exception:  # a collate function or a data set that takes whole batches only
        return
    if is_reordered:
        raise ValueError(
            "the order of the rows cannot be known: the collate function gives the rows of a batch in another "
            "order than it gets them. Let it keep their order, and sort them in the model where that is needed"
        )


def count_rows(loader: Any) -> int | None:  # noqa: ANN401
    """Return the number of rows of a loader's data set; None where it cannot be known."""
    data: Any = loader.dataset if isinstance(loader, DataLoader) and loader.batch_sampler is not None else None
    return None if isinstance(data, IterableDataset) or not hasattr(data, "__len__") else len(data)


def _keeps_order(loader: Any) -> bool:  # noqa: ANN401
    return loader.num_workers == 0 or getattr(loader, "in_order", True)


def _why_unknown(loader: Any) -> str | None:  # noqa: ANN401
    """Say what makes the order of batches that do not know their rows unknown; None where they come in order."""
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
    return None if _keeps_order(loader) else "in_order=False gives batches as they are ready"
