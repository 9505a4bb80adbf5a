"""Encoders found, tagged, frozen, saved and read back; the packaged one where its weights matter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from helpers import config, loaders, loops, losses, models
from helpers.models.encoders import FastDropout

SIZES = {"vocab_size": 30522, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXTS = ["You are a goat.", "Thank you for the source!", "No", "What a lovely article about goats and other animals"]


def tiny(**options):
    torch.manual_seed(0)
    return BertModel(BertConfig(**SIZES, intermediate_size=48, **options)).eval()


@pytest.fixture(scope="module")
def packaged():
    return models.load_encoder()


@pytest.fixture
def folder(tmp_path, packaged):
    """A tiny encoder of another shape, as transformers saves it."""
    tiny().save_pretrained(tmp_path / "tiny")
    packaged.tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def batch(tokenizer, n_labels=2):
    tokens = loaders.tokenize(TEXTS, tokenizer)
    labels = np.arange(len(TEXTS) * n_labels).reshape(len(TEXTS), n_labels) % 2
    return loaders.token_loader(tokens, labels, batch_size=4, bucket=False)


def test_the_packaged_encoder_is_the_default_and_ready(packaged):
    assert packaged.model.config.num_hidden_layers == 6
    assert not packaged.model.training
    inputs, _ = next(iter(batch(packaged.tokenizer)))
    assert packaged.model(**inputs).last_hidden_state.shape == (4, inputs["input_ids"].shape[1], 384)


def online(tmp_path):
    """The environment, with the network not forbidden, and no cache to fall back on."""
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return kept | {"HF_HOME": str(tmp_path / "empty")}


def test_the_packaged_encoder_is_loaded_without_trying_the_network(tmp_path):
    code = (
        "import socket\n"
        "import os\n"
        "def refuse(*a, **k): os._exit(9)  # an exception could be swallowed\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from helpers import models\n"
        "print(models.load_encoder().model.config.hidden_size)"
    )
    env = online(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "384"
    assert "Warning" not in done.stderr


def test_an_encoder_of_another_shape_is_loaded_from_a_folder(folder):
    model, tokenizer = models.load_encoder(folder)
    assert model.config.hidden_size == 24
    assert torch.equal(model.embeddings.word_embeddings.weight, tiny().embeddings.word_embeddings.weight)
    assert models.BertTagger(model, 3)(**next(iter(batch(tokenizer)))[0]).shape == (4, 3)


def test_an_encoder_with_missing_weights_is_refused(folder, tmp_path, packaged):
    weights = folder / "model.safetensors"
    whole = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: part for name, part in whole.items() if "layer.1" not in name}, weights)
    with pytest.raises(OSError, match=r"weights are missing, such as encoder\.layer\.1"):
        models.load_encoder(folder)
    path = models.save_tagger(tmp_path / "mine", models.BertTagger(tiny(), 1), packaged.tokenizer, labels=["a"])
    with pytest.raises(OSError, match="a tagger needs load_tagger"):
        models.load_encoder(path)


def test_an_encoder_without_pooler_has_none_and_comes_back_so(folder, tmp_path):
    weights = folder / "model.safetensors"
    whole = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: part for name, part in whole.items() if "pooler" not in name}, weights)
    encoder = models.load_encoder(folder)
    with pytest.raises(ValueError, match="has no pooler"):
        models.BertTagger(encoder.model, 1, pooling="pooler")
    path = models.save_tagger(
        tmp_path / "mine", models.BertTagger(encoder.model, 1), encoder.tokenizer, labels=["a"], max_length=np.int64(9)
    )
    assert models.load_tagger(path).tagger.encoder.pooler is None


def test_half_weights_become_whole_ones(folder):
    tiny().half().save_pretrained(folder)
    assert {weight.dtype for weight in models.load_encoder(folder).model.parameters()} == {torch.float32}


def test_a_pooler_that_another_tagger_left_out_is_trained_again():
    encoder = tiny()
    models.BertTagger(encoder, 1)
    models.BertTagger(encoder, 1, pooling="pooler")
    assert all(weight.requires_grad for weight in encoder.pooler.parameters())


def test_attention_is_not_dropped_unless_asked_for(folder, packaged):
    assert packaged.model.config.attention_probs_dropout_prob == 0
    model = models.load_encoder(folder, attention_dropout=None).model
    assert model.config.attention_probs_dropout_prob == 0.1
    kinds = {type(part) for part in model.modules() if isinstance(part, nn.Dropout)}
    assert kinds == {FastDropout}


def test_whether_attention_is_dropped_can_be_seen(folder):
    assert "attention_dropout=0.0" in repr(models.BertTagger(models.load_encoder(folder).model, 1))
    kept = models.BertTagger(models.load_encoder(folder, attention_dropout=None).model, 1)
    assert "attention_dropout=0.1" in repr(kept)
    for wrong in (-0.1, 1, float("nan"), "none"):
        with pytest.raises(ValueError, match="attention_dropout="):
            models.load_encoder(folder, attention_dropout=wrong)


@pytest.mark.parametrize(("kind", "limit"), [("bert", 24), ("roberta", 22), ("distilbert", 24), ("deberta", None)])
def test_a_text_beyond_the_positions_is_refused_with_the_limit(kind, limit, tmp_path, packaged):
    sizes = {"vocab_size": 30522, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 8, "max_position_embeddings": 24}
    if kind == "deberta":
        made = DebertaV2Model(DebertaV2Config(**sizes, position_biased_input=False, relative_attention=True))
    elif kind == "roberta":
        made = RobertaModel(RobertaConfig(**sizes))
    elif kind == "distilbert":
        small = {"vocab_size": 30522, "dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 8}
        made = DistilBertModel(DistilBertConfig(**small, max_position_embeddings=24))
    else:
        made = BertModel(BertConfig(**sizes))
    tagger = models.BertTagger(made, 1).eval()
    ids = torch.full((2, limit or 40), 200)
    assert tagger(input_ids=ids, attention_mask=torch.ones_like(ids)).shape == (2, 1)
    if limit is None:
        return
    longer = torch.full((2, limit + 1), 200)
    with pytest.raises(ValueError, match=rf"{limit + 1} tokens per text and .* reads {limit} at most: pass max_length"):
        tagger(input_ids=longer, attention_mask=torch.ones_like(longer))
    with pytest.raises(ValueError, match=rf"max_length={limit + 1}: expected a whole number, from 3 to {limit}"):
        models.save_tagger(tmp_path / "mine", tagger, packaged.tokenizer, labels=["a"], max_length=limit + 1)
    with pytest.raises(ValueError, match=r"input_ids \(22,\): expected \(B, T\)"):
        tagger(input_ids=ids[0, :22], attention_mask=torch.ones(22))


def test_what_is_nowhere_or_corrupt_is_refused_with_three_ways_out(folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("no/such-encoder", folder.parent / "nothing"):
        with pytest.raises(OSError, match=r"Three ways out: take the packaged all-MiniLM-L6-v2"):
            models.load_encoder(name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match=r"no encoder .*tiny.*Three ways out"):
        models.load_encoder(folder)
    (folder / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(OSError, match=r"no tokenizer .*tiny.*Three ways out"):
        models.load_encoder(folder)


def test_it_is_transformers_own_classifier_in_logits_loss_and_gradients(packaged):
    torch.manual_seed(0)
    options = {"num_labels": 5, "problem_type": "multi_label_classification", "classifier_dropout": 0.0}
    theirs = BertForSequenceClassification(BertConfig(**SIZES, intermediate_size=48, **options)).eval()
    tagger = models.BertTagger(tiny(), 5, pooling="pooler", dropout=0.0).eval()
    tagger.encoder.load_state_dict(theirs.bert.state_dict())
    tagger.head.load_state_dict(theirs.classifier.state_dict())
    inputs, labels = next(iter(batch(packaged.tokenizer, 5)))
    expected = theirs(**inputs, labels=labels)
    logits = tagger(**inputs)
    torch.testing.assert_close(logits, expected.logits, atol=1e-5, rtol=0)
    loss = losses.bce(logits, labels)
    torch.testing.assert_close(loss, expected.loss, atol=1e-5, rtol=0)
    loss.backward()
    expected.loss.backward()
    pairs = zip(tagger.encoder.parameters(), theirs.bert.parameters(), strict=True)
    for own, other in [*pairs, (tagger.head.weight, theirs.classifier.weight)]:
        torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_poolings_are_what_they_say(packaged):
    encoder = tiny()
    inputs, _ = next(iter(batch(packaged.tokenizer)))
    hidden = encoder(**inputs).last_hidden_state
    lengths = inputs["attention_mask"].sum(dim=1)
    mean = torch.stack([row[:length].mean(dim=0) for row, length in zip(hidden, lengths, strict=True)])
    found = {how: models.BertTagger(encoder, 2, pooling=how).eval().features(**inputs) for how in ("mean", "cls")}
    torch.testing.assert_close(found["mean"], mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["cls"], hidden[:, 0])
    with pytest.raises(ValueError, match="DistilBertModel has no pooler"):
        models.BertTagger(DistilBertModel(DistilBertConfig(dim=24, n_heads=2, n_layers=1)), 2, pooling="pooler")
    for wrong, message in [
        (lambda: models.BertTagger(encoder, 2, pooling="max"), "pooling='max': expected 'mean' or 'cls' or 'pooler'"),
        (lambda: models.BertTagger(encoder, 2.0), r"n_labels=2\.0"),
        (lambda: models.BertTagger(encoder, 2, dropout=1), "dropout=1: expected a number, at least 0 and below 1"),
        (lambda: models.BertTagger(encoder, 2, dropout=float("nan")), "dropout=nan"),
        (lambda: models.BertTagger(packaged, 2), r"got Encoder, whose \.model is one"),
        (lambda: models.BertTagger("bert-base-cased", 2), "got str"),
        (lambda: models.BertTagger(encoder, 2).unfreeze_last(1.5), r"n=1\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()


def trained(tagger):
    return {name for name, weight in tagger.named_parameters() if weight.requires_grad}


def test_freezing_and_unfreezing_reach_what_they_say():
    tagger = models.BertTagger(tiny(), 2)
    everything = trained(tagger)
    assert not any("pooler" in name for name in everything)
    tagger.freeze()
    assert trained(tagger) == {"head.weight", "head.bias"}
    tagger.unfreeze_last(1)
    assert {name.split(".layer.")[1][0] for name in trained(tagger) if ".layer." in name} == {"2"}
    assert not any("embeddings" in name for name in trained(tagger))
    tagger.train()
    assert [layer.training for layer in tagger.layers()] == [False, False, True]
    assert not tagger.encoder.embeddings.training
    tagger.unfreeze_last(0)
    assert trained(tagger) == {"head.weight", "head.bias"}
    tagger.unfreeze()
    assert trained(tagger) == everything
    assert all(layer.training for layer in tagger.layers())
    with pytest.raises(ValueError, match="n=4: the encoder has 3 layers"):
        tagger.unfreeze_last(4)


def test_the_head_alone_learns_the_same_from_cached_features(packaged):
    loader = batch(packaged.tokenizer)
    weights = []
    for cached in (False, True):
        torch.manual_seed(0)
        tagger = models.BertTagger(tiny(), 2, dropout=0.0)
        tagger.freeze()
        model, rows = tagger, loader
        if cached:
            labels = torch.cat([targets for _, targets in loader])
            model = tagger.head
            rows = loaders.array_loader({"input": loops.features(tagger, loader)}, labels, batch_size=4)
        optimizer = torch.optim.AdamW(tagger.head.parameters(), lr=0.01)
        loops.fit(model, rows, loss=losses.bce, optimizer=optimizer, epochs=5, progress=False)
        weights.append(tagger.head.weight.detach())
    torch.testing.assert_close(*weights, atol=1e-5, rtol=0)


def test_groups_decay_matrices_alone_and_lower_layers_learn_slower():
    tagger = models.BertTagger(tiny(), 2)
    groups = models.parameter_groups(tagger, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    found = {id(w): (group["lr"], group["weight_decay"]) for group in groups for w in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(trained(tagger))
    first, last = tagger.layers()[0], tagger.layers()[-1]
    assert found[id(tagger.head.weight)] == (1.0, 0.1)
    assert found[id(tagger.head.bias)] == (1.0, 0.0)
    assert found[id(last.attention.self.query.weight)] == (0.5, 0.1)
    assert found[id(last.output.LayerNorm.weight)] == (0.5, 0.0)
    assert found[id(first.output.dense.bias)] == (0.125, 0.0)
    assert found[id(tagger.encoder.embeddings.word_embeddings.weight)] == (0.0625, 0.1)
    assert {group["lr"] for group in models.parameter_groups(tagger, lr=2e-5)} == {2e-5}
    with pytest.raises(ValueError, match="layer_decay=0: expected a number, above 0"):
        models.parameter_groups(tagger, lr=1.0, layer_decay=0)
    tagger.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing is left to train"):
        models.parameter_groups(tagger, lr=1.0)


def test_a_saved_tagger_says_the_same_in_a_fresh_process_without_network(tmp_path, packaged):
    tagger = models.BertTagger(tiny(), 2, pooling="cls", dropout=0.2).eval()
    path = models.save_tagger(
        tmp_path / "mine", tagger, packaged.tokenizer, labels=["a", "b"], thresholds={"b": 0.3}, max_length=9
    )
    code = (
        "import sys, socket, json, os\n"
        "def refuse(*a, **k): os._exit(9)\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from helpers import models, loaders, loops\n"
        "saved = models.load_tagger(sys.argv[1])\n"
        "tokens = loaders.tokenize(json.loads(sys.argv[2]), saved.tokenizer, max_length=saved.max_length)\n"
        "found = loops.logits(saved.tagger, loaders.token_loader(tokens))\n"
        "print(json.dumps([found.tolist(), saved.labels, saved.thresholds, saved.tagger.pooling]))"
    )
    command = [sys.executable, "-c", code, str(path), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=online(tmp_path))
    assert done.returncode == 0, done.stderr
    found, labels, thresholds, pooling = json.loads(done.stdout.splitlines()[-1])
    tokens = loaders.tokenize(TEXTS, packaged.tokenizer, max_length=9)
    expected = loops.logits(tagger, loaders.token_loader(tokens))
    np.testing.assert_array_equal(np.array(found, dtype=np.float32), expected)
    assert (labels, thresholds, pooling) == (["a", "b"], {"a": 0.5, "b": 0.3}, "cls")
    assert models.load_tagger(path).tagger.dropout.p == 0.2


def test_saving_replaces_a_tagger_and_nothing_else(tmp_path, packaged):
    tagger = models.BertTagger(tiny(), 2)
    save = {"labels": ["a", "b"]}
    path = models.save_tagger(tmp_path / "mine", tagger, packaged.tokenizer, **save)
    nn.init.ones_(tagger.head.bias)
    models.save_tagger(path, tagger, packaged.tokenizer, **save)
    assert models.load_tagger(path).tagger.head.bias.tolist() == [1, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than a tagger"):
        models.save_tagger(tmp_path / "work", tagger, packaged.tokenizer, **save)
    (path / "last.pt").write_text("a run's state")
    with pytest.raises(FileExistsError, match=r"holds something beside a tagger, last\.pt"):
        models.save_tagger(path, tagger, packaged.tokenizer, **save)
    assert (path / "last.pt").is_file()
    for options, message in [
        ({"labels": ["a"]}, "expected 2 different names"),
        ({"labels": ["a", "a"]}, "expected a list of 2 different names"),
        ({"labels": "ab"}, "expected a list of 2 different names"),
        ({"labels": ["a", 1]}, "each a text"),
        ({"labels": ["a", ""]}, "each a text"),
        ({"labels": ["a", "\ud83d"]}, "half of a character"),
        ({**save, "thresholds": 0.5}, "expected a number per label"),
        ({**save, "max_length": 128.0}, "max_length=128.0: expected a whole number, from 3 to 512"),
        ({**save, "max_length": 513}, "max_length=513: expected a whole number, from 3 to 512"),
        ({**save, "keep": "end"}, "keep='end': expected 'head' or 'tail'"),
        ({**save, "windows": "yes"}, "windows='yes'"),
        ({**save, "windows": True, "overlap": 126}, "overlap=126: expected a whole number, from 0 to 125"),
        ({**save, "windows": True, "keep": "tail"}, "windows read the whole text"),
        ({**save, "window_pooling": "sum"}, "window_pooling='sum'"),
        ({**save, "thresholds": {"c": 0.5}}, "thresholds {'c': 0.5} are for no label"),
        ({**save, "thresholds": {"a": 1.5}}, "not from 0 to 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            models.save_tagger(tmp_path / "other", tagger, packaged.tokenizer, **options)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def saved_folder(tmp_path, packaged):
    limits = {"a": 0.25, "b": 0.75}
    tagger = models.BertTagger(tiny(), 3)
    return models.save_tagger(tmp_path / "mine", tagger, packaged.tokenizer, labels=["a", "b", "c"], thresholds=limits)


def test_thresholds_are_set_and_all_else_stays(saved_folder):
    before = json.loads((saved_folder / "tagger.json").read_text())
    models.set_thresholds(saved_folder, pd.Series({"c": 0.125, "a": np.inf}, name="threshold"))
    assert models.load_tagger(saved_folder).thresholds == {"a": np.inf, "b": 0.75, "c": 0.125}
    after = json.loads((saved_folder / "tagger.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert after == before | {"thresholds": {"a": "inf", "b": 0.75, "c": 0.125}}
    models.set_thresholds(saved_folder, {"b": 1})
    models.set_thresholds(saved_folder, {})
    assert models.load_tagger(saved_folder).thresholds == {"a": np.inf, "b": 1.0, "c": 0.125}
    assert not list(saved_folder.glob("*.part"))


def test_never_is_kept_when_a_tagger_is_saved_again(saved_folder, tmp_path):
    models.set_thresholds(saved_folder, {"b": np.inf})
    saved = models.load_tagger(saved_folder)
    options = {"labels": saved.labels, "thresholds": saved.thresholds}
    again = models.save_tagger(tmp_path / "again", saved.tagger, saved.tokenizer, **options)
    assert models.load_tagger(again).thresholds == {"a": 0.25, "b": np.inf, "c": 0.5}
    models.save_tagger(saved_folder, saved.tagger, saved.tokenizer, **options)  # nothing lies beside the tagger


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"d": 0.5}, r"thresholds \{'d': 0\.5\} are for no label of \['a', 'b', 'c'\]"),
        ({"a": 1.5, "b": 0.5}, r"thresholds \{'a': 1\.5\} .*not from 0 to 1 \(or inf: never\)"),
        ({"a": -np.inf}, "-inf"),
        ({"a": np.nan}, "nan"),
        ({"a": None}, "None"),
        ({"a": "often"}, "often"),
        (pd.Series([0.5, 0.5, 0.5]), "thresholds .* are for no label"),
    ],
)
def test_thresholds_that_cannot_be_are_refused_and_change_nothing(saved_folder, thresholds, message):
    before = (saved_folder / "tagger.json").read_bytes()
    with pytest.raises(ValueError, match=message):
        models.set_thresholds(saved_folder, thresholds)
    assert (saved_folder / "tagger.json").read_bytes() == before
    assert not list(saved_folder.glob("*.part"))


@pytest.mark.parametrize(
    "corrupt", ['{"labels": ["a"', "[]", '{"labels": ["a"]}', '{"labels": ["a"], "thresholds": {"b": 2}}']
)
def test_thresholds_are_not_set_in_corrupt_settings(saved_folder, tmp_path, corrupt):
    (saved_folder / "tagger.json").write_text(corrupt)
    with pytest.raises(ValueError, match=r"tagger\.json is corrupt or no tagger's"):
        models.set_thresholds(saved_folder, {"a": 0.5})
    assert (saved_folder / "tagger.json").read_text() == corrupt
    with pytest.raises(FileNotFoundError, match=r"tagger\.json is missing: the folder holds no tagger"):
        models.set_thresholds(tmp_path, {"a": 0.5})


def test_a_write_that_fails_leaves_the_old_thresholds(saved_folder, monkeypatch):
    def full(self, *_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        models.set_thresholds(saved_folder, {"a": 0.5})
    monkeypatch.undo()
    assert models.load_tagger(saved_folder).thresholds == {"a": 0.25, "b": 0.75, "c": 0.5}
    assert not list(saved_folder.glob("*.part"))


def test_a_corrupt_folder_is_named(tmp_path, packaged):
    path = models.save_tagger(tmp_path / "mine", models.BertTagger(tiny(), 2), packaged.tokenizer, labels=["a", "b"])
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors is corrupt, or holds weights of another model"):
        models.load_tagger(path)
    safetensors.torch.save_file({"head.weight": torch.zeros(9, 24)}, weights)
    with pytest.raises(ValueError, match="weights of another model"):
        models.load_tagger(path)
    weights.write_bytes(whole)
    for name in ("config.json", "tokenizer.json"):
        kept = (path / name).read_text()
        (path / name).write_text(kept[: len(kept) // 2])
        with pytest.raises(ValueError, match=r"config\.json or the tokenizer's files in .* are corrupt"):
            models.load_tagger(path)
        (path / name).write_text(kept)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        models.load_tagger(path)
    (path / "tagger.json").write_text('{"labels": ["a"')
    with pytest.raises(ValueError, match=r"tagger\.json is corrupt"):
        models.load_tagger(path)


def test_a_few_steps_on_the_packaged_encoder_lower_the_loss(packaged):
    torch.manual_seed(0)
    tagger = models.BertTagger(models.load_encoder(config.PACKAGED_ENCODER).model, 2, dropout=0.0)
    loader = batch(packaged.tokenizer)
    optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=3e-4))
    schedule = loops.linear_warmup(optimizer, steps=6, warmup=0.2)
    run = {"loss": losses.bce, "optimizer": optimizer, "scheduler": schedule, "clip_norm": 1.0, "progress": False}
    history = loops.fit(tagger, loader, epochs=6, **run).history
    assert history["train_loss"].iloc[-1] < 0.7 * history["train_loss"].iloc[0]


@pytest.mark.parametrize(("n_logits", "kind"), [(1, None), (2, None), (2, "multi_label_classification")])
def test_a_classifier_of_transformers_becomes_a_tagger_with_its_probabilities(n_logits, kind, packaged):
    torch.manual_seed(0)
    settings = BertConfig(**SIZES, intermediate_size=48, num_labels=n_logits, problem_type=kind)
    classifier = BertForSequenceClassification(settings).eval()
    torch.nn.init.normal_(classifier.classifier.weight)
    torch.nn.init.normal_(classifier.classifier.bias)
    inputs, _ = next(iter(batch(packaged.tokenizer)))
    with torch.inference_mode():
        logits, mine = classifier(**inputs).logits, models.tagger_of(classifier)(**inputs)
    expected = logits.softmax(dim=1)[:, 1:] if n_logits == 2 and kind is None else logits.sigmoid()
    torch.testing.assert_close(mine.sigmoid(), expected)


def test_classes_that_exclude_each_other_do_not_become_labels():
    three = BertForSequenceClassification(BertConfig(**SIZES, intermediate_size=48, num_labels=3))
    with pytest.raises(ValueError, match="3 classes"):
        models.tagger_of(three)
    with pytest.raises(ValueError, match="BertForSequenceClassification"):
        models.tagger_of(torch.nn.Linear(2, 2))
    size = BertConfig(**SIZES, intermediate_size=48, num_labels=1, problem_type="regression")
    with pytest.raises(ValueError, match="yes or no"):
        models.tagger_of(BertForSequenceClassification(size))


def train_and_save(folder, tagger, tokenizer):
    return models.save_tagger(folder, tagger, tokenizer, labels=["a", "b"])


@pytest.mark.parametrize("kind", ["whole", "encoder"])
def test_a_compiled_tagger_is_saved_and_loaded_like_any_other(kind, tmp_path, packaged):
    tagger = models.BertTagger(tiny(), 2).eval()
    expected = tagger(**next(iter(batch(packaged.tokenizer)))[0])
    if kind == "encoder":
        tagger.encoder = torch.compile(tagger.encoder)
    train_and_save(tmp_path / "mine", torch.compile(tagger) if kind == "whole" else tagger, packaged.tokenizer)
    again = models.load_tagger(tmp_path / "mine").tagger
    assert not any("_orig_mod" in name for name in again.state_dict())
    torch.testing.assert_close(again(**next(iter(batch(packaged.tokenizer)))[0]), expected)


def test_a_tagger_with_tied_weights_is_saved(tmp_path, packaged):
    tagger = models.BertTagger(tiny(), 2)
    first, second = tagger.layers()[:2]
    second.output.dense.weight = first.output.dense.weight
    again = models.load_tagger(train_and_save(tmp_path / "mine", tagger, packaged.tokenizer)).tagger
    assert torch.equal(again.layers()[1].output.dense.weight, first.output.dense.weight)


def test_what_is_no_tagger_is_not_saved(tmp_path, packaged):
    wrapper = nn.Module()
    wrapper.model = models.BertTagger(tiny(), 2)
    with pytest.raises(ValueError, match=r"expected a models\.BertTagger, got a Module, whose \.model is one"):
        train_and_save(tmp_path / "mine", wrapper, packaged.tokenizer)
    small = BertModel(BertConfig(**SIZES | {"vocab_size": 100}, intermediate_size=48))
    with pytest.raises(ValueError, match="the tokenizer has 30,522 tokens and the encoder 100"):
        train_and_save(tmp_path / "mine", models.BertTagger(small, 2), packaged.tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_all_files_of_a_tagger_have_one_mode(saved_folder):
    models.set_thresholds(saved_folder, {"a": 0.5})
    assert len({path.stat().st_mode for path in saved_folder.iterdir()}) == 1


@pytest.mark.parametrize("value", ["NaN", "-1", '"often"', "null", "Infinity"])
def test_thresholds_of_a_file_are_checked_too(saved_folder, value):
    path = saved_folder / "tagger.json"
    path.write_text(path.read_text().replace("0.25", value))
    if value == "Infinity":
        assert models.load_tagger(saved_folder).thresholds["a"] == np.inf
        return
    with pytest.raises(ValueError, match=r"tagger\.json is corrupt"):
        models.load_tagger(saved_folder)


def test_two_savers_and_a_reader_at_once(tmp_path, packaged):
    """Weights, thresholds and configuration are of one save; the folder is there all the time."""
    import threading

    def tagger(value):
        torch.manual_seed(0)
        sizes = {"vocab_size": 30522, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        made = models.BertTagger(BertModel(BertConfig(**sizes, intermediate_size=8)), 2)
        nn.init.constant_(made.head.bias, value)
        return made

    folder, seen, problems, done = tmp_path / "mine", [], [], threading.Event()
    taggers = {value: tagger(value) for value in (0.25, 0.75)}
    models.save_tagger(folder, taggers[0.25], packaged.tokenizer, labels=["a", "b"], thresholds={"a": 0.25})

    def save(value):
        try:
            for _ in range(12):
                models.save_tagger(
                    folder, taggers[value], packaged.tokenizer, labels=["a", "b"], thresholds={"a": value}
                )
                models.set_thresholds(folder, {"b": 1.0})
        except Exception as error:
            problems.append(error)

    def load():
        try:
            while not done.is_set():
                saved = models.load_tagger(folder)
                seen.append((saved.tagger.head.bias[0].item(), saved.thresholds["a"]))
        except Exception as error:
            problems.append(error)

    savers = [threading.Thread(target=save, args=(value,)) for value in taggers]
    reader = threading.Thread(target=load)
    for thread in (*savers, reader):
        thread.start()
    for thread in savers:
        thread.join()
    done.set()
    reader.join()
    assert not problems
    assert set(seen) <= {(0.25, 0.25), (0.75, 0.75)}
    assert len(seen) >= 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
