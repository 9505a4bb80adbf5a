"""Which data sets are at hand, before anything is loaded."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd

from helpers import config
from helpers.datasets.loading import JIGSAW_HASHES
from helpers.datasets.reading import DataError, RawFile, find_file, read_file

_FILES = {
    "bundled comments": ("", ["comments.csv"], "git checkout data/comments.csv"),
    "bundled reviews": ("", ["reviews.csv"], "git checkout data/reviews.csv"),
    "Jigsaw comments": (
        "jigsaw",
        ["train.csv", "train.csv.zip", "jigsaw-toxic-comment-classification-challenge.zip"],
        "python -m helpers download jigsaw",
    ),
    "IMDB reviews": ("imdb", ["imdb.csv", "imdb.csv.zip"], "python -m helpers download imdb"),
}


def list_datasets() -> pd.DataFrame:
    """What can be loaded here.

    Returns:
        One row a data set: `here` (bool), `file` (its name, or ""), and `to get it` (a command, "" where it is here).

    Examples:
        >>> from helpers import datasets
        >>> table = datasets.list_datasets()
        >>> list(table.columns)
        ['here', 'file', 'to get it']
        >>> bool(table.loc["bundled comments", "here"])
        True
    """
    rows = []
    for title, (subfolder, names, command) in _FILES.items():
        folders = config.data_folders() if subfolder else config.bundled_folders()
        result = [name for folder in folders for name in names if (folder / subfolder / name).is_file()]
        rows.append((title, bool(result), result[0] if result else "", "" if result else command))
    return pd.DataFrame(rows, columns=["data set", "here", "file", "to get it"]).set_index("data set")


def bundled_file(name: str) -> Path:
    """Where a file that comes with the course lies, in its folder or in the installed package.

    `load_comments` knows `comments.csv` by the name `sample`; the others are loaded as a file of your own would be.

    Args:
        name: such as `tickets.csv`.

    Raises:
        FileNotFoundError: no such file comes with the course; the message lists where it was looked for.

    Examples:
        >>> from helpers import datasets
        >>> tickets = datasets.load_comments(
        ...     datasets.bundled_file("tickets.csv"), text="message", id="ticket", allow_unknown=True
        ... )
        >>> tickets.attrs["source"], len(datasets.label_names(tickets))
        ('tickets.csv: 3,000 rows', 23)
    """
    return find_file(config.bundled_folders(), [name], f"If it is part of the course: git checkout data/{name}")


JIGSAW_COMPETITION = "jigsaw-toxic-comment-classification-challenge"
JIGSAW_FILES = ("train.csv", "test.csv", "test_labels.csv")
IMDB_DATASET = "stanfordnlp/imdb"

_BY_HAND = (
    f"Or fetch the files in a browser from kaggle.com/c/{JIGSAW_COMPETITION}/data and put the zip, as it is, "
    "into {folder}"
)
_NEED_EXTRA = "{package} is not installed; in a notebook: %{install}, in a terminal: {python} -m {install}"


class DownloadError(RuntimeError):
    """The data could not be fetched; the message says what the reader can do.

    Examples:
        >>> from helpers import datasets
        >>> try:
        ...     datasets.download("wikipedia")
        ... except datasets.DownloadError as error:
        ...     print(error)
        'wikipedia' cannot be downloaded; choose from jigsaw, imdb
    """


def download(name: str, folder: str | Path | None = None, *, force: bool = False) -> list[Path]:
    r"""Fetch a data set and put its files into a folder, each under a temporary name first.

    A broken download is resumed by the next call: finished parts stay in the library's own cache.

    Args:
        name: `jigsaw` (Kaggle; needs an account that accepted the competition's rules) or `imdb` (Hugging Face).
        folder: where `jigsaw/` or `imdb/` is made; None takes the course's `data`, or `./data` outside it.
        force: fetch again what is there.

    Returns:
        The files.

    Raises:
        DownloadError: no account, no network, rules not accepted, a damaged file; with the way out.

    Examples:
        What is there already is not fetched again:

        >>> from pathlib import Path
        >>> from helpers import datasets
        >>> Path("data/imdb").mkdir(parents=True)
        >>> _ = Path("data/imdb/imdb.csv").write_text("review,sentiment,split\nA joy,positive,train\n")
        >>> [file.name for file in datasets.download("imdb", "data")]
        ['imdb.csv']
    """
    fetchers: dict[str, Callable[[Path, bool], list[Path]]] = {"jigsaw": _fetch_jigsaw, "imdb": _fetch_imdb}
    if name not in fetchers:
        raise DownloadError(f"{name!r} cannot be downloaded; choose from {', '.join(fetchers)}")
    repository = config.repository_folder()
    base = Path(folder) if folder else (repository or Path.cwd()) / "data"
    target = base.expanduser().resolve() / name
    wanted = [target / file for file in (JIGSAW_FILES if name == "jigsaw" else ("imdb.csv",))]
    if not force and all(file.is_file() for file in wanted):
        return wanted
    return fetchers[name](target, force)


def _library(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DownloadError(
            _NEED_EXTRA.format(package=package, install=f"pip install {package}", python=sys.executable)
        ) from error


def _fetch_jigsaw(target: Path, force: bool) -> list[Path]:
    kagglehub = _library("kagglehub")
    refusals = importlib.import_module("kagglehub.exceptions")
    by_hand = _BY_HAND.format(folder=target)
    try:
        fetched = Path(kagglehub.competition_download(JIGSAW_COMPETITION, force_download=force))
    except (refusals.UnauthenticatedError, refusals.CredentialError) as error:
        raise DownloadError(
            "Kaggle does not know you yet. 1. Make a free account at kaggle.com. 2. Accept the rules at "
            f"kaggle.com/c/{JIGSAW_COMPETITION}/rules. 3. Settings > API > create a token, and set KAGGLE_API_TOKEN to "
            f"it (or save kaggle.json where Kaggle says). 4. Run this command again.\n{by_hand}"
        ) from error
    except refusals.KaggleApiHTTPError as error:
        status = getattr(error.response, "status_code", None)
        reason = (
            f"accept the rules at kaggle.com/c/{JIGSAW_COMPETITION}/rules first" if status == 403 else "try again later"
        )
        raise DownloadError(f"Kaggle refused ({_first_line(error)}): {reason}\n{by_hand}") from error
    except refusals.DataCorruptionError as error:
        raise DownloadError(f"the download arrived damaged ({error}): run the same command again\n{by_hand}") from error
    except OSError as error:
        raise DownloadError(f"Kaggle cannot be reached ({_first_line(error)}): check the network\n{by_hand}") from error
    files = {name: _checked(fetched, name) for name in JIGSAW_FILES}
    target.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (target / f"{name}.part").write_bytes(raw.content)
    return [(target / f"{name}.part").replace(target / name) for name in files]


def _checked(fetched: Path, name: str) -> RawFile:
    """Read one CSV file out of what Kaggle sent, whatever it is wrapped in; refuse another file of that name."""
    root = fetched.resolve()
    result = [p for p in sorted(root.rglob("*")) if p.is_file() and p.resolve().is_relative_to(root)]
    plain = [p for p in result if p.name in (name, f"{name}.zip", f"{JIGSAW_COMPETITION}.zip")]
    if not plain:
        raise DownloadError(f"Kaggle sent no {name}; it sent {', '.join(p.name for p in result) or 'nothing'}")
    try:
        raw = read_file(plain[0], member=name if plain[0].suffix == ".zip" else None)
    except DataError as error:
        raise DownloadError(f"{error}\nRun the same command again with --force") from error
    if name in JIGSAW_HASHES.values() and JIGSAW_HASHES.get(raw.git_blob_hash()) != name:
        raise DownloadError(f"{raw.name} is not the competition's {name} (its hash differs): run again with --force")
    return raw


def _fetch_imdb(target: Path, force: bool) -> list[Path]:
    datasets = _library("datasets")
    pandas = _library("pandas")
    mode = "force_redownload" if force else "reuse_dataset_if_exists"
    try:
        hub = {part: datasets.load_dataset(IMDB_DATASET, split=part, download_mode=mode) for part in ("train", "test")}
    except OSError as error:
        raise DownloadError(
            f"Hugging Face cannot be reached ({_first_line(error)}): check the network, and that HF_HUB_OFFLINE is not "
            "set.\n"
            f"Or put a CSV file with the columns review,sentiment,split into {target} under the name imdb.csv"
        ) from error
    frame = pandas.concat([data.to_pandas().assign(split=part) for part, data in hub.items()], ignore_index=True)
    frame["sentiment"] = frame["label"].map({1: "positive", 0: "negative"})
    frame = frame.rename(columns={"text": "review"})[["review", "sentiment", "split"]]
    target.mkdir(parents=True, exist_ok=True)
    partial = target / "imdb.csv.part"
    frame.to_csv(partial, index=False, lineterminator="\n")
    return [partial.replace(target / "imdb.csv")]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
