"""A run is identified by all that it depends on, also where loaders, models and losses are the reader's own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    default_collate,
)
from transformers import BertConfig

from helpers import loaders, loops, losses, tagging
from helpers.loops.digests import digest

torch.manual_seed(0)
FEATURES = torch.randn(40, 6)
LABELS = (FEATURES[:, :1] > 0).float()
ROWS = TensorDataset(FEATURES, LABELS)


def pair(rows, by=1.0):
    features, labels = default_collate(rows)
    return {"input": features * by}, labels


def loader_of(rows=ROWS, **options):
    return DataLoader(rows, 8, **{"collate_fn": pair} | options)


def linear():
    torch.manual_seed(0)
    return nn.Linear(6, 1)


def fit(folder=None, *, model=None, train=None, loss=losses.bce, epochs=1, optimizer=None, **options):
    model = linear() if model is None else model
    train = loaders.array_loader({"input": FEATURES}, LABELS, batch_size=8, shuffle=True) if train is None else train
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if optimizer is None else optimizer(model.parameters())
    return loops.fit(
        model, train, loss=loss, optimizer=optimizer, epochs=epochs, folder=folder, progress=False, **options
    )


def shuffled(seed):
    return loader_of(sampler=RandomSampler(ROWS, generator=torch.Generator().manual_seed(seed)))


@dataclass
class Settings:
    scale: float


class Skipping(nn.Module):
    def __init__(self, *, skip=True, best=1, act=torch.relu, settings=None):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 1)
        self.skip, self.best, self.act, self.settings = skip, best, act, settings

    def forward(self, input):
        hidden = self.act(self.first(input))
        return self.last(hidden + input if self.skip else hidden)


def edited(name, source):
    """An object of a class that is written anew, as in a cell of a notebook."""
    names = {"__name__": "__main__", "nn": nn, "losses": losses}
    exec(f"class {name}({'nn.Linear' if name == 'Net' else ''}):\n    def {source}", names)
    return names[name](6, 1) if name == "Net" else names[name]()


class Twice(Dataset):
    def __init__(self, labels):
        self.one, self.two = {"label": labels}, {"label": FEATURES[:, 0]}

    def __len__(self):
        return 40

    def __getitem__(self, row):
        return FEATURES[row], self.one["label"][row]


class Kept(Dataset):
    def __init__(self, labels: list[int], keep: Callable):
        self.kept = keep(labels)

    def __len__(self):
        return 40

    def __getitem__(self, row):
        value = self.kept[row]
        return FEATURES[row], torch.tensor([float(value.as_py() if hasattr(value, "as_py") else value)])


ONES = [int(value) for value in LABELS]
OTHER = [1 - ONES[0], *ONES[1:]]
KEEPERS = {
    "decimals": lambda values: [Decimal(value) for value in values],
    "arrow": pa.array,
    "arrow in pieces": lambda values: pa.chunked_array([pa.array(values)]),
    "categories": pd.Categorical,
    "decimals of a column": lambda values: pd.Series([Decimal(value) for value in values]),
}
PAIRS = {
    "collate function": (lambda: {"train": loader_of()}, lambda: {"train": loader_of(collate_fn=partial(pair, by=3))}),
    "validation collate function": (
        lambda: {"valid": loader_of()},
        lambda: {"valid": loader_of(collate_fn=partial(pair, by=3))},
    ),
    "seed was 0 and is 1": (lambda: {"train": shuffled(0)}, lambda: {"train": shuffled(1)}),
    "model skip was True": (lambda: {"model": Skipping()}, lambda: {"model": Skipping(skip=False)}),
    "model best was 1": (lambda: {"model": Skipping()}, lambda: {"model": Skipping(best=2)}),
    "model act code changed": (
        lambda: {"model": Skipping(act=lambda hidden: hidden.relu())},
        lambda: {"model": Skipping(act=lambda hidden: hidden.tanh())},
    ),
    "model act negative_slope": (
        lambda: {"model": Skipping(act=partial(nn.functional.leaky_relu, negative_slope=0.1))},
        lambda: {"model": Skipping(act=partial(nn.functional.leaky_relu, negative_slope=0.2))},
    ),
    "model settings scale": (
        lambda: {"model": Skipping(settings=Settings(1))},
        lambda: {"model": Skipping(settings=Settings(2))},
    ),
    "model code changed": (
        lambda: {"model": edited("Net", "forward(self, input): return super(type(self), self).forward(input)")},
        lambda: {"model": edited("Net", "forward(self, input): return super(type(self), self).forward(2 * input)")},
    ),
    "loss code changed": (
        lambda: {"loss": edited("Loss", "__call__(self, out, labels): return losses.bce(out, labels)")},
        lambda: {"loss": edited("Loss", "__call__(self, out, labels): return losses.focal(out, labels)")},
    ),
    "training label changed": (
        lambda: {"train": loader_of(Twice(torch.tensor(ONES)[:, None].float()))},
        lambda: {"train": loader_of(Twice(torch.tensor(OTHER)[:, None].float()))},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_another_run_is_refused_by_name(name, tmp_path):
    one, other = PAIRS[name]
    fit(tmp_path, **one())
    fit(tmp_path, **one())  # the same run is read back
    with pytest.raises(loops.CheckpointError, match=name):
        fit(tmp_path, **other())


@pytest.mark.parametrize("name", KEEPERS)
def test_a_changed_label_is_seen_whatever_holds_it(name, tmp_path):
    fit(tmp_path, train=loader_of(Kept(ONES, KEEPERS[name])))
    fit(tmp_path, train=loader_of(Kept(ONES, KEEPERS[name])))
    with pytest.raises(loops.CheckpointError, match="training kept changed"):
        fit(tmp_path, train=loader_of(Kept(OTHER, KEEPERS[name])))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")),
        (1j, 2j),
        (pa.table({"a": [1]}), pa.table({"a": [2]})),
        (pd.array(["a"], dtype="string"), pd.array(["b"], dtype="string")),
        (pd.DatetimeIndex(["2026"]), pd.DatetimeIndex(["2027"])),
        (pd.MultiIndex.from_tuples([(1, 2)]), pd.MultiIndex.from_tuples([(1, 3)])),
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1, 3]], columns=["a", "a"])),
    ],
)
def test_values_that_show_no_attributes_have_a_digest(one, other):
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def test_code_with_a_set_is_the_same_in_each_process():
    lines = "from helpers.loops.digests import digest\nprint(digest(lambda word: word in {'a', 'bc', 'def', 'g'}))"
    options = {"capture_output": True, "text": True, "check": True}
    found = [
        subprocess.run([sys.executable, "-c", lines], env={"PYTHONHASHSEED": seed}, **options).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(set(found)) == 1


class Noting(nn.Linear):
    def __init__(self):
        super().__init__(6, 1)
        self._noted = []

    def forward(self, input):
        if self.training:
            self._noted.append(float(input[0, 0]))
        return super().forward(input)


def stream():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"x": FEATURES.tolist(), "y": LABELS.tolist()}).to_iterable_dataset()
    rows = rows.shuffle(seed=0, buffer_size=40).with_format("torch")
    columns = ("x", "y")
    return DataLoader(rows, 8, collate_fn=lambda batch: pair([tuple(row[name] for name in columns) for row in batch]))


@pytest.mark.parametrize("train", [stream, lambda: loader_of(sampler=DistributedSampler(ROWS, num_replicas=1, rank=0))])
def test_each_epoch_has_an_order_of_its_own(train):
    model = Noting()
    fit(model=model, train=train(), epochs=2)
    half = len(model._noted) // 2
    assert model._noted[:half] != model._noted[half:]


def test_a_stream_whose_content_cannot_be_compared_is_refused_where_runs_are_kept(tmp_path):
    with pytest.raises(ValueError, match=r"data: a stream .* load it without streaming=True"):
        fit(tmp_path, train=stream())


class Numbers(IterableDataset):
    def __init__(self, by=1.0):
        self.by = by

    def __iter__(self):
        return iter([(features * self.by, label) for features, label in ROWS])


def test_a_stream_of_the_readers_own_is_resumed_and_compared(tmp_path):
    fit(tmp_path, train=loader_of(Numbers()))
    fit(tmp_path, train=loader_of(Numbers()), epochs=2)
    with pytest.raises(loops.CheckpointError, match=r"training by was 1.0 and is 2.0"):
        fit(tmp_path, train=loader_of(Numbers(2.0)), epochs=2)


@pytest.mark.parametrize(
    "train", [partial(shuffled, 1), lambda: loader_of(sampler=DistributedSampler(ROWS, num_replicas=1, rank=0))]
)
def test_a_resumed_run_goes_on_with_the_orders_of_the_undisturbed_one(train, tmp_path):
    whole, first, again = linear(), linear(), linear()
    fit(tmp_path / "whole", model=whole, train=train(), epochs=4)
    fit(tmp_path / "run", model=first, train=train(), epochs=2)
    fit(tmp_path / "run", model=again, train=train(), epochs=4)
    assert torch.equal(whole.weight, again.weight)
    assert not torch.equal(first.weight, again.weight)


def test_other_frozen_weights_are_replaced_with_a_warning(tmp_path):
    def frozen(weight):
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 1))
        nn.init.constant_(model[0].weight, weight)
        model[0].requires_grad_(False)
        return model

    torch.manual_seed(0)
    fit(tmp_path, model=frozen(1.0))
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"frozen weights \(the first is 0.weight\) are others"):
        fit(tmp_path, model=frozen(2.0))


@pytest.mark.parametrize(
    "buffer",
    [torch.eye(6).to_sparse(), torch.eye(6).to_sparse_csr(), torch.ones(6, dtype=torch.complex128)],
)
def test_a_state_that_no_file_takes_is_refused_before_training(buffer, tmp_path):
    model = linear()
    model.register_buffer("graph", buffer)
    before = model.weight.clone()
    with pytest.raises(ValueError, match=r"model: graph in its state has the type .* cannot be kept in a file"):
        fit(tmp_path, model=model)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=3), "dampening of parameter group 1=3"),
        (partial(torch.optim.SGD, lr=0.1, momentum=1.2), "momentum of parameter group 1=1.2"),
        (partial(torch.optim.RMSprop, lr=0.1, alpha=1.5), "alpha of parameter group 1=1.5"),
        (partial(torch.optim.ASGD, lr=0.1, lambd=-5), "lambd of parameter group 1=-5"),
        (partial(torch.optim.Rprop, lr=0.1, step_sizes=(-1, 1)), "step_sizes of parameter group 1=-1"),
    ],
)
def test_settings_with_which_an_optimizer_climbs_are_refused(optimizer, message):
    with pytest.raises(ValueError, match=message):
        fit(optimizer=optimizer)


@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [
        (partial(lr_scheduler.ConstantLR, factor=0.0, total_iters=100), [1, 2]),
        (partial(lr_scheduler.StepLR, step_size=5, gamma=0.0), [2]),
    ],
)
def test_an_epoch_without_a_learning_rate_is_named(schedule, epochs):
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="every learning rate was 0") as warned:
        fit(model=model, optimizer=lambda _: optimizer, scheduler=schedule(optimizer), epochs=2)
    assert [int(str(one.message).split("epoch ")[1][0]) for one in warned] == epochs


class First(nn.Module):
    def forward(self, input):
        return input[:, :1]


def by_size(rows):
    return pair(sorted(rows, key=lambda row: -float(row[0][0])))


@pytest.mark.parametrize("labels", [LABELS, torch.zeros(40, 1)])
def test_a_collate_function_that_sorts_a_batch_is_refused(labels):
    rows = TensorDataset(FEATURES, labels)
    with pytest.raises(ValueError, match="the collate function gives the rows of a batch in another order"):
        loops.predict_proba(First(), loader_of(rows, collate_fn=by_size))
    found = loops.predict_proba(First(), loader_of(rows))
    np.testing.assert_allclose(found[:, 0], torch.sigmoid(FEATURES[:, 0]), rtol=1e-6)
    loops.evaluate(First(), loader_of(rows, collate_fn=by_size), loss=losses.bce)  # the order does not matter


class Texts(Dataset):
    def __init__(self):
        self.rows = [torch.arange(1000, 1003 + row % 5) + row for row in range(20)]

    def __len__(self):
        return 20

    def __getitem__(self, row):
        return self.rows[row]


def padded(rows):
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}, torch.zeros(len(rows), 1)


def test_a_trainer_refuses_a_collate_function_that_sorts_too():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    tagger = tagging.CommentTagger(["rude"], encoder_config=BertConfig(**sizes).to_dict())
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    with tagging.quiet():
        trainer = pl.Trainer(use_distributed_sampler=False, **options)
        assert tagging.predict_proba(trainer, tagger, DataLoader(Texts(), 8, collate_fn=padded)).shape == (20, 1)
        by_length = DataLoader(Texts(), 8, collate_fn=lambda rows: padded(sorted(rows, key=len)))
        with pytest.raises(ValueError, match="the collate function gives the rows of a batch in another order"):
            tagging.predict_proba(trainer, tagger, by_length)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, input):
        return self.last(self.first(input).detach())


def test_weights_without_a_gradient_are_named():
    model = Detached()
    with pytest.raises(ValueError, match="optimizer: the loss depends on none of its weights"):
        fit(model=model, optimizer=lambda _: torch.optim.SGD(model.first.parameters(), lr=0.1))
    model.last.requires_grad_(False)
    with pytest.raises(ValueError, match="loss: it depends on no trained weight"):
        fit(model=model)
