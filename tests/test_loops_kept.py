"""The tagger that notebooks share: trained once, loaded while data, code and settings are the same, else anew."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import datasets, loops, models
from helpers.loops import kept as module

SETTINGS = {"epochs": 1, "train_length": 8, "max_length": 16, "progress": False}


@pytest.fixture(scope="module")
def few():
    return datasets.load_comments().head(24)


@pytest.fixture
def said():
    return []


@pytest.fixture(scope="module")
def trained(few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tagger"
    messages = []
    first = loops.kept_tagger(folder, few, report=messages.append, **SETTINGS)
    assert messages == [f"training a tagger on 24 comments: {folder} holds none"]
    return folder, first


def weights(kept):
    return torch.cat([part.flatten() for part in kept.tagger.state_dict().values() if part.is_floating_point()])


def test_the_second_call_loads_what_the_first_one_trained(trained, few, said):
    folder, first = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert said == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    assert torch.equal(weights(first), weights(again))
    pd.testing.assert_frame_equal(again.history, first.history)
    assert again.minutes == first.minutes > 0
    assert again.labels == datasets.label_names(few)
    assert (again.max_length, len(again.history)) == (16, 1)
    assert not again.tagger.training


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda few: (few.assign(comment_text=few["comment_text"].str.upper()), {}), "texts"),
        (lambda few: (few.assign(toxic=1 - few["toxic"]), {}), "targets"),
        (lambda few: (few.iloc[::-1], {}), "texts, targets"),
        (lambda few: (few, {"lr": 1e-4}), "lr"),
        (lambda few: (few, {"train_length": 9, "seed": 1}), "train length, seed"),
    ],
    ids=["texts", "labels", "order", "rate", "two settings"],
)
def test_what_differs_is_named_and_trained_anew(trained, few, tmp_path, said, change, named, monkeypatch):
    folder, first = trained
    monkeypatch.setattr(module, "_train", lambda *parts: pytest.fail("trained"))
    rows, settings = change(few)
    with pytest.raises(pytest.fail.Exception, match="trained"):
        loops.kept_tagger(copied(folder, tmp_path), rows, report=said.append, **SETTINGS | settings)
    assert said[0].endswith(f"has other {named}")
    assert first.labels


def copied(folder, tmp_path):
    """A copy of a kept tagger whose files may be changed."""
    import shutil

    return shutil.copytree(folder, tmp_path / "copy")


def test_other_code_is_named_and_trained_anew(trained, few, tmp_path, said, monkeypatch):
    folder = copied(trained[0], tmp_path)
    monkeypatch.setattr(module, "_CODE_DIGEST", "other code")
    loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert said == [f"training a tagger on 24 comments: the one in {folder} has other code"]
    loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert len(said) == 1


def test_comments_and_docstrings_are_no_code():
    text = module._code(module)
    assert "def kept_tagger" in text
    assert "Fine-tune a tagger once" not in text
    assert "new weights could stand beside" not in text


def test_other_versions_or_another_device_are_named_and_the_tagger_is_used(trained, few, tmp_path, said, monkeypatch):
    folder = copied(trained[0], tmp_path)
    record = json.loads((folder / "kept_tagger.json").read_text())
    record["where"] |= {"torch": "1.6.0", "device": "cuda", "precision": "bf16-mixed"}
    (folder / "kept_tagger.json").write_text(json.dumps(record))
    monkeypatch.setattr(module, "_train", lambda *parts: pytest.fail("trained"))
    again = loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert torch.equal(weights(again), weights(trained[1]))
    assert len(said) == 1
    for part in ("torch 1.6.0", f"torch {torch.__version__}", "device cuda", "device cpu", "remove the folder"):
        assert part in said[0]
    assert "transformers" not in said[0]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("kept_tagger.json", b"[]"),
        ("kept_tagger.json", b'{"key": null}'),
        ("kept_tagger.json", b'{"key": "abc"}'),
        ("kept_tagger.json", b'{"key": ' + b"[" * 100_000),
        ("kept_tagger.json", b"\xff\xfe"),
        ("kept_tagger.json", None),
        ("tagger/model.safetensors", None),
        ("tagger/model.safetensors", b""),
        ("tagger/config.json", b'{"model_type": "bert"}'),
        ("tagger/tagger.json", b"[]"),
    ],
)
def test_a_damaged_folder_is_trained_anew(trained, few, tmp_path, said, file, content):
    folder = copied(trained[0], tmp_path)
    half = (folder / file).read_bytes()
    (folder / file).write_bytes(half[: len(half) // 2] if content is None else content)
    again = loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert len(said) == 1
    assert said[0].startswith("training a tagger on 24 comments: the")
    assert torch.equal(weights(again), weights(trained[1]))


def test_missing_weights_are_trained_anew(trained, few, tmp_path, said):
    folder = copied(trained[0], tmp_path)
    (folder / "tagger" / "model.safetensors").unlink()
    loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert "cannot be read" in said[0] or "have been changed" in said[0]


def test_weights_of_another_tagger_are_not_taken_for_those_of_the_record(trained, few, tmp_path, said):
    folder = copied(trained[0], tmp_path)
    other = models.BertTagger(models.load_encoder().model, len(trained[1].labels))
    models.save_tagger(folder / "tagger", other, trained[1].tokenizer, labels=trained[1].labels, max_length=16)
    again = loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert said == [f"training a tagger on 24 comments: the files in {folder / 'tagger'} have been changed"]
    assert torch.equal(weights(again), weights(trained[1]))


def test_thresholds_may_be_chosen_later(trained, few, tmp_path, said):
    folder = copied(trained[0], tmp_path)
    models.set_thresholds(folder / "tagger", {"toxic": 0.25})
    assert loops.kept_tagger(folder, few, report=said.append, **SETTINGS).thresholds["toxic"] == 0.25
    assert said == []


def test_a_tagger_that_was_made_elsewhere_and_a_file_are_refused(trained, few, tmp_path):
    folder = copied(trained[0], tmp_path)
    (folder / "kept_tagger.json").unlink()
    before = (folder / "tagger" / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="was not made here"):
        loops.kept_tagger(folder, few, **SETTINGS)
    assert (folder / "tagger" / "model.safetensors").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        loops.kept_tagger(tmp_path / "file", few, **SETTINGS)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError])
def test_a_training_that_fails_leaves_the_kept_tagger_as_it_was(trained, few, tmp_path, said, fault, monkeypatch):
    folder = copied(trained[0], tmp_path)

    def fails(*parts, **options):
        raise fault

    monkeypatch.setattr(module.fine_tuning, "fine_tune", fails)
    with pytest.raises(fault):
        loops.kept_tagger(folder, few, report=said.append, **SETTINGS | {"seed": 5})
    assert torch.equal(weights(loops.kept_tagger(folder, few, report=said.append, **SETTINGS)), weights(trained[1]))
    assert len(said) == 1


def test_a_run_that_dies_after_saving_leaves_no_record_of_the_old_weights(trained, few, tmp_path, said, monkeypatch):
    folder = copied(trained[0], tmp_path)
    train = module._train

    def dies(*parts):
        train(*parts)
        raise MemoryError

    monkeypatch.setattr(module, "_train", dies)
    with pytest.raises(MemoryError):
        loops.kept_tagger(folder, few, report=said.append, **SETTINGS | {"seed": 5})
    monkeypatch.setattr(module, "_train", train)
    again = loops.kept_tagger(folder, few, report=said.append, **SETTINGS)
    assert "has other" in said[1]
    assert torch.equal(weights(again), weights(trained[1]))


def test_an_encoder_in_a_folder_is_told_by_its_files(trained, few, tmp_path, said):
    models.load_encoder().model.save_pretrained(tmp_path / "encoder")
    models.load_encoder().tokenizer.save_pretrained(tmp_path / "encoder")
    first = module._encoder(tmp_path / "encoder")
    assert first == module._encoder(str(tmp_path / "encoder"))
    (tmp_path / "encoder" / "config.json").write_text("{}")
    assert module._encoder(tmp_path / "encoder") != first


def test_the_fingerprint_holds_all_code_that_has_a_say_in_the_weights():
    names = {part.__name__.removeprefix("helpers.") for part in module._CODE}
    assert names >= {"loaders.row_order", "models.backbones", "loops.prediction", "loops.kept", "text"}


def test_a_kept_tagger_is_read_where_nothing_can_be_written(trained, few, tmp_path, said, monkeypatch):
    def refuses(*parts, **options):
        raise PermissionError

    monkeypatch.setattr(module.folders, "lock", refuses)
    monkeypatch.setattr(module.Path, "mkdir", refuses)
    assert loops.kept_tagger(trained[0], few, report=said.append, **SETTINGS).labels == trained[1].labels


def test_two_processes_at_once_train_once(few, tmp_path):
    code = f"""
from helpers import datasets, loops, models
kept = loops.kept_tagger("tagger", datasets.load_comments().head(24), **{SETTINGS})
print(f"weight {{kept.tagger.head.weight.sum().item():.9f}}")
"""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    runs = [subprocess.Popen([sys.executable, "-c", code], **options) for _ in range(2)]
    outputs = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    lines = [line for out, _ in outputs for line in out.splitlines()]
    assert sum(line.startswith("training") for line in lines) == 1, lines
    assert len({line for line in lines if line.startswith("weight")}) == 1, lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tagger"]
    assert sorted(path.name for path in (tmp_path / "tagger").iterdir()) == ["kept_tagger.json", "tagger"]


def test_other_random_numbers_stay_as_they_were(few, tmp_path, said):
    torch.manual_seed(3)
    expected = torch.rand(2)
    for _ in ("trained", "loaded"):
        torch.manual_seed(3)
        loops.kept_tagger(tmp_path / "tagger", few, report=said.append, **SETTINGS)
        assert torch.equal(torch.rand(2), expected)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"lr": 0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_length": 0}, "max_length"),
    ],
)
def test_numbers_are_checked_before_anything_is_written(few, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        loops.kept_tagger(tmp_path / "tagger", few, **SETTINGS | settings)
    assert not (tmp_path / "tagger").exists()


def test_a_table_without_labels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="label"):
        loops.kept_tagger(tmp_path / "tagger", pd.DataFrame({"comment_text": ["a", "b"]}), **SETTINGS)


def test_unknown_labels_are_left_out_of_the_shares(few, tmp_path, said):
    rows = few.copy()
    rows["threat"] = rows["threat"].astype(float)
    rows.loc[rows.index[:20], "threat"] = np.nan
    rows["obscene"] = np.nan
    kept = loops.kept_tagger(tmp_path / "tagger", rows, report=said.append, **SETTINGS)
    assert bool(torch.isfinite(weights(kept)).all())
