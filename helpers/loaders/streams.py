"""Token files as a stream: files shared among processes, drawn from in pools, cut into batches of equal lengths."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from helpers.loaders.files import TokenFiles, batch_of
from helpers.loaders.rows import Batch, as_it_is, refuse_other_batches

if TYPE_CHECKING:
    import pyarrow as pa


class TokenStream(IterableDataset[Batch]):
    r"""Batches of rows read file by file, for data whose order alone would not fit into memory.

    Where the number of files is a multiple of that of the processes, each reads files of its own; else each reads all
    and takes every so manieth row. The order depends on seed and epoch alone: of the files, of the blocks of a file,
    and of the rows in a pool. Only one file is open at a time. All processes give equally many batches, the last ones
    perhaps without rows, because those that train together take every step together.

    Args:
        tokens: as `tokenize_files` gives them.
        batch_size: rows a batch, of all processes together; a multiple of `ranks`.
        shuffle: a new order each epoch, for training.
        seed: of the orders.
        pool: batches that are drawn from, and sorted, together.
        rank: number of this process, from 0.
        ranks: number of processes.

    Raises:
        ValueError: a batch size that is no multiple of `ranks`, a pool below 1, a rank that is none of the processes;
            worker processes in the loader.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n3,Hello there,-1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1)
        >>> stream = loaders.TokenStream(tokens, batch_size=2, shuffle=False)
        >>> [labels.flatten().tolist() for inputs, labels in stream]
        [[0.0, 1.0], [nan]]
    """

    def __init__(
        self,
        tokens: TokenFiles,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        pool: int = 100,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch_size < 1 or pool < 1 or not 0 <= rank < ranks or batch_size % ranks:
            raise ValueError(f"batch_size={batch_size}, pool={pool}, rank={rank} of ranks={ranks}: see the docstring")
        self.tokens, self.batch_size, self.shuffle, self.seed, self.pool = tokens, batch_size, shuffle, seed, pool
        self.rank, self.ranks, self.whole_files = rank, ranks, len(tokens.rows) % ranks == 0
        self.epoch, self.skip, self.given = 0, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch; where it is another one than before, nothing is skipped."""
        self.skip = self.skip if epoch == self.epoch else 0
        self.epoch = epoch

    def identity(self) -> dict[str, int]:
        """What the order of the batches depends on, beside the epoch."""
        own = {"rows": sum(self.tokens.rows), "files": len(self.tokens.rows), "batch_size": self.batch_size}
        return own | {"seed": self.seed, "pool": self.pool, "ranks": self.ranks}

    def __len__(self) -> int:
        """Batches, the same for all processes: those of the one that reads most."""
        places = range(self.ranks)
        if self.whole_files:
            most = max(sum(self.tokens.rows[place] for place in self.files_of(rank)) for rank in places)
        else:
            most = max(sum(len(range(rank, rows, self.ranks)) for rows in self.tokens.rows) for rank in places)
        return -(-most // (self.batch_size // self.ranks))

    def __iter__(self) -> Iterator[Batch]:
        if get_worker_info() is not None:
            raise ValueError("every worker would give all batches: use a StreamLoader, or num_workers=0")
        skip, self.skip = self.skip, 0
        self.given = skip
        for place, table in enumerate(self._tables()):
            if place >= skip:
                self.given += 1
                yield batch_of(table, self.tokens)

    def _rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, *more])

    def files_of(self, rank: int) -> list[int]:
        """Numbers of the files that a process reads, in their order."""
        order = list(range(len(self.tokens.rows)))
        if self.whole_files:
            order = order[rank :: self.ranks]
        return [order[place] for place in self._rng(rank).permutation(len(order))] if self.shuffle else order

    def _blocks(self) -> Iterator["pa.Table"]:
        """Blocks of this process's rows, in the epoch's order."""
        import pyarrow as pa

        for number in self.files_of(self.rank):
            table = self.tokens.open_file(number).data.table
            blocks = table.to_batches()
            starts = np.cumsum([0, *map(len, blocks)])
            order = self._rng(number, 2).permutation(len(blocks)) if self.shuffle else range(len(blocks))
            for place in order:
                block = pa.Table.from_batches([blocks[place]])
                if not self.whole_files:
                    first = (self.rank - starts[place]) % self.ranks
                    block = block.take(np.arange(first, len(block), self.ranks))
                yield block

    def _tables(self) -> Iterator["pa.Table"]:
        """Batches as tables; those without rows at the end make the processes' numbers equal."""
        import pyarrow as pa

        rows, given, rest = self.batch_size // self.ranks, 0, None
        for number, pool in enumerate(self._pools(rows * self.pool)):
            table = pool if rest is None else pa.concat_tables([rest, pool])
            cuts, rest = self._cut(table, rows, number)
            given += len(cuts)
            yield from cuts
        last = [] if rest is None or not len(rest) else [rest]
        nothing = [table.slice(0, 0)] * (len(self) - given - len(last))
        yield from [*last, *nothing]

    def _pools(self, rows: int) -> Iterator["pa.Table"]:
        import pyarrow as pa

        blocks, held = [], 0
        for block in self._blocks():
            blocks.append(block)
            held += len(block)
            if held >= rows:
                yield pa.concat_tables(blocks)
                blocks, held = [], 0
        if blocks:
            yield pa.concat_tables(blocks)

    def _cut(self, table: "pa.Table", rows: int, number: int) -> tuple[list["pa.Table"], "pa.Table"]:
        """Full batches of about equal lengths in a drawn order, and the rows that are left for the next pool."""
        if not self.shuffle:
            whole = len(table) // rows
            return [table.slice(place * rows, rows) for place in range(whole)], table.slice(whole * rows)
        rng = self._rng(self.rank, number, 1)
        drawn = rng.permutation(len(table))
        used, left = drawn[: len(drawn) // rows * rows], drawn[len(drawn) // rows * rows :]
        noisy = table.column("length").to_numpy()[used] * rng.uniform(0.95, 1.05, len(used))
        batches = used[np.argsort(-noisy, kind="stable")].reshape(-1, rows)
        return [table.take(batches[place]) for place in rng.permutation(len(batches))], table.take(left)


class StreamLoader(DataLoader[Batch]):
    r"""A loader over a `TokenStream` that a run can be taken up in, as `BatchLoader` is one over rows.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n3,Hello there,0\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1)
        >>> loader = loaders.StreamLoader(loaders.TokenStream(tokens, batch_size=2, shuffle=False))
        >>> [len(labels) for inputs, labels in loader]
        [2, 1]
    """

    dataset: TokenStream

    def __init__(self, stream: TokenStream) -> None:
        options: dict[str, Any] = {"batch_size": None, "collate_fn": as_it_is}
        super().__init__(stream, **options)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch. Lightning does not call it of itself: `CommentTagger` does."""
        self.dataset.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """The epoch, its batches that were given, and what their order depends on."""
        stream = self.dataset
        done = stream.given >= len(stream)
        return {"epoch": stream.epoch + done, "batches": 0 if done else stream.given} | stream.identity()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next iteration begin where `state_dict` was called.

        Raises:
            ValueError: the state is that of other batches.
        """
        refuse_other_batches(state, self.dataset.identity())
        self.dataset.epoch, self.dataset.skip, self.dataset.given = state["epoch"], state["batches"], state["batches"]
