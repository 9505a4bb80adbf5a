"""Where the data sets lie, how a published file is told from a part of it, and how to download them."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import config
from helpers.datasets.reading import DataError, RawFile, read_file

JIGSAW_COMPETITION = "jigsaw-toxic-comment-classification-challenge"
_PAGE = f"kaggle.com/c/{JIGSAW_COMPETITION}"
JIGSAW_FILES = ("train.csv", "test.csv", "test_labels.csv")
IMDB_DATASET = "stanfordnlp/imdb"
IMDB_ROWS = 25_000  # in each of its two parts


class Published(NamedTuple):
    """A published file: what messages call it, its rows, and the SHA-1 that `git hash-object` prints for it."""

    title: str
    rows: int
    git_hash: str


PUBLISHED = {
    "train.csv": Published("Jigsaw train.csv", 159_571, "7c2081f2e2f02d79d354c359a41e84bcec7cc92f"),
    "test.csv": Published("Jigsaw test.csv", 153_164, "8b736d48a6983c68249611f52a6fd6ca57f7967d"),
    "bias_madlibs_77k.csv": Published("bias_madlibs_77k", 76_564, "e0a0d7233c3b724b3e8b56522486671ad20a66c3"),
}
_ADVICE = {
    "jigsaw": "Fetch it with your own Kaggle account: python -m helpers download jigsaw\nor put Kaggle's files into",
    "imdb": "Fetch it: python -m helpers download imdb\nor put imdb.csv (review,sentiment,split) into",
    "identity": "It is part of the public repository github.com/conversationai/unintended-ml-bias-analysis (Apache-2.0)"
    ", among its eval_datasets:\nput it, plain or zipped, into",
}
_OUTER_ZIPS = {"jigsaw": f"{JIGSAW_COMPETITION}.zip", "identity": "bias_madlibs_77k.zip"}


def find_file(folders: Sequence[Path], names: Iterable[str], advice: str) -> Path:
    """Return the first of `names` that lies in one of the folders, folder by folder.

    Raises:
        FileNotFoundError: none is there; the message lists where it was looked for, and the advice.
    """
    names = list(names)
    paths = [folder / name for folder in folders for name in names]
    for path in paths:
        if path.is_file():
            return path
    looked = "\n".join(f"  {folder}" for folder in folders)
    raise FileNotFoundError(f"none of {', '.join(names)} was found in\n{looked}\n{advice}")


def bundled_file(name: str) -> Path:
    """Return where a file that comes with the course lies, in its folder or in the installed package.

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


def real_file(folder: str, name: str) -> Path:
    """Return where a file of the real data lies, plain or zipped, as `config.data_folders` says.

    Args:
        folder: `jigsaw`, `imdb` or `identity`.
        name: of the CSV file; a zip may have its name, or be the one that the publisher gives.

    Raises:
        FileNotFoundError: it is not there; the message says how to get it.
    """
    advice = f"{_ADVICE[folder]} data/{folder}/, or name a folder that holds {folder}/ in COURSE_DATA"
    names = [name, f"{name}.zip", _OUTER_ZIPS.get(folder, f"{name}.zip")]
    return find_file([base / folder for base in config.data_folders()], dict.fromkeys(names), advice)


def read_real_file(folder: str, name: str) -> RawFile:
    """Read a file of the real data; out of Kaggle's zips, which hold several, by its name."""
    path = real_file(folder, name)
    return read_file(path, member=name if folder == "jigsaw" and path.suffix == ".zip" else None)


def is_whole(raw: RawFile, name: str) -> bool:
    """Say whether a file is the published one, byte for byte."""
    blob = b"blob %d\0" % len(raw.content) + raw.content
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == PUBLISHED[name].git_hash


def origin(raw: RawFile, name: str) -> str:
    """Describe a file of the real data in words: the whole published file, or a part of it."""
    if name not in PUBLISHED:
        return name
    return part_of(PUBLISHED[name].title, PUBLISHED[name].rows, is_whole=is_whole(raw, name))


def part_of(title: str, rows: int, *, is_whole: bool) -> str:
    """Say in words whether these are all rows of a published data set."""
    return f"{title}, whole" if is_whole else f"part of {title}, which has {rows:,} rows"


def list_datasets() -> pd.DataFrame:
    """List what can be loaded here.

    Returns:
        One row per data set: `here` (bool), `file` (its name, or ""), and `to get it` (a command, "" where it is here).

    Examples:
        >>> from helpers import datasets
        >>> table = datasets.list_datasets()
        >>> list(table.columns)
        ['here', 'file', 'to get it']
        >>> bool(table.loc["bundled comments", "here"])
        True
    """
    rows = {
        "bundled comments": _row(lambda: bundled_file("comments.csv"), "git checkout data/comments.csv"),
        "bundled reviews": _row(lambda: bundled_file("reviews.csv"), "git checkout data/reviews.csv"),
        "Jigsaw comments": _row(lambda: real_file("jigsaw", "train.csv"), "python -m helpers download jigsaw"),
        "IMDB reviews": _row(lambda: real_file("imdb", "imdb.csv"), "python -m helpers download imdb"),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["here", "file", "to get it"])
    return table.rename_axis("data set")


def _row(find: Callable[[], Path], command: str) -> tuple[bool, str, str]:
    try:
        return True, find().name, ""
    except FileNotFoundError:
        return False, "", command


# The first ten digits of the SHA-256 of some reviews of each part of IMDB (those with the smallest digests), and of no
# text that is in both parts.
_LANDMARKS = {
    "train": """
        00008ec063 00009d6548 0000ffd50f 0001bc097b 0002ce5ab0 0009871ed5 0009b7d196 000c66ec00 000e2816e6 000ea7f0db
        000f400206 00133e3752 001778a7c9 001b077fdd 001b35e194 001d329ead 001e349577 001e568f93 001ed2d1ac 001f1ec790
        002220daf6 002241c7df 0024ade682 0024ee39e5 0028214662 002824c553 0028aabadc 002fcc753e 0030996582 003103b042
        003205a3c3 0037d7d13d 0038e218f8 00390e422e 003ae0d2e7 003b87972d 003d13f962 003ff86df7 003ffc2ca0 004c1361e2
    """,
    "test": """
        0006bbe6e8 000d8993d1 000f3b8bfc 0013fad67e 0018022564 00194b12f5 001a1dda94 0020c0dba8 00311569b2 003c937c9c
        004df0bce8 004f9273ff 00536237d7 00540ae60c 0055c76bc2 005ae5eba1 005cba3825 0062635356 006c3a3534 006d99aa6b
        007433c152 007688fa0e 00769d43c2 007ae82170 007d656cab 007eadaf0c 00877907e6 009133a70c 0095b1d790 00a1de8d46
        00a50f3131 00a5ed68f5 00a7847518 00a8babeaa 00ac7e0e16 00b6cd13a8 00b8f1911c 00c0d48e56 00c0f829f3 00cadbce3e
    """,
}


def imdb_parts(reviews: Iterable[str]) -> dict[int, str]:
    """Tell which rows, counted from 0, hold known reviews of IMDB, and which part each belongs to.

    About one review in five hundred is known; a text that is no review of IMDB never is.

    Returns:
        {row: "train" or "test"}.
    """
    part_of = {digest: part for part, digests in _LANDMARKS.items() for digest in digests.split()}
    digests = [hashlib.sha256(review.strip().encode("utf-8", "replace")).hexdigest()[:10] for review in reviews]
    return {row: part_of[digest] for row, digest in enumerate(digests) if digest in part_of}


class DownloadError(RuntimeError):
    """The data could not be fetched; the message says what the reader can do."""


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
        RuntimeError: no account, no network, rules not accepted, a damaged file; with the way out.

    Examples:
        What is there already is not fetched again:

        >>> from pathlib import Path
        >>> from helpers import datasets
        >>> Path("data/imdb").mkdir(parents=True)
        >>> _ = Path("data/imdb/imdb.csv").write_text("review,sentiment,split\nA joy,positive,train\n")
        >>> [file.name for file in datasets.download("imdb", "data")]
        ['imdb.csv']
    """
    names = {"jigsaw": JIGSAW_FILES, "imdb": ("imdb.csv",)}
    if name not in names:
        raise DownloadError(f"{name!r} cannot be downloaded; choose from {', '.join(names)}")
    base = Path(folder) if folder else (config.repository_folder() or Path.cwd()) / "data"
    target = base.expanduser().resolve() / name
    files = [target / file for file in names[name]]
    if not force and all(file.is_file() for file in files):
        return files
    contents = (_fetch_jigsaw if name == "jigsaw" else _fetch_imdb)(target, force)
    target.mkdir(parents=True, exist_ok=True)
    partial = [file.with_name(f"{file.name}.part") for file in files]
    for path, content in zip(partial, contents, strict=True):
        path.write_bytes(content)
    return [path.replace(file) for path, file in zip(partial, files, strict=True)]


def _fetch_jigsaw(target: Path, force: bool) -> list[bytes]:
    try:
        import kagglehub
        from kagglehub.exceptions import CredentialError, DataCorruptionError, UnauthenticatedError
    except ImportError as error:
        install = "pip install kagglehub"
        raise DownloadError(
            f"kagglehub is not installed; in a notebook: %{install}, in a terminal: {sys.executable} -m {install}"
        ) from error
    try:
        fetched = Path(kagglehub.competition_download(JIGSAW_COMPETITION, force_download=force))
    except (UnauthenticatedError, CredentialError, DataCorruptionError, OSError) as error:
        by_hand = f"Or fetch the files in a browser from {_PAGE}/data and put the zip, as it is, into {target}"
        raise DownloadError(f"{_kaggles_reason(error)}\n{by_hand}") from error
    return [_checked(fetched, name) for name in JIGSAW_FILES]


def _kaggles_reason(error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("UnauthenticatedError", "CredentialError"):
        return (
            f"Kaggle does not know you yet. 1. Make a free account at kaggle.com. 2. Accept the rules at {_PAGE}/rules."
            " 3. Settings > API > create a token, and set KAGGLE_API_TOKEN to it (or save kaggle.json where Kaggle "
            "says). 4. Run this command again."
        )
    if kind == "KaggleApiHTTPError":
        is_forbidden = getattr(getattr(error, "response", None), "status_code", None) == 403
        advice = f"accept the rules at {_PAGE}/rules first" if is_forbidden else "try again later"
        return f"Kaggle refused ({_first_line(error)}): {advice}"
    if kind == "DataCorruptionError":
        return f"the download arrived damaged ({error}): run the same command again"
    return f"Kaggle cannot be reached ({_first_line(error)}): check the network"


def _checked(fetched: Path, name: str) -> bytes:
    """Read one CSV file out of what Kaggle sent, whatever it is wrapped in; refuse another file of that name."""
    root = fetched.resolve()
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.resolve().is_relative_to(root)]
    chosen = [path for path in files if path.name in (name, f"{name}.zip", _OUTER_ZIPS["jigsaw"])]
    if not chosen:
        raise DownloadError(f"Kaggle sent no {name}; it sent {', '.join(path.name for path in files) or 'nothing'}")
    try:
        raw = read_file(chosen[0], member=name if chosen[0].suffix == ".zip" else None)
    except DataError as error:
        raise DownloadError(f"{error}\nRun the same command again with --force") from error
    if name in PUBLISHED and not is_whole(raw, name):
        raise DownloadError(f"{raw.name} is not the competition's {name} (its hash differs): run again with --force")
    return raw.content


def _fetch_imdb(target: Path, force: bool) -> list[bytes]:
    import datasets

    mode = "force_redownload" if force else "reuse_dataset_if_exists"
    try:
        parts = {
            part: datasets.load_dataset(IMDB_DATASET, split=part, download_mode=mode) for part in ("train", "test")
        }
    except OSError as error:
        raise DownloadError(
            f"Hugging Face cannot be reached ({_first_line(error)}): check the network, and that HF_HUB_OFFLINE is not "
            f"set.\nOr put a CSV file with the columns review,sentiment,split into {target} under the name imdb.csv"
        ) from error
    frame = pd.concat([part.to_pandas().assign(split=name) for name, part in parts.items()], ignore_index=True)
    frame["sentiment"] = frame["label"].map({1: "positive", 0: "negative"})
    columns = frame.rename(columns={"text": "review"})[["review", "sentiment", "split"]]
    return [columns.to_csv(index=False, lineterminator="\n").encode()]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
