"""Settings of every test run, side by side too, and what nbval needs to catch: hanging cells, checks of nothing."""

import os
from typing import Any

import psutil
import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_PROCESSES, GB_OF_A_PROCESS = (
    4,
    4,
)  # more would wait for each other's longest file; torch twice, its own and a kernel's

os.environ.setdefault("COURSE_PROFILE", "quick")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # before torch is imported: it reads it once
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // workers)))

CELL_SECONDS = 180.0
NBVAL_DEFAULT_SECONDS = 2000
LONGEST = (
    "tests/test_real_data.py",
    "tests/test_distributed.py",
    "tests/test_export.py",
    "tests/tools/test_make_exercises.py",
    "tests/test_wheel.py",
    "tests/test_export_files.py",
    "tests/test_colab.py",
    "tests/test_doctests.py",
    "tests/test_readme.py",
    "notebooks/06_binary_sentiment.ipynb",
    "notebooks/04_bert_finetuning.ipynb",
    "notebooks/05_lightning_tagging.ipynb",
    "notebooks/07_honest_evaluation.ipynb",
    "notebooks/08_compress_and_serve.ipynb",
    "notebooks/10_your_own_data.ipynb",
    "notebooks/02_countvectorizer_mlp.ipynb",
    "notebooks/09_scale_out.ipynb",
    "notebooks/03_multi_head.ipynb",
    "notebooks/solutions/08_compress_and_serve.ipynb",
)
TIMEOUT_OPTION = pytest.StashKey[float]()


def pytest_configure(config):
    """Register the markers; under nbval, keep real data and other drawing backends out of the kernels."""
    config.addinivalue_line("markers", "kernel: starts Jupyter kernels, so it takes seconds")
    config.stash[TIMEOUT_OPTION] = getattr(config.option, "nbval_cell_timeout", NBVAL_DEFAULT_SECONDS)
    if _nbval(config):
        os.environ.pop("MPLBACKEND", None)
        if os.environ["COURSE_PROFILE"] == "quick":
            os.environ.pop("COURSE_DATA", None)


def _nbval(config: Any) -> bool:
    return getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False)


def _is_notebook(collector: Any) -> bool:
    return type(collector).__name__ == "IPyNbFile"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Say what `-n auto` means: a process a core where there is the memory, but not many."""
    return max(1, min(CORES, MOST_PROCESSES, int(psutil.virtual_memory().available / 1e9 / GB_OF_A_PROCESS)))


def pytest_collection_modifyitems(config, items):
    """Side by side, begin with the files that take longest: else one process ends alone with one of them."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.path.as_posix()))


def _place(path: str) -> int:
    return next((place for place, name in enumerate(LONGEST) if path.endswith(f"/{name}")), len(LONGEST))


def pytest_collectstart(collector):
    """Leave stderr out of the comparison: the notebook's format forbids it, and its paths differ between machines."""
    if _is_notebook(collector):
        collector.skip_compare += ("stderr",)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Fail the collection of a notebook with a check that nbval would silently pass."""
    report = yield
    if _is_notebook(collector) and report.passed:
        from notebook_outputs import nbval_faults

        if faults := nbval_faults(collector.nb):
            report.outcome, report.result = "failed", []
            report.longrepr = "\n".join(f"{collector.path.name}, {fault}" for fault in faults)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Set the cell's time limit; skip what follows a cell that hung (that one has failed)."""
    if not _is_notebook(item.parent):
        return
    if item.parent.timed_out:
        pytest.skip("an earlier cell of this notebook hung")
    item.config.option.nbval_cell_timeout = _limit(item)


def _limit(item: Any) -> float:
    """Seconds for each cell: the command line, else the notebook's metadata `course.cell_timeout`, else the default."""
    given = item.config.stash[TIMEOUT_OPTION]
    if given != NBVAL_DEFAULT_SECONDS:
        return given
    return float(item.parent.nb.metadata.get("course", {}).get("cell_timeout", CELL_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a cell that hung though nbval passed it, and one that was to raise and did not."""
    report = yield
    if not _is_notebook(item.parent) or call.when != "call" or report.outcome != "passed":
        return report
    outputs = item.test_outputs or []
    if item.parent.timed_out:
        report.outcome = "failed"
        report.longrepr = f"{item.name} ran past {item.config.option.nbval_cell_timeout:g} s:\n{item.cell.source}"
    elif item.options["check_exception"] and not any(output.output_type == "error" for output in outputs):
        report.outcome = "failed"
        report.longrepr = f"{item.name} is tagged raises-exception, and raised nothing:\n{item.cell.source}"
    return report
