"""Read notebooks and find what is wrong with their stored outputs; `notebook_format.py` adds the course's template.

Pure functions from a notebook to its faults, called by the tests, by `run_notebooks.py` and by the root `conftest.py`.
Cells are counted from 1, Markdown cells included.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 1_500_000
GUARD = "guard"  # the tag of the cell that tools/stamp_links.py writes
RAISES = "raises-exception"  # the one tag that both nbclient and nbval know
WIDGET = "application/vnd.jupyter.widget-view+json"
NOT_COMPARED = {"image/png", "image/jpeg", WIDGET}

_NBVAL_COMMENT = re.compile(r"^\s*#+\s*((?:NBVAL|PYTEST_VALIDATE)_[A-Z_]+)(.*)$", re.MULTILINE)
_PATHS = re.compile(r"(?<![\w.-])/(?:home|root|tmp|Users)/|\b[A-Za-z]:\\+Users\\")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


# ---------------------------------------------------------------- reading


class Fault(NamedTuple):
    """One breach of the template: the cell (None: the whole notebook), what is wrong, and the cell's first line."""

    cell: int | None
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        if self.cell is None:
            return self.message
        return f"cell {self.cell}{f' ({self.excerpt})' if self.excerpt else ''}: {self.message}"


def read_notebook(path: str | Path) -> NotebookNode:
    """Read a notebook as format 4.5; a cell without an id gets one that depends on its place and text only.

    Raises:
        ValueError: the file is not a notebook of format 4; the message names it.
    """
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        if raw["nbformat"] != 4:
            raise ValueError(f"format {raw['nbformat']}, not 4")
        for number, cell in enumerate(raw["cells"], start=1):
            text = f"{number}/{cell['cell_type']}/{''.join(cell['source'])}"
            cell.setdefault("id", hashlib.sha256(text.encode()).hexdigest()[:8])
        raw["nbformat_minor"] = max(5, raw["nbformat_minor"])
        return nbformat.reads(json.dumps(raw), as_version=4)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable notebook: {type(error).__name__}: {error}") from error


def tags(cell: NotebookNode) -> set[str]:
    """Return the cell's tags."""
    return set(cell.metadata.get("tags", []))


def code_digest(notebook: NotebookNode) -> str:
    """Return a short digest of the code cells: it tells outputs of this code from outputs of older code.

    The guard cell does not count: it has no output, whichever address stands in it, and `guard_faults` compares it with
    its template, character by character.
    """
    code = [cell for _, cell in cells_of(notebook, "code") if GUARD not in tags(cell)]
    sources = [cell.source.rstrip() for cell in code]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def cells_of(notebook: NotebookNode, kind: str) -> list[tuple[int, NotebookNode]]:
    """Return (number, cell) for the cells of a kind, `markdown` or `code`."""
    return [(number, cell) for number, cell in enumerate(notebook.cells, start=1) if cell.cell_type == kind]


def run_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Return (number, cell) for the code cells that a kernel runs: those that are not empty."""
    return [(number, cell) for number, cell in cells_of(notebook, "code") if cell.source.strip()]


def fault_at(number: int, cell: NotebookNode, message: str) -> Fault:
    """Return the fault of a cell, with the cell's first line."""
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return Fault(number, message, lines[0].strip()[:50] if lines else "")


def _texts(output: NotebookNode) -> Iterator[str]:
    """Every text of an output: streams, errors, and all of its forms but pictures."""
    if output.output_type == "stream":
        yield _ANSI.sub("", output.text)
    elif output.output_type == "error":
        yield from (_ANSI.sub("", text) for text in (output.evalue, *output.traceback))
    else:
        for form, value in output.data.items():
            if not form.startswith("image/") or form == "image/svg+xml":
                yield value if isinstance(value, str) else json.dumps(value)


def _has(cell: NotebookNode, form: str) -> bool:
    return any(form in output.get("data", {}) for output in cell.outputs)


def private_folders() -> list[str]:
    """Folders of this machine that no output may name: the repository, home, the environment, temporary files."""
    return sorted({str(ROOT), str(Path.home()), sys.prefix, tempfile.gettempdir()})


# ---------------------------------------------------------------- faults


def stored_faults(notebook: NotebookNode) -> list[Fault]:
    """Outputs are stored, counted 1..n, and of the code that stands there; run_notebooks.py alone writes them."""
    command = "run tools/run_notebooks.py"
    faults = [
        fault_at(number, cell, f"execution count {cell.execution_count}, not {wanted}: {command}")
        for wanted, (number, cell) in enumerate(run_cells(notebook), start=1)
        if cell.execution_count != wanted
    ][:1]
    if not any(cell.outputs for _, cell in run_cells(notebook)):
        faults.append(Fault(None, f"no outputs are stored: {command}"))
    stored = notebook.metadata.get("course", {}).get("code_digest")
    if stored != code_digest(notebook):
        faults.append(Fault(None, f"the stored outputs are not of this code: {command}"))
    return faults


def output_faults(notebook: NotebookNode, private: Iterable[str] = ()) -> list[Fault]:
    """What no stored output may hold: stderr, errors, addresses, scripts, widgets, and paths of the machine.

    Args:
        notebook: an executed notebook.
        private: folders of this machine, beyond the usual ones, that outputs must not name (`private_folders()`).
    """
    own = [re.compile(rf"(?<![\w.]){re.escape(folder)}(?![\w.-])") for folder in private if len(folder) > 1]
    faults = []
    for number, cell in cells_of(notebook, "code"):
        raises = RAISES in tags(cell)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        texts = [text for output in cell.outputs for text in _texts(output)]
        wrong = {
            "writes to stderr": any(output.get("name") == "stderr" for output in cell.outputs),
            "ends in an error": bool(errors) and not raises,
            "is tagged raises-exception and raises nothing": raises and not errors and bool(cell.execution_count),
            "shows a path of the machine": any(p.search(text) for text in texts for p in [_PATHS, *own]),
            "stores a widget, which no page can show": _has(cell, WIDGET),
            "shows a memory address": any(_ADDRESS.search(text) for text in texts) and not errors,
            "has a script in its HTML": any(
                "<script" in json.dumps(output.get("data", {}).get("text/html", "")).lower()
                or "application/javascript" in output.get("data", {})
                for output in cell.outputs
            ),
        }
        faults += [fault_at(number, cell, f"the cell {what}") for what, is_wrong in wrong.items() if is_wrong]
    return faults


def figure_faults(notebook: NotebookNode) -> list[Fault]:
    """A cell with a picture has the tag 'figure', an `alt` text in its metadata, and ends with plt.show().

    The cell of an explorer ends with that one's `show()`.
    """
    faults = []
    for number, cell in cells_of(notebook, "code"):
        if not _has(cell, "image/png"):
            if "figure" in tags(cell):
                faults.append(fault_at(number, cell, "the tag 'figure' stands on a cell without a picture"))
            continue
        if not str(cell.metadata.get("alt", "")).strip():
            faults.append(fault_at(number, cell, "the picture has no text in the cell metadata key 'alt'"))
        if "figure" not in tags(cell):
            faults.append(fault_at(number, cell, "the picture's cell lacks the tag 'figure'"))
        if not cell.source.rstrip().endswith(".show()"):
            faults.append(
                fault_at(number, cell, "the picture's cell does not end with plt.show() or an explorer's show()")
            )
    return faults


def nbval_faults(notebook: NotebookNode) -> list[Fault]:
    """Checks that nbval would silently pass: comments with a note, uncounted cells, outputs that it never compares."""
    faults = []
    for number, cell in cells_of(notebook, "code"):
        comments = _NBVAL_COMMENT.findall(cell.source)
        if comments and any(rest.strip() for _, rest in comments):
            faults.append(fault_at(number, cell, "nbval ignores a comment with a note behind it: use the tag"))
        if not ("nbval-check-output" in tags(cell) or ("NBVAL_CHECK_OUTPUT", "") in comments):
            continue
        if cell.execution_count is None:
            faults.append(fault_at(number, cell, "the checked cell was never run, so nothing would be compared"))
        elif not any(_compared(output) for output in cell.outputs):
            faults.append(fault_at(number, cell, "the checked cell has no output that nbval compares"))
        if cell.source.rstrip().endswith(";"):
            faults.append(fault_at(number, cell, "a checked cell must not end with ';'"))
    return faults


def _compared(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout"
    return output.output_type == "error" or bool(set(output.data) - NOT_COMPARED)


def bulk_faults(notebook: NotebookNode, size: int) -> list[Fault]:
    """The file (size in bytes) is under 1.5 MB and carries no state of widgets."""
    faults = [Fault(None, "the notebook stores the state of widgets")] if "widgets" in notebook.metadata else []
    if size > MAX_BYTES:
        heaviest = max(cells_of(notebook, "code"), key=lambda pair: len(json.dumps(pair[1])), default=None)
        message = f"the file has {size / 1e6:.2f} MB, over {MAX_BYTES / 1e6} MB; this cell is the heaviest"
        faults.append(fault_at(*heaviest, message) if heaviest else Fault(None, message))
    return faults
