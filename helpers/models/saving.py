"""A tagger as a folder: weights, configuration, tokenizer, labels and thresholds, read back without any network."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from helpers import config, folders, text
from helpers.models.encoders import build_encoder, longest_input
from helpers.models.taggers import BertTagger
from helpers.models.weights import clean_state_dict, unwrapped
from helpers.tagger_settings import (
    Keep,
    WindowPooling,
    check_labels,
    checked_reading,
    checked_thresholds,
    read_settings,
    set_thresholds,
    thresholds_as_json,
    whole_folder,
    write_settings,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS, SETTINGS = config.TAGGER_WEIGHTS, config.TAGGER_SETTINGS
__all__ = ["SavedTagger", "load_tagger", "save_tagger", "set_thresholds", "thresholds_as_json"]


@dataclass(frozen=True)
class SavedTagger:
    """What a folder holds.

    Attributes:
        tagger: in evaluation mode, on the CPU.
        tokenizer: of its encoder.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label, from which probability on it is given; 0.5 where none was chosen.
        max_tokens: length of a text, or of a window of a text, in training.
        keep: what was left of a text that was truncated, its `head` or its `tail`, as in `loaders.tokenize`.
        windows: whether longer texts are split into windows instead, as in `loaders.tokenize`.
        overlap: tokens that neighbouring windows share.
        window_pooling: how the windows' logits become one row per text, as in `loaders.pool_windows`.
        loaded_from: the folder that it was loaded from, and the thresholds that the folder had then.

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
    windows: bool = False
    overlap: int = 32
    window_pooling: WindowPooling = "max"
    loaded_from: tuple[Path, dict[str, float]] | None = field(default=None, repr=False, compare=False)


def save_tagger(
    folder: str | Path,
    tagger: BertTagger,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
    max_tokens: int = 128,
    keep: Keep = "head",
    windows: bool = False,
    overlap: int = 32,
    window_pooling: WindowPooling = "max",
) -> Path:
    """Save a tagger into a folder, which is replaced in one step: readers find the old tagger or the new one.

    Args:
        folder: does not exist yet, or holds a tagger, which is replaced. A link is followed.
        tagger: may be compiled (`torch.compile`); weights are written as safetensors, numbers and nothing that can run.
        tokenizer: of its encoder.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label; labels that are not named get 0.5; inf never gives the label.
        max_tokens: length of a text, or of a window of a text, in training.
        keep: what was left of a text that was truncated, its `head` or its `tail`, as in `loaders.tokenize`.
        windows: True where training and evaluation split longer texts into windows (`loaders.tokenize(windows=True)`):
            `export.Predictor` then does the same. False truncates them.
        overlap: tokens that neighbouring windows share.
        window_pooling: how the windows' logits become one row per text, as in `loaders.pool_windows`.

    Raises:
        ValueError: labels that do not fit the tagger; thresholds for other labels, or neither from 0 to 1 nor inf;
            another `keep`; a limit beyond what the encoder reads; a tokenizer of another encoder; attention heads that
            `export.prune_heads` took away.
        FileExistsError: the folder holds something else than a tagger, or something beside one.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> [path.name for path in sorted(folder.glob("*.safetensors"))], (folder / "tokenizer.json").is_file()
        (['model.safetensors'], True)
    """
    from safetensors.torch import save_file

    reading: dict[str, Any] = {"max_tokens": max_tokens, "keep": keep, "windows": windows, "overlap": overlap}
    reading["window_pooling"] = window_pooling
    plain = checked_tagger(tagger)
    settings = checked_settings(plain, tokenizer, labels, thresholds, **reading)
    whole = getattr(plain.encoder.config, "num_attention_heads", None)
    if any(getattr(module, "num_attention_heads", whole) != whole for module in plain.modules()):
        raise ValueError("attention heads were pruned, which a configuration cannot say: export.to_onnx can write it")
    with whole_folder(folder) as new:
        described = copy.deepcopy(plain.encoder.config)
        vars(described).pop("auto_map", None)  # of an architecture that transformers has: nothing will use it
        described.save_pretrained(new)
        tokenizer.save_pretrained(new)
        save_file(clean_state_dict(plain), new / WEIGHTS)
        write_settings(new, settings | {"pooling": plain.pooling, "dropout": plain.dropout.p})
    return Path(folder)


def checked_tagger(tagger: nn.Module) -> BertTagger:
    """Return the tagger that may be compiled or wrapped, without its wrapper.

    Raises:
        ValueError: something else than a `BertTagger`.
    """
    plain = unwrapped(tagger) if isinstance(tagger, nn.Module) else tagger
    if not isinstance(plain, BertTagger):
        inner = getattr(plain, "model", None)
        hint = ", whose .model is one" if isinstance(inner, BertTagger) else ""
        raise ValueError(f"tagger: expected a models.BertTagger, got a {type(plain).__name__}{hint}")
    return plain


def checked_settings(
    tagger: BertTagger,
    tokenizer: "PreTrainedTokenizerBase",
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None,
    **reading: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Return what a tagger's folder says beside its weights, every label with its threshold.

    Raises:
        ValueError: as `save_tagger`.
    """
    names = check_labels(labels, tagger.head.out_features)
    filled = checked_thresholds(names, {} if thresholds is None else thresholds)
    known = tagger.encoder.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise ValueError(f"the tokenizer has {len(tokenizer):,} tokens and the encoder {known:,}: it is another one's")
    options = checked_reading(**reading, longest=longest_input(tagger.encoder))
    return {"labels": names, "thresholds": filled, **options}


def load_tagger(folder: str | Path) -> SavedTagger:
    """Load a tagger from a folder that `save_tagger` wrote: numbers and plain text alone, and without a network.

    Raises:
        FileNotFoundError: the folder is no tagger's; the missing file is named.
        ValueError: a file is corrupt, names code to run, or weights and configuration do not belong together; the file
            is named.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> _ = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> saved = models.load_tagger("tagger")
        >>> saved.labels, saved.max_tokens
        (['toxic', 'insult'], 128)
    """
    return folders.read_whole(folder, lambda: _read_tagger(Path(folder)))


def _read_tagger(folder: Path) -> SavedTagger:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (SETTINGS, WEIGHTS, "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: the folder holds no tagger, or not the whole of one")
    folders.refuse_code(folder)
    settings = read_settings(folder)
    try:
        reading = {name: settings[name] for name in ("max_tokens", "keep", "windows", "overlap", "window_pooling")}
        options = {"pooling": settings["pooling"], "dropout": settings["dropout"]}
    except KeyError as error:
        raise ValueError(f"{folder / SETTINGS} is corrupt or no tagger's: {error} is missing") from error
    try:
        encoder, tokenizer = build_encoder(folder), text.load_tokenizer(folder)
    except Exception as error:  # what a configuration of strangers can raise has no common class
        raise ValueError(f"config.json or the tokenizer's files in {folder} are corrupt: {error}") from error
    try:
        weights = load_file(folder / WEIGHTS)
        if not any(name.startswith("encoder.pooler.") for name in weights):
            encoder.pooler = None
        tagger = BertTagger(encoder, len(settings["labels"]), **options)
        tagger.load_state_dict(weights)
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / WEIGHTS} is corrupt, or holds weights of another model: {error}") from error
    labels, thresholds = settings["labels"], settings["thresholds"]
    origin = (folder.resolve(), dict(thresholds))
    return SavedTagger(tagger.eval(), tokenizer, labels, thresholds, **reading, loaded_from=origin)
