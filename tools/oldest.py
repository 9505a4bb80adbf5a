"""Run the unit tests with the oldest versions that pyproject.toml allows, in an environment of their own.

    make test-oldest
    python tools/oldest.py tests/test_text.py -x      # what follows goes to pytest

numpy, pandas, SciPy, scikit-learn, matplotlib, seaborn and transformers stand at their floors, torch and the rest as
constraints.txt has them, in .venv-oldest. So a floor is true: an environment may have exactly that version.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import setup_env

ROOT = setup_env.ROOT
EXTRAS = "lab,download,demo,test"
AT_THE_FLOOR = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "seaborn", "transformers")
# Pinned versions that do not go with those floors; pip takes the newest that does.
FREE = {
    "huggingface-hub": "transformers 5.2 wants it below 2",
    "tokenizers": "transformers 5.2 wants it up to 0.23.0",
}
# Test files that say nothing about floors.
LEFT_OUT = {
    "tests/test_environment.py": "it compares what is installed with constraints.txt",
}


def floors(requirements: Iterable[str]) -> dict[str, str]:
    """The lowest version that each requirement allows, by canonical name.

    Raises:
        SetupError: a requirement has no floor, such as `>=2.2`.
    """
    lowest = {}
    for needed in map(Requirement, requirements):
        versions = [one.version for one in needed.specifier if one.operator in (">=", "==")]
        if not versions:
            raise setup_env.SetupError(f"pyproject.toml gives {needed.name} no floor: write {needed.name}>=VERSION.")
        lowest[str(canonicalize_name(needed.name))] = versions[0]
    return lowest


def constraints(pins: str, requirements: Iterable[str]) -> str:
    """The text of a constraints file: the pins, but AT_THE_FLOOR at their floors, and nothing said of FREE."""
    lowest = floors(requirements)
    missing = [name for name in AT_THE_FLOOR if name not in lowest]
    if missing:
        raise setup_env.SetupError(f"pyproject.toml does not name {', '.join(missing)}: fix AT_THE_FLOOR in oldest.py.")
    others = [
        line for line in pins.splitlines() if (name := _name(line)) and name not in FREE and name not in AT_THE_FLOOR
    ]
    return "\n".join([*others, *(f"{name}=={lowest[name]}" for name in AT_THE_FLOOR)]) + "\n"


def _name(line: str) -> str:
    match = re.match(r"([A-Za-z0-9._-]+)==", line)
    return str(canonicalize_name(match.group(1))) if match else ""


def set_up(venv: Path, index: str) -> None:
    """Make the environment, unless it is there with these very versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = constraints((ROOT / "constraints.txt").read_text(encoding="utf-8"), project["dependencies"])
    wanted = hashlib.sha256((text + setup_env.fingerprint(EXTRAS)).encode()).hexdigest()
    stamp = venv / ".ok"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"setting up {venv.name} (2-4 minutes)", flush=True)
    setup_env.check_machine(venv)
    setup_env.create_venv(venv)
    setup_env.install_torch(venv, index)
    held = venv / "constraints.txt"
    held.write_text(text, encoding="utf-8")
    pip = [str(setup_env.python_of(venv)), "-m", "pip"]
    advice = (
        "If pip reports a conflict, a package pinned in constraints.txt wants more than a floor in pyproject.toml:\n"
        "name it in FREE in tools/oldest.py, or raise the floor."
    )
    setup_env.run([*pip, "install", "-qq", "-c", str(held), "-e", f".[{EXTRAS}]"], "install the oldest", advice)
    setup_env.run([*pip, "check"], "check the installed packages", advice)
    stamp.write_text(wanted)


def main() -> int:
    """Set up, print the versions, run pytest; its exit status is ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-oldest", help="folder (default: .venv-oldest)")
    parser.add_argument("--torch-index", default=setup_env.CPU_INDEX, help="where torch's CPU build is; '' for CUDA")
    parser.add_argument("--set-up", action="store_true", help="only set up the environment")
    options, pytest = parser.parse_known_args()
    try:
        set_up(options.venv.resolve(), options.torch_index)
    except setup_env.SetupError as error:
        print(f"\nSet-up stopped: {error}", file=sys.stderr)
        return 1
    if options.set_up:
        return 0
    python = str(setup_env.python_of(options.venv.resolve()))
    program = "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in %r), sep=', ', flush=True)"
    subprocess.run([python, "-c", program % ((*AT_THE_FLOOR, "torch"),)], check=True)
    for name, reason in LEFT_OUT.items():
        print(f"left out: {name}, for {reason}", flush=True)
    ignored = [f"--ignore={name}" for name in LEFT_OUT]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [python, "-m", "pytest", *ignored, *pytest]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
