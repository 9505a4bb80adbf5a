"""Training the head alone, on features that are computed once; and fine-tuning in one call."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from helpers import loaders, loops, losses, metrics, models
from helpers.loops import fine_tuning
from helpers.loops.fine_tuning import fit_head


class Tiny(nn.Module):
    """Two numbers a row through a fixed layer, and a head; it counts how often it is asked for features."""

    def __init__(self, n_labels=2):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.head, self.asked = nn.Linear(2, 8), nn.Linear(8, n_labels), 0
        self.dropout = nn.Dropout(0.5)

    def features(self, numbers):
        self.asked += 1
        return self.dropout(torch.tanh(self.encoder(numbers)))

    def forward(self, numbers):
        return self.head(self.features(numbers))


def data(rows=200, unknown=0.0):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 2)).astype(np.float32)
    labels = np.column_stack([numbers[:, 0] > 0, numbers.sum(axis=1) > 1]).astype(np.float32)
    labels[rng.random(labels.shape) < unknown] = np.nan
    return numbers, labels


def loader_of(numbers, labels, **options):
    return loaders.array_loader({"numbers": numbers}, labels, batch_size=50, **options)


def test_the_head_learns_the_encoder_stays_and_is_asked_once():
    model, (numbers, labels) = Tiny(), data()
    before = {name: weight.clone() for name, weight in model.encoder.state_dict().items()}
    done = fit_head(model, loader_of(numbers, labels), loss=losses.bce)
    assert model.asked == 4, "one pass: four batches"
    assert all(torch.equal(before[name], weight) for name, weight in model.encoder.state_dict().items())
    assert len(done.history) == 40
    assert model.training, "as it was"
    model.eval()
    assert metrics.mean_auc(labels, loops.predict_proba(model, loader_of(numbers, labels))) > 0.97


def test_shuffled_batches_keep_features_and_labels_together():
    model, (numbers, labels) = Tiny(), data()
    fit_head(model, loader_of(numbers, labels, shuffle=True), loss=losses.bce)
    model.eval()
    assert metrics.mean_auc(labels, loops.predict_proba(model, loader_of(numbers, labels))) > 0.97


def test_the_bias_begins_at_the_log_odds_of_the_known_labels():
    model, (numbers, labels) = Tiny(), data(unknown=0.4)
    labels[:, 1] = np.nan
    fit_head(model, loader_of(numbers, labels), loss=losses.bce, epochs=1, lr=0.0)
    share = np.nanmean(labels[:, 0])
    expected = [np.log(share / (1 - share)), 0.0]
    np.testing.assert_allclose(model.head.bias.detach(), expected, atol=1e-5)


def test_unknown_labels_teach_nothing():
    (numbers, labels), (_, gaps) = data(), data(unknown=0.5)
    model = Tiny()
    fit_head(model, loader_of(numbers, gaps), loss=losses.bce)
    model.eval()
    said = loops.predict_proba(model, loader_of(numbers, labels))
    assert metrics.mean_auc(labels, said) > 0.95
    assert abs(said.mean() - labels.mean()) < 0.05, "as absent, they would have halved it"


def test_the_rest_can_be_trained_afterwards():
    model, (numbers, labels) = Tiny(), data()
    fit_head(model, loader_of(numbers, labels), loss=losses.bce, epochs=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    done = loops.fit(model, loader_of(numbers, labels), loss=losses.bce, optimizer=optimizer, epochs=5, progress=False)
    assert done.history["train_loss"].iloc[-1] < done.history["train_loss"].iloc[0]


def test_labels_of_another_number_are_refused():
    numbers, labels = data()
    with pytest.raises(ValueError, match=r"labels \(200, 2\) are not \(N, 3\)"):
        fit_head(Tiny(n_labels=3), loader_of(numbers, pd.DataFrame(labels)), loss=losses.bce)


@pytest.fixture(scope="module")
def four():
    _, tokenizer = models.load_encoder()
    tokens = loaders.tokenize(["You are kind.", "Go away!", "How nice!", "Get lost!"] * 2, tokenizer)
    labels = np.array([[0], [1], [0], [1]] * 2)
    return loaders.token_loader(tokens, labels, batch_size=4, shuffle=True)


def tagger_of(n_labels=1):
    torch.manual_seed(0)
    return models.BertTagger(models.load_encoder().model, n_labels)


def test_fine_tuning_is_the_head_then_the_loop_of_notebook_04(four):
    options = {"loss": losses.bce, "epochs": 1, "progress": False}
    whole, steps = tagger_of(), tagger_of()
    torch.manual_seed(1)
    loops.fine_tune(whole, four, lr=1e-4, layers=2, **options)
    torch.manual_seed(1)
    fit_head(steps, four, loss=losses.bce)
    steps.unfreeze_last(2)
    optimizer = torch.optim.AdamW(models.parameter_groups(steps, lr=1e-4), fused=True)
    schedule = loops.linear_warmup(optimizer, steps=len(four))
    loops.fit(steps, four, optimizer=optimizer, scheduler=schedule, clip_norm=1.0, **options)
    for (name, one), other in zip(whole.state_dict().items(), steps.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_only_the_layers_that_were_asked_for_move(four):
    tagger, start = tagger_of(), tagger_of().state_dict()
    loops.fine_tune(tagger, four, loss=losses.bce, lr=1e-3, epochs=2, layers=1, head_epochs=0, progress=False)
    moved = {name for name, weight in tagger.state_dict().items() if not torch.equal(weight, start[name])}
    assert {name.split(".")[3] for name in moved if name.startswith("encoder.encoder.layer")} == {"5"}
    assert {"head.weight", "head.bias"} <= moved
    assert not any("embeddings" in name for name in moved)


def test_without_a_number_all_layers_move_even_of_a_frozen_tagger(four):
    tagger, start = tagger_of(), tagger_of().state_dict()
    tagger.freeze()
    loops.fine_tune(tagger, four, loss=losses.bce, lr=1e-3, epochs=2, head_epochs=1, progress=False)
    still = {name for name, weight in tagger.state_dict().items() if torch.equal(weight, start[name])}
    assert all("pooler" in name for name in still)


def test_options_of_fit_go_through(four):
    options = {"valid": four, "monitor": "valid_auc", "progress": False}
    done = loops.fine_tune(tagger_of(), four, loss=losses.bce, lr=1e-4, epochs=1, layers=0, **options)
    assert done.history["valid_auc"].iloc[0] == 1


def test_the_schedule_counts_steps_not_batches_where_they_are_gathered(four, monkeypatch):
    asked = []
    monkeypatch.setattr(fine_tuning, "linear_warmup", lambda *given, **options: asked.append(options["steps"]))
    options = {"loss": losses.bce, "lr": 1e-4, "epochs": 3, "layers": 0, "head_epochs": 0, "progress": False}
    loops.fine_tune(tagger_of(), four, accumulate=2, **options)
    assert len(four) == 2
    assert asked == [3]


def test_a_resumed_run_trains_no_head_again_and_refuses_another_number_of_its_epochs(four, tmp_path, monkeypatch):
    options = {"loss": losses.bce, "lr": 1e-4, "layers": 1, "epochs": 1, "folder": tmp_path / "run", "progress": False}
    first, again = tagger_of(), tagger_of()
    loops.fine_tune(first, four, head_epochs=2, **options)
    with pytest.raises(loops.CheckpointError, match="head epochs was 2 and is 3"):
        loops.fine_tune(again, four, head_epochs=3, **options)
    monkeypatch.setattr(fine_tuning, "fit_head", lambda *_, **__: pytest.fail("the head is trained a second time"))
    loops.fine_tune(again, four, head_epochs=2, **options)
    for (name, one), other in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)
