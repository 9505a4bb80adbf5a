"""Set up the course: a virtual environment in .venv with every package at its pinned version.

Needs only Python and pip. `make lab` and `make test` call it; without make, run it directly:

    python scripts/setup_env.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
FREE_GB_NEEDED = 4
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetupError(Exception):
    """A step of the set-up failed; the text says which, why, and what to do."""


def run(command: list[str], step: str, advice: str) -> None:
    """Run one command of a step; on failure raise SetupError with the advice. Its output goes to the screen."""
    try:
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    except OSError as error:
        raise SetupError(f"step '{step}' could not start {command[0]}: {error}\n{advice}") from error
    if code != 0:
        raise SetupError(f"step '{step}' failed (exit status {code}): {' '.join(command)}\n{advice}")


def python_of(venv: Path) -> Path:
    """The interpreter inside a virtual environment, on any platform."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_machine(venv: Path) -> None:
    """Raise SetupError when Python is too old or the disk too full."""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(
            f"step 'check' failed: this is Python {platform.python_version()}, the course needs {wanted} or newer.\n"
            f"Install it and name it: make PYTHON=python{wanted} lab"
        )
    venv.parent.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(venv.parent).free / 1e9
    if free_gb < FREE_GB_NEEDED and not python_of(venv).exists():
        raise SetupError(
            f"step 'check' failed: {free_gb:.1f} GB free in {venv.parent}, the course needs {FREE_GB_NEEDED} GB.\n"
            "Free some space, then run the same command again."
        )


def create_venv(venv: Path) -> None:
    """Create the virtual environment, also where Python came without ensurepip (Debian's python3 without -venv)."""
    home = venv / ".home"
    moved = home.exists() and home.read_text() != str(ROOT)
    if python_of(venv).exists() and not moved and has_pip(venv):
        return
    have_ensurepip = subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0
    options = [] if have_ensurepip else ["--without-pip"]
    advice = "Delete the folder .venv and run the same command again; on Debian or Ubuntu: apt install python3-venv"
    run([sys.executable, "-m", "venv", "--clear", *options, str(venv)], "create .venv", advice)
    if not have_ensurepip:
        command = [sys.executable, "-m", "pip", "--python", str(python_of(venv)), "install", "-qq", "pip"]
        run(command, "create .venv", advice)
    home.write_text(str(ROOT))


def has_pip(venv: Path) -> bool:
    """Whether the environment's Python starts and has pip; an interrupted creation leaves it without."""
    probe = [str(python_of(venv)), "-m", "pip", "--version"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def pinned(package: str) -> str:
    """The line of constraints.txt that pins a package, such as `torch==2.13.0`."""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if re.match(rf"{re.escape(package)}==", line):
            return line.strip()
    raise SetupError(f"constraints.txt pins no {package}: restore the file with `git checkout constraints.txt`.")


def install_torch(venv: Path, index: str, *, into: Path | None = None) -> None:
    """Install torch alone and first, from its CPU index where that can be reached (the default build brings CUDA).

    With `into`, a folder, its wheel is put there instead.
    """
    how = ["wheel", "--wheel-dir", str(into)] if into else ["install"]
    pip = [str(python_of(venv)), "-m", "pip", *how, "-qq", "--no-deps", pinned("torch")]
    if index and platform.system() != "Darwin":
        small = [*pip, "--retries", "0", "--extra-index-url", index]
        if subprocess.run(small, cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
        print("      its index of CPU builds cannot be reached: taking the default build, which may bring CUDA (GBs)")
    run(pip, "install torch", "Check the network (pip must reach its package index), then run the same command again.")


def install_course(venv: Path, extras: str) -> None:
    """Install the course in editable form with its extras, every version as constraints.txt has it."""
    command = [str(python_of(venv)), "-m", "pip", "install", "-qq", "--constraint", "constraints.txt"]
    command += ["--editable", f".[{extras}]"]
    advice = (
        "Check the network (pip must reach its package index), then run the same command again: finished downloads\n"
        "are kept. If pip reports a conflict, delete the folder .venv first."
    )
    run(command, "install the course", advice)
    run([str(python_of(venv)), "-m", "pip", "check"], "check the installed packages", advice)


def quiet_jupyterlab(venv: Path) -> None:
    """Switch off JupyterLab's question about news: the course works without a network and asks for none."""
    settings = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    folder = venv / "etc" / "jupyter" / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def fingerprint(extras: str) -> str:
    """A digest of everything that the installed set depends on, the place of the course and its Python among it."""
    digest = hashlib.sha256(f"{extras}|{ROOT}|{Path(sys.executable).resolve()}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Run the steps in order; print which one runs, and what to do when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment (default: .venv)")
    parser.add_argument("--extras", default="lab,download,demo,test", help="extras of pyproject.toml, comma-separated")
    parser.add_argument("--torch-index", default=CPU_INDEX, help="where torch's CPU build is; '' for the CUDA build")
    options = parser.parse_args()
    venv, stamp = options.venv.resolve(), options.venv.resolve() / ".ok"
    try:
        check_machine(venv)
        if stamp.exists() and stamp.read_text() == fingerprint(options.extras):
            stamp.touch()
            return 0
        print("[1/3] creating .venv", flush=True)
        create_venv(venv)
        print("[2/3] installing torch (200 MB)", flush=True)
        install_torch(venv, options.torch_index)
        print("[3/3] installing the course and its packages (2-4 minutes the first time)", flush=True)
        install_course(venv, options.extras)
        quiet_jupyterlab(venv)
    except SetupError as error:
        print(f"\nSet-up stopped: {error}", file=sys.stderr)
        return 1
    stamp.write_text(fingerprint(options.extras))
    return 0


if __name__ == "__main__":
    sys.exit(main())
