"""pyproject.toml, constraints.txt and environment.yml say the same; the Makefile and the set-up do what they say."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import setup_env
import yaml
from make_constraints import portable
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LINES if "==" in line}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
RANGES = [Requirement(r) for r in [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]]


@pytest.mark.parametrize("needed", RANGES, ids=lambda r: r.name)
def test_every_package_is_pinned_inside_its_range(needed):
    assert needed.specifier.contains(PINS[canonicalize_name(needed.name)])


@pytest.mark.parametrize("needed", RANGES, ids=lambda r: r.name)
def test_every_package_has_a_floor(needed):
    assert {s.operator for s in needed.specifier} & {">=", "=="}


def test_torch_and_numpy_have_no_cap_and_lightning_its_safe_floor():
    ranges = {r.name: str(r.specifier) for r in RANGES}
    assert re.fullmatch(r">=[\d.]+", ranges["torch"])
    assert re.fullmatch(r">=[\d.]+", ranges["numpy"])
    assert ranges["pytorch-lightning"] == "<2.7,>=2.6.6"


def test_pins_are_exact_and_portable():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^+\s]+|#.*", line) for line in LINES)


def test_every_dependency_says_what_it_is_for():
    text = (ROOT / "pyproject.toml").read_text().split("[tool.", 1)[0]
    listed = re.findall(r'^  "[^"]+",(.*)$', text, flags=re.MULTILINE)
    assert len(listed) == len(RANGES)
    assert all(re.match(r"\s+# \w", comment) for comment in listed)


def test_python_is_the_same_everywhere():
    version = next(d for d in CONDA if isinstance(d, str) and d.startswith("python=")).removeprefix("python=")
    assert PROJECT["requires-python"] == f">={version}"
    assert f"with Python {version}." in LINES[0]
    assert tuple(map(int, version.split("."))) == setup_env.OLDEST_PYTHON


def test_every_package_goes_with_every_release_of_the_oldest_python():
    first = ".".join(map(str, (*setup_env.OLDEST_PYTHON, 0)))
    wants = {d.name: d.metadata.get("Requires-Python") or "" for d in importlib.metadata.distributions()}
    installed = {name: range_ for name, range_ in wants.items() if canonicalize_name(name) in PINS}
    assert len(installed) > 100
    assert {name: range_ for name, range_ in installed.items() if not SpecifierSet(range_).contains(first)} == {}


def test_conda_installs_the_extras_that_make_installs_under_the_same_constraints():
    pip = next(d for d in CONDA if isinstance(d, dict))["pip"]
    assert pip[0] == "--constraint constraints.txt"
    extras = re.fullmatch(r"--editable \.\[([\w,]+)\]", pip[1]).group(1)
    made = re.search(r'"--extras", default="([\w,]+)"', (ROOT / "scripts" / "setup_env.py").read_text()).group(1)
    assert set(extras.split(",")) == set(made.split(","))


def test_condas_pip_lines_resolve_to_what_is_installed():
    lines = ROOT / "conda-pip-lines.part"  # conda, too, writes them beside environment.yml: paths are relative to it
    lines.write_text("\n".join(next(d for d in CONDA if isinstance(d, dict))["pip"]))
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--no-build-isolation",
        "-r",
        lines.name,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    finally:
        lines.unlink()
    assert done.returncode == 0, done.stderr
    would = re.findall(r"Would install (.*)", done.stdout)
    assert [name for line in would for name in line.split() if not name.startswith("counts-to-bert")] == []


def test_make_help_lists_every_target():
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE).group(1).split()
    for target in phony:
        assert re.search(rf"^{target}\s+\S", listed, flags=re.MULTILINE), target


def test_a_set_up_that_is_done_starts_nothing(tmp_path, monkeypatch, capsys):
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / ".ok").write_text(setup_env.fingerprint("lab"))
    monkeypatch.setattr(setup_env, "run", lambda *a: pytest.fail("a step was run"))
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "--venv", str(venv), "--extras", "lab"])
    assert setup_env.main() == 0
    assert capsys.readouterr().out == ""


def test_a_step_that_fails_is_named_with_the_way_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, "FREE_GB_NEEDED", 0)
    monkeypatch.setattr(setup_env, "pinned", lambda package: "no-such-package-anywhere==1")
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "--venv", str(tmp_path / "venv"), "--torch-index", ""])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert setup_env.main() == 1
    said = capsys.readouterr().err
    assert "Set-up stopped: step 'install torch' failed" in said
    assert "Check the network" in said
    assert not (tmp_path / "venv" / ".ok").exists()


def test_an_old_python_and_a_full_disk_stop_the_set_up(tmp_path, monkeypatch):
    monkeypatch.setattr(setup_env, "FREE_GB_NEEDED", 10**9)
    with pytest.raises(setup_env.SetupError, match=r"GB free in .*, the course needs"):
        setup_env.check_machine(tmp_path / "venv")
    monkeypatch.setattr(setup_env.sys, "version_info", (3, 10, 4))
    with pytest.raises(setup_env.SetupError, match=r"make PYTHON=python3\.11 lab"):
        setup_env.check_machine(tmp_path / "venv")


def test_a_python_without_ensurepip_gets_its_pip_from_the_one_that_has_it(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(setup_env, "run", lambda command, *_: commands.append(command))
    real = subprocess.run
    fail = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(setup_env.subprocess, "run", lambda c, **k: fail if "ensurepip" in c[-1] else real(c, **k))
    (tmp_path / "venv").mkdir()
    setup_env.create_venv(tmp_path / "venv")
    assert "--without-pip" in commands[0]
    assert commands[1][1:4] == ["-m", "pip", "--python"]


def test_a_moved_environment_and_one_without_pip_are_made_anew(tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    commands = []
    monkeypatch.setattr(setup_env, "run", lambda command, *_: commands.append(command))
    python = setup_env.python_of(venv)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    setup_env.create_venv(venv)
    assert commands == []
    (venv / ".home").write_text("/elsewhere")
    setup_env.create_venv(venv)
    assert "--clear" in commands[0]
    (venv / ".home").write_text(str(setup_env.ROOT))
    monkeypatch.setattr(setup_env, "has_pip", lambda venv: False)
    setup_env.create_venv(venv)
    assert len(commands) == 2


def test_jupyterlab_asks_for_no_news():
    listed = subprocess.run([sys.executable, "-m", "jupyter", "labextension", "list"], capture_output=True, text=True)
    disabled = (listed.stdout + listed.stderr).split("Disabled extensions:", 1)
    assert len(disabled) == 2 and "apputils-extension:announcements" in disabled[1]


def test_local_versions_are_stripped_from_pins():
    frozen = "torch==2.13.0+cpu\nZlib==1\n-e git+x\nsix==1.16.0 \nname @ file:///somewhere\n"
    assert portable(frozen) == ["six==1.16.0", "torch==2.13.0", "Zlib==1"]
