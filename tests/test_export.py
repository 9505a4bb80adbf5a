"""Taggers exported and served: the same answers as torch's, whatever the texts, order, threads or company."""

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import datasets, evaluation, export, loaders, loops, models
from helpers.export import predictor as predictor_module
from helpers.models.persistence import SavedTagger

LABELS = ["rude", "kind", "odd"]
TEXTS = ["You are a goat.", "", "Thank you for the source!", "No", "word " * 20_000, "x" * 100_000, "Ünï\ncödé 🐐"]


def tiny(n_labels=3, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    return models.BertTagger(BertModel(BertConfig(**sizes, **options)).eval(), n_labels).eval()


@pytest.fixture(scope="module")
def packaged():
    return models.load_encoder()


@pytest.fixture(scope="module")
def saved(packaged):
    """The real encoder under a head that nobody trained: weights large enough for the answers to differ."""
    torch.manual_seed(1)
    tagger = models.BertTagger(packaged.model, len(LABELS)).eval()
    torch.nn.init.normal_(tagger.head.weight, std=0.5)
    limits = {"rude": 0.5, "kind": 0.3, "odd": 0.9}
    return SavedTagger(tagger, packaged.tokenizer, LABELS, limits, max_length=64)


def save(folder, tagger, tokenizer, **options):
    return models.save_tagger(folder, tagger, tokenizer, labels=LABELS, **options)


@pytest.fixture(scope="module")
def folders(saved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taggers")
    own = save(folder / "torch", saved.tagger, saved.tokenizer, thresholds=saved.thresholds, max_length=64)
    exported = {name: export.to_onnx(own, folder / name, int8=name == "int8") for name in ("onnx", "int8")}
    return {"torch": own, **exported}


@pytest.fixture(scope="module")
def comments():
    return datasets.load_comments("sample")["comment_text"].head(60).tolist()


def by_loop(saved, texts, **cut):
    """What the loop of the course says."""
    tokens = loaders.tokenize(texts, saved.tokenizer, max_length=saved.max_length, **cut)
    return loops.predict_proba(saved.tagger, loaders.token_loader(tokens))


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_probabilities_are_those_of_the_loop(kind, folders, saved, comments):
    texts = [*comments, *TEXTS]
    found = export.Predictor.load(folders[kind]).predict_proba(texts)
    assert list(found.columns) == LABELS
    expected = by_loop(saved, [text or " " for text in texts])
    assert expected.std(axis=0).min() > 0.02  # else everything would be near everything
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_eight_bits_move_probabilities_little_and_quarter_the_file(folders, saved, comments):
    found = export.Predictor.load(folders["int8"]).predict_proba(comments).to_numpy()
    expected = by_loop(saved, comments)
    assert 1e-5 < np.abs(found - expected).max() < 0.2
    assert all(np.corrcoef(found[:, place], expected[:, place])[0, 1] > 0.95 for place in range(len(LABELS)))
    sizes = {kind: (folders[kind] / "model.onnx").stat().st_size for kind in ("onnx", "int8")}
    assert sizes["int8"] < 0.3 * sizes["onnx"]


@pytest.mark.parametrize("kind", ["torch", "onnx", "int8"])
def test_order_and_company_do_not_matter(kind, folders, comments):
    """But in eight bits: a batch shares one scale for what flows through it, as the docstring of to_onnx says."""
    predictor = export.Predictor.load(folders[kind])
    together = predictor.predict_proba(comments).to_numpy()
    backwards = predictor.predict_proba(comments[::-1]).to_numpy()[::-1]
    alone = np.concatenate([predictor.predict_proba([text]) for text in comments])
    for other in (backwards, alone):
        if kind == "int8":
            assert 0 < np.abs(other - together).mean() < 0.05
        else:
            np.testing.assert_allclose(other, together, atol=1e-5)


def test_lists_series_and_generators(folders, comments, monkeypatch):
    monkeypatch.setattr(predictor_module, "CHUNK", 7)
    predictor = export.Predictor.load(folders["onnx"])
    series = pd.Series(comments[:20], index=[f"row {n}" for n in range(20)])
    found = predictor.predict_proba(series)
    assert list(found.index) == list(series.index)
    np.testing.assert_allclose(predictor.predict_proba(text for text in comments[:20]), found, atol=1e-5)
    empty = predictor.predict_proba([])
    assert empty.shape == (0, 3)
    assert list(empty.columns) == LABELS
    assert predictor.predict_proba(pd.Series([], dtype=str)).shape == (0, 3)


@pytest.mark.parametrize("bad", [None, 3, float("nan"), b"bytes", ["nested"]])
def test_an_entry_that_is_no_text_is_named(bad, folders, monkeypatch):
    monkeypatch.setattr(predictor_module, "CHUNK", 4)
    predictor = export.Predictor.load(folders["onnx"])
    with pytest.raises(ValueError, match=r"text 5 \(counted from 0\) is .*, not a text"):
        predictor.predict_proba(["a", "b", "c", "d", "e", bad])
    with pytest.raises(ValueError, match="put it into a list"):
        predictor.predict_proba("one text")
    with pytest.raises(ValueError, match="pass one of them"):
        predictor.predict_proba(pd.DataFrame({"comment_text": ["a"]}))


def test_a_missing_text_in_a_column_is_named(folders):
    with pytest.raises(ValueError, match="text 1 "):
        export.Predictor.load(folders["onnx"]).predict_proba(pd.Series(["a", None]))


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_script_that_the_vocabulary_lacks_is_named_once(folders, kind, monkeypatch):
    monkeypatch.setattr(predictor_module, "CHUNK", 3)
    predictor = export.Predictor.load(folders[kind])
    with warnings.catch_warnings(action="error"):
        predictor.predict_proba(["you are kind", "thanks 👍 a lot", "", "naïve"])
    with pytest.warns(
        UserWarning, match=r"2 of 5 texts: most words are not in the vocabulary.*first: text 3,"
    ) as caught:
        predictor.predict_proba(["a", "b", "c", "วันนี้อากาศดี", "இன்று நான் சந்தைக்கு சென்றேன்"])
        predictor.predict_proba(["วันนี้อากาศดี"])
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_half_characters_are_read_as_none(folders):
    predictor = export.Predictor.load(folders["onnx"])
    texts = ["you \ud83d goat", "you  goat", "goat \ud83d\ude00 !", "goat \U0001f600 !"]
    given = list(texts)
    found = predictor.predict_proba(texts).to_numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_allclose(found[2], found[3], atol=1e-6)
    assert texts == given


def test_decisions_follow_the_thresholds(folders, comments):
    predictor = export.Predictor.load(folders["onnx"])
    probabilities = predictor.predict_proba(comments)
    tags = predictor.predict(comments)
    for label, limit in {"rude": 0.5, "kind": 0.3, "odd": 0.9}.items():
        assert (tags[label] == (probabilities[label] >= limit)).all()
    assert predictor.predict(comments, thresholds={"rude": 0.0})["rude"].all()
    with pytest.raises(ValueError, match=r"thresholds \{'nobody': 0\.5\} are for no label"):
        predictor.predict(comments, thresholds={"nobody": 0.5})
    assert predictor.predict(comments, thresholds=zip(LABELS, [0.0] * 3, strict=True)).all(axis=None)
    predictor.thresholds["nobody"] = 0.5
    with pytest.raises(ValueError, match=r"thresholds \{'nobody': 0\.5\} are for no label"):
        predictor.predict(comments)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_thresholds_set_later_are_obeyed_and_inf_never_gives_a_label(kind, folders, saved, comments, tmp_path):
    folder, sure = shutil.copytree(folders[kind], tmp_path / kind), comments[:20]
    targets = np.arange(60).reshape(20, 3) % 2
    probabilities = export.Predictor.load(folder).predict_proba(sure)
    tuned = evaluation.tune_thresholds(targets, probabilities)
    tuned.loc["odd", "threshold"] = np.inf
    models.set_thresholds(folder, tuned["threshold"])
    predictor = export.Predictor.load(folder)
    assert predictor.thresholds == tuned["threshold"].to_dict()
    tags = predictor.predict(sure)
    expected = probabilities >= tuned["threshold"]
    assert (tags == expected).all(axis=None)
    assert 0 < tags[["rude", "kind"]].to_numpy().sum() < 40
    assert predictor.predict(sure, thresholds={"rude": np.inf})["rude"].sum() == 0
    assert predictor.predict(sure, thresholds={"odd": 0.0})["odd"].all()
    models.set_thresholds(folder, zip(["kind"], [0.7], strict=True))
    assert export.Predictor.load(folder).thresholds["kind"] == 0.7


def test_never_is_exported_too(packaged, tmp_path):
    tagger = tiny()
    torch.nn.init.constant_(tagger.head.bias, 100.0)  # all probabilities are 1.0 exactly
    folder = save(tmp_path / "torch", tagger, packaged.tokenizer, thresholds={"odd": np.inf, "kind": 1.0})
    predictor = export.Predictor.load(export.to_onnx(folder, tmp_path / "onnx"))
    assert predictor.predict_proba(TEXTS[:2]).eq(1).all(axis=None)
    assert predictor.thresholds == {"rude": 0.5, "kind": 1.0, "odd": np.inf}
    assert predictor.predict(TEXTS[:2]).iloc[0].to_dict() == {"rude": 1, "kind": 1, "odd": 0}


@pytest.mark.parametrize("kind", ["torch", "onnx", "int8"])
def test_many_threads_may_ask_at_once(kind, folders, comments):
    predictor = export.Predictor.load(folders[kind], threads=1)
    parts = [comments[place:60:6] for place in range(6)]
    expected, found = [predictor.predict_proba(part) for part in parts], [None] * 6

    def ask(place):
        found[place] = [predictor.predict_proba(parts[place]) for _ in range(2)]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answers, right in zip(found, expected, strict=True):
        for answer in answers:
            np.testing.assert_allclose(answer, right, atol=1e-6)


def test_a_tail_is_kept_where_training_kept_it(saved, tmp_path):
    texts = ["dull " * 100 + "wonderful ending", "wonderful beginning " + "dull " * 100]
    save(tmp_path / "torch", saved.tagger, saved.tokenizer, max_length=16, keep="tail")
    tail = models.load_tagger(tmp_path / "torch")
    assert tail.keep == "tail"
    export.to_onnx(tmp_path / "torch", tmp_path / "onnx")
    expected = by_loop(tail, texts, keep="tail")
    assert np.abs(expected - by_loop(tail, texts)).max() > 0.01
    for kind in ("torch", "onnx"):
        np.testing.assert_allclose(export.Predictor.load(tmp_path / kind).predict_proba(texts), expected, atol=1e-4)


def test_an_exported_tagger_is_served_without_torch_transformers_or_network(folders, saved):
    code = (
        "import json, socket, sys\n"
        "def refuse(*a, **k): raise RuntimeError('network tried')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from helpers import export\n"
        f"found = export.Predictor.load({str(folders['onnx'])!r}).predict_proba(['You are a goat.'])\n"
        "from helpers.export import predict_file\n"
        "print(json.dumps([found.iloc[0].tolist(), sorted({'torch', 'transformers'} & set(sys.modules))]))\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=kept)
    assert run.returncode == 0, run.stderr
    probabilities, loaded = json.loads(run.stdout)
    assert loaded == []
    np.testing.assert_allclose([probabilities], by_loop(saved, ["You are a goat."]), atol=1e-4)


def test_folders_that_cannot_be_trusted_are_refused_by_file(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tagger\.json"):
        export.Predictor.load(tmp_path)
    for kind, file in (("onnx", "model.onnx"), ("onnx", "tokenizer.json"), ("onnx", "tagger.json")):
        broken = shutil.copytree(folders[kind], tmp_path / f"{kind}-{file}")
        (broken / file).write_bytes((broken / file).read_bytes()[:100])
        with pytest.raises(ValueError, match=file.replace(".", r"\.")):
            export.Predictor.load(broken)
        (broken / file).unlink()
        with pytest.raises(FileNotFoundError, match=file.replace(".", r"\.")):
            export.Predictor.load(broken)


def test_labels_that_do_not_fit_the_graph_are_refused(folders, tmp_path):
    broken = shutil.copytree(folders["onnx"], tmp_path / "broken")
    settings = json.loads((broken / "tagger.json").read_text())
    settings |= {"labels": LABELS[:2], "thresholds": dict.fromkeys(LABELS[:2], 0.5)}
    (broken / "tagger.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="2 labels"):
        export.Predictor.load(broken)


def test_an_export_replaces_only_an_export(small, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(FileExistsError, match="something else"):
        export.to_onnx(small, tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["thesis.txt"]
    export.to_onnx(small, tmp_path / "mine")
    export.to_onnx(small, tmp_path / "mine", int8=True)
    assert json.loads((tmp_path / "mine" / "tagger.json").read_text())["int8"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "small", "work"]


def test_what_is_no_saved_tagger_is_not_exported(small, tmp_path):
    with pytest.raises(ValueError, match=r"source: expected a path, got a Linear: save the tagger first"):
        export.to_onnx(torch.nn.Linear(2, 2), tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"expected a models\.BertTagger, got a Linear"):
        export.to_onnx(small, tmp_path / "nothing", tagger=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="expected 2 different names, one per logit"):
        export.to_onnx(small, tmp_path / "nothing", tagger=tiny(2))
    with pytest.raises(ValueError, match=r"the tokenizer has 30,522 tokens and the encoder 30,000"):
        export.to_onnx(small, tmp_path / "nothing", tagger=tiny(vocab_size=30_000))
    with pytest.raises(ValueError, match=r"max_length=128: expected a whole number, from 3 to 64"):
        export.to_onnx(small, tmp_path / "nothing", tagger=tiny(max_position_embeddings=64))
    counts = models.CountTagger().fit(["a goat", "a lamp", "no goat"], pd.DataFrame({"goat": [1, 0, 1]}))
    with pytest.raises(ValueError, match="got a CountTagger"):
        export.to_onnx(models.save_tagger(tmp_path / "counts", counts), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def small(tmp_path, packaged):
    return save(tmp_path / "small", tiny(), packaged.tokenizer)


def test_an_exported_folder_has_the_thresholds_of_its_time(small, tmp_path):
    models.set_thresholds(small, {"rude": 0.03})
    for folder in (small, str(small)):
        assert export.Predictor.load(export.to_onnx(folder, tmp_path / "onnx")).thresholds["rude"] == 0.03
    with pytest.raises(FileNotFoundError, match="missing"):
        export.to_onnx(tmp_path / "none", tmp_path / "onnx")


@pytest.mark.parametrize("name", ["head_importance", "prune_weights", "prune_heads", "keep_layers", "to_onnx"])
def test_the_tagger_given_stays_as_it_was(name, small, tmp_path, packaged):
    tagger = tiny().train()
    tagger.encoder.embeddings.eval()
    modes = [module.training for module in tagger.modules()]
    before = {key: value.clone() for key, value in tagger.state_dict().items()}
    rows = loaders.token_loader(loaders.tokenize(TEXTS[:4], packaged.tokenizer, max_length=16), np.eye(4)[:, :3])
    {
        "head_importance": lambda: export.compression.head_importance(tagger, rows),
        "prune_weights": lambda: export.compression.prune_weights(tagger, 0.5),
        "prune_heads": lambda: export.compression.prune_heads(tagger, [(0, 1), (2, 0)]),
        "keep_layers": lambda: export.compression.keep_layers(tagger, [0, 2]),
        "to_onnx": lambda: export.to_onnx(small, tmp_path / "onnx", tagger=tagger),
    }[name]()
    assert modes == [module.training for module in tagger.modules()]
    assert all(torch.equal(value, before[key]) for key, value in tagger.state_dict().items())
    assert len(tagger.layers()) == 3
    assert all(weight.grad is None for weight in tagger.parameters())


def test_a_label_without_a_threshold_is_given_from_a_half_on(packaged, tmp_path, comments):
    torch.manual_seed(3)
    tagger = tiny()
    torch.nn.init.normal_(tagger.head.weight)
    export.to_onnx(save(tmp_path / "mine", tagger, packaged.tokenizer, thresholds={"odd": 0.3}), tmp_path / "onnx")
    predictor = export.Predictor.load(tmp_path / "onnx")
    assert predictor.thresholds == {"rude": 0.5, "kind": 0.5, "odd": 0.3}
    tags = predictor.predict(comments)
    assert (tags["rude"] == (predictor.predict_proba(comments)["rude"] >= 0.5)).all()
    assert tags["rude"].nunique() == 2


def test_importance_does_not_depend_on_the_batches(packaged):
    tagger, labels = tiny(), np.arange(12).reshape(4, 3) % 2
    tokens = loaders.tokenize(["a b", "c d", "e f", "g h"], packaged.tokenizer)
    found = [
        export.compression.head_importance(tagger, loaders.token_loader(tokens, labels, batch_size=size, bucket=False))
        for size in (1, 3, 4)
    ]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=0)
    torch.testing.assert_close(found[0], found[2], rtol=1e-4, atol=0)
    assert found[0].min() > 0
    with pytest.raises(ValueError, match="no batch"):
        export.compression.head_importance(tagger, [])
    inputs, targets = next(iter(loaders.token_loader(tokens, labels)))
    for batch in (dict(inputs) | {"labels": targets}, (inputs["input_ids"], targets), (inputs, targets[:, 0])):
        with pytest.raises(ValueError, match=r"expected a batch \(inputs, labels\)"):
            export.compression.head_importance(tagger, [batch])


def test_pruned_heads_keep_type_and_frozenness():
    tagger = tiny().double()
    tagger.freeze()
    pruned = export.compression.prune_heads(tagger, [(1, 1)])
    trained = [name for name, weight in pruned.named_parameters() if weight.requires_grad]
    assert trained == ["head.weight", "head.bias"]
    assert {weight.dtype for weight in pruned.parameters()} == {torch.float64}
    assert pruned(**INPUTS).shape == (2, 3)


def test_the_smallest_weights_become_zero():
    tagger = tiny()
    pruned = export.compression.prune_weights(tagger, 0.7)
    weights = [(a.weight, b.weight) for a, b in zip(linears(tagger), linears(pruned), strict=True)]
    zeros = [int((after == 0).sum()) for _, after in weights]
    assert sum(zeros) / sum(after.numel() for _, after in weights) == pytest.approx(0.7, abs=1e-3)
    cut = max(before[after == 0].abs().max().item() for before, after in weights)
    assert min(after[after != 0].abs().min().item() for _, after in weights) >= cut
    assert all(
        map(
            torch.equal,
            *([m.weight for m in linears(t)] for t in (tagger, export.compression.prune_weights(tagger, 0.0))),
        )
    )
    with pytest.raises(ValueError, match="share"):
        export.compression.prune_weights(tagger, 1.5)


def linears(tagger):
    return [m for layer in tagger.layers() for m in layer.modules() if isinstance(m, torch.nn.Linear)]


INPUTS = {"input_ids": torch.tensor([[101, 2017, 2024, 102], [101, 2053, 102, 0]])}
INPUTS["attention_mask"] = (INPUTS["input_ids"] > 0).long()


def test_a_pruned_head_is_a_head_whose_output_is_zero():
    tagger = tiny()
    heads = [(0, 1), (0, 3), (2, 0)]
    pruned = export.compression.prune_heads(tagger, heads)
    size = tagger.layers()[0].attention.self.attention_head_size
    for layer, head in heads:  # the same by hand: what the head says is multiplied by zero
        with torch.no_grad():
            tagger.layers()[layer].attention.output.dense.weight[:, head * size : (head + 1) * size] = 0
    with torch.inference_mode():
        torch.testing.assert_close(pruned(**INPUTS), tagger(**INPUTS), atol=1e-6, rtol=0)
    assert pruned.layers()[0].attention.self.query.out_features == 12
    assert sum(w.numel() for w in pruned.parameters()) < sum(w.numel() for w in tagger.parameters())
    for bad in ([(3, 0)], [(0, 4)], [(1, head) for head in range(4)]):
        with pytest.raises(ValueError, match="layer"):
            export.compression.prune_heads(tagger, bad)


def test_pruned_heads_are_exported_but_not_saved(packaged, small, tmp_path):
    pruned = export.compression.prune_heads(tiny(), [(0, 1), (1, 2)])
    with pytest.raises(ValueError, match="to_onnx"):
        save(tmp_path / "torch", pruned, packaged.tokenizer)
    export.to_onnx(small, tmp_path / "onnx", tagger=pruned)
    expected = by_loop(SavedTagger(pruned, packaged.tokenizer, LABELS, {}), TEXTS[:1] + TEXTS[2:4])
    found = export.Predictor.load(tmp_path / "onnx").predict_proba(TEXTS[:1] + TEXTS[2:4])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_importance_of_a_head_is_the_derivative_at_its_gate(frozen, packaged):
    """Against differences of the loss when the gate is moved a little, by hand."""
    tagger = tiny().double()
    if frozen:
        tagger.freeze()
    labels = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.double)
    inputs = {name: tensor[:1] for name, tensor in INPUTS.items()}
    found = export.compression.head_importance(tagger, [(inputs, labels)])
    assert found.shape == (3, 4)
    step, size = 1e-6, 6
    for layer, head in [(0, 0), (1, 3), (2, 1)]:
        columns = tagger.layers()[layer].attention.output.dense.weight[:, head * size : (head + 1) * size]
        losses = []
        for gate in (1 + step, 1 - step):
            with torch.no_grad():
                columns *= gate
                losses.append(float(torch.nn.functional.binary_cross_entropy_with_logits(tagger(**inputs), labels)))
                columns /= gate
        assert float(found[layer, head]) == pytest.approx(abs(losses[0] - losses[1]) / (2 * step), rel=1e-3)


def test_a_student_begins_with_its_teachers_layers():
    tagger = tiny()
    student = export.compression.keep_layers(tagger, [0, 2])
    assert student.encoder.config.num_hidden_layers == 2
    assert len(student.layers()) == 2
    for mine, theirs in zip(student.layers(), (tagger.layers()[0], tagger.layers()[2]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    models.parameter_groups(student, lr=1e-4, layer_decay=0.9)
    for bad in ([], [3], [-1], [1, 1]):
        with pytest.raises(ValueError, match="layers"):
            export.compression.keep_layers(tagger, bad)


def test_a_student_is_saved_and_read_like_any_tagger(packaged, tmp_path):
    student = export.compression.keep_layers(tiny(), [2])
    models.save_tagger(tmp_path / "student", student, packaged.tokenizer, labels=LABELS)
    with torch.inference_mode():
        torch.testing.assert_close(models.load_tagger(tmp_path / "student").tagger(**INPUTS), student(**INPUTS))
