"""Rows of sparse matrices and of whole arrays, a batch at a time."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from helpers.arguments import as_numbers, check_mapping
from helpers.loaders.samplers import EpochBatchSampler


class Batch(tuple[dict[str, Tensor], Tensor]):
    """A batch that unpacks as `(inputs, labels)` and knows which rows it holds.

    The loaders of this package set `rows`; `loops.predict_proba` restores the data set's order from it. It survives
    worker processes, pinning and `to`, which Lightning calls; a batch that is rebuilt by other code has `rows=None`.

    Args:
        pair: inputs, a dict of tensors for `model(**inputs)`, and labels, a float tensor (B, L).
        rows: int64 tensor (B,) on the CPU, the positions of the batch's rows in `loader.dataset`; None where unknown.

    Raises:
        ValueError: `pair` does not hold two things.

    Examples:
        >>> import torch
        >>> from helpers import loaders
        >>> loader = loaders.array_loader({"features": torch.zeros(5, 2)}, torch.zeros(5, 1), batch_size=3)
        >>> [batch.rows.tolist() for batch in loader]
        [[0, 1, 2], [3, 4]]
        >>> inputs, labels = loaders.Batch(({"features": torch.zeros(3, 2)}, torch.zeros(3, 1)))
        >>> tuple(labels.shape)
        (3, 1)
    """

    rows: Tensor | None

    def __new__(cls, pair: Iterable[Any], rows: Tensor | None = None) -> "Batch":
        """Take a pair, as `tuple` takes its parts: code that rebuilds tuples makes a batch too."""
        batch = super().__new__(cls, pair)
        if len(batch) != 2:
            raise ValueError(f"expected a pair (inputs, labels), got {len(batch)} parts")
        batch.rows = rows
        return batch

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> "Batch":
        """The same batch with inputs and labels on a device; `rows` stays on the CPU."""
        inputs, labels = self
        moved = {name: part.to(device, non_blocking=non_blocking) for name, part in inputs.items()}
        return Batch((moved, labels.to(device, non_blocking=non_blocking)), self.rows)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, as `DataLoader(pin_memory=True)` asks for it."""
        inputs, labels = self
        return Batch(({name: part.pin_memory() for name, part in inputs.items()}, labels.pin_memory()), self.rows)


class SparseRows(Dataset[Batch]):
    """Rows of a sparse matrix with their labels, sliced a batch at a time and never made dense.

    Args:
        counts: (N, F) sparse matrix; it is stored by rows (CSR).
        labels: (N, L), NaN or negative where unknown, which becomes NaN.

    Raises:
        ValueError: different numbers of rows, or labels that are no table.

    Examples:
        >>> from scipy import sparse
        >>> from helpers import loaders
        >>> rows = loaders.SparseRows(sparse.csr_array([[0, 2, 0], [1, 0, 3]]), [[1], [-1]])
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> {name: part.tolist() for name, part in inputs.items()}, labels.tolist()
        ({'indices': [0, 2], 'offsets': [0], 'values': [1.0, 3.0]}, [[nan]])
    """

    def __init__(self, counts: sparse.spmatrix | sparse.sparray, labels: ArrayLike) -> None:
        targets = as_numbers("labels", labels).astype(np.float32)
        if targets.ndim != 2 or counts.shape[0] != len(targets):
            raise ValueError(f"counts have shape {counts.shape}, labels {targets.shape}: (N, F) and (N, L) are needed")
        self.counts = sparse.csr_array(counts, dtype=np.float32)
        self.labels = torch.from_numpy(np.where(targets < 0, np.float32(np.nan), targets))

    def __len__(self) -> int:
        return self.counts.shape[0]

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        numbers = row_numbers(rows, len(self))
        part = self.counts[numbers]
        inputs = {
            "indices": torch.from_numpy(part.indices),
            "offsets": torch.from_numpy(part.indptr[:-1]),
            "values": torch.from_numpy(part.data),
        }
        return Batch((inputs, self.labels[torch.from_numpy(numbers)]))

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def sparse_loader(
    counts: sparse.spmatrix | sparse.sparray,
    labels: ArrayLike,
    *,
    batch_size: int = 1024,
    shuffle: bool = False,
    seed: int = 0,
) -> DataLoader[Batch]:
    """A loader over sparse counts; every row once an epoch.

    Args:
        counts: (N, F) sparse matrix, such as CountVectorizer gives.
        labels: (N, L) with NaN where unknown.
        batch_size: rows a batch.
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
    return _in_order(SparseRows(counts, labels), batch_size, shuffle=shuffle, seed=seed)


class ArrayRows(Dataset[Batch]):
    """Rows of whole arrays with their labels, taken a batch at a time: one indexing an array, whatever the batch.

    Args:
        inputs: {name: (N, ...)}, the names those of the model's arguments. float64 becomes float32; whole numbers and
            bool stay what they are.
        labels: (N, L), NaN or negative where unknown, which becomes NaN; class numbers for categorical heads.

    Raises:
        ValueError: no input, different numbers of rows, labels that are no table, or values that are no numbers.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders
        >>> rows = loaders.ArrayRows({"features": np.zeros((3, 12))}, [[1, 0], [0, -1], [0, 1]])
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> tuple(inputs["features"].shape), labels.tolist()  # -1 was unknown
        ((1, 12), [[0.0, nan]])
    """

    def __init__(self, inputs: Mapping[str, ArrayLike | Tensor], labels: ArrayLike | Tensor) -> None:
        check_mapping("inputs", inputs)
        self.inputs = {name: _own_tensor(f"input {name!r}", values) for name, values in inputs.items()}
        self.labels = torch.from_numpy(as_numbers("labels", labels).astype(np.float32))
        shapes = {name: tuple(tensor.shape) for name, tensor in self.inputs.items()}
        rows = {shape[0] if shape else 0 for shape in shapes.values()}
        if self.labels.ndim != 2 or rows != {len(self.labels)}:
            raise ValueError(
                f"inputs {shapes} and labels {tuple(self.labels.shape)}: (N, ...) each and (N, L) are needed"
            )
        self.labels[self.labels < 0] = torch.nan

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        chosen = torch.from_numpy(row_numbers(rows, len(self)))
        inputs = {name: tensor.index_select(0, chosen) for name, tensor in self.inputs.items()}
        return Batch((inputs, self.labels.index_select(0, chosen)))

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def array_loader(
    inputs: Mapping[str, ArrayLike | Tensor],
    labels: ArrayLike | Tensor,
    *,
    batch_size: int = 1024,
    shuffle: bool = False,
    seed: int = 0,
) -> DataLoader[Batch]:
    """A loader over whole arrays; every row once an epoch.

    Args:
        inputs: {name: (N, ...)}, as `ArrayRows` takes them.
        labels: (N, L), NaN or negative where unknown.
        batch_size: rows a batch.
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
    return _in_order(ArrayRows(inputs, labels), batch_size, shuffle=shuffle, seed=seed)


def _in_order(rows: SparseRows | ArrayRows, batch_size: int, *, shuffle: bool, seed: int) -> DataLoader[Batch]:
    return loader_of(rows, EpochBatchSampler(len(rows), batch_size, shuffle=shuffle, seed=seed))


class BatchLoader(DataLoader[Batch]):
    """A loader whose batches know their rows, and which knows how many of its epoch it has given.

    Each iteration of a shuffled loader is a new epoch, beginning with epoch 0; `set_epoch` chooses the next one.
    It is what `torchdata` and Lightning call stateful: a run can be resumed in the middle of an epoch. Its batch
    sampler is an `EpochBatchSampler`.

    Args:
        dataset: gives whole batches by `__getitems__`.
        options: of torch's DataLoader: `batch_sampler`, `num_workers` and others.

    Raises:
        ValueError: a data set that gives single rows.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders
        >>> loader = loaders.array_loader({"features": np.arange(6.0)[:, None]}, np.zeros((6, 1)), batch_size=2)
        >>> batches = iter(loader)
        >>> _ = next(batches)
        >>> state = loader.state_dict()  # after one batch
        >>> again = loaders.array_loader({"features": np.arange(6.0)[:, None]}, np.zeros((6, 1)), batch_size=2)
        >>> again.load_state_dict(state)
        >>> [inputs["features"].flatten().tolist() for inputs, labels in again]
        [[2.0, 3.0], [4.0, 5.0]]
    """

    batch_sampler: Any  # an EpochBatchSampler, or what Lightning wraps one in
    position = ("place",)  # names of what an iteration changes
    place = (0, 0)  # epoch of the iteration that gave the last batch, and the number of its batches so far

    def __init__(self, dataset: Dataset[Batch], **options: Any) -> None:  # noqa: ANN401
        if not callable(getattr(dataset, "__getitems__", None)):
            raise ValueError(
                f"expected a data set that gives whole batches by __getitems__, such as loaders.ArrayRows, got "
                f"{type(dataset).__name__}; for one that gives single rows use torch's DataLoader"
            )
        super().__init__(dataset, **{"collate_fn": as_it_is} | options)

    def _get_iterator(self) -> Any:  # noqa: ANN401
        # torch calls it for each iteration, and its workers copy the data set from here.
        reader = copy.copy(self)
        reader.__dict__["dataset"] = _Positioned(self.dataset)
        return DataLoader._get_iterator(reader)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a generator does all that is asked of it
        # What stands here runs when the first batch is asked for, as in the sampler.
        epoch, given = self.batch_sampler.epoch, self.batch_sampler.skip
        for batch in super().__iter__():
            given += 1
            self.place = epoch, given
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch, as the sampler's `set_epoch` does."""
        self.batch_sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """The epoch, its batches that were given, and what their order depends on."""
        sampler = self.batch_sampler
        epoch, given = (sampler.epoch, sampler.skip) if sampler.chosen else self.place
        if given >= len(self):
            epoch, given = epoch + 1, 0
        return {"epoch": epoch, "batches": given} | sampler.identity()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next iteration begin where `state_dict` was called.

        Raises:
            ValueError: the state is that of other batches.
        """
        refuse_other_batches(state, self.batch_sampler.identity())
        if not {"epoch", "batches"} <= state.keys():
            raise ValueError(f"expected a state with `epoch` and `batches`, got {sorted(state)}")
        self.batch_sampler.start(state["epoch"], skip=state["batches"])


@contextmanager
def same_epoch(loader: Any) -> Iterator[None]:  # noqa: ANN401
    """Leave a loader at its place in its run: iterations within cost no epoch."""
    sampler = getattr(loader, "batch_sampler", None)
    parts = [part for part in (loader, sampler) if isinstance(part, BatchLoader | EpochBatchSampler)]
    before = [{name: getattr(part, name) for name in part.position} for part in parts]
    try:
        yield
    finally:
        for part, values in zip(parts, before, strict=True):
            vars(part).update(values)


class _Positioned(Dataset[Batch]):
    """A data set whose batches know their positions in it, whatever the data set is (a `Subset`, a permutation)."""

    def __init__(self, source: Any) -> None:  # noqa: ANN401
        self.source = source

    def __getitems__(self, rows: Sequence[int]) -> Any:  # noqa: ANN401
        source = self.source
        numbers = row_numbers(rows, len(source))
        batch = source.__getitems__(numbers)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            return batch  # `check_batch` says what it should be
        inputs, labels = batch
        if len(labels) != len(numbers):
            raise ValueError(
                f"{type(source).__name__}: asked for {len(numbers)} rows, got {len(labels)} rows of labels"
            )
        return Batch((inputs, labels), torch.from_numpy(numbers))


def row_numbers(rows: ArrayLike | Tensor, n_rows: int) -> np.ndarray:
    """A new int64 array (B,) of row numbers of any integer type.

    Raises:
        IndexError: no whole numbers, or one outside 0 to `n_rows - 1`.
    """
    numbers = np.asarray(rows)
    if numbers.size == 0:
        return np.zeros(0, dtype=np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= n_rows:
        shown = f"{numbers.dtype} numbers of shape {numbers.shape}, from {numbers.min()} to {numbers.max()}"
        raise IndexError(f"expected whole row numbers (B,) from 0 to {n_rows - 1}, got {shown}")
    return numbers.astype(np.int64)


def refuse_other_batches(state: dict[str, int], own: dict[str, int]) -> None:
    """ValueError that names what differs between a saved state and a loader."""
    if other := {name: (state[name], own[name]) for name in own if state.get(name, own[name]) != own[name]}:
        words = ", ".join(f"{name} was {before} and is {now}" for name, (before, now) in other.items())
        raise ValueError(f"the run cannot be resumed in the middle of an epoch: {words}. Set them back, or begin anew")


def loader_of(rows: Dataset[Batch], order: EpochBatchSampler, **options: Any) -> BatchLoader:  # noqa: ANN401
    """A loader that asks a dataset for whole batches, in the order of a sampler; each batch knows its `rows`.

    Args:
        rows: gives whole batches by `__getitems__`: `ArrayRows`, `SparseRows`, `TokenRows`, a `Subset` of them.
        order: of the rows; its numbers are positions in `rows`.
        options: of torch's DataLoader, such as `num_workers`.

    Raises:
        ValueError: a data set that gives single rows, or a sampler of another number of rows.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders
        >>> rows = loaders.ArrayRows({"features": np.zeros((5, 12))}, np.zeros((5, 2)))
        >>> loader = loaders.loader_of(rows, loaders.EpochBatchSampler(5, batch_size=3, shuffle=False))
        >>> [len(labels) for inputs, labels in loader]
        [3, 2]
    """
    held = len(rows)  # type: ignore[arg-type]  # those that give whole batches have a length
    if (drawn := getattr(order, "rows", held)) != held:
        raise ValueError(
            f"order: a sampler of {drawn} rows for a data set of {held}: for a part of the rows take a Subset of them"
        )
    # A generator of its own: without one, each pass over a loader draws from torch's global random state.
    return BatchLoader(rows, **{"batch_sampler": order, "generator": torch.Generator()} | options)


def _own_tensor(what: str, values: ArrayLike | Tensor) -> Tensor:
    """A copy as a tensor on the CPU, so that neither side sees the other's changes; ValueError names what is none."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu().clone()
    else:
        array = np.array(values, order="C")
        try:
            tensor = torch.from_numpy(array.astype(np.float32) if array.dtype == object else array)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} of type {array.dtype} is no array of numbers: {error}") from error
    return tensor.to(torch.float32) if tensor.dtype == torch.float64 else tensor


def as_it_is(batch: Batch) -> Batch:
    """What a dataset gave is a batch already."""
    return batch
