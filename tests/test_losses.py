import ast
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st

from helpers import losses
from helpers.losses import binary

NAN = float("nan")
WEIGHT = torch.tensor([0.5, 3.0, 20.0])
CRITERIA = {
    "bce": losses.bce,
    "bce, pos_weight": partial(losses.bce, pos_weight=WEIGHT),
    "focal": losses.focal,
    "focal, alpha, small gamma": partial(losses.focal, gamma=0.1, alpha=0.25),
    "asymmetric": losses.asymmetric,
    "asymmetric, no clip": partial(losses.asymmetric, gamma_neg=0.3, gamma_pos=0.0, clip=0.0),
}
every_criterion = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA.keys())


def batch(rows=16, *, soft=False, unknown=0.0, seed=0, dtype=torch.float64):
    """Logits and targets (rows, 3)."""
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, 3, generator=draw, dtype=dtype)
    targets = torch.rand(rows, 3, generator=draw, dtype=dtype)
    targets = targets if soft else targets.round()
    targets[torch.rand(rows, 3, generator=draw) < unknown] = NAN
    return logits, targets


def focal_by_hand(x, y, gamma, alpha):
    p = 1 / (1 + math.exp(-x))
    p_t = p if y == 1 else 1 - p
    alpha_t = 1.0 if alpha is None else alpha if y == 1 else 1 - alpha
    return -alpha_t * (1 - p_t) ** gamma * math.log(p_t)


def asymmetric_by_hand(x, y, gamma_neg, gamma_pos, clip):
    p = 1 / (1 + math.exp(-x))
    p_m = max(p - clip, 0.0)
    return -y * (1 - p) ** gamma_pos * math.log(p) - (1 - y) * p_m**gamma_neg * math.log(1 - p_m)


def entry_by_entry(formula, logits, targets, *settings):
    pairs = zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
    return torch.tensor([formula(x, y, *settings) for x, y in pairs], dtype=torch.float64).reshape(logits.shape)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("soft", [False, True])
def test_bce_with_and_without_weights_equals_torchs(reduction, soft):
    logits, targets = batch(soft=soft)
    expected = torch.nn.BCEWithLogitsLoss(reduction=reduction)(logits, targets)
    torch.testing.assert_close(losses.bce(logits, targets, reduction=reduction), expected)
    expected = torch.nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=WEIGHT.double())(logits, targets)
    found = losses.bce(logits, targets, pos_weight=WEIGHT, reduction=reduction)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.25, 1.0])
def test_focal_equals_the_closed_form(gamma, alpha):
    logits, targets = batch()
    found = losses.focal(logits, targets, gamma=gamma, alpha=alpha, reduction="none")
    torch.testing.assert_close(found, entry_by_entry(focal_by_hand, logits, targets, gamma, alpha))


@pytest.mark.parametrize("gammas", [(4.0, 1.0), (1.0, 4.0), (0.0, 0.0), (0.5, 2.5)])
@pytest.mark.parametrize("clip", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("soft", [False, True])
def test_asymmetric_equals_the_papers_formula(gammas, clip, soft):
    logits, targets = batch(soft=soft)
    found = losses.asymmetric(logits, targets, gamma_neg=gammas[0], gamma_pos=gammas[1], clip=clip, reduction="none")
    torch.testing.assert_close(found, entry_by_entry(asymmetric_by_hand, logits, targets, *gammas, clip))


def test_the_defaults_are_the_papers():
    logits, targets = batch()
    expected = entry_by_entry(focal_by_hand, logits, targets, 2.0, None).mean()
    torch.testing.assert_close(losses.focal(logits, targets), expected)
    expected = entry_by_entry(asymmetric_by_hand, logits, targets, 4.0, 1.0, 0.05).mean()
    torch.testing.assert_close(losses.asymmetric(logits, targets), expected)


@pytest.mark.parametrize("soft", [False, True])
def test_without_focusing_and_clip_all_are_bce(soft):
    logits, targets = batch(soft=soft)
    expected = losses.bce(logits, targets, reduction="none")
    for found in (
        losses.bce(logits, targets, pos_weight=torch.ones(3, dtype=torch.int64), reduction="none"),
        losses.focal(logits, targets, gamma=0.0, reduction="none"),
        losses.focal(logits, targets, gamma=0.0, alpha=0.5, reduction="none") * 2,
        losses.asymmetric(logits, targets, gamma_neg=0.0, gamma_pos=0.0, clip=0.0, reduction="none"),
    ):
        torch.testing.assert_close(found, expected)


def test_a_negative_up_to_the_clip_costs_nothing_and_one_above_costs_something():
    logits = torch.tensor([[-30.0, -3.0, -2.9]], requires_grad=True)  # p = 0.047 and 0.052 around the clip
    found = losses.asymmetric(logits, torch.zeros(1, 3), gamma_neg=0.5, reduction="none")
    found.sum().backward()
    assert found[0, :2].tolist() == logits.grad[0, :2].tolist() == [0, 0]
    assert found[0, 2] > 0
    assert logits.grad[0, 2] > 0


def test_rounding_around_the_clip_gives_no_negative_loss_and_no_false_gradient():
    kink = math.log(0.05 / 0.95)
    logits = torch.linspace(kink - 2e-5, kink + 2e-5, 300).reshape(100, 3).requires_grad_()
    assert (losses.asymmetric(logits, torch.zeros(100, 3), gamma_neg=0.0, reduction="none") >= 0).all()
    losses.asymmetric(logits, torch.zeros(100, 3), gamma_neg=0.5, reduction="sum").backward()
    assert logits.grad.abs().max() < 1e-3


@every_criterion
def test_gradients_equal_differences(criterion):
    logits, targets = batch(rows=8, soft=True, unknown=0.2)
    assert ((logits.sigmoid() - 0.05).abs() > 1e-3).all()
    for reduction in ("mean", "sum", "none"):
        assert torch.autograd.gradcheck(
            partial(criterion, targets=targets, reduction=reduction), logits.requires_grad_()
        )


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@every_criterion
@given(seed=st.integers(0, 10_000), unknown=st.floats(0.05, 1.0))
@settings(max_examples=15, deadline=None)
def test_unknown_entries_add_neither_loss_nor_gradient(criterion, seed, unknown):
    logits, targets = batch(rows=6, unknown=unknown, seed=seed)
    known = ~targets.isnan()
    logits[~known] *= 1e6
    logits[~known & (logits > 0)] = NAN
    full = logits.clone().requires_grad_()
    entries = criterion(full, targets, reduction="none")
    assert (entries[~known] == 0).all()
    alone = torch.zeros(6, 3, dtype=torch.float64)
    sums, counts, slopes = 0.0, 0, torch.zeros_like(alone)
    for row, label in known.nonzero().tolist():
        x = torch.zeros(1, 3, dtype=torch.float64)
        x[0, label] = logits[row, label]
        x.requires_grad_()
        loss = criterion(x, targets[row : row + 1].nan_to_num(0), reduction="none")[0, label]
        loss.backward()
        sums, counts = sums + loss.item(), counts + 1
        slopes[row, label] = x.grad[0, label]
    with torch.autograd.detect_anomaly(check_nan=True):  # not even inside the backward pass is there a NaN
        mean = criterion(full, targets)
        mean.backward()
    assert mean.item() == pytest.approx(sums / max(counts, 1))
    assert criterion(full, targets, reduction="sum").item() == pytest.approx(sums)
    torch.testing.assert_close(full.grad, slopes / max(counts, 1))
    assert (full.grad[~known] == 0).all()


@every_criterion
@pytest.mark.parametrize("rows", [0, 4])
def test_without_a_known_entry_the_loss_is_zero_with_a_zero_gradient(criterion, rows):
    logits = torch.randn(rows, 3, requires_grad=True)
    for reduction in ("mean", "sum"):
        logits.grad = None
        found = criterion(logits, torch.full((rows, 3), NAN), reduction=reduction)
        found.backward()
        assert found.item() == 0
        assert (logits.grad == 0).all()


shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@every_criterion
@given(pair=st.tuples(shapes, shapes).filter(lambda pair: pair[0] != pair[1]))
@settings(max_examples=40, deadline=None)
def test_different_shapes_raise_and_both_are_named(criterion, pair):
    with pytest.raises(ValueError, match="nothing broadcasts") as error:
        criterion(torch.zeros(pair[0]), torch.zeros(pair[1]))
    assert f"logits {pair[0]} and targets {pair[1]} must" in str(error.value)


@every_criterion
@pytest.mark.parametrize(
    "pair", [((4, 1), (4,)), ((3,), (3, 3)), ((3, 3), (3,)), ((1, 3), (3, 3)), ((3,), (3,)), ((), ())]
)
def test_shapes_that_torch_would_broadcast_raise(criterion, pair):
    with pytest.raises(ValueError, match="nothing broadcasts"):
        criterion(torch.zeros(pair[0]), torch.zeros(pair[1]))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2,), (1, 3), (4, 3), (4, 1)])
def test_a_weight_of_another_shape_raises_and_both_are_named(shape):
    with pytest.raises(ValueError, match="nothing broadcasts") as error:
        losses.bce(torch.zeros(4, 3), torch.zeros(4, 3), pos_weight=torch.ones(shape))
    assert f"pos_weight {shape} for logits (4, 3)" in str(error.value)


@pytest.mark.parametrize("wrong", [0.0, -1.0, NAN, math.inf])
def test_a_weight_that_is_not_positive_and_finite_raises(wrong):
    with pytest.raises(ValueError, match=r"pos_weight \(3,\) for logits \(4, 3\) must be positive"):
        losses.bce(torch.zeros(4, 3), torch.zeros(4, 3), pos_weight=torch.tensor([1.0, wrong, 1.0]))


@every_criterion
@given(order=st.permutations(range(8)), seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_changes_nothing(criterion, order, seed):
    logits, targets = batch(rows=8, soft=True, unknown=0.2, seed=seed)
    entries = criterion(logits, targets, reduction="none")
    torch.testing.assert_close(criterion(logits[order], targets[order], reduction="none"), entries[order])
    torch.testing.assert_close(criterion(logits[order], targets[order]), criterion(logits, targets))


@every_criterion
@given(
    logits=st.lists(
        st.one_of(st.sampled_from([-1e4, -100.0, -88.0, 88.0, 100.0, 1e4]), st.floats(-1e4, 1e4, width=16)),
        min_size=3,
        max_size=3,
    ),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    targets=st.lists(st.sampled_from([0.0, 0.5, 1.0, NAN]), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_extreme_logits_give_finite_losses_and_gradients(criterion, logits, dtype, targets):
    logits = torch.tensor([logits], dtype=dtype, requires_grad=True)
    found = criterion(logits, torch.tensor([targets]), reduction="none")
    found.sum().backward()
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert logits.grad.isfinite().all()


@every_criterion
def test_extreme_logits_cost_what_they_should(criterion):
    logits = torch.full((2, 3), 100.0)
    logits[1] = -100.0
    right, wrong = torch.tensor([[1.0] * 3, [0.0] * 3]), torch.tensor([[0.0] * 3, [1.0] * 3])
    assert criterion(logits, right, reduction="sum").item() == pytest.approx(0, abs=1e-30)
    assert criterion(logits, wrong, reduction="none").min() > 0.25


def test_wrong_and_sure_costs_as_much_as_the_formula_says():
    logits = torch.tensor([[100.0, -100.0]])
    targets = torch.tensor([[0.0, 1.0]])
    assert losses.bce(logits, targets).item() == pytest.approx(100)
    assert losses.focal(logits, targets).item() == pytest.approx(100)
    expected = [[0.95**4 * -math.log(0.05), 100]]
    torch.testing.assert_close(losses.asymmetric(logits, targets, reduction="none"), torch.tensor(expected))


@every_criterion
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(criterion, dtype):
    logits, targets = batch(unknown=0.2, dtype=torch.float32)
    logits = logits.to(dtype).requires_grad_()
    for reduction in ("mean", "none"):
        found = criterion(logits, targets.to(dtype), reduction=reduction)
        assert found.dtype == torch.float32
        assert torch.equal(found, criterion(logits.float(), targets, reduction=reduction))
    found.sum().backward()
    assert logits.grad.dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(criterion(logits, targets, reduction="none"), found)


@every_criterion
def test_bool_and_integer_targets_are_cast(criterion):
    logits, targets = batch(dtype=torch.float32)
    expected = criterion(logits, targets)
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float64):
        found = criterion(logits, targets.to(dtype))
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


@every_criterion
def test_arguments_are_left_as_they_are(criterion):
    logits, targets = batch(unknown=0.3)
    before = logits.clone(), targets.clone()
    criterion(logits, targets)
    assert torch.equal(logits, before[0])
    assert torch.equal(targets.nan_to_num(-1), before[1].nan_to_num(-1))


@every_criterion
def test_values_that_are_no_targets_or_no_logits_raise(criterion):
    for wrong in (torch.full((2, 3), -1), torch.full((2, 3), 1.01), torch.full((2, 3), math.inf)):
        with pytest.raises(ValueError, match="NaN, not -1"):
            criterion(torch.zeros(2, 3), wrong)
    for logits, targets in ((torch.int64, torch.float32), (torch.float32, torch.complex64)):
        with pytest.raises(ValueError, match="floating point"):
            criterion(torch.zeros(2, 3, dtype=logits), torch.zeros(2, 3, dtype=targets))
    with pytest.raises(ValueError, match="reduction='average': expected 'mean' or 'sum' or 'none'"):
        criterion(torch.zeros(2, 3), torch.zeros(2, 3), reduction="average")


@every_criterion
@pytest.mark.parametrize("wrong", [torch.tensor([[0, 1, -1]]), torch.tensor([[0.0, NAN, 1.01]])])
def test_where_asking_would_wait_values_that_are_no_targets_give_no_loss(criterion, wrong, monkeypatch):
    monkeypatch.setattr(binary, "_on_cpu", lambda _: False)  # as on a GPU
    assert criterion(torch.zeros(1, 3), wrong).isnan()
    assert criterion(torch.zeros(1, 3), wrong, reduction="none").isnan().tolist() == [[False, False, True]]
    logits, targets = batch(unknown=0.3)
    elsewhere = criterion(logits, targets)
    monkeypatch.undo()
    assert elsewhere == criterion(logits, targets)


@pytest.mark.parametrize(
    ("criterion", "setting", "wrong"),
    [
        (losses.focal, "gamma", (-0.1, NAN, math.inf)),
        (losses.focal, "alpha", (-0.1, 1.1, NAN)),
        (losses.asymmetric, "gamma_neg", (-0.1, NAN, math.inf)),
        (losses.asymmetric, "gamma_pos", (-0.1, NAN, math.inf)),
        (losses.asymmetric, "clip", (-0.1, 1.0, NAN)),
    ],
)
def test_settings_outside_their_range_raise_and_are_named(criterion, setting, wrong):
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{setting}={value}: expected a number, at least 0"):
            criterion(torch.zeros(2, 3), torch.zeros(2, 3), **{setting: value})


def test_pos_weight_is_negatives_by_positives_among_known_entries():
    targets = torch.tensor([[1, 0, NAN], [0, 1, 1], [0, 1, 0], [0, NAN, 0], [NAN, 1, 0]])
    found = losses.pos_weight_from_counts(targets)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([3, 1 / 3, 3])
    for dtype in (torch.int64, torch.bool):
        assert losses.pos_weight_from_counts(targets.nan_to_num(0).to(dtype)).tolist() == pytest.approx([4, 2 / 3, 4])


def test_with_pos_weight_from_counts_both_sides_of_a_label_weigh_the_same():
    _, targets = batch(rows=200, unknown=0.3)
    targets[: len(targets) // 2, 1] = 0
    weight = losses.pos_weight_from_counts(targets)
    entries = losses.bce(torch.zeros_like(targets), targets, pos_weight=weight, reduction="none")
    positives, negatives = ((entries * (targets == side)).sum(dim=0) for side in (1, 0))
    torch.testing.assert_close(positives, negatives)
    assert (weight[1] > 1.5).item()


def test_pos_weight_refuses_labels_of_one_side_by_index():
    targets = torch.tensor([[1, 0, 0, NAN], [0, NAN, 1, NAN]])
    with pytest.raises(ValueError, match=r"labels \[1, 3\] .* no positives among targets \(2, 4\)"):
        losses.pos_weight_from_counts(targets)
    with pytest.raises(ValueError, match=r"labels \[2\] .* no negatives"):
        losses.pos_weight_from_counts(torch.tensor([[1, 0, 1], [0, 1, 1]]))
    with pytest.raises(ValueError, match="no positives"):
        losses.pos_weight_from_counts(torch.zeros(0, 3))


def test_pos_weight_refuses_other_values_and_shapes():
    for wrong in (-1, 0.5, 2):
        with pytest.raises(ValueError, match="other values"):
            losses.pos_weight_from_counts(torch.tensor([[1, 0], [0, 1], [1, wrong]]))
    with pytest.raises(ValueError, match=r"targets \(3,\): expected a tensor \(N, L\)"):
        losses.pos_weight_from_counts(torch.tensor([1, 0, 1]))


@every_criterion
def test_a_few_steps_of_gradient_descent_learn_the_known_labels(criterion):
    _, targets = batch(unknown=0.3, dtype=torch.float32)
    logits = torch.zeros_like(targets, requires_grad=True)
    for _ in range(50):
        (slope,) = torch.autograd.grad(criterion(logits, targets, reduction="sum"), logits)
        logits = (logits - slope).detach().requires_grad_()
    known = ~targets.isnan()
    assert torch.equal((logits > 0)[known], targets[known] == 1)
    assert (logits[~known] == 0).all()


def test_losses_import_torch_alone():
    files = Path(losses.__file__).parent.glob("*.py")
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules -= {name for name in modules if name.startswith("helpers.losses.")} | {"helpers.arguments"}
    assert {name.split(".")[0] for name in modules} == {"collections", "math", "torch", "typing"}


def test_the_logits_of_several_heads_are_sent_to_their_own_loss():
    with pytest.raises(TypeError, match=r"logits are a dict and targets a Tensor.*losses\.multi_head"):
        losses.bce({"toxic": torch.zeros(2, 1)}, torch.zeros(2, 1))
