"""Prove the offline bundle: install it from its zip, in a fresh place with no network, and run notebooks there.

    make test-bundle
    .venv/bin/python tools/try_bundle.py build/bundle/NAME.zip --notebooks 01_eda 04_bert_finetuning

On Linux the network is cut by a namespace of its own (unshare), which has the loopback only, as Jupyter's kernels need
it; elsewhere every proxy variable points nowhere. The home is an empty folder, so that no cache helps.
"""

import argparse
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import make_bundle

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import install_bundle

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("01_eda", "04_bert_finetuning")
KEPT = ("PATH", "LANG", "SYSTEMROOT", "COMSPEC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
NOWHERE = "http://127.0.0.1:9"
REACH_OUT = "import socket; socket.create_connection(('1.1.1.1', 443), timeout=5)"


class TrialError(Exception):
    """The bundle does not do what it says."""


def network_cutter() -> list[str]:
    """The beginning of a command line that takes the network away from what follows; empty where there is no way."""
    rights = [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"]
    cutter = ["unshare", *rights, "--net", sys.executable, str(Path(__file__).resolve()), "--inside"]
    if not shutil.which("unshare"):
        return []
    works = subprocess.run([*cutter, sys.executable, "-c", "pass"], capture_output=True, check=False).returncode == 0
    return cutter if works else []


def run_inside(command: list[str]) -> None:
    """In the new namespace: bring the loopback up, which Jupyter's kernels need, and become the command."""
    import fcntl

    set_flags, up_and_running = 0x8914, 0x41  # SIOCSIFFLAGS; IFF_UP | IFF_RUNNING
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        fcntl.ioctl(channel, set_flags, struct.pack("16sh22x", b"lo", up_and_running))
    os.execvp(command[0], command)


def environment(home: Path) -> dict[str, str]:
    """The variables of a machine that has never run the course, and whose proxies lead nowhere."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    return {**kept, **proxies, "no_proxy": "127.0.0.1,localhost", "HOME": str(home), "USERPROFILE": str(home)}


def start(command: list[str], home: Path, *, folder: Path) -> tuple[subprocess.CompletedProcess, float]:
    """Run a command with the network cut off; return it, with its output as text, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [*network_cutter(), *command], cwd=folder, env=environment(home), capture_output=True, text=True, check=False
    )
    return done, time.monotonic() - began


def expect(done: subprocess.CompletedProcess, what: str) -> None:
    """Raise TrialError with the last lines of a command that failed."""
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise TrialError(f"{what} ended with status {done.returncode}:\n{last}")


def refuse_a_torn_copy(bundle: Path, home: Path, installer: list[str]) -> None:
    """Damage one byte of a wheel and see the installer name it; restore it."""
    wheel = min((bundle / "wheels").glob("*.whl"), key=lambda path: path.stat().st_size)
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done, _ = start(installer, home, folder=bundle)
    if done.returncode != 1 or f"wheels/{wheel.name} is damaged" not in done.stderr or (home / "course").exists():
        raise TrialError(f"a damaged {wheel.name} was not refused: status {done.returncode}\n{done.stderr}")
    wheel.write_bytes(whole)


def run_notebook(course: Path, home: Path, name: str) -> float:
    """Run a notebook of the installed course top to bottom, as `jupyter execute` does; return the seconds."""
    path = course / "notebooks" / f"{name}.ipynb"
    jupyter = install_bundle.program(course / ".venv", "jupyter")
    command = [str(jupyter), "execute", "--inplace", "--timeout=900", str(path)]
    done, seconds = start(command, home, folder=course)
    expect(done, f"notebook {name}")
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    skipped = [c for c in cells if "".join(c["source"]).strip() and not c.get("execution_count")]
    if not cells or skipped:
        raise TrialError(f"notebook {name}: {len(skipped)} of {len(cells)} cells did not run")
    return seconds


def prove(packed: Path, notebooks: tuple[str, ...]) -> dict[str, float | int | str]:
    """Unzip, see a corrupt copy refused, install, run the notebooks, install again; return what was measured.

    Raises:
        TrialError: a step failed; the text says which.
    """
    with tempfile.TemporaryDirectory(prefix="bundle-") as temporary:
        home = Path(temporary, "home")
        home.mkdir()
        with zipfile.ZipFile(packed) as file:
            file.extractall(temporary)
        bundle, course = Path(temporary, packed.stem), home / "course"
        installer = [sys._base_executable, str(bundle / "install.py"), "--into", str(course)]
        if network_cutter():
            reached, _ = start([sys.executable, "-c", REACH_OUT], home, folder=home)
            if reached.returncode == 0:
                raise TrialError("the network was to be cut off, and is not")
        refuse_a_torn_copy(bundle, home, installer)
        done, seconds = start(installer, home, folder=bundle)
        expect(done, "install.py")
        print(f"installed in {seconds:.0f} s", flush=True)
        figures: dict[str, float | int | str] = {"install_s": round(seconds)}
        for name in notebooks:
            figures[f"notebook_{name[:2]}_s"] = round(run_notebook(course, home, name))
            print(f"notebook {name} ran in {figures[f'notebook_{name[:2]}_s']} s", flush=True)
        again, _ = start(installer, home, folder=bundle)
        expect(again, "install.py, the second time")
        if f"{len(notebooks)} files were there and differ" not in again.stdout:
            raise TrialError(f"what had changed did not stay:\n{again.stdout}")
        figures["folder_mb"] = round(make_bundle.size_mb(bundle))
        figures["packages"] = len(list((bundle / "wheels").glob("*.whl")))
        figures["installed_mb"] = round(make_bundle.size_mb(course))
    return {**figures, "network": "cut by a namespace" if network_cutter() else "proxies that lead nowhere"}


def newest_bundle() -> Path:
    """The zip in build/bundle that was made last.

    Raises:
        TrialError: there is none.
    """
    made = sorted((ROOT / "build" / "bundle").glob("counts-to-bert-*.zip"), key=lambda path: path.stat().st_mtime)
    if not made:
        raise TrialError("there is no bundle in build/bundle yet: make it with `make bundle`")
    return made[-1]


def main() -> int:
    """Prove a bundle; or, with --inside, be the command that has no network."""
    if sys.argv[1:2] == ["--inside"]:
        run_inside(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", help="its zip (default: the newest in build/bundle)")
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, metavar="NAME", help="names without .ipynb")
    options = parser.parse_args()
    try:
        figures = prove((options.bundle or newest_bundle()).resolve(), tuple(options.notebooks))
    except TrialError as error:
        print(f"\nThe bundle fails: {error}", file=sys.stderr)
        return 1
    print(", ".join(f"{name}: {value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
