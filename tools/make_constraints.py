"""Pin every package: resolve the ranges of pyproject.toml in a fresh environment and write constraints.txt.

    make constraints
    python tools/make_constraints.py --keep     # pin what is new, leave the versions that are pinned already

Run it with the Python version that environment.yml names, then run `make test`, then commit the three files together.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import setup_env

ROOT = setup_env.ROOT
HEADER = """\
# Exact versions of every package, made by `make constraints` with Python {python}; never edited by hand.
# pyproject.toml holds the ranges and says what each package is for.
"""
# pip cannot know that an older 3.11 than the one that runs it must do, such as Debian's 3.11.2. A test finds others.
LIMITS = ("soupsieve<3",)  # later ones want Python 3.11.5
LOCAL_VERSION = re.compile(r"\+[\w.]+$")


def portable(frozen: str) -> list[str]:
    """Lines of `pip freeze` that any machine can resolve: sorted `name==version` without a local part such as +cpu."""
    lines = [LOCAL_VERSION.sub("", line.strip()) for line in frozen.splitlines()]
    pins = [line for line in lines if re.match(r"(?!pip==|wheel==)[\w.-]+==\S+$", line)]
    return sorted(pins, key=str.lower)


def resolve(extras: str, torch: str, index: str, *, keep: bool = False) -> list[str]:
    """Install torch, then the course with its extras, in a temporary environment; return what was installed."""
    held = ["--constraint", str(ROOT / "constraints.txt")] if keep else []
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder, "limits.txt")
        limits.write_text("\n".join(LIMITS) + "\n", encoding="utf-8")
        held += ["--constraint", str(limits)]
        venv = Path(folder, "venv")
        setup_env.create_venv(venv)
        pip = [str(setup_env.python_of(venv)), "-m", "pip"]
        index_options = ["--retries", "0", "--extra-index-url", index] if index else []
        subprocess.run([*pip, "install", "-qq", "--no-deps", *index_options, torch], check=True)
        subprocess.run([*pip, "install", "-qq", *held, "--editable", f"{ROOT}[{extras}]"], check=True)
        freeze = [*pip, "freeze", "--all", "--exclude-editable"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True)
    return portable(frozen.stdout)


def main() -> int:
    """Write constraints.txt under a temporary name and rename it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--extras", default="lab,download,demo,tensorflow,book,test,dev", help="extras of pyproject.toml to pin as well"
    )
    parser.add_argument("--torch", default="torch", help="requirement for torch, such as torch==2.13.0")
    parser.add_argument("--torch-index", default=setup_env.CPU_INDEX, help="where torch's CPU build is; '' for none")
    parser.add_argument("--keep", action="store_true", help="leave the versions that are pinned already as they are")
    options = parser.parse_args()
    pins = resolve(options.extras, options.torch, options.torch_index, keep=options.keep)
    target = ROOT / "constraints.txt"
    partial = target.with_suffix(".part")
    partial.write_text(HEADER.format(python=platform.python_version()) + "\n".join(pins) + "\n", encoding="utf-8")
    partial.replace(target)
    print(f"{len(pins)} packages pinned in constraints.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
