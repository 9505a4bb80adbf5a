"""Folders of saved models: one writer at a time, replaced in one step, read whole, and never a way to run code."""

import ctypes
import json
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout

from helpers.arguments import check_path

Result = TypeVar("Result")

_WAIT = 600.0  # seconds for another writer
_POLL = 0.005
_CODE = ("auto_map", "custom_pipelines")  # keys under which transformers looks for classes in a folder's own modules
_REFUSAL = (
    "{source} names code to run ({key}): refused, because a model here is weights and settings only. "
    "Use a model of an architecture that transformers has; remove the entry if this is one"
)
_BUSY = ".busy"  # lock file in a folder that is being written


@contextmanager
def lock(path: str | Path, *, timeout: float = _WAIT) -> Iterator[None]:
    """Hold the one lock of a file or folder that is written; nothing is left beside it afterwards.

    Args:
        path: of the file or folder; its lock file is `.NAME.lock` beside it.
        timeout: seconds to wait for another process or thread; 0 does not wait.

    Raises:
        BlockingIOError: another process or thread holds the lock.
        FileExistsError: something else has the lock file's name.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import folders
        >>> with folders.lock("results.csv"):
        ...     Path(".results.csv.lock").exists()
        True
        >>> Path(".results.csv.lock").exists()
        False
    """
    path, file = Path(path).resolve(), _lock_file(path)
    held = FileLock(file, timeout=timeout, poll_interval=_POLL)
    try:
        held.acquire()
    except Timeout as error:
        raise BlockingIOError(f"{path}: another process is writing it (it holds {file})") from error
    try:
        yield
    finally:
        if os.name != "nt":  # there filelock removes it after the release: a file in use cannot be removed
            file.unlink(missing_ok=True)  # a process that waits for it sees that, and opens the next one
        held.release()


def _lock_file(path: str | Path) -> Path:
    path = Path(path).resolve()
    file = path.with_name(f".{path.name}.lock")
    with suppress(FileNotFoundError):
        result = file.lstat()
        if not stat.S_ISREG(result.st_mode) or result.st_size:
            raise FileExistsError(f"{file} is needed as a lock file and holds something else: move it away")
    return file


@contextmanager
def replacing(folder: str | Path, *, marker: str, what: str = "such files") -> Iterator[Path]:
    """Yield a new folder to write into; at the end it takes the place of `folder` in one step.

    A reader finds the old files or the new ones and never a mix (Linux, macOS; elsewhere `read_whole` waits while the
    folder has no name). An error leaves the old folder as it was. What a killed writer left is removed by the next one.
    A link is followed.

    Args:
        folder: does not exist, is empty, or holds earlier files of the same names, `marker` among them.
        marker: name of the file by which such a folder is known.
        what: the folder holds, for messages.

    Raises:
        FileExistsError: the folder holds other files, or is the working folder.
        BlockingIOError: another process holds the folder's lock.

    Examples:
        >>> from helpers import folders
        >>> with folders.replacing("model", marker="model.json") as new:
        ...     _ = (new / "model.json").write_text("{}")
        >>> with folders.replacing("model", marker="other.json", what="a tagger") as new:
        ...     pass
        Traceback (most recent call last):
            ...
        FileExistsError: ...model holds something else than a tagger: name another folder
    """
    folder = check_path("folder", folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder):  # else another process may be replacing it
        _check_replaceable(folder, marker, what)
        _remove_remains(folder)
        new = folder.with_name(f".{folder.name}.{uuid4().hex}.part")
        new.mkdir()
        busy = FileLock(new / _BUSY)  # tells other writers that this is no remains
        busy.acquire()
    try:
        yield new
        with lock(folder):
            _release(busy)
            _put_in_place(folder, new, marker, what)
    finally:
        _release(busy)
        shutil.rmtree(new, ignore_errors=True)


def _release(busy: FileLock) -> None:
    busy.release()
    Path(busy.lock_file).unlink(missing_ok=True)


def _check_replaceable(folder: Path, marker: str, what: str, names: Iterable[str] | None = None) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).is_file()):
        raise FileExistsError(f"{folder} holds something else than {what}: name another folder")
    if folder.samefile(Path.cwd()):
        raise FileExistsError(f"{folder} is the working folder, which cannot be replaced: name a folder inside it")
    result = {path.name for path in folder.iterdir() if not _is_remains(path.name, marker)}
    if names is not None and (others := result - set(names)):
        raise FileExistsError(f"{folder} holds something beside {what}, {min(others)}: name another folder")


def _put_in_place(folder: Path, new: Path, marker: str, what: str) -> None:
    """Give a new folder the name of an old one, and the files of the old one, now in `new`, to removal."""
    names = {path.name for path in new.iterdir()}
    _check_replaceable(folder, marker, what, names)
    mode = new.stat().st_mode & 0o666  # what the umask allows; some libraries write with less
    for path in new.rglob("*"):
        if path.is_file():
            path.chmod(mode)
    if not folder.exists():
        new.rename(folder)
        return
    shutil.copymode(folder, new)
    if not _exchange(new, folder):
        aside = new.with_suffix(".old")
        _rename(folder, aside)
        new.rename(folder)
        aside.rename(new)
    for path in new.iterdir():  # put there since it was checked
        if path.name not in names and not _is_remains(path.name, marker):
            path.rename(folder / path.name)


def _rename(old: Path, new: Path) -> None:
    """Rename a folder; Windows refuses while a file in it is open, so try for some seconds there."""
    for _ in range(100 if os.name == "nt" else 0):
        with suppress(PermissionError):
            old.rename(new)
            return
        time.sleep(0.05)
    old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step; False where the system or the file system cannot."""
    a, b = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            return libc.renameat2(-100, a, -100, b, 2) == 0  # AT_FDCWD, RENAME_EXCHANGE
        return sys.platform == "darwin" and libc.renamex_np(a, b, 2) == 0  # RENAME_SWAP
    except (AttributeError, OSError, TypeError):
        return False


def _is_remains(name: str, of: str) -> bool:
    return re.fullmatch(rf"\.{re.escape(of)}\.[0-9a-f]{{32}}\.(part|old)", name) is not None


def _remove_remains(folder: Path) -> None:
    """Remove what killed writers left beside a folder whose lock is held."""
    for path in folder.parent.iterdir():
        if not _is_remains(path.name, folder.name):
            continue
        if path.suffix == ".old" and not folder.exists():
            path.rename(folder)  # killed between two renames
            continue
        with suppress(Timeout, OSError), FileLock(path / _BUSY, timeout=0):
            shutil.rmtree(path, ignore_errors=True)


def replace_file(path: Path, text: str) -> None:
    """Replace or write a text file whose lock is held: whole or not at all, with the old file's mode.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import folders
        >>> path = Path("settings.json")
        >>> _ = path.write_text("{}")
        >>> folders.replace_file(path, '{"a": 1}')
        >>> path.read_text()
        '{"a": 1}'
    """
    for left in path.parent.iterdir():
        if _is_remains(left.name, path.name):
            left.unlink()  # of a killed writer
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        with suppress(FileNotFoundError):
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_whole(folder: str | Path, read: Callable[[], Result]) -> Result:
    """Read a folder that `replacing` may replace meanwhile: all files are of one version.

    The folder is read again when it changed; when it changes a second time, its writers wait for this reader.

    Args:
        folder: that is read; need not be writable.
        read: reads all files that it needs, and may be called several times.

    Raises:
        BlockingIOError: the folder keeps changing and cannot be locked.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import folders
        >>> Path("model").mkdir()
        >>> _ = Path("model/model.json").write_text("{}")
        >>> folders.read_whole("model", Path("model/model.json").read_text)
        '{}'
    """
    folder = check_path("folder", folder)
    for _ in range(2):
        with suppress(_ChangedError):
            return _read_unchanged(folder, read)
    with ExitStack() as held:
        try:
            held.enter_context(lock(folder, timeout=60))
        except OSError:  # a place that cannot be written
            return _read_unchanged(folder, read)
        return read()


class _ChangedError(BlockingIOError):
    """A folder was replaced while it was read."""


def _read_unchanged(folder: Path, read: Callable[[], Result]) -> Result:
    with _held_open(folder) as is_same:
        result = _read_same_state(folder, read)
        if not is_same():
            raise _ChangedError(f"{folder} was replaced while it was read: try again")
        return result


@contextmanager
def _held_open(folder: Path) -> Iterator[Callable[[], bool]]:
    """Keep a folder open, so that no other one gets its number, and say whether its name still leads to it."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # it is not there, or this is Windows
        yield lambda: True
        return

    def is_same() -> bool:
        with suppress(OSError):
            return os.path.samestat(os.fstat(number), folder.stat())
        return False

    try:
        yield is_same
    finally:
        os.close(number)


def _read_same_state(folder: Path, read: Callable[[], Result]) -> Result:
    before = _state(folder)
    changed = _ChangedError(f"{folder} was replaced again and again while it was read: try again")
    try:
        result = read()
    except (OSError, ValueError):
        is_between = before is None and _lock_file(folder).exists()  # without an exchange: it has no name for a moment
        if is_between or _state(folder) != before:
            raise changed from None
        raise
    if _state(folder) != before:
        raise changed
    return result


def _state(folder: Path) -> object:
    """What changes whenever a file of a folder does; None for a folder that is not there."""
    try:
        with os.scandir(folder) as entries:
            result = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return None
    return {(name, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in result}


def refuse_code(folder: str | Path) -> None:
    """Refuse a model's folder that names Python code of its own, before any library is asked to load it.

    Raises:
        ValueError: a configuration file of the folder names code; the message has both.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import folders
        >>> Path("model").mkdir()
        >>> _ = Path("model/config.json").write_text('{"auto_map": {"AutoModel": "modeling.Model"}}')
        >>> folders.refuse_code("model")
        Traceback (most recent call last):
            ...
        ValueError: ...config.json names code to run (auto_map): ...
    """
    for path in sorted(Path(folder).glob("*config*.json")):
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # the library that reads it names what is wrong
        refuse_code_in(settings, path)


def refuse_code_in(settings: object, source: str | Path) -> None:
    """Refuse settings that name Python code, as `refuse_code` does.

    Args:
        settings: plain values, as a configuration file or a checkpoint holds them.
        source: what the message names.

    Raises:
        ValueError: an entry `auto_map` or `custom_pipelines`, or an attention kernel from a hub.

    Examples:
        >>> from helpers import folders
        >>> folders.refuse_code_in({"model_type": "bert"}, "config.json")
    """
    for key, value in _entries(settings):
        is_kernel = "attn_implementation" in key and "/" in json.dumps(value, default=str)
        if value and (key in _CODE or is_kernel):
            raise ValueError(_REFUSAL.format(source=source, key=key))


def refuse_code_that_was_asked_for(error: Exception, source: str | Path) -> None:
    """Replace transformers' advice to trust a model's code, which it gives for names on the hub, by a refusal.

    Raises:
        ValueError: the error is that advice.

    Examples:
        >>> from helpers import folders
        >>> folders.refuse_code_that_was_asked_for(OSError("no such file"), "bert-base-cased")
    """
    if "trust_remote_code" in str(error):
        raise ValueError(_REFUSAL.format(source=source, key="auto_map")) from error


def _entries(settings: object) -> Iterator[tuple[str, Any]]:
    """All keys and values of nested settings."""
    waiting = [settings]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            yield from ((str(key), value) for key, value in current.items())
            waiting += current.values()
        elif isinstance(current, list | tuple):
            waiting += current
