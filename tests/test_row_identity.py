"""A batch knows which rows it holds, for every loader of the package."""

import pickle

import numpy as np
import pytest
import torch
from pytorch_lightning.utilities import move_data_to_device
from torch.utils.data import DataLoader, Dataset, Subset
from torch.utils.data._utils.pin_memory import pin_memory

from helpers import loaders
from helpers.loaders.rows import row_numbers


def id_rows(n_rows, **options):
    """Rows whose only feature is their number."""
    ids = np.arange(n_rows)[:, None]
    return loaders.ArrayRows({"ids": ids}, ids % 2, **options)


def ids_of(batch):
    return batch[0]["ids"].ravel()


def test_a_batch_is_a_pair_that_keeps_its_rows_when_it_is_copied_moved_and_pinned():
    rows = torch.tensor([4, 2])
    batch = loaders.Batch(({"x": torch.zeros(2, 3)}, torch.ones(2, 1)), rows)
    inputs, labels = batch
    assert isinstance(batch, tuple) and len(batch) == 2 and labels is batch[1] and inputs is batch[0]
    for other in (
        pickle.loads(pickle.dumps(batch)),
        batch.to("cpu"),
        move_data_to_device(batch, torch.device("cpu")),
        move_data_to_device(batch, "meta"),
    ):
        assert type(other) is loaders.Batch
        assert other.rows.tolist() == [4, 2]
    assert move_data_to_device(batch, "meta")[1].device.type == "meta"


def test_pinning_asks_the_batch_first():
    class Noted(loaders.Batch):
        def pin_memory(self):
            return "pinned by the batch"

    assert pin_memory(Noted(({}, torch.zeros(1)))) == "pinned by the batch"


def test_a_batch_of_other_parts_is_refused():
    with pytest.raises(ValueError, match=r"expected a pair \(inputs, labels\), got 3 parts"):
        loaders.Batch(({}, torch.zeros(1), torch.zeros(1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_stamps_positions_in_its_data_set(workers):
    order = np.random.default_rng(0).permutation(23)
    rows = Subset(Subset(id_rows(30), order.tolist()), list(range(20, 3, -1)))
    sampler = loaders.EpochBatchSampler(len(rows), 4, shuffle=True)
    options = {"persistent_workers": True} if workers else {}
    loader = loaders.loader_of(rows, sampler, num_workers=workers, **options)
    expected = order[20:3:-1]
    for _ in range(2):
        seen = []
        for batch in loader:
            assert ids_of(batch).tolist() == expected[batch.rows.numpy()].tolist()
            seen += batch.rows.tolist()
        assert sorted(seen) == list(range(17)) != seen


def test_a_loader_that_is_built_again_over_its_data_set_stamps_once():
    rows = id_rows(5)
    loader = loaders.loader_of(rows, loaders.EpochBatchSampler(5, 2, shuffle=False))
    assert loader.dataset is rows
    again = loaders.BatchLoader(loader.dataset, batch_sampler=loader.batch_sampler)
    assert [batch.rows.tolist() for batch in again] == [[0, 1], [2, 3], [4]]
    part = loaders.loader_of(Subset(loader.dataset, [3, 1]), loaders.EpochBatchSampler(2, 2, shuffle=False))
    assert [(ids_of(batch).tolist(), batch.rows.tolist()) for batch in part] == [([3, 1], [0, 1])]


def test_batches_of_a_data_set_alone_do_not_pretend_to_know_their_rows():
    rows = Subset(id_rows(5), [3, 1])
    loader = DataLoader(rows, batch_size=2, collate_fn=lambda batch: batch)
    assert [batch.rows for batch in loader] == [None]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_row_numbers_of_any_integer_type(dtype):
    numbers = np.array([127, 3], dtype=dtype)
    assert row_numbers(numbers, 128).tolist() == [127, 3]
    assert row_numbers(torch.tensor([5, 6]), 8).dtype == np.int64
    tokens = loaders.Tokens(np.arange(200, dtype=np.int32), np.arange(201), np.arange(200), 200, 0, 0)
    assert loaders.TokenRows(tokens).__getitems__(numbers)[0]["input_ids"].ravel().tolist() == [127, 3]


@pytest.mark.parametrize("numbers", [[-1], [5], [0.0, 1.0], [True], [[0, 1]]])
def test_other_row_numbers_are_refused(numbers):
    with pytest.raises(IndexError, match="expected whole row numbers"):
        row_numbers(numbers, 5)


def test_data_sets_that_give_no_whole_batches_are_refused():
    class Single(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, row):
            return {"ids": torch.tensor(row)}, torch.zeros(1)

    with pytest.raises(ValueError, match=r"gives whole batches by __getitems__.*got Single"):
        loaders.loader_of(Single(), loaders.EpochBatchSampler(4, 2, shuffle=False))

    class Short(loaders.ArrayRows):
        def __getitems__(self, rows):
            return super().__getitems__(rows[:-1])

    short = Short({"ids": np.zeros((4, 1))}, np.zeros((4, 1)))
    with pytest.raises(ValueError, match="Short: asked for 3 rows, got 2 rows of labels"):
        next(iter(loaders.loader_of(short, loaders.EpochBatchSampler(4, 3, shuffle=False))))
