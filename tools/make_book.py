"""Build the whole course as a static site in build/book, from stored outputs, and check it. Nothing is executed.

    make book
    python tools/make_book.py [--out FOLDER]

The packages of the extra `book` are installed first where they are missing. A site with a warning or a fault is no
site: the one that was built before stays.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import check_book
from packaging.requirements import Requirement

ROOT = check_book.ROOT


def missing(requirements: list[str]) -> list[str]:
    """The requirements that this environment does not meet."""

    def met(requirement: Requirement) -> bool:
        try:
            return requirement.specifier.contains(version(requirement.name))
        except PackageNotFoundError:
            return False

    return [text for text in requirements if not met(Requirement(text))]


def install_missing() -> None:
    """Install what the extra `book` names and this environment lacks, at the versions of constraints.txt.

    Raises:
        SystemExit: pip could not install them; the message says what to do.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = missing(project["optional-dependencies"]["book"])
    if not needed:
        return
    print(f"installing {', '.join(needed)}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "-qq", "--constraint", str(ROOT / "constraints.txt"), *needed]
    if subprocess.run(command, check=False).returncode:
        sys.exit("The packages of the book could not be installed. Check the network, then run `make book` again.")


def build(folder: Path) -> int:
    """Have Sphinx write the site into a folder, from scratch, warnings being errors; return its exit code."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--builder",
        "html",
        "--conf-dir",
        str(ROOT / "docs"),
        "--fail-on-warning",
    ]
    command += ["--keep-going", "--quiet", "--fresh-env", "--doctree-dir", str(folder.with_name("doctrees"))]
    return subprocess.run([*command, str(ROOT), str(folder)], check=False, cwd=ROOT).returncode


def main(arguments: list[str] | None = None) -> int:
    """Build under a temporary name, check, and rename; return 1 when something is wrong."""
    parser = argparse.ArgumentParser(description="Build the course as a static site and check it.")
    parser.add_argument("--out", type=Path, default=check_book.BOOK, help="where the site goes (default: build/book)")
    out = parser.parse_args(arguments).out.resolve()
    install_missing()
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    site = part / "site"  # beside it Sphinx and MyST-NB leave what they work on
    if build(site):
        print(f"The site has warnings, above; what was built lies in {site}.", file=sys.stderr)
        return 1
    if check_book.main([str(site)]):
        print(f"The site has faults, above; it lies in {site}.", file=sys.stderr)
        return 1
    shutil.rmtree(out, ignore_errors=True)
    site.replace(out)
    shutil.rmtree(part)
    print(f"Open {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
