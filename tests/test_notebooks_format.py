"""Every lesson and every solution of the course keeps the template; `tools/notebook_format.py` says what it is."""

import re

import notebook_format
import pytest
from notebook_outputs import ROOT

FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted(FOLDER.glob("solutions/[0-9][0-9]_*.ipynb"))


def names(path):
    return path.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=names)
def test_template(path):
    faults = notebook_format.file_faults(path)
    assert not faults, "\n" + "\n".join(f"{names(path)}, {fault}" for fault in faults)


def test_the_first_lesson_lists_all_lessons_in_their_order():
    table = re.findall(r"\| \[[^]]+\]\(([^)]+)\) \|", LESSONS[0].read_text(encoding="utf-8"))
    assert table == [path.name for path in LESSONS]
    assert len({name[:2] for name in table}) == len(table)


def test_solutions_bear_the_names_of_lessons():
    assert {path.name for path in SOLUTIONS} <= {path.name for path in LESSONS}


def test_no_notebook_lies_outside_of_the_known_folders():
    known = {"notebooks", "notebooks/solutions", "notebooks/exercises"}
    found = {path.parent for path in FOLDER.rglob("[0-9][0-9]_*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert {folder.relative_to(ROOT).as_posix() for folder in found} <= known
