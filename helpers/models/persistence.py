"""A tagger as a folder: weights, configuration, tokenizer, labels and thresholds, read back without any network."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from helpers import config, folders, tagger_settings, text
from helpers.models.bert import BertTagger
from helpers.models.encoders import build_encoder, longest_input
from helpers.tagger_settings import Keep, WindowPooling, set_thresholds as set_thresholds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from helpers.models.linear import CountTagger

Model = TypeVar("Model", bound=nn.Module)

WEIGHTS, SETTINGS = config.TAGGER_WEIGHTS, config.TAGGER_SETTINGS
READING = ("max_length", "keep", "windows", "overlap", "window_pooling")
_COMPILED = "_orig_mod"  # torch.compile wraps a module into another one, which keeps it under this name


@dataclass(frozen=True)
class SavedTagger:
    """What a folder holds.

    Attributes:
        tagger: in evaluation mode, on the CPU; or a `CountTagger`.
        tokenizer: of its encoder; None for a `CountTagger`, which reads whole texts: the limits below are not its own.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label, from which probability on it is given; 0.5 where none was chosen.
        max_length: length of a text, or of a window of a text, in training.
        keep: what was left of a text that was truncated, its `head` or its `tail`, as in `loaders.tokenize`.
        windows: whether longer texts are split into windows instead, as in `loaders.tokenize`.
        overlap: tokens that neighbouring windows share.
        window_pooling: how the windows' logits become one row per text, as in `loaders.tokens.pool_windows`.
    """

    tagger: "BertTagger | CountTagger"
    tokenizer: "PreTrainedTokenizerBase | None"
    labels: list[str]
    thresholds: dict[str, float]
    max_length: int = 128
    keep: Keep = "head"
    windows: bool = False
    overlap: int = 32
    window_pooling: WindowPooling = "max"


def save_tagger(
    folder: str | Path,
    tagger: "BertTagger | CountTagger",
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    *,
    labels: Sequence[str] = (),
    thresholds: Mapping[str, float] | None = None,
    max_length: int = 128,
    keep: Keep = "head",
    windows: bool = False,
    overlap: int = 32,
    window_pooling: WindowPooling = "max",
) -> Path:
    """Save a tagger into a folder, which is replaced in one step: readers find the old tagger or the new one.

    `export.Predictor.load` reads it and puts it to work, `set_thresholds` changes its thresholds.

    Args:
        folder: does not exist yet, or holds a tagger, which is replaced. A link is followed.
        tagger: a `BertTagger`, which may be compiled (`torch.compile`), or a fitted `CountTagger`, which has its labels
            and takes `thresholds` alone. Weights are written as safetensors, numbers and nothing that can run.
        tokenizer: of its encoder.
        labels: names of the L labels, in the order of the logits.
        thresholds: by label, a dict or a Series; labels that are not named get 0.5; inf never gives the label.
        max_length: length of a text, or of a window of a text, in training.
        keep: what was left of a text that was truncated, its `head` or its `tail`, as in `loaders.tokenize`.
        windows: True where training and evaluation split longer texts into windows (`loaders.tokenize(windows=True)`):
            `export.Predictor` then does the same. False truncates them.
        overlap: tokens that neighbouring windows share.
        window_pooling: how the windows' logits become one row per text, as in `loaders.tokens.pool_windows`.

    Raises:
        ValueError: labels that do not fit the tagger; thresholds for other labels, or neither from 0 to 1 nor inf;
            another `keep`; a limit beyond what the encoder reads; a tokenizer of another encoder; attention heads that
            `export.compression.prune_heads` took away; a tagger that was not fitted.
        FileExistsError: the folder holds something else than a tagger, or something beside one.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> [path.name for path in sorted(folder.glob("*.safetensors"))], (folder / "tokenizer.json").is_file()
        (['model.safetensors'], True)
    """
    from helpers.models.linear import CountTagger, write_counts

    reading: dict[str, Any] = {"max_length": max_length, "keep": keep, "windows": windows}
    reading |= {"overlap": overlap, "window_pooling": window_pooling}
    thresholds = {} if thresholds is None else thresholds
    if isinstance(tagger, CountTagger):
        _check_counts(tagger, {"tokenizer": tokenizer, "labels": list(labels), **reading})
        names = tagger_settings.check_labels(tagger.labels)
        settings = {"labels": names, "thresholds": tagger_settings.checked_thresholds(names, thresholds)}
        with tagger_settings.whole_folder(folder) as new:
            tagger_settings.write_settings(new, settings | write_counts(tagger, new))
        return Path(folder)
    plain = checked_tagger(tagger)
    names = tagger_settings.check_labels(labels, plain.head.out_features)
    settings = {"labels": names, "thresholds": tagger_settings.checked_thresholds(names, thresholds)}
    _check_network(plain, tokenizer)
    settings |= tagger_settings.checked_reading(**reading, longest=longest_input(plain.encoder))
    with tagger_settings.whole_folder(folder) as new:
        _write_network(plain, tokenizer, new)
        tagger_settings.write_settings(new, settings | {"pooling": plain.pooling, "dropout": plain.dropout.p})
    return Path(folder)


def checked_tagger(tagger: Any) -> BertTagger:  # noqa: ANN401
    """Return a tagger without what `torch.compile` wraps around it, or refuse what is no `BertTagger`.

    Examples:
        >>> from helpers.models.persistence import checked_tagger
        >>> checked_tagger("bert-base-cased")
        Traceback (most recent call last):
            ...
        ValueError: tagger: expected a models.BertTagger, got a str
    """
    plain = unwrapped(tagger) if isinstance(tagger, nn.Module) else tagger
    if not isinstance(plain, BertTagger):
        hint = ", whose .model is one" if isinstance(getattr(plain, "model", None), BertTagger) else ""
        raise ValueError(f"tagger: expected a models.BertTagger, got a {type(plain).__name__}{hint}")
    return plain


def check_tokenizer(tagger: BertTagger, tokenizer: Any) -> None:  # noqa: ANN401
    """ValueError for what is no tokenizer, or one with more tokens than the tagger's encoder.

    Examples:
        >>> from helpers import models
        >>> from helpers.models.persistence import check_tokenizer
        >>> encoder, tokenizer = models.load_encoder()
        >>> check_tokenizer(models.BertTagger(encoder, 1), tokenizer)
    """
    if not hasattr(tokenizer, "save_pretrained"):
        raise ValueError(f"tokenizer: expected that of the tagger's encoder, got a {type(tokenizer).__name__}")
    known = tagger.encoder.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise ValueError(f"the tokenizer has {len(tokenizer):,} tokens and the encoder {known:,}: it is another one's")


def _check_network(tagger: BertTagger, tokenizer: Any) -> None:  # noqa: ANN401
    check_tokenizer(tagger, tokenizer)
    whole = getattr(tagger.encoder.config, "num_attention_heads", None)
    if any(getattr(module, "num_attention_heads", whole) != whole for module in tagger.modules()):
        raise ValueError(
            "attention heads were pruned, which a configuration cannot say: pass it to export.to_onnx as tagger="
        )


def _check_counts(tagger: "CountTagger", options: dict[str, Any]) -> None:
    if not tagger.labels:
        raise ValueError("the tagger has learnt nothing yet: call fit first")
    if foreign := [name for name, value in options.items() if value and value != getattr(SavedTagger, name, None)]:
        raise ValueError(f"{', '.join(foreign)}: a CountTagger has its labels and reads whole texts; expected none")


def _write_network(tagger: BertTagger, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401
    from safetensors.torch import save_file

    described = copy.deepcopy(tagger.encoder.config)
    vars(described).pop("auto_map", None)  # of an architecture that transformers has: nothing will use it
    described.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(clean_state_dict(tagger), folder / WEIGHTS)


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
    settings = tagger_settings.read_settings(folder)
    labels, thresholds = settings["labels"], settings["thresholds"]
    if settings.get("kind") == "counts":
        from helpers.models.linear import read_counts

        return SavedTagger(read_counts(folder, settings), None, labels, thresholds)
    for name in (WEIGHTS, "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: the folder holds no tagger, or not the whole of one")
    folders.refuse_code(folder)
    try:
        reading, options = ({name: settings[name] for name in names} for names in (READING, ("pooling", "dropout")))
        encoder, tokenizer = build_encoder(folder), text.load_tokenizer(folder)
    except Exception as error:  # what a configuration of strangers can raise has no common class
        raise ValueError(
            f"{SETTINGS}, config.json or the tokenizer's files in {folder} are corrupt: {error!r}"
        ) from error
    tagger = _read_network(folder, encoder, len(labels), options)
    return SavedTagger(tagger, tokenizer, labels, thresholds, **reading)


def _read_network(folder: Path, encoder: Any, n_labels: int, options: dict[str, Any]) -> BertTagger:  # noqa: ANN401
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / WEIGHTS)
        if not any(name.startswith("encoder.pooler.") for name in weights):
            encoder.pooler = None
        tagger = BertTagger(encoder, n_labels, **options)
        tagger.load_state_dict(weights)
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / WEIGHTS} is corrupt, or holds weights of another model: {error}") from error
    return tagger.eval()


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

    if weight.layout is torch.strided and not weight.is_quantized:
        with suppress(KeyError):
            return bool(save({"weight": torch.empty(0, dtype=weight.dtype)}))
    return False


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
