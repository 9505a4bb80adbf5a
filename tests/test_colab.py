"""A notebook opened on Colab, alone in an empty folder: its first cell fetches and installs the course.

Emulated (`colab_machine.py` says how). By default nothing is lacking and no network is used; `make test-colab` takes
away what Colab lacks, lets pip fetch it, and runs notebooks 01 and 04 from top to bottom.
"""

import os
import subprocess
import sys

import colab_machine
import colab_setup
import pytest
import stamp_links
from nbformat.v4 import new_code_cell
from notebook_outputs import tags
from packaging.requirements import Requirement

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}
WHOLE = pytest.mark.skipif(not os.environ.get("COURSE_COLAB"), reason="installs packages: make test-colab")
pytestmark = pytest.mark.skipif(not colab_machine.executable(), reason="needs a virtual environment, not on Windows")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine that has all packages but the course."""
    folder = tmp_path_factory.mktemp("colab")
    tree = colab_machine.publish(folder)
    python = colab_machine.create(folder / "machine", lacking=())
    return folder, tree, python, colab_machine.settings(folder) | OFFLINE


def guard_alone(python, content, environment, *, colab=True):
    """Run the stamped guard cell as a script, with google.colab imported or not."""
    content.mkdir(parents=True, exist_ok=True)
    source = ("import google.colab\n" if colab else "") + stamp_links.guard(colab_machine.ADDRESS)
    command = [str(python), "-c", source]
    return subprocess.run(command, cwd=content, env=environment, capture_output=True, text=True, timeout=300)


def test_on_ones_own_machine_the_guard_fetches_nothing(machine):
    folder, _, python, environment = machine
    done = guard_alone(python, folder / "own", environment, colab=False)
    assert "ImportError: No `helpers` in this kernel: run `make lab`." in done.stderr
    assert list((folder / "own").iterdir()) == []


def test_the_guard_without_an_address_says_what_to_do(machine):
    folder, _, python, environment = machine
    command = [str(python), "-c", stamp_links.guard(None)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "run `make lab`" in done.stderr and "`%run scripts/colab_setup.py`" in done.stderr


def test_a_repository_that_cannot_be_reached_is_named_with_gits_words(machine):
    folder, _, python, environment = machine
    away = environment | {"GIT_CONFIG_KEY_0": f"url.file://{folder}/nowhere/.insteadOf"}
    done = guard_alone(python, folder / "away", away)
    assert f"ConnectionError: {colab_machine.ADDRESS.url} could not be fetched" in done.stderr
    assert "run this cell again. git says:" in done.stderr and f"{folder}/nowhere" in done.stderr
    assert list((folder / "away").iterdir()) == []


def test_a_failing_pip_is_named_with_its_words(machine):
    folder, tree, python, environment = machine
    (folder / "broken").mkdir()
    colab_machine.clone_that_needs(tree, folder / "broken" / "from-counts", "no-such-package-anywhere>=1")
    done = guard_alone(python, folder / "broken", environment)
    assert "SetupError: the course's packages could not be installed" in done.stderr
    assert "run this cell again" in done.stderr and "no-such-package-anywhere" in done.stderr


def test_the_guard_brings_course_and_data_and_leaves_every_package_alone(machine):
    folder, tree, python, environment = machine
    notebook = colab_machine.opened(tree, "00_start_here.ipynb", folder / "content")
    first = next(place for place, cell in enumerate(notebook.cells) if "setup" in tags(cell))
    notebook.cells = [*notebook.cells[: first + 1], new_code_cell(colab_machine.WHERE)]
    before = colab_machine.fingerprint(python)
    notebook = colab_machine.run(notebook, folder / "content", environment)
    after = colab_machine.fingerprint(python)
    assert {name: after.get(name) for name in before} == before
    assert all("counts_to_bert" in name for name in set(after) - set(before))
    clone = folder / "content" / "from-counts"
    assert colab_machine.said(notebook.cells[-1]).splitlines() == [
        str(clone / "notebooks"),
        str(clone / "helpers" / "__init__.py"),
        str(clone / "data"),
    ]
    guard = next(cell for cell in notebook.cells if "guard" in tags(cell))
    assert "Installed: nothing but the course. As they were: torch" in colab_machine.said(guard)
    assert "False" not in notebook.cells[first].outputs[0].data["text/plain"]  # 00's table of packages

    again = colab_machine.run(notebook, folder / "content", environment | {"GIT_CONFIG_COUNT": "0", "PATH": ""})
    assert colab_machine.said(next(cell for cell in again.cells if "guard" in tags(cell))) == ""


def test_torch_stays_whatever_a_missing_package_wants_and_others_change_only_where_they_must(machine, tmp_path):
    _, tree, _, environment = machine
    python = colab_machine.create(tmp_path / "machine", lacking=())
    for name, version, *requires in [
        ("torch", "99"),
        ("regex", "9999"),
        ("likes-new-torch", "1"),
        ("likes-new-torch", "2", "torch>=99"),
        ("needs-new-regex", "1", "regex>=9999"),
        ("needs-new-torch", "1", "torch>=99"),
    ]:
        colab_machine.wheel(tmp_path / "links", name.replace("-", "_"), version, *requires)
    environment = environment | {"PIP_FIND_LINKS": str(tmp_path / "links")}
    before = colab_machine.fingerprint(python)
    done = {}
    for name in ("likes-new-torch", "needs-new-regex", "needs-new-torch"):
        script = colab_machine.clone_that_needs(tree, tmp_path / name, name)
        done[name] = subprocess.run([str(python), str(script)], env=environment, capture_output=True, text=True)
    assert "Installed: likes-new-torch. As they were: torch" in done["likes-new-torch"].stdout
    assert "Changed" not in done["likes-new-torch"].stdout
    assert "Changed: regex " in done["needs-new-regex"].stdout
    assert " -> 9999\n" in done["needs-new-regex"].stdout
    assert "SetupError: the course's packages could not be installed" in done["needs-new-torch"].stderr
    assert "needs-new-torch 1 depends on torch>=99" in done["needs-new-torch"].stderr
    after = colab_machine.fingerprint(python)
    changed = {name.split("/")[0].split("-")[0] for name in before if after.get(name) != before[name]}
    assert changed == {"regex"}


@WHOLE
def test_a_machine_that_lacks_what_colab_lacks_runs_01_and_04_from_top_to_bottom(tmp_path):
    tree = colab_machine.publish(tmp_path)
    python = colab_machine.create(tmp_path / "machine", lacking=colab_machine.LACKING_ON_COLAB)
    environment = colab_machine.settings(tmp_path)
    before = colab_machine.fingerprint(python)
    for name in ("01_eda.ipynb", "04_bert_finetuning.ipynb"):
        content = tmp_path / "content"
        notebook = colab_machine.opened(tree, name, content)
        notebook.cells.append(new_code_cell(colab_machine.WHERE))
        notebook = colab_machine.run(notebook, content, environment)
        printed = colab_machine.said(next(cell for cell in notebook.cells if "guard" in tags(cell)))
        print(f"{name}: {printed}")
        if name.startswith("01"):
            assert all(package in printed for package in colab_machine.LACKING_ON_COLAB)
            assert "Changed" not in printed
            assert colab_machine.said(notebook.cells[-1]).splitlines()[-1] == str(content / "from-counts" / "data")
        else:
            assert printed == ""
    after = colab_machine.fingerprint(python)
    assert {name: after.get(name) for name in before} == before
    assert any(name.startswith("torch/") for name in before) and any(name.startswith("numpy/") for name in before)


# ---------------------------------------------------------------- what is held


def test_what_colab_brings_fits_the_course_and_the_rest_is_known_to_be_lacking():
    needed = colab_setup.ranges()
    assert set(needed) == {*colab_machine.ON_COLAB, *colab_machine.LACKING_ON_COLAB}
    unfit = [name for name, version in colab_machine.ON_COLAB.items() if not needed[name].specifier.contains(version)]
    assert unfit == []


def test_every_package_that_fits_is_held_and_torch_and_numpy_in_any_case():
    needed = {name: Requirement(f"{name}>=2") for name in ("torch", "numpy", "pandas", "scipy")}
    versions = {
        "torch": "2.11.0+cu128",
        "numpy": "1.9",
        "pandas": "2.2.3",
        "scipy": "1.16.3",
        "rich": "13.9.4",
        "old": "2004d-beta-x",
        "pip": "24.1.2",
        "setuptools": "75.2.0",
        "counts-to-bert": "0.1.0",
    }
    held = colab_setup.constraints(versions, needed)
    assert held == ["numpy==1.9", "pandas==2.2.3", "rich==13.9.4", "torch==2.11.0+cu128"]


def test_what_pip_may_change_is_fewer_only_after_a_conflict(monkeypatch):
    tried = []

    def pip(held):
        tried.append(sorted(held))
        conflict = len(tried) == 1
        return subprocess.CompletedProcess([], int(conflict), "ERROR: ResolutionImpossible" if conflict else "")

    there = {"torch": "2.11.0", "nvidia-cudnn-cu12": "9.1", "numpy": "2.1.3", "rich": "13.9.4"}
    monkeypatch.setattr(colab_setup, "installed", lambda: there)
    monkeypatch.setattr(colab_setup, "pip_install", pip)
    colab_setup.install()
    assert tried[1] == ["numpy==2.1.3", "nvidia-cudnn-cu12==9.1", "torch==2.11.0"]
    assert tried[0] == [*tried[1][:2], "rich==13.9.4", tried[1][2]]


def test_a_package_that_changed_while_in_use_is_named():
    changed = colab_setup.changes(
        {"pytest": "8.0", "rich": "1", "gone": "1"}, {"pytest": "9.0", "rich": "1", "new": "1"}
    )
    assert changed == {"pytest": "8.0 -> 9.0", "gone": "1 -> gone"}
    assert "pytest" in sys.modules
    assert colab_setup.imported(changed) == ["pytest"]
