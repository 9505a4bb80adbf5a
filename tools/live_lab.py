"""JupyterLab as `make lab` starts it, and a notebook in it as a person uses it: opened, run from the menu, looked at.

The server shows a copy of the notebooks, and keeps settings, workspaces and keys in a folder of its own. So nothing
that is saved in the browser reaches the course, or the user's JupyterLab.
"""

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_outputs import RAISES, ROOT, Fault, fault_at, read_notebook, run_cells, tags

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SECONDS_TO_START = 120
SECONDS_OF_SILENCE = 5  # all cells are queued at once, so an idle kernel and no queue mean the end
HEIGHT_SEEN_AGAIN = 60  # of a screenshot, at the top of the next
# Nobody can help these: a browser without a GPU, and what a page of JupyterLab says on its way out.
# A picture that is attached to a cell (08) is asked for by that name first, and then found in the notebook.
HARMLESS = ("GPU stall", "Automatic fallback to software WebGL", "WebSocket is already in CLOSING", "(attachment:")
_SEEN = """image => {
  const box = image.getBoundingClientRect();
  const loaded = image.complete && image.naturalWidth > 0;
  if (loaded && box.height > 0 && box.top >= 0 && box.bottom <= window.innerHeight) return true;
  image.scrollIntoView({block: "center"});
  return false;
}"""
_OUTPUTS = (Path(__file__).parent / "live_lab.js").read_text(encoding="utf-8")


class LabError(RuntimeError):
    """JupyterLab did not start, or a notebook does not answer; the message says what was waited for."""


class Cell(NamedTuple):
    """What the page shows of a cell.

    `prompt`: such as `[3]:`; `red`: texts of red boxes (errors, stderr); `faults`: what is broken or too wide.
    """

    prompt: str
    text: str
    figures: int
    red: list[str]
    faults: list[str]


def copy_course(target: Path) -> Path:
    """Copy the notebooks and the bundled data to `target`, and return it."""
    leave_out = shutil.ignore_patterns(".*", "jigsaw", "imdb", "__pycache__")
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, target / name, ignore=leave_out)
    return target


# ---------------------------------------------------------------- the server


@dataclass
class Lab:
    """A running JupyterLab."""

    address: str
    token: str

    def page(self, path: str) -> str:
        """Return the address of a notebook, in a fresh workspace."""
        return f"{self.address}/lab/tree/{path}?token={self.token}&reset"

    def ask(self, path: str, method: str = "GET") -> Any:  # noqa: ANN401
        """Ask the server's API; None where it answers nothing."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def close_kernels(self) -> None:
        """Shut down every kernel, and with it what it holds in memory."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")


def _environment(private: Path) -> dict[str, str]:
    """Return the server's variables: the quick profile on the bundled data, and no file of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "PYTEST_"))}
    kept.pop("MPLBACKEND", None)
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    names += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    return kept | {name: str(private / name.lower()) for name in names} | {"COURSE_PROFILE": "quick"}


@contextlib.contextmanager
def serve(course: Path, private: Path) -> Iterator[Lab]:
    """Run `make lab` on the folder `course` until the block ends.

    Args:
        course: the folder that JupyterLab shows, such as a `copy_course`.
        private: a folder for its settings and its log.

    Raises:
        LabError: it ended, or did not answer in time; the message has the end of its log.
    """
    port = _free_port()
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16))
    options = (
        f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 --IdentityProvider.token={lab.token}"
    )
    command = ["make", "-C", str(ROOT), "--no-print-directory", "lab", f"LAB_ROOT={course}", f"LAB_OPTIONS={options}"]
    private.mkdir(parents=True, exist_ok=True)
    log = private / "lab.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=_environment(private), stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _wait_for(lab, process, log)
        yield lab
    finally:
        _end(process)


def _free_port() -> int:
    """Return a port that nothing listens at, below those that a system gives to connections while the server starts."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise LabError("no free port between 20000 and 32000")


def _wait_for(lab: Lab, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            lab.ask("status")
        except OSError:
            time.sleep(0.1)
        else:
            return
    reason = "ended" if process.poll() is not None else f"gave no answer in {SECONDS_TO_START} s"
    raise LabError(f"make lab {reason}\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen) -> None:
    """End the server as Control-C would, kernels too; by force where it will not."""
    for kind, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, kind)
            process.wait(seconds)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


# ---------------------------------------------------------------- a notebook


@dataclass
class LiveNotebook:
    """A notebook open in JupyterLab. Cells are counted from 1, Markdown cells included."""

    lab: Lab
    page: "Page"
    path: str
    file: Path
    console: list[str] = field(default_factory=list)

    def open(self, seconds: float = 120, *, whole: bool = True) -> None:
        """Go to the notebook and wait until its kernel is there: before that, "Run" silently does nothing.

        Args:
            seconds: to wait for each.
            whole: wait also until all its cells are in the page; JupyterLab brings the lower ones by and by.

        Raises:
            LabError: no notebook or no kernel in time, or not all cells.
        """
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.set_default_timeout(1000 * seconds)
        self.page.goto(self.lab.page(self.path), wait_until="commit")
        self.until(self.page.locator(".jp-Notebook").count, seconds, "no notebook")
        self.until(self._has_kernel, seconds, "no kernel")
        number, cells = len(read_notebook(self.file).cells), self.page.locator(".jp-Notebook .jp-Cell")
        if whole:
            self.until(lambda: cells.count() == number, seconds, f"not all of its {number} cells are in the page")

    def _listen(self, message: Any) -> None:  # noqa: ANN401
        line = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(words in line for words in HARMLESS):
            self.console.append(line)

    def _has_kernel(self) -> bool:
        kernels = [s["kernel"] for s in self.lab.ask("sessions") if s["path"] == self.path]
        return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels) and self.idle()

    def idle(self) -> bool:
        """Whether the page shows that the kernel does nothing."""
        return self.page.locator(".jp-Notebook-ExecutionIndicator").get_attribute("data-status") == "idle"

    def until(self, ready: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait until `ready()` is true.

        Raises:
            LabError: it is not in time; the message says `what`, and after how many seconds.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise LabError(f"{self.path}: {what} after {seconds:.0f} s")
            self.page.wait_for_timeout(100)

    def choose(self, menu: str, entry: str) -> None:
        """Click an entry of a menu in the bar, by its words."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def cells(self) -> list[Cell]:
        """Return what the page shows of each cell."""
        return [Cell(**cell) for cell in self.page.evaluate(_OUTPUTS)]

    def start_all(self) -> None:
        """Clear the stored outputs, and choose Run All Cells."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")

    def run_all(self, seconds: float = 600) -> None:
        """Clear the stored outputs, run all cells, and wait until each has run, or the kernel has gone quiet.

        Raises:
            LabError: it took longer than `seconds`.
        """
        self.start_all()
        numbers = [number for number, _ in run_cells(read_notebook(self.file))]
        still = time.monotonic()

        def over() -> bool:
            nonlocal still
            if self.page.locator(".jp-Dialog").count():
                return True
            ran = [prompt.strip("[]: ") for prompt in self._prompts(numbers)]
            if "*" in ran or not self.idle():
                still = time.monotonic()
            return (all(ran) and self.idle()) or time.monotonic() - still > SECONDS_OF_SILENCE

        self.until(over, seconds, "still running")

    def _prompts(self, numbers: list[int]) -> list[str]:
        numbers_shown = self.page.locator(".jp-Notebook .jp-Cell").evaluate_all(
            "cells => cells.map(cell => cell.querySelector('.jp-InputPrompt')?.textContent ?? '')"
        )
        return [numbers_shown[number - 1] for number in numbers]

    def cell(self, number: int) -> "Locator":
        """Return a cell's place in the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number - 1)

    def wait_for_figure(self, number: int, seconds: float = 120) -> None:
        """Wait until a cell's figure is on the screen; scroll to it while what comes above still pushes it away.

        Raises:
            LabError: it is not in time.
        """
        figure = self.cell(number).locator(".jp-OutputArea-child img")
        self.until(lambda: figure.count() and figure.first.evaluate(_SEEN), seconds, f"no figure in cell {number}")

    def run_cell(self, number: int, source: str | None = None, seconds: float = 60) -> Cell:
        """Click into a cell, type `source` over what it holds, press Shift+Enter; return what the page then shows."""
        cell = self.cell(number)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        if source is not None:
            self.page.keyboard.press("ControlOrMeta+a")
            self.page.keyboard.insert_text(source)
        before = cell.locator(".jp-InputPrompt").inner_text()
        self.page.keyboard.press("Shift+Enter")

        def ran() -> bool:
            prompt = cell.locator(".jp-InputPrompt").inner_text()
            return prompt != before and "*" not in prompt and self.idle()

        self.until(ran, seconds, f"cell {number} still running")
        return self.cells()[number - 1]

    # ------------------------------------------------------------ looking at it

    def picture(self, number: int, path: Path) -> None:
        """Keep a picture of the screen with a cell's end in its middle."""
        self.cell(number).evaluate("cell => cell.lastElementChild.scrollIntoView({block: 'center'})")
        self.page.wait_for_timeout(200)
        self.page.screenshot(path=path)

    def faults_of_widgets(self) -> list[Fault]:
        """What a reader sees broken before running anything, such as a widget whose kernel is gone."""
        return [Fault(number, text) for number, cell in enumerate(self.cells(), start=1) for text in cell.faults]

    def look(self, pictures: Path) -> list[Fault]:
        """Scroll from top to bottom, keep a screenshot of each screen, and return what is wrong with what is there.

        A fault is an error or a red box where none belongs, a cell that did not run, a figure that is missing or wider
        than its place, a widget that never came, a dialog, an error in the browser's console.
        """
        faults_of: dict[int, list[str]] = {}
        for cells in self._screens(pictures):
            for number, cell in enumerate(cells, start=1):
                faults_of.setdefault(number, []).extend(
                    fault for fault in cell.faults if fault not in faults_of[number]
                )
        notebook, last = read_notebook(self.file), self.cells()
        for number, cell in run_cells(notebook):
            faults_of[number].extend(_contents(cell, last[number - 1]))
        faults = [
            fault_at(number, notebook.cells[number - 1], message)
            for number, messages in faults_of.items()
            for message in messages
        ]
        dialogs = self.page.locator(".jp-Dialog").all_inner_texts()
        return faults + [Fault(None, f"dialog: {text}") for text in dialogs] + self._console_faults()

    def _console_faults(self) -> list[Fault]:
        return [Fault(None, f"in the browser's console: {text}") for text in dict.fromkeys(self.console)]

    def _settle(self, seconds: float = 5) -> None:
        """Wait a moment for what has just come onto the screen, and longer where a widget is still on its way."""
        deadline = time.monotonic() + seconds
        self.page.wait_for_timeout(300)
        while time.monotonic() < deadline and any("a widget is" in f for cell in self.cells() for f in cell.faults):
            self.page.wait_for_timeout(300)

    def _screens(self, pictures: Path) -> Iterator[list[Cell]]:
        pictures.mkdir(parents=True, exist_ok=True)
        for old in pictures.glob("*.png"):
            old.unlink()
        pane = self.page.locator(".jp-Notebook .jp-WindowedPanel-outer")
        last = self.page.locator(".jp-Notebook .jp-Cell").last
        position, count, more = 0, 0, True
        while more:
            pane.evaluate("(pane, place) => { pane.scrollTop = place }", position)
            self._settle()
            count += 1
            self.page.screenshot(path=pictures / f"{count:02}.png")
            yield self.cells()
            bottom = last.evaluate("cell => cell.getBoundingClientRect().bottom")
            more = bottom > pane.evaluate("pane => pane.getBoundingClientRect().bottom") + 1
            position += pane.evaluate("pane => pane.clientHeight") - HEIGHT_SEEN_AGAIN


def _contents(cell: Any, shown: Cell) -> Iterator[str]:  # noqa: ANN401
    """What is wrong with what a cell shows, given the cell of the file."""
    if not shown.prompt.strip("[]: ").isdigit():
        yield f"did not run: its prompt is {shown.prompt!r}"
    if RAISES in tags(cell) and len(shown.red) != 1:
        yield f"should raise one error, and has {len(shown.red)} red boxes"
    if RAISES not in tags(cell):
        yield from (f"a red box: {text}" for text in shown.red)
    if "figure" in tags(cell) and shown.figures == 0:
        yield "shows no figure"
