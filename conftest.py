"""Settings of every test run, and what nbval needs to catch: cells that hang, checks that check nothing."""

import os
from typing import Any

import pytest

os.environ.setdefault("COURSE_PROFILE", "quick")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

CELL_SECONDS = 180.0
NBVAL_DEFAULT_SECONDS = 2000
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
