"""The dropout that saves random bits does what torch's does."""

import pytest
import torch
from torch import nn

from helpers.models.encoders import FastDropout, use_fast_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
def test_a_share_p_is_dropped_and_the_mean_stays(p):
    torch.manual_seed(0)
    ones = torch.ones(1001, 999)  # no multiple of four
    found = FastDropout(p)(ones)
    assert (found == 0).float().mean().item() == pytest.approx(p, abs=0.002)
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert found.max().item() == pytest.approx(1 / (1 - p), rel=1e-3)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (FastDropout(0.5)(torch.ones(400_000)) == 0).float().reshape(-1, 4)
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert correlation.abs().max() < 0.015
    assert len(torch.unique(dropped @ torch.tensor([1.0, 2, 4, 8]))) == 16


def test_gradients_pass_where_values_pass():
    torch.manual_seed(0)
    values = torch.randn(7, 5, requires_grad=True)
    found = FastDropout(0.3)(values)
    found.sum().backward()
    torch.testing.assert_close(values.grad * values.detach(), found.detach())


def test_a_seed_repeats_it_and_evaluation_leaves_the_input():
    layer, values = FastDropout(0.2), torch.randn(64, 3)
    torch.manual_seed(5)
    first = layer(values)
    torch.manual_seed(5)
    assert torch.equal(layer(values), first)
    assert not torch.equal(layer(values), first)
    assert torch.equal(layer.eval()(values), values)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything_dropped_are_torchs(p):
    values = torch.randn(10)
    assert torch.equal(FastDropout(p)(values), nn.Dropout(p)(values))


def test_a_type_of_numbers_stays():
    assert FastDropout(0.1)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_it_takes_the_place_of_torchs_and_of_nothing_else():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.3), nn.Dropout1d(0.4))).eval()
    assert use_fast_dropout(model) is model
    fast, other = model[1]
    assert (type(fast), fast.p, fast.training) == (FastDropout, 0.3, False)
    assert type(other) is nn.Dropout1d
