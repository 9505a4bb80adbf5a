"""Install the course from this folder, with no network.

    python3 install.py                      # into ~/counts-to-bert
    python3 install.py --into FOLDER

Nothing in this folder is changed, so it may lie on a stick. What you changed in the installed course stays as it is
when you install again.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

# No newer syntax than Python 3.8 here: an old Python must come as far as the word that it is too old.
HERE = Path(__file__).resolve().parent
SUMS, ABOUT, MARK = "SHA256SUMS", "bundle.json", ".from-bundle"
FREE_GB_NEEDED = 3
OPENED_FIRST = "notebooks/00_start_here.ipynb"


class InstallError(Exception):
    """The course cannot be installed; the text says why and what to do."""


def this_machine() -> dict[str, str]:
    """What wheels depend on: kind and version of Python, system, processor."""
    return {
        "implementation": platform.python_implementation(),
        "python": "{}.{}".format(*sys.version_info[:2]),
        "system": platform.system(),
        "machine": platform.machine(),
    }


def in_words(machine: dict[str, str]) -> str:
    """A Python and its machine, such as `CPython 3.11 on macOS arm64`."""
    system = "macOS" if machine["system"] == "Darwin" else machine["system"]
    return f"{machine['implementation']} {machine['python']} on {system} {machine['machine']}"


def check_python(about: dict[str, str], machine: dict[str, str]) -> None:
    """Raise InstallError where the bundle was made for another Python or another kind of computer."""
    names = ("implementation", "python", "system", "machine")
    if all(about[name] == machine[name] for name in names):
        return
    made_for, here = in_words(about), in_words(machine)
    if (about["system"], about["machine"]) == (machine["system"], machine["machine"]):
        start = f"py -{about['python']}" if about["system"] == "Windows" else f"python{about['python']}"
        advice = f"Start it with that Python, if you have it: {start} install.py"
    else:
        advice = "Ask for the bundle for your kind of computer: `make bundle` on one of that kind makes it."
    raise InstallError(f"this bundle is for {made_for}; you have {here}.\n{advice}")


def read_about(path: Path) -> dict:
    """What the bundle says of itself.

    Raises:
        InstallError: the file is no JSON any more.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InstallError(f"{path} is corrupt: the copy is not whole. Copy the bundle again.") from error


def check_files(bundle: Path) -> int:
    """Compare every file with SHA256SUMS; return how many there are.

    Raises:
        InstallError: a file is missing or its bytes are not those of the maker; the text names it.
    """
    sums = bundle / SUMS
    if not sums.is_file():
        raise InstallError(f"{sums} is missing: the copy is not whole. Copy the bundle again.")
    lines = sums.read_text(encoding="utf-8").splitlines()
    if not lines or any("  " not in line for line in lines):
        raise InstallError(f"{sums} is corrupt: the copy is not whole. Copy the bundle again.")
    faults = []
    for line in lines:
        wanted, name = line.split("  ", 1)
        path = bundle / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif digest(path) != wanted:
            faults.append(f"{name} is damaged ({path.stat().st_size:,} bytes)")
    if faults:
        more = f"\n... and {len(faults) - 5} more" if len(faults) > 5 else ""
        listing = "\n".join(faults[:5]) + more
        raise InstallError(
            f"the copy is not whole:\n{listing}\nCopy the bundle again (unzip it again), then start anew."
        )
    return len(lines)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha.update(block)
    return sha.hexdigest()


def check_system(wheels: Path) -> None:
    """Raise InstallError where Python or the system is older than a wheel needs; the text names one such wheel."""
    sys.path.insert(0, str(pip_wheel(wheels)))
    from pip._vendor.packaging import specifiers, tags, utils

    here, known = platform.python_version(), set(tags.sys_tags())
    for wheel in sorted(wheels.glob("*.whl")):
        wanted = python_wanted(wheel)
        if not specifiers.SpecifierSet(wanted).contains(here, prereleases=True):
            raise InstallError(f"{wheel.name} wants Python {wanted}; this is {here}. Install a newer release of it.")
    strange = [w.name for w in sorted(wheels.glob("*.whl")) if not known & utils.parse_wheel_filename(w.name)[3]]
    if strange:
        raise InstallError(
            f"{len(strange)} packages do not fit this system ({platform.platform()}), such as {strange[0]}.\n"
            "It is older than the one that made the bundle: update it, or make a bundle on the oldest one in the room."
        )


def python_wanted(wheel: Path) -> str:
    """The versions of Python that a wheel names, such as `>=3.9`; "" where it names none."""
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        text = file.read(name).decode("utf-8", "replace")
    return email.message_from_string(text).get("Requires-Python", "")


def pip_wheel(wheels: Path) -> Path:
    """The wheel of pip, from which pip runs as it is."""
    return next(wheels.glob("pip-*.whl"))


def copy_course(source: Path, target: Path) -> list[str]:
    """Copy the course; return the files that the reader changed and that differ, which stay as they are.

    A file that is still as an older bundle brought it is replaced by the newer one.

    Raises:
        InstallError: the target holds something that no bundle put there.
    """
    if target.exists() and any(target.iterdir()) and not (target / MARK).exists():
        raise InstallError(f"{target} is there already, and not from a bundle. Name another: install.py --into FOLDER")
    target.mkdir(parents=True, exist_ok=True)
    mark = target / MARK
    brought = json.loads((mark.read_text(encoding="utf-8") if mark.exists() else "") or "{}")
    mark.touch()
    kept = []
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        name, new = path.relative_to(source).as_posix(), digest(path)
        copy = target / name
        old = digest(copy) if copy.exists() else None
        if old is not None and old != new and old != brought.get(name):
            kept.append(name)
            continue
        if old != new:
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(copy.name + ".part")
            shutil.copy2(path, partial)
            partial.replace(copy)
        brought[name] = new
    partial = mark.with_name(mark.name + ".part")
    partial.write_text(json.dumps(brought), encoding="utf-8")
    partial.replace(mark)
    return kept


def check_disk(target: Path) -> None:
    """Raise InstallError where the disk is too full."""
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e9
    if free < FREE_GB_NEEDED:
        raise InstallError(f"{free:.1f} GB free in {there}; the course needs {FREE_GB_NEEDED} GB. Free some space.")


def clean_environment() -> dict[str, str]:
    """The environment variables without those that lead pip or Python elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def install(wheels: Path, target: Path, extras: str) -> None:
    """Make the virtual environment and install the course there, from the wheels alone."""
    venv = target / ".venv"
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)])
    python = program(venv, "python")
    offline = ["install", "-qq", "--no-index", "--find-links", str(wheels)]
    run([str(python), str(pip_wheel(wheels) / "pip"), *offline, "pip"])
    run([str(python), "-m", "pip", *offline, "-c", "constraints.txt", "-e", f".[{extras}]"], folder=target)
    run([str(python), "-m", "pip", "check"], folder=target)
    sys.path.insert(0, str(target / "scripts"))
    from setup_env import quiet_jupyterlab

    quiet_jupyterlab(venv)


def program(venv: Path, name: str) -> Path:
    """A program of the virtual environment, on any system."""
    return venv / ("Scripts" if os.name == "nt" else "bin") / (name + (".exe" if os.name == "nt" else ""))


def run(command: list[str], folder: Path | None = None) -> None:
    """Run a command; raise InstallError with its last lines where it fails."""
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InstallError(f"{' '.join(command)}\nended with status {done.returncode}:\n{last}")


def how_to_start(target: Path) -> str:
    """The two lines that open the course."""
    jupyter = program(Path(".venv"), "jupyter").with_suffix("")
    root = " --allow-root" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    return f'  cd "{target}"\n  {jupyter} lab{root} {Path(OPENED_FIRST)}'


def main() -> int:
    """Check the machine and the files, copy, install; say how to start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path.home() / "counts-to-bert", help="folder for the course")
    target = parser.parse_args().into.expanduser().resolve()
    began = time.monotonic()
    try:
        about = read_about(HERE / ABOUT)
        check_python(about, this_machine())
        check_disk(target)
        print("[1/3] checking the files", flush=True)
        check_files(HERE)
        check_system(HERE / "wheels")
        print(f"[2/3] copying the course to {target}", flush=True)
        kept = copy_course(HERE / "course", target)
        if kept:
            print(f"      {len(kept)} files were there and differ; they stay as they are: {', '.join(kept[:3])}")
        print("[3/3] installing the packages (1-3 minutes)", flush=True)
        install(HERE / "wheels", target, about["extras"])
    except (InstallError, OSError) as error:
        print(f"\nNot installed: {error}", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - began:.0f} s. To open the course:\n\n{how_to_start(target)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
