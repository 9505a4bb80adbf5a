"""Every numbered notebook in JupyterLab and a real browser: opened, run from the menu, looked at from top to bottom."""

import live_lab
import pytest
from moving import choose_labels, move_thresholds

NOTEBOOKS = sorted(path.stem for path in (live_lab.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SECONDS = 600
MOVES = {"thresholds": move_thresholds, "together": choose_labels}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(name, opened, pictures):
    notebook = opened(f"notebooks/{name}.ipynb")
    stored = notebook.faults_of_widgets()
    assert not stored, "as it is stored, before anything runs"
    notebook.run_all(SECONDS)
    faults = notebook.look(pictures)
    assert not faults, "\n".join(map(str, faults))
    for explorer, move in MOVES.items():
        if notebook.page.locator(f".explore-{explorer}").count():
            move(notebook, "threat")
            notebook.page.screenshot(path=pictures / f"moved-{explorer}.png")


def test_what_the_browser_saves_reaches_no_committed_file(opened):
    committed = live_lab.ROOT / "notebooks" / "00_start_here.ipynb"
    before = committed.read_bytes()
    notebook = opened("notebooks/00_start_here.ipynb")
    stored = notebook.file.read_bytes()
    notebook.choose("Edit", "Clear Outputs of All Cells")
    notebook.page.keyboard.press("ControlOrMeta+s")
    notebook.until(lambda: notebook.file.read_bytes() != stored, 20, "nothing saved")
    assert committed.read_bytes() == before
