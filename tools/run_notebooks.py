"""Execute the course's notebooks and store their outputs: the only writer of committed outputs.

    python tools/run_notebooks.py                                  # all lessons and solutions, in place
    python tools/run_notebooks.py notebooks/01_eda.ipynb           # one of them
    python tools/run_notebooks.py --profile full --out build/full  # a copy from the real data

Every notebook runs top to bottom in a fresh kernel, in its own folder. In place, the profile is `quick` and every other
COURSE_ variable is taken away, so that committed outputs never show real data. A file is replaced only when all its
cells ran and its outputs hold nothing that they should not: stderr, paths of the machine, memory addresses.
"""

import argparse
import base64
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from notebook_outputs import (
    ROOT,
    WIDGET,
    Fault,
    bulk_faults,
    code_digest,
    fault_at,
    nbval_faults,
    output_faults,
    private_folders,
    read_notebook,
    run_cells,
)
from PIL import Image

SLOW_SECONDS = 180
SLOW_SECONDS_OF = {"04": 360, "05": 360}
TRACEBACK_LINES = 15
KEPT_OUT = {"widgets", "signature", "colab", "vscode", "toc", "varInspector", "orig_nbformat"}
KEPT_OUT_OF_CELLS = {"execution", "ExecuteTime", "collapsed", "scrolled", "colab", "vscode", "id", "outputId"}
KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FOLDERS = re.compile(
    r"(?:(?<=[0-9]m)|(?<![\w.]))(?:~|[A-Za-z]:)?[/\\][^\s'\"<>:]*?"
    r"[/\\]((?:site-packages|lib[/\\]python3\.\d+)[/\\])"
)


class NotebookError(Exception):
    """A notebook did not run to its end, or shows what it should not; the message names the cell."""


def kernel_environment(profile: str, *, in_place: bool, ipython: str) -> dict[str, str]:
    """Return the variables that a kernel sees.

    Args:
        profile: `quick` or `full`; quick never touches the network.
        in_place: take away every other COURSE_ variable (real data, another encoder).
        ipython: an empty folder for IPython's settings, so that no startup files run.
    """
    dropped = {"MPLBACKEND", "PYTHONWARNINGS", "PYTHONSTARTUP"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not (in_place and name.startswith("COURSE_"))
    }
    kept |= {"COURSE_PROFILE": profile, "IPYTHONDIR": ipython}
    return kept | ({"HF_HUB_OFFLINE": "1"} if profile == "quick" else {})


def execute(notebook: NotebookNode, folder: Path, environment: dict[str, str], *, timeout: int) -> NotebookNode:
    """Run all cells in a fresh kernel whose working directory is `folder`.

    Raises:
        NotebookError: a cell failed, took longer than `timeout` seconds, or ended the kernel.
    """
    started: list[int] = []
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
    )
    try:
        return client.execute(env=environment)
    except CellExecutionError as error:
        lines = _ANSI.sub("", error.traceback).rstrip().splitlines()[-TRACEBACK_LINES:]
        reason = "\n".join(lines) or f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        reason = f"over {timeout} seconds"
    except DeadKernelError as error:
        reason = f"the kernel died: {error}"
    number = started[-1] + 1
    source = notebook.cells[number - 1].source
    raise NotebookError(f"cell {number} of {len(notebook.cells)} failed\n{_indent(source)}\n{_indent(reason, '  ! ')}")


def _indent(text: str, mark: str = "  | ") -> str:
    return "\n".join(mark + line for line in text.splitlines())


# ---------------------------------------------------------------- normalising


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return the executed notebook without what changes from run to run or from machine to machine."""
    for cell in notebook.cells:
        for key in KEPT_OUT_OF_CELLS & set(cell.metadata):
            del cell.metadata[key]
        cell.source = cell.source.rstrip()
        if cell.cell_type == "code":
            cell.outputs = _outputs(cell.outputs)
            cell.execution_count = None
    for count, (_, cell) in enumerate(run_cells(notebook), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    for key in KEPT_OUT & set(notebook.metadata):
        del notebook.metadata[key]
    course = {**notebook.metadata.get("course", {}), "code_digest": code_digest(notebook)}
    settings = {"course": course, "kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    notebook.metadata.update(nbformat.from_dict(settings))
    return notebook


def _outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Merge streams, fold progress bars, drop widgets, shorten paths in wanted tracebacks, make pictures small."""
    kept: list[NotebookNode] = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
            continue
        if output.output_type == "error":
            output.traceback = [_short_paths(line) for line in output.traceback]
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = small_picture(output.data["image/png"])
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = "\n".join(_last_drawn(line) for line in output.text.split("\n"))
    return [output for output in kept if output.output_type != "stream" or output.text.strip()]


def small_picture(png: str) -> str:
    """Return a picture, base64, with a palette of 256 colours: a chart looks the same, in a third of the bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == "P" or picture.convert("RGBA").getextrema()[3][0] < 255:  # small already, or see-through
        return png
    drawn = io.BytesIO()
    palette = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
    picture.convert("RGB").quantize(256, **palette).save(drawn, "PNG", optimize=True)
    return min(png, base64.b64encode(drawn.getvalue()).decode(), key=len)


def _last_drawn(line: str) -> str:
    """Return what a terminal shows of a line that carriage returns drew over and over."""
    if "\r" not in line:
        return line
    return ([piece for piece in line.split("\r") if piece] or [""])[-1].rstrip()


def _short_paths(text: str) -> str:
    """Replace the machine's folders in a traceback: site-packages/torch/nn/modules/loss.py says enough."""
    text = _FOLDERS.sub(r"\1", text)
    for folder in private_folders():
        if len(folder) > 1:
            text = text.replace(folder, "...")
    return text


def refusals(notebook: NotebookNode, text: str) -> list[Fault]:
    """Faults that keep a notebook from being stored; `text` is the file's future content."""
    faults = output_faults(notebook, private_folders()) + nbval_faults(notebook)
    shown = [
        fault_at(number, cell, "the cell shows a warning")
        for number, cell in run_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stdout" and re.search(r"^\S+:\d+: \w*Warning: ", output.text, re.MULTILINE)
    ]
    return faults + shown + bulk_faults(notebook, len(text.encode()))


# ---------------------------------------------------------------- the files


def run(source: Path, target: Path, *, profile: str = "quick", timeout: int = 600) -> float:
    """Execute `source` and store it as `target` (in place when they are the same file).

    In place, nothing is stored when the outputs hold what they should not; elsewhere that is only printed.

    Returns:
        Seconds that the cells took, with the start of the kernel.

    Raises:
        NotebookError: see `execute`, or the outputs are refused; `target` is untouched then.
        ValueError: `source` is not a notebook.
    """
    in_place = source.resolve() == target.resolve()
    notebook, start = read_notebook(source), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ipython-") as ipython:
        environment = kernel_environment(profile, in_place=in_place, ipython=ipython)
        notebook = normalise(execute(notebook, source.resolve().parent, environment, timeout=timeout))
    seconds = time.perf_counter() - start
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    faults = "\n".join(f"  {fault}" for fault in refusals(notebook, text))
    if faults and in_place:
        raise NotebookError(f"outputs refused\n{faults}")
    if faults:
        print(f"{source}: do not commit this copy\n{faults}")
    store(target, text)
    return seconds


def store(path: Path, text: str) -> None:
    """Write to a temporary name and rename, so that the file is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def target_of(source: Path, out: Path | None) -> Path:
    """Return where the executed notebook goes: in place, or under `out` as it lies under notebooks/."""
    if out is None:
        return source
    folder = ROOT / "notebooks"
    inside = source.resolve().is_relative_to(folder)
    return out / (source.resolve().relative_to(folder) if inside else source.name)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; refuse what would write real data over a committed file."""
    parser = argparse.ArgumentParser(
        description="Execute notebooks in fresh kernels and store their outputs.",
        epilog="In place, only the quick profile on the bundled data is ever stored.",
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all lessons, then all solutions")
    parser.add_argument("--profile", choices=("quick", "full"), default="quick", help="full needs --out (quick)")
    parser.add_argument("--out", type=Path, help="write copies to this folder, and let COURSE_DATA through")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take (600)")
    options = parser.parse_args(arguments)
    folder = ROOT / "notebooks"
    options.notebooks = options.notebooks or [
        *sorted(folder.glob("[0-9][0-9]_*.ipynb")),
        *sorted(folder.glob("solutions/[0-9][0-9]_*.ipynb")),
    ]
    if not options.notebooks:
        parser.error(f"no notebooks in {folder}")
    if options.profile == "full" and options.out is None:
        parser.error("--profile full needs --out FOLDER: committed outputs are those of the quick profile")
    for path in options.notebooks:
        if not path.is_file():
            parser.error(f"no such notebook: {path}")
        if options.out and target_of(path, options.out).resolve() == path.resolve():
            parser.error(f"--out {options.out} would write over {path}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks one after the other; return 1 when one of them failed or was refused."""
    options = parse(arguments)
    failed = []
    for path in options.notebooks:
        try:
            target = target_of(path, options.out)
            seconds = run(path, target, profile=options.profile, timeout=options.timeout)
        except (NotebookError, ValueError) as error:
            failed.append(path.name)
            print(f"FAILED {path}: {error}", flush=True)
            continue
        limit = SLOW_SECONDS_OF.get(path.name[:2], SLOW_SECONDS)
        print(f"{path}: {seconds:.0f} s{f'  SLOW: over {limit} s' if seconds > limit else ''}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(options.notebooks)} failed, their files are untouched: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
