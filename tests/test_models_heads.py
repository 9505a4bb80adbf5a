"""Fused heads against separate layers, on every kind of backbone."""

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import sparse
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from helpers import loaders, loops, losses, models
from helpers.loaders.batches import SparseRows
from helpers.models.encoders import FastDropout
from helpers.models.multi_head import head_probabilities

HEADS = {"toxic": 1, "level": 3, "insult": 1, "topic": 20}


def separate(width=256):
    return {name: nn.Linear(width, size) for name, size in HEADS.items()}


def fuse(backbone, heads):
    """A model with the weights of separate heads."""
    sizes = {name: head.out_features for name, head in heads.items()}
    model = models.MultiHead(backbone, heads=sizes)
    for name, head in heads.items():
        weight, bias = model.head(name)
        with torch.no_grad():
            weight.copy_(head.weight)
            bias.copy_(head.bias)
    return model


def test_fused_heads_are_separate_linear_heads_gradients_too():
    torch.manual_seed(0)
    heads, backbone = separate(), models.backbones.MLP()
    model = fuse(backbone, heads)
    features = torch.randn(17, 12)
    expected = {name: head(backbone(features)) for name, head in heads.items()}
    logits = model(features=features)
    assert list(logits) == list(HEADS)
    for name in HEADS:
        torch.testing.assert_close(logits[name], expected[name], atol=1e-6, rtol=0)
    sum((out**2).sum() for out in expected.values()).backward()
    theirs = [parameter.grad.clone() for parameter in backbone.parameters()]
    backbone.zero_grad()
    sum((out**2).sum() for out in logits.values()).backward()
    for parameter, grad in zip(backbone.parameters(), theirs, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-4, rtol=1e-5)
    fused = torch.cat([head.weight.grad for head in heads.values()])
    torch.testing.assert_close(model.projection.weight.grad, fused, atol=1e-4, rtol=1e-5)


def test_a_head_is_a_part_of_the_projection():
    heads = separate()
    model = fuse(models.backbones.MLP(), heads)
    for name, head in heads.items():
        weight, bias = model.head(name)
        assert torch.equal(weight, head.weight)
        assert torch.equal(bias, head.bias)
    with torch.no_grad():
        model.head("level")[1].fill_(9)
    assert (model(torch.zeros(1, 12))["level"] > 5).all()
    with pytest.raises(KeyError, match="no head 'other'"):
        model.head("other")


def test_the_default_backbone_is_the_tutorials():
    model = models.MultiHead(heads={"a": 1})
    widths = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert widths == [(12, 32), (32, 64), (64, 128), (128, 256), (256, 1)]


@pytest.mark.parametrize("count", [1, 1000])
def test_any_number_of_heads(count):
    model = models.MultiHead(heads={f"h{i}": 1 + i % 3 for i in range(count)})
    logits = model(features=torch.randn(4, 12))
    assert [out.shape[1] for out in logits.values()] == [1 + i % 3 for i in range(count)]
    assert len(list(model.parameters())) == 10


def test_moving_saving_and_freezing_reach_the_heads(tmp_path):
    model = models.MultiHead(heads=HEADS)
    assert {p.device.type for p in model.to("meta").parameters()} == {"meta"}
    first, second = models.MultiHead(heads=HEADS), models.MultiHead(heads=HEADS)
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    features = torch.randn(3, 12)
    assert all(torch.equal(a, b) for a, b in zip(first(features).values(), second(features).values(), strict=True))
    first.backbone.requires_grad_(False)
    before = {name: value.clone() for name, value in first.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in first.parameters() if p.requires_grad], lr=0.1)
    losses.multi_head(first(features), torch.zeros(3, 4)).backward()
    optimizer.step()
    changed = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"projection.weight", "projection.bias"}


def test_what_heads_in_a_plain_list_lose():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.heads = models.backbones.MLP(), [nn.Linear(256, 1) for _ in range(5)]

    assert not [name for name in Forgetful().state_dict() if name.startswith("heads")]
    assert {head.weight.device.type for head in Forgetful().to("meta").heads} == {"cpu"}


@pytest.mark.parametrize("padding", [1e3, torch.nan])
@pytest.mark.parametrize(
    "backbone",
    [
        models.backbones.PooledSequence(30),
        models.backbones.PooledSequence(30, pooling="max"),
        models.backbones.RecurrentSequence(30, hidden=8),
        models.backbones.RecurrentSequence(30, hidden=8, cell="lstm", bidirectional=False),
    ],
)
def test_padding_changes_nothing_in_a_sequence(backbone, padding):
    torch.manual_seed(0)
    model = models.MultiHead(backbone, heads=HEADS).eval()
    short = torch.randn(2, 7, 30)
    padded = torch.cat([short, torch.full((2, 5, 30), padding)], dim=1)
    mask = torch.tensor([[1] * 7 + [0] * 5] * 2)
    plain, masked = model(features=short), model(features=padded, mask=mask)
    other = model(features=padded)
    for name in HEADS:
        torch.testing.assert_close(masked[name], plain[name], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(other[name], plain[name])
    empty = model(features=padded, mask=torch.zeros(2, 12))
    assert all(torch.equal(out, model.head(name)[1].expand_as(out)) for name, out in empty.items())


@pytest.mark.parametrize(
    "backbone",
    [
        models.backbones.RecurrentSequence(30, hidden=16),
        models.backbones.RecurrentSequence(30, hidden=16, cell="lstm", bidirectional=False),
        nn.Sequential(models.backbones.PooledSequence(30), nn.Linear(30, 16), nn.ReLU()),
    ],
)
def test_the_readers_shape_trains(backbone):
    torch.manual_seed(0)
    features = torch.randn(512, 15, 30)
    labels = (features[:, :, :1].mean(dim=1) > 0).float()
    inputs = {"input" if isinstance(backbone, nn.Sequential) else "features": features}
    train = loaders.array_loader(inputs, labels, batch_size=32, shuffle=True)
    valid = loaders.array_loader(inputs, labels)
    model = models.MultiHead(backbone, heads={"positive": 1}, width=getattr(backbone, "width", 16))
    losses.multi_head(model(**inputs), labels).backward()
    assert all((weight.grad != 0).any() for weight in model.backbone.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loops.fit(model, train, loss=losses.multi_head, optimizer=optimizer, epochs=8, progress=False)
    assert loops.evaluate(model, valid, loss=losses.multi_head)["auc"] > 0.9


def test_max_and_mean_are_what_they_say():
    features = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert models.backbones.PooledSequence(2)(features, mask).tolist() == [[2.0, -3.0]]
    assert models.backbones.PooledSequence(2, pooling="max")(features, mask).tolist() == [[3.0, -2.0]]


def test_a_transformers_encoder_is_averaged_over_its_tokens():
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = BertModel(BertConfig(**sizes, intermediate_size=32)).eval()
    model = models.MultiHead(encoder, heads=HEADS).eval()
    ids, mask = torch.randint(0, 50, (3, 6)), torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1, 0, 0, 0, 0, 0]])
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = torch.stack([hidden[i, : mask[i].sum()].mean(dim=0) for i in range(3)])
    logits = model(input_ids=ids, attention_mask=mask)
    torch.testing.assert_close(logits["topic"], nn.functional.linear(mean, *model.head("topic")), atol=1e-5, rtol=0)


def test_counts_without_a_last_layer_are_a_backbone():
    torch.manual_seed(0)
    backbone = models.CountMLP(30, None, hidden=(16, 8)).eval()
    assert backbone.width == 8
    counts = sparse.random(7, 30, density=0.3, format="csr", random_state=0)
    inputs, _ = SparseRows(counts, np.zeros((7, 4))).__getitems__(range(7))
    model = models.MultiHead(backbone, heads=HEADS).eval()
    features = backbone(**inputs)
    assert (features >= 0).all()
    torch.testing.assert_close(model(**inputs)["level"], nn.functional.linear(features, *model.head("level")))


def test_a_backbone_of_your_own_tells_its_width():
    own = nn.Sequential(nn.Linear(5, 9), nn.ReLU())
    assert models.MultiHead(own, heads=HEADS)(torch.zeros(2, 5))["topic"].shape == (2, 20)
    with pytest.raises(ValueError, match=r"width of CountMLP's features is unknown.*n_labels=None"):
        models.MultiHead(models.CountMLP(30, 6), heads=HEADS)
    with pytest.raises(ValueError, match="width of Identity's features is unknown"):
        models.MultiHead(nn.Identity(), heads=HEADS)
    assert models.MultiHead(nn.Identity(), heads=HEADS, width=5).width == 5


def test_probabilities_and_labels_of_both_kinds():
    logits = {"yes": torch.tensor([[0.0], [-1.0], [3.0]]), "which": torch.tensor([[0.0, 2, 1], [5, 0, 0], [0, 0, 1]])}
    shares = head_probabilities(logits)
    torch.testing.assert_close(shares["yes"], logits["yes"].sigmoid())
    torch.testing.assert_close(shares["which"].sum(dim=1), torch.ones(3))
    assert models.predict_labels(logits).tolist() == [[1, 1], [0, 0], [1, 2]]
    assert models.predict_labels(logits, threshold=0.9)[:, 0].tolist() == [0, 0, 1]
    assert models.predict_labels(logits, threshold={"yes": 0.2})[:, 0].tolist() == [1, 1, 1]
    assert models.predict_labels(logits, threshold={}).tolist() == models.predict_labels(logits).tolist()
    both = {"yes": logits["yes"], "too": -logits["yes"]}
    assert models.predict_labels(both, threshold={"yes": 0.2}).tolist() == [[1, 1], [1, 1], [1, 0]]
    for threshold, message in [
        (1.5, "threshold=1.5"),
        ({"which": 0.5}, "no binary heads"),
        ({"yes": -1}, "threshold=-1"),
    ]:
        with pytest.raises(ValueError, match=message):
            models.predict_labels(logits, threshold=threshold)


@pytest.mark.parametrize("heads", [{}, {"a": 0}, {"a": True}, {"a": 1.0}, {1: 1}, ["a"]])
def test_heads_that_are_none_are_refused(heads):
    with pytest.raises(ValueError, match="head"):
        models.MultiHead(heads=heads)


def test_shapes_that_do_not_fit_are_named():
    model = models.MultiHead(heads=HEADS)
    with pytest.raises(ValueError, match=r"features \(1024, 150, 300\) must be \(B, 12\); for sequences"):
        model(features=torch.empty(1024, 150, 300, device="meta"))
    with pytest.raises(ValueError, match=r"the backbone gives \(2, 3, 5\), the heads read \(B, 5\)"):
        models.MultiHead(nn.Identity(), heads=HEADS, width=5)(torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match=r"mask \(2, 3\) must be \(2, 4\)"):
        models.backbones.PooledSequence(5)(torch.zeros(2, 4, 5), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"features \(2, 4, 6\) must be \(B, T, 5\)"):
        models.backbones.RecurrentSequence(5)(torch.zeros(2, 4, 6))
    with pytest.raises(ValueError, match="padding before a vector"):
        models.backbones.RecurrentSequence(5)(torch.zeros(1, 3, 5), torch.tensor([[0, 1, 1]]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.backbones.MLP(hidden=()), "hidden is empty: expected at least one width"),
        (lambda: models.backbones.MLP(hidden=8), "hidden is a int: expected a list of widths"),
        (lambda: models.backbones.MLP(hidden=(8, 2.5)), r"hidden=2\.5: expected a whole number, at least 1"),
        (lambda: models.backbones.MLP(0), "n_features=0"),
        (lambda: models.backbones.MLP(4, n_labels=0), "n_labels=0"),
        (lambda: models.backbones.PooledSequence(5, pooling="sum"), "expected 'mean' or 'max'"),
        (lambda: models.backbones.RecurrentSequence(5, cell="rnn"), "expected 'gru' or 'lstm'"),
        (lambda: models.backbones.RecurrentSequence(5, hidden=True), "hidden=True"),
        (lambda: models.MultiHead(heads={"a": 2.5}), r"heads\['a'\]=2\.5: expected a whole number"),
        (lambda: models.MultiHead(heads={7: 1}), "head 7: expected a name"),
        (lambda: models.MultiHead(heads={"a": 1}, dropout=float("nan")), "dropout=nan"),
        (
            lambda: models.MultiHead(models.backbones.MLP(4, n_labels=2), heads={"a": 1}),
            "the width of MLP's features is unknown",
        ),
        (lambda: FastDropout(float("nan")), "p=nan"),
        (lambda: head_probabilities(torch.zeros(2, 1)), "logits is a Tensor"),
        (lambda: models.predict_labels({"a": torch.zeros(3)}), r"logits of head 'a' are torch\.Size\(\[3\]\)"),
        (lambda: models.predict_labels({"a": torch.zeros(3, 1)}, threshold=float("nan")), "threshold=nan"),
        (lambda: models.predict_labels({"a": torch.zeros(3, 4)}, threshold=float("nan")), "threshold=nan"),
        (lambda: models.predict_labels({"a": torch.zeros(3, 1)}, threshold={"a": -0.1}), "threshold=-0.1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_mlp_with_labels_ends_in_a_linear_layer_and_learns_rare_labels():
    """Logits below 0 can be reached: a ReLU at the end could predict no probability below 0.5."""
    torch.manual_seed(0)
    features = torch.randn(512, 4)
    labels = (features[:, :1] > 1.5).float()
    loader = loaders.array_loader({"features": features}, labels, batch_size=64, shuffle=True)
    model = models.backbones.MLP(4, hidden=(16,), n_labels=1)
    assert not hasattr(model, "width")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loops.fit(model, loader, loss=losses.bce, optimizer=optimizer, epochs=10, progress=False)
    assert model(features).min() < -1
    assert models.backbones.MLP(4, hidden=(16,))(features).min() == 0


@pytest.mark.parametrize(
    "backbone",
    [
        models.backbones.MLP(4, hidden=(8, 1)),
        models.CountMLP(4, None, hidden=(8, 1)),
        models.backbones.PooledSequence(4),
        models.backbones.RecurrentSequence(4, hidden=1),
        torch.compile(models.backbones.MLP(4, hidden=(8, 1))),
    ],
)
def test_a_backbone_is_not_trained_as_a_classifier(backbone):
    loader = loaders.array_loader({"features": torch.randn(8, 4)}, torch.zeros(8, 1))
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match=r"gives features \(B, \d\), not logits: .*into models\.MultiHead"):
        loops.fit(backbone, loader, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False)


def test_weights_of_other_heads_are_refused(tmp_path):
    saved = models.MultiHead(heads={"a": 1, "b": 3})
    safetensors.torch.save_file(saved.state_dict(), tmp_path / "best.safetensors")
    same = models.MultiHead(heads={"a": 1, "b": 3})
    loops.load_best(tmp_path, same)
    assert torch.equal(same.projection.weight, saved.projection.weight)
    for heads in ({"b": 3, "a": 1}, {"x": 2, "y": 2}, {"a": 1, "other": 3}):
        model = models.MultiHead(heads=heads)
        before = model.projection.weight.clone()
        with pytest.raises(loops.CheckpointError, match=r"weights of the heads \[\('a', 1\), \('b', 3\)\]"):
            loops.load_best(tmp_path, model)
        assert torch.equal(model.projection.weight, before)


def test_a_frozen_backbone_does_not_move_its_batch_norm_either():
    torch.manual_seed(0)
    counts = sparse.random(64, 30, density=0.3, format="csr", random_state=0)
    model = models.MultiHead(models.CountMLP(30, None), heads={"a": 1})
    model.backbone.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loader = loaders.sparse_loader(counts, np.arange(64)[:, None] % 2, batch_size=16)
    optimizer = torch.optim.Adam(model.projection.parameters(), lr=0.01)
    loops.fit(model, loader, loss=losses.multi_head, optimizer=optimizer, epochs=1, progress=False)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["projection.weight", "projection.bias"]
    model.backbone.requires_grad_(True)
    assert model.train().backbone.training


def test_a_thousand_mixed_heads_are_trained_scored_and_decided():
    torch.manual_seed(0)
    heads = {f"h{i}": 1 + i % 3 for i in range(1000)}
    features = torch.randn(50, 12)
    labels = torch.stack([torch.randint(0, max(size, 2), (50,)) for size in heads.values()], dim=1).float()
    loader = loaders.array_loader({"features": features}, labels, batch_size=20)
    model = models.MultiHead(heads=heads)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    done = loops.fit(model, loader, loss=losses.multi_head, optimizer=optimizer, epochs=3, valid=loader, progress=False)
    assert done.history["valid_loss"].is_monotonic_decreasing
    decided = loops.predict(model, loader)
    assert decided.shape == (50, 1000)
    assert sorted(np.unique(decided)) == [0, 1, 2]


def test_a_model_with_a_head_of_its_own_is_no_encoder():
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = BertForSequenceClassification(BertConfig(**sizes, intermediate_size=32))
    with pytest.raises(ValueError, match="gives no last_hidden_state: take its encoder"):
        models.MultiHead(whole, heads=HEADS)(input_ids=torch.ones(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"features \(2, 0, 5\) must be \(B, T, 5\), T 1 or more"):
        models.backbones.PooledSequence(5)(torch.zeros(2, 0, 5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_whole_road_runs_on_a_gpu():
    features, labels = torch.randn(64, 12), torch.randint(0, 2, (64, 4)).float()
    loader = loaders.array_loader({"features": features}, labels, batch_size=16)
    model = models.MultiHead(heads=HEADS)
    run = {"loss": losses.multi_head, "optimizer": torch.optim.Adam(model.parameters()), "device": "cuda"}
    loops.fit(model.to("cuda"), loader, epochs=1, valid=loader, progress=False, **run)
    assert loops.predict(model, loader, device="cuda").shape == (64, 4)
