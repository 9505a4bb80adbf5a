"""Results that are not complete yet: a hidden folder beside the file that they become, with one writer at a time."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

ROWS, STATE, NEW_STATE, LOCK = "rows.csv", "progress.json", "progress.json.new", "lock"
_OTHER_FORMATS = {
    ".parquet",
    ".feather",
    ".json",
    ".jsonl",
    ".xls",
    ".xlsx",
    ".tsv",
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".zip",
}
_ADVICE = "begin anew with force=True (--force), or name another target"


def check_target(source: Path, target: Path, folder: Path, *, force: bool) -> Path:
    """Return the file that a target names, symbolic links followed, or refuse it before anything is written.

    Raises:
        ValueError: the target has the name of a format that is not written.
        FileNotFoundError: its folder does not exist.
        IsADirectoryError: it is a folder.
        FileExistsError: it is the source, a file of the model, no plain file, or a file that is not to be replaced.
    """
    real = Path(os.path.realpath(target))
    if real.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file in it")
    if real.exists() and real.is_relative_to(os.path.realpath(folder)):
        raise FileExistsError(f"{target} is a file in the model's folder: name another file")
    if target.suffix.lower() in _OTHER_FORMATS:
        raise ValueError(f"{target}: the probabilities are written as CSV: expected a name that ends in .csv")
    if not real.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {real.parent} does not exist: make it first")
    if os.path.lexists(real):
        if real.exists() and real.samefile(source):
            raise FileExistsError(f"{target} is the source: name another file")
        if not real.is_file():
            raise FileExistsError(f"{target} exists and is no plain file: name another file")
        if not force:
            raise FileExistsError(f"{target} exists: name another file, or replace it with force=True (--force)")
    return real


class Unfinished:
    """The results of a call that is not complete, in a folder of their own."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self.target = folder, target
        self._rows, self._state = folder / ROWS, folder / STATE
        self._size = 0

    def read(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Read the state that a stopped call left, or None where there is none.

        Raises:
            FileExistsError: the state is corrupt, or of other settings.
        """
        if not (self._state.is_file() and self._rows.is_file()):
            return None
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            result: dict[str, Any] = {name: int(state[name]) for name in ("rows", "bytes", "truncated")}
            result["seen"] = str(state["seen"])
        except (ValueError, KeyError, TypeError) as error:
            raise self.refusal(f"are corrupt ({STATE})") from error
        if changed := [name for name in settings if state.get(name) != settings[name]]:
            raise self.refusal(f"were begun with another {' and '.join(changed)}")
        if self._rows.stat().st_size < result["bytes"]:
            raise self.refusal(f"are corrupt ({ROWS} is shorter than {STATE} says)")
        self._size = result["bytes"]
        return result

    def refusal(self, reason: str) -> FileExistsError:
        """Make the error that tells why a stopped call is not resumed."""
        return FileExistsError(f"{self.target}: the unfinished results in {self.folder} {reason}: {_ADVICE}")

    def begin(self) -> None:
        """Forget what a stopped call left."""
        self._size = 0
        self._state.unlink(missing_ok=True)
        self._rows.unlink(missing_ok=True)

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
    options: dict[str, Any] = {"quoting": csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL}
    return table.to_csv(index=False, header=header, float_format="%.6g", lineterminator="\n", **options)


@contextmanager
def unfinished(target: Path) -> Iterator[Unfinished]:
    """Lock the hidden folder of a target's unfinished results, and remove it where nothing is left to resume.

    Raises:
        BlockingIOError: another process holds it.
        FileExistsError: something else has its name.
    """
    digest = hashlib.sha256(target.name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    folder = target.with_name(f".{target.name[:40]}.predict-{digest}")
    _check_ours(folder)
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)  # an iterator may move to another thread
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot write there ({error.strerror})", str(target.parent)) from error
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError) as error:  # the latter: that process has just removed the folder
        raise BlockingIOError(f"{target}: another process writes it: wait for that, or name another target") from error
    try:
        yield Unfinished(folder, target)
    finally:
        if not (folder / STATE).exists():
            for name in (ROWS, NEW_STATE):
                (folder / name).unlink(missing_ok=True)
            if os.name != "nt":  # there an open file cannot be removed; filelock does it after the release
                (folder / LOCK).unlink(missing_ok=True)  # while held: who waits for it sees that it has no name left
        lock.release()
        with suppress(OSError):  # what is to be resumed stays
            folder.rmdir()


def _check_ours(folder: Path) -> None:
    """Refuse a folder that holds anything but unfinished results."""
    if not os.path.lexists(folder):
        return
    is_ours = folder.is_dir() and not folder.is_symlink()
    for path in folder.iterdir() if is_ours else ():
        is_ours = is_ours and path.name in (ROWS, STATE, NEW_STATE, LOCK) and path.is_file() and not path.is_symlink()
    if not is_ours:
        raise FileExistsError(f"{folder} is needed for unfinished results and holds something else: move it away")
