"""Token ids against the tokenizer itself; buckets, windows and the order of rows."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from helpers import datasets, loaders, loops, text
from helpers.loaders.row_order import EpochBatchSampler
from helpers.loaders.tokens import TokenRows, pool_windows

TEXTS = ["goat", "", "a long text " * 40, "You are a goat.", "word " * 20, "née à Zürich 😀"]


@pytest.fixture(scope="module")
def tokenizer():
    return text.load_tokenizer()


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_ids_are_the_tokenizers_own(tokenizer, batch_size):
    tokens = loaders.tokenize(TEXTS, tokenizer, max_length=16, batch_size=batch_size)
    expected = [tokenizer(t, truncation=True, max_length=16)["input_ids"] for t in TEXTS]
    found = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]
    assert found == expected
    assert tokens.cut == 2
    assert tokens.text.tolist() == list(range(6))
    assert (tokens.ids.dtype, tokens.offsets.dtype, tokens.text.dtype) == (np.int32, np.int64, np.int64)


def test_windows_overlap_and_lose_nothing(tokenizer):
    tokens = loaders.tokenize(TEXTS, tokenizer, max_length=16, windows=True, overlap=4)
    assert tokens.cut == 0
    assert tokens.lengths.max() <= 16
    for number, words in enumerate(TEXTS):
        whole = tokenizer(words)["input_ids"][1:-1]
        windows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]
        own = [window[1:-1] for window, owner in zip(windows, tokens.text, strict=True) if owner == number]
        assert own[0] + [token for window in own[1:] for token in window[4:]] == whole
        assert all(before[-4:] == after[:4] for before, after in pairwise(own))


def test_windows_are_pooled_by_text(tokenizer):
    tokens = loaders.tokenize(TEXTS, tokenizer, max_length=16, windows=True, overlap=4)
    values = np.random.default_rng(0).normal(size=(len(tokens.text), 3))
    for how, pool in (("max", np.max), ("mean", np.mean)):
        expected = [pool(values[tokens.text == number], axis=0) for number in range(6)]
        np.testing.assert_allclose(pool_windows(values, tokens, how=how), expected)
    with pytest.raises(ValueError, match="how='sum'"):
        pool_windows(values, tokens, how="sum")
    with pytest.raises(ValueError, match=r"values of shape \(3, 3\) for"):
        pool_windows(values[:3], tokens)


def test_a_batch_is_padded_to_its_longest_as_the_tokenizer_pads(tokenizer):
    tokens = loaders.tokenize(TEXTS, tokenizer, max_length=16)
    labels = np.arange(12).reshape(6, 2)
    inputs, targets = TokenRows(tokens, labels).__getitems__([3, 0, 1])
    expected = tokenizer([TEXTS[3], TEXTS[0], TEXTS[1]], padding=True, return_tensors="pt")
    assert torch.equal(inputs["input_ids"], expected["input_ids"])
    assert torch.equal(inputs["attention_mask"], expected["attention_mask"])
    assert targets.tolist() == [[6, 7], [0, 1], [2, 3]]
    windows = loaders.tokenize(TEXTS, tokenizer, max_length=16, windows=True, overlap=4)
    rows = TokenRows(windows, labels)
    np.testing.assert_array_equal(rows.labels, labels[windows.text])


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=300),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_in_new_company_each_epoch(lengths, batch_size, pool, epoch):
    sampler = loaders.LengthBatchSampler(lengths, batch_size, shuffle=True, pool=pool)
    sampler.start(epoch)
    batches = list(sampler)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= batch_size for rows in batches)
    assert len(batches) == len(sampler)
    sampler.start(epoch, skip=len(batches) // 2)
    rest = list(sampler)
    assert [rows.tolist() for rows in rest] == [rows.tolist() for rows in batches[len(batches) // 2 :]]


def test_buckets_pad_little_and_change_from_epoch_to_epoch():
    lengths = np.random.default_rng(0).geometric(0.02, 5000)
    padded, company = {}, []
    for epoch in (0, 1):
        sampler = loaders.LengthBatchSampler(lengths, 32, shuffle=True)
        sampler.start(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        padded[epoch] = sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum()
        company.append({frozenset(rows.tolist()) for rows in batches})
        order = [lengths[rows].max() for rows in batches]
        assert order != sorted(order, reverse=True)
    assert max(padded.values()) < 1.15
    assert len(company[0] & company[1]) < 5
    sampler.start(0)
    assert {frozenset(rows.tolist()) for rows in sampler} == company[0]


def test_few_rows_of_different_lengths_meet_new_company_too():
    sampler = loaders.LengthBatchSampler(np.arange(10, 310), 32, shuffle=True)
    company = []
    for epoch in (0, 1):
        sampler.start(epoch)
        company.append({frozenset(rows.tolist()) for rows in sampler})
    assert not company[0] & company[1]


def test_batches_are_skipped_once():
    for sampler in (
        loaders.LengthBatchSampler([5] * 20, 4, shuffle=True),
        EpochBatchSampler(20, 4, shuffle=True),
    ):
        sampler.start(0, skip=3)
        assert [len(list(sampler)) for _ in range(2)] == [2, 5]


def test_minus_one_and_nan_are_unknown(tokenizer):
    tokens = loaders.tokenize(["a", "b"], tokenizer)
    rows = TokenRows(tokens, [[-1, 1], [np.nan, 0]])
    np.testing.assert_array_equal(rows.labels, [[np.nan, 1], [np.nan, 0]])


class Length(torch.nn.Module):
    """A model whose logit tells which row it saw."""

    def forward(self, input_ids, attention_mask):
        return attention_mask.sum(dim=1, keepdim=True) / 100


def test_windows_are_pooled_before_the_sigmoid(tokenizer):
    tokens = loaders.tokenize(TEXTS, tokenizer, max_length=16, windows=True, overlap=4)
    found = loops.logits(Length(), loaders.token_loader(tokens, batch_size=3))
    np.testing.assert_allclose(found[:, 0], tokens.lengths / 100, rtol=1e-6)
    pooled = pool_windows(found, tokens, how="mean")[:, 0]
    expected = [tokens.lengths[tokens.text == number].mean() / 100 for number in range(6)]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_predictions_come_in_the_order_of_the_texts(tokenizer):
    texts = [f"{'word ' * (number * 7 % 23)}" for number in range(50)]
    tokens = loaders.tokenize(texts, tokenizer)
    expected = torch.sigmoid(torch.tensor(tokens.lengths / 100, dtype=torch.float32))[:, None]
    for bucket in (True, False):
        loader = loaders.token_loader(tokens, batch_size=4, bucket=bucket)
        np.testing.assert_allclose(loops.predict_proba(Length(), loader), expected, rtol=1e-6)
    first, _ = next(iter(loaders.token_loader(tokens, batch_size=4)))
    assert first["input_ids"].shape[1] == tokens.lengths.max()


def test_what_does_not_fit_is_refused(tokenizer, monkeypatch):
    for texts, message in [("one", "several texts"), ([], "no text"), (["a", None], r"text 1 .* None, not a text")]:
        with pytest.raises(ValueError, match=message):
            loaders.tokenize(texts, tokenizer)
    with pytest.raises(ValueError, match=r"table\['body'\]"):
        loaders.tokenize(pd.DataFrame({"body": ["a", "b"]}), tokenizer)
    for wrong in (ByT5Tokenizer(), None, "bert-base-cased", tokenizer.backend_tokenizer):
        with pytest.raises(ValueError, match=f"{type(wrong).__name__} is no fast tokenizer"):
            loaders.tokenize(["a"], wrong)
    monkeypatch.setattr(tokenizer, "model_max_length", int(1e30))  # as transformers has it where a folder does not say
    assert loaders.tokenize(["a"], tokenizer, max_length=600).lengths.tolist() == [3]
    monkeypatch.undo()
    with pytest.raises(ValueError, match="max_length=600: expected a whole number, from 3 to 512"):
        loaders.tokenize(["a"], tokenizer, max_length=600)
    tokens = loaders.tokenize(["a", "b"], tokenizer)
    with pytest.raises(ValueError, match=r"2 texts, labels \(3, 1\)"):
        loaders.token_loader(tokens, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="pool=0"):
        loaders.LengthBatchSampler([1, 2], 2, shuffle=True, pool=0)


def test_a_text_may_keep_its_tail(tokenizer):
    texts = ["one two three four five six", "one two"]
    kept = {keep: loaders.tokenize(texts, tokenizer, max_length=5, keep=keep) for keep in ("head", "tail")}
    assert tokenizer.decode(kept["head"].ids) == "[CLS] one two three [SEP] [CLS] one two [SEP]"
    assert tokenizer.decode(kept["tail"].ids) == "[CLS] four five six [SEP] [CLS] one two [SEP]"
    assert kept["head"].cut == kept["tail"].cut == 1
    assert tokenizer.truncation_side == "right"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"keep": "tail", "windows": True},
            "keep='tail', windows=True: windows read the whole text, so nothing is kept or lost",
        ),
        ({"keep": "middle"}, "keep='middle': expected 'head' or 'tail'"),
        ({"keep": None}, "keep=None: expected"),
        ({"windows": "no"}, "windows='no': expected True or False"),
        ({"max_length": 2}, "max_length=2: expected a whole number, from 3 to 512"),
        ({"max_length": 64.5}, "max_length=64.5: expected a whole number"),
        ({"max_length": np.nan}, "max_length=nan: expected a whole number"),
        ({"max_length": 10, "windows": True, "overlap": 8}, "overlap=8: expected a whole number, from 0 to 7"),
        ({"windows": True, "overlap": -1}, "overlap=-1: expected a whole number, from 0 to 125"),
        ({"batch_size": 0}, "batch_size=0: expected a whole number, at least 1"),
    ],
)
def test_an_argument_out_of_range_is_named(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        loaders.tokenize(["a"], tokenizer, **options)


@pytest.mark.parametrize(
    ("special", "options", "message"),
    [
        ("[CLS] [LANG] $A [SEP]", {"max_length": 3}, "max_length=3: expected a whole number, from 4 to 64"),
        ("[CLS] [LANG] $A [SEP]", {"max_length": 5, "windows": True, "overlap": 2}, "overlap=2: .*, from 0 to 1"),
        ("$A", {"max_length": 0}, "max_length=0: expected a whole number, from 1 to 64"),
        ("$A", {"max_length": 2, "windows": True, "overlap": 2}, "overlap=2: .*, from 0 to 1"),
    ],
)
def test_there_is_room_for_words_whatever_number_of_special_tokens(special, options, message):
    words = ["[CLS]", "[LANG]", "[SEP]", "[UNK]", "go", "away", "now"]
    plain = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    known = [(word, number) for number, word in enumerate(words[:3])]
    plain.post_processor = TemplateProcessing(single=special, special_tokens=known)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", model_max_length=64)
    with pytest.raises(ValueError, match=message):
        loaders.tokenize(["go away now", "now"], tokenizer, **options)
    tokens = loaders.tokenize(["go away now", "now"], tokenizer, **options | {"max_length": options["max_length"] + 1})
    assert {4, 6} <= set(tokens.ids.tolist())  # go, now


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["วันนี้อากาศดี"], "1 of 1 texts.*first: text 0"),
        (["இன்று நான் சந்தைக்கு சென்றேன்", "a day"], "1 of 2 texts"),
        (["a day", "一起去图书馆看书"], "1 of 2 texts.*first: text 1"),
        (["a fine day"] * 99 + ["😀 🎉"], "1 of 100 texts.*first: text 99"),
        (["a fine day"] * 200 + ["😀 🎉"], None),
        (["Great! 👍", "naïve café", "σήμερα είναι ωραία", "сегодня хороший день", "שלום לכולם"], None),
        (["", "a"], None),
    ],
)
@pytest.mark.parametrize("options", [{}, {"windows": True, "max_length": 8, "overlap": 2}, {"batch_size": 1}])
def test_texts_in_a_script_that_the_vocabulary_lacks_give_one_warning(tokenizer, texts, found, options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaders.tokenize(texts, tokenizer, **options)
    assert [bool(re.search(f"{found}", str(each.message))) for each in caught] == ([True] if found else [])
    assert all(each.filename == __file__ for each in caught)


def test_bundled_english_gives_no_warning(tokenizer):
    with warnings.catch_warnings(action="error"):
        texts = datasets.load_comments("sample")["comment_text"][:1000]
        assert loaders.tokenize(texts, tokenizer, max_length=64).n_texts == 1000
