"""A tagger as a folder: weights, configuration, tokenizer, labels and thresholds, read back without any network."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from helpers import config, folders, text
from helpers.models.bert import BertTagger
from helpers.models.encoders import build_encoder, longest_input
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
        max_length: length of a text, or of a window of a text, in training.
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
        >>> saved.labels, saved.thresholds, saved.max_length
        (['toxic'], {'toxic': 0.3}, 128)
    """

    tagger: BertTagger
    tokenizer: "PreTrainedTokenizerBase"
    labels: list[str]
    thresholds: dict[str, float] = field(default_factory=dict)
    max_length: int = 128
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
    max_length: int = 128,
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
        max_length: length of a text, or of a window of a text, in training.
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

    reading: dict[str, Any] = {"max_length": max_length, "keep": keep, "windows": windows, "overlap": overlap}
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
        >>> saved.labels, saved.max_length
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
        reading = {name: settings[name] for name in ("max_length", "keep", "windows", "overlap", "window_pooling")}
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


Model = TypeVar("Model", bound=nn.Module)

_COMPILED = "_orig_mod"  # torch.compile wraps a module into another one, which keeps it under this name


def clean_name(name: str) -> str:
    """Name of a weight without what `torch.compile` adds to it.

    Examples:
        >>> from helpers.models import persistence
        >>> persistence.clean_name("encoder._orig_mod.layer.0.bias")
        'encoder.layer.0.bias'
    """
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile`, `DataParallel` or `DistributedDataParallel` wraps; the same weights.

    Parts of it may still be compiled.

    Examples:
        >>> import torch
        >>> from helpers.models import persistence
        >>> layer = torch.nn.Linear(2, 1)
        >>> persistence.unwrapped(torch.compile(layer)) is layer
        True
    """
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(wrapped := model._modules.get(_COMPILED), nn.Module):
            model = wrapped
        else:
            return model


def without_compiled(model: Model) -> Model:
    """Replace each compiled part of a model by the module that was compiled, in place; return the model.

    Examples:
        >>> import torch
        >>> from helpers.models import persistence
        >>> model = torch.nn.Sequential(torch.compile(torch.nn.Linear(2, 1)))
        >>> persistence.without_compiled(model)
        Sequential(
          (0): Linear(in_features=2, out_features=1, bias=True)
        )
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if _COMPILED in child._modules:
                setattr(parent, name, unwrapped(child))
    return model


def can_be_saved(weight: Tensor) -> bool:
    """Whether safetensors has a form for a tensor: dense, and of a type that it knows.

    Examples:
        >>> import torch
        >>> from helpers.models import persistence
        >>> persistence.can_be_saved(torch.ones(2)), persistence.can_be_saved(torch.eye(2).to_sparse())
        (True, False)
    """
    from safetensors.torch import save

    if weight.layout is not torch.strided or weight.is_quantized:
        return False
    try:
        save({"weight": torch.empty(0, dtype=weight.dtype)})
    except KeyError:
        return False
    return True


def clean_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights on the CPU as safetensors takes them, under the names of the model without wrappers.

    Tied weights, which safetensors refuses, are stored once per name: they are equal, and loading ties them again.

    Args:
        model: may be compiled, as a whole or in parts, or wrapped for several processes.

    Raises:
        ValueError: the state holds something else than tensors.

    Examples:
        >>> import torch
        >>> from helpers.models import persistence
        >>> sorted(persistence.clean_state_dict(torch.compile(torch.nn.Linear(2, 1))))
        ['bias', 'weight']
    """
    result: dict[str, Tensor] = {}
    storages = set()
    for name, weight in unwrapped(model).state_dict().items():
        if not isinstance(weight, Tensor):
            raise ValueError(f"{clean_name(name)} is a {type(weight).__name__}: expected a state of tensors only")
        weight = weight.detach().cpu().contiguous()
        storage = weight.untyped_storage().data_ptr()
        result[clean_name(name)] = weight.clone() if storage in storages else weight
        storages.add(storage)
    return result


def load_clean_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `clean_state_dict` returned into a model, which may be compiled or wrapped itself.

    Raises:
        RuntimeError: weights of another model, as `torch.nn.Module.load_state_dict`.

    Examples:
        >>> import torch
        >>> from helpers.models import persistence
        >>> model = torch.compile(torch.nn.Linear(2, 1))
        >>> persistence.load_clean_state_dict(model, {"weight": torch.ones(1, 2), "bias": torch.ones(1)})
        >>> model.weight.tolist()
        [[1.0, 1.0]]
    """
    model = unwrapped(model)
    names = {clean_name(name): name for name in model.state_dict()}
    model.load_state_dict({names.get(name, name): weight for name, weight in state.items()})
