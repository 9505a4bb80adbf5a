import numpy as np
import pytest
import torch
from scipy import sparse

from helpers import loaders


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
    _, targets = loaders.SparseRows(counts, labels).__getitems__([3, 4])
    assert targets.dtype == torch.float32
    assert targets.isnan().tolist() == [[False, True], [False, False]]


def test_rows_without_words_are_kept():
    inputs, _ = loaders.SparseRows(sparse.csr_array((3, 4)), np.zeros((3, 1))).__getitems__([0, 1, 2])
    assert inputs["offsets"].tolist() == [0, 0, 0]
    assert len(inputs["indices"]) == 0


def test_tables_that_do_not_fit_are_refused():
    counts, labels = table()
    with pytest.raises(ValueError, match=r"counts have shape \(23, 11\), labels \(22, 2\)"):
        loaders.sparse_loader(counts, labels[:22])
    with pytest.raises(ValueError, match="batch_size=0 must be 1 or more"):
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
    rows = loaders.ArrayRows({"features": given}, labels)
    rows.inputs["features"] += 1
    assert labels.tolist() == [[0, -1], [1, 2]]
    assert given[0, 0] == 1
    assert rows.__getitems__([0, 1])[1].isnan().tolist() == [[False, True], [False, False]]
    assert rows[1][1].tolist() == [[1.0, 2.0]]


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"inputs {'features': \(4, 2\)} and labels \(3, 1\)"):
        loaders.array_loader({"features": np.zeros((4, 2))}, np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"labels \(4,\)"):
        loaders.array_loader({"features": np.zeros((4, 2))}, np.zeros(4))
    with pytest.raises(ValueError, match=r"inputs \{\}"):
        loaders.array_loader({}, np.zeros((4, 1)))
    mixed = np.array([[1, "two"], [3, 4]], dtype=object)
    with pytest.raises(ValueError, match="input 'features' of type object is no array of numbers"):
        loaders.array_loader({"features": mixed}, np.zeros((2, 1)))
    assert (
        loaders.ArrayRows({"features": np.arange(6).reshape(3, 2)[::-1]}, np.zeros((3, 1))).inputs["features"][0, 0]
        == 4
    )
