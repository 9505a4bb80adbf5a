"""The one writer of outputs: what it stores, what it refuses, and that a failure leaves the file alone."""

import base64
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import make_exercises
import matplotlib.pyplot as plt
import nbformat
import notebook_format
import numpy as np
import pytest
import run_notebooks
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_outputs import read_notebook, stored_faults
from PIL import Image

pytestmark = pytest.mark.kernel

ENVIRONMENT = """import os
names = ["COURSE_PROFILE", "COURSE_DATA", "COURSE_ENCODER", "HF_HUB_OFFLINE"]
print(*[os.environ.get(name) for name in names])
print(os.path.samefile(os.getcwd(), FOLDER))"""
BAR = r"""import sys, time
for i in range(3):
    print(f"\rbar {i}", end="", flush=True)
print()
print("\rgone", end="\r     \r", flush=True)
sys.stdout.flush(); time.sleep(0.3); print("late")"""
WIDGET = """from IPython.display import display
display({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "bar"}, raw=True)"""
FAILING_LIBRARY = "import json\njson.loads('{')"
FIGURE = """import matplotlib.pyplot as plt
plt.figure(figsize=(1, 1))
plt.plot([0, 1])
plt.show()"""


def write(path, *sources, tags=(), **metadata):
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    cells[-1].metadata.tags = list(tags)
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """One notebook, executed twice in place under a hostile environment."""
    folder = tmp_path_factory.mktemp("lessons")
    sources = [f"FOLDER = {str(folder)!r}", ENVIRONMENT, BAR, WIDGET, "", "2 + 2  ", FIGURE, FAILING_LIBRARY]
    path = write(
        folder / "01_a.ipynb", *sources, tags=["raises-exception"], widgets={"x": 1}, course={"cell_timeout": 9}
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[5].metadata |= {"execution": {"iopub.status.busy": "2026"}, "alt": "kept", "scrolled": True}
    notebook.cells[5].execution_count = 41
    nbformat.write(notebook, path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"COURSE_DATA": "/real", "COURSE_ENCODER": "other", "COURSE_PROFILE": "full"}.items():
            patch.setenv(name, value)
        patch.setenv("MPLBACKEND", "Agg")
        contents = []
        for _ in range(2):
            assert run_notebooks.main([str(path)]) == 0
            contents.append(path.read_bytes())
    return SimpleNamespace(path=path, contents=contents, notebook=read_notebook(path))


def test_two_runs_give_the_same_bytes_and_leave_no_temporary_file(stored):
    assert stored.contents[0] == stored.contents[1]
    assert stored.contents[0].endswith(b"}\n")
    assert [path.name for path in stored.path.parent.iterdir()] == ["01_a.ipynb"]


def test_kernels_see_the_quick_profile_only_and_the_notebooks_folder(stored):
    assert text_of(stored.notebook.cells[1]) == "quick None None 1\nTrue\n"


def png_of(transparent):
    drawn = io.BytesIO()
    with plt.style.context("default"):
        figure, ax = plt.subplots(figsize=(6, 4))
        ax.imshow(np.linspace(0, 1, 200).reshape(10, 20), cmap="viridis")
        ax.plot(np.arange(20), np.arange(20) / 2, "o-", color="#D55E00")
        figure.savefig(drawn, transparent=transparent)
    plt.close(figure)
    return base64.b64encode(drawn.getvalue()).decode()


def test_pictures_are_stored_small_and_look_the_same():
    png = png_of(transparent=False)
    small = run_notebooks.small_picture(png)
    before, after = (Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in (png, small))
    assert len(small) < 0.6 * len(png)
    apart = np.abs(np.asarray(before, dtype=int) - np.asarray(after, dtype=int))
    assert before.size == after.size and apart.mean() < 1 and np.quantile(apart, 0.999) < 16
    assert run_notebooks.small_picture(small) == small


def test_a_picture_that_one_sees_through_stays_as_it_is():
    png = png_of(transparent=True)
    assert run_notebooks.small_picture(png) == png


def test_outputs_are_normalised(stored):
    cells = stored.notebook.cells
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4, None, 5, 6, 7]
    assert cells[5].outputs[0].execution_count == 5
    assert cells[5].source == "2 + 2"
    assert cells[5].metadata == {"alt": "kept"}
    assert [cell.id for cell in cells] == [f"cell-{i}" for i in range(8)]
    assert text_of(cells[2]) == "bar 2\nlate\n"
    assert len(cells[2].outputs) == 1
    assert cells[3].outputs == []
    assert "image/png" in cells[6].outputs[0].data
    assert stored_faults(stored.notebook) == []


def test_metadata_is_the_same_on_every_machine(stored):
    metadata = stored.notebook.metadata
    assert metadata.kernelspec.name == "python3"
    assert metadata.language_info == {"name": "python"}
    assert metadata.course.cell_timeout == 9
    assert "widgets" not in metadata


def test_tracebacks_that_are_wanted_name_no_folder_of_the_machine(stored):
    error = stored.notebook.cells[7].outputs[0]
    assert error.ename == "JSONDecodeError"
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    assert re.search(r"File lib/python3\.\d+/json", text)
    assert sys.base_prefix + "/lib" not in text


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["x = 1", "def f():\n    1 / 0\nf()"], ["cell 2 of 2", "  | f()", "ZeroDivisionError: division by zero"]),
        (["import time", "while True:\n    time.sleep(0.1)"], ["cell 2 of 2", "over 2 seconds"]),
        (["import os\nos._exit(1)"], ["cell 1 of 1", "the kernel died"]),
        (["import warnings\nwarnings.warn('old')"], ["cell 1 (import warnings): the cell writes to stderr"]),
    ],
    ids=["error", "hang", "death", "warning"],
)  # fmt: skip
def test_a_failure_is_named_and_leaves_the_file_alone(tmp_path, capsys, sources, expected):
    path = write(tmp_path / "02_b.ipynb", *sources)
    before = path.read_bytes()
    assert run_notebooks.main([str(path), "--timeout", "2"]) == 1
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["02_b.ipynb"]
    printed = capsys.readouterr().out
    assert all(text in printed for text in expected), printed


def test_full_profile_writes_a_copy_and_lets_real_data_through(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "/real")
    source = write(tmp_path / "03_c.ipynb", "import os\nos.environ['COURSE_PROFILE'], os.environ['COURSE_DATA']")
    before = source.read_bytes()
    assert run_notebooks.main([str(source), "--profile", "full", "--out", str(tmp_path / "out" / "full")]) == 0
    copied = read_notebook(tmp_path / "out" / "full" / "03_c.ipynb")
    assert copied.cells[0].outputs[0].data["text/plain"] == "('full', '/real')"
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [["--profile", "full"], ["--out", "."], ["missing.ipynb"]],
    ids=["full in place", "out is the source", "missing"],
)
def test_the_command_line_refuses(tmp_path, monkeypatch, arguments, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "01_a.ipynb", "1")
    with pytest.raises(SystemExit) as exit_:
        run_notebooks.main(["01_a.ipynb", *arguments] if arguments[0].startswith("-") else arguments)
    assert exit_.value.code == 2


def test_a_run_over_nothing_is_no_success(tmp_path, monkeypatch, capsys):
    for module in (run_notebooks, notebook_format):
        monkeypatch.setattr(module, "ROOT", tmp_path)
        with pytest.raises(SystemExit) as exit_:
            module.main([])
        assert exit_.value.code == 2
        assert "no notebooks in" in capsys.readouterr().err


@pytest.mark.parametrize("module", [run_notebooks, notebook_format, make_exercises], ids=lambda module: module.__name__)
def test_help(module, capsys):
    with pytest.raises(SystemExit) as exit_:
        module.main(["--help"])
    assert exit_.value.code == 0
    assert "usage:" in capsys.readouterr().out


def outcome(**output):
    cell = new_code_cell("show()", execution_count=1)
    cell.outputs = [output["error"]] if "error" in output else [new_output("stream", name="stdout", **output)]
    return new_notebook(cells=[cell])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"in {Path.home()}/x", "path of the machine"),
        (f"in {run_notebooks.ROOT}", "path of the machine"),
        ("a.py:3: UserWarning: old", "shows a warning"),
        ("a UserWarning: is worth reading", None),
        ("x" * 1_500_001, "over 1.5 MB"),
    ],
    ids=["home", "repository", "warning", "word", "size"],
)
def test_refusals(text, message):
    notebook = outcome(text=text)
    found = [str(fault) for fault in run_notebooks.refusals(notebook, nbformat.writes(notebook))]
    assert [message in fault for fault in found] == ([True] if message else [])


def test_lessons_and_solutions_keep_their_places_under_out(tmp_path):
    notebooks = run_notebooks.ROOT / "notebooks"
    assert run_notebooks.target_of(notebooks / "01_a.ipynb", tmp_path) == tmp_path / "01_a.ipynb"
    assert run_notebooks.target_of(notebooks / "solutions/01_a.ipynb", tmp_path) == tmp_path / "solutions/01_a.ipynb"


def test_slow_notebooks_are_announced(tmp_path, capsys, monkeypatch):
    for name, seconds in {"03_c": 181, "04_d": 359, "05_e": 361}.items():
        monkeypatch.setattr(run_notebooks, "run", lambda *_, seconds=seconds, **__: seconds)
        run_notebooks.main([str(write(tmp_path / f"{name}.ipynb", "1"))])
    printed = capsys.readouterr().out.splitlines()
    assert ["SLOW" in line for line in printed] == [True, False, True]


def test_a_torn_notebook_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    torn = tmp_path / "01_a.ipynb"
    torn.write_text(json.dumps({"nbformat": 4})[:-1])
    whole = write(tmp_path / "02_b.ipynb", "1")
    assert run_notebooks.main([str(torn), str(whole)]) == 1
    printed = capsys.readouterr().out
    assert "01_a.ipynb is not a readable notebook" in printed
    assert "1 of 2 failed" in printed
