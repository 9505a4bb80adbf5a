"""What the README shows runs as it stands, one snippet after the other."""

import re
from pathlib import Path

import picture
import pytest

from helpers import datasets, models

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def snippets():
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_snippets_run_in_their_order(snippets, tmp_path, monkeypatch):
    mine = datasets.load_comments().head(300).rename(columns={"comment_text": "message", "id": "key"})
    mine.to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    names = {}
    for snippet in snippets:
        # 300 rows hold fewer words, and what a test needs to see takes one epoch.
        small = snippet.replace("10_000", "500").replace("epochs=10", "epochs=1")
        exec(compile(small, "README.md", "exec"), names)
    assert len(snippets) == 6
    assert (tmp_path / "runs" / "mine" / "last.pt").is_file()
    assert names["saved"].labels == list(datasets.JIGSAW_LABELS)
    assert names["logits"]["topic"].shape == (16, 20)
    assert list(names["tuned"].index) == list(datasets.JIGSAW_LABELS)
    assert models.load_tagger("runs/tagger").thresholds == names["tuned"]["threshold"].to_dict()
    assert (tmp_path / "runs" / "small" / "model.onnx").is_file()
    assert names["predictor"].labels == list(datasets.JIGSAW_LABELS)


MINUTES = {"under a minute": "1", "a minute": "1", "a minute and a half": "1½", "two minutes": "2"}
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
    ((minutes, hours),) = re.findall(row, (ROOT / "README.md").read_text(encoding="utf-8"))
    run, work = re.match(r"(.*?) to run.*?[,;] (\D*?) to (?:work|read)", line).groups()
    assert (MINUTES[run], HOURS[work]) == (minutes, hours)


def test_the_picture_shows_the_newest_figures():
    drawn = (ROOT / "benchmarks" / "results.svg").read_text(encoding="utf-8")
    assert picture.description(picture.newest()) in drawn, "a figure is newer: python benchmarks/picture.py"
