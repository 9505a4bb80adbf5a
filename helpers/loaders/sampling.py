"""The order of rows: by seed and epoch alone, so that a run can be taken up anywhere."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler


class EpochBatchSampler(Sampler[np.ndarray]):
    """Row numbers batch by batch; the order depends on the seed and the epoch alone, so a run can be taken up anywhere.

    Where several processes train together, each takes every so manieth row of the same batches: what they do together
    is what one process would do, with any number of them, and each row is seen by one of them once an epoch.

    Args:
        rows: number of rows, N.
        batch_size: rows a batch, of all processes together; the last one may be smaller, no row is dropped.
        shuffle: a new order each epoch; False keeps the rows' order.
        seed: of the orders.
        rank: number of this process, from 0.
        ranks: number of processes. One that gets no row of a small last batch gets an empty array.

    Raises:
        ValueError: no rows, a batch size below 1, a rank that is none of the processes.

    Examples:
        >>> from helpers import loaders
        >>> sampler = loaders.EpochBatchSampler(5, batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in sampler]
        [[0, 1], [2, 3], [4]]
        >>> sampler.start(epoch=1, skip=2)  # as a run that is taken up does
        >>> [batch.tolist() for batch in sampler]
        [[4]]
        >>> [batch.tolist() for batch in loaders.EpochBatchSampler(5, batch_size=2, shuffle=False, rank=1, ranks=2)]
        [[1], [3], []]
    """

    def __init__(
        self, rows: int, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        if rows < 1 or batch_size < 1:
            raise ValueError(f"rows={rows} and batch_size={batch_size} must be 1 or more")
        if not 0 <= rank < ranks:
            raise ValueError(f"rank={rank} of ranks={ranks}: the first is 0")
        self.rows, self.batch_size, self.shuffle, self.seed = rows, batch_size, shuffle, seed
        self.rank, self.ranks = rank, ranks
        self.epoch, self.skip = 0, 0

    def start(self, epoch: int, *, skip: int = 0) -> None:
        """Make the next iteration that of an epoch, without its first `skip` batches; those after it skip none."""
        self.epoch, self.skip = epoch, skip

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch; where it is another one than before, nothing is skipped."""
        self.skip = self.skip if epoch == self.epoch else 0
        self.epoch = epoch

    def identity(self) -> dict[str, int]:
        """What the order of the batches depends on, beside the epoch."""
        return {"rows": self.rows, "batch_size": self.batch_size, "seed": self.seed}

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Itself: Lightning and accelerate look here, one door deeper, for `set_epoch`."""
        return self

    def __iter__(self) -> Iterator[np.ndarray]:
        skip, self.skip = self.skip, 0
        for batch in islice(self._batches(), skip, None):
            yield batch[self.rank :: self.ranks]

    def _batches(self) -> Iterator[np.ndarray]:
        """The batches of all processes together."""
        order = np.arange(self.rows)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        return iter(self._cut(order))

    def _cut(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)


class LengthBatchSampler(EpochBatchSampler):
    """Row numbers batch by batch, rows of a batch about equally long, so that little is padded.

    Shuffled, each epoch draws a new order, sorts each stretch of `pool` batches by length give or take a twentieth
    (without that noise, which AllenNLP's bucket sampler has too, few rows of many lengths would always meet the same
    company), cuts it into batches, and shuffles the batches: every row once an epoch, in ever new company. Not
    shuffled, all rows are sorted, the longest first, so that memory that does not suffice shows at once; `order` tells
    whoever needs the rows' own order back.

    Args:
        lengths: (N,) tokens of each row.
        batch_size: rows a batch, of all processes together; the last one drawn may be smaller, no row is dropped.
        shuffle: a new order each epoch; False sorts all rows.
        seed: of the orders.
        pool: batches that are sorted together; more pad less and mix less.
        rank: number of this process, from 0.
        ranks: number of processes, which share each batch as `EpochBatchSampler` says.

    Raises:
        ValueError: no rows, a batch size or pool below 1, a rank that is none of the processes.

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
        ranks: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths)
        super().__init__(len(self.lengths), batch_size, shuffle=shuffle, seed=seed, rank=rank, ranks=ranks)
        if pool < 1:
            raise ValueError(f"pool={pool} must be 1 or more")
        self.pool = pool

    @property
    def order(self) -> np.ndarray:
        """(N,) row numbers as they come, to one process, when nothing is shuffled."""
        return np.argsort(-self.lengths, kind="stable")

    def _batches(self) -> Iterator[np.ndarray]:
        if not self.shuffle:
            return iter(self._cut(self.order))
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn, stretch = rng.permutation(self.rows), self.pool * self.batch_size
        noisy, batches = self.lengths * rng.uniform(0.95, 1.05, self.rows), []
        for start in range(0, self.rows, stretch):
            rows = drawn[start : start + stretch]
            batches += self._cut(rows[np.argsort(-noisy[rows], kind="stable")])
        return (batches[place] for place in rng.permutation(len(batches)))
