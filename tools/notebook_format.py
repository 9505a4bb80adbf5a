"""Check notebooks against the course's template: pure functions from a notebook to its faults.

    python tools/notebook_format.py [NOTEBOOK ...]

The tests call the same functions. Cells are counted from 1, Markdown cells included.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import stamp_links
from nbformat import NotebookNode
from notebook_outputs import (
    GUARD,
    ROOT,
    Fault,
    bulk_faults,
    cells_of,
    fault_at,
    figure_faults,
    nbval_faults,
    output_faults,
    private_folders,
    read_notebook,
    run_cells,
    stored_faults,
    tags,
)

MAX_LINES, MEDIAN_LINES = 20, 8
MARKDOWN_SHARE = (0.35, 0.65)
BULLETS = (3, 5)

NBVAL_TAGS = {"nbval-check-output", "nbval-ignore-output", "nbval-skip", "raises-exception"}
BOOK_TAGS = {f"{verb}-{part}" for verb in ("hide", "remove") for part in ("input", "output", "cell")}
KNOWN_TAGS = NBVAL_TAGS | BOOK_TAGS | {GUARD, "setup", "check", "figure", "trap", "solution", "hint", "exercise"}

_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_BULLET = re.compile(r"^(?:[-*+]|\d+[.)])[ \t]+\S", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)")
_PERCENT = re.compile(r"\d+(?:\.\d+)?\s?%|\d+ (?:percent|per cent)\b")
_DECIMAL = re.compile(r"(?<![\w.,])(?<!\w-)\d+\.\d+(?![\w]|\.\d|\s?%| per)")
_LITERAL = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")
CONVENTIONS = {0.0, 0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0}  # thresholds, levels of confidence, chance, all and none
_NOT_PROSE = re.compile(
    r"(?P<url>\]\([^)]*\)|https?://\S+|<[^<>\n]+>)|(?P<id>\barXiv:\s?\d{4}\.\d+|\bdoi:\S+)"
    r"|(?P<version>\b(?:Python|PyTorch|CUDA|Apache|version|CC[ -]BY[\w-]*|v) ?\d+\.\d+)",
    re.IGNORECASE,
)
_INSTALL = re.compile(r"^[!%]+\s*(?:\w+ -m )?(?:pip|conda|uv)\b", re.MULTILINE)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")


def _section(notebook: NotebookNode, words: str) -> tuple[int, NotebookNode, str] | None:
    """Find a heading or a bold line that holds `words`; return its cell and the text up to the next heading."""
    heading = re.compile(rf"^(?:#{{1,6}}[ \t]+|\*\*)[^\n]*\b{words}\b[^\n]*$", re.MULTILINE | re.IGNORECASE)
    for number, cell in cells_of(notebook, "markdown"):
        text = _FENCE.sub("", cell.source)
        if match := heading.search(text):
            return number, cell, re.split(r"^#{1,6}[ \t]", text[match.end() :], flags=re.MULTILINE)[0]
    return None


def title_faults(notebook: NotebookNode, number: int) -> list[Fault]:
    """First cell: `# NN Title`, then a line with **Time:** and **Prerequisites:**."""
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        return [Fault(1, f"the first cell is not Markdown with the title '# {number:02d} ...'")]
    first, faults = notebook.cells[0], []
    if not re.match(rf"# {number:02d}\b.*\w", first.source):
        faults.append(fault_at(1, first, f"the title does not begin with '# {number:02d} ...'"))
    missing = [word for word in ("Time", "Prerequisites") if not re.search(rf"\*\*{word}:?\*\*", first.source)]
    return faults + [fault_at(1, first, f"the first cell has no '**{word}:** ...'") for word in missing]


def goal_faults(notebook: NotebookNode) -> list[Fault]:
    """'You will learn' with 3 to 5 bullets, mirrored by as many under 'Takeaways'."""
    learn, takeaways = _section(notebook, "You will learn"), _section(notebook, "Takeaways")
    faults = [
        Fault(None, f"no Markdown heading '{name}'")
        for name, section in (("You will learn", learn), ("Takeaways", takeaways))
        if section is None
    ]
    if learn and not BULLETS[0] <= (goals := len(_BULLET.findall(learn[2]))) <= BULLETS[1]:
        faults.append(fault_at(*learn[:2], f"'You will learn' has {goals} bullets, not {BULLETS[0]} to {BULLETS[1]}"))
    if learn and takeaways:
        goals, taken = len(_BULLET.findall(learn[2])), len(_BULLET.findall(takeaways[2]))
        if goals != taken:
            faults.append(fault_at(*takeaways[:2], f"{taken} takeaways do not mirror {goals} 'You will learn' points"))
    return faults


def section_faults(notebook: NotebookNode, name: str, *, number: int, next_name: str | None = None) -> list[Fault]:
    """Trap, check cell, exercises and next link; notebook 00 needs neither trap nor exercises."""
    faults, code = [], [cell for _, cell in cells_of(notebook, "code")]
    if not any("check" in tags(cell) for cell in code):
        faults.append(Fault(None, "no code cell has the tag 'check'"))
    if number > 0 and _section(notebook, "Traps?") is None:
        faults.append(Fault(None, "no heading with the word 'Trap'"))
    if number > 0:
        exercises = _section(notebook, "Exercises?")
        if exercises is None:
            faults.append(Fault(None, "no heading 'Exercises'"))
        elif f"](exercises/{name})" not in exercises[1].source:
            faults.append(fault_at(*exercises[:2], f"'Exercises' does not link to exercises/{name}"))
    last = [cell.source for _, cell in cells_of(notebook, "markdown")][-2:]
    if next_name and not any(f"]({next_name})" in source for source in last):
        faults.append(Fault(None, f"the last two Markdown cells do not link to the next notebook, {next_name}"))
    return faults


def guard_faults(notebook: NotebookNode, address: stamp_links.Address | None) -> list[Fault]:
    """The first code cell is the guard, of the one template, without outputs; the setup cell comes next."""
    code = cells_of(notebook, "code")
    if [GUARD in tags(cell) for _, cell in code] != [True] + [False] * (len(code) - 1):
        return [Fault(None, f"the tag {GUARD!r} is not on the first code cell, and on no other")]
    number, cell = code[0]
    wrong = {
        f"the guard differs from its template: {stamp_links.COMMAND}": cell.source != stamp_links.guard(address),
        "the guard has outputs": bool(cell.outputs),
        "no cell with the tag 'setup' comes after the guard": not any(
            "setup" in tags(next_cell) for next_cell in notebook.cells[number : number + 1]
        ),
    }
    return [fault_at(number, cell, message) for message, is_wrong in wrong.items() if is_wrong]


def content_note_faults(notebook: NotebookNode) -> list[Fault]:
    """'Content note' stands in the first three Markdown cells wherever code touches `comment_text`."""
    shown = [number for number, cell in cells_of(notebook, "code") if "comment_text" in cell.source]
    noted = any("content note" in cell.source.lower() for _, cell in cells_of(notebook, "markdown")[:3])
    return [Fault(shown[0], "comments are shown without a 'Content note' at the top")] if shown and not noted else []


def size_faults(notebook: NotebookNode) -> list[Fault]:
    """Short code cells, enough prose and not too much; the generated guard does not count for the median."""
    lines = [
        (number, cell, sum(bool(line.strip()) for line in cell.source.splitlines()))
        for number, cell in run_cells(notebook)
    ]
    faults = [
        fault_at(number, cell, f"{length} lines of code, over {MAX_LINES}")
        for number, cell, length in lines
        if length > MAX_LINES
    ]
    lengths = [length for _, cell, length in lines if GUARD not in tags(cell)]
    if lengths and (median := statistics.median(lengths)) > MEDIAN_LINES:
        faults.append(Fault(None, f"the median code cell has {median:g} lines, over {MEDIAN_LINES}"))
    share = len(cells_of(notebook, "markdown")) / max(1, len(notebook.cells))
    if not MARKDOWN_SHARE[0] <= share <= MARKDOWN_SHARE[1]:
        low, high = MARKDOWN_SHARE
        faults.append(Fault(None, f"{share:.0%} of the cells are Markdown, not {low:.0%} to {high:.0%}"))
    return faults


def prose_number_faults(notebook: NotebookNode) -> list[Fault]:
    """No result is typed into prose, as a decimal or a percentage: a cell computes it.

    A number that stands in a code cell of the notebook, or is a convention such as 0.5 or 95 %, is a setting and may be
    typed. Code, links, versions and identifiers do not count. The cell metadata key `prose_numbers` lifts the rule:
    `true` for published figures, and then the cell must hold a link; a string is the reason why no link is needed.
    """
    faults, settings = [], _settings(notebook)
    for number, cell in cells_of(notebook, "markdown"):
        allowed = cell.metadata.get("prose_numbers")
        if allowed is True and "](http" not in cell.source:
            faults.append(
                fault_at(number, cell, "'prose_numbers' is true, but no link says where the figures are from")
            )
        if allowed:
            continue
        text = _NOT_PROSE.sub(" ", _FENCE.sub(" ", cell.source))
        text = _CODE_SPAN.sub(lambda span: span[1] if re.fullmatch(r"[\d.,±+\-%\s]+", span[1]) else " ", text)
        typed = [match.group() for pattern in (_DECIMAL, _PERCENT) for match in pattern.finditer(text)]
        if results := [shown for shown in typed if not _is_setting(shown, settings)]:
            advice = "let a cell compute them (a setting stands in a code cell too)"
            faults.append(fault_at(number, cell, f"typed numbers ({', '.join(results[:4])}): {advice}"))
    return faults


def _settings(notebook: NotebookNode) -> set[float]:
    """All numbers that are typed in code."""
    code = "\n".join(cell.source for _, cell in cells_of(notebook, "code"))
    return {float(match.group().replace("_", "")) for match in _LITERAL.finditer(code)} | CONVENTIONS


def _is_setting(shown: str, settings: set[float]) -> bool:
    """Whether a number is one of the settings, where a percentage is typed as a share."""
    value, _, is_percentage = re.fullmatch(r"([\d.]+)(\s?)(.*)", shown).groups()
    return (round(float(value) / 100, 6) if is_percentage else float(value)) in settings


def code_faults(notebook: NotebookNode) -> list[Fault]:
    """Known tags only, unique cell ids, and no pip install outside of a guard."""
    faults, seen = [], set()
    for number, cell in enumerate(notebook.cells, start=1):
        if unknown := tags(cell) - KNOWN_TAGS:
            faults.append(fault_at(number, cell, f"unknown tag {', '.join(sorted(unknown))}: misspelt?"))
        if cell.id in seen:
            faults.append(fault_at(number, cell, f"the cell id {cell.id} is used twice"))
        seen.add(cell.id)
        if cell.cell_type == "code" and _INSTALL.search(cell.source):
            faults.append(fault_at(number, cell, "an unguarded install: put it under `if IN_COLAB:`"))
    return faults


def link_faults(notebook: NotebookNode, exists: Callable[[str], bool]) -> list[Fault]:
    """Every relative link leads to a file; `exists` answers for a path relative to the notebook's folder."""
    faults = []
    for number, cell in cells_of(notebook, "markdown"):
        targets = {target.split("#")[0] for target in _LINK.findall(_FENCE.sub("", cell.source))}
        for target in sorted(targets):
            if target and not re.match(r"[a-z]+:", target) and not exists(target):
                faults.append(fault_at(number, cell, f"the link {target} leads nowhere"))
    return faults


def run_faults(
    notebook: NotebookNode, *, size: int, private: Iterable[str] = (), address: stamp_links.Address | None = None
) -> list[Fault]:
    """Faults of any executed notebook of the course, lessons and solutions alike."""
    checks = [
        guard_faults(notebook, address),
        stored_faults(notebook),
        output_faults(notebook, private),
        figure_faults(notebook),
        bulk_faults(notebook, size),
        nbval_faults(notebook),
        code_faults(notebook),
        content_note_faults(notebook),
    ]
    return [fault for faults in checks for fault in faults]


def lesson_faults(
    notebook: NotebookNode,
    name: str,
    *,
    size: int,
    next_name: str | None = None,
    private: Iterable[str] = (),
    address: stamp_links.Address | None = None,
) -> list[Fault]:
    """Faults of a lesson, notebooks/NN_name.ipynb.

    Args:
        notebook: the lesson.
        name: its file name, `NN_name.ipynb`.
        size: bytes of the file.
        next_name: file name of the lesson that follows, None for the last.
        private: see `output_faults`.
        address: of the repository, as pyproject.toml names it; the guard cell is made for it.
    """
    number = int(name[:2])
    faults = title_faults(notebook, number) + goal_faults(notebook) + prose_number_faults(notebook)
    faults += section_faults(notebook, name, number=number, next_name=next_name)
    faults += size_faults(notebook) + run_faults(notebook, size=size, private=private, address=address)
    return sorted(faults, key=lambda fault: fault.cell or 0)


def file_faults(path: Path) -> list[Fault]:
    """Faults of a lesson or a solution on disk, broken links among them."""
    notebook, size = read_notebook(path), path.stat().st_size
    links = link_faults(notebook, lambda target: (path.parent / target).exists())
    settings = {"size": size, "private": private_folders(), "address": stamp_links.read_address()}
    if path.parent.name == "solutions":
        return run_faults(notebook, **settings) + links
    lessons = sorted(other.name for other in path.parent.glob("[0-9][0-9]_*.ipynb"))
    following = next((name for name in lessons if name > path.name), None)
    return lesson_faults(notebook, path.name, next_name=following, **settings) + links


def main(arguments: list[str] | None = None) -> int:
    """Print the faults of each notebook; return 1 when there is one."""
    parser = argparse.ArgumentParser(description="Check notebooks against the course's template.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all lessons and solutions")
    paths = parser.parse_args(arguments).notebooks
    folder = ROOT / "notebooks"
    paths = paths or [*sorted(folder.glob("[0-9]*.ipynb")), *sorted(folder.glob("solutions/[0-9]*.ipynb"))]
    if not paths:
        parser.error(f"no notebooks in {folder}")
    faults = [f"{path}: {fault}" for path in paths for fault in file_faults(path)]
    print("\n".join(faults) or f"{len(paths)} notebooks, no faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
