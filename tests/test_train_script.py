"""`scripts/train.py`: its files, what wins over what, and a whole run from YAML to test scores."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import train
import yaml
from transformers import BertConfig, BertModel

from helpers import tagging, text
from helpers.loops.checkpoints import LOCK, locked

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
    assert settings["folder"] == f"runs/{path.stem}"
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
    assert saved.hparams["max_length"] == 32
    before = (folder / "best.ckpt").read_bytes()
    message = one_line_error(command, capsys, "fit", "--config", folder / "config.yaml")
    assert re.search(
        r"last.ckpt is the checkpoint of an earlier run: resume that run with --ckpt_path .*last.ckpt", message
    )
    assert (folder / "best.ckpt").read_bytes() == before
    settings, again = (folder / "config.yaml").read_bytes(), ["fit", "--config", folder / "config.yaml"]
    again += ["--ckpt_path", folder / "last.ckpt"]
    for change, words in [
        (["--model.lr", "1e-4"], "last.ckpt: state of another run: learning rate was 0.0002 and is 0.0001"),
        (["--data.batch_size", 8], "batch size was 16 and is 8"),
        (["--trainer.max_epochs", 3], "max_epochs was 2 and is 3"),
    ]:
        assert words in one_line_error(command, capsys, *again, *change)
    command(*again)
    assert "this run is finished after 2 epochs; read back, nothing was trained" in capsys.readouterr().out
    assert (folder / "best.ckpt").read_bytes() == before
    assert (folder / "config.yaml").read_bytes() == settings
    command("test", "--config", folder / "config.yaml", "--ckpt_path", folder / "best.ckpt")
    assert "test_auc/toxic" in capsys.readouterr().out


SMALL = ["--data.max_rows", "400", "--data.negatives", "60", "--data.valid", "0.3", "--data.test", "0.3"]


def test_the_lines_of_the_readme_run_in_their_order_in_an_empty_folder(encoder, tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Train from a YAML file")[1].split("```")[1]
    lines = [shlex.split(line) for line in section.strip().splitlines()]
    assert [line[2] for line in lines] == ["fit", "fit", "test"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    for line in lines:
        options = [str(ROOT / word) if word.startswith("configs/") else word for word in line[2:]]
        command = [sys.executable, str(ROOT / line[1]), *options, *SMALL, "--data.encoder", str(encoder)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3_000:]
        assert re.search(r"epoch 1/1: train loss|test_auc/toxic", done.stdout)
    found = {path.parent.name for path in tmp_path.glob("runs/*/best.ckpt")}
    assert found == {"quick", "two_processes"}


def one_line_error(command, capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        command(*arguments)
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()
    assert len(message) == 1, message
    return message[0]


def test_a_share_on_the_command_line_is_a_share(command, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick = ["fit", "--config", ROOT / "configs" / "quick.yaml", "--data.encoder", encoder, "--data.max_rows", 400]
    kept = {}

    def note(self):
        kept.update({name: len(table) for name, table in self.datamodule.sources.items()})

    monkeypatch.setattr(train.CourseCLI, "before_fit", note)
    command(*quick, "--data.negatives", 50, "--data.valid", "0.4", "--data.test", "0.1", "--trainer.fast_dev_run", 1)
    assert (kept["valid"], kept["test"]) == pytest.approx((160, 40), abs=3)
    assert "valid=1.5: expected a number" in one_line_error(command, capsys, *quick, "--data.valid", "1.5")


def test_a_run_without_callbacks_is_not_mixed_with_a_second_one(command, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = ["--data.train", "sample", "--data.valid", "0.2", "--data.max_rows", 200, "--data.max_length", 16]
    own += ["--data.encoder", encoder, "--trainer.max_epochs", 1, "--trainer.accelerator", "cpu", "--folder", "run"]
    command("fit", *own)
    settings = Path("run/config.yaml").read_text()
    with pytest.raises(SystemExit):
        command("fit", *own, "--model.lr", "0.01")
    assert "is the checkpoint of an earlier run" in capsys.readouterr().err
    assert Path("run/config.yaml").read_text() == settings
    assert len(list(Path("run").rglob("*.ckpt"))) == 1


def test_what_is_wrong_with_the_data_is_said_in_one_line(command, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,perhaps\n")
    fit = ["fit", "--data.encoder", encoder, "--trainer.logger", "false", "--trainer.accelerator", "cpu"]
    fit += ["--trainer.max_epochs", 1]
    for value, words in [("rows.csv", "rows.csv: row 2: column rude"), ("none.csv", "none.csv")]:
        message = one_line_error(command, capsys, *fit, "--data.train", value, "--data.valid", value)
        assert message.startswith("train.py: error: ")
        assert words in message
    table = ["--data.train", "sample", "--data.valid", "0.2"]
    assert "lr=-1.0" in one_line_error(command, capsys, *fit, *table, "--data.max_rows", 400, "--model.lr", "-1")
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_a_second_run_in_the_folder_of_a_run_is_refused(command, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = ["--config", ROOT / "configs" / "quick.yaml", "--data.encoder", encoder, "--data.max_rows", 600]
    own += ["--trainer.max_epochs", 1, "--folder", "runs/shared"]
    with locked(tmp_path / "runs" / "shared"):
        message = one_line_error(command, capsys, "fit", *own)
        assert "shared: another run of fit writes into this folder" in message
        assert [path.name for path in (tmp_path / "runs" / "shared").iterdir()] == [LOCK]
    command("fit", *own)
    assert (tmp_path / "runs" / "shared" / "last.ckpt").is_file()
