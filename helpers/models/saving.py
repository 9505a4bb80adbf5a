"""A tagger as a folder: weights, configuration, tokenizer, labels and thresholds, read back without any network."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from helpers import config, text
from helpers.models.dropout import use_fast_dropout
from helpers.models.taggers import BertTagger

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Keep = Literal["head", "tail"]

WEIGHTS, SETTINGS = config.TAGGER_WEIGHTS, config.TAGGER_SETTINGS


@dataclass(frozen=True)
class SavedTagger:
    """What a folder holds.

    Attributes:
        tagger: in evaluation mode, on the CPU.
        tokenizer: of its encoder.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label, from which probability on it is given; 0.5 where none was chosen.
        max_tokens: length at which texts were cut in training.
        keep: what was left of a text that was cut, its `head` or its `tail`, as in `loaders.tokenize`.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> tagger = models.BertTagger(encoder, 1)
        >>> saved = models.SavedTagger(tagger, tokenizer, labels=["toxic"], thresholds={"toxic": 0.3})
        >>> saved.labels, saved.thresholds, saved.max_tokens
        (['toxic'], {'toxic': 0.3}, 128)
    """

    tagger: BertTagger
    tokenizer: "PreTrainedTokenizerBase"
    labels: list[str]
    thresholds: dict[str, float] = field(default_factory=dict)
    max_tokens: int = 128
    keep: Keep = "head"


def save_tagger(
    folder: str | Path,
    tagger: BertTagger,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
    max_tokens: int = 128,
    keep: Keep = "head",
) -> Path:
    """Write a tagger into a folder, which appears as a whole or not at all.

    Args:
        folder: does not exist yet, or holds a tagger, which is replaced.
        tagger: weights are written as safetensors, which hold numbers and nothing that can run.
        tokenizer: of its encoder.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label; labels that are not named get 0.5; inf never gives the label.
        max_tokens: length at which texts were cut in training.
        keep: what was left of a text that was cut, its `head` or its `tail`, as in `loaders.tokenize`.

    Raises:
        ValueError: labels that do not fit the tagger; thresholds for other labels, or neither from 0 to 1 nor inf;
            another `keep`; a limit beyond what the encoder reads; attention heads that `export.prune_heads` took away.
        FileExistsError: the folder holds something else than a tagger, or something beside one.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> [path.name for path in sorted(folder.glob("*.safetensors"))], (folder / "tokenizer.json").is_file()
        (['model.safetensors'], True)
    """
    from safetensors.torch import save_file

    settings = checked_settings(tagger, labels, thresholds, max_tokens=max_tokens, keep=keep)
    whole = getattr(tagger.encoder.config, "num_attention_heads", None)
    if any(getattr(module, "num_attention_heads", whole) != whole for module in tagger.modules()):
        raise ValueError("attention heads were pruned, which a configuration cannot say: export.to_onnx can write it")
    with whole_folder(folder) as partial:
        tagger.encoder.config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        save_file(
            {name: weight.detach().cpu().contiguous() for name, weight in tagger.state_dict().items()},
            partial / WEIGHTS,
        )
        settings |= {"pooling": tagger.pooling, "dropout": tagger.dropout.p}
        (partial / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return Path(folder)


def checked_settings(
    tagger: BertTagger, labels: Sequence[str], thresholds: Mapping[str, float] | None, *, max_tokens: int, keep: Keep
) -> dict[str, Any]:
    """What a tagger's folder says beside its weights, every label with its threshold.

    Raises:
        ValueError: as `save_tagger`; a limit beyond what the encoder reads.
    """
    names = list(labels)
    if len(names) != tagger.head.out_features or len(set(names)) != len(names):
        raise ValueError(f"labels {names} must be {tagger.head.out_features} different names, one a logit")
    filled = thresholds_as_json(checked_thresholds(names, {} if thresholds is None else thresholds))
    longest = getattr(tagger.encoder.config, "max_position_embeddings", max_tokens)
    if keep not in ("head", "tail") or not 3 <= max_tokens <= longest:
        raise ValueError(f"keep={keep!r}, max_tokens={max_tokens}: 'head' or 'tail', and from 3 to {longest}")
    return {"labels": names, "thresholds": filled, "max_tokens": int(max_tokens), "keep": keep}


def checked_thresholds(labels: Sequence[str], thresholds: Mapping[str, float]) -> dict[str, float]:
    """A threshold for every label, 0.5 where none is named.

    Raises:
        ValueError: thresholds for other labels, or neither from 0 to 1 nor inf.
    """
    given = dict(thresholds)
    if bad := {name: value for name, value in given.items() if name not in labels or not _is_threshold(value)}:
        raise ValueError(f"thresholds {bad} are for no label of {list(labels)}, or not from 0 to 1 (or inf: never)")
    return {name: float(given.get(name, 0.5)) for name in labels}


def _is_threshold(value: Any) -> bool:  # noqa: ANN401
    try:
        return 0 <= float(value) <= 1 or float(value) == math.inf
    except (TypeError, ValueError):
        return False


def thresholds_as_json(thresholds: Mapping[str, float]) -> dict[str, float | str]:
    """JSON has no infinity: it is a string there, which `float` reads."""
    return {name: "inf" if value == math.inf else value for name, value in thresholds.items()}


def set_thresholds(folder: str | Path, thresholds: Mapping[str, float]) -> None:
    """Give a tagger's folder other thresholds, those of `evaluation.tune_thresholds` for example.

    Args:
        folder: that `save_tagger` or `export.to_onnx` wrote.
        thresholds: by label, a dict or a Series; labels that are not named keep theirs; inf never gives the label.

    Raises:
        FileNotFoundError: the folder is no tagger's.
        ValueError: its settings are torn; thresholds for other labels, or neither from 0 to 1 nor inf.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> models.set_thresholds(folder, {"insult": 0.3})
        >>> models.load_tagger(folder).thresholds
        {'toxic': 0.5, 'insult': 0.3}
    """
    path = Path(folder) / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the folder holds no tagger")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        labels = list(settings["labels"])
        before = checked_thresholds(labels, settings["thresholds"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is torn or no tagger's: {error!r}") from error
    settings["thresholds"] = thresholds_as_json(checked_thresholds(labels, before | dict(thresholds)))
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # anything beside a tagger's files would keep save_tagger from replacing it


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A new folder to write a tagger into, which takes the place of `folder` at the end, or is gone after an error.

    Raises:
        FileExistsError: the folder holds something else than a tagger, or something beside one.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).is_file())):
        raise FileExistsError(f"{folder} holds something else than a tagger: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        _replace(folder, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, partial: Path) -> None:
    """Put a whole folder in the place of another of the same files, which is lost only when the new one stands."""
    if not folder.exists():
        partial.rename(folder)
        return
    if others := {path.name for path in folder.iterdir()} - {path.name for path in partial.iterdir()}:
        raise FileExistsError(f"{folder} holds something beside a tagger, {min(others)}: name another folder")
    aside = partial.with_name(f"{partial.name}-old")
    folder.rename(aside)
    partial.rename(folder)
    shutil.rmtree(aside)


def load_tagger(folder: str | Path) -> SavedTagger:
    """Read a tagger from a folder that `save_tagger` wrote: numbers and plain text alone, and without a network.

    Raises:
        FileNotFoundError: the folder is no tagger's; the missing file is named.
        ValueError: a file is torn, or weights and configuration do not belong together; the file is named.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> _ = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> saved = models.load_tagger("tagger")
        >>> saved.labels, saved.max_tokens
        (['toxic', 'insult'], 128)
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    folder = Path(folder)
    for name in (SETTINGS, WEIGHTS, "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: the folder holds no tagger, or not the whole of one")
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        labels, max_tokens = list(settings["labels"]), int(settings["max_tokens"])
        keep = settings.get("keep", "head")  # folders of before 0.2 do not say
        thresholds = {name: float(value) for name, value in settings["thresholds"].items()}
        options = {"pooling": settings["pooling"], "dropout": float(settings["dropout"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / SETTINGS} is torn or no tagger's: {error!r}") from error
    try:
        config, tokenizer = AutoConfig.from_pretrained(folder, local_files_only=True), text.load_tokenizer(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"config.json or the tokenizer's files in {folder} are torn: {error}") from error
    encoder = use_fast_dropout(AutoModel.from_config(config, dtype=torch.float32))
    try:
        weights = load_file(folder / WEIGHTS)
        if not any(name.startswith("encoder.pooler.") for name in weights):
            encoder.pooler = None
        tagger = BertTagger(encoder, len(labels), **options)
        tagger.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS} is torn, or holds weights of another model: {error}") from error
    return SavedTagger(tagger.eval(), tokenizer, labels, thresholds, max_tokens, keep)
