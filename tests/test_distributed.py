"""Several processes against one: the same weights, each row once, a killed run taken up, the same scores."""

import contextlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import BertConfig, BertModel

from helpers import datasets, text

ROOT = Path(__file__).resolve().parent.parent
TRAIN, VALID = 397, 199  # the last batch of 33 has one row: one of two processes has none


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small encoder, rows as files, and the settings of a run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(folder / "encoder")
    text.load_tokenizer().save_pretrained(folder / "encoder")
    comments = datasets.load_comments("sample")
    comments[:TRAIN].to_csv(folder / "train.csv", index=False)
    comments[TRAIN : TRAIN + VALID].to_csv(folder / "valid.csv", index=False)
    return folder


def launch(place, name, *, processes=1, launcher=None, die=None, watch=False, resume=None, check=True, **changes):
    """One run in its own folder, by Lightning's own launcher, `torchrun` or `srun`; changes are settings."""
    folder = place / name
    folder.mkdir(exist_ok=True)
    data = {"train": str(place / "train.csv"), "valid": str(place / "valid.csv"), "encoder": str(place / "encoder")}
    data |= {"max_length": 48, "batch_size": 33, "cache": str(place / "cache")}
    kept = {"dirpath": str(folder), "filename": "best", "save_last": True, "every_n_train_steps": 2}
    saving = {"class_path": "pytorch_lightning.callbacks.ModelCheckpoint", "init_args": kept}
    trainer = {"max_epochs": 2, "accelerator": "cpu", "devices": processes, "gradient_clip_val": 1.0}
    trainer |= {"logger": False, "callbacks": [{"class_path": "helpers.tagging.EpochLines"}, saving]}
    trainer |= {"strategy": "ddp"} if processes > 1 else {}
    settings = {"data": data | changes.get("data", {}), "model": {"lr": 1e-3} | changes.get("model", {})}
    settings["trainer"] = trainer | changes.get("trainer", {})
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    script = [str(ROOT / "tests" / "lightning_run.py"), "fit", "--config", str(folder / "settings.yaml")]
    python = [sys.executable]
    if launcher == "torchrun":
        python += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"DIE": die} if die else {}
    environment |= {"WATCH": str(folder)} if watch else {}
    command = [*python, *script, *(["--ckpt_path", str(resume)] if resume else [])]
    tasks = [as_slurm_task(rank, processes) for rank in range(processes)] if launcher == "srun" else [{}]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": place}
    started = [subprocess.Popen(command, env=environment | task, **options) for task in tasks]
    said = [task.communicate(timeout=240) for task in started]
    assert not check or not any(task.returncode for task in started), said[0][1]
    return subprocess.CompletedProcess(command, started[0].returncode, *said[0])


def as_slurm_task(rank, tasks):
    """What SLURM's srun tells each of the processes that it starts on one machine."""
    told = {"JOB_ID": "12345", "JOB_NAME": "tagger", "NTASKS": tasks, "NTASKS_PER_NODE": tasks, "NNODES": 1}
    told |= {"PROCID": rank, "LOCALID": rank, "NODEID": 0, "NODELIST": "127.0.0.1"}
    return {f"SLURM_{name}": str(value) for name, value in told.items()}


def last(place, name):
    return torch.load(place / name / "last.ckpt", weights_only=True)


def apart(one, other):
    return max((one["state_dict"][name] - other["state_dict"][name]).abs().max() for name in one["state_dict"])


def lines(done):
    """The lines of the epochs without their seconds."""
    return [line.rsplit(",", 1)[0] for line in done.stdout.splitlines() if line.startswith("epoch")]


@contextlib.contextmanager
def without_dropout(place):
    """Each process would draw its own."""
    config = place / "encoder" / "config.json"
    before = config.read_text()
    config.write_text(before.replace('"hidden_dropout_prob": 0.1', '"hidden_dropout_prob": 0.0'))
    assert config.read_text() != before
    yield
    config.write_text(before)


@pytest.fixture(scope="module")
def settled(place):
    """A run in one process, and one in two, of the same data without dropout; both watched."""
    with without_dropout(place):
        single = launch(place, "one", watch=True, model={"dropout": 0.0})
        double = launch(place, "two", processes=2, launcher="torchrun", watch=True, model={"dropout": 0.0})
    return single, double


def test_two_processes_end_with_the_weights_of_one(place, settled):
    one, two = last(place, "one"), last(place, "two")
    assert one["global_step"] == two["global_step"] == 2 * -(-TRAIN // 33)
    assert apart(one, two) < 1e-5


def test_processes_that_slurm_starts_end_with_the_weights_of_one_too(place, settled):
    with without_dropout(place):
        done = launch(place, "slurm", processes=2, launcher="srun", model={"dropout": 0.0})
    assert lines(done) == lines(settled[0])
    assert apart(last(place, "one"), last(place, "slurm")) < 1e-5


def test_scores_gathered_over_processes_are_those_of_one(settled):
    single, double = map(lines, settled)
    assert len(single) == 2
    assert single == double
    assert "valid auc 0." in single[0]


def test_each_row_is_seen_by_one_process_once_an_epoch_and_the_batches_are_those_of_one(place, settled):
    def rows(name, rank):
        return (place / name / f"rank{rank}.txt").read_text().splitlines()

    alone, shared = Counter(rows("one", 0)), [rows("two", rank) for rank in (0, 1)]
    assert sum(alone.values()) == 2 * TRAIN
    assert Counter(shared[0] + shared[1]) == alone
    assert abs(len(shared[0]) - len(shared[1])) <= 2 * -(-TRAIN // 33)


def test_a_killed_process_and_the_run_taken_up_end_where_the_undisturbed_run_ends(place):
    launch(place, "whole", processes=2)
    fallen = launch(place, "killed", processes=2, die="1:17", check=False)
    assert fallen.returncode != 0
    kept = last(place, "killed")
    assert kept["global_step"] == 16
    launch(place, "killed", processes=2, resume=place / "killed" / "last.ckpt")
    whole, again = last(place, "whole"), last(place, "killed")
    assert whole["global_step"] == again["global_step"] == 26
    assert apart(whole, again) < 1e-7
    assert apart(whole, kept) > 1e-4


def test_accumulated_batches_with_unknown_labels_end_alike_too(place):
    comments = pd.read_csv(place / "train.csv")
    labels = comments.columns[2:]
    hidden = np.random.default_rng(0).random((TRAIN, len(labels))) < 0.3
    comments[labels] = comments[labels].mask(hidden, -1).astype(int)
    comments.to_csv(place / "unknown.csv", index=False)
    options = {"data": {"train": str(place / "unknown.csv")}, "model": {"dropout": 0.0}}
    options["trainer"] = {"accumulate_grad_batches": 3, "max_epochs": 1}
    with without_dropout(place):
        launch(place, "some_one", **options)
        launch(place, "some_two", processes=2, **options)
    assert apart(last(place, "some_one"), last(place, "some_two")) < 1e-5


def predict_in(place, processes):
    """The arrays that the first process got, the others' being the same, and the messages of what was refused."""
    script = [str(ROOT / "tests" / "predict_run.py"), str(place), str(place / "encoder")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), *script]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4_000:]
    arrays = [dict(np.load(place / f"predictions{rank}of{processes}.npz")) for rank in range(processes)]
    refused = [(place / f"refused{rank}of{processes}.txt").read_text().splitlines() for rank in range(processes)]
    for other in arrays[1:]:
        for name, array in arrays[0].items():
            np.testing.assert_array_equal(array, other[name])
    assert all(lines == refused[0] or lines[:3] == refused[0][:3] for lines in refused)
    return arrays[0], refused[0]


def test_predictions_of_one_and_two_processes_are_in_the_order_of_the_rows(place):
    alone, refused_alone = predict_in(place, 1)
    together, refused = predict_in(place, 2)
    expected = alone["module"]
    assert expected.shape == (37, 6)
    assert np.ptp(expected, axis=0).min() > 1e-4  # rows can be told apart
    for name, found in [*alone.items(), *together.items()]:
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
    assert len(alone) == len(together) == 8
    for lines in (refused_alone, refused):
        assert re.match(r"got \d+ of 37 rows", lines[0])
        assert "cannot be known" in lines[1]
        assert "expected a CommentDataModule or one DataLoader, got list" in lines[2]
    assert "the loader gives the share of rank 0 of 1, and this is process" in refused[3]
    assert "each of 2 processes would train on all rows" in refused[4]
