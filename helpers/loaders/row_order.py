"""The order of rows: samplers that draw it, batches that know it, and how the data set's order is restored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Sampler

from helpers.arguments import check_count

_FORM = "expected a batch (inputs, labels): a dict of tensors for model(**inputs), and a float tensor (B, L)"


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
        """Move inputs and labels to a device; `rows` stays on the CPU."""
        inputs, labels = self
        moved = {name: part.to(device, non_blocking=non_blocking) for name, part in inputs.items()}
        return Batch((moved, labels.to(device, non_blocking=non_blocking)), self.rows)

    def pin_memory(self) -> "Batch":
        """Copy the batch into page-locked memory, as `DataLoader(pin_memory=True)` asks for it."""
        inputs, labels = self
        return Batch(({name: part.pin_memory() for name, part in inputs.items()}, labels.pin_memory()), self.rows)


def check_batch(batch: Any) -> tuple[Mapping[str, Tensor], Tensor]:  # noqa: ANN401
    """Return a batch as `(inputs, labels)`, or refuse its form; `loops.fit` and `loops.predict_proba` both ask here.

    Args:
        batch: what a loader gave.

    Raises:
        ValueError: another form; the message says what came, and the line that helps.

    Examples:
        >>> import torch
        >>> from helpers.loaders.row_order import check_batch
        >>> inputs, labels = check_batch(({"features": torch.zeros(4, 2)}, torch.zeros(4, 1)))
        >>> check_batch((torch.zeros(4, 2), torch.zeros(4, 1)))
        Traceback (most recent call last):
            ...
        ValueError: expected a batch ... inputs are a Tensor: name it, as in ({'features': inputs}, labels)
    """
    if wrong := _wrong_form(batch):
        raise ValueError(f"{_FORM}, {wrong}")
    inputs, labels = batch
    return inputs, labels


def _wrong_form(batch: Any) -> str | None:  # noqa: ANN401
    """Say what is wrong with a batch's form, and the line that helps; None where nothing is."""
    kind = type(batch).__name__
    if isinstance(batch, Mapping):
        label = next((name for name in ("labels", "label", "targets") if name in batch), None)
        labels = f"batch[{label!r}].float()" if label else "torch.zeros(B, 0)"
        inputs = f"{{name: part for name, part in batch.items() if name != {label!r}}}" if label else "batch"
        return f"got a dict with {list(batch)}. Return ({inputs}, {labels}) from the collate function"
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        return f"got a {kind}" + (f" of {len(batch)} parts" if isinstance(batch, tuple | list) else "")
    inputs, labels = batch
    if not isinstance(inputs, Mapping):
        return f"and its inputs are a {type(inputs).__name__}: name it, as in ({{'features': inputs}}, labels)"
    if wrong := [name for name, part in inputs.items() if not isinstance(name, str) or not isinstance(part, Tensor)]:
        return f"and its input {wrong[0]!r} is a {type(inputs[wrong[0]]).__name__}, not a tensor"
    if not isinstance(labels, Tensor):
        return f"and its labels are a {type(labels).__name__}: torch.zeros(B, 0) stands for rows without labels"
    if labels.ndim != 2:
        way = "labels[:, None] is one column" if labels.ndim == 1 else "one column per label is needed"
        return f"and its labels have shape {tuple(labels.shape)}: {way}"
    return None


def row_numbers(rows: ArrayLike | Tensor, n_rows: int) -> np.ndarray:
    """Return row numbers of any integer type as a new int64 array (B,).

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


class EpochBatchSampler(Sampler[np.ndarray]):
    """Row numbers batch by batch; the order depends on the seed and the epoch alone, so a run can be resumed anywhere.

    Each iteration is a new epoch, as with torch's samplers; the first one is epoch 0. An iteration takes its epoch
    when its first batch is asked for, so an iterator that is never used costs no epoch. `set_epoch` and `start` choose
    the epoch of the next iteration.

    Where several processes train together, each takes every `world_size`-th row of the same batches: what they do
    together is what one process would do, with any number of them, and each row is seen by one of them once an epoch.

    Args:
        rows: number of rows, N.
        batch_size: rows per batch, of all processes together; the last one may be smaller, no row is dropped.
        shuffle: a new order each epoch; False keeps the rows' order.
        seed: of the orders, 0 or more.
        rank: number of this process, from 0.
        world_size: number of processes. One that gets no row of a small last batch gets an empty array.

    Raises:
        ValueError: no rows, a batch size below 1, a negative seed, a rank that is none of the processes.

    Examples:
        >>> from helpers.loaders.row_order import EpochBatchSampler
        >>> sampler = EpochBatchSampler(5, batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in sampler]
        [[0, 1], [2, 3], [4]]
        >>> sampler.start(epoch=1, skip=2)  # as a resumed run does
        >>> [batch.tolist() for batch in sampler]
        [[4]]
        >>> second = EpochBatchSampler(5, batch_size=2, shuffle=False, rank=1, world_size=2)
        >>> [batch.tolist() for batch in second]
        [[1], [3], []]
    """

    position = ("epoch", "skip", "chosen")  # names of what an iteration changes

    def __init__(
        self, rows: int, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.rows, self.batch_size = check_count("rows", rows), check_count("batch_size", batch_size)
        self.seed, self.shuffle = check_count("seed", seed, at_least=0), shuffle
        self.world_size = check_count("world_size", world_size)
        self.rank = check_count("rank", rank, at_least=0, at_most=self.world_size - 1)
        self.epoch, self.skip, self.chosen = 0, 0, True

    def start(self, epoch: int, *, skip: int = 0) -> None:
        """Make the next iteration that of an epoch, without its first `skip` batches; those after it skip none.

        Raises:
            ValueError: a negative epoch, or more batches to skip than there are.
        """
        self.epoch = check_count("epoch", epoch, at_least=0)
        self.skip, self.chosen = check_count("skip", skip, at_least=0, at_most=len(self)), True

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch; where it is another one than before, nothing is skipped."""
        self.start(epoch, skip=self.skip if epoch == self.epoch else 0)

    def identity(self) -> dict[str, int]:
        """Return what the order of the batches depends on, beside the epoch."""
        own = {"rows": self.rows, "batch_size": self.batch_size, "seed": self.seed}
        return own | {"shuffle": int(self.shuffle), "pool": getattr(self, "pool", 0)}

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Itself: Lightning and accelerate look here, one attribute deeper, for `set_epoch`."""
        return self

    def __iter__(self) -> Iterator[np.ndarray]:
        # A generator: what stands here runs when the first batch is asked for.
        epoch, skip = self.epoch, self.skip
        self.epoch, self.skip, self.chosen = epoch + 1, 0, False
        order, batches = self._order(np.random.default_rng([self.seed, epoch]))
        for number in batches[skip:]:
            yield order[number * self.batch_size : (number + 1) * self.batch_size][self.rank :: self.world_size]

    def _order(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the order of the rows, and that of the batches into which it is cut."""
        return rng.permutation(self.rows) if self.shuffle else np.arange(self.rows), np.arange(len(self))

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)


class LengthBatchSampler(EpochBatchSampler):
    """Row numbers batch by batch, rows of a batch about equally long, so that little is padded.

    Shuffled, each epoch draws a new order, sorts each stretch of `pool` batches by length give or take a twentieth
    (without that noise, which AllenNLP's bucket sampler has too, a row of a rare length would meet the same rows in
    each epoch), cuts it into batches, and shuffles the batches: every row once an epoch, in batches of ever new
    composition. Not shuffled, all rows are sorted, the longest first, so that memory that does not suffice shows at
    once; `loops.predict_proba` puts its results back into the data set's order.

    Args:
        lengths: (N,) whole numbers, tokens of each row.
        batch_size: rows per batch, of all processes together; the last one drawn may be smaller, no row is dropped.
        shuffle: a new order each epoch; False sorts all rows.
        seed: of the orders, 0 or more.
        pool: batches that are sorted together; more pad less and mix less.
        rank: number of this process, from 0.
        world_size: number of processes; each takes every `world_size`-th row of each batch.

    Raises:
        ValueError: no rows, lengths that are no whole numbers (N,), a batch size or pool below 1, a negative seed, a
            rank that is none of the processes.

    Examples:
        >>> from helpers import loaders
        >>> sampler = loaders.LengthBatchSampler([3, 90, 4, 80], batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in sampler]  # long texts meet long ones
        [[1, 3], [2, 0]]
    """

    def __init__(
        self, lengths: ArrayLike, batch_size: int, *, shuffle: bool, pool: int = 50, seed: int = 0, **process: int
    ) -> None:
        result = np.asarray(lengths)
        if result.ndim != 1 or (result.dtype.kind not in "iu" and result.size):
            raise ValueError(f"lengths of shape {result.shape} and type {result.dtype}: expected whole numbers (N,)")
        # Negative numbers must exist: the longest come first. int32 and int64 stay as they are, to save memory.
        self.lengths = result if result.dtype in (np.int32, np.int64) else result.astype(np.int64)
        super().__init__(len(result), batch_size, shuffle=shuffle, seed=seed, **process)
        self.pool = check_count("pool", pool)

    def _order(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if not self.shuffle:
            return np.argsort(-self.lengths, kind="stable"), np.arange(len(self))
        order, stretch = rng.permutation(self.rows), self.pool * self.batch_size
        noisy = self.lengths * rng.uniform(0.95, 1.05, self.rows)
        for start in range(0, self.rows, stretch):
            rows = order[start : start + stretch]
            order[start : start + stretch] = rows[np.argsort(-noisy[rows], kind="stable")]
        return order, rng.permutation(len(self))


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
        >>> from helpers.loaders.row_order import in_row_order
        >>> ranks = [np.array([0, 2]), np.array([1, 0])]  # positions; row 0 was repeated to fill the last batch
        >>> in_row_order(ranks, [np.array([0.1, 0.3]), np.array([0.2, 0.1])], n_rows=3)
        array([0.1, 0.2, 0.3])
        >>> in_row_order(ranks[0], np.array([0.1, 0.3]), n_rows=3)
        Traceback (most recent call last):
            ...
        ValueError: got 2 of 3 rows; the first one missing is row 1. ...
    """
    numbers = joined_rows(rows)
    first = first_places(numbers, n_rows)
    values = joined(values) if isinstance(values, list | tuple) else values
    if isinstance(values, Mapping):
        return {name: _chosen(part, numbers, first, f"{name!r}: ") for name, part in values.items()}
    return _chosen(values, numbers, first)


def joined_rows(rows: Any) -> np.ndarray:  # noqa: ANN401
    """Join positions of one or many batches to one int64 array; ValueError where a batch does not know its rows."""
    several = isinstance(rows, list | tuple) and any(part is None or np.ndim(part) for part in rows)
    parts = list(rows) if several else [rows]
    if any(part is None for part in parts):
        raise ValueError("a batch does not know its rows (rows=None): its values cannot be put in order")
    arrays = [np.asarray(part.cpu() if isinstance(part, Tensor) else part) for part in parts]
    if bad := [array for array in arrays if array.ndim != 1 or (array.size and array.dtype.kind not in "iu")]:
        raise ValueError(f"rows of type {bad[0].dtype} and shape {bad[0].shape}: expected whole numbers (B,)")
    return np.concatenate([array.astype(np.int64) for array in arrays])


def joined(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Concatenate tensors, arrays, or dicts of them; ValueError for no part, or other shapes or names in one part."""
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
        raise ValueError(f"outputs of different shapes per row, {sorted(shapes)}: expected the same in each batch")
    return torch.cat(list(parts)) if isinstance(first, Tensor) else np.concatenate(parts)


def first_places(numbers: np.ndarray, n_rows: int | None) -> np.ndarray:
    """(N,) where each row of the data set came first; ValueError where one is missing or there are too many."""
    result, first = np.unique(numbers, return_index=True)
    total = len(result) and int(result[-1]) + 1 if n_rows is None else check_count("n_rows", n_rows, at_least=0)
    if outside := [int(row) for row in result[[0, -1]] if not 0 <= row < total] if len(result) else []:
        raise ValueError(f"row {outside[0]} is not one of the {total} rows of the data set, 0 to {total - 1}")
    if len(result) < total:
        missing = int(np.argmax(np.append(result, total) != np.arange(len(result) + 1)))
        raise ValueError(
            f"got {len(result)} of {total} rows; the first one missing is row {missing}. Each row must come: "
            "world_size=1, no drop_last, no sampler that leaves rows out, not the middle of an epoch. The shares of "
            "several processes are put together by helpers.loaders.row_order.in_row_order"
        )
    return first


def _chosen(values: Any, numbers: np.ndarray, first: np.ndarray, name: str = "") -> Any:  # noqa: ANN401
    """Take the values of each row's first place, where the other places do not contradict it."""
    values = values if isinstance(values, Tensor) else np.asarray(values)
    if values.ndim == 0 or len(values) != len(numbers):
        raise ValueError(f"{name}values of shape {tuple(values.shape)} for {len(numbers)} rows: expected one per row")
    if len(first) < len(numbers):
        again = np.delete(np.arange(len(numbers)), first)
        one, other = (torch.as_tensor(values[index]).double() for index in (again, first[numbers[again]]))
        if not torch.allclose(one, other, rtol=0.05, atol=0.05, equal_nan=True):  # rounding depends on the batch
            raise ValueError(f"{name}a row came twice with different values: are all positions in one data set?")
    return values[first]
