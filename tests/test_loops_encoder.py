"""The loop around an encoder: taken up after a kill, its gradients, and runs that do not go together."""

import re

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import loaders, loops, losses, models
from helpers.loaders.tokens import Tokens
from helpers.models.encoders import use_fast_dropout

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def tagger(**options):
    torch.manual_seed(0)
    encoder = BertModel(BertConfig(**SIZES, intermediate_size=32, attention_probs_dropout_prob=0.0))
    return models.BertTagger(use_fast_dropout(encoder), 2, **options)


def batches(*, shuffle=True):
    """Windows of different lengths, in buckets."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 12, 60)
    ids = rng.integers(1, 50, lengths.sum()).astype(np.int32)
    tokens = Tokens(ids, np.append(0, lengths.cumsum()), np.arange(60), 60, 0, 0)
    return loaders.token_loader(tokens, rng.integers(0, 2, (60, 2)), batch_size=8, shuffle=shuffle)


def parts(model, lr=0.01, steps=12):
    optimizer = torch.optim.AdamW(models.parameter_groups(model, lr=lr))
    return {"optimizer": optimizer, "scheduler": loops.linear_warmup(optimizer, steps=steps, warmup=0.25)}


class Killed(BaseException):
    """What a run is ended with; nothing in the loop may catch it."""


SETTINGS = {"epochs": 3, "accumulate": 2, "clip_norm": 1.0, "checkpoint_every": 1, "progress": False}


def run(folder, *, die_at=None, loader=None, **options):
    model, seen = tagger(), 0

    def count(module, given, named):
        nonlocal seen
        seen += module.training
        if seen == die_at:
            raise Killed

    model.register_forward_pre_hook(count, with_kwargs=True)
    loader = batches() if loader is None else loader
    loops.fit(model, loader, loss=losses.bce, folder=folder, **parts(model) | SETTINGS | options)
    return model


@pytest.mark.parametrize("die_at", [4, 9, 18])
def test_a_killed_run_with_dropout_buckets_warm_up_and_accumulation_ends_with_the_same_bits(die_at, tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", die_at=die_at)
    again = run(tmp_path / "killed")
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_the_optimizer_does_not_train_neither_gathers_nor_clips():
    model = tagger(dropout=0.0)
    head_alone = torch.optim.SGD(model.head.parameters(), lr=0.1)
    loops.fit(model, batches(), loss=losses.bce, optimizer=head_alone, epochs=1, clip_norm=1e-3, progress=False)
    once = [weight.grad.norm() for weight in model.encoder.parameters() if weight.grad is not None]
    loops.fit(model, batches(), loss=losses.bce, optimizer=head_alone, epochs=3, clip_norm=1e-3, progress=False)
    later = [weight.grad.norm() for weight in model.encoder.parameters() if weight.grad is not None]
    assert sum(later) < 2 * sum(once)
    norm = torch.stack([weight.grad.norm() for weight in model.head.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("other", ["rate", "groups", "scheduler"])
def test_another_run_in_the_same_folder_is_refused_and_nothing_is_touched(other, tmp_path):
    run(tmp_path)
    model = tagger()
    before = [weight.clone() for weight in model.parameters()]
    given = parts(model, lr=0.02 if other == "rate" else 0.01)
    if other == "groups":
        model.unfreeze_last(1)
        given = parts(model)
    if other == "scheduler":
        given["scheduler"] = None
    named = {
        "rate": "learning rate was 0.01 and is 0.02",
        "groups": r"optimizer groups was 1 \+ 1 \+ 22 \+ 15 weights .* and is 1 \+ 1 \+ 10 \+ 6 weights",
        "scheduler": "scheduler was LambdaLR and is None",
    }
    with pytest.raises(loops.CheckpointError, match=f"{re.escape(str(tmp_path))}.*{named[other]}"):
        loops.fit(model, batches(), loss=losses.bce, folder=tmp_path, **SETTINGS | given)
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))


def test_another_loader_is_refused_in_the_middle_of_an_epoch(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, die_at=4)
    plain = torch.utils.data.DataLoader(list(batches()), batch_size=None)
    with pytest.raises(loops.CheckpointError, match="training tokens was digest"):
        run(tmp_path, loader=plain)


def test_a_plain_loader_cannot_skip(tmp_path):
    plain = torch.utils.data.DataLoader(list(batches(shuffle=False)), batch_size=None)
    with pytest.raises(Killed):
        run(tmp_path, die_at=4, loader=plain)
    with pytest.raises(loops.CheckpointError, match="cannot skip them"):
        run(tmp_path, loader=plain)


def test_a_batch_that_does_not_fit_is_named():
    model = tagger()

    def too_much(module, given, options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(too_much, with_kwargs=True)
    with pytest.raises(torch.OutOfMemoryError, match=r"'input_ids': \(8, \d+\).*take a smaller batch_size"):
        loops.fit(model, batches(), loss=losses.bce, epochs=1, progress=False, **parts(model))


def test_logits_are_whole_numbers_of_float32_under_bfloat16():
    model = tagger()
    loops.fit(model, batches(), loss=losses.bce, epochs=1, precision="bf16-mixed", progress=False, **parts(model))
    found = loops.logits(model, batches(shuffle=False), precision="bf16-mixed")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert np.abs(found - torch.from_numpy(found).bfloat16().float().numpy()).max() > 0
