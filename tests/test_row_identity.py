"""A batch knows which rows it holds, for every loader of the package."""

import pickle
from contextlib import nullcontext
from functools import cache, partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pytorch_lightning.utilities import move_data_to_device
from scipy import sparse
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data._utils.pin_memory import pin_memory
from transformers import PreTrainedTokenizerFast
from transformers.modeling_outputs import SequenceClassifierOutput

from helpers import loaders, loops, text
from helpers.loaders.batches import ArrayRows, BatchLoader, SparseRows
from helpers.loaders.row_order import EpochBatchSampler, check_batch, in_row_order, row_numbers
from helpers.loaders.tokens import TokenRows, Tokens, pool_windows
from helpers.loops.prediction import predict_proba_share, resolve_device


def id_rows(n_rows, **options):
    """Rows whose only feature is their number."""
    ids = np.arange(n_rows)[:, None]
    return ArrayRows({"ids": ids}, ids % 2, **options)


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
    sampler = EpochBatchSampler(len(rows), 4, shuffle=True)
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
    loader = loaders.loader_of(rows, EpochBatchSampler(5, 2, shuffle=False))
    assert loader.dataset is rows
    again = BatchLoader(loader.dataset, batch_sampler=loader.batch_sampler)
    assert [batch.rows.tolist() for batch in again] == [[0, 1], [2, 3], [4]]
    part = loaders.loader_of(Subset(loader.dataset, [3, 1]), EpochBatchSampler(2, 2, shuffle=False))
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
    tokens = Tokens(np.arange(200, dtype=np.int32), np.arange(201), np.arange(200), 200, 0, 0)
    assert TokenRows(tokens).__getitems__(numbers)[0]["input_ids"].ravel().tolist() == [127, 3]


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
        loaders.loader_of(Single(), EpochBatchSampler(4, 2, shuffle=False))

    class Short(ArrayRows):
        def __getitems__(self, rows):
            return super().__getitems__(rows[:-1])

    short = Short({"ids": np.zeros((4, 1))}, np.zeros((4, 1)))
    with pytest.raises(ValueError, match="Short: asked for 3 rows, got 2 rows of labels"):
        next(iter(loaders.loader_of(short, EpochBatchSampler(4, 3, shuffle=False))))


FILES = {}

# The property: whatever data set, order and model, the ids of predictions equal the ids of rows.


def token_rows(ids, lengths):
    """Each text begins with the token of its id."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.full(offsets[-1], 7, dtype=np.int32)
    flat[offsets[:-1]] = ids
    return TokenRows(Tokens(flat, offsets, np.arange(len(ids)), len(ids), 0, 0))


def sparse_rows(ids, lengths):
    """Each row holds its id as its only count; id 0 has none."""
    return SparseRows(sparse.csr_array(np.asarray(ids)[:, None]), np.zeros((len(ids), 1)))


@cache
def numbers_as_words():
    """A tokenizer whose ids are the numbers that it reads."""
    words = Tokenizer(WordLevel({str(number): number for number in range(50)} | {"[PAD]": 50}, unk_token="[PAD]"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]")


@pytest.fixture(scope="module", autouse=True)
def folder_of_files(tmp_path_factory):
    FILES["folder"] = tmp_path_factory.mktemp("files")


def file_rows(ids, lengths):
    """Texts that begin with the number of their id, in CSV or Parquet files; a long text begins a new file."""
    texts = [" ".join([str(number), *["7"] * (length - 1)]) for number, length in zip(ids, lengths, strict=True)]
    table = pd.DataFrame({"comment_text": texts, "none": 0})
    cuts = [0, *(place for place in range(1, len(ids)) if lengths[place] > 7), len(ids)]
    paths = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        part, path = table[start:stop], FILES["folder"] / f"part{number}.{('csv', 'parquet')[(ids[0] + number) % 2]}"
        part.to_csv(path, index=False) if path.suffix == ".csv" else part.to_parquet(path)
        paths.append(path)
    return loaders.tokenize_files(paths, numbers_as_words(), cache=FILES["folder"] / "cache")


# One line per kind of data set: rows with these ids and lengths, which give whole batches by __getitems__.
SOURCES = {
    "arrays": lambda ids, lengths: ArrayRows({"ids": np.asarray(ids)[:, None]}, np.zeros((len(ids), 2))),
    "files": file_rows,
    "sparse": sparse_rows,
    "tokens": token_rows,
}


class TellsIds(nn.Module):
    """A model whose logit is the id of the row."""

    def __init__(self, form="table"):
        super().__init__()
        self.form = form

    def forward(self, ids=None, indices=None, offsets=None, values=None, input_ids=None, attention_mask=None):
        if input_ids is not None:
            ids = input_ids[:, :1]
        elif offsets is not None:
            ends = [*offsets[1:].tolist(), len(values)]
            pairs = zip(offsets.tolist(), ends, strict=True)
            ids = torch.stack([values[start:end].sum() for start, end in pairs])[:, None]
        column = ids.float()
        forms = {"table": column.repeat(1, 3), "column": column, "flat": column[:, 0], "squeezed": column.squeeze()}
        return forms.get(self.form, {"yes": column, "which": column.repeat(1, 4)})


FORMS = ["table", "column", "flat", "squeezed", "heads"]


def first_column(found):
    for part in found.values() if isinstance(found, dict) else [found]:
        columns = part.reshape(len(part), -1)
        np.testing.assert_array_equal(columns, columns[:, :1].repeat(columns.shape[1], axis=1))
    return columns[:, 0]


@st.composite
def cases(draw):
    n_rows = draw(st.integers(1, 40))
    order = draw(st.permutations(range(n_rows)) | st.just(list(range(n_rows))))
    part = order[: draw(st.integers(1, n_rows))] if draw(st.booleans()) else order
    return {
        "source": draw(st.sampled_from(sorted(SOURCES))),
        "ids": draw(st.permutations(range(n_rows))),
        "lengths": draw(st.lists(st.integers(1, 9), min_size=n_rows, max_size=n_rows)),
        "part": draw(st.none() | st.just(part)),
        "batch_size": draw(st.integers(1, n_rows + 3)),
        "bucket": draw(st.booleans()),
        "shuffle": draw(st.booleans()),
        "seed": draw(st.integers(0, 5)),
        "epoch": draw(st.integers(0, 3)),
        "world_size": draw(st.integers(1, 4)),
        "form": draw(st.sampled_from(FORMS)),
    }


def loader_of_case(case, rank=0, world_size=1, **options):
    """The loader of a case, and the ids of its data set's rows."""
    ids, lengths = np.array(case["ids"]), np.array(case["lengths"])
    rows = SOURCES[case["source"]](ids, lengths)
    if case["part"] is not None:
        rows, ids, lengths = Subset(rows, case["part"]), ids[case["part"]], lengths[case["part"]]
    order = {"shuffle": case["shuffle"], "seed": case["seed"], "rank": rank, "world_size": world_size}
    if case["bucket"]:
        sampler = loaders.LengthBatchSampler(lengths, case["batch_size"], **order, pool=2)
    else:
        sampler = EpochBatchSampler(len(ids), case["batch_size"], **order)
    sampler.set_epoch(case["epoch"])
    return loaders.loader_of(rows, sampler, **options), ids


@settings(max_examples=320, deadline=None)
@given(cases())
def test_ids_of_predictions_equal_ids_of_rows(case):
    loader, ids = loader_of_case(case)
    model = TellsIds(case["form"])
    np.testing.assert_array_equal(first_column(loops.logits(model, loader)), ids)
    expected = loops.predict_proba(model, list(loader))  # batches that were kept know their rows too
    np.testing.assert_array_equal(first_column(loops.predict_proba(model, loader)), first_column(expected))
    if case["form"] != "heads":
        np.testing.assert_allclose(first_column(expected), torch.sigmoid(torch.tensor(ids).float()))

    shares = [loader_of_case(case, rank, case["world_size"])[0] for rank in range(case["world_size"])]
    # A process whose batches are all empty has no share.
    parts = [predict_proba_share(model, share) for share in shares if any(len(labels) for _, labels in share)]
    places, probabilities = zip(*parts, strict=True)
    assert sorted(np.concatenate(places)) == list(range(len(ids)))
    together = in_row_order(places, probabilities, n_rows=len(ids))
    np.testing.assert_array_equal(first_column(together), first_column(expected))
    if len(places[0]) < len(ids):
        with pytest.raises(ValueError, match=rf"got {len(places[0])} of {len(ids)} rows; the first one missing is row"):
            loops.predict_proba(model, shares[0])


@pytest.mark.parametrize("options", [{"num_workers": 1}, {"num_workers": 2, "in_order": False}])
@pytest.mark.parametrize("source", sorted(SOURCES))
def test_ids_come_back_in_order_from_worker_processes(source, options):
    n_rows = 23
    case = {"source": source, "ids": np.random.default_rng(1).permutation(n_rows), "lengths": np.arange(n_rows) % 5 + 1}
    case |= {
        "part": [*range(n_rows - 1, 4, -1)],
        "batch_size": 4,
        "bucket": True,
        "shuffle": True,
        "seed": 0,
        "epoch": 1,
    }
    loader, ids = loader_of_case(case, **options)
    np.testing.assert_array_equal(first_column(loops.logits(TellsIds("flat"), loader)), ids)
    assert loader.batch_sampler.epoch == 1  # reading costs no epoch


# Loaders that are not ours.


class Singles(Dataset):
    """Single rows, as torch's own data sets give them."""

    def __init__(self, n_rows=10):
        self.n_rows = n_rows

    def __len__(self):
        return self.n_rows

    def __getitem__(self, row):
        if not 0 <= row < self.n_rows:
            raise IndexError(row)
        return {"ids": torch.tensor([row])}, torch.zeros(1)


class Flow(IterableDataset):
    def __iter__(self):
        return iter([Singles()[row] for row in range(10)])


KNOWN = {
    "sequential": lambda: DataLoader(Singles(), batch_size=4),
    "its own batch sampler": lambda: DataLoader(
        Singles(), batch_sampler=BatchSampler(SequentialSampler(Singles()), 3, drop_last=False)
    ),
    "batches as rows": lambda: DataLoader(list(DataLoader(Singles(), batch_size=4)), batch_size=None),
    "list": lambda: list(DataLoader(Singles(), batch_size=4)),
    "tuple of lists": lambda: tuple(list(batch) for batch in DataLoader(Singles(), batch_size=4)),
    "our sampler": lambda: DataLoader(
        Singles(), batch_sampler=loaders.LengthBatchSampler(np.arange(10) % 3, 4, shuffle=True)
    ),
    "our batches as they come": lambda: iter(loaders.array_loader({"ids": np.arange(10)[:, None]}, np.zeros((10, 1)))),
}
UNKNOWN = {
    "RandomSampler": lambda: DataLoader(Singles(), batch_size=4, shuffle=True),
    "WeightedRandomSampler": lambda: DataLoader(
        Singles(), batch_size=4, sampler=WeightedRandomSampler(torch.ones(10), 10)
    ),
    "SubsetRandomSampler": lambda: DataLoader(Singles(), batch_size=4, sampler=SubsetRandomSampler(range(10))),
    "drawn by a list": lambda: DataLoader(Singles(), batch_sampler=[[1, 0], [2, 3, 4, 5, 6, 7, 8, 9]]),
    "IterableDataset": lambda: DataLoader(Flow(), batch_size=4),
    "drop_last": lambda: DataLoader(Singles(), batch_size=4, drop_last=True),
    "in_order": lambda: DataLoader(Singles(), batch_size=4, num_workers=1, in_order=False),
    "generator": lambda: (batch for batch in DataLoader(Singles(), batch_size=4)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_other_loaders_are_taken_where_their_order_is_known(name):
    np.testing.assert_array_equal(loops.logits(TellsIds("column"), KNOWN[name]())[:, 0], np.arange(10))


@pytest.mark.parametrize("call", [loops.predict_proba, loops.logits, predict_proba_share, loops.predict])
@pytest.mark.parametrize("name", UNKNOWN)
def test_other_loaders_are_refused_where_their_order_is_not_known(name, call):
    with pytest.raises(ValueError, match=rf"the order of the rows cannot be known: .*{name}.*loaders\.array_loader"):
        call(TellsIds("heads"), UNKNOWN[name]())


@pytest.mark.filterwarnings("ignore:mean_auc:UserWarning")
@pytest.mark.parametrize("name", [name for name in UNKNOWN if name not in ("drop_last", "WeightedRandomSampler")])
def test_the_order_does_not_matter_to_scores(name):
    def loss(logits, labels):
        return logits.sum()

    assert loops.evaluate(TellsIds("column"), UNKNOWN[name](), loss=loss)["loss"] == 45


def test_rows_that_are_missing_are_counted():
    model, rows = TellsIds("column"), id_rows(10)
    resumed = loaders.loader_of(rows, EpochBatchSampler(10, 3, shuffle=True))
    resumed.batch_sampler.start(0, skip=2)
    for call in (loops.predict_proba, partial(loops.evaluate, loss=nn.functional.mse_loss)):
        with pytest.raises(ValueError, match=r"got 4 of 10 rows; .* not the middle of an epoch"):
            call(model, resumed)
    assert resumed.state_dict()["batches"] == 2  # and training goes on from there
    fewer = DataLoader(Singles(), batch_size=4, sampler=SequentialSampler(range(7)))
    with pytest.raises(ValueError, match="got 7 of 10 rows; the first one missing is row 7"):
        loops.predict_proba(model, fewer)
    batches = list(loaders.loader_of(rows, EpochBatchSampler(10, 3, shuffle=False)))
    with pytest.raises(ValueError, match="got 7 of 10 rows; the first one missing is row 3"):
        loops.predict_proba(model, [batches[0], *batches[2:]])
    with pytest.raises(ValueError, match="the loader gives no row"):
        loops.predict_proba(model, [])


def test_rows_that_come_twice_count_once():
    """As distributed samplers fill their last batch."""
    rows = id_rows(10)

    class Padded(EpochBatchSampler):
        def __iter__(self):
            yield from super().__iter__()
            yield np.array([0, 1])

    loader = loaders.loader_of(rows, Padded(10, 4, shuffle=False))
    model = TellsIds("column")
    np.testing.assert_array_equal(loops.logits(model, loader)[:, 0], np.arange(10))
    assert loops.evaluate(model, loader, loss=lambda logits, labels: logits.sum())["loss"] == 45
    assert loops.evaluate(model, list(loader), loss=lambda logits, labels: logits.sum())["loss"] == 45


@pytest.mark.filterwarnings("ignore:mean_auc:UserWarning")
def test_scores_do_not_depend_on_the_order():
    ids = np.arange(50)[:, None]
    options = {"batch_size": 7}
    for_scores = [loaders.array_loader({"ids": ids}, ids % 2, shuffle=shuffle, **options) for shuffle in (False, True)]
    one, other = (loops.evaluate(TellsIds("column"), loader, loss=nn.functional.mse_loss) for loader in for_scores)
    assert one == pytest.approx(other)


@pytest.mark.parametrize("type_of", [np.asarray, torch.as_tensor])
def test_shares_are_put_in_order_by_one_function(type_of):
    rows = [torch.tensor([3, 0]), torch.tensor([1, 2, 3])]
    values = [type_of([30.0, 0.0]), type_of([10.0, 20.0, 30.01])]  # rounding depends on the batch
    found = in_row_order(rows, values)
    assert type(found) is type(values[0])
    assert found.tolist() == [0, 10, 20, 30]
    heads = in_row_order(rows, [{"a": part, "b": part[:, None]} for part in values], n_rows=4)
    assert heads["a"].tolist() == [0, 10, 20, 30] and heads["b"].shape == (4, 1)
    assert in_row_order([1, 0], [5, 6]).tolist() == [6, 5]
    assert in_row_order(np.array([1, 0], dtype=np.int8), type_of([5, 6])).tolist() == [6, 5]


@pytest.mark.parametrize(
    ("rows", "values", "n_rows", "message"),
    [
        ([[0, 1], [0, 1]], [[1.0, 2.0], [3.0, 4.0]], 2, "came twice with different values"),
        ([[0, 2]], [[1.0, 2.0]], 3, "got 2 of 3 rows; the first one missing is row 1"),
        ([[0, 1]], [[1.0, 2.0]], 3, "the first one missing is row 2"),
        ([[0, 10**13]], [[1.0, 2.0]], None, "the first one missing is row 1"),
        ([[0, 3]], [[1.0, 2.0]], 2, "row 3 is not one of the 2 rows"),
        ([[-1, 0]], [[1.0, 2.0]], 2, "row -1 is not one of the 2 rows"),
        ([[0, 1]], [[1.0, 2.0, 3.0]], 2, r"values of shape \(3,\) for 2 rows"),
        ([[0, 1], None], [[1.0, 2.0], [3.0]], 3, "does not know its rows"),
        (None, [[1.0]], 1, "does not know its rows"),
        ([[0.0, 1.0]], [[1.0, 2.0]], 2, "expected whole numbers"),
        ([[0], [1]], [[[1.0, 2.0]], [[3.0]]], 2, "different shapes per row"),
        ([[0]], [[1.0]], 1.5, r"n_rows=1\.5: expected a whole number"),
        ([], [], 2, "got 0 of 2 rows"),
    ],
)
def test_shares_that_do_not_fit_are_refused(rows, values, n_rows, message):
    rows = rows and [None if part is None else np.array(part) for part in rows]
    with pytest.raises(ValueError, match=message):
        in_row_order(rows, [np.array(part) for part in values], n_rows=n_rows)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda ids: ids.float().mean(0, keepdim=True), r"got \(1, 1\) for a batch of 4 rows"),
        (lambda ids: ids.float().mean(), r"got \(\) for a batch of 4 rows"),
        (lambda ids: {"a": ids.float(), "b": ids[:1].float()}, r"'b' is \(1, 1\) for a batch of 4 rows"),
        (lambda ids: {"a": None}, "'a' is a NoneType"),
        (lambda ids: {}, "got a dict"),
        (lambda ids: (ids.float(), ids), "got a tuple"),
        (lambda ids: None, "got a NoneType"),
        (
            lambda ids: SequenceClassifierOutput(logits=ids.float()),
            r"Output; let forward return its \.logits",
        ),
        (lambda ids: torch.zeros(len(ids), int(ids[0]) + 1), "outputs of different shapes per row"),
        (lambda ids: {"a" if ids[0] else "b": ids.float()}, "one batch has the outputs"),
    ],
)
def test_outputs_that_are_not_one_per_row_are_refused(out, message):
    class Model(nn.Module):
        def forward(self, ids):
            return out(ids)

    loader = loaders.loader_of(id_rows(8), EpochBatchSampler(8, 4, shuffle=False))
    for call in (loops.predict_proba, partial(loops.evaluate, loss=nn.functional.mse_loss)):
        with pytest.raises(ValueError, match=message):
            call(Model(), loader)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": torch.zeros(2, 3), "labels": torch.zeros(2)}, r"got a dict with .*batch\['labels'\]\.float\(\)"),
        ({"input_ids": torch.zeros(2, 3)}, r"Return \(batch, torch\.zeros\(B, 0\)\) from the collate"),
        (
            [torch.zeros(2, 3), torch.zeros(2, 1)],
            r"a Tensor: name it, as in \({'features': inputs}, labels\)",
        ),
        (torch.zeros(2, 3), "got a Tensor"),
        (({"x": torch.zeros(2, 3)},), "got a tuple of 1 parts"),
        (({"x": np.zeros((2, 3))}, torch.zeros(2, 1)), "its input 'x' is a ndarray, not a tensor"),
        (({0: torch.zeros(2, 3)}, torch.zeros(2, 1)), "its input 0 is a Tensor"),
        (({"x": torch.zeros(2, 3)}, None), r"its labels are a NoneType: torch\.zeros\(B, 0\)"),
        (({"x": torch.zeros(2, 3)}, torch.zeros(2)), r"labels have shape \(2,\): labels\[:, None\] is one column"),
        (({"x": torch.zeros(2, 3)}, torch.tensor(1.0)), r"labels have shape \(\): one column per label"),
    ],
)
def test_batches_of_another_form_are_refused_with_the_line_that_helps(batch, message):
    with pytest.raises(ValueError, match=message):
        check_batch(batch)
    with pytest.raises(ValueError, match=message):
        loops.predict_proba(TellsIds(), [batch])


def test_data_sets_that_give_batches_of_another_form_are_refused_by_the_same_words():
    class Dicts(ArrayRows):
        def __getitems__(self, rows):
            return {"input_ids": torch.zeros(len(rows), 2), "labels": torch.zeros(len(rows))}

    order = EpochBatchSampler(6, 6, shuffle=False)
    dicts = Dicts({"x": np.zeros((6, 1))}, np.zeros((6, 1)))
    for rows, message in ((dicts, "a dict"), (Subset(Singles(), range(6)), "a list")):
        with pytest.raises(ValueError, match=rf"expected a batch \(inputs, labels\).*got {message}"):
            loops.predict_proba(TellsIds(), loaders.loader_of(rows, order))


def test_batches_that_lost_their_rows_are_refused():
    rows = id_rows(4)
    order = EpochBatchSampler(4, 2, shuffle=False)
    with pytest.raises(ValueError, match="its batches lost their rows on the way"):
        loops.predict_proba(TellsIds(), loaders.loader_of(rows, order, collate_fn=tuple))
    batches = list(loaders.loader_of(rows, order))
    with pytest.raises(ValueError, match="some batches know their rows and others do not"):
        loops.predict_proba(TellsIds(), [batches[0], tuple(batches[1])])
    with pytest.raises(ValueError, match="a batch has 2 rows of labels, and knows 1 rows"):
        loops.predict_proba(TellsIds(), [loaders.Batch(batches[0], torch.tensor([0]))])
    with pytest.raises(ValueError, match=r"expected a loader of batches .*, got a NoneType"):
        loops.predict_proba(TellsIds(), None)


# The model that predicts stays as it was.


class Nested(nn.Module):
    def __init__(self, fail=False):
        super().__init__()
        self.frozen, self.head, self.fail = nn.BatchNorm1d(1), nn.Dropout(0.5), fail

    def forward(self, ids):
        assert not self.frozen.training and not self.head.training
        if self.fail:
            raise RuntimeError("out of order")
        return self.head(self.frozen(ids.float()))

    features = forward


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(
    "call", [loops.predict_proba, loops.features, partial(loops.evaluate, loss=nn.functional.mse_loss)]
)
@pytest.mark.parametrize("mode", [False, True])
def test_each_module_keeps_its_own_mode(call, fail, mode):
    model = Nested(fail).train(mode)
    model.frozen.train(not mode)
    loader = loaders.loader_of(id_rows(8), EpochBatchSampler(8, 4, shuffle=False))
    with pytest.raises(RuntimeError, match="out of order") if fail else nullcontext():
        call(model, loader)
    assert (model.training, model.frozen.training, model.head.training) == (mode, not mode, mode)


def test_the_device_is_the_models():
    loader = loaders.loader_of(id_rows(4), EpochBatchSampler(4, 4, shuffle=False))
    assert resolve_device(nn.Linear(1, 1, device="meta"), None).type == "meta"
    assert resolve_device(nn.BatchNorm1d(3, affine=False, device="meta"), None).type == "meta"  # it has buffers only
    assert resolve_device(TellsIds(), None).type == "cpu"
    assert resolve_device(nn.Linear(1, 1), "cpu:0").type == "cpu"
    for device in ("cuda", "meta"):
        with pytest.raises(ValueError, match=f"device='{device}', and the model is on cpu: leave device out"):
            loops.predict_proba(Nested(), loader, device=device)
    with pytest.raises(ValueError, match="device='gpu': expected a name such as 'cpu'"):
        loops.evaluate(TellsIds(), loader, loss=nn.functional.mse_loss, device="gpu")
    with pytest.raises(ValueError, match="precision='16': expected '32-true' or 'bf16-mixed'"):
        loops.logits(TellsIds(), loader, precision="16")
    with pytest.raises(ValueError, match="TellsIds has no method features"):
        loops.features(TellsIds(), loader)


def test_windows_keep_their_rows():
    tokenizer = text.load_tokenizer()
    texts = ["you are kind " * count for count in (9, 1, 5, 1)]
    tokens = loaders.tokenize(texts, tokenizer, max_length=8, windows=True, overlap=2)
    found = loops.logits(TellsLengths(), loaders.token_loader(tokens, batch_size=3, shuffle=True))
    np.testing.assert_array_equal(found[:, 0], tokens.lengths)
    assert pool_windows(found, tokens).ravel().tolist() == [8, 5, 8, 5]


class TellsLengths(nn.Module):
    def forward(self, input_ids, attention_mask):
        return attention_mask.sum(dim=1, keepdim=True)
