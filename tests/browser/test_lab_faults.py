"""What would be wrong with a notebook is seen: each fault is made, run in the real browser, and found."""

import live_lab
import pytest

WIDGET = """
from IPython.display import display
display({"application/vnd.jupyter.widget-view+json": {"model_id": "gone", "version_major": 2, "version_minor": 0},
         "text/plain": ""}, raw=True)
"""


def faults(notebook, pictures):
    return [str(fault) for fault in notebook.look(pictures)]


def test_a_notebook_without_fault_has_none(written, pictures):
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n    pass"
    picture = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    raises = ("1 / 0", {"tags": ["raises-exception"]})
    notebook = written("print(1)", bar, (picture, {"tags": ["figure"]}), raises, "", "2 + 2")
    notebook.run_all(60)
    assert faults(notebook, pictures) == []
    assert [cell.prompt for cell in notebook.cells()] == ["[1]:", "[2]:", "[3]:", "[4]:", "[ ]:", "[5]:"]
    assert "3/3" in notebook.cells()[1].text


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (["1 / 0", "2"], "ZeroDivisionError: division by zero"),
        (["1 / 0", "2"], "cell 2 (2): did not run"),
        (["import sys\nprint('careful', file=sys.stderr)"], "a red box: careful"),
        ([("1", {"tags": ["figure"]})], "shows no figure"),
        ([("1", {"tags": ["raises-exception"]})], "should raise one error, and has 0 red boxes"),
        (["from IPython.display import HTML\nHTML('<div style=\"width: 3000px\">x</div>')"], "pixels wider than its"),
        (["from IPython.display import HTML\nHTML('<img src=\"data:image/png;base64,AAAA\">')"], "a picture is broken"),
        (
            ["from IPython.display import Javascript\nJavascript('nothing.there')"],
            "a red box: Javascript Error: nothing is not defined",
        ),
        ([WIDGET], "a widget is not there"),
        (["import os\nos._exit(1)"], "dialog: "),
    ],
    ids=["error", "not-run", "stderr", "no-figure", "no-error", "wide", "picture", "javascript", "widget", "dead"],
)
def test_a_fault_is_found(written, pictures, cells, fault):
    notebook = written(*cells)
    notebook.run_all(60)
    found = faults(notebook, pictures)
    assert any(fault in text for text in found), found


def test_what_takes_too_long_is_said(written):
    notebook = written("import time\ntime.sleep(60)")
    with pytest.raises(live_lab.LabError, match=r"notebooks/written\.ipynb: still running after 3 s"):
        notebook.run_all(3)
