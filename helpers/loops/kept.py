"""Fine-tune a tagger once and keep it: later calls with the same data, code and settings load it."""

import ast
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pandas as pd
import tokenizers
import torch
import transformers

from helpers import arguments, config, datasets, folders, loaders, losses, models, tagger_settings, text
from helpers.arguments import check_choice, check_count, check_number, check_path, check_table
from helpers.datasets.labels import comment_texts, label_matrix
from helpers.loaders import batches as batches_code, row_order, tokens as tokens_code
from helpers.loops import fine_tuning, prediction, schedulers, training
from helpers.loops.digests import digest
from helpers.loops.entry_checks import check_device
from helpers.loops.prediction import Precision
from helpers.losses import binary
from helpers.models import backbones, bert, encoders, persistence
from helpers.models.persistence import SavedTagger

TAGGER, RECORD = "tagger", "kept_tagger.json"
_LONG = 24 * 3600.0  # seconds for another process that trains


@dataclass(frozen=True)
class KeptTagger(SavedTagger):
    """A saved tagger with the record of its training.

    Attributes:
        history: one row per epoch, as `Fit.history`.
        minutes: that the training took.
        where: versions of the libraries, device and precision of the training.

    Examples:
        >>> from helpers import datasets, loops
        >>> kept = loops.kept_tagger("runs/few", datasets.load_comments().head(16), epochs=1, report=lambda text: None)
        >>> kept.where["device"], len(kept.history)
        ('cpu', 1)
    """

    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    minutes: float = 0.0
    where: dict[str, str] = field(default_factory=dict)


def kept_tagger(
    folder: str | Path,
    train: pd.DataFrame,
    *,
    encoder: str | Path = config.PACKAGED_ENCODER,
    epochs: int = 2,
    lr: float = 2e-4,
    batch_size: int = 32,
    train_length: int = 64,
    max_length: int = 128,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "32-true",
    progress: bool = True,
    report: Callable[[str], None] = print,
) -> KeptTagger:
    """Load the tagger of a folder if it was trained on the same data by the same code and settings, else train it.

    The training is `fine_tune`: the head first, then all layers. When it trains, it says why. A tagger that was trained
    with other versions of torch or transformers, on another kind of device or in another precision is used, and the
    difference is reported. Processes that ask for the same folder at once wait for the one that trains.

    Args:
        folder: holds the tagger (`tagger/`, as `models.save_tagger` writes it) and the record of its training.
        train: comments of the training set, as `datasets.load_comments` and `datasets.split` give them.
        encoder: name or folder of the pretrained encoder.
        epochs: passes over the training set.
        lr: peak of the learning rate.
        batch_size: rows per step.
        train_length: tokens at which texts are truncated in training.
        max_length: tokens at which texts are truncated in prediction; kept with the tagger.
        seed: of the head's weights, dropout and the order of the rows; other random numbers are left as they were.
        device: for the training; the tagger that is returned is on it.
        precision: as in `fit`.
        progress: whether to show a progress bar.
        report: takes each message.

    Raises:
        ValueError: an argument is out of range, or `train` has no labels.
        DataError: a text or a label of `train` cannot be used.
        FileExistsError: the folder is a file, or its `tagger/` was not made by this function.
        KeyboardInterrupt: the training was interrupted; what was kept before is still there.

    Examples:
        >>> from helpers import datasets, loops
        >>> few = datasets.load_comments().head(40)
        >>> first = loops.kept_tagger("runs/few", few, epochs=1, progress=False)
        training a tagger on 40 comments: runs/few holds none
        >>> again = loops.kept_tagger("runs/few", few, epochs=1, progress=False)
        >>> again.labels == first.labels, len(again.history)
        (True, 1)
    """
    folder = check_path("folder", folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder for the tagger")
    train = check_table("train", train)
    labels = tagger_settings.check_labels(datasets.label_names(train))
    texts, targets = comment_texts(train), label_matrix(train, allow_unknown=True)
    settings: dict[str, Any] = {
        "epochs": check_count("epochs", epochs),
        "lr": check_number("lr", lr, above=0),
        "batch_size": check_count("batch_size", batch_size),
        "train_length": check_count("train_length", train_length, at_least=3),
        "max_length": check_count("max_length", max_length, at_least=3),
        "seed": check_count("seed", seed, at_least=0, at_most=2**32 - 1),
    }
    check_choice("precision", precision, get_args(Precision))
    device = check_device(device)
    key = {name.replace("_", " "): value for name, value in settings.items()}
    key |= {"encoder": _encoder(encoder), "labels": labels, "texts": digest(texts), "targets": digest(targets)}
    key["code"] = _CODE_DIGEST
    where = {module.__name__: str(module.__version__) for module in (torch, transformers, tokenizers)}
    where |= {"device": torch.device(device).type, "precision": precision}
    with _seeded(seed, device):
        record, saved, why = _kept(folder, key)
        if saved is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder, report):
                record, saved, why = _kept(folder, key)
                if saved is None:
                    report(f"training a tagger on {len(texts):,} comments: {why}")
                    torch.manual_seed(seed)
                    options = settings | {"device": device, "precision": precision, "progress": progress}
                    record = {"key": key, "where": where} | _train(folder, texts, targets, labels, encoder, options)
                    _write(folder, record | {"weights": _weights(folder)})
                    saved = models.load_tagger(folder / TAGGER)
    if other := [name for name in where if record["where"].get(name) != where[name]]:
        was, here = (", ".join(f"{name} {side.get(name)}" for name in other) for side in (record["where"], where))
        report(f"the tagger in {folder} was trained with {was}, here is {here}; remove the folder to train it again")
    tagger: Any = saved.tagger
    tagger.to(device)
    parts: dict[str, Any] = {one.name: getattr(saved, one.name) for one in fields(SavedTagger)}
    history = pd.DataFrame(record["history"]).set_index("epoch")
    return KeptTagger(**parts, history=history, minutes=float(record["minutes"]), where=dict(record["where"]))


def _kept(folder: Path, key: dict[str, Any]) -> tuple[dict[str, Any], SavedTagger | None, str]:
    """The record and the tagger that are kept under a key; or None, and why not."""
    if not (folder / RECORD).is_file():
        if (folder / TAGGER).exists():
            raise FileExistsError(
                f"{folder / TAGGER} is there without {RECORD}, so it was not made here: move it away, or name another "
                "folder"
            )
        return {}, None, f"{folder} holds none"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        kept = dict(record["key"])
        if other := [name for name in {**kept, **key} if kept.get(name) != key.get(name)]:
            return {}, None, f"the one in {folder} has other {', '.join(other)}"
        if record["weights"] != _weights(folder):
            return {}, None, f"the files in {folder / TAGGER} have been changed"
        saved = models.load_tagger(folder / TAGGER)
        pd.DataFrame(record["history"]).set_index("epoch"), float(record["minutes"]), dict(record["where"])
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        return {}, None, f"the one in {folder} cannot be read ({type(error).__name__}: {error})"
    return record, saved, ""


def _train(
    folder: Path, texts: list[str], targets: np.ndarray, labels: list[str], encoder: str | Path, options: dict[str, Any]
) -> dict[str, Any]:
    """Train and save a tagger; return its history and the minutes that this took."""
    pretrained, tokenizer = models.load_encoder(encoder)
    reading: dict[str, Any] = {"keep": "head", "windows": False, "overlap": 32, "window_pooling": "max"}
    reading["max_length"] = options["max_length"]
    tagger_settings.checked_reading(**reading, longest=encoders.longest_input(pretrained))
    start = time.perf_counter()
    tagger = models.BertTagger(pretrained, len(labels)).to(options["device"])
    tokens = loaders.tokenize(texts, tokenizer, max_length=options["train_length"])
    size, seed = options["batch_size"], options["seed"]
    batches = loaders.token_loader(tokens, targets, batch_size=size, shuffle=True, seed=seed)
    chosen = {name: options[name] for name in ("epochs", "lr", "device", "precision", "progress")}
    loss: Any = losses.bce
    done = fine_tuning.fine_tune(tagger, batches, loss=loss, **chosen)
    if done.ended == "interrupted":
        raise KeyboardInterrupt(f"the training was interrupted: {folder} is as it was before")
    minutes = (time.perf_counter() - start) / 60
    _write(folder, {"key": {}})  # a run that is killed now leaves no record of weights that are gone
    models.save_tagger(folder / TAGGER, tagger, tokenizer, labels=labels, max_length=options["max_length"])
    return {"history": done.history.reset_index().to_dict("list"), "minutes": minutes}


def _write(folder: Path, record: dict[str, Any]) -> None:
    folders.replace_file(folder / RECORD, json.dumps(record, indent=1) + "\n")


def _weights(folder: Path) -> str:
    """A digest of the files that say what the tagger predicts; thresholds may be chosen later."""
    return digest([folder / TAGGER / name for name in (config.TAGGER_WEIGHTS, "config.json", "tokenizer.json")])


def _encoder(encoder: str | Path) -> str:
    """What tells an encoder from others: the packaged one by its digests, a folder by its files, else its name."""
    if str(encoder) == config.PACKAGED_ENCODER:
        return f"{encoder}, {digest(config._PACKAGED_SHA256)}"
    if (local := Path(encoder)).is_dir():
        files = [*local.glob("*.json"), *local.glob("*.safetensors"), *local.glob("*.txt")]
        return digest({path.name: path for path in files})
    return str(encoder)


def _code(module: ModuleType) -> str:
    """The code of a module, without its comments and docstrings."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[:1] = [ast.Pass()]
    return ast.unparse(tree)


# All that has a say in the weights. Read now: a module that is edited later is not the one that runs.
_CODE: tuple[ModuleType, ...] = (
    *(arguments, text, batches_code, row_order, tokens_code, binary),
    *(fine_tuning, prediction, schedulers, training, backbones, bert, encoders, persistence, sys.modules[__name__]),
)
_CODE_DIGEST = digest([_code(module) for module in _CODE])


@contextmanager
def _locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock; say so when another process has it."""
    lock = folders.lock(folder / RECORD, timeout=0)
    try:
        lock.__enter__()
    except BlockingIOError:
        report(f"waiting for another process that trains the tagger in {folder}")
        lock = folders.lock(folder / RECORD, timeout=_LONG)
        lock.__enter__()
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch, and give it back its state afterwards."""
    index = torch.device(device).index or 0
    devices = [index] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
