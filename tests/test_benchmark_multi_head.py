"""What benchmarks/multi_head.py compares is the same net, and its published losses are what they are said to be."""

import multi_head
import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers import losses


def test_the_broadcast_loss_has_the_gradient_of_every_output_against_every_label():
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (9, 5)).float()
    logits = {name: torch.randn(9, 1, requires_grad=True) for name in "abcde"}
    multi_head.broadcast_loss(logits, labels).backward()
    for place, out in enumerate(logits.values()):
        twin = out.detach().clone().requires_grad_()
        pairs = functional.binary_cross_entropy(twin.sigmoid().expand(9, 9), labels[:, place].expand(9, 9))
        (pairs / 5).backward()
        torch.testing.assert_close(out.grad, twin.grad)


def test_the_other_losses_are_the_tutorials():
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (9, 5)).float()
    one = {name: torch.randn(9, 1) for name in "abcde"}
    two = {name: torch.randn(9, 2) for name in "abcde"}
    theirs = sum(torch.nn.BCELoss()(out.sigmoid(), labels[:, [i]]) for i, out in enumerate(one.values())) / 5
    torch.testing.assert_close(multi_head.sigmoid_bce(one, labels), theirs)
    torch.testing.assert_close(losses.multi_head(one, labels), theirs)
    criterion = torch.nn.CrossEntropyLoss()
    theirs = sum(criterion(out.sigmoid(), labels[:, i].long()) for i, out in enumerate(two.values())) / 5
    torch.testing.assert_close(multi_head.sigmoid_cross_entropy(two, labels), theirs)


@pytest.mark.parametrize("heads", [1, 100])
def test_both_roads_of_the_heads_lose_the_same(heads):
    ways = multi_head.head_losses(heads, rows=32)
    torch.testing.assert_close(ways["list"](), ways["fused"](), atol=1e-6, rtol=1e-6)


def test_both_loaders_give_the_same_rows():
    features, labels = np.random.default_rng(0).normal(size=(20, 12)), np.arange(100).reshape(20, 5) % 2
    theirs = torch.cat([batch["features"] for batch in multi_head.tutorial_loader(features, labels)])
    assert sorted(theirs.tolist()) == sorted(torch.tensor(features).float().tolist())
    batch = next(iter(multi_head.tutorial_loader(features, labels)))
    assert batch["label3"].shape == (20,)


def test_the_tutorials_network_trains_as_ours_from_the_same_weights():
    torch.manual_seed(0)
    features, labels = torch.randn(64, 12), torch.randint(0, 2, (64, 5)).float()
    network = multi_head.TutorialNetwork()
    outs = [getattr(network, f"out{place}") for place in range(1, 6)]
    backbone = multi_head.models.backbones.MLP()
    backbone.load_state_dict(network.backbone.state_dict())
    model = multi_head.models.MultiHead(backbone, heads={f"out{place}": 1 for place in range(1, 6)})
    weights = {"weight": torch.cat([out.weight for out in outs]), "bias": torch.cat([out.bias for out in outs])}
    model.projection.load_state_dict(weights)
    loader = multi_head.tutorial_loader(features.numpy(), labels.numpy())
    theirs = torch.optim.Adam(network.parameters(), lr=1e-3)
    ours = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        expected = multi_head.tutorial_epoch(network, theirs, loader)
        loss = losses.multi_head(model(features=features), labels)
        ours.zero_grad()
        loss.backward()
        ours.step()
        assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_a_figure_outside_the_spread_is_named():
    table = {
        variant: {name: [mean, mean] for name, (mean, _) in expected.items()}
        for variant, expected in multi_head.EXPECTED.items()
    }
    assert multi_head.outside(table) == []
    table["binary"]["auc"] = [0.85, 0.8501]
    assert multi_head.outside(table) == ["binary, auc: 0.8500, expected 0.92 ± 0.002"]


def test_a_short_training_learns_or_does_not(monkeypatch):
    monkeypatch.setattr(multi_head, "EPOCHS", 6)
    features, labels = multi_head.data()
    found = {}
    for variant in ("broadcast", "binary, logits"):
        model, _ = multi_head.train(features[:4000], labels[:4000], variant, seed=0)
        said = multi_head.probabilities(model, features[-1000:], variant)
        found[variant] = multi_head.scores(labels[-1000:], said)
    assert found["broadcast"]["auc"] < 0.7 < found["binary, logits"]["auc"]
    assert found["broadcast"]["log_loss"] > found["binary, logits"]["log_loss"] + 0.05
