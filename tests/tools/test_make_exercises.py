"""Exercises are made from solutions: by tags, the same bytes every time, without the answers."""

import json
import re

import make_exercises
import nbformat
import pytest
from make_exercises import ExerciseError, exercise_cell, make_exercise, stub_code
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_outputs import ROOT, read_notebook, tags

NAME = "01_eda.ipynb"
FUNCTION = '''def macro(scores):
    """Mean of the scores."""
    # BEGIN SOLUTION
    total = sum(scores)
    return total / len(scores)
    # END SOLUTION'''
ANSWER = """# How many labels?
# BEGIN SOLUTION
# STUB: answer = ...  # an integer
answer = 2 * 3
# END SOLUTION"""


def code(source, *names, **metadata):
    outputs = [new_output("stream", name="stdout", text="6\n")]
    return new_code_cell(source, metadata={"tags": list(names), **metadata}, outputs=outputs, execution_count=3)


def markdown(source, *names):
    return new_markdown_cell(source, metadata={"tags": list(names)})


def solution():
    """A solved notebook with two questions."""
    cells = [
        markdown("# 01 Exercises: counts"),
        markdown("Six is two times three.", "solution"),
        code(ANSWER, "solution", "nbval-check-output"),
        markdown("Multiply.", "hint"),
        code("assert answer is not ..., 'Give answer a value first'\nassert answer == 6, 'Count again'", "check"),
        code(FUNCTION, "solution"),
        code("assert macro([1, 2]) is not None, 'macro returns nothing yet'\nassert macro([1, 2]) == 1.5", "check"),
        code("draw = 1\nprint(draw)", "solution", "figure", alt="Bars."),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return new_notebook(cells=cells, metadata={"course": {"code_digest": "0"}, "language_info": {"name": "python"}})


@pytest.fixture
def folders(tmp_path):
    """Folders with one solution and its exercise."""
    (tmp_path / "solutions").mkdir()
    nbformat.write(solution(), tmp_path / "solutions" / NAME)
    arguments = ["--solutions", str(tmp_path / "solutions"), "--exercises", str(tmp_path / "exercises")]
    assert make_exercises.main(arguments) == 0
    return tmp_path / "solutions" / NAME, tmp_path / "exercises" / NAME, arguments


def test_stubs():
    assert stub_code(FUNCTION) == FUNCTION.split("    # BEGIN")[0] + "    ...  # your code here"
    assert stub_code(ANSWER) == "# How many labels?\nanswer = ...  # an integer"
    assert stub_code("x = 1\nx + 1") == "# Your code here"
    two = "# BEGIN SOLUTION\na = 1\n# END SOLUTION\nb = a\nif b:\n\t# BEGIN SOLUTION\n\tc = 1\n\t# END SOLUTION"
    assert stub_code(two) == "...  # your code here\nb = a\nif b:\n\t...  # your code here"


@pytest.mark.parametrize(
    "source",
    [
        "# BEGIN SOLUTION\nx = 1",
        "x = 1\n# END SOLUTION",
        "# BEGIN SOLUTION\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION",
        "# Begin solution\nx = 1\n# END SOLUTION",
        "#BEGIN SOLUTION\nx = 1\n#END SOLUTION",
        "# BEGIN SOLUTION\nx = 1\n# END SOLUTION of 1",
        "x = 1  # BEGIN SOLUTION",
        "# STUB: x = ...\nx = 1",
        "# BEGIN SOLUTION\n# Stub: x = ...\nx = 1\n# END SOLUTION",
    ],
)
def test_a_misspelt_marker_never_leaks_an_answer(source):
    with pytest.raises(ExerciseError):
        stub_code(source)


def test_the_exercise_of_a_solution():
    exercise = make_exercise(solution(), NAME)
    assert [cell.id for cell in exercise.cells] == ["generated-banner", *(f"cell-{n}" for n in (0, 2, 3, 4, 5, 6, 7))]
    banner, _, answer, hint, check, function, _, drawing = exercise.cells
    assert f"](../solutions/{NAME})" in banner.source
    assert "python tools/make_exercises.py" in banner.source
    assert answer.metadata == {"tags": ["exercise"]}
    assert hint.source == "<details>\n<summary>Hint</summary>\n\nMultiply.\n\n</details>"
    assert check.source == solution().cells[4].source
    assert tags(check) == {"check"}
    assert "total" not in function.source
    assert (drawing.source, drawing.metadata) == ("# Your code here", {"tags": ["exercise", "figure"]})
    code_cells = [cell for cell in exercise.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells)
    assert set(exercise.metadata.course) == {"generated_from", "digest"}
    nbformat.validate(exercise)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (code("x = 1", "hint"), "a hint must be Markdown"),
        (code("x = 1", "solution", "check"), "at once"),
        (code("# BEGIN SOLUTION\nx = 1\n# END SOLUTION"), "without the tag 'solution'"),
    ],
)
def test_cells_that_cannot_be_exercises(cell, message):
    with pytest.raises(ExerciseError, match=message):
        exercise_cell(cell)
    notebook = solution()
    notebook.cells.append(cell)
    with pytest.raises(ExerciseError, match=f"cell 9: .*{message}"):
        make_exercise(notebook, NAME)


@pytest.mark.parametrize("tag", ["solution", "check"])
def test_an_exercise_has_something_to_do_and_something_to_check(tag):
    notebook = solution()
    notebook.cells = [cell for cell in notebook.cells if tag not in tags(cell)]
    with pytest.raises(ExerciseError, match=f"no code cell has the tag '{tag}'"):
        make_exercise(notebook, NAME)


def test_a_folded_hint_is_left_as_it_is():
    hint = markdown("<details><summary>Look</summary>\n\nx\n\n</details>", "hint")
    assert exercise_cell(hint).source == hint.source


def test_the_same_bytes_every_time_whatever_the_outputs(folders):
    path, exercise, arguments = folders
    before = exercise.read_bytes()
    notebook = read_notebook(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], 9
    nbformat.write(notebook, path)
    exercise.unlink()
    assert make_exercises.main(arguments) == 0
    assert exercise.read_bytes() == before


def test_check_names_what_is_out_of_step(folders, capsys):
    path, exercise, arguments = folders
    assert make_exercises.main([*arguments, "--check"]) == 0
    (exercise.parent / "09_orphan.ipynb").write_bytes(
        b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    (exercise.parent / "01_eda_mine.ipynb").write_bytes(exercise.read_bytes())
    nbformat.write(solution(), path.with_name("02_new.ipynb"))
    notebook = solution()
    notebook.cells[0].source += " and more"
    nbformat.write(notebook, path)
    before = exercise.read_bytes()
    capsys.readouterr()
    assert make_exercises.main([*arguments, "--check"]) == 1
    found = re.findall(
        r"(\w+)\.ipynb: (\w+); fix it by: python tools/make_exercises\.py$", capsys.readouterr().out, re.M
    )
    assert found == [("01_eda", "different"), ("02_new", "missing"), ("09_orphan", "orphaned")]
    assert exercise.read_bytes() == before
    assert make_exercises.main(arguments) == 1
    assert "09_orphan.ipynb: no solution of that name" in capsys.readouterr().out
    assert exercise.read_bytes() != before
    (exercise.parent / "09_orphan.ipynb").unlink()
    assert make_exercises.main([*arguments, "--check"]) == 0


def test_a_learners_answers_are_not_written_over(folders, capsys):
    _, exercise, arguments = folders
    generated = exercise.read_bytes()
    notebook = read_notebook(exercise)
    notebook.cells[2].source = "answer = 6"
    nbformat.write(notebook, exercise)
    worked = exercise.read_bytes()
    assert make_exercises.main(arguments) == 1
    assert "you changed it" in capsys.readouterr().out
    assert exercise.read_bytes() == worked
    assert make_exercises.main([*arguments, "--force"]) == 0
    assert exercise.read_bytes() == generated


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SystemExit) as exit_:
        make_exercises.main(["--check", "--solutions", str(tmp_path / "nowhere")])
    assert exit_.value.code == 2


def test_a_faulty_solution_is_named(folders, capsys):
    path, exercise, arguments = folders
    before = exercise.read_bytes()
    notebook = solution()
    notebook.cells[2].source = "# BEGIN SOLUTION\nanswer = 6"
    nbformat.write(notebook, path)
    assert make_exercises.main(arguments) == 1
    assert re.search(r"01_eda\.ipynb: cell 3: '# BEGIN SOLUTION' without '# END SOLUTION'", capsys.readouterr().out)
    path.write_text(json.dumps([]))
    assert make_exercises.main(["--check", *arguments]) == 1
    assert exercise.read_bytes() == before


# ---------------------------------------------------------------- executed


def errors_of(notebook, folder):
    """Run all cells, past errors; return the error, or None, of each code cell with its tags."""
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True,
                            resources={"metadata": {"path": str(folder)}})  # fmt: skip
    client.execute()
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            error = next((output for output in cell.outputs if output.output_type == "error"), None)
            found.append((tags(cell), error))
    return found


def unsolved_faults(notebook, folder):
    """What keeps a learner from seeing why an unsolved exercise fails."""
    found = [pair for pair in errors_of(notebook, folder) if "raises-exception" not in pair[0]]
    first = next((names for names, error in found if error), None)
    faults = (
        [] if first and "check" in first else [f"the first error is not in a check cell but in one of tags {first}"]
    )
    for number, (_, error) in enumerate([pair for pair in found if "check" in pair[0]], start=1):
        if error is None:
            faults.append(f"check {number} passes unsolved")
        elif error.ename != "AssertionError" or not error.evalue.strip():
            faults.append(f"check {number} has no message of its own: {error.ename}: {error.evalue}")
    return faults


@pytest.mark.kernel
def test_solution_passes_and_exercise_fails_with_messages(tmp_path):
    assert all(error is None for _, error in errors_of(solution(), tmp_path))
    assert unsolved_faults(make_exercise(solution(), NAME), tmp_path) == []


@pytest.mark.kernel
def test_the_test_of_exercises_is_itself_tested(tmp_path):
    notebook = solution()
    notebook.cells[4].source = "assert True"
    notebook.cells[6].source = "assert macro([1, 2]) == 1.5"
    notebook.cells.append(code("assert result == 1, 'Look again'", "check"))
    assert unsolved_faults(make_exercise(notebook, NAME), tmp_path) == [
        "check 1 passes unsolved",
        "check 2 has no message of its own: AssertionError: ",
        "check 3 has no message of its own: NameError: name 'result' is not defined",
    ]


EXERCISES = sorted((ROOT / "notebooks" / "exercises").glob("[0-9][0-9]_*.ipynb"))


def test_the_courses_exercises_are_in_step():
    reasons = make_exercises.out_of_step(ROOT / "notebooks" / "solutions", ROOT / "notebooks" / "exercises")
    assert not reasons, f"{reasons}: run {make_exercises.COMMAND}"


@pytest.mark.kernel
@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.name)
def test_the_courses_exercises_fail_with_messages_until_solved(path):
    assert unsolved_faults(read_notebook(path), path.parent) == []
