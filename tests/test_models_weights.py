"""Weights of compiled, wrapped and tied models: the same names as without."""

import pytest
import safetensors.torch
import torch
from torch import nn

from helpers.models import persistence


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(7, 3), nn.Linear(3, 7, bias=False)
        self.out.weight = self.words.weight
        self.register_buffer("first", self.words.weight.detach()[:2])  # shares a part of the storage


def wrapped(kind):
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    if kind == "whole":
        return torch.compile(model)
    if kind == "part":
        model[1] = torch.compile(model[1])
    if kind == "both":
        model[1][1] = torch.compile(model[1][1])
        return torch.compile(model)
    return nn.DataParallel(model) if kind == "parallel" else model


@pytest.mark.parametrize("into", ["plain", "whole", "part", "both", "parallel"])
@pytest.mark.parametrize("kind", ["plain", "whole", "part", "both", "parallel"])
def test_names_and_weights_are_those_without_wrappers(kind, into):
    torch.manual_seed(0)
    model, other = wrapped(kind), wrapped(into)
    state = persistence.clean_state_dict(model)
    assert list(state) == ["0.weight", "0.bias", "1.1.weight", "1.1.bias"]
    persistence.load_clean_state_dict(other, state)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(RuntimeError, match="extra"):
        persistence.load_clean_state_dict(other, state | {"extra": torch.zeros(1)})


def test_a_module_of_that_name_is_no_wrapper():
    model = nn.Module()
    model.module = nn.Linear(1, 1)
    assert list(persistence.clean_state_dict(model)) == ["module.weight", "module.bias"]


def test_tied_weights_are_written_and_read_back_tied(tmp_path):
    model, other = Tied(), Tied()
    safetensors.torch.save_file(persistence.clean_state_dict(model), tmp_path / "tied.safetensors")
    persistence.load_clean_state_dict(other, safetensors.torch.load_file(tmp_path / "tied.safetensors"))
    assert torch.equal(other.words.weight, model.words.weight)
    assert other.out.weight is other.words.weight


def test_compiled_parts_are_replaced_by_what_was_compiled():
    model = persistence.without_compiled(wrapped("part"))
    assert isinstance(model[1], nn.Sequential)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.1.weight", "1.1.bias"]


def test_a_state_of_something_else_is_named():
    class Odd(nn.Module):
        def get_extra_state(self):
            return {"step": 3}

    with pytest.raises(ValueError, match="_extra_state is a dict"):
        persistence.clean_state_dict(Odd())
