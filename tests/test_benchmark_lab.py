"""benchmarks/lab.py without a browser: what is timed, what counts as clean, what is recorded."""

from contextlib import contextmanager

import lab
import live_lab
import nbformat
import pytest
from notebook_outputs import Fault


@pytest.fixture
def found(monkeypatch):
    """Replace the book of figures; return what was recorded in it."""
    found = {}
    monkeypatch.setattr(lab, "record", lambda name, value, **details: found.update({name: (value, details)}))
    return found


def test_the_first_figure_of_01_is_found():
    path = live_lab.ROOT / lab.FIRST
    cells = nbformat.read(path, 4).cells
    number = lab.first_figure(path)
    assert "plt.show()" in cells[number - 1].source
    assert not any("plt.show()" in cell.source for cell in cells[: number - 1] if cell.cell_type == "code")


def test_a_notebook_without_a_figure_is_an_error(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "a.ipynb")
    with pytest.raises(ValueError, match=r"a\.ipynb has no cell with the tag 'figure'"):
        lab.first_figure(tmp_path / "a.ipynb")


def test_the_median_is_recorded(found, monkeypatch):
    runs, folders = iter([(3, 9, 40.0), (2, 8, 10.0), (4, 7, 12.0)]), []

    def timed(folder):
        folders.append(folder)
        return dict(zip(("server", "kernel", "picture"), next(runs), strict=True))

    monkeypatch.setattr(lab, "seconds_to_first_picture", timed)
    lab.measure_first_picture(3)
    value, details = found["lab.first_picture_s"]
    assert value == 12.0
    assert (details["server"], details["kernel"], details["longest"], details["runs"]) == (3, 8, 40.0, 3)
    assert len(set(folders)) == 3, "each run begins in an empty folder"


class Live:
    """Stands for a notebook in the browser: 01 hangs, 02 has a fault."""

    def __init__(self, lab, page, path, file):
        self.name = file.name[:2]

    def open(self):
        pass

    def run_all(self, seconds):
        if self.name == "01":
            raise live_lab.LabError("01: still running")

    def look(self, pictures):
        return [Fault(3, "shows no figure")] if self.name == "02" else []


class Open:
    """Stands for the server, the browser and its page."""

    def new_page(self, viewport):
        return self

    def close(self):
        pass

    close_kernels = close


@contextmanager
def opened(*_):
    yield Open()


def test_what_hangs_or_has_a_fault_is_not_clean(found, monkeypatch, capsys):
    monkeypatch.setattr(live_lab, "serve", opened)
    monkeypatch.setattr(lab.chromium, "launch", opened)
    monkeypatch.setattr(live_lab, "LiveNotebook", Live)
    lab.measure_clean()
    total = len(list((live_lab.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    value, details = found["lab.notebooks_clean"]
    assert value == total - 2 and details["unit"] == f"of {total}"
    said = capsys.readouterr().out
    assert "01_eda: faults\n  01: still running" in said
    assert "cell 3: shows no figure" in said


def test_without_a_browser_it_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["lab.py"])
    with pytest.raises(SystemExit) as left:
        lab.main()
    assert left.value.code == lab.NO_DATA
    assert "apt-get install chromium" in capsys.readouterr().out
