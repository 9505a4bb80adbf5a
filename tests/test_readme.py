"""What the README shows runs as it stands, one block after the other, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import picture
import pytest

from helpers import datasets, export, metrics

ROOT = Path(__file__).resolve().parent.parent


README = (ROOT / "README.md").read_text(encoding="utf-8")
# Lines of a shell that other tests run, that need a network or an account, or that set this environment up anew.
ELSEWHERE = (
    "make ",
    "COURSE_PROFILE=full make ",
    "python scripts\\setup_env.py",
    ".venv\\Scripts\\",
    ".venv/bin/python scripts/train.py ",
    ".venv/bin/python -m helpers download ",
)


def blocks(kind):
    """The code blocks of one kind in the README, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [code for name, code in found if name == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def names(folder):
    """The names that all Python blocks leave, run in their order in an empty folder: with fewer rows and epochs."""
    found, here = {}, Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks("python"):
            exec(compile(block.replace("2_000", "600").replace("epochs=10", "epochs=2"), "README.md", "exec"), found)
    finally:
        os.chdir(here)
    return found


def test_the_blocks_need_nothing_but_each_other(names, folder):
    assert len(blocks("python")) == 6
    labels = ["rude", "question"]
    assert not set(labels) & set(datasets.loading.JIGSAW_LABELS)
    assert names["saved"].labels == list(names["tuned"].index) == names["predictor"].labels == labels
    assert len(names["comments"]) == 600
    assert (folder / "runs" / "mine" / "last.pt").is_file()
    assert names["logits"]["topic"].shape == (16, 20)


def test_the_predictor_decides_by_the_thresholds_that_were_tuned(names, folder):
    tuned, predictor = names["tuned"]["threshold"], names["predictor"]
    assert predictor.thresholds == export.Predictor.load(folder / "runs" / "tagger").thresholds == tuned.to_dict()
    assert (tuned != 0.5).all()
    texts = names["parts"].test["comment_text"].tolist()
    tags = predictor.predict(texts)
    assert (tags == (predictor.predict_proba(texts) >= tuned)).all(axis=None)
    assert 0 < tags["rude"].sum() < len(texts)
    assert 0 < tags["question"].sum() < len(texts)
    assert metrics.mean_auc(names["parts"].test[names["labels"]], predictor.predict_proba(texts)) > 0.6


def test_each_line_of_a_shell_is_run_here_or_elsewhere(names, folder):
    lines = [line for block in blocks("") for line in block.splitlines() if line]
    mine = [line for line in lines if not line.startswith(ELSEWHERE)]
    assert len(lines) > 15 and len(mine) == 1
    command = [word.replace(".venv/bin/python", sys.executable) for word in shlex.split(mine[0], comments=True)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "again.csv").read_bytes() == (folder / "scored.csv").read_bytes()
    scored = pd.read_csv(folder / "again.csv")
    assert scored["id"].tolist() == names["comments"]["id"].tolist()
    for label, threshold in names["tuned"]["threshold"].items():
        sure = (scored[label] - threshold).abs() > 1e-6  # six digits are written
        assert (scored[f"{label}_tag"] == (scored[label] >= threshold))[sure].all()
        assert 0 < scored[f"{label}_tag"].sum() < len(scored)


MINUTES = {
    "under a minute": "1",
    "a minute": "1",
    "a minute and a half": "1½",
    "two minutes": "2",
    "three minutes": "3",
}
HOURS = {
    "a quarter of an hour": "¼",
    "an hour": "1",
    "an hour and a half": "1½",
    "two hours": "2",
    "two sittings of an hour and a quarter": "2½",
    "two and a half hours": "2½",
}


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_the_road_names_each_notebook_with_its_times(path):
    title, *_ = re.findall(r'"# (.*?)\\n"', path.read_text(encoding="utf-8"))
    (line,) = re.findall(r"\*\*Time:\*\* (.*?)\*\*Prereq", path.read_text(encoding="utf-8"))
    row = rf"\| \[{title[:6]}[^|]*\]\(notebooks/{path.name}\) \| [^|]+ \| ([^ |]+) \| ([^ |]+) \|"
    ((minutes, hours),) = re.findall(row, README)
    run, work = re.match(r"(.*?) to run.*?[,;] (\D*?) to (?:work|read)", line).groups()
    assert (MINUTES[run], HOURS[work]) == (minutes, hours)


def test_the_picture_shows_the_newest_figures():
    drawn = (ROOT / "benchmarks" / "results.svg").read_text(encoding="utf-8")
    assert picture.description(picture.newest()) in drawn, "a figure is newer: python benchmarks/picture.py"
