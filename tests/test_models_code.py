"""Folders of strangers that carry Python code: no public way in runs it, whatever is answered on standard input."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import config, datasets, export, folders, models, tagging, text

CODE = """
from pathlib import Path
Path({marker!r}).write_text("code ran")
from transformers import BertConfig, BertModel, BertTokenizer
class Config(BertConfig): pass
class Model(BertModel): pass
class Tokenizer(BertTokenizer): pass
"""
AUTO_MAP = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model", "AutoTokenizer": ["planted.Tokenizer", None]}


def tiny():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return BertModel(BertConfig(**sizes)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return text.load_tokenizer()


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that planted code makes; `y` waits on standard input, and the cache of remote code is elsewhere."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "marker"


def plant(folder, marker, file):
    """Put a module into a folder, and its name into one of the configuration files."""
    (folder / "planted.py").write_text(CODE.format(marker=str(marker)))
    path = folder / file
    settings = json.loads(path.read_text()) if path.exists() else {}
    if file == "config.json":
        settings["model_type"] = "planted"  # nothing that transformers has: its code is asked for
    if file == "tokenizer_config.json":
        settings["tokenizer_class"] = "Tokenizer"
    path.write_text(json.dumps(settings | {"auto_map": AUTO_MAP}))
    return folder


@pytest.fixture(params=["config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"])
def encoder_folder(request, tmp_path, marker, tokenizer):
    folder = tmp_path / "encoder"
    tiny().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return plant(folder, marker, request.param)


@pytest.fixture(params=["config.json", "tokenizer_config.json"])
def tagger_folder(request, tmp_path, marker, tokenizer):
    folder = models.save_tagger(tmp_path / "tagger", models.BertTagger(tiny(), 1), tokenizer, labels=["odd"])
    return plant(folder, marker, request.param)


def comments():
    return datasets.subsample(datasets.load_comments(), 40)


WAYS_TO_AN_ENCODER = {
    "load_encoder": lambda folder: models.load_encoder(folder),
    "load_encoder_text": lambda folder: models.load_encoder(str(folder)),
    "load_tokenizer": lambda folder: text.load_tokenizer(folder),
    "tagger": lambda folder: tagging.CommentTagger(["odd"], encoder=str(folder)),
    "data": lambda folder: tagging.CommentDataModule(comments(), valid=0.2, encoder=str(folder)).setup(),
    "prepared": lambda folder: tagging.CommentDataModule("forum.csv", "forum.csv", encoder=str(folder)).prepare_data(),
}


@pytest.mark.parametrize("way", WAYS_TO_AN_ENCODER)
def test_an_encoders_code_never_runs(way, encoder_folder, marker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("forum.csv").write_text("id,comment_text,odd\na,You are kind,0\nb,Go away,1\n")
    with pytest.raises(ValueError, match=r"names code to run \(auto_map\)") as refusal:
        WAYS_TO_AN_ENCODER[way](encoder_folder)
    assert str(encoder_folder) in str(refusal.value)
    assert not marker.exists()


WAYS_TO_A_TAGGER = {
    "load_tagger": lambda folder, _: models.load_tagger(folder),
    "load_encoder": lambda folder, _: models.load_encoder(folder),
    "Predictor": lambda folder, _: export.Predictor.load(folder),
    "predict_file": lambda folder, csv: list(export.predict_file(folder, csv, "out.csv")),
}


@pytest.mark.parametrize("way", WAYS_TO_A_TAGGER)
def test_a_taggers_code_never_runs(way, tagger_folder, marker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("forum.csv").write_text("id,comment_text\na,You are kind\n")
    with pytest.raises(ValueError, match=r"names code to run \(auto_map\)") as refusal:
        WAYS_TO_A_TAGGER[way](tagger_folder, "forum.csv")
    assert str(tagger_folder) in str(refusal.value)
    assert not marker.exists()
    assert not Path("out.csv").exists()


def test_the_command_line_runs_no_code(tagger_folder, marker, tmp_path):
    (tmp_path / "forum.csv").write_text("id,comment_text\na,You are kind\n")
    command = [sys.executable, "-m", "helpers", "predict", str(tagger_folder), "forum.csv", "-o", "out.csv"]
    env = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    run = subprocess.run(command, cwd=tmp_path, input="y\n" * 20, capture_output=True, text=True, env=env)
    assert run.returncode == 1
    assert "names code to run" in run.stderr
    assert str(tagger_folder) in run.stderr
    assert not marker.exists()


def test_a_checkpoint_runs_no_code(tmp_path, marker):
    """A configuration inside a Lightning checkpoint may name code in any folder."""
    settings = tiny().config.to_dict()
    plant(tmp_path, marker, "config.json")
    settings |= {
        "auto_map": {"AutoModel": "planted.Model"},
        "_name_or_path": str(tmp_path),
        "name_or_path": str(tmp_path),
    }
    with pytest.raises(ValueError, match="encoder_config names code to run"):
        tagging.CommentTagger(["odd"], encoder_config=settings)
    tagger = tagging.CommentTagger(["odd"], encoder_config=tiny().config.to_dict())
    state = {"state_dict": tagger.state_dict(), "pytorch-lightning_version": "2.6.6"}
    torch.save(state | {"hyper_parameters": {"labels": ["odd"], "encoder_config": settings}}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="encoder_config names code to run"):
        tagging.CommentTagger.load_from_checkpoint(tmp_path / "last.ckpt")
    assert not marker.exists()


def test_a_name_on_the_hub_runs_no_code(tmp_path, marker, tokenizer):
    """Found in the local cache."""
    snapshot = tmp_path / "hub" / "models--who--what" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    tiny().save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)
    code = (
        "from helpers import models, text\n"
        "for load in (text.load_tokenizer, models.load_encoder):\n"
        "    try:\n        print(type(load('who/what')).__name__)\n"
        "    except ValueError as error:\n        print(error)\n"
    )
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HOME": str(tmp_path / "home")}

    def load():
        run = subprocess.run([sys.executable, "-c", code], input="y\n" * 20, capture_output=True, text=True, env=env)
        assert run.returncode == 0, run.stderr
        assert not marker.exists()
        return run.stdout

    assert load().splitlines()[-1] == "Encoder"
    plant(snapshot, marker, "config.json")
    assert "who/what names code to run (auto_map)" in load()


def test_transformers_own_architecture_with_code_beside_it_is_saved_without(tmp_path, tokenizer):
    """A hub model may name code and yet be one that transformers has: what is saved of it names none."""
    encoder = tiny()
    encoder.config.auto_map = {"AutoModel": "planted.Model"}
    folder = models.save_tagger(tmp_path / "tagger", models.BertTagger(encoder, 1), tokenizer, labels=["odd"])
    assert models.load_tagger(folder).labels == ["odd"]


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (Path(self.marker), "code ran"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "adapter_model.bin"])
def test_pickled_weights_are_refused_by_name(name, tmp_path, marker, tokenizer):
    folder = tmp_path / "encoder"
    tiny().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Evil(str(marker))))
    with pytest.raises(OSError, match=rf"{name.replace('.', '[.]')} holds pickled weights"):
        models.load_encoder(folder)
    tagger = models.save_tagger(tmp_path / "tagger", models.BertTagger(tiny(), 1), tokenizer, labels=["odd"])
    (tagger / "model.safetensors").unlink()
    shutil.copy(folder / name, tagger / name)
    for load in (models.load_tagger, export.Predictor.load):
        with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
            load(tagger)
    shutil.copy(folder / name, tagger / "model.safetensors")  # under the other's name
    with pytest.raises(ValueError, match=r"model\.safetensors is corrupt"):
        models.load_tagger(tagger)
    assert not marker.exists()


@pytest.mark.parametrize(
    "settings", [{"attn_implementation": "who/kernel"}, {"model_type": "no_such"}, {"hidden_size": "wide"}]
)
def test_settings_that_no_model_can_have_name_the_folder(settings, tmp_path, tokenizer):
    folder = models.save_tagger(tmp_path / "tagger", models.BertTagger(tiny(), 1), tokenizer, labels=["odd"])
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(ValueError, match=r"config\.json") as refusal:
        models.load_tagger(folder)
    assert str(folder) in str(refusal.value)


def test_every_call_of_a_library_that_can_run_code_forbids_it():
    """In the package, scripts, tools, benchmarks and notebooks."""
    root = config.repository_folder()
    calls = (".from_pretrained(", "AutoModel.from_config(")
    for path in [
        *root.glob("helpers/**/*.py"),
        *root.glob("scripts/*.py"),
        *root.glob("tools/*.py"),
        *root.glob("benchmarks/*.py"),
    ]:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if any(call in line for call in calls) and "**options)" not in line:
                assert "trust_remote_code=False" in "".join(lines[number : number + 6]), f"{path}:{number + 1}"
    for path in root.glob("notebooks/**/*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and any(call in source for call in calls):
                assert "trust_remote_code=False" in source, path


def test_a_graph_reads_no_file_outside_its_folder(tmp_path, tokenizer):
    import onnx

    saved = models.save_tagger(tmp_path / "tagger", models.BertTagger(tiny(), 1), tokenizer, labels=["odd"])
    folder = export.to_onnx(saved, tmp_path / "onnx")
    (tmp_path / "secret.bin").write_bytes(bytes(4_000_000))
    graph = onnx.load(folder / "model.onnx")
    big = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    big.ClearField("raw_data")
    big.data_location = onnx.TensorProto.EXTERNAL
    place = big.external_data.add(key="location")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        place.value = location
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        with pytest.raises(ValueError, match=r"model\.onnx is corrupt, or no model that onnxruntime reads"):
            export.Predictor.load(folder)


def test_refusals_are_about_folders_only():
    for name in ("no/such-folder", config.packaged_encoder(weights=False)):
        assert folders.refuse_code(name) is None
