"""Write the repository's address into every notebook's guard cell and badge, or take it away again.

    python tools/stamp_links.py --repo owner/name    # also --branch, default main
    python tools/stamp_links.py --repo none          # no address: no badge
    python tools/stamp_links.py                      # write anew what pyproject.toml names
    python tools/stamp_links.py --check              # exit code 1 when a file is out of step

The address stands in one place, the table [tool.counts-to-bert] of pyproject.toml. With it, each notebook carries a
badge that opens it on Colab, and its guard cell fetches and installs the course there. Outputs and counts stay as they
are: the guard cell prints nothing on a machine of one's own, whichever address stands in it.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from notebook_outputs import GUARD, ROOT, read_notebook, tags
from run_notebooks import store

COMMAND = "python tools/stamp_links.py"
COLAB = "https://colab.research.google.com"
PLAIN_GUARD = """\
import importlib.util

if importlib.util.find_spec("helpers") is None:
    raise ImportError(
        "No `helpers` in this kernel. On your machine: run `make lab`. "
        "On Colab: `%run scripts/colab_setup.py` in the course's folder."
    )"""
STAMPED_GUARD = """\
import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

COURSE = "https://github.com/{repository}"
BRANCH, FOLDER = "{branch}", "{name}"
if importlib.util.find_spec("helpers") is None:
    if "google.colab" not in sys.modules:
        raise ImportError("No `helpers` in this kernel: run `make lab`.")
    if not Path(FOLDER).is_dir():
        command = ["git", "clone", "--depth=1", "--branch", BRANCH, COURSE]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise ConnectionError(
                f"{{COURSE}} could not be fetched. If that is the course's "
                f"address, run this cell again. git says: {{done.stderr}}"
            )
    runpy.run_path(f"{{FOLDER}}/scripts/colab_setup.py", run_name="__main__")"""

_BADGE = r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)"
_BADGE_OF_TITLE = re.compile(rf"\n\n{_BADGE} · \[all notebooks\]\([^)]*\)$", re.MULTILINE)
_BADGE_OF_LINK = re.compile(rf" {_BADGE}")
_TABLE = re.compile(r'^\[tool\.counts-to-bert\]\n(?:#.*\n)*repository = "(.*)"\nbranch = "(.*)"$', re.MULTILINE)
_LESSON_LINK = re.compile(r"^\| \[[^\]]*\]\((notebooks/\d\d_\w+\.ipynb)\)", re.MULTILINE)


class Address(NamedTuple):
    """Where the course lies on GitHub: `owner/name` and a branch."""

    repository: str
    branch: str = "main"

    @property
    def url(self) -> str:
        """The repository's page, and what git clones."""
        return f"https://github.com/{self.repository}"


def parse_address(repository: str, branch: str = "main") -> Address | None:
    """Return the address, None for an empty one.

    Raises:
        ValueError: not `owner/name`, or no name of a branch.
    """
    if not repository:
        return None
    if repository.endswith(".git") or not re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_][\w.-]*", repository, re.ASCII
    ):
        raise ValueError(f"the repository is {repository!r}: write owner/name, as on GitHub")
    if not re.fullmatch(r"\w[\w./-]*", branch, re.ASCII):
        raise ValueError(f"the branch is {branch!r}: write its name, such as main")
    return Address(repository, branch)


def read_address(pyproject: Path = ROOT / "pyproject.toml") -> Address | None:
    """Return the address that pyproject.toml names, None while it names none.

    Raises:
        ValueError: the table [tool.counts-to-bert] is missing, or does not name a repository and a branch.
    """
    table = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {}).get("counts-to-bert", {})
    try:
        return parse_address(table["repository"], table["branch"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{pyproject}, table [tool.counts-to-bert]: {error}") from error


# ---------------------------------------------------------------- what is written


def guard(address: Address | None) -> str:
    """Return the source of the guard cell, the same in every notebook."""
    if address is None:
        return PLAIN_GUARD
    name = address.repository.split("/")[1]
    return STAMPED_GUARD.format(repository=address.repository, branch=address.branch, name=name)


def badge(path: str, address: Address) -> str:
    """Return the badge of the notebook at `path`, such as notebooks/01_eda.ipynb."""
    target = f"{COLAB}/github/{address.repository}/blob/{address.branch}/{path}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"


def without_badge(source: str) -> str:
    """Return a title cell's source without its badge."""
    return _BADGE_OF_TITLE.sub("", source)


def at_exercise(source: str) -> str:
    """Return a solution's title cell with the badge of its exercise."""
    return _BADGE_OF_TITLE.sub(lambda found: found[0].replace("/notebooks/solutions/", "/notebooks/exercises/"), source)


def titled(source: str, path: str, address: Address | None) -> str:
    """Return a title cell with the badge below its heading, or without one.

    Links between notebooks lead nowhere on Colab, so a link to the README, with its list of badges, stands beside it.
    """
    source = without_badge(source)
    if address is None:
        return source
    heading, newline, rest = source.partition("\n")
    line = f"{badge(path, address)} · [all notebooks]({address.url})"
    return f"{heading}\n\n{line}{newline}{rest}"


def stamp(notebook: NotebookNode, path: str, address: Address | None) -> None:
    """Write badge and guard into a notebook, in place.

    Args:
        notebook: a lesson, a solution or an exercise.
        path: its place in the repository.
        address: None takes the badge away.

    Raises:
        ValueError: no heading, or no guard cell, to write to.
    """
    titles = [cell for cell in notebook.cells if cell.cell_type == "markdown" and cell.source.startswith("# ")]
    guards = [cell for cell in notebook.cells if GUARD in tags(cell)]
    if not titles:
        raise ValueError(f"{path}: no Markdown cell begins with '# ', so there is no place for a badge")
    if len(guards) != 1:
        raise ValueError(f"{path}: {len(guards)} cells with the tag {GUARD!r}, not 1")
    titles[0].source = titled(titles[0].source, path, address)
    guards[0].source = guard(address)


def stamp_readme(text: str, address: Address | None) -> str:
    """Return the README with a badge behind each link to a lesson in its table, or without them."""
    text = _BADGE_OF_LINK.sub("", text)
    if address is None:
        return text
    return _LESSON_LINK.sub(lambda link: f"{link[0]} {badge(link[1], address)}", text)


def stamp_pyproject(text: str, address: Address | None) -> str:
    """Return pyproject.toml with the address.

    Raises:
        ValueError: the table [tool.counts-to-bert] is not written as `_TABLE` reads it.
    """
    match = _TABLE.search(text)
    if match is None:
        raise ValueError('pyproject.toml: no table [tool.counts-to-bert] with repository = "" and branch = "main"')
    repository, branch = address or ("", "main")
    table = text[match.start() : match.start(1)] + f'{repository}"\nbranch = "{branch}"'
    return text[: match.start()] + table + text[match.end() :]


# ---------------------------------------------------------------- the files


def stamped_files(root: Path, address: Address | None) -> dict[Path, str]:
    """Return the text that each file of the course should have with this address.

    Raises:
        ValueError: a file cannot be stamped; the message names it.
    """
    texts, folder = {}, root / "notebooks"
    solutions = sorted(folder.glob("solutions/[0-9][0-9]_*.ipynb"))
    exercises = [path for solution in solutions if (path := folder / "exercises" / solution.name).exists()]
    for path in [*sorted(folder.glob("[0-9][0-9]_*.ipynb")), *solutions, *exercises]:
        notebook = read_notebook(path)
        stamp(notebook, path.relative_to(root).as_posix(), address)
        texts[path] = nbformat.writes(notebook).rstrip("\n") + "\n"
    for name, write in {"README.md": stamp_readme, "pyproject.toml": stamp_pyproject}.items():
        texts[root / name] = write((root / name).read_text(encoding="utf-8"), address)
    return texts


def out_of_step(root: Path, address: Address | None) -> dict[Path, str]:
    """Return the files that differ from what this address gives, with their new texts."""
    texts = stamped_files(root, address)
    return {path: text for path, text in texts.items() if path.read_text(encoding="utf-8") != text}


def main(arguments: list[str] | None = None) -> int:
    """Stamp or check the course; return 1 when a file is out of step or cannot be stamped."""
    parser = argparse.ArgumentParser(description="Write the repository's address into badges and guard cells.")
    parser.add_argument("--repo", help="owner/name on GitHub, or none (default: what pyproject.toml names)")
    parser.add_argument("--branch", help="the branch that Colab opens (main)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is out of step")
    parser.add_argument("--root", type=Path, default=ROOT, help="the course's folder")
    options = parser.parse_args(arguments)
    if options.branch and options.repo in (None, "none"):
        parser.error("--branch goes with --repo owner/name")
    try:
        if options.repo is None:
            address = read_address(options.root / "pyproject.toml")
        else:
            address = parse_address("" if options.repo == "none" else options.repo, options.branch or "main")
        changed = out_of_step(options.root, address)
    except ValueError as error:
        print(error)
        return 1
    for path, text in changed.items():
        if not options.check:
            store(path, text)
        mend = f"is out of step; fix it by: {COMMAND}" if options.check else "written"
        print(f"{path.relative_to(options.root)}: {mend}")
    print(f"address: {address.url if address else 'none'}; files out of step: {len(changed) if options.check else 0}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
