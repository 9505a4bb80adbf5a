"""The lessons run on the real rows as well, where COURSE_DATA names a folder that holds them; nothing of it is kept."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = os.environ.get("COURSE_DATA", "")


@pytest.mark.kernel
@pytest.mark.skipif(not Path(DATA, "jigsaw").is_dir() or not DATA, reason="set COURSE_DATA to a folder with jigsaw/")
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("01_eda.ipynb", 10_000),
        ("02_countvectorizer_mlp.ipynb", 15_000),
        ("03_multi_head.ipynb", 10_000),
        pytest.param(
            "04_bert_finetuning.ipynb",
            800,
            marks=pytest.mark.skipif(not os.environ.get("COURSE_SLOW"), reason="five minutes: set COURSE_SLOW=1"),
        ),
    ],
)
def test_the_lesson_runs_on_real_comments(name, rows, tmp_path):
    command = [sys.executable, "tools/run_notebooks.py", "--profile", "full", "--out", str(tmp_path)]
    env = {**os.environ, "COURSE_DATA": str(Path(DATA).resolve()), "COURSE_ENCODER": "all-MiniLM-L6-v2"}
    if rows < 10_000:
        env["PYTHONWARNINGS"] = "ignore::UserWarning"  # so few rows may lack a label, and the scores say so
    env["COURSE_ROWS"] = str(rows)  # the whole takes minutes, and an encoder without a GPU hours
    done = subprocess.run([*command, f"notebooks/{name}"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = [str(cell.get("outputs")) for cell in nbformat.read(tmp_path / name, 4).cells]
    assert any("Jigsaw train.csv" in output for output in outputs)
    assert any("All of it holds." in output for output in outputs)
