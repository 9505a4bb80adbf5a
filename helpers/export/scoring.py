"""Predict the texts of a CSV or Parquet file of any size: bounded memory, resumed after a kill, whole or not there."""

import csv
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers import config, folders
from helpers.arguments import check_choice, check_count, check_path
from helpers.datasets.reading import DataError, column_names, read_columns
from helpers.export.predictor import GRAPH, SETTINGS, WEIGHTS, Predictor

ROWS, STATE, NEW_STATE = "rows.csv", "progress.json", "progress.json.new"  # files of unfinished results
_OTHER_FORMATS = re.compile(r"\.(parquet|feather|jsonl?|xlsx?|tsv|gz|bz2|xz|zst|zip)$", re.IGNORECASE)


@dataclass(frozen=True)
class FileSummary:
    """What `predict_file` wrote, or has written so far.

    Attributes:
        target: the CSV file, which exists once all rows are written; of a symbolic link, the file that it points to.
        labels: names of the L labels, the columns beside the ids.
        rows: number of rows written, those of an earlier call included.
        resumed: number of rows that an earlier, stopped call had written.
        truncated: number of texts that were longer than the model reads, in all rows.
        seconds: time since the call.

    Examples:
        >>> from pathlib import Path
        >>> from helpers.export.scoring import FileSummary
        >>> summary = FileSummary(Path("scored.csv"), ("rude", "spam"), rows=300)
        >>> summary.rows, summary.resumed
        (300, 0)
    """

    target: Path
    labels: tuple[str, ...]
    rows: int
    resumed: int = 0
    truncated: int = 0
    seconds: float = 0.0


def predict_file(
    folder: str | Path,
    source: str | Path,
    target: str | Path,
    *,
    text: str = "comment_text",
    id: str = "id",
    tags: bool = False,
    force: bool = False,
    batch_rows: int = 4096,
    on_batch: Callable[[FileSummary], object] | None = None,
) -> FileSummary:
    r"""Predict the probabilities of all texts of a CSV or Parquet file, and write them with their ids into a CSV file.

    Rows are read, predicted and written some thousand at a time. Until all are there they lie in a hidden folder beside
    the target, `.NAME.predict-DIGEST`. A call that was stopped or killed, or met a row that it cannot trust, and is
    made again resumes after the last rows that were written, if they are still the first rows of the source. The same
    `batch_rows` then gives the same bytes as a call that was never stopped.

    Args:
        folder: of the tagger, as `Predictor.load` reads it.
        source: a `.csv` or `.parquet` file.
        target: the CSV file to write: the id, then one column per label. Its folder must exist. Where it is a symbolic
            link, the file that the link points to is written.
        text: name of the text column; an empty text is predicted too.
        id: name of the id column; ids are copied unchanged.
        tags: write decisions too, 0 or 1 by the folder's thresholds, in columns `LABEL_tag`.
        force: replace an existing target, and unfinished results of other rows, another model or other settings.
        batch_rows: number of rows at a time.
        on_batch: called with a `FileSummary` after each batch of rows, such as to show progress. What it raises stops
            the call.

    Raises:
        ValueError: an argument of another type or outside its range.
        FileNotFoundError: no such source, no tagger in the folder, or no such folder for the target.
        FileExistsError: the target exists, or unfinished results are of other rows, another model or other settings.
        IsADirectoryError: the target is a folder.
        DataError: the source cannot be trusted; the message names file and row.
        BlockingIOError: another process writes this target.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 1), tokenizer, labels=["toxic"])
        >>> _ = Path("forum.csv").write_text("id,comment_text\na,You are kind\nb,Go away\n")
        >>> export.predict_file(folder, "forum.csv", "scored.csv").rows
        2
        >>> [line.split(",")[0] for line in Path("scored.csv").read_text().splitlines()]
        ['id', 'a', 'b']
    """
    began = time.perf_counter()
    folder, source, target = check_path("folder", folder), check_path("source", source), check_path("target", target)
    batch_rows = check_count("batch_rows", batch_rows)
    check_choice("tags", tags, (True, False))
    check = partial(_check_target, source, target, folder, force=check_choice("force", force, (True, False)))
    _check_columns(source, id, text)
    real, version = check(), _version(source)
    predictor, settings = _load(folder, source, {"text": text, "id": id, "tags": bool(tags)})
    with _unfinished(real) as work:
        check()  # another process may just have written it
        rows, truncated, seen = work.resume(source, settings, force=force)
        done = FileSummary(real, tuple(predictor.labels), rows, resumed=rows, truncated=truncated)
        for ids, texts in _batches(source, settings, skip=rows, batch_rows=batch_rows):
            table = _table(predictor, ids, texts, settings)
            _hash(seen, ids, texts)
            done = replace(done, rows=done.rows + len(ids), truncated=truncated + predictor.n_truncated)
            work.append(table, settings | {"rows": done.rows, "truncated": done.truncated, "seen": seen.hexdigest()})
            if on_batch is not None:
                on_batch(replace(done, seconds=time.perf_counter() - began))
        if not done.rows:
            raise DataError(f"{source}: no rows")
        if _version(source) != version:
            raise DataError(f"{source} changed while it was read: call again, to resume if its first rows are the same")
        check()  # the target may have been made meanwhile
        work.finish()
    return replace(done, seconds=time.perf_counter() - began)


def _check_target(source: Path, target: Path, folder: Path, *, force: bool) -> Path:
    """Return the file that a target names, symbolic links followed, or refuse it before anything is written."""
    real = Path(os.path.realpath(target))
    if real.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file in it")
    if real.exists() and real.is_relative_to(os.path.realpath(folder)):
        raise FileExistsError(f"{target} is a file in the model's folder: name another file")
    if _OTHER_FORMATS.search(target.name):
        raise ValueError(f"{target}: the probabilities are written as CSV: expected a name that ends in .csv")
    if not real.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {real.parent} does not exist: make it first")
    if real.exists() and real.samefile(source):
        raise FileExistsError(f"{target} is the source: name another file")
    if os.path.lexists(real) and not real.is_file():
        raise FileExistsError(f"{target} exists and is no plain file: name another file")
    if real.exists() and not force:
        raise FileExistsError(f"{target} exists: name another file, or replace it with force=True (--force)")
    return real


def _check_columns(source: Path, id: str, text: str) -> None:
    columns = column_names(source)
    if missing := [str(name) for name in (id, text) if name not in columns]:
        advice = "name the columns with text= and id= (--text, --id)"
        raise DataError(f"{source}: missing column {', '.join(missing)}; found {', '.join(columns)}; {advice}")


def _load(folder: Path, source: Path, settings: dict[str, Any]) -> tuple[Predictor, dict[str, Any]]:
    """The predictor, whose labels leave the other columns their names, and the settings with the model's digest."""
    digest, predictor, id = _digest(folder), Predictor.load(folder), settings["id"]
    if digest != _digest(folder):
        raise FileExistsError(f"{folder} was replaced while it was read: try again")
    if id in predictor.labels:
        raise DataError(f"{source}: the id column {id!r} has the name of a label: rename one")
    written = [id, *predictor.labels, *(f"{label}_tag" for label in predictor.labels if settings["tags"])]
    if twice := sorted({name for name in written if written.count(name) > 1}):
        raise ValueError(f"tags=True would write two columns {', '.join(twice)}: rename the label or the id column")
    return predictor, {"model": digest, **settings}


def _digest(folder: Path) -> str:
    """SHA-256 over all that decides a tagger's predictions."""
    whole = hashlib.sha256()
    for name in (GRAPH, WEIGHTS, SETTINGS, config.TAGGER_VOCABULARY, "config.json", "tokenizer.json"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                whole.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _version(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _batches(
    source: Path, settings: dict[str, Any], *, skip: int, batch_rows: int
) -> Iterator[tuple[list[Any], list[str]]]:
    """Ids and texts of the rows after the first `skip`, each row checked."""
    stop, (id, text) = 0, (settings["id"], settings["text"])
    for batch in read_columns(source, list(dict.fromkeys([id, text])), batch_rows):
        start, stop = stop, stop + len(batch[id])
        new = max(skip - start, 0)
        for row, (key, words) in enumerate(zip(batch[id][new:], batch[text][new:], strict=True), start + new + 1):
            if not isinstance(words, str):
                raise DataError(f"{source}: row {row}: column {text} holds {words!r}: expected a text")
            if key is None or key != key:
                raise DataError(f"{source}: row {row}: column {id} holds {key!r}: expected an id")
        if new < len(batch[id]):
            yield batch[id][new:], batch[text][new:]


def _table(predictor: Predictor, ids: list[Any], texts: list[str], settings: dict[str, Any]) -> pd.DataFrame:
    table = predictor.predict_proba(texts)
    if settings["tags"]:
        limits = pd.Series(predictor.thresholds)
        table = table.join(table.ge(limits, axis="columns").astype(int).add_suffix("_tag"))
    table.insert(0, settings["id"], pd.Series(ids, dtype=object))  # object: whole numbers stay whole
    return table


def _hash(seen: "hashlib._Hash", ids: list[Any], texts: list[str]) -> None:
    for key, text in zip(ids, texts, strict=True):
        seen.update(f"{key}\0{text}\0".encode("utf-8", "surrogatepass"))


class _Unfinished:
    """The results of a call that is not complete: rows, and the state that counts them, in a folder of their own."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self.target = folder, target
        self._rows, self._state = folder / ROWS, folder / STATE
        self._size = 0

    def resume(self, source: Path, settings: dict[str, Any], *, force: bool) -> tuple[int, int, "hashlib._Hash"]:
        """Number of rows that a stopped call wrote, of texts that it truncated, and the digest of those rows.

        Raises:
            FileExistsError: what is there is corrupt, or of other rows or settings, and is not to be replaced.
        """
        try:
            if self._state.is_file() and self._rows.is_file():
                return self._read(source, settings)
        except FileExistsError:
            if not force:
                raise
        for path in (self._state, self._rows):
            path.unlink(missing_ok=True)
        return 0, 0, hashlib.sha256()

    def _read(self, source: Path, settings: dict[str, Any]) -> tuple[int, int, "hashlib._Hash"]:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            rows, truncated, size = (int(state[name]) for name in ("rows", "truncated", "bytes"))
            digest = state["seen"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"are corrupt ({STATE})") from error
        if changed := [name for name in settings if state.get(name) != settings[name]]:
            raise self._refusal(f"were begun with another {' and '.join(changed)}")
        if self._rows.stat().st_size < size:
            raise self._refusal(f"are corrupt ({ROWS} is shorter than {STATE} says)")
        seen, left = hashlib.sha256(), rows
        for batch in read_columns(source, list(dict.fromkeys([settings["id"], settings["text"]])), 4096):
            ids, texts = (batch[settings[name]][:left] for name in ("id", "text"))
            _hash(seen, ids, texts)
            left -= len(ids)
            if not left:
                break
        if left or seen.hexdigest() != digest:
            raise self._refusal(f"are of another source, whose first {rows:,} rows differ")
        self._size = size
        return rows, truncated, seen

    def _refusal(self, reason: str) -> FileExistsError:
        advice = "begin anew with force=True (--force), or name another target"
        return FileExistsError(f"{self.target}: the unfinished results in {self.folder} {reason}: {advice}")

    def append(self, table: pd.DataFrame, state: dict[str, Any]) -> None:
        """Write rows, then the state that includes them, so that a kill loses nothing that the state counts."""
        try:
            with self._rows.open("r+b" if self._size else "wb") as file:
                file.truncate(self._size)  # rows that were written after the last state
                file.seek(self._size)
                file.write(_as_csv(table, header=not self._size).encode())
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            new = self.folder / NEW_STATE
            new.write_text(json.dumps(state | {"bytes": size}) + "\n", encoding="utf-8")
            new.replace(self._state)
            self._size = size
        except OSError as error:
            kept = f"; the same call resumes from the rows in {self.folder}" if self._size else ""
            raise OSError(error.errno, f"{error.strerror}{kept}", str(self.target)) from error

    def finish(self) -> None:
        """Give the rows the name of the target, with the permissions of the file that they replace."""
        if self.target.exists():
            shutil.copymode(self.target, self._rows)
        self._rows.replace(self.target)
        self._state.unlink()


def _as_csv(table: pd.DataFrame, *, header: bool) -> str:
    # Before Python 3.13 the csv module leaves a lone \r without quotes.
    has_returns = any("\r" in str(text) for text in (*table.columns, *table.iloc[:, 0]))
    quoting: Any = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
    return table.to_csv(index=False, header=header, float_format="%.6g", lineterminator="\n", quoting=quoting)


@contextmanager
def _unfinished(target: Path) -> Iterator[_Unfinished]:
    """Lock the hidden folder of a target's unfinished results, and remove it where nothing is left to resume."""
    digest = hashlib.sha256(target.name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    folder = target.with_name(f".{target.name[:40]}.predict-{digest}")
    with ExitStack() as stack:
        try:
            tempfile.TemporaryFile(dir=target.parent).close()
        except OSError as error:
            raise OSError(error.errno, f"cannot write there ({error.strerror})", str(target.parent)) from error
        try:
            stack.enter_context(folders.lock(folder, timeout=0))
        except BlockingIOError as error:
            advice = "wait for that, or name another target"
            raise BlockingIOError(f"{target}: another process writes it: {advice}") from error
        _check_ours(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            yield _Unfinished(folder, target)
        finally:
            if not (folder / STATE).exists():
                for name in (ROWS, NEW_STATE):
                    (folder / name).unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()


def _check_ours(folder: Path) -> None:
    """Refuse a folder that holds anything but unfinished results."""
    is_ours = not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink())
    for path in folder.iterdir() if is_ours and folder.exists() else ():
        is_ours = is_ours and path.name in (ROWS, STATE, NEW_STATE) and path.is_file() and not path.is_symlink()
    if not is_ours:
        raise FileExistsError(f"{folder} is needed for unfinished results and holds something else: move it away")
