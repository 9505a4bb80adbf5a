"""The order of rows: it depends on seed and epoch alone, so that a run can be resumed anywhere."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler

from helpers.arguments import check_count


class EpochBatchSampler(Sampler[np.ndarray]):
    """Row numbers batch by batch; the order depends on the seed and the epoch alone, so a run can be resumed anywhere.

    Each iteration is a new epoch, as with torch's samplers; the first one is epoch 0. An iteration takes its epoch
    when its first batch is asked for, so an iterator that is never used costs no epoch. `set_epoch` and `start` choose
    the epoch of the next iteration.

    Where several processes train together, each takes every `world_size`-th row of the same batches: what they do
    together is what one process would do, with any number of them, and each row is seen by one of them once an epoch.

    Args:
        rows: number of rows, N.
        batch_size: rows a batch, of all processes together; the last one may be smaller, no row is dropped.
        shuffle: a new order each epoch; False keeps the rows' order.
        seed: of the orders, 0 or more.
        rank: number of this process, from 0.
        world_size: number of processes. One that gets no row of a small last batch gets an empty array.

    Raises:
        ValueError: no rows, a batch size below 1, a negative seed, a rank that is none of the processes.

    Examples:
        >>> from helpers import loaders
        >>> sampler = loaders.EpochBatchSampler(5, batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in sampler]
        [[0, 1], [2, 3], [4]]
        >>> sampler.start(epoch=1, skip=2)  # as a resumed run does
        >>> [batch.tolist() for batch in sampler]
        [[4]]
        >>> second = loaders.EpochBatchSampler(5, batch_size=2, shuffle=False, rank=1, world_size=2)
        >>> [batch.tolist() for batch in second]
        [[1], [3], []]
    """

    position = ("epoch", "skip", "chosen")  # names of what an iteration changes

    def __init__(
        self, rows: int, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.rows = check_count("rows", rows)
        self.batch_size = check_count("batch_size", batch_size)
        self.seed = check_count("seed", seed, at_least=0)
        self.world_size = check_count("world_size", world_size)
        self.rank = check_count("rank", rank, at_least=0, at_most=self.world_size - 1)
        self.shuffle = shuffle
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
        """What the order of the batches depends on, beside the epoch."""
        own = {"rows": self.rows, "batch_size": self.batch_size, "seed": self.seed}
        return own | {"shuffle": int(self.shuffle), "pool": getattr(self, "pool", 0)}

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Itself: Lightning and accelerate look here, one door deeper, for `set_epoch`."""
        return self

    def __iter__(self) -> Iterator[np.ndarray]:
        # A generator: what stands here runs when the first batch is asked for.
        epoch, skip = self.epoch, self.skip
        self.epoch, self.skip, self.chosen = epoch + 1, 0, False
        for rows in self._batches(epoch, skip):
            yield rows[self.rank :: self.world_size]

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])

    def _batches(self, epoch: int, skip: int) -> Iterator[np.ndarray]:
        """The batches of all processes together."""
        order = self._rng(epoch).permutation(self.rows) if self.shuffle else np.arange(self.rows)
        return (self._batch(order, index) for index in range(skip, len(self)))

    def _batch(self, order: np.ndarray, place: int) -> np.ndarray:
        return order[place * self.batch_size : (place + 1) * self.batch_size]

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
        batch_size: rows a batch, of all processes together; the last one drawn may be smaller, no row is dropped.
        shuffle: a new order each epoch; False sorts all rows.
        seed: of the orders, 0 or more.
        pool: batches that are sorted together; more pad less and mix less.
        rank: number of this process, from 0.
        world_size: number of processes, which share each batch as `EpochBatchSampler` says.

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
        self,
        lengths: ArrayLike,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        pool: int = 50,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        result = np.asarray(lengths)
        if result.ndim != 1 or (result.dtype.kind not in "iu" and result.size):
            raise ValueError(f"lengths of shape {result.shape} and type {result.dtype}: expected whole numbers (N,)")
        # Negative numbers must exist: the longest come first. int32 and int64 stay as they are, to save memory.
        self.lengths = result if result.dtype in (np.int32, np.int64) else result.astype(np.int64)
        super().__init__(len(result), batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size)
        self.pool = check_count("pool", pool)

    def _batches(self, epoch: int, skip: int) -> Iterator[np.ndarray]:
        if self.shuffle:
            rng = self._rng(epoch)
            order, stretch = rng.permutation(self.rows), self.pool * self.batch_size
            noisy = self.lengths * rng.uniform(0.95, 1.05, self.rows)
            for start in range(0, self.rows, stretch):
                rows = order[start : start + stretch]
                order[start : start + stretch] = rows[np.argsort(-noisy[rows], kind="stable")]
            places = rng.permutation(len(self))
        else:
            order, places = np.argsort(-self.lengths, kind="stable"), np.arange(len(self))
        return (self._batch(order, index) for index in places[skip:])
