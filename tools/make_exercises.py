"""Make notebooks/exercises/NN_name.ipynb from notebooks/solutions/NN_name.ipynb by cell tags.

    python tools/make_exercises.py            # write all exercises
    python tools/make_exercises.py --check    # exit code 1 when one is out of step

| tag on a cell of the solution | in the exercise |
| --- | --- |
| `solution` on code | lines from `# BEGIN SOLUTION` to `# END SOLUTION` become `...  # your code here`, indented |
|  | `# STUB: text` lines in the block give the stub instead, e.g. `# STUB: answer = ...` |
|  | without BEGIN and END the whole cell becomes `# Your code here` |
| `solution` on Markdown | removed: it explains the answer |
| `hint` on Markdown | folded away in a `<details>` element |
| `check` on code | kept: it must fail with a message of its own (`assert ..., "..."`) until the answer is right |

What a check cell asks for should exist before it is solved: write `# STUB: answer = ...`, and let the check begin with
`assert answer is not ..., "Give answer a value first"`. Outputs, counts and nbval's tags are left out; cell ids stay,
so the same solution always gives the same bytes. The tag `solution` becomes `exercise`.
"""

import argparse
import copy
import hashlib
import json
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from notebook_outputs import GUARD, ROOT, read_notebook, tags
from run_notebooks import store
from stamp_links import at_exercise, without_badge

COMMAND = "python tools/make_exercises.py"
STUB, EMPTY_CELL = "...  # your code here", "# Your code here"
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
BANNER = """> **Exercises.** Fill in each cell that says *your code here*, then run the check below it until it passes.
> Save your work under a name of your own: this file is generated from [its solution](../solutions/{name}), where
> changes belong (`{command}` writes it anew)."""

_NEAR_MARKER = re.compile(r"#\s*(?:begin|end)[\s_-]*solution|#+\s*stub\b", re.IGNORECASE)


class ExerciseError(ValueError):
    """A solution cannot be turned into an exercise; the message names the file's cell."""


def stub_code(source: str) -> str:
    """Replace the solution's lines by stubs.

    Raises:
        ExerciseError: a block is not closed, is opened twice, or is misspelt (the answer would leak).
    """
    if not _NEAR_MARKER.search(source):
        return EMPTY_CELL
    kept: list[str] = []
    block: list[str] | None = None
    indent = ""
    for line in source.splitlines():
        text = line.strip()
        if text == BEGIN and block is None:
            block, indent = [], line[: len(line) - len(line.lstrip())]
        elif text == END and block is not None:
            kept += [f"{indent}{stub}" for stub in block or [STUB]]
            block = None
        elif text.startswith("# STUB: ") and block is not None:
            block.append(text.removeprefix("# STUB: "))
        elif _NEAR_MARKER.search(text):
            raise ExerciseError(f"'{text}' is out of place or misspelt ({BEGIN}, # STUB: text, {END})")
        elif block is None:
            kept.append(line)
    if block is not None:
        raise ExerciseError(f"'{BEGIN}' without '{END}'")
    return "\n".join(kept)


def exercise_cell(cell: NotebookNode) -> NotebookNode | None:
    """Return the exercise's form of a solution's cell, None when it is left out.

    Raises:
        ExerciseError: see `stub_code`; or a marker stands in a cell without the tag; or a hint is code.
    """
    cell, own = copy.deepcopy(cell), tags(cell)
    if cell.cell_type != "code":
        if "solution" in own:
            return None
        if "hint" in own and not cell.source.lstrip().startswith("<details"):
            cell.source = f"<details>\n<summary>Hint</summary>\n\n{cell.source.strip()}\n\n</details>"
        cell.source = at_exercise(cell.source)
        return cell
    if "hint" in own:
        raise ExerciseError("a hint must be Markdown")
    if "solution" in own and "check" in own:
        raise ExerciseError("a cell cannot be 'solution' and 'check' at once")
    if "solution" in own:
        cell.source = stub_code(cell.source)
    elif _NEAR_MARKER.search(cell.source):
        raise ExerciseError("a solution marker in a cell without the tag 'solution'")
    kept = sorted({"exercise" if tag == "solution" else tag for tag in own if not tag.startswith("nbval-")})
    cell.metadata = nbformat.from_dict({"tags": kept} if kept else {})
    cell.outputs, cell.execution_count = [], None
    return cell


def make_exercise(solution: NotebookNode, name: str) -> NotebookNode:
    """Return the exercise notebook of a solution whose file is called `name`.

    Raises:
        ExerciseError: a cell cannot be turned into an exercise, or nothing is left to do or to check.
    """
    banner = nbformat.v4.new_markdown_cell(BANNER.format(name=name, command=COMMAND), id="generated-banner")
    cells = [banner]
    for number, cell in enumerate(solution.cells, start=1):
        try:
            made = exercise_cell(cell)
        except ExerciseError as error:
            raise ExerciseError(f"cell {number}: {error}") from error
        cells += [made] if made is not None else []
    for tag in ("exercise", "check"):
        if not any(cell.cell_type == "code" and tag in tags(cell) for cell in cells):
            raise ExerciseError(f"no code cell has the tag '{'solution' if tag == 'exercise' else tag}'")
    course = {"generated_from": f"../solutions/{name}", "digest": content_digest(cells)}
    metadata = {key: solution.metadata[key] for key in ("kernelspec", "language_info") if key in solution.metadata}
    return nbformat.v4.new_notebook(cells=cells, metadata={**metadata, "course": course})


def content_digest(cells: list[NotebookNode]) -> str:
    """Return a digest of the cells' sources: it tells an untouched exercise from one that was changed.

    What tools/stamp_links.py writes into an exercise does not count.
    """
    sources = [[cell.cell_type, without_badge(cell.source)] for cell in cells if GUARD not in tags(cell)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def render(solution: Path) -> str:
    """Return the exercise file's text.

    Raises:
        ExerciseError: see `make_exercise`; the message names the solution.
    """
    try:
        exercise = make_exercise(read_notebook(solution), solution.name)
    except ExerciseError as error:
        raise ExerciseError(f"{solution}: {error}") from error
    return nbformat.writes(exercise).rstrip("\n") + "\n"


def worked_in(exercise: Path) -> bool:
    """Whether a cell was changed of the exercise since it was generated."""
    notebook = read_notebook(exercise)
    return content_digest(notebook.cells) != notebook.metadata.get("course", {}).get("digest")


def out_of_step(solutions: Path, exercises: Path) -> dict[Path, str]:
    """Return the exercise files that differ from what their solutions give, with the reason.

    A learner's copy under another name is left alone: it says which existing solution it was generated from.
    """
    reasons = {}
    for solution in sorted(solutions.glob("[0-9][0-9]_*.ipynb")):
        exercise = exercises / solution.name
        if not exercise.exists():
            reasons[exercise] = "missing"
        elif exercise.read_bytes() != render(solution).encode():
            reasons[exercise] = "different"
    for exercise in sorted(exercises.glob("[0-9][0-9]_*.ipynb")):
        course = read_notebook(exercise).metadata.get("course", {})
        if not (exercises / course.get("generated_from", f"{solutions.resolve()}/{exercise.name}")).exists():
            reasons[exercise] = "orphaned"
    return reasons


def write(solutions: Path, exercises: Path, *, force: bool = False) -> list[str]:
    """Write the exercises that are out of step; return a line for each that was left alone.

    An exercise with answers in it is replaced only with `force`; an orphaned one is never deleted.
    """
    problems = []
    for exercise, reason in out_of_step(solutions, exercises).items():
        if reason == "orphaned":
            problems.append(f"{exercise}: no solution of that name; remove it, or write its solution")
        elif reason == "different" and not force and worked_in(exercise):
            problems.append(f"{exercise}: you changed it; save that elsewhere, then {COMMAND} --force")
        else:
            store(exercise, render(solutions / exercise.name))
            print(f"{exercise}: written")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Write or check the exercises; return 1 when one is out of step."""
    folder = ROOT / "notebooks"
    parser = argparse.ArgumentParser(description="Make the exercise notebooks from the solutions, by cell tags.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is out of step")
    parser.add_argument("--force", action="store_true", help="replace exercises that were changed")
    parser.add_argument("--solutions", type=Path, default=folder / "solutions", help="folder of the solutions")
    parser.add_argument("--exercises", type=Path, default=folder / "exercises", help="folder of the exercises")
    options = parser.parse_args(arguments)
    if not options.solutions.is_dir():
        parser.error(f"no such folder: {options.solutions}")
    try:
        if options.check:
            reasons = out_of_step(options.solutions, options.exercises)
            problems = [f"{path}: {reason}; fix it by: {COMMAND}" for path, reason in reasons.items()]
        else:
            problems = write(options.solutions, options.exercises, force=options.force)
    except ValueError as error:
        problems = [str(error)]
    print("\n".join(problems) or "all exercises are in step with their solutions")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
