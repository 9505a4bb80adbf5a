"""Long texts at work: read in the windows of training, or truncated and told."""

import json
import warnings

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import export, loaders, loops, models, text
from helpers.loaders.tokens import pool_windows

LABELS = ["rude", "kind"]
TEXTS = ["You are a goat.", "word " * 300 + "goat", "", "a lovely " * 40, "No"]


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tagger = models.BertTagger(BertModel(BertConfig(**sizes)), 2).eval()
    torch.nn.init.normal_(tagger.head.weight)
    return tagger, text.load_tokenizer()


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_long_text_is_read_in_the_windows_of_training(kind, pooling, parts, tmp_path):
    tagger, tokenizer = parts
    options = {"max_length": 16, "windows": True, "overlap": 4, "window_pooling": pooling}
    models.save_tagger(tmp_path / "torch", tagger, tokenizer, labels=LABELS, **options)
    saved = models.load_tagger(tmp_path / "torch")
    assert (saved.windows, saved.overlap, saved.window_pooling, saved.max_length) == (True, 4, pooling, 16)
    export.to_onnx(tmp_path / "torch", tmp_path / "onnx")
    texts = [words or " " for words in TEXTS]
    windows = loaders.tokenize(texts, tokenizer, max_length=16, windows=True, overlap=4)
    logits = loops.logits(tagger, loaders.token_loader(windows, bucket=False))
    expected = 1 / (1 + np.exp(-pool_windows(logits, windows, how=pooling)))
    predictor = export.Predictor.load(tmp_path / kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predictor.predict_proba(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert predictor.n_truncated == 0
    truncated = loaders.tokenize(texts, tokenizer, max_length=16)
    other = loops.predict_proba(tagger, loaders.token_loader(truncated, bucket=False))
    assert np.abs(found.to_numpy() - other)[[1, 3]].max() > 0.001  # it matters


def test_a_predictor_that_truncates_says_so_once_and_counts(parts, tmp_path):
    tagger, tokenizer = parts
    models.save_tagger(tmp_path / "mine", tagger, tokenizer, labels=LABELS, max_length=16)
    predictor = export.Predictor.load(tmp_path / "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict_proba(["short", "a b c d e f g h i j k l m n"])  # 16 tokens: fits
    with pytest.warns(UserWarning, match=r"2 of 5 texts are longer than 16 tokens and were truncated"):
        predictor.predict_proba(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict(TEXTS)
    assert predictor.n_truncated == 4


def test_a_folder_of_before_windows_is_truncated(parts, tmp_path):
    tagger, tokenizer = parts
    folder = models.save_tagger(tmp_path / "mine", tagger, tokenizer, labels=LABELS, max_length=16)
    path = folder / "tagger.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in settings.items() if not k.startswith(("window", "overlap", "keep"))}))
    saved = models.load_tagger(folder)
    assert (saved.windows, saved.keep) == (False, "head")
    assert not export.Predictor.load(folder).windows


@pytest.mark.parametrize(
    "texts", ["one", b"one", {"comment_text": ["one"]}, None, 3, np.array([["one"], ["two"]]), np.array("one")]
)
def test_what_is_no_list_of_texts_is_refused(texts, parts, tmp_path):
    tagger, tokenizer = parts
    folder = models.save_tagger(tmp_path / "mine", tagger, tokenizer, labels=LABELS)
    with pytest.raises(ValueError, match=r"texts(=| is |: | must be)"):
        export.Predictor.load(folder).predict_proba(texts)


@pytest.mark.parametrize("limit", [float("nan"), -0.1, 1.5, None, "often"])
def test_thresholds_that_cannot_be_are_refused_by_tags(limit, parts, tmp_path):
    tagger, tokenizer = parts
    predictor = export.Predictor.load(models.save_tagger(tmp_path / "mine", tagger, tokenizer, labels=LABELS))
    with pytest.raises(ValueError, match="not from 0 to 1"):
        predictor.predict(["one"], thresholds={"rude": limit})
    with pytest.raises(ValueError, match="expected a number per label"):
        predictor.predict(["one"], thresholds=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_length", 2), ("max_length", 16.5), ("keep", "end"), ("windows", 7), ("pad_id", -1), ("labels", "ab")],
)
def test_settings_of_an_export_are_checked(name, value, parts, tmp_path):
    tagger, tokenizer = parts
    saved = models.save_tagger(tmp_path / "torch", tagger, tokenizer, labels=LABELS)
    folder = export.to_onnx(saved, tmp_path / "onnx")
    path = folder / "tagger.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=r"tagger\.json .*is corrupt"):
        export.Predictor.load(folder)
