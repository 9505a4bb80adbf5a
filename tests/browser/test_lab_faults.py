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


HTML = "from IPython.display import HTML\nHTML('<{}>')"
FAULTS = (
    ("import sys\nprint('careful', file=sys.stderr)", [], "a red box: careful"),
    ("1", ["figure"], "shows no figure"),
    ("2", ["raises-exception"], "should raise one error, and has 0 red boxes"),
    (HTML.format('div style="width: 3000px">x</div'), [], "pixels wider than its place"),
    (HTML.format('img src="data:image/png;base64,AAAA"'), [], "a picture is broken"),
    ("from IPython.display import Javascript\nJavascript('no.where')", [], "a red box: Javascript Error: no is not"),
    (WIDGET, [], "a widget is not there"),
    ("for n in range(60):\n    display(n)", [], "outputs stay hidden until a button is pressed"),
)


def test_each_fault_is_found_in_its_cell(written, pictures):
    notebook = written("0", *((source, {"tags": tags}) for source, tags, _ in FAULTS))
    notebook.run_all(60)
    found = notebook.look(pictures)
    assert [fault.cell for fault in found if fault.cell] == list(range(2, 2 + len(FAULTS))), "\n".join(map(str, found))
    for number, (_, _, message) in enumerate(FAULTS, start=2):
        assert any(fault.cell == number and message in fault.message for fault in found), message


def test_an_error_stops_what_comes_after_it(written, pictures):
    notebook = written("1 / 0", "2")
    notebook.run_all(60)
    first, second = faults(notebook, pictures)
    assert first.startswith("cell 1 (1 / 0): a red box:") and first.endswith("ZeroDivisionError: division by zero")
    assert second == "cell 2 (2): did not run: its prompt is '[ ]:'"


def test_the_end_of_a_kernel_is_found(written, pictures):
    notebook = written("import os\nos._exit(1)")
    notebook.run_all(60)
    found = faults(notebook, pictures)
    assert any(fault.startswith("dialog: Kernel Restarting") for fault in found), found


def test_what_takes_too_long_is_said(written):
    notebook = written("import time\ntime.sleep(60)")
    with pytest.raises(live_lab.LabError, match=r"notebooks/written\.ipynb: still running after 3 s"):
        notebook.run_all(3)
