"""What the browser's tests stand on, as far as it needs no browser: the copy, the server, what counts as a fault."""

import shutil

import chromium
import live_lab
import pytest
from nbformat.v4 import new_code_cell


def test_a_copy_holds_the_notebooks_and_the_bundled_data_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(live_lab, "ROOT", tmp_path)
    for name in (
        "notebooks/00_a.ipynb",
        "notebooks/.ipynb_checkpoints/00_a.ipynb",
        "data/jigsaw/train.csv",
        "data/b.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    copy = live_lab.copy_course(tmp_path / "copy")
    found = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    assert found == ["data/b.csv", "notebooks/00_a.ipynb"]


def test_the_server_keeps_away_from_the_users_settings_and_real_data(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "/real")
    monkeypatch.setenv("COURSE_PROFILE", "full")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/home/me/.jupyter")
    seen = live_lab._environment(tmp_path)
    assert seen["COURSE_PROFILE"] == "quick" and "COURSE_DATA" not in seen
    assert {name for name, value in seen.items() if value.startswith(str(tmp_path))} >= {
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
    }


@pytest.mark.parametrize(
    ("makefile", "message"),
    [
        ("lab:\n\t@echo cannot start; exit 1\n", r"make lab ended\n(.|\n)*cannot start"),
        ("lab:\n\t@echo still setting up; sleep 30\n", r"make lab gave no answer in 1 s\nstill setting up"),
    ],
    ids=["ends", "hangs"],
)
def test_a_server_that_does_not_come_is_told_with_its_log(tmp_path, monkeypatch, makefile, message):
    monkeypatch.setattr(live_lab, "ROOT", tmp_path)
    monkeypatch.setattr(live_lab, "SECONDS_TO_START", 1)
    (tmp_path / "Makefile").write_text(makefile)
    with pytest.raises(live_lab.LabError, match=message), live_lab.serve(tmp_path, tmp_path / "private"):
        pass


def test_without_a_browser_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(chromium.NoBrowserError, match="apt-get install chromium"), chromium.launch():
        pass


def shown(prompt="[1]:", red=(), figures=0):
    return live_lab.Cell(prompt, "", figures, list(red), [])


@pytest.mark.parametrize(
    ("tags", "cell", "faults"),
    [
        ([], shown(), []),
        ([], shown("[*]:"), ["did not run: its prompt is '[*]:'"]),
        ([], shown(red=["ValueError: no"]), ["a red box: ValueError: no"]),
        (["raises-exception"], shown(red=["ValueError: no"]), []),
        (
            ["raises-exception"],
            shown(red=["a warning", "ValueError: no"]),
            ["should raise one error, and has 2 red boxes"],
        ),
        (["raises-exception"], shown(), ["should raise one error, and has 0 red boxes"]),
        (["figure"], shown(figures=1), []),
        (["figure"], shown(), ["shows no figure"]),
    ],
)
def test_what_counts_as_a_fault(tags, cell, faults):
    assert list(live_lab._contents(new_code_cell("1", metadata={"tags": tags}), cell)) == faults
