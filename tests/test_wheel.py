"""The wheel alone, installed in an environment of its own and used from a folder outside the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SAMPLES = [name for name in PROJECT["tool"]["setuptools"]["package-data"]["helpers._data"] if name.endswith(".csv")]
# The types of these are large, and say nothing of ours.
MYPY = """
[mypy]
strict = True
[mypy-torch.*,transformers.*,matplotlib.*,pytorch_lightning.*,torchmetrics.*,safetensors.*,tokenizers.*]
follow_imports = skip
follow_imports_for_stubs = True
[mypy-scipy.*,sklearn.*,regex.*,rensa.*,datasets.*,pyarrow.*,onnxruntime.*,gradio.*,kagglehub.*,captum.*,filelock.*]
follow_imports = skip
ignore_missing_imports = True
"""
RIGHT = """
from helpers import config, datasets, metrics

quick: config.Profile = config.profile("quick")
comments = datasets.subsample(datasets.load_comments(quick.comments), 100)
parts: datasets.splitting.Split = datasets.split(comments, groups="near-duplicates")
labels: list[str] = datasets.label_names(parts.train)
score: float = metrics.mean_auc(parts.test[labels], parts.test[labels] / 2)
"""
WRONG = {
    'config.seed_everything("seven")': 'Argument 1 to "seed_everything" has incompatible type "str"; expected "int"',
    'datasets.load_comments(on_empty="skip")': "type \"Literal['skip']\"; expected \"Literal['error', 'drop']\"",
    'parts.validation["id"]': '"Split" has no attribute "validation"',
    "metrics.mean_auc([[1]])": 'Missing positional argument "probabilities" in call to "mean_auc"',
    "metrics.no_such_score": 'Module has no attribute "no_such_score"',
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, beside which a file of the reader's own lies in data/."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    for folder in ("helpers", "data"):
        ignored = shutil.ignore_patterns("__pycache__", "jigsaw", "imdb", "identity")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    (source / "data" / "private.csv").write_text("id\n1\n")
    (source / "notebooks").mkdir()
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out, source)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment with the wheel, which sees the other packages, but not the repository."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(
        subprocess.check_output(
            [found, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], text=True
        ).strip()
    )
    # A path in a .pth file is searched, but the .pth files there, such as the one of an editable install, are not read.
    others = sorted({sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]})
    (site / "others.pth").write_text("\n".join(others) + "\n")
    pip("--python", found, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    return found


def pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(python, folder, *arguments):
    """Run in a folder, without the settings of whoever runs the tests; -I leaves out the folder and PYTHONPATH too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "PYTHON"))}
    kept["OMP_NUM_THREADS"] = "1"  # what runs there is small: threads would only wait for each other
    command = [str(python), "-I", "-B", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_package_its_types_and_its_samples_and_nothing_else(wheel):
    inside = zipfile.ZipFile(wheel)
    names = inside.namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "helpers").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in names} == {"helpers", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    assert "helpers/py.typed" in names
    data = {name.removeprefix("helpers/_data/") for name in names if name.startswith("helpers/_data/")}
    assert data == {*SAMPLES, "README.md"}
    for name in SAMPLES:
        assert inside.read(f"helpers/_data/{name}") == (ROOT / "data" / name).read_bytes()


def test_every_sample_in_the_repository_travels():
    listed = subprocess.run(["git", "ls-files", "data/*.csv"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git repository")
    assert {Path(name).name for name in listed.stdout.split()} <= set(SAMPLES)


def test_the_wheel_says_what_it_is(wheel):
    inside = zipfile.ZipFile(wheel)
    [metadata] = [inside.read(name).decode() for name in inside.namelist() if name.endswith(".dist-info/METADATA")]
    head, _, text = metadata.partition("\n\n")
    for line in ("License-Expression: MIT AND CC-BY-4.0", "License-File: LICENSE", "Classifier: Typing :: Typed"):
        assert line in head.splitlines()
    assert f"Requires-Python: {PROJECT['project']['requires-python']}" in head
    assert all(f"Provides-Extra: {extra}" in head for extra in PROJECT["project"]["optional-dependencies"])
    assert text.startswith("# From Counts to BERT")


def test_the_environment_sees_the_wheel_and_not_the_repository(python, tmp_path):
    code = "import helpers, sys; from helpers import config; print(helpers.__file__, config.repository_folder())"
    done = run(
        python, tmp_path, "-c", f"{code}; print([name for name in ('numpy', 'pandas', 'torch') if name in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    place, loaded = done.stdout.splitlines()
    assert Path(place.split()[0]).is_relative_to(python.parent.parent) and place.endswith(" None")
    assert loaded == "[]"


def test_every_example_runs_there(python, tmp_path):
    import examples_run

    script = shutil.copy(ROOT / "tests" / "examples_run.py", tmp_path)
    done = run(python, tmp_path, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == examples_run.modules()


def test_its_samples_go_before_files_of_the_same_name_and_what_is_not_there_is_told(python, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "comments.csv").write_text("not,comments\n1,2\n")
    code = """
from helpers import datasets
print(len(datasets.load_comments()), len(datasets.load_reviews()), len(datasets.load_templates()))
print(datasets.list_datasets()["here"].head(2).tolist())
try:
    datasets.load_comments("jigsaw")
except FileNotFoundError as error:
    print(error)
"""
    done = run(python, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    rows, here, *refusal = done.stdout.splitlines()
    assert rows.startswith("8000 2000 ") and here == "[True, True]"
    assert f"  {tmp_path / 'data' / 'jigsaw'}" in refusal and "_data" not in "".join(refusal)
    assert "python -m helpers download jigsaw" in "".join(refusal)


@pytest.mark.parametrize(("arguments", "said"), [([], "COMMAND"), (["predict"], "model"), (["download"], "jigsaw")])
def test_its_command_says_how_it_is_used(python, tmp_path, arguments, said):
    done = run(python, tmp_path, "-m", "helpers", *arguments, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m helpers") and said in done.stdout


def test_a_type_checker_reads_its_types(python, tmp_path):
    (tmp_path / "mypy.ini").write_text(MYPY)
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(RIGHT + "\n".join(WRONG) + "\n")
    options = ["--python-executable", python, "--cache-dir", tmp_path / "cache", "--config-file", tmp_path / "mypy.ini"]
    done = run(sys.executable, tmp_path, "-m", "mypy", *options, "right.py", "wrong.py")
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = len(RIGHT.splitlines()) + 1
    for number, (code, complaint) in enumerate(WRONG.items(), start=first):
        [found] = [line for line in lines if line.startswith(f"wrong.py:{number}: ")]
        assert complaint in found, code
    assert len(lines) == len(WRONG), done.stdout + done.stderr
