"""What the README shows runs as it stands, one snippet after the other."""

import re
from pathlib import Path

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
