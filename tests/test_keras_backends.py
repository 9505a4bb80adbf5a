"""The lesson's own Keras cells give torch's losses on the other backend too, where that is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "02_countvectorizer_mlp.ipynb"
CELLS = (
    "setup",
    "profile",
    "split",
    "counts",
    "keras-net",
    "keras-copy",
    "keras-steps-a",
    "keras-steps",
    "torch-parts",
    "torch-steps",
)
COMPARE = """
assert keras.backend.backend() == "{backend}"
worst = []
for seed in range(3):
    theirs, ours = keras_losses(seed), torch_losses(seed, torch.optim.Adam, in_loss=L2)
    worst.append(max(abs(one - other) for one, other in zip(theirs, ours, strict=True)))
    assert len(theirs) == 10 and ours[-1] < 0.95 * ours[0]
assert sorted(worst)[1] < 1e-4, worst  # one start may meet a ReLU at zero
print("worst distance", worst)
"""


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_keras_and_torch_lose_the_same_for_ten_steps(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -c constraints.txt -e .[{backend}]")
    sources = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, 4).cells}
    vectorizer = "from sklearn.feature_extraction.text import CountVectorizer"
    script = "\n".join([vectorizer, *(sources[name] for name in CELLS), COMPARE.format(backend=backend)])
    env = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worst distance" in done.stdout
