"""What benchmarks/bert.py compares computes the same, and its count of operations is torch's."""

import tempfile
import time

import bert
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from helpers import datasets, loaders, loops, models, text
from helpers.loaders.tokens import TokenRows


@pytest.fixture(scope="module")
def tokens():
    comments = datasets.load_comments()["comment_text"].head(70)
    return loaders.tokenize(comments, text.load_tokenizer(), max_length=48)


@pytest.fixture(scope="module")
def labels(tokens):
    return np.random.default_rng(0).integers(0, 2, (tokens.n_texts, len(bert.LABELS)))


def test_the_count_of_operations_is_torchs(tokens):
    encoder = models.load_encoder().model
    encoder.set_attn_implementation("eager")  # the counter does not see into the fused one
    inputs, _ = TokenRows(tokens).__getitems__([int(tokens.lengths.argmax())])
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        encoder.encoder(encoder.embeddings(inputs["input_ids"]))
    one = loaders.tokenize(["word " * 100], text.load_tokenizer(), max_length=48)
    assert one.lengths.tolist() == [48] == [inputs["input_ids"].shape[1]]
    assert bert.useful_flops(one, encoder) / 3 == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_padding_further_changes_no_logit(tokens, labels):
    model = bert.tagger().eval()
    single = bert.Padded(tokens, labels, 64)
    assert single[3][0]["input_ids"].shape == (1, 64)
    with torch.inference_mode():
        alone = torch.cat([model(**single[row][0]) for row in range(6)])
    said = loops.predict_proba(model, loaders.token_loader(tokens, labels, batch_size=16))
    torch.testing.assert_close(torch.sigmoid(alone), torch.from_numpy(said[:6]), atol=1e-5, rtol=0)


def test_trainer_and_our_loop_lose_the_same(tokens, labels):
    loader = loaders.token_loader(tokens, labels, batch_size=8, shuffle=True)
    stored = loader = DataLoader(bert.Stored(list(loader)), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        train, theirs = bert.trainer_training(loader, folder, steps=len(loader), with_dropout=False, as_published=True)
        train()
    ours = bert.losses_of_the_loop(stored)
    assert len(theirs) == len(ours) == 9
    torch.testing.assert_close(torch.stack(theirs), torch.stack(ours), atol=1e-5, rtol=0)
    assert ours[-1] != ours[0]


def test_the_peak_is_the_best_product_that_was_timed():
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    start = time.perf_counter()
    for _ in range(20):
        a @ b
    sustained = 20 * 2 * 1024**3 / (time.perf_counter() - start)
    assert 0.6 * sustained < bert.matmul_peak() < 8 * sustained
