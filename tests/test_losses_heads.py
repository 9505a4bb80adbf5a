"""The criterion over heads against torch's own, head by head."""

import math

import pytest
import torch
from torch.nn import functional

from helpers import losses

# Grouped by size, the order of these is a permutation that is not its own inverse.
HEADS = {"toxic": 1, "level": 3, "insult": 1, "pair": 2, "other": 1, "topic": 3}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    logits = {name: torch.randn(40, size, dtype=torch.float64, requires_grad=True) for name, size in HEADS.items()}
    labels = torch.stack([torch.randint(0, max(size, 2), (40,)) for size in HEADS.values()], dim=1).float()
    return logits, labels


def reference(out, column, weights=None):
    """Mean loss of one head over its known rows, by torch's criteria."""
    known = column >= 0
    if out.shape[1] == 1:
        each = functional.binary_cross_entropy_with_logits(
            out[known, 0], column[known].double(), pos_weight=weights, reduction="none"
        )
        return each.mean()
    each = functional.cross_entropy(out[known], column[known].long(), weight=weights, reduction="none")
    return each.mean()


def test_each_head_has_the_loss_that_torch_gives_it(batch):
    logits, labels = batch
    expected = torch.stack([reference(out, labels[:, i]) for i, out in enumerate(logits.values())])
    torch.testing.assert_close(losses.multi_head(logits, labels, reduction="heads"), expected)
    torch.testing.assert_close(losses.multi_head(logits, labels), expected.mean())
    entries = losses.multi_head(logits, labels, reduction="none")
    assert entries.shape == labels.shape
    torch.testing.assert_close(entries.mean(dim=0), expected)
    torch.testing.assert_close(losses.multi_head(logits, labels, reduction="sum"), entries.sum())


def test_the_gradients_are_torchs_too(batch):
    logits, labels = batch
    losses.multi_head(logits, labels).backward()
    found = {name: out.grad.clone() for name, out in logits.items()}
    for out in logits.values():
        out.grad = None
    sum(reference(out, labels[:, i]) for i, out in enumerate(logits.values())).div(len(HEADS)).backward()
    for name, out in logits.items():
        torch.testing.assert_close(found[name], out.grad)


@pytest.mark.parametrize("missing", [math.nan, -1.0])
def test_unknown_labels_add_neither_loss_nor_gradient(batch, missing):
    logits, labels = batch
    holes = torch.rand(labels.shape) < 0.3
    labels = labels.masked_fill(holes, missing)
    with torch.no_grad():
        for place, out in enumerate(logits.values()):
            out[holes[:, place]] = torch.inf
    expected = torch.stack([reference(out, labels[:, i]) for i, out in enumerate(logits.values())])
    value = losses.multi_head(logits, labels)
    torch.testing.assert_close(value, expected.mean())
    value.backward()
    for place, out in enumerate(logits.values()):
        assert out.grad.isfinite().all()
        assert (out.grad[holes[:, place]] == 0).all()
        assert (out.grad[~holes[:, place]] != 0).any()


def test_a_head_without_known_labels_is_left_out_of_the_mean(batch):
    logits, labels = batch
    labels[:, 1] = -1
    rest = [reference(out, labels[:, i]) for i, out in enumerate(logits.values()) if i != 1]
    torch.testing.assert_close(losses.multi_head(logits, labels), torch.stack(rest).mean())
    assert losses.multi_head(logits, labels, reduction="heads")[1] == 0
    nothing = losses.multi_head(logits, torch.full_like(labels, -1))
    nothing.backward()
    assert nothing == 0
    assert all((out.grad == 0).all() for out in logits.values())


def test_head_weights_weigh_the_mean(batch):
    logits, labels = batch
    each = losses.multi_head(logits, labels, reduction="heads")
    weighted = losses.multi_head(logits, labels, head_weights={"toxic": 3, "topic": 0})
    torch.testing.assert_close(weighted, (3 * each[0] + each[1:5].sum()) / 7)


def test_class_weights_are_torchs(batch):
    logits, labels = batch
    weights = {"toxic": 4.1, "level": [1.0, 2.3, 3.7], "pair": torch.tensor([0.3, 2.0], dtype=torch.float64)}
    given = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in weights.items()}
    expected = [reference(out, labels[:, i], given.get(name)) for i, (name, out) in enumerate(logits.items())]
    found = losses.multi_head(logits, labels, class_weights=weights, reduction="heads")
    torch.testing.assert_close(found, torch.stack(expected))


def test_two_classes_are_one_question():
    torch.manual_seed(0)
    pair, labels = torch.randn(50, 2, dtype=torch.float64), torch.randint(0, 2, (50, 1)).float()
    single = (pair[:, 1:] - pair[:, :1]).contiguous()
    for weight in (None, 7.0):
        two = losses.multi_head({"a": pair}, labels, class_weights=weight and {"a": [1.0, weight]})
        one = losses.multi_head({"a": single}, labels, class_weights=weight and {"a": weight})
        torch.testing.assert_close(two, one)


def test_binary_heads_alone_are_bce(batch):
    logits = torch.randn(30, 6)
    labels = torch.randint(0, 2, (30, 6)).float()
    heads = dict(zip("abcdef", logits.split(1, dim=1), strict=True))
    torch.testing.assert_close(losses.multi_head(heads, labels), losses.bce(logits, labels))
    weights = torch.rand(6) + 0.5
    torch.testing.assert_close(
        losses.multi_head(heads, labels, class_weights=dict(zip("abcdef", weights, strict=True))),
        losses.bce(logits, labels, pos_weight=weights),
    )


def test_half_precision_is_lifted(batch):
    logits, labels = batch
    half = {name: out.detach().half() for name, out in logits.items()}
    found = losses.multi_head(half, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), losses.multi_head(logits, labels).detach(), atol=1e-3, rtol=0)


def test_nothing_broadcasts(batch):
    logits, labels = batch
    with pytest.raises(ValueError, match=r"labels \(40,\) must be \(B, 6\)"):
        losses.multi_head(logits, labels[:, 0])
    with pytest.raises(ValueError, match=r"labels \(40, 4\) must be \(B, 6\)"):
        losses.multi_head(logits, labels[:, :4])
    with pytest.raises(ValueError, match=r"head 'level': logits \(1, 3\) and labels \(40, 6\)"):
        losses.multi_head({**logits, "level": logits["level"][:1]}, labels)
    with pytest.raises(ValueError, match=r"head 'toxic': logits \(40,\)"):
        losses.multi_head({**logits, "toxic": logits["toxic"][:, 0]}, labels)
    with pytest.raises(ValueError, match="logits is empty: expected a dict"):
        losses.multi_head({}, labels)
    with pytest.raises(ValueError, match=r"'toxic': logits are torch\.int64"):
        losses.multi_head({**logits, "toxic": labels[:, :1].long()}, labels)


@pytest.mark.parametrize(("place", "value", "allowed"), [(0, 2, "0 to 1"), (1, 3, "0 to 2"), (3, 0.5, "0 to 1")])
def test_a_label_that_is_no_class_is_named(batch, place, value, allowed):
    logits, labels = batch
    labels[7, place] = value
    with pytest.raises(ValueError, match=f"head '{list(HEADS)[place]}', row 7 .*{value:g} must be .*{allowed}"):
        losses.multi_head(logits, labels)


def test_weights_that_do_not_fit_are_refused(batch):
    def refused(message, **options):
        with pytest.raises(ValueError, match=message):
            losses.multi_head(*batch, **options)

    refused("class_weights name .'none'.", class_weights={"none": 1.0})
    refused("head_weights name .'none'.", head_weights={"none": 1.0})
    refused(r"'level' have shape \(2,\), must be \(3,\)", class_weights={"level": [1.0, 2.0]})
    refused(r"'toxic' have shape \(2,\), must be one number", class_weights={"toxic": [1.0, 2.0]})
    refused("must be positive and finite", class_weights={"toxic": 0.0})
    refused(r"head_weights\['toxic'\]=-1.0: expected a number, at least 0", head_weights={"toxic": -1.0})
    refused("expected at least one above 0", head_weights=dict.fromkeys(HEADS, 0.0))
    refused("reduction='average': expected 'mean'", reduction="average")


def test_a_thousand_heads():
    names = [f"h{i}" for i in range(1000)]
    logits, labels = torch.randn(8, 1000), torch.randint(0, 2, (8, 1000)).float()
    found = losses.multi_head(dict(zip(names, logits.split(1, dim=1), strict=True)), labels)
    torch.testing.assert_close(found, losses.bce(logits, labels))


def test_weights_from_counts_make_classes_weigh_the_same():
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [0, 2], [-1, 0], [math.nan, 2]], dtype=torch.float32)
    heads = {"toxic": 1, "level": 3}
    weights = losses.class_weights_from_counts(labels, heads)
    assert weights["toxic"] == 3
    torch.testing.assert_close(weights["level"], torch.tensor([6 / 9, 6 / 3, 6 / 6]))
    flat = {"toxic": torch.zeros(6, 1), "level": torch.zeros(6, 3)}
    entries = losses.multi_head(flat, labels, class_weights=weights, reduction="none")
    assert entries[labels[:, 0] == 1, 0].sum() == pytest.approx(entries[labels[:, 0] == 0, 0].sum().item())
    sums = [entries[labels[:, 1] == value, 1].sum().item() for value in range(3)]
    assert sums == pytest.approx([sums[0]] * 3)
    with pytest.raises(ValueError, match=r"head 'level' has no row of class \[1\]"):
        losses.class_weights_from_counts(labels[[0, 1, 3]], heads)
    with pytest.raises(ValueError, match=r"labels \(6, 2\) must be \(B, 1\)"):
        losses.class_weights_from_counts(labels, {"toxic": 1})
    with pytest.raises(ValueError, match=r"head 'toxic', row 3 .* 2 must be 0 to 1"):
        losses.class_weights_from_counts(labels.flip(1), heads)


def test_entries_are_a_mean_that_batches_add_up_to(batch):
    logits, labels = batch
    labels = labels.masked_fill(torch.rand(labels.shape) < 0.3, torch.nan)
    whole = losses.multi_head(logits, labels, reduction="entries")
    each = losses.multi_head(logits, labels, reduction="none")
    torch.testing.assert_close(whole, each.sum() / (labels >= 0).sum())
    parts = [(slice(0, 7), labels[:7]), (slice(7, 40), labels[7:])]
    values = [
        losses.multi_head({n: o[rows] for n, o in logits.items()}, part, reduction="entries") * (part >= 0).sum()
        for rows, part in parts
    ]
    torch.testing.assert_close(sum(values) / (labels >= 0).sum(), whole)


def test_gradients_under_all_weights_are_torchs_too(batch):
    logits, labels = batch
    labels = labels.masked_fill(torch.rand(labels.shape) < 0.3, -1)
    weights = {"toxic": 4.1, "level": [1.0, 2.3, 3.7], "pair": [0.3, 2.0]}
    shares = {"toxic": 3.0, "topic": 0.5}
    losses.multi_head(logits, labels, class_weights=weights, head_weights=shares).backward()
    found = {name: out.grad.clone() for name, out in logits.items()}
    total = 0
    for place, (name, out) in enumerate(logits.items()):
        out.grad = None
        given = torch.tensor(weights[name], dtype=torch.float64) if name in weights else None
        total = total + shares.get(name, 1.0) * reference(out, labels[:, place], given)
    (total / 7.5).backward()
    for name, out in logits.items():
        torch.testing.assert_close(found[name], out.grad)


def test_labels_of_any_kind_and_logits_of_any_layout(batch):
    logits, labels = batch
    expected = losses.multi_head(logits, labels)
    torch.testing.assert_close(losses.multi_head(logits, labels.long()), expected)
    turned = {name: out.detach().T.contiguous().T for name, out in logits.items()}
    torch.testing.assert_close(losses.multi_head(turned, labels), expected.detach())
    yes = labels.clamp(max=1).bool()
    torch.testing.assert_close(losses.multi_head(logits, yes), losses.multi_head(logits, yes.float()))
    small = {name: out.detach().bfloat16() for name, out in logits.items()}
    assert losses.multi_head(small, labels).dtype == torch.float32


def test_an_empty_batch_loses_nothing():
    logits = {name: torch.zeros(0, size, requires_grad=True) for name, size in HEADS.items()}
    for reduction in ("sum", "none"):
        losses.multi_head(logits, torch.zeros(0, len(HEADS)), reduction=reduction).sum().backward()
    value = losses.multi_head(logits, torch.full((0, len(HEADS)), torch.nan), head_weights={"toxic": 2.0})
    assert value == 0


def test_no_step_waits_for_the_device():
    """A value of a meta tensor cannot be looked at, as one of a GPU cannot without waiting."""
    logits = {name: torch.empty(4, size, device="meta") for name, size in HEADS.items()}
    labels = torch.empty(4, len(HEADS), device="meta")
    options = {"head_weights": {"toxic": 2.0}, "class_weights": {"level": [1.0, 2.0, 3.0], "insult": 4.0}}
    assert losses.multi_head(logits, labels, **options).device.type == "meta"
