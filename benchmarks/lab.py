"""JupyterLab as `make lab` starts it, in a real browser: how soon the first picture is there, and which notebooks run.

    python benchmarks/lab.py                               # both figures, a quarter of an hour
    python benchmarks/lab.py --only lab.first_picture_s    # a minute

- lab.first_picture_s: from the command `make lab`, on a machine that is set up, to the first figure of 01 on the
  screen: the server starts, then the browser, the notebook is opened, its outputs are cleared, Run All is chosen.
- lab.notebooks_clean: numbered notebooks that run from top to bottom without any fault that `live_lab` knows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _record import FOLDER, NO_DATA, record

sys.path.insert(0, str(FOLDER.parent / "tools"))
import chromium
import live_lab
from notebook_outputs import read_notebook, tags

FIRST = "notebooks/01_eda.ipynb"
VIEW = {"width": 1280, "height": 900}
PICTURES = FOLDER.parent / "build" / "browser"


def first_figure(path: Path) -> int:
    """Return the number of the first cell that draws, counted from 1; ValueError where none does."""
    for number, cell in enumerate(read_notebook(path).cells, start=1):
        if "figure" in tags(cell):
            return number
    raise ValueError(f"{path} has no cell with the tag 'figure'")


def seconds_to_first_picture(folder: Path) -> dict[str, float]:
    """Seconds from the command to the server's answer, to the kernel, and to the picture, once; `folder` is empty."""
    course = live_lab.copy_course(folder / "course")
    number = first_figure(course / FIRST)
    start, times = time.perf_counter(), {}

    def reached(what: str) -> None:
        times[what] = time.perf_counter() - start

    with live_lab.serve(course, folder / "private") as lab:
        reached("server")
        with chromium.launch() as browser:
            notebook = live_lab.LiveNotebook(lab, browser.new_page(viewport=VIEW), FIRST, course / FIRST)
            notebook.open(whole=False)
            reached("kernel")
            notebook.start_all()
            notebook.wait_for_figure(number)
            reached("picture")
            PICTURES.mkdir(parents=True, exist_ok=True)
            notebook.page.screenshot(path=PICTURES / "first_picture.png")
    return times


def measure_first_picture(runs: int) -> None:
    """Record the median of some runs."""
    times = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="lab-") as folder:
            times.append(seconds_to_first_picture(Path(folder)))
        print(", ".join(f"{what} after {seconds:.1f} s" for what, seconds in times[-1].items()), flush=True)
    middle = {what: statistics.median(time[what] for time in times) for what in times[0]}
    about = {"data": "01 in JupyterLab and headless Chromium, quick profile", "command": "python benchmarks/lab.py"}
    parts = {"server": round(middle["server"], 1), "kernel": round(middle["kernel"], 1)}
    parts |= {"longest": round(max(time["picture"] for time in times), 1), "runs": runs}
    record("lab.first_picture_s", middle["picture"], unit="s", asked="< 30", **about, **parts)


def faults_of(notebook: live_lab.LiveNotebook, pictures: Path, seconds: float) -> list[str]:
    """Open a notebook, run it, look at it; return what is wrong."""
    try:
        notebook.open()
        notebook.run_all(seconds)
        return [str(fault) for fault in notebook.look(pictures)]
    except live_lab.LabError as error:
        return [str(error)]


def measure_clean(seconds: float = 900) -> None:
    """Run every numbered notebook, say what is wrong with it, and record how many are without fault."""
    names = sorted(path.stem for path in (live_lab.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    clean, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        course = live_lab.copy_course(Path(folder, "course"))
        with live_lab.serve(course, Path(folder, "private")) as lab, chromium.launch() as browser:
            for name in names:
                path = f"notebooks/{name}.ipynb"
                page = browser.new_page(viewport=VIEW)
                notebook = live_lab.LiveNotebook(lab, page, path, course / path)
                faults = faults_of(notebook, PICTURES / f"clean_{name}", seconds)
                print("\n  ".join([f"{name}: {'clean' if not faults else 'faults'}", *faults]), flush=True)
                clean += [name] if not faults else []
                page.close()
                lab.close_kernels()
    about = {"data": "JupyterLab and headless Chromium, quick profile", "command": "python benchmarks/lab.py"}
    minutes = round((time.perf_counter() - start) / 60, 1)
    record("lab.notebooks_clean", len(clean), unit=f"of {len(names)}", asked="all", **about, minutes=minutes)


def main() -> None:
    """Measure both figures, or those named after `--only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures = ("lab.first_picture_s", "lab.notebooks_clean")
    parser.add_argument("--only", nargs="+", choices=figures, default=figures, metavar="ID", help=", ".join(figures))
    parser.add_argument("--runs", type=int, default=3, help="of the first figure (3)")
    options = parser.parse_args()
    try:
        chromium.find()
    except chromium.NoBrowserError as error:
        print(f"This benchmark needs a browser: {error}")
        sys.exit(NO_DATA)
    if figures[0] in options.only:
        measure_first_picture(options.runs)
    if figures[1] in options.only:
        measure_clean()


if __name__ == "__main__":
    main()
