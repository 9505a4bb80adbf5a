"""The environment of the oldest versions is made from pyproject.toml and constraints.txt, not from a third list."""

import sys
import tomllib
from pathlib import Path

import oldest
import pytest
from packaging.requirements import Requirement
from setup_env import SetupError

ROOT = Path(__file__).resolve().parents[2]
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
PINS = (ROOT / "constraints.txt").read_text()


def test_floors_are_read_from_ranges():
    assert oldest.floors(["numpy>=2.0", "Scikit_Learn<2,>=1.6", "x==0.1.0"]) == {
        "numpy": "2.0",
        "scikit-learn": "1.6",
        "x": "0.1.0",
    }


def test_a_range_without_a_floor_is_refused():
    with pytest.raises(SetupError, match="gives transformers no floor"):
        oldest.floors(["transformers<6"])


def test_a_package_that_is_no_longer_needed_is_noticed():
    with pytest.raises(SetupError, match="does not name numpy"):
        oldest.constraints(PINS, [line for line in NEEDED if not line.startswith("numpy")])


def test_the_lines_are_the_pins_but_for_the_floors_and_what_is_free():
    lines = oldest.constraints(PINS, NEEDED).splitlines()
    names = [oldest._name(line) for line in lines]
    assert len(names) == len(set(names))
    changed = set(lines) - set(PINS.splitlines())
    assert {oldest._name(line) for line in changed} == set(oldest.AT_THE_FLOOR)
    gone = {oldest._name(line) for line in PINS.splitlines() if "==" in line} - set(names)
    assert gone == set(oldest.FREE)
    assert "torch==" in "\n".join(lines)


@pytest.mark.parametrize("name", oldest.AT_THE_FLOOR)
def test_a_floor_is_older_than_the_pin_and_inside_its_range(name):
    lines = oldest.constraints(PINS, NEEDED).splitlines()
    floor = next(line for line in lines if oldest._name(line) == name).split("==")[1]
    needed = next(r for r in map(Requirement, NEEDED) if oldest._name(f"{r.name}==") == name)
    assert needed.specifier.contains(floor)


def test_files_that_are_left_out_are_there():
    assert [name for name in oldest.LEFT_OUT if not (ROOT / name).is_file()] == []


def test_a_set_up_that_cannot_be_made_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(oldest, "AT_THE_FLOOR", ("no-such-package",))
    monkeypatch.setattr(sys, "argv", ["oldest.py", "--venv", str(tmp_path / "venv")])
    assert oldest.main() == 1
    assert "Set-up stopped: pyproject.toml does not name no-such-package" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()
