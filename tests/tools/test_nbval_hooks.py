"""The hooks in the root conftest.py, seen from outside: a real pytest with nbval over real small notebooks."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_outputs import ROOT

pytestmark = pytest.mark.kernel
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"


def cell(source, *tags, printed=None, count=1):
    outputs = [] if printed is None else [new_output("stream", name="stdout", text=printed)]
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs, execution_count=count)


def checked(source, printed, count=1):
    return cell(source, "nbval-check-output", printed=printed, count=count)


TIMES = "import time; print(f'{time.time() % 7:.3f} s, 12 it/s, 00:12, /tmp/{time.time()}, {object()}')"
RAISED = [new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["old"])]
NAMES = ["COURSE_PROFILE", "COURSE_DATA", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "MPLBACKEND"]
ENVIRONMENT = f"import os; print(*map(os.environ.get, {NAMES}))"
SHARE = "import os; assert os.environ.get('OMP_NUM_THREADS') == os.environ.get('SHARE')"
SIDE_BY_SIDE = ("--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder")
RAISING = cell("1 / 0", "raises-exception", "nbval-check-output")
RAISING.outputs = [new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["old"])]
PASSING = {
    "same output": checked("print(1)", "1\n"),
    "another output, unchecked": cell("print(2)", printed="3\n"),
    "what varies": checked(TIMES, "1.5 s, 3 it/s, 01:40, /tmp/17, <object object at 0x12>\n"),
    "new words on stderr": checked("import sys; print('new', file=sys.stderr); print(1)", "1\n"),
    "environment": checked(ENVIRONMENT, "quick None 1 PASSIVE module://matplotlib_inline.backend_inline\n"),
    "wanted error": RAISING,
    "share of the cores": cell(SHARE),
}
NOTEBOOKS = {
    "right": [*PASSING.values()],
    "wrong": [checked("print(1)", "2\n"), cell("2", "raises-exception"), cell("3")],
    "hang": [cell("1"), cell("!sleep 60"), cell("2"), cell("3")],
    "uncounted": [checked("print(1)", None, count=None)],
    "note": [cell("# NBVAL_CHECK_OUTPUT: the sum\nprint(1)", printed="2\n")],
    "silent": [checked("x = 1", None)],
}


def write(folder, name, cells):
    metadata = {"course": {"cell_timeout": 2}} if name == "hang" else {}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / f"{name}.ipynb")


def nbval(folder, *arguments, **variables):
    """Run pytest with the root conftest and nbval in a folder outside of the repository."""
    ours = ("COURSE_PROFILE", "OMP_NUM_THREADS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | variables
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
    environment |= {"COURSE_DATA": "/real", "MPLBACKEND": "Agg", "COLUMNS": "200"}
    options = ["-p", "conftest", "-p", "no:cacheprovider", "-rA", "--color=no", "--continue-on-collection-errors"]
    options += ["--nbval-lax", "--nbval-current-env", "--nbval-sanitize-with", str(SANITIZE)]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(folder), *options, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    found = re.findall(
        r"^(PASSED|FAILED|SKIPPED|ERROR|XPASS|XFAIL) (?:\[\d+\] )?(\w+)\.ipynb(?:::Cell (\d+))?", done.stdout, re.M
    )
    return {(name, cell): verdict for verdict, name, cell in found}, done


@pytest.fixture(scope="module", params=["one after the other", "side by side"])
def outcomes(request, tmp_path_factory):
    """All notebooks in one run of pytest."""
    folder = tmp_path_factory.mktemp("nbval")
    for name, cells in NOTEBOOKS.items():
        write(folder, name, cells)
    if request.param == "one after the other":
        return nbval(folder)
    return nbval(folder, *SIDE_BY_SIDE, SHARE=str(max(1, len(os.sched_getaffinity(0)) // 2)))


@pytest.mark.parametrize(("number", "what"), list(enumerate(PASSING)), ids=list(PASSING))
def test_passes(outcomes, number, what):
    verdicts, done = outcomes
    assert verdicts["right", str(number)] == "PASSED", f"{what}: {done.stdout}"


def test_checked_cell_with_another_output_fails(outcomes):
    assert outcomes[0]["wrong", "0"] == "FAILED"
    assert "Cell outputs differ" in outcomes[1].stdout


def test_cell_that_should_raise_and_does_not_fails(outcomes):
    assert outcomes[0]["wrong", "1"] == "FAILED"
    assert "Cell 1 is tagged raises-exception, and raised nothing:\n2" in outcomes[1].stdout


def test_cells_after_a_failed_one_are_judged_for_themselves(outcomes):
    assert outcomes[0]["wrong", "2"] == "PASSED"


def test_command_that_hangs_fails_and_ends_its_notebook(outcomes):
    verdicts, done = outcomes
    assert (verdicts["hang", "0"], verdicts["hang", "1"]) == ("PASSED", "FAILED"), done.stdout
    assert "Cell 1 ran past 2 s:\n!sleep 60" in done.stdout
    assert not {("hang", "2"), ("hang", "3")} & set(verdicts)
    assert "an earlier cell of this notebook hung" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uncounted", "uncounted.ipynb, cell 1 (print(1)): the checked cell was never run"),
        ("note", "note.ipynb, cell 1 (# NBVAL_CHECK_OUTPUT: the sum): nbval ignores a comment with a note"),
        ("silent", "silent.ipynb, cell 1 (x = 1): the checked cell has no output that nbval compares"),
    ],
)
def test_checks_that_check_nothing_fail_at_collection(outcomes, name, message):
    verdicts, done = outcomes
    assert [verdict for (notebook, _), verdict in verdicts.items() if notebook == name] == ["ERROR"], done.stdout
    assert message in done.stdout


def test_exit_code_tells(outcomes):
    assert outcomes[1].returncode == 1


def test_limit_on_the_command_line_wins(tmp_path):
    write(tmp_path, "loop", [cell("while True: pass")])
    verdicts, done = nbval(tmp_path, "--nbval-cell-timeout", "1")
    assert verdicts["loop", "0"] == "FAILED"
    assert "Timeout of 1 seconds" in done.stdout


def test_no_replacement_in_the_sanitizing_file_is_dropped():
    text = SANITIZE.read_text(encoding="utf-8")
    pairs = re.findall(r"^regex: (.*)$\n^replace: (.*)$", text, flags=re.MULTILINE)
    assert len(pairs) == text.count("\nregex:") > 5
    assert all(re.compile(pattern) and replacement.strip() for pattern, replacement in pairs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shape (8000, 6), mean 0.0961, 5 rows", "shape (8000, 6), mean 0.0961, 5 rows"),
        ("ids [101, 2023, 102], x[0:12], 1:3", "ids [101, 2023, 102], x[0:12], 1:3"),
        ("took 1.53 s (3,900 rows/s)", "took TIME (RATE)"),
        ("2026-11-20T12:31:26.5Z 100%|███| 3/3 [00:01<00:00, 2.9it/s]", "DATE PROGRESS 3/3 [CLOCK<CLOCK, RATE]"),
    ],
)
def test_sanitizing_hides_what_varies_and_nothing_else(text, expected):
    for pattern, replacement in re.findall(r"^regex: (.*)$\n^replace: (.*)$", SANITIZE.read_text("utf-8"), flags=re.M):
        text = re.sub(pattern, replacement, text)
    assert text == expected


@pytest.fixture
def hooks(request):
    """The root conftest.py as pytest has loaded it."""
    return request.config.pluginmanager.get_plugin(str(ROOT / "conftest.py"))


@pytest.mark.parametrize(
    ("cores", "gigabytes", "processes"), [(2, 20, 2), (2, 5, 1), (1, 64, 1), (64, 500, 4), (2, 1, 1)]
)
def test_processes_are_as_many_as_cores_and_memory_allow(cores, gigabytes, processes, hooks, monkeypatch):
    monkeypatch.setattr(hooks, "CORES", cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))
    assert hooks.pytest_xdist_auto_num_workers() == processes


def test_side_by_side_the_longest_files_begin(hooks):
    short, long = ROOT / "notebooks" / "solutions" / Path(hooks.LONGEST[0]).name, ROOT / hooks.LONGEST[0]
    names = [short, ROOT / hooks.LONGEST[-1], short, long, long]
    items = [SimpleNamespace(path=name) for name in names]
    hooks.pytest_collection_modifyitems(SimpleNamespace(), items)
    assert [item.path for item in items] == names
    hooks.pytest_collection_modifyitems(SimpleNamespace(workerinput={}), items)
    assert [item.path for item in items] == [long, long, names[1], short, short]


def test_every_file_that_is_said_to_be_long_is_there(hooks):
    assert len(set(hooks.LONGEST)) == len(hooks.LONGEST) > 1
    assert [name for name in hooks.LONGEST if not (ROOT / name).is_file()] == []
