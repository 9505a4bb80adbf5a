"""What `fit` refuses on entry, and what it leaves as it was."""

import contextlib
import math
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from helpers import loaders, loops, losses, models
from helpers.loops.checkpoints import load_last
from helpers.loops.fine_tuning import fit_head

NAN = float("nan")


def rows(labels=None, **options):
    torch.manual_seed(0)
    features = torch.randn(24, 4)
    labels = (features[:, :2] > 0).float() if labels is None else labels
    return loaders.array_loader({"input": features}, labels, **{"batch_size": 8} | options)


def fitted(model=None, train=None, *, optimizer=None, folder=None, **options):
    torch.manual_seed(0)
    model = nn.Linear(4, 2) if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if optimizer is None else optimizer
    own = {"loss": losses.bce, "optimizer": optimizer, "epochs": 1, "progress": False, "folder": folder}
    return loops.fit(model, rows() if train is None else train, **own | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected a whole number, at least 1"),
        ({"epochs": NAN}, "epochs=nan: expected a whole number"),
        ({"epochs": 1.5}, "epochs=1.5: expected a whole number"),
        ({"epochs": math.inf}, "epochs=inf: expected a whole number"),
        ({"epochs": True}, "epochs=True"),
        ({"epochs": "3"}, "epochs='3'"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"accumulate": 2.0}, "accumulate=2.0"),
        ({"patience": 0, "valid": rows()}, "patience=0: expected a whole number, at least 1"),
        ({"patience": -1, "valid": rows()}, "patience=-1"),
        ({"patience": 1}, "patience needs valid"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0: expected a number, above 0"),
        ({"clip_norm": 0}, "clip_norm=0"),
        ({"clip_norm": NAN}, "clip_norm=nan"),
        ({"clip_norm": math.inf}, "clip_norm=inf"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"checkpoint_every": 0.5}, "checkpoint_every=0.5"),
        ({"monitor": "val_loss"}, "monitor='val_loss': expected 'valid_loss' or 'valid_auc'"),
        ({"precision": "16"}, "precision='16': expected '32-true' or 'bf16-mixed'"),
        ({"device": "gpu"}, "device='gpu': expected a device of this machine"),
        ({"device": "cuda:99"}, "device='cuda:99': expected a device of this machine"),
        ({"loss": "bce"}, "loss='bce': expected a function"),
        ({"loss": partial(losses.bce, reduction="none")}, r"expected a tensor of one number, got shape \(8, 2\)"),
        ({"loss": lambda out, labels: 0.5}, "expected a tensor of one number, got float"),
        ({"train": [1, 2]}, "train: expected a DataLoader, .* got list"),
        ({"valid": [1, 2]}, "valid: expected a DataLoader"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        fitted(**options)


def loader_of(batch):
    return DataLoader([batch], batch_size=None)


BATCHES = [
    ({"input": torch.zeros(8, 4), "labels": torch.zeros(8, 2)}, r"got a dict with \['input', 'labels'\]"),
    (torch.zeros(8, 4), "got a Tensor"),
    ((torch.zeros(8, 4), torch.zeros(8, 2)), "its inputs are a Tensor: name it"),
    (({"input": torch.zeros(8, 4)}, torch.zeros(8)), r"its labels have shape \(8,\): labels\[:, None\] is one column"),
    (({"input": torch.zeros(8, 4)}, torch.zeros(8, 3)), r"logits \(8, 2\) for labels \(8, 3\)"),
    (({"input": torch.zeros(8, 4)}, torch.zeros(8, 1)), r"logits \(8, 2\) for labels \(8, 1\)"),
    (({"features": torch.zeros(8, 4)}, torch.zeros(8, 2)), "the model cannot take inputs .*features"),
    (({"input": torch.zeros(8, 5)}, torch.zeros(8, 2)), r"the model cannot take inputs .*\(8, 5\)"),
    (({"input": torch.zeros(8, 4)}, torch.full((8, 2), 2.0)), "label 2 in row 0, column 0 .* a number from 0 to 1"),
    (({"input": torch.zeros(8, 4)}, torch.full((8, 2), -2.0)), "label -2 in row 0"),
    (({"input": torch.zeros(8, 4)}, torch.full((8, 2), math.inf)), "label inf in row 0"),
]


@pytest.mark.parametrize(("batch", "message"), BATCHES)
@pytest.mark.parametrize("name", ["train", "valid"])
def test_batches_of_another_form_are_refused_before_anything_is_done(name, batch, message, tmp_path):
    model = nn.Linear(4, 2)
    before = model.weight.clone()
    with pytest.raises(ValueError, match=rf"{name}: .*{message}"):
        fitted(model, **{name: loader_of(batch)}, folder=tmp_path / "run")
    assert torch.equal(model.weight, before)
    assert not (tmp_path / "run").exists()


class Heads(nn.Module):
    """A model that gives by head what a function makes of its logits."""

    def __init__(self, outputs):
        super().__init__()
        self.layer, self.outputs = nn.Linear(4, 1), outputs

    def forward(self, input):
        return self.outputs(self.layer(input))


@pytest.mark.parametrize(
    "outputs", [lambda out: {"yes": out[:, 0]}, lambda out: {"yes": out[:, :, None]}, lambda out: {}]
)
def test_heads_of_another_form_are_refused(outputs):
    with pytest.raises(ValueError, match=r"train: expected logits .*head"):
        fitted(Heads(outputs), rows(torch.zeros(24, 1)), loss=lambda out, labels: out["yes"].mean())


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_a_stream_is_looked_at_as_it_comes(tmp_path):
    inputs = {"input": torch.zeros(8, 4)}
    good, bad = (inputs, torch.zeros(8, 2)), (inputs, torch.full((8, 2), 3.0))
    fitted(train=DataLoader(Stream(good), batch_size=None))
    with pytest.raises(ValueError, match="precision='16'"):
        fitted(train=DataLoader(Stream(good), batch_size=None), precision="16", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="label 3 in row 0, column 0"):
        fitted(train=DataLoader(Stream(good, bad), batch_size=None))
    unknown = (good[0], torch.full((8, 2), NAN))
    with pytest.raises(ValueError, match="no label was known in epoch 1, so nothing was trained"):
        fitted(train=DataLoader(Stream(unknown), batch_size=None))


def test_labels_beyond_the_first_row_are_looked_at_too():
    labels = torch.zeros(24, 2)
    labels[17, 1] = 5
    with pytest.raises(ValueError, match="label 5 in row 17, column 1"):
        fitted(train=rows(labels))
    labels[17, 1] = 0.5
    fitted(train=rows(labels))


def test_class_numbers_are_within_their_head():
    model = models.MultiHead(nn.Linear(4, 3), heads={"yes": 1, "which": 3}, width=3)
    for value, message in ((3, "a class number from 0 to 2"), (1.5, "a class number from 0 to 2")):
        labels = torch.zeros(24, 2)
        labels[2, 1] = value
        with pytest.raises(ValueError, match=f"row 2, column 1 .*{message}"):
            fitted(model, rows(labels), loss=losses.multi_head)
    labels[2, 1] = 2
    fitted(model, rows(labels), loss=losses.multi_head)
    with pytest.raises(ValueError, match="one column per head"):
        fitted(model, rows(torch.zeros(24, 3)), loss=losses.multi_head)


@pytest.mark.parametrize("unknown", [NAN, -1.0])
def test_data_without_a_known_label_are_refused(unknown):
    with pytest.raises(ValueError, match="train: none of the 48 labels is known"):
        fitted(train=rows(torch.full((24, 2), unknown)))
    with pytest.raises(ValueError, match="valid: none of the 48 labels is known"):
        fitted(valid=rows(torch.full((24, 2), unknown)))
    with pytest.raises(ValueError, match="none of the 48 labels is known"):
        fit_head(Tagger(), rows(torch.full((24, 2), unknown)), loss=losses.bce)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def features(self, input):
        return input

    def forward(self, input):
        return self.head(input)


def test_an_empty_loader_is_refused():
    with pytest.raises(ValueError, match="train: the loader has no batch"):
        fitted(train=DataLoader(TensorDataset(torch.zeros(0, 4))))


def test_optimizers_that_train_nothing_of_the_model_are_refused(tmp_path):
    model, other = nn.Linear(4, 2), nn.Linear(4, 2)
    both = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.1)
    for optimizer, number in ((torch.optim.SGD(other.parameters(), lr=0.1), "2 of its 2"), (both, "2 of its 4")):
        with pytest.raises(ValueError, match=rf"optimizer: {number} weights are not of this model .*\(2, 4\)"):
            fitted(model, optimizer=optimizer, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="all its weights are frozen"):
        fitted(model)
    with pytest.raises(ValueError, match="no closure, got LBFGS"):
        fitted(other, optimizer=torch.optim.LBFGS(other.parameters()))
    with pytest.raises(ValueError, match="maximize=True climbs the loss"):
        fitted(other, optimizer=torch.optim.SGD(other.parameters(), lr=0.1, maximize=True))


@pytest.mark.parametrize("key", ["lr", "weight_decay", "momentum"])
@pytest.mark.parametrize("value", [-0.1, NAN, math.inf])
def test_numbers_of_parameter_groups_are_checked(key, value):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0][key] = value
    words = {"lr": "learning rate", "weight_decay": "weight decay"}.get(key, key)
    with pytest.raises(ValueError, match=f"{words} of parameter group 1={value}: expected a number, at least 0"):
        fitted(model, optimizer=optimizer)


def test_a_run_that_cannot_change_a_weight_says_so():
    model = nn.Linear(4, 2)
    with pytest.warns(UserWarning, match="every learning rate is 0"):
        fitted(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.0))


def test_weights_of_the_loss_may_be_trained_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, logits, labels):
            return losses.bce(logits * self.scale, labels)

    model, loss = nn.Linear(4, 2), Scaled()
    fitted(model, loss=loss, optimizer=torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1))
    assert loss.scale.item() != 1


def test_schedules_are_checked():
    model, other = nn.Linear(4, 2), nn.Linear(4, 2)
    optimizer, foreign = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (model, other))
    with pytest.raises(ValueError, match="scheduler: it belongs to another optimizer"):
        fitted(model, optimizer=optimizer, scheduler=loops.linear_warmup(foreign, steps=9))
    with pytest.raises(ValueError, match="without a score, got ReduceLROnPlateau"):
        fitted(model, optimizer=optimizer, scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer))
    for kind in (
        partial(loops.linear_warmup, steps=6),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=6),
        partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=6),
    ):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = kind(optimizer)
        with pytest.raises(ValueError, match=r"this run takes 9 steps \(3 in each epoch"):
            fitted(model, optimizer=optimizer, scheduler=schedule, epochs=3)
        fitted(model, optimizer=optimizer, scheduler=schedule, epochs=2)


def by_factor(optimizer, *, at, factor):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor if step == at else 1.0)


@pytest.mark.parametrize(("factor", "shown"), [(math.inf, "inf"), (NAN, "nan"), (-1.0, "-0.1")])
def test_a_rate_that_would_destroy_the_weights_is_never_used(factor, shown, tmp_path):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = by_factor(optimizer, at=4, factor=factor)
    with pytest.raises(loops.LossError, match=f"the learning rate is {shown} at epoch 2, batch 2"):
        fitted(model, optimizer=optimizer, scheduler=schedule, epochs=2, folder=tmp_path, valid=rows())
    assert model.weight.isfinite().all()
    assert load_last(tmp_path)["state"]["epoch"] == 1
    loops.load_best(tmp_path, nn.Linear(4, 2))


class Root(nn.Module):
    """Its gradient is infinite where its loss is finite: that of a square root at zero."""

    def __init__(self, at):
        super().__init__()
        self.layer, self.extra, self.at, self.seen = nn.Linear(4, 2), nn.Parameter(torch.zeros(1)), at, 0

    def forward(self, input):
        self.seen += self.training
        return self.layer(input) + (self.extra.abs().sqrt() if self.training and self.seen == self.at else 0)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize("at", [5, 6])
def test_weights_that_are_not_finite_are_neither_kept_nor_written(at, every, clip_norm, tmp_path):
    model = Root(at)
    options = {"epochs": 2, "folder": tmp_path, "valid": rows(), "clip_norm": clip_norm, "checkpoint_every": every}
    with pytest.raises(loops.LossError, match=r"not finite after epoch 2|the loss is nan at|norm of the gradient is"):
        fitted(model, **options)
    kept = load_last(tmp_path)
    assert all(weight.isfinite().all() for weight in kept["model"].values())
    again = Root(0)
    loops.load_best(tmp_path, again)
    assert all(weight.isfinite().all() for weight in again.parameters())


def normed():
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def modes(model):
    return [module.training for module in model.modules()]


def test_modules_in_evaluation_mode_stay_in_it_and_all_modes_come_back():
    for chosen in ([], [1], [2], [1, 2], [0]):
        model = normed()
        for place in chosen:
            model[place].eval()
        before, mean = modes(model), model[1].running_mean.clone()
        seen = []
        model[1].register_forward_hook(lambda module, given, out, seen=seen: seen.append(module.training))
        with pytest.warns(UserWarning, match="in evaluation mode") if {0, 1} & {*chosen} else contextlib.nullcontext():
            fitted(model, valid=rows(), epochs=2)
        assert modes(model) == before
        assert torch.equal(model[1].running_mean, mean) == (1 in chosen)
        assert (True in seen) == (1 not in chosen)


def test_a_model_in_evaluation_mode_is_trained_as_a_whole_and_given_back_in_it():
    model = normed().eval()
    mean = model[1].running_mean.clone()
    fitted(model, valid=rows())
    assert not any(modes(model))
    assert not torch.equal(model[1].running_mean, mean)


def test_one_layer_in_training_mode_is_trained_alone_in_it():
    model = normed().eval()
    model[3].train()
    before, mean = modes(model), model[1].running_mean.clone()
    fitted(model, valid=rows())
    assert modes(model) == before
    assert torch.equal(model[1].running_mean, mean)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_modes_come_back_after_an_error(error):
    model = normed()
    model[2].eval()
    before, steps = modes(model), 0

    def loss(logits, labels):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise error
        return losses.bce(logits, labels)

    with pytest.raises(error):
        fitted(model, loss=loss, valid=rows(), epochs=2)
    assert modes(model) == before
    model.eval()
    with pytest.raises(ValueError, match="its labels have shape"):
        fitted(model, loader_of(({"input": torch.zeros(8, 4)}, torch.zeros(8))))
    assert not any(modes(model))


def test_a_fresh_tagger_trains_its_encoder_with_dropout():
    encoder = models.load_encoder().model
    assert not encoder.training
    tagger = models.BertTagger(encoder, 1)
    assert tagger.encoder.training
    assert models.MultiHead(models.load_encoder().model, heads={"a": 1}).backbone.encoder.training


def test_the_look_ahead_draws_no_random_number():
    drawn = []

    def noise(module, given, named):
        drawn.append(torch.rand(1).item())

    model, train = nn.Linear(4, 2), rows()
    model.register_forward_pre_hook(noise, with_kwargs=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(3)
    loops.fit(model, train, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False)
    torch.manual_seed(3)
    assert drawn[1:] == torch.rand(3).tolist()


def test_two_orders_of_a_loader_of_torch_are_two_epochs():
    features = torch.arange(8.0)[:, None]
    seen = []

    class Pairs(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, place):
            return {"input": features[place]}, torch.zeros(1)

    model = nn.Linear(1, 1)
    model.register_forward_hook(lambda *given: seen.append(given[2]["input"].flatten().tolist()), with_kwargs=True)
    train = DataLoader(Pairs(), batch_size=8, shuffle=True)
    fitted(model, train, epochs=2)
    assert sorted(seen[1]) == sorted(seen[2]) == features.flatten().tolist()
    assert seen[1] != seen[2]


def test_a_thread_can_train():
    done = []
    thread = threading.Thread(target=lambda: done.append(fitted().ended))
    thread.start()
    thread.join()
    assert done == ["epochs"]


def test_numpy_numbers_are_numbers():
    training = fitted(epochs=np.int64(2), clip_norm=np.float32(1.0), accumulate=np.int8(2))
    assert len(training.rows) == 2
