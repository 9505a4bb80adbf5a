"""Attributions that add up and point to the right words, and the test of taking words away."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import RobertaConfig, RobertaModel

from helpers import explain, loaders, loops, models

TEXT = "You are an unmanageable goat, my friend."


@pytest.fixture(scope="module")
def packaged():
    return models.load_encoder()


@pytest.fixture(scope="module")
def tagger(packaged):
    """The real encoder under a head that nobody trained, its weights large enough to tell texts apart."""
    torch.manual_seed(1)
    tagger = models.BertTagger(packaged.model, 3).eval()
    nn.init.normal_(tagger.head.weight, std=0.5)
    return tagger


@pytest.fixture(scope="module")
def tokens(tagger, packaged):
    return explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=1)


class Bag(nn.Module):
    """An encoder that gives each token its own vector, whatever stands beside it: a bag of words."""

    def __init__(self, size=4):
        super().__init__()
        self.table = nn.Embedding(30522, size)
        self.config = SimpleNamespace(hidden_size=size)

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        return SimpleNamespace(last_hidden_state=self.table(input_ids) if inputs_embeds is None else inputs_embeds)


def bag_of_words():
    torch.manual_seed(0)
    return models.BertTagger(Bag(), 2).eval()


def logit_of(tagger, ids, label):
    ids = torch.tensor([list(ids)])
    with torch.inference_mode():
        return float(tagger(input_ids=ids, attention_mask=torch.ones_like(ids))[0, label])


def test_attributions_add_up_to_the_difference_of_the_logits(tagger, tokens):
    noted, found = tokens.attrs, tokens["attribution"]
    assert noted["logit"] == pytest.approx(logit_of(tagger, tokens["id"], 1), abs=1e-4)
    base = [token if word < 0 else 0 for token, word in zip(tokens["id"], tokens["word"], strict=True)]
    assert noted["baseline"] == pytest.approx(logit_of(tagger, base, 1), abs=1e-4)
    assert found.sum() == pytest.approx(noted["logit"] - noted["baseline"] + noted["error"], abs=1e-9)
    assert abs(noted["logit"] - noted["baseline"]) > 1
    assert abs(noted["error"]) < 0.01 * abs(noted["logit"] - noted["baseline"])


def test_more_steps_make_the_error_smaller(tagger, packaged, tokens):
    rough = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=1, steps=3)
    assert abs(rough.attrs["error"]) > 5 * abs(tokens.attrs["error"])


def test_a_row_a_token_and_nothing_for_special_ones(packaged, tokens):
    assert tokens.columns.tolist() == ["token", "id", "word", "start", "end", "attribution"]
    assert tokens["id"].tolist() == packaged.tokenizer(TEXT)["input_ids"]
    assert tokens["token"].tolist() == packaged.tokenizer.convert_ids_to_tokens(tokens["id"].tolist())
    special = tokens["word"] < 0
    assert tokens["token"][special].tolist() == ["[CLS]", "[SEP]"]
    assert (tokens["attribution"][special] == 0).all()
    assert (tokens["attribution"][~special] != 0).all()
    for row in tokens[~special].itertuples():
        assert TEXT[row.start : row.end].lower() == row.token.removeprefix("##")


def test_words_are_the_sums_of_their_tokens(tokens):
    words = explain.word_attributions(tokens)
    assert words.columns.tolist() == ["word", "start", "end", "attribution"]
    assert words["word"].tolist() == ["You", "are", "an", "unmanageable", "goat", ",", "my", "friend", "."]
    parts = tokens[tokens["token"].isin(["un", "##mana", "##ge", "##able"])]
    assert len(parts) == 4
    assert words["attribution"][3] == pytest.approx(parts["attribution"].sum(), abs=1e-12)
    assert [TEXT[start:end] for start, end in zip(words["start"], words["end"], strict=True)] == words["word"].tolist()
    assert words["attribution"].sum() == pytest.approx(tokens["attribution"].sum(), abs=1e-9)
    stored = pd.DataFrame(tokens.to_dict("list"))
    with pytest.raises(ValueError, match="lost their text"):
        explain.word_attributions(stored)
    stored.attrs["text"] = TEXT
    pd.testing.assert_frame_equal(explain.word_attributions(stored), words)


def test_of_a_bag_of_words_the_attributions_are_known(packaged):
    tagger = bag_of_words()
    tokens = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=1, steps=1)
    vectors = tagger.encoder.table.weight.detach()
    ids = torch.tensor(tokens["id"].tolist())
    expected = (vectors[ids] - vectors[0]) @ tagger.head.weight.detach()[1] / len(ids)
    expected[[0, -1]] = 0
    np.testing.assert_allclose(tokens["attribution"], expected, atol=1e-6)
    assert tokens.attrs["error"] == pytest.approx(0, abs=1e-6)


def test_the_word_that_decides_has_the_largest_attribution(packaged):
    """The real encoder under a head fitted to tell texts with a goat from others."""
    places, verbs = ("here", "at home", "in the garden"), ("saw", "like")
    made = [f"{who} {verb} a {{}} {place}." for who in ("I", "We", "They") for verb in verbs for place in places]
    texts = [frame.format(animal) for frame in made for animal in ("goat", "house")]
    tagger = models.BertTagger(packaged.model, 1).eval()
    features = loops.features(tagger, loaders.token_loader(loaders.tokenize(texts, packaged.tokenizer)))
    fitted = LogisticRegression(C=10).fit(features, [1, 0] * len(made))
    with torch.no_grad():
        tagger.head.weight.copy_(torch.tensor(fitted.coef_))
        tagger.head.bias.copy_(torch.tensor(fitted.intercept_))
    for text in ("My sister bought a goat last year.", "Nobody told me that the goat was hungry"):
        tokens = explain.token_attributions(tagger, packaged.tokenizer, text, label=0, steps=16)
        words = explain.word_attributions(tokens)
        assert words["word"][words["attribution"].idxmax()] == "goat"
        curve = explain.deletion_curve(tagger, tokens, label=0, most=1)
        others = [
            explain.deletion_curve(tagger, tokens, label=0, order=[place])[1]
            for place in range(1, len(tokens) - 1)
            if tokens["token"][place] != "goat"
        ]
        assert curve[1] < min(others)


@pytest.mark.parametrize("keep", ["head", "tail"])
def test_a_text_over_the_limit_keeps_its_head_or_its_tail(tagger, packaged, keep):
    packaged.tokenizer.truncation_side = "right"
    long = "dull " * 30 + "ending"
    tokens = explain.token_attributions(tagger, packaged.tokenizer, long, label=0, max_length=8, keep=keep, steps=2)
    assert len(tokens) == 8
    given = loaders.tokenize([long], packaged.tokenizer, max_length=8, keep=keep)
    assert tokens["id"].tolist() == given.ids.tolist()
    words = explain.word_attributions(tokens)
    assert words["word"].tolist() == ["dull"] * 6 if keep == "head" else ["dull"] * 5 + ["ending"]
    assert words["end"].iloc[-1] == (29 if keep == "head" else len(long))
    assert packaged.tokenizer.truncation_side == "right"


def test_unicode_is_pointed_to_by_character(tagger, packaged):
    text = "Ünï\ncödé 🐐 e\u0301t\u00e9 中文 don't\x00 $5"
    tokens = explain.token_attributions(tagger, packaged.tokenizer, text, label=0, steps=2)
    words = explain.word_attributions(tokens)
    assert words["word"].tolist() == ["Ünï", "cödé", "🐐", "e\u0301t\u00e9", "中", "文", "don", "'", "t", "$", "5"]
    assert tokens["token"][words.index[words["word"] == "🐐"][0] + 2] == "[UNK]"


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_has_nothing_to_attribute(tagger, packaged, text):
    tokens = explain.token_attributions(tagger, packaged.tokenizer, text, label=0, steps=2)
    assert tokens["token"].tolist() == ["[CLS]", "[SEP]"]
    assert tokens["attribution"].tolist() == [0, 0]
    assert (tokens.attrs["logit"], tokens.attrs["error"]) == (tokens.attrs["baseline"], 0)
    words = explain.word_attributions(tokens)
    assert words.shape == (0, 4)
    assert len(explain.deletion_curve(tagger, tokens, label=0)) == 1


def test_an_encoder_that_counts_positions_without_padding_adds_up_too(packaged):
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    encoder = RobertaModel(RobertaConfig(vocab_size=30522, pad_token_id=0, initializer_range=0.2, **sizes))
    tagger = models.BertTagger(encoder, 1).eval()
    tokens = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0, steps=64)
    difference = tokens.attrs["logit"] - tokens.attrs["baseline"]
    assert tokens.attrs["logit"] == pytest.approx(logit_of(tagger, tokens["id"], 0), abs=1e-5)
    assert abs(difference) > 0.05
    assert abs(tokens.attrs["error"]) < 0.02 * abs(difference)


def test_the_tagger_stays_as_it_was(packaged):
    tagger = bag_of_words().train()
    tagger.dropout.eval()
    before = {name: value.clone() for name, value in tagger.state_dict().items()}
    modes = [module.training for module in tagger.modules()]
    calm = bag_of_words()
    expected = explain.token_attributions(calm, packaged.tokenizer, TEXT, label=0, steps=2)
    found = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0, steps=2)
    pd.testing.assert_frame_equal(found, expected)
    explain.deletion_curve(tagger, found, label=0)
    tagger.encoder.forward = lambda **_: 1 / 0
    for call in (
        lambda: explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0),
        lambda: explain.deletion_curve(tagger, found, label=0),
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    assert [module.training for module in tagger.modules()] == modes
    assert all(weight.grad is None and weight.requires_grad for weight in tagger.parameters())
    assert all(torch.equal(value, before[name]) for name, value in tagger.state_dict().items())


def test_dropout_is_off_and_gradients_are_found_wherever_it_is_called(packaged):
    tagger = bag_of_words()
    expected = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0, steps=2)["attribution"]
    tagger.train().requires_grad_(False)
    with torch.no_grad():
        found = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0, steps=2)["attribution"]
    pd.testing.assert_series_equal(found, expected)
    with torch.inference_mode():
        found = explain.token_attributions(tagger, packaged.tokenizer, TEXT, label=0, steps=2)["attribution"]
    pd.testing.assert_series_equal(found, expected)
    assert expected.abs().max() > 0
    assert torch.is_grad_enabled()


def test_the_deletion_curve_is_the_tagger_called_by_hand(tagger, tokens):
    curve = explain.deletion_curve(tagger, tokens, label=1)
    assert (curve.name, curve.index.name) == ("logit", "tokens taken")
    assert curve.index.tolist() == list(range(len(tokens) - 1))
    assert curve[0] == pytest.approx(tokens.attrs["logit"], abs=1e-4)
    order = tokens.index[tokens["word"] >= 0][np.argsort(-tokens["attribution"][tokens["word"] >= 0], kind="stable")]
    for taken in (1, 2, 9, len(order)):
        left = tokens["id"].drop(order[:taken])
        assert curve[taken] == pytest.approx(logit_of(tagger, left, 1), abs=1e-4)
    assert curve.iloc[-1] == pytest.approx(logit_of(tagger, [101, 102], 1), abs=1e-4)


def test_the_order_may_be_given(tagger, tokens):
    curve = explain.deletion_curve(tagger, tokens, label=2, order=np.array([4, 2]))
    ids = tokens["id"]
    expected = [logit_of(tagger, left, 2) for left in (ids, ids.drop([4]), ids.drop([2, 4]))]
    np.testing.assert_allclose(curve, expected, atol=1e-4)
    moved = tokens.set_axis(range(50, 50 + len(tokens)))
    pd.testing.assert_series_equal(explain.deletion_curve(tagger, moved, label=2, order=[4, 2]), curve)
    np.testing.assert_allclose(
        explain.deletion_curve(tagger, tokens, label=2, order=[4, 2], most=1), expected[:2], atol=1e-4
    )
    np.testing.assert_allclose(explain.deletion_curve(tagger, tokens, label=2, most=0), expected[:1], atol=1e-4)
    np.testing.assert_allclose(explain.deletion_curve(tagger, tokens, label=2, order=[]), expected[:1], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": [1, 0]}, r"places \[0\] are special tokens', do not exist, or come twice"),
        ({"order": [1, 99, -1]}, r"places \[99, -1\]"),
        ({"order": [2, 3, 2]}, r"places \[2\]"),
        ({"order": [1.5]}, r"places \[1\.5\]"),
        ({"most": -1}, "most=-1: expected a whole number, at least 0"),
        ({"label": 3}, "label=3: expected a whole number, from 0 to 2"),
        ({"label": -1}, "label=-1"),
    ],
)
def test_a_deletion_that_cannot_be_made_is_refused(tagger, tokens, options, message):
    with pytest.raises(ValueError, match=message):
        explain.deletion_curve(tagger, tokens, **{"label": 0} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ["a", "b"]}, r"one text of whole characters, not \['a', 'b'\] \(list\)"),
        ({"text": None}, "NoneType"),
        ({"text": pd.Series(["a"])}, "(?s)one text of whole characters.*Series"),
        ({"steps": 1.5}, "steps=1.5: expected a whole number"),
        ({"max_length": np.nan}, "max_length=nan: expected a whole number"),
        ({"text": "half \ud83d"}, "whole characters"),
        ({"label": 3}, "label=3: expected a whole number, from 0 to 2"),
        ({"label": -1}, "label=-1"),
        ({"label": "toxic"}, "label='toxic': expected a whole number"),
        ({"label": True}, "label=True"),
        ({"steps": 0}, "steps=0: expected a whole number, at least 1"),
        ({"keep": "middle"}, "keep='middle'"),
        ({"max_length": 2}, "max_length=2: expected a whole number, from 3 to 512"),
        ({"max_length": 513}, "max_length=513: expected a whole number, from 3 to 512"),
    ],
)
def test_what_cannot_be_explained_is_refused(tagger, packaged, options, message):
    with pytest.raises(ValueError, match=message):
        explain.token_attributions(tagger, packaged.tokenizer, **{"text": "a", "label": 0, "steps": 1} | options)


def test_a_slow_tokenizer_is_refused(tagger, packaged):
    slow = SimpleNamespace(is_fast=False, model_max_length=512, num_special_tokens_to_add=lambda: 2)
    with pytest.raises(ValueError, match="take a fast tokenizer"):
        explain.token_attributions(tagger, slow, "a", label=0)
