import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse

from helpers import loaders
from helpers.loaders.batches import ArrayRows, SparseRows
from helpers.loaders.row_order import EpochBatchSampler
from helpers.loaders.tokens import Tokens


def table(rows=23, features=11):
    counts = sparse.csr_array(np.arange(rows * features).reshape(rows, features) % 3)
    return counts, np.arange(rows * 2).reshape(rows, 2) % 2


def dense(inputs, features):
    rows = torch.zeros(len(inputs["offsets"]), features)
    ends = [*inputs["offsets"][1:].tolist(), len(inputs["indices"])]
    for row, (start, end) in enumerate(zip(inputs["offsets"].tolist(), ends, strict=True)):
        rows[row, inputs["indices"][start:end]] = inputs["values"][start:end]
    return rows


def test_every_row_comes_once_with_its_labels():
    counts, labels = table()
    loader = loaders.sparse_loader(counts, labels, batch_size=5)
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    rows = torch.cat([dense(inputs, 11) for inputs, _ in batches])
    np.testing.assert_array_equal(rows, counts.toarray())
    np.testing.assert_array_equal(torch.cat([targets for _, targets in batches]), labels)


def test_shuffled_epochs_hold_every_row_once_in_another_order():
    counts, _ = table()
    numbers = np.arange(23)[:, None]
    loader = loaders.sparse_loader(counts, numbers, batch_size=5, shuffle=True, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        loader.batch_sampler.start(epoch)
        orders.append(torch.cat([targets for _, targets in loader]).ravel().tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == numbers.ravel().tolist()
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def orders(batches):
    return [batch.rows.tolist() for batch in batches]


def test_each_iteration_of_a_shuffled_loader_is_the_next_epoch():
    def fresh():
        return loaders.array_loader({"x": np.zeros((23, 1))}, np.zeros((23, 1)), batch_size=5, shuffle=True, seed=2)

    loader = fresh()
    epochs = [orders(loader) for _ in range(3)]
    assert len({str(epoch) for epoch in epochs}) == 3
    other = fresh()
    for epoch in (2, 0, 1):
        other.set_epoch(epoch)
        assert orders(other) == epochs[epoch]
    assert orders(other) == epochs[2]
    assert len(other) == 5  # which costs no epoch


def test_abandoned_and_unused_iterators_and_two_at_once():
    sampler = EpochBatchSampler(40, 4, shuffle=True)
    epochs = [[rows.tolist() for rows in sampler] for _ in range(4)]
    again = EpochBatchSampler(40, 4, shuffle=True)
    iter(again)  # never asked for a batch: no epoch
    next(iter(again))  # abandoned: epoch 0 is gone
    one, other = iter(again), iter(again)
    both = [[first.tolist(), second.tolist()] for first, second in zip(one, other, strict=True)]
    assert [first for first, _ in both] == epochs[1]
    assert [second for _, second in both] == epochs[2]
    late = iter(again)
    again.set_epoch(1)  # as Lightning does, which makes the iterator first
    assert [rows.tolist() for rows in late] == epochs[1]


def test_an_iteration_that_is_not_shuffled_stays_as_it_is():
    loader = loaders.array_loader({"x": np.zeros((5, 1))}, np.zeros((5, 1)), batch_size=2)
    assert orders(loader) == orders(loader) == [[0, 1], [2, 3], [4]]
    lengths = loaders.LengthBatchSampler([3, 90, 4, 80], 2, shuffle=False)
    assert [[rows.tolist() for rows in lengths] for _ in range(2)] == [[[1, 3], [2, 0]]] * 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_says_where_it_is_and_goes_on_from_there(workers):
    def fresh():
        rows = ArrayRows({"x": np.zeros((23, 1))}, np.zeros((23, 1)))
        return loaders.loader_of(rows, EpochBatchSampler(23, 5, shuffle=True), num_workers=workers)

    loader, seen = fresh(), []
    states = [loader.state_dict()]
    for _ in range(2):
        for batch in loader:
            seen.append(batch.rows.tolist())
            states.append(loader.state_dict())
    assert [(state["epoch"], state["batches"]) for state in states[::3]] == [(0, 0), (0, 3), (1, 1), (1, 4)]
    for place in (3, 5, 8):
        again = fresh()
        again.load_state_dict(states[place])
        assert again.state_dict() == states[place]
        rest = orders(again)
        assert rest == seen[place : 5 * (place // 5 + 1)]
        assert again.state_dict()["epoch"] == place // 5 + 1
    loader.set_epoch(7)
    assert loader.state_dict().items() >= {"epoch": 7, "batches": 0}.items()
    next(iter(loader))
    loader.set_epoch(8)  # epoch 7 was abandoned
    assert loader.state_dict().items() >= {"epoch": 8, "batches": 0}.items()


@pytest.mark.parametrize("changes", [{"shuffle": False}, {"seed": 1}, {"batch_size": 4}])
def test_a_state_of_other_batches_is_refused_by_name(changes):
    options = {"batch_size": 5, "shuffle": True, "seed": 0}
    inputs, labels = {"x": np.zeros((23, 1))}, np.zeros((23, 1))
    state = loaders.array_loader(inputs, labels, **options).state_dict()
    other = loaders.array_loader(inputs, labels, **options | changes)
    with pytest.raises(ValueError, match=rf"{next(iter(changes))} was \d and is \d"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="expected a state with `epoch` and `batches`"):
        other.load_state_dict({})
    tokens = Tokens(np.arange(23, dtype=np.int32), np.arange(24), np.arange(23), 23, 0, 0)
    plain, buckets = (loaders.token_loader(tokens, shuffle=True, bucket=bucket) for bucket in (False, True))
    with pytest.raises(ValueError, match="pool was 0 and is 50"):
        buckets.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 2.0),
        ("batch_size", True),
        ("rows", 0),
        ("seed", -1),
        ("seed", np.nan),
        ("world_size", 0),
        ("rank", 1),
    ],
)
def test_numbers_of_samplers_are_checked_by_name(name, value):
    options = {"rows": 5, "batch_size": 2, "shuffle": True, "seed": np.int64(3)}
    EpochBatchSampler(**options)
    with pytest.raises(ValueError, match=f"{name}={value}: expected a whole number"):
        EpochBatchSampler(**options | {name: value})


def test_places_of_a_run_are_checked():
    sampler = loaders.LengthBatchSampler(np.ones(5, dtype=int), 2, shuffle=True)
    with pytest.raises(ValueError, match="skip=4: expected a whole number, from 0 to 3"):
        sampler.start(0, skip=4)
    with pytest.raises(ValueError, match=r"epoch=0\.5"):
        sampler.set_epoch(0.5)
    with pytest.raises(ValueError, match="pool=0"):
        loaders.LengthBatchSampler([1, 2], 2, shuffle=True, pool=0)
    for lengths in ([[1, 2]], [1.5, 2.0], ["long", "short"]):
        with pytest.raises(ValueError, match=r"expected whole numbers \(N,\)"):
            loaders.LengthBatchSampler(lengths, 2, shuffle=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32])
def test_small_integers_sort_as_large_ones(dtype):
    lengths = np.array([3, 127, 0, 100, 127, 1])
    for shuffle in (False, True):
        found, expected = (
            [rows.tolist() for rows in loaders.LengthBatchSampler(each, 2, shuffle=shuffle)]
            for each in (lengths.astype(dtype), lengths)
        )
        assert found == expected


def test_a_sampler_of_many_rows_needs_no_object_per_row():
    sampler = EpochBatchSampler(2_000_000, 32, shuffle=True)
    tracemalloc.start()
    iterator = iter(sampler)
    next(iterator)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 * 8 * 1.2
    assert sum(map(len, iterator)) == 2_000_000 - 32


def test_a_run_can_be_taken_up_within_an_epoch():
    counts, _ = table()
    loader = loaders.sparse_loader(counts, np.arange(23)[:, None], batch_size=5, shuffle=True)
    loader.batch_sampler.start(4)
    whole = [targets.tolist() for _, targets in loader]
    loader.batch_sampler.start(4, skip=3)
    assert [targets.tolist() for _, targets in loader] == whole[3:]


def test_unknown_labels_stay_unknown():
    counts, labels = table()
    labels = labels.astype(float)
    labels[3, 1] = np.nan
    _, targets = SparseRows(counts, labels).__getitems__([3, 4])
    assert targets.dtype == torch.float32
    assert targets.isnan().tolist() == [[False, True], [False, False]]


def test_rows_without_words_are_kept():
    inputs, _ = SparseRows(sparse.csr_array((3, 4)), np.zeros((3, 1))).__getitems__([0, 1, 2])
    assert inputs["offsets"].tolist() == [0, 0, 0]
    assert len(inputs["indices"]) == 0


def test_tables_that_do_not_fit_are_refused():
    counts, labels = table()
    with pytest.raises(ValueError, match=r"counts have shape \(23, 11\), labels \(22, 2\)"):
        loaders.sparse_loader(counts, labels[:22])
    with pytest.raises(ValueError, match="batch_size=0: expected a whole number, at least 1"):
        loaders.sparse_loader(counts, labels, batch_size=0)


def test_whole_arrays_come_row_by_row_once_with_their_labels():
    features, ids = np.random.default_rng(0).normal(size=(23, 4)), np.arange(23)[:, None]
    labels = np.arange(46, dtype=float).reshape(23, 2) % 3
    loader = loaders.array_loader({"features": features, "ids": ids}, labels, batch_size=5, shuffle=True, seed=3)
    batches = list(loader)
    assert [len(targets) for _, targets in batches] == [5, 5, 5, 5, 3]
    order = torch.cat([inputs["ids"] for inputs, _ in batches]).ravel()
    assert sorted(order.tolist()) == list(range(23)) != order.tolist()
    assert {inputs["features"].dtype for inputs, _ in batches} == {torch.float32}
    torch.testing.assert_close(
        torch.cat([inputs["features"] for inputs, _ in batches]), torch.tensor(features[order]).float()
    )
    torch.testing.assert_close(torch.cat([targets for _, targets in batches]), torch.tensor(labels[order]).float())


def test_unknown_labels_of_arrays_become_nan_and_the_callers_arrays_stay():
    labels = np.array([[0, -1], [1, 2]])
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    rows = ArrayRows({"features": given}, labels)
    rows.inputs["features"] += 1
    assert labels.tolist() == [[0, -1], [1, 2]]
    assert given[0, 0] == 1
    assert rows.__getitems__([0, 1])[1].isnan().tolist() == [[False, True], [False, False]]
    assert rows[1][1].tolist() == [[1.0, 2.0]]


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"inputs {'features': \(4, 2\)}, labels \(3, 1\)"):
        loaders.array_loader({"features": np.zeros((4, 2))}, np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"labels \(4,\)"):
        loaders.array_loader({"features": np.zeros((4, 2))}, np.zeros(4))
    with pytest.raises(ValueError, match="inputs is empty: expected a dict"):
        loaders.array_loader({}, np.zeros((4, 1)))
    mixed = np.array([[1, "two"], [3, 4]], dtype=object)
    with pytest.raises(ValueError, match=r"input 'features' .* not a table of numbers: row 0 .* is 'two'"):
        loaders.array_loader({"features": mixed}, np.zeros((2, 1)))
    assert ArrayRows({"features": np.arange(6).reshape(3, 2)[::-1]}, np.zeros((3, 1))).inputs["features"][0, 0] == 4


@pytest.mark.parametrize("rows", [3, 7])
def test_a_sampler_of_another_number_of_rows_is_refused(rows):
    data = ArrayRows({"features": np.zeros((5, 2))}, np.zeros((5, 1)))
    with pytest.raises(ValueError, match=f"order: a sampler of {rows} rows for a data set of 5"):
        loaders.loader_of(data, EpochBatchSampler(rows, batch_size=2, shuffle=True))


def test_batches_are_skipped_in_the_epoch_that_was_chosen_and_not_in_the_next():
    sampler = EpochBatchSampler(10, batch_size=3, shuffle=True)
    first, second = (list(sampler) for _ in range(2))
    sampler.start(epoch=0, skip=3)
    resumed, after = (list(sampler) for _ in range(2))
    assert [part.tolist() for part in resumed] == [first[3].tolist()]
    assert [part.tolist() for part in after] == [part.tolist() for part in second]
