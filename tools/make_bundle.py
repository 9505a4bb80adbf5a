"""Make the offline bundle: a folder and a zip that install the course in a room with no network.

    make bundle
    .venv/bin/python tools/make_bundle.py --out build/bundle

It holds the course as the last commit has it, without its history; the wheels of everything that a learner needs (the
encoder is one of them), without test tools and demo; an installer; and one page to read first. Wheels fit one version
of Python and one kind of computer: those of the Python that runs this. For a room with several kinds, run it once on
one of each (on the oldest system in the room) and put the zips side by side.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import install_bundle
import setup_env

ROOT = setup_env.ROOT
EXTRAS = "lab"
README, INSTALLER = "README-FIRST.txt", "install.py"
PAGE = """\
From Counts to BERT {version}: the course, to install without a network
{rule}

For {made_for} (any {python}.x). Needs 3 GB of disk. No network, no account.
Made on {date} from commit {commit}.

Have you Python {python}? In a terminal (Windows: PowerShell):

    Linux, macOS    python{python} --version
    Windows         py -{python} --version

Install, in the folder that holds this page:

    Linux, macOS    python{python} install.py
    Windows         py -{python} install.py

It checks that the copy is whole, puts the course into the folder counts-to-bert in your home, and takes one to three
minutes. Another place: add --into FOLDER. On Windows take a short one, such as C:\\course: long paths fail there.

Open the course with the two lines that the installer prints at its end, which are, by default:

    Linux, macOS    cd ~/counts-to-bert
                    .venv/bin/jupyter lab notebooks/00_start_here.ipynb

    Windows         cd ~\\counts-to-bert
                    .venv\\Scripts\\jupyter lab notebooks\\00_start_here.ipynb

When something is wrong
    "the copy is not whole"      A file was damaged on the way, and is named. Copy the folder, or unzip it, again.
    "this bundle is for ..."     Another Python or computer. Start it with Python {python}, or ask for your bundle.
    anything else                Start the installer again. What you changed in the course stays as it is.

For the teacher
    The folder and the zip hold the same. Nothing in them is changed by installing: a stick or a shared folder will do.
    Try it once on a computer of the room. A bundle for another Python or kind of computer is made on one of that kind:
    in the course's repository, with a network, `make bundle`; without make, `python scripts/setup_env.py`, then the
    environment's Python with tools/make_bundle.py. Python itself is not in the bundle: https://www.python.org
    `make lab` and `make test` would want the network; the lines above do not. What is not in the bundle: tests' tools,
    the demo page of notebook 08 (gradio), downloads of real data. Put real data that you have into data/ yourself.
"""


def copy_repository(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder, without history, and nothing that git does not track.

    Raises:
        SetupError: this is no git checkout, or there is no such commit.
    """
    archive = git("archive", "--format=zip", "-0", commit)
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        file.extractall(folder)


def git(*arguments: str) -> bytes:
    """The output of a git command in the repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except OSError as error:
        raise setup_env.SetupError(f"the bundle holds a commit, so git is needed: {error}") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise setup_env.SetupError(
            f"git {' '.join(arguments)} failed: {reason}\nRun this in a clone of the repository."
        )
    return done.stdout


def requirements(course: Path) -> list[str]:
    """What a learner's environment needs: the course's dependencies, the extra `lab`, and what builds the course."""
    pyproject = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    extras = [line for extra in EXTRAS.split(",") for line in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *extras, *pyproject["build-system"]["requires"], "pip"]


def collect_wheels(course: Path, wheels: Path, torch_index: str) -> None:
    """Fetch a wheel of every package, at its version in constraints.txt; build it where there is only a source."""
    wheels.mkdir()
    venv = Path(sys.prefix)
    setup_env.install_torch(venv, torch_index, into=wheels)
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary, "requirements.txt")
        listed.write_text("\n".join(requirements(course)) + "\n", encoding="utf-8")
        held = ["--constraint", str(course / "constraints.txt"), "--find-links", str(wheels)]
        command = [str(setup_env.python_of(venv)), "-m", "pip", "wheel", "-qq", *held]
        advice = "Check the network (pip must reach its package index), then run the same command again."
        setup_env.run([*command, "-r", str(listed), "-w", str(wheels)], "fetch the wheels", advice)


def write_sums(bundle: Path) -> int:
    """Write SHA256SUMS, one line for each other file, as sha256sum does; return how many."""
    target = bundle / install_bundle.SUMS
    files = sorted(p for p in bundle.rglob("*") if p.is_file() and p != target)
    lines = [f"{install_bundle.digest(path)}  {path.relative_to(bundle).as_posix()}" for path in files]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(lines)


def pack(bundle: Path) -> Path:
    """Zip the folder beside itself; wheels are compressed already and are stored as they are."""
    target = bundle.with_name(bundle.name + ".zip")
    partial = target.with_name(target.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
            how = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
            file.write(path, path.relative_to(bundle.parent), how)
    partial.replace(target)
    return target


def describe(commit: str, version: str) -> dict[str, str]:
    """What the bundle is and what it is for, for bundle.json and the page."""
    made = {"version": version, "commit": commit, "date": str(datetime.date.today()), "extras": EXTRAS}
    return {**made, **install_bundle.this_machine()}


def name_of(about: dict[str, str]) -> str:
    """The name of the bundle's folder, such as counts-to-bert-0.1.0-linux-x86_64-py311."""
    python = about["python"].replace(".", "")
    return f"counts-to-bert-{about['version']}-{about['system']}-{about['machine']}-py{python}".lower()


def make(out: Path, torch_index: str) -> Path:
    """Make the bundle's folder under a temporary name, and rename it when it is whole; return it."""
    commit = git("rev-parse", "HEAD").decode().strip()
    if changed := git("status", "--porcelain", "--untracked-files=no").decode().splitlines():
        print(f"      {len(changed)} changed files are not in the bundle as they stand: it holds commit {commit[:10]}")
    project = tomllib.loads(git("show", f"{commit}:pyproject.toml").decode())["project"]
    about = describe(commit, project["version"])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as temporary:
        bundle = Path(temporary, name_of(about))
        copy_repository(commit, bundle / "course")
        print("[2/3] fetching the wheels (600 MB)", flush=True)
        collect_wheels(bundle / "course", bundle / "wheels", torch_index)
        shutil.copy2(bundle / "course" / "scripts" / "install_bundle.py", bundle / INSTALLER)
        (bundle / install_bundle.ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        page = PAGE.format(**about, made_for=install_bundle.in_words(about), rule="=" * 72)
        (bundle / README).write_text(page, encoding="utf-8", newline="\r\n")
        write_sums(bundle)
        final = out / bundle.name
        shutil.rmtree(final, ignore_errors=True)
        bundle.rename(final)
    return final


def size_mb(path: Path) -> float:
    """Size of a file, or of all files in a folder, in MB."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 1e6


def main() -> int:
    """Make folder and zip; print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bundle", help="folder (default: build/bundle)")
    parser.add_argument("--torch-index", default=setup_env.CPU_INDEX, help="where torch's CPU build is; '' for CUDA")
    options = parser.parse_args()
    try:
        print("[1/3] copying the course", flush=True)
        bundle = make(options.out.resolve(), options.torch_index)
        print("[3/3] packing the zip", flush=True)
        packed = pack(bundle)
    except setup_env.SetupError as error:
        print(f"\nNo bundle: {error}", file=sys.stderr)
        return 1
    print(f"{bundle} ({size_mb(bundle):.0f} MB)\n{packed} ({size_mb(packed):.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
