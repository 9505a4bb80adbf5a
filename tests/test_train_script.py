"""`scripts/train.py`: its files, what wins over what, and a whole run from YAML to test scores."""

import re
from pathlib import Path

import pytest
import torch
import train
import yaml
from transformers import BertConfig, BertModel

from helpers import tagging, text

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture
def command(monkeypatch):
    """Run the command line in this process."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["train.py", *map(str, arguments)])
        train.main()

    return run


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    text.load_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_file_is_understood_and_options_win_over_it(path, command, capsys):
    beside = ["--config", ROOT / "configs" / "quick.yaml"] if path.name == "two_processes.yaml" else []
    with pytest.raises(SystemExit) as ended:
        command("fit", *beside, "--config", path, "--model.lr", "0.125", "--print_config")
    assert not ended.value.code
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["model"]["lr"] == 0.125
    assert settings["trainer"]["use_distributed_sampler"] is False
    given = yaml.safe_load(path.read_text())
    for part, values in given.get("data", {}).items():
        assert settings["data"][part] == values


def test_a_misspelt_setting_is_refused_by_name(command, capsys):
    with pytest.raises(SystemExit) as ended:
        command("fit", "--config", ROOT / "configs" / "quick.yaml", "--model.learning_rate", "1")
    assert ended.value.code == 2
    assert "learning_rate" in capsys.readouterr().err


def test_a_run_from_yaml_to_test_scores(command, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = ["--data.encoder", encoder, "--data.max_rows", 600, "--trainer.max_epochs", 2]
    command("fit", "--config", ROOT / "configs" / "quick.yaml", *own)
    assert len(re.findall(r"epoch \d/2: train loss", capsys.readouterr().out)) == 2
    folder = tmp_path / "runs" / "quick"
    assert {"best.ckpt", "last.ckpt", "config.yaml", "hparams.yaml"} <= {path.name for path in folder.iterdir()}
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    assert kept["trainer"]["max_epochs"] == 2
    hidden = encoder.rename(encoder.with_name("hidden"))  # a checkpoint needs no other file
    saved = tagging.CommentTagger.load_from_checkpoint(folder / "best.ckpt")
    hidden.rename(encoder)
    assert len(saved.labels) == 6
    assert saved.thresholds == dict.fromkeys(saved.labels, 0.5)
    assert saved.hparams["max_tokens"] == 32
    before = (folder / "best.ckpt").read_bytes()
    with pytest.raises(SystemExit):
        command("fit", "--config", folder / "config.yaml")
    assert re.search(
        r"last.ckpt is there from an earlier run: go on from it with --ckpt_path .*last.ckpt", capsys.readouterr().err
    )
    assert (folder / "best.ckpt").read_bytes() == before
    command("fit", "--config", folder / "config.yaml", "--trainer.max_epochs", 3, "--ckpt_path", folder / "last.ckpt")
    assert "epoch 3/3" in capsys.readouterr().out
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 2
    command("test", "--config", folder / "config.yaml", "--ckpt_path", folder / "best.ckpt")
    assert "test_auc/toxic" in capsys.readouterr().out
