"""The exercises, in a real browser: a wrong answer is told what is wrong, the right one gets a tick."""

import pytest
from make_exercises import BEGIN, END, read_notebook
from notebook_outputs import ROOT, tags

NAME = "01_eda.ipynb"
MARKERS = (BEGIN, END, "# STUB: ")
UNTOUCHED = ("compute the two scores", "give a and b a value first", "give limit a value first", "give parts a value")
WRONG = (
    ("def always_yes(targets):\n    return 1.0, np.mean(targets)", "accuracy comes first"),
    ('a, b = "toxic", "severe_toxic"', "the other way round: toxic does not imply severe_toxic"),
    ("limit = 100", "100 is not a multiple of 32"),
    ("parts = datasets.split(comments, valid=0.1, test=0.2)", "stand in two parts: keep them together"),
)


@pytest.fixture(scope="module")
def answers():
    """The right answers as a reader types them, by the id of their cell."""
    cells = read_notebook(ROOT / "notebooks" / "solutions" / NAME).cells
    return {
        cell.id: "\n".join(line for line in cell.source.splitlines() if not line.strip().startswith(MARKERS))
        for cell in cells
        if "solution" in tags(cell) and cell.cell_type == "code"
    }


def said(cell):
    """What stands last in a cell's red boxes: the message, without the traceback, whose lines show the source."""
    return "".join(text.splitlines()[-1] for text in cell.red)


def test_exercises(opened, pictures, answers):
    notebook = opened(f"notebooks/exercises/{NAME}")
    pictures.mkdir(parents=True, exist_ok=True)
    tasks = zip(UNTOUCHED, WRONG, strict=True)
    place = 0
    for number, cell in enumerate(read_notebook(notebook.file).cells, start=1):
        if cell.cell_type != "code":
            continue
        if "check" not in tags(cell):
            shown = notebook.run_cell(number)
            assert not shown.red, shown.red
            place, answer = number, answers.get(cell.id)
            continue
        untouched, (wrong, message) = next(tasks)
        assert untouched in said(notebook.run_cell(number))
        assert not said(notebook.run_cell(place, wrong))
        shown = notebook.run_cell(number)
        assert message in said(shown)
        notebook.picture(number, pictures / f"{number:02}-wrong.png")
        assert not said(notebook.run_cell(place, answer))
        shown = notebook.run_cell(number)
        assert shown.text.startswith("✓") and not shown.red
        notebook.picture(number, pictures / f"{number:02}-right.png")
    assert next(tasks, None) is None
    assert not notebook.console
