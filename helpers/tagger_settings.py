"""Settings of a saved tagger, `tagger.json`: labels, thresholds, and how texts are read. One schema, without torch."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from helpers import config, folders
from helpers.arguments import check_choice, check_count, check_path

Keep = Literal["head", "tail"]
WindowPooling = Literal["max", "mean"]

SETTINGS = config.TAGGER_SETTINGS


def whole_folder(folder: str | Path) -> AbstractContextManager[Path]:
    """Give a new folder to write a tagger into; it takes the place of `folder` at the end, or is gone after an error.

    Raises:
        FileExistsError: the folder holds something else than a tagger, or something beside one.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import tagger_settings
        >>> with tagger_settings.whole_folder("tagger") as new:
        ...     _ = (new / "tagger.json").write_text("{}")
        >>> [path.name for path in Path("tagger").iterdir()]
        ['tagger.json']
    """
    return folders.replacing(folder, marker=SETTINGS, what="a tagger")


def check_labels(labels: Sequence[str], n_labels: int | None = None) -> list[str]:
    """Return names of labels as a list, or refuse them.

    Args:
        labels: different names, at least one.
        n_labels: how many a model has; None takes any number.

    Raises:
        ValueError: one text instead of several, a name that is no text or empty, a name twice, another number.

    Examples:
        >>> from helpers import tagger_settings
        >>> tagger_settings.check_labels(("rude", "kind"))
        ['rude', 'kind']
        >>> tagger_settings.check_labels(["rude"], 2)
        Traceback (most recent call last):
            ...
        ValueError: labels ['rude']: expected 2 different names, one per logit
    """
    names = [labels] if isinstance(labels, str | bytes) else list(labels)
    wrong = isinstance(labels, str | bytes) or not names or len({str(name) for name in names}) < len(names)
    if wrong or any(not isinstance(name, str) or not name.strip() for name in names):
        number = "different names" if n_labels is None else f"{n_labels} different names, one per logit"
        raise ValueError(f"labels {labels!r}: expected a list of {number}, each a text")
    if n_labels is not None and len(names) != n_labels:
        raise ValueError(f"labels {names}: expected {n_labels} different names, one per logit")
    if bad := [name for name in names if name.encode(errors="ignore").decode() != name]:
        raise ValueError(f"labels {bad} hold half of a character (a lone surrogate), which no file can hold")
    return [str(name) for name in names]


def checked_thresholds(labels: Sequence[str], thresholds: Mapping[str, float]) -> dict[str, float]:
    """Return a threshold for every label, 0.5 where none is named.

    Args:
        labels: names of the L labels.
        thresholds: by label, a dict or a Series; from 0 to 1, or inf, which never gives the label.

    Raises:
        ValueError: thresholds for other labels, or neither from 0 to 1 nor inf.

    Examples:
        >>> from helpers import tagger_settings
        >>> tagger_settings.checked_thresholds(["rude", "kind"], {"kind": 0.3})
        {'rude': 0.5, 'kind': 0.3}
    """
    return dict.fromkeys(labels, 0.5) | changed_thresholds(labels, thresholds)


def changed_thresholds(labels: Sequence[str], thresholds: Mapping[str, float]) -> dict[str, float]:
    """Return the thresholds of the labels that are named, checked as `checked_thresholds` does, and no others.

    Examples:
        >>> from helpers import tagger_settings
        >>> tagger_settings.changed_thresholds(["rude", "kind"], {"kind": 0.3})
        {'kind': 0.3}
    """
    try:
        named = dict(thresholds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"thresholds={thresholds!r}: expected a number per label, such as {{'rude': 0.3}}") from error
    if bad := {name: value for name, value in named.items() if name not in labels or not _is_threshold(value)}:
        raise ValueError(f"thresholds {bad} are for no label of {list(labels)}, or not from 0 to 1 (or inf: never)")
    return {name: float(value) for name, value in named.items()}


def _is_threshold(value: Any) -> bool:  # noqa: ANN401
    try:
        return 0 <= float(value) <= 1 or float(value) == math.inf
    except (TypeError, ValueError):
        return False


def checked_reading(
    *,
    max_length: int,
    keep: Keep,
    windows: bool,
    overlap: int,
    window_pooling: WindowPooling,
    longest: int | None,
    special_tokens: int = 2,
) -> dict[str, Any]:
    """Return how a tagger reads texts, checked.

    Args:
        max_length: of a text, or of a window of a text, the special tokens included.
        keep: what is left of a text that is truncated.
        windows: split longer texts into windows instead.
        overlap: tokens that neighbouring windows share.
        window_pooling: of the windows' logits.
        longest: that the encoder reads; None sets no limit.
        special_tokens: of each text or window, which leave room for one more.

    Raises:
        ValueError: a value outside its range, the argument named.

    Examples:
        >>> from helpers import tagger_settings
        >>> options = {"keep": "head", "windows": False, "overlap": 32, "window_pooling": "max"}
        >>> tagger_settings.checked_reading(max_length=600, longest=512, **options)
        Traceback (most recent call last):
            ...
        ValueError: max_length=600: expected a whole number, from 3 to 512; windows=True reads longer texts
    """
    try:
        max_length = check_count("max_length", max_length, at_least=special_tokens + 1, at_most=longest)
    except ValueError as error:
        if longest is None or not isinstance(max_length, int) or max_length <= longest:
            raise
        raise ValueError(f"{error}; windows=True reads longer texts") from error
    check_choice("keep", keep, ("head", "tail"))
    check_choice("windows", windows, (True, False))
    check_choice("window_pooling", window_pooling, ("max", "mean"))
    overlap = check_count("overlap", overlap, at_least=0, at_most=max_length - special_tokens - 1 if windows else None)
    if windows and keep != "head":
        raise ValueError(f"keep={keep!r}, windows=True: windows read the whole text, so nothing is kept or lost")
    result: dict[str, Any] = {"max_length": max_length, "keep": str(keep), "windows": bool(windows)}
    return result | {"overlap": overlap, "window_pooling": str(window_pooling)}


def read_settings(folder: str | Path) -> dict[str, Any]:
    """Read and check the settings of a saved tagger.

    Returns:
        What the file holds; `labels` and `thresholds` are checked, and where it says how texts are read, so are
        `max_length`, `keep`, `windows`, `overlap` and `window_pooling`, filled up as files of before 0.2 mean it.

    Raises:
        FileNotFoundError: the folder holds no such file.
        ValueError: the file is corrupt, or no tagger's.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import tagger_settings
        >>> _ = Path("tagger.json").write_text('{"labels": ["rude"], "thresholds": {"rude": 0.3}, "max_length": 64}')
        >>> settings = tagger_settings.read_settings(".")
        >>> settings["max_length"], settings["keep"], settings["windows"]
        (64, 'head', False)
    """
    path = check_path("folder", folder) / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the folder holds no tagger")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError(f"expected an object, found a {type(settings).__name__}")
        settings["labels"] = check_labels(settings["labels"])
        settings["thresholds"] = checked_thresholds(settings["labels"], settings["thresholds"])
        if "max_length" in settings:
            options = {"keep": "head", "windows": False, "overlap": 0, "window_pooling": "max"}
            named = {name: settings.get(name, value) for name, value in options.items()}
            settings |= checked_reading(max_length=settings["max_length"], longest=None, **named)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is corrupt or no tagger's: {error!r}") from error
    return settings


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a tagger into a folder that is new or whose lock is held.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import tagger_settings
        >>> tagger_settings.write_settings(Path(), {"labels": ["rude"], "thresholds": {"rude": float("inf")}})
        >>> tagger_settings.read_settings(".")
        {'labels': ['rude'], 'thresholds': {'rude': inf}}
    """
    # JSON has no infinity: it becomes a string that `float` reads.
    thresholds = {name: "inf" if value == math.inf else value for name, value in settings["thresholds"].items()}
    text = json.dumps({**settings, "thresholds": thresholds}, indent=1, allow_nan=False) + "\n"
    path = folder / SETTINGS
    if path.exists():
        folders.replace_file(path, text)
    else:
        path.write_text(text, encoding="utf-8")


def set_thresholds(folder: str | Path, thresholds: Mapping[str, float]) -> None:
    """Change the thresholds of a saved tagger, to those of `evaluation.tune_thresholds` for example.

    A `Predictor` that was loaded before keeps the thresholds that it read: load it again.

    Args:
        folder: that `models.save_tagger` or `export.to_onnx` wrote.
        thresholds: by label, a dict or a Series; labels that are not named keep theirs; inf never gives the label.

    Raises:
        FileNotFoundError: the folder is no tagger's.
        ValueError: its settings are corrupt; thresholds for other labels, or neither from 0 to 1 nor inf.
        BlockingIOError: another process holds the folder's lock.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> models.set_thresholds(folder, {"insult": 0.3})
        >>> models.load_tagger(folder).thresholds
        {'toxic': 0.5, 'insult': 0.3}
    """
    folder = check_path("folder", folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder / SETTINGS} is missing: the folder holds no tagger")
    with folders.lock(folder):
        settings = read_settings(folder)
        settings["thresholds"] |= changed_thresholds(settings["labels"], thresholds)
        write_settings(folder, settings)
