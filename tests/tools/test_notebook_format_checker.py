"""The checker of notebooks is itself tested: one good lesson, and one fault at a time."""

import copy
import json

import nbformat
import notebook_format
import notebook_outputs
import pytest
import stamp_links
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

NAME, NEXT = "02_counts.ipynb", "03_heads.ipynb"


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def display(**forms):
    return new_output("display_data", {form.replace("_", "/"): value for form, value in forms.items()})


def code(source, *tags, outputs=(), **metadata):
    return new_code_cell(source, metadata={"tags": list(tags), **metadata}, outputs=list(outputs))


TITLE = (
    "# 02 Counts\n\n**Time:** 20 minutes to read · **Prerequisites:** [01](01_eda.ipynb)\n\n"
    "**Content note.** The comments are rude."
)
ADDRESS = stamp_links.Address("ada/counts")
GOALS = "## You will learn\n\n- one\n- two\n- three"
TRAP = "### A trap: `accuracy=0.96`\n\nPython 3.11, 1.2.3 and [a link](https://a.org/0.7) are no results."
ERROR = new_output("error", ename="E", evalue="e", traceback=["e"])
FIGURE = display(image_png="aGk=", text_plain="<Figure>")
PICTURE = {"alt": "Bars: threats are rare."}
EXERCISES = f"## Exercises\n\nGo on in [the exercises](exercises/{NAME})."
TAKEAWAYS = f"## Takeaways\n\n* one\n* two\n* three\n\n### Limits\n\n- none\n\nNext: [heads]({NEXT})"


def good():
    """A lesson without a fault."""
    cells = [
        new_markdown_cell(TITLE),
        new_markdown_cell(GOALS),
        code(stamp_links.guard(None), "guard"),
        code("import helpers", "setup"),
        code("comments[['comment_text']].head()", "nbval-check-output", outputs=[stream("5 rows\n")]),
        new_markdown_cell(TRAP),
        code("model(1)", "trap", "raises-exception", outputs=[ERROR]),
        code("ax.bar(x, y)\nplt.show()", "figure", outputs=[FIGURE], **PICTURE),
        code("assert True, 'why'", "check"),
        new_markdown_cell(EXERCISES),
        new_markdown_cell(TAKEAWAYS),
    ]
    return recount(new_notebook(cells=copy.deepcopy(cells)))


def recount(notebook):
    for count, (_, cell) in enumerate(notebook_outputs.run_cells(notebook), start=1):
        cell.execution_count = count
    notebook.metadata["course"] = {"code_digest": notebook_outputs.code_digest(notebook)}
    return notebook


def faults(notebook, size=1000, private=("/srv/course",), address=None):
    found = notebook_format.lesson_faults(notebook, NAME, size=size, next_name=NEXT, private=private, address=address)
    return [str(fault) for fault in found]


def test_a_good_lesson_has_no_fault():
    assert faults(good()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 02 Counts", "# Counts", "cell 1 (# Counts): the title does not begin with '# 02 ...'"),
        ("**Time:**", "Time", "no '**Time:** ...'"),
        ("**Prerequisites:**", "Before:", "no '**Prerequisites:** ...'"),
        ("## You will learn", "## Goals", "no Markdown heading 'You will learn'"),
        ("* one\n* two", "* one and two", "2 takeaways do not mirror 3"),
        ("## Takeaways", "## End", "no Markdown heading 'Takeaways'"),
        ("A trap", "A pitfall", "no heading with the word 'Trap'"),
        ("## Exercises", "## Homework", "no heading 'Exercises'"),
        (f"exercises/{NAME}", "exercises/01_eda.ipynb", "does not link to exercises/02_counts.ipynb"),
        (f"[heads]({NEXT})", "heads", "do not link to the next notebook, 03_heads.ipynb"),
        ("**Content note.**", "Note.", "cell 5: comments are shown without a 'Content note'"),
        ("are rude", "score 0.97", "typed numbers (0.97)"),
        ("are rude", "are 96 % rude", "typed numbers (96 %)"),
        ("are rude", "are 96% rude", "typed numbers (96%)"),
        ("are rude", "score `0.9612`", "typed numbers (0.9612)"),
        ("are rude", "score (-0.37)", "typed numbers (0.37)"),
    ],
)
def test_prose_faults(old, new, message):
    notebook = good()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(old, new)
    found = faults(notebook)
    assert [message in fault for fault in found] == [True]


def test_too_few_goals():
    notebook = good()
    notebook.cells[1].source = "**You will learn**\n\n- one\n\n```\n- code\n```"
    assert len(faults(notebook)) == 2
    assert "has 1 bullets, not 3 to 5" in faults(notebook)[0]
    assert "3 takeaways do not mirror 1" in faults(notebook)[1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n" * 21, "21 lines of code, over 20"),
        ("!pip install torch", "unguarded install"),
        ("%pip install torch", "unguarded install"),
        ("if IN_COLAB:\n    !pip install torch", None),
        ("# NBVAL_CHECK_OUTPUT: the shapes\nx", "nbval ignores a comment with a note"),
        ("# NBVAL_CHECK_OUTPUT\nx", "no output that nbval compares"),
    ],
)
def test_source_faults(source, message):
    notebook = good()
    notebook.cells.insert(-2, code(source))
    notebook.cells.insert(-2, new_markdown_cell("Why."))
    found = faults(recount(notebook))
    assert [message in fault for fault in found] == ([True] if message else [])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (stream("warning", "stderr"), "the cell writes to stderr"),
        (ERROR, "the cell ends in an error"),
        (stream("in /home/ada/course\n"), "path of the machine"),
        (stream("in /tmp/x\n"), "path of the machine"),
        (stream("file:///root/x\n"), "path of the machine"),
        (stream(r"in C:\Users\ada"), "path of the machine"),
        (stream("in /srv/course/data.csv"), "path of the machine"),
        (display(text_html="<td>/srv/course</td>"), "path of the machine"),
        (stream("see https://a.org/home/x, /srv/courses and 3/tmp/4"), None),
        (stream("<Axes at 0x7f3fb2c4d5e0>"), "memory address"),
        (display(text_html="<td><SCRIPT>alert()</td>"), "script in its HTML"),
        (display(text_html="<td>&lt;script&gt;</td>"), None),
        (display(text_plain="moves", **{notebook_outputs.WIDGET: {"model_id": "1"}}), "stores a widget"),
    ],
)
def test_output_faults(output, message):
    notebook = good()
    notebook.cells[8].outputs = [output]
    found = faults(notebook)
    assert [message in fault for fault in found] == ([True] if message else [])
    assert all(fault.startswith("cell 9 (assert True, 'why')") for fault in found)


def test_counts_and_stale_code():
    notebook = good()
    notebook.cells[4].execution_count = 7
    assert "execution count 7, not 3" in faults(notebook)[0]
    notebook = good()
    notebook.cells[3].source = "import helpers, torch"
    assert faults(notebook) == ["the stored outputs are not of this code: run tools/run_notebooks.py"]
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count, cell.metadata.tags = [], None, []
    assert any("no outputs are stored" in fault for fault in faults(notebook))


@pytest.mark.parametrize(
    ("index", "tags", "message"),
    [
        (3, [], "no cell with the tag 'setup' comes after the guard"),
        (8, [], "no code cell has the tag 'check'"),
        (6, [], "ends in an error"),
        (7, [], "lacks the tag 'figure'"),
        (4, ["nbval_check_output"], "unknown tag nbval_check_output"),
        (4, ["figure"], "cell without a picture"),
        (4, ["raises-exception"], "raises nothing"),
        (7, ["figure", "nbval-check-output"], None),
        (3, ["setup", "nbval-check-output"], "no output that nbval compares"),
    ],
)
def test_tag_faults(index, tags, message):
    notebook = good()
    notebook.cells[index].metadata.tags = tags
    found = faults(notebook)
    assert [message in fault for fault in found] == ([True] if message else [])


def test_the_guard_is_the_templates_and_its_address_needs_no_run():
    notebook = good()
    assert faults(notebook, address=ADDRESS) == [
        "cell 3 (import importlib.util): the guard differs from its template: python tools/stamp_links.py"
    ]
    notebook.cells[2].source = stamp_links.guard(ADDRESS)
    assert faults(notebook, address=ADDRESS) == []
    notebook.cells[2].outputs = [stream("Cloning\n")]
    assert ["the guard has outputs" in fault for fault in faults(notebook, address=ADDRESS)] == [True]


@pytest.mark.parametrize("change", [lambda cells: cells.pop(2), lambda cells: cells.insert(5, cells[2].copy())])
def test_one_guard_comes_first(change):
    notebook = good()
    change(notebook.cells)
    assert any("the tag 'guard' is not on the first code cell, and on no other" in fault for fault in faults(notebook))


def test_nbval_never_run_and_semicolon():
    notebook = good()
    cell = notebook.cells[4]
    cell.source += ";"
    assert any("must not end with ';'" in str(fault) for fault in notebook_outputs.nbval_faults(notebook))
    cell.source, cell.execution_count = "x", None
    found = notebook_outputs.nbval_faults(notebook)
    assert [fault.cell for fault in found] == [5]
    assert "never run" in found[0].message


def test_figures_need_an_alternative_text_and_show():
    notebook = good()
    del notebook.cells[7].metadata["alt"]
    notebook.cells[7].source = "ax.bar(x, y)"
    found = faults(recount(notebook))
    assert len(found) == 2
    assert "'alt'" in found[0] and "plt.show()" in found[1]
    explorer = good()
    explorer.cells[7].source = "explorer.show()"
    assert faults(recount(explorer)) == []


def test_size_share_and_median():
    assert "over 1.5 MB" in faults(good(), size=1_500_001)[0]
    notebook = good()
    notebook.metadata["widgets"] = {}
    assert faults(notebook) == ["the notebook stores the state of widgets"]
    notebook = good()
    notebook.cells[5:5] = [new_markdown_cell("More.") for _ in range(7)]
    assert "are Markdown, not 35% to 65%" in faults(notebook)[0]
    notebook = good()
    for cell in notebook.cells[3:9]:
        if cell.cell_type == "code":
            cell.source = "x = 1\n" * 9 + cell.source
    assert "the median code cell has 10 lines" in faults(recount(notebook))[0]


@pytest.mark.parametrize(
    ("allowed", "source", "message"),
    [
        (True, "The winner had 0.9886 ([board](https://a.org)).", None),
        (True, "The winner had 0.9886.", "no link says where"),
        ("a definition", "The golden ratio is 1.618.", None),
    ],
)
def test_prose_numbers_may_be_allowed(allowed, source, message):
    notebook = good()
    notebook.cells[5].source = f"### Trap\n\n{source}"
    notebook.cells[5].metadata["prose_numbers"] = allowed
    found = faults(notebook)
    assert [message in fault for fault in found] == ([True] if message else [])


@pytest.mark.parametrize(
    ("code", "prose", "result"),
    [
        ("x = 1", "a threshold of 0.5, and a 95 % confidence interval", None),
        ("lr, share = 0.02, 0.15", "a learning rate of 0.02, and 15 % of the rows", None),
        ("rows = 1_500.5", "1500.5 rows", None),
        ("x = 15", "15 % of the comments", "15 %"),
        ("x = 0.9612", "96.12 % or 96.2 %", "96.2 %"),
        ("x = 'v0.97'", "an AUC of 0.97", "0.97"),
    ],
)
def test_a_setting_may_be_typed_and_a_result_may_not(code, prose, result):
    notebook = good()
    notebook.cells[3].source = code
    notebook.cells[5].source = f"### Trap\n\nIt is {prose}."
    found = notebook_format.prose_number_faults(notebook)
    assert [f"typed numbers ({result})" in str(fault) for fault in found] == ([True] if result else [])


def test_notebook_00_needs_no_trap_and_no_exercises():
    notebook = good()
    notebook.cells[0].source = TITLE.replace("02", "00")
    del notebook.cells[9], notebook.cells[5]
    notebook.cells.insert(4, new_markdown_cell("Plain."))
    assert notebook_format.lesson_faults(notebook, "00_start.ipynb", size=0, next_name=NEXT) == []


def test_links():
    notebook = good()
    found = notebook_format.link_faults(notebook, lambda target: target != NEXT)
    assert [str(fault) for fault in found] == [f"cell 11 (## Takeaways): the link {NEXT} leads nowhere"]


def test_ids_given_on_reading_do_not_change(tmp_path):
    raw = json.loads(nbformat.writes(good()))
    for cell in raw["cells"]:
        del cell["id"]
    raw["nbformat_minor"] = 2
    path = tmp_path / NAME
    path.write_text(json.dumps(raw))
    first, second = notebook_outputs.read_notebook(path), notebook_outputs.read_notebook(path)
    assert [cell.id for cell in first.cells] == [cell.id for cell in second.cells]
    assert len({cell.id for cell in first.cells}) == len(first.cells)
    twice = copy.deepcopy(good())
    twice.cells[1].id = twice.cells[0].id
    assert "is used twice" in faults(twice)[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nbformat": 3}'])
def test_what_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "torn.ipynb"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"torn\.ipynb is not a readable notebook"):
        notebook_outputs.read_notebook(path)


def test_command_line_prints_faults(tmp_path, capsys):
    notebook = good()
    notebook.cells[0].source = TITLE.replace("**Time:**", "")
    path = tmp_path / NAME
    nbformat.write(notebook, path)
    assert notebook_format.main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"{path}: cell 1 (# 02 Counts): the first cell has no '**Time:** ...'" in printed
    assert f"the link {NEXT} leads nowhere" in printed
