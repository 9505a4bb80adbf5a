"""Install the course into the running kernel of a Colab session, and leave what is installed there as it is.

    %run scripts/colab_setup.py    # in a cell, in the course's folder

The guard cell of each notebook runs it in its clone of the repository. Every package that Colab brings and that fits
the course keeps its version, torch and numpy in any case; what is missing is installed, and no restart is needed.
"""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
COURSE = "counts-to-bert"
NEVER_CHANGED = ("torch", "torchvision", "torchaudio", "torchcodec", "triton", "numpy")
BUILD_TOOLS = {"pip", "setuptools", "wheel"}  # pip builds the course in an environment of its own, with newer ones
ERROR_LINES = 15


class SetupError(RuntimeError):
    """The course could not be installed; the text says why, and what to do."""


def installed() -> dict[str, str]:
    """Return the version of every package that this kernel sees, by its canonical name."""
    versions: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        name = package.metadata["Name"]
        if name and package.version:
            versions.setdefault(canonicalize_name(name), package.version)
    return versions


def ranges() -> dict[str, Requirement]:
    """Return what the course needs, by canonical name, from its pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(needed.name): needed for needed in map(Requirement, project["dependencies"])}


def constraints(versions: dict[str, str], needed: dict[str, Requirement]) -> list[str]:
    """Return pip's constraints that hold every installed package whose version fits the course."""
    held = []
    for name, version in versions.items():
        try:
            number = Version(version)
        except InvalidVersion:  # older than today's rules for versions; pip could not read the line
            continue
        fits = name not in needed or needed[name].specifier.contains(number, prereleases=True)
        if name != COURSE and name not in BUILD_TOOLS and (fits or name in NEVER_CHANGED):
            held.append(f"{name}=={version}")
    return sorted(held)


def pip_install(held: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Install the course in editable form under these constraints; all that pip says stands in `stdout`."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "constraints.txt")
        lines.write_text("\n".join(held) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command += ["--constraint", str(lines), "--editable", str(ROOT)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def install() -> None:
    """Install what is missing; hold all that fits, or where that cannot be, the few that must never change.

    Raises:
        SetupError: pip failed; the text holds its last lines.
    """
    held = constraints(installed(), ranges())
    done = pip_install(held)
    if done.returncode != 0 and "ResolutionImpossible" in done.stdout:
        done = pip_install(line for line in held if _never_changed(line.split("==")[0]))
    if done.returncode != 0:
        output = "\n".join(done.stdout.strip().splitlines()[-ERROR_LINES:])
        raise SetupError(
            f"the course's packages could not be installed (pip ended with {done.returncode}). If the network failed, "
            "run this cell again; else take a fresh machine by Runtime > Disconnect and delete runtime, and run it "
            f"there. pip says:\n{output}"
        )


def _never_changed(name: str) -> bool:
    return name in NEVER_CHANGED or name.startswith("nvidia-")


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return what became of packages that were there before, as `{"name": "1.0 -> 2.0"}`."""
    return {name: f"{old} -> {after.get(name, 'gone')}" for name, old in before.items() if after.get(name) != old}


def imported(names: Iterable[str]) -> list[str]:
    """Return those packages of which this kernel has imported a module, so that the old one is still in use."""
    wanted, modules = set(names), importlib.metadata.packages_distributions()
    return sorted(
        {name for module in modules if module in sys.modules for name in map(canonicalize_name, modules[module])}
        & wanted
    )


def enter() -> None:
    """Make `helpers` importable in this kernel, and work in the folder of the notebooks."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    importlib.invalidate_caches()
    os.chdir(ROOT / "notebooks")


def main() -> None:
    """Install, enter, and say what changed.

    Raises:
        SetupError: see `install`.
    """
    before = installed()
    print("Installing what the course needs and Colab lacks; this takes a minute or two.", flush=True)
    install()
    enter()
    after = installed()
    changed = changes({name: version for name, version in before.items() if name != COURSE}, after)
    new = sorted(set(after) - set(before) - {COURSE})
    kept = ", ".join(f"{name} {after[name]}" for name in ("torch", "numpy") if name in before and name not in changed)
    print(f"Installed: {', '.join(new) or 'nothing but the course'}. As they were: {kept}.")
    if changed:
        print("Changed: " + ", ".join(f"{name} {what}" for name, what in changed.items()))
    if stale := imported(changed):
        print(f"In use before they changed: {', '.join(stale)}. Choose Runtime > Restart session, then run all cells.")


if __name__ == "__main__":
    main()
