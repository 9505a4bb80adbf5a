"""What a fingerprint sees of a run, and what it leaves out."""

import copy
import enum
import time
from functools import partial

import datasets as hub
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from transformers import BertConfig, BertModel

from helpers import loaders, loops, losses, models
from helpers.loops.checkpoints import refuse_other
from helpers.loops.digests import digest
from helpers.loops.fingerprints import fingerprint
from helpers.models.encoders import FastDropout


def same(*values):
    return len({digest(value) for value in values}) == 1


def test_content_counts_and_its_type_does_not():
    table = np.array([[0, 1, 2], [3, 0, 1]])
    assert same(
        *(table.astype(kind) for kind in ("int8", "int64", "float32", "float64", "uint16")), torch.tensor(table)
    )
    assert same(np.array([True, False]), np.array([1.0, 0.0]), torch.tensor([1, 0], dtype=torch.bfloat16))
    assert same(np.array([2**25, 1]), np.array([2.0**25, 1.0]))
    assert same(np.array([np.nan, 1.0]), np.array([-np.nan, 1.0], dtype=np.float32))
    assert same(table.T, np.ascontiguousarray(table.T), np.asfortranarray(table.T))
    assert same(pd.Series([1, None], dtype="Int8"), pd.Series([1.0, np.nan]), np.array([1.0, np.nan]))
    assert same(pd.Series(["a", None]), pd.Series(["a", pd.NA], dtype="string"))
    assert same(sparse.csr_matrix(table), sparse.csc_array(table.astype(np.float32)))
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1.0})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array([1.0, np.nan]), np.array([1.0, 0.0])),
        (np.array([0.1]), np.array([0.1], dtype=np.float32)),
        (np.array([2**60]), np.array([2**60 + 1])),
        (np.array([2**24 + 1]), np.array([2**24])),
        (np.array([2**64 - 1], dtype=np.uint64), np.array([2**64 - 2], dtype=np.uint64)),
        (["ab", "c"], ["a", "bc"]),
        (["a", None], ["a", "None"]),
        (["1.0"], [1.0]),
        ([[1, 2], [3]], [[1], [2, 3]]),
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"a": [2], "b": [1]})),
        (sparse.csr_array([[0, 1], [1, 0]]), sparse.csr_array([[1, 0], [0, 1]])),
        (["\ud800"], ["\ud801"]),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert not same(one, other)
    assert same(one, copy.deepcopy(one))


def test_each_element_of_a_large_array_counts():
    large = np.zeros(600_000, dtype=np.float32)
    seen = {digest(large)}
    for place in (0, 262_143, 262_144, 599_999):
        changed = large.copy()
        changed[place] = 1
        seen.add(digest(changed))
    assert len(seen) == 5


def test_files_count_by_what_they_hold(tmp_path):
    rows = {"input_ids": [[1, 2], [3]], "label": [0, None], "text": ["a", "b"]}
    data = hub.Dataset.from_dict(rows)
    data.save_to_disk(tmp_path / "one")
    time.sleep(0.01)
    data.save_to_disk(tmp_path / "two")
    stored = [hub.load_from_disk(tmp_path / name) for name in ("one", "two")]
    assert same(data, *stored)
    assert same(data.select([1, 0]).select([1, 0]), data)
    assert not same(data, data.select([1, 0]))
    assert not same(data, hub.Dataset.from_dict(rows | {"input_ids": [[1], [2, 3]]}))
    assert not same(data, hub.Dataset.from_dict(rows | {"label": [None, 0]}))
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_bytes(b"content")
    assert same(tmp_path / "one.bin", tmp_path / "two.bin")


def parts(**changes):
    torch.manual_seed(0)
    model = changes.pop("model", None) or nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1), nn.Linear(3, 2))
    optimizer = changes.pop("optimizer", torch.optim.AdamW)(model.parameters(), **{"lr": 1e-3} | changes.pop("opt", {}))
    schedule = changes.pop("schedule", partial(loops.linear_warmup, steps=10))(optimizer)
    data = loaders.array_loader({"input": np.eye(4)}, np.eye(4)[:, :2], batch_size=2, shuffle=True)
    own = {"data": data, "loss": losses.bce, "model": model, "optimizer": optimizer, "scheduler": schedule}
    return fingerprint(**own | changes)


def differing(**changes):
    one, other = parts(), parts(**changes)
    return {name for name in one | other if one.get(name, "absent") != other.get(name, "absent")}


def test_two_descriptions_of_one_run_are_equal_and_plain():
    assert parts() == parts()
    assert all(isinstance(value, str | int | float | bool | None) for value in parts().values())
    compiled = torch.compile(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1), nn.Linear(3, 2)))
    assert differing(model=compiled) == set()
    assert differing(opt={"fused": True}) == set()


def weight_of(value):
    def loss(logits, labels):
        return losses.bce(logits, labels) * value

    return loss


class Weighted:
    def __init__(self, value):
        self.value = value

    def __call__(self, logits, labels):
        return losses.bce(logits, labels) * self.value


FACTOR = 1.0


def by_global(logits, labels):
    return losses.bce(logits, labels) * FACTOR


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (losses.bce, losses.focal),
        (partial(losses.focal, gamma=1.0), partial(losses.focal, gamma=2.0)),
        (losses.focal, partial(losses.focal, gamma=2.0)),
        (weight_of(1.0), weight_of(2.0)),
        (weight_of(torch.ones(50)), weight_of(torch.zeros(50))),
        (Weighted(1), Weighted(2)),
        (Weighted(1).__call__, Weighted(2).__call__),
        (nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(reduction="sum")),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), nn.BCEWithLogitsLoss(pos_weight=torch.full((2,), 2.0))),
        (lambda out, labels: losses.bce(out, labels) * 2, lambda out, labels: losses.bce(out, labels) * 3),
        (lambda out, labels: losses.bce(out, labels) * 2, lambda out, labels: losses.bce(out, labels) * 2.0),
        (lambda out, labels: losses.bce(out, labels), lambda out, labels: losses.focal(out, labels)),
        (
            lambda out, labels, by=1: losses.bce(out, labels) * by,
            lambda out, labels, by=2: losses.bce(out, labels) * by,
        ),
        (partial(losses.multi_head, head_weights={"a": 1}), partial(losses.multi_head, head_weights={"a": 2})),
        ("bce", "focal"),
    ],
)
def test_a_loss_counts_with_all_that_it_holds(one, other):
    found = [parts(loss=loss) for loss in (one, other)]
    assert {name for name in found[0] | found[1] if found[0].get(name) != found[1].get(name)}
    assert all("loss" in name for name in found[0] | found[1] if found[0].get(name) != found[1].get(name))
    assert parts(loss=copy.deepcopy(one)) == found[0]


def test_a_global_of_the_loss_counts_and_a_counter_does_not(monkeypatch):
    before = parts(loss=by_global)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    after = parts(loss=by_global)
    assert [name for name in before if before[name] != after[name]] == ["loss FACTOR"]
    calls = 0

    def counting(logits, labels):
        nonlocal calls
        calls += 1
        return losses.bce(logits, labels)

    before = parts(loss=counting)
    counting(torch.zeros(1, 1), torch.zeros(1, 1))
    assert parts(loss=counting) == before


def test_a_function_may_hold_a_variable_that_is_not_bound_yet():
    def loss(logits, labels):
        return losses.bce(logits, labels) if len(logits) else later

    assert parts(loss=loss)["loss"].endswith("loss")
    later = 1


def layers(*parts):
    return nn.Sequential(*parts)


def frozen():
    model = layers(nn.Linear(4, 3), nn.Dropout(0.1), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (layers(nn.Linear(4, 3), nn.Dropout(0.2), nn.Linear(3, 2)), "model 1 p"),
        (layers(nn.Linear(4, 3), FastDropout(0.1), nn.Linear(3, 2)), "model 1"),
        (layers(nn.Linear(4, 5), nn.Dropout(0.1), nn.Linear(5, 2)), "parameter 0.weight"),
        (layers(nn.Linear(4, 3, dtype=torch.float64), nn.Dropout(0.1), nn.Linear(3, 2)), "parameter 0.weight"),
        (frozen(), "parameter 0.weight"),
    ],
    ids=["dropout", "class", "width", "dtype", "frozen"],
)
def test_a_model_counts_with_its_settings(model, name):
    assert name in differing(model=model)


class Layer(nn.Module):
    """A layer that holds a function, in a class that describes itself."""

    def __init__(self, function=torch.relu, p=0.1):
        super().__init__()
        self.function, self.dropout = function, nn.Dropout(p)

    def to_dict(self):
        return {"layer": 1}


def differing_of(one, other):
    one, other = (parts(model=layers(nn.Linear(4, 2), layer)) for layer in (one, other))
    return {name for name in one | other if one.get(name) != other.get(name)}


def test_each_use_of_a_function_counts():
    one, other = (layers(*map(Layer, (torch.relu, torch.tanh, last))) for last in (torch.relu, torch.tanh))
    assert differing_of(one, other) == {"model 1 2 function"}


def test_what_describes_itself_counts_with_all_that_it_holds():
    assert differing_of(Layer(p=0.1), Layer(p=0.2)) == {"model 1 dropout p"}


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.Identity(), nn.ReLU()])
def test_the_mode_of_a_layer_without_settings_does_not_count(layer):
    assert differing_of(copy.deepcopy(layer).eval(), layer) == set()


def bert(**changes):
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    options = {name: changes.pop(name) for name in ("pooling", "dropout") if name in changes}
    encoder = BertModel(BertConfig(**sizes | {"intermediate_size": 8} | changes))
    return fingerprint(data=None, loss="bce", model=models.BertTagger(encoder, 2, **options))


@pytest.mark.parametrize(
    "change",
    [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}, {"vocab_size": 21}, {"pooling": "cls"}, {"dropout": 0.3}],
)
def test_an_encoder_counts_with_its_configuration(change):
    assert bert() == bert()
    assert bert() != bert(**change)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"opt": {"lr": 2e-3}}, {"learning rate"}),
        ({"opt": {"weight_decay": 0.1}}, {"weight decay"}),
        ({"opt": {"betas": (0.8, 0.999)}}, {"betas"}),
        ({"optimizer": torch.optim.Adam, "opt": {"weight_decay": 0.01}}, {"optimizer", "decoupled weight decay"}),
        ({"scheduler": lambda optimizer: None}, {"scheduler", "scheduler lr lambdas"}),
        ({"scheduler": partial(loops.linear_warmup, steps=20)}, {"scheduler lr lambdas steps"}),
        ({"scheduler": partial(loops.linear_warmup, steps=10, warmup=3)}, {"scheduler lr lambdas warmup steps"}),
        ({"precision": "bf16-mixed"}, {"precision"}),
        (
            {"data": loaders.array_loader({"input": np.eye(4)}, np.eye(4)[:, :2], batch_size=4)},
            {"batch size", "shuffle"},
        ),
    ],
)
def test_each_setting_is_named(changes, names):
    found = differing(**changes)
    assert {name.replace("_", " ") for name in found} >= names
    assert len(found) <= len(names) + 5


def test_a_scheduler_and_an_optimizer_count_by_their_settings_not_by_where_they_stand():
    model = nn.Linear(4, 2)
    kinds = [
        partial(loops.linear_warmup, steps=10),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=10),
        partial(torch.optim.lr_scheduler.CosineAnnealingWarmRestarts, T_0=2),
        partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[2, 3]),
    ]
    for kind in kinds:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        schedule = kind(optimizer)
        own = {"data": None, "loss": "bce", "model": model, "optimizer": optimizer, "scheduler": schedule}
        before = fingerprint(**own)
        for _ in range(3):
            optimizer.step()
            schedule.step()
        assert fingerprint(**own) == before


def test_the_rows_of_any_loader_count():
    features, labels = torch.arange(12.0).reshape(6, 2), torch.tensor([[0], [1], [0], [1], [0], [1]])
    swapped = labels[[1, 0, 2, 3, 4, 5]]
    for make in (
        lambda labels: TensorDataset(features, labels),
        lambda labels: Subset(TensorDataset(features, labels), [5, 4, 1, 0]),
        lambda labels: [({"input": row}, label) for row, label in zip(features, labels, strict=True)],
    ):
        found = [fingerprint(data=DataLoader(make(x)), loss="", model=nn.Linear(2, 1)) for x in (labels, swapped)]
        assert found[0] != found[1]
        assert found[0] == fingerprint(data=DataLoader(make(labels)), loss="", model=nn.Linear(2, 1))


def test_a_difference_is_named_with_both_values():
    saved = {"learning rate": 0.001, "training labels": "digest 12", "scheduler": None}
    own = {"learning rate": 0.003, "training labels": "digest 34", "clip norm": 1.0, "scheduler": None}
    with pytest.raises(loops.CheckpointError) as caught:
        refuse_other(saved, own, where="folder/last.pt")
    message = str(caught.value)
    assert message.startswith("folder/last.pt: state of another run: learning rate was 0.001 and is 0.003; ")
    assert "training labels changed (digest 12 -> 34)" in message
    assert "clip norm was absent and is 1.0" in message
    assert "another folder" in message
    refuse_other(saved, dict(saved), where="folder")


def test_sparse_counts_are_compared_by_content_whatever_the_types_of_their_positions():
    def described(counts):
        loader = loaders.sparse_loader(counts, np.zeros((counts.shape[0], 1)))
        return fingerprint(data=loader, loss="bce", model=nn.Linear(1, 1))

    counts = sparse.random(50, 30, 0.2, format="csr", random_state=0, dtype=np.float32)
    wide = counts.astype(np.float64)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert described(counts) == described(wide)
    value, position, row = (counts.copy() for _ in range(3))
    value.data[3] += 1
    position.indices[0] = (position.indices[0] + 1) % 30
    row.indptr[7] += 1
    assert len({str(described(other)) for other in (counts, value, position, row)}) == 4


class Measured(torch.utils.data.Dataset):
    """Rows that know a number of themselves, of any type."""

    def __init__(self, number):
        self.number, self.rows = number, torch.eye(4)

    def __len__(self):
        return 4

    def __getitem__(self, row):
        return {"input": self.rows[row]}, self.rows[row, :2]


class Kind(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize("number", [np.float64(0.5), np.mean([1.0, 2.0]), np.int64(3), Kind.ONE, True, None, 0.5])
def test_numbers_of_any_type_are_saved_as_plain_values(number):
    values = parts(data=DataLoader(Measured(number)), model=nn.Linear(4, 2)).values()
    assert {type(value) for value in values} <= {str, int, float, bool, type(None)}


def test_columns_of_one_name_count_each():
    one, other = (pd.DataFrame([[number, 2], [3, 4]], columns=["a", "a"]) for number in (1, 9))
    assert parts(data=one) != parts(data=other)
