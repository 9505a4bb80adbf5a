"""Pretrained encoders: found on this machine or fetched, never guessed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from helpers import config, folders, text
from helpers.arguments import check_number, check_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # BERT's name, and DistilBERT's
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class Encoder(NamedTuple):
    """An encoder with its tokenizer.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> type(encoder).__name__, tokenizer.is_fast
        ('BertModel', True)
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"


def load_encoder(name: str | Path = config.PACKAGED_ENCODER, *, attention_dropout: float | None = 0.0) -> Encoder:
    """An encoder and its tokenizer, in evaluation mode on the CPU, made ready for fast training there.

    Args:
        name: the packaged encoder's name (its files are checked by SHA-256, and no network is tried); a folder with a
            model as transformers saves it; or a name on the Hugging Face hub, looked for in the local cache alone when
            HF_HUB_OFFLINE=1. Any encoder of the BERT family will do.
        attention_dropout: share of attention weights dropped in training. The default, 0.0, **switches it off**,
            because torch's fused attention on a CPU runs only without it; None keeps what the model's configuration
            says, 0.1 as a rule. `print(BertTagger(...))` shows it, and a saved tagger's config.json holds it. The
            dropout of the hidden states stays, as `FastDropout`.

    Raises:
        OSError: the encoder or its tokenizer cannot be found, is corrupt, lacks weights, or has them pickled; the
            message lists the three ways out. A pooler alone may be missing: the encoder then has none.
        ValueError: a file of the packaged encoder is not the original, a folder names code to run, or
            attention_dropout is not from 0 to below 1.

    Examples:
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> encoder(**tokenizer(["You are kind."], return_tensors="pt")).last_hidden_state.shape
        torch.Size([1, 6, 384])
        >>> models.load_encoder("no/such-encoder")
        Traceback (most recent call last):
            ...
        OSError: no tokenizer for encoder 'no/such-encoder'. Three ways out: take the packaged all-MiniLM-L6-v2; ...
    """
    if attention_dropout is not None:
        attention_dropout = check_number("attention_dropout", attention_dropout, at_least=0, below=1)
    check_path("name", name)
    packaged = str(name) == config.PACKAGED_ENCODER
    source = config.packaged_encoder() if packaged else name
    local = packaged or Path(name).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    tokenizer = text.load_tokenizer(name)
    try:
        _refuse_pickled(Path(source))
        model = _load_model(source, local, attention_dropout)
    except Exception as error:
        folders.refuse_code_that_was_asked_for(error, name)
        raise OSError(
            f"no encoder {str(name)!r}. Three ways out: take the packaged {config.PACKAGED_ENCODER}; "
            "name a local folder that holds one (config.json, model.safetensors); or let transformers fetch it "
            f"(network on, HF_HUB_OFFLINE unset) ({error})"
        ) from error
    return Encoder(use_fast_dropout(model).eval(), tokenizer)


def _load_model(source: str | Path, local: bool, attention_dropout: float | None) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    options: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    settings = AutoConfig.from_pretrained(source, **options)
    vars(settings).pop("auto_map", None)  # of an architecture that transformers has: nothing will use it
    for name in ATTENTION_DROPOUT:
        if attention_dropout is not None and hasattr(settings, name):
            setattr(settings, name, attention_dropout)
    # safetensors only: other formats may run code when they are read.
    options |= {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = AutoModel.from_pretrained(source, config=settings, **options)
    finally:
        if shown:
            logging.enable_progress_bar()
    missing = set(report["missing_keys"])  # transformers fills these with random numbers, and only logs it
    if missing and all(name.startswith("pooler.") for name in missing):
        model.pooler = None
    elif missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {min(missing)}; a tagger needs load_tagger")
    return model


def build_encoder(settings: Mapping[str, Any] | Path) -> Any:  # noqa: ANN401  # torch knows less of it
    """Build an encoder with random weights from its configuration, made ready for fast training on a CPU.

    Args:
        settings: as `encoder.config.to_dict()` gives them; or a folder with a config.json.

    Raises:
        ValueError: the settings name code to run, or no architecture that transformers has.

    Examples:
        >>> from transformers import BertConfig
        >>> from helpers.models.encoders import build_encoder
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> build_encoder(settings.to_dict()).config.hidden_size
        32
    """
    from transformers import AutoConfig, AutoModel

    if isinstance(settings, Path):
        folders.refuse_code(settings)
        result = AutoConfig.from_pretrained(settings, local_files_only=True, trust_remote_code=False)
    else:
        folders.refuse_code_in(settings, "encoder_config")
        result = AutoConfig.for_model(**settings)
    return use_fast_dropout(AutoModel.from_config(result, dtype=torch.float32, trust_remote_code=False))


def longest_input(encoder: nn.Module) -> int | None:
    """Return how many tokens an encoder can read at once, the special tokens included; None where nothing limits it.

    Examples:
        >>> from transformers import RobertaConfig, RobertaModel
        >>> from helpers.models.encoders import longest_input
        >>> settings = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        >>> longest_input(RobertaModel(RobertaConfig(max_position_embeddings=514, **settings)))  # two have another use
        512
    """
    return position_limit(encoder) or getattr(getattr(encoder, "config", None), "max_position_embeddings", None)


def position_limit(encoder: nn.Module) -> int | None:
    """Return how many positions an encoder's table has for tokens; None where positions are not looked up in a table.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers.models.encoders import position_limit
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> position_limit(BertModel(settings))
        512
    """
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings"):
            before = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
            return module.num_embeddings - before
    return None


def _refuse_pickled(folder: Path) -> None:
    """A pickle may run code when it is read: weights are safetensors or they are not read."""
    pickled = sorted(path for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{pickled[0]} holds pickled weights, which may run code when they are read: "
            "ask for the model in the safetensors format, or convert it where it was made (save_pretrained)"
        )


Model = TypeVar("Model", bound=nn.Module)
_LEVELS = 2**16  # of 16 random bits


class FastDropout(nn.Dropout):
    """`torch.nn.Dropout`, with four numbers decided by one random draw of 64 bits.

    A CPU draws them one after the other on a single core, and torch draws for each number: this is more than twice as
    fast, forward and backward together. The probability is rounded to 1/65536, and what is kept is scaled up
    by the rounded share, so that the mean stays. On other devices, and in evaluation mode, it is torch's own.

    Examples:
        >>> import torch
        >>> from helpers.models.encoders import FastDropout
        >>> dropout = FastDropout(0.25)
        >>> kept = dropout(torch.ones(100_000))
        >>> bool(abs((kept == 0).float().mean() - 0.25) < 0.01), round(float(kept.mean()), 1)
        (True, 1.0)
        >>> bool((dropout.eval()(torch.ones(9)) == 1).all())  # in evaluation mode it does nothing
        True
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(check_number("p", p, at_least=0, at_most=1), inplace)

    def forward(self, input: Tensor) -> Tensor:
        """The input (any shape), a share `p` of its numbers 0 and the others scaled up, in training mode."""
        kept = round((1 - self.p) * _LEVELS)
        if not self.training or input.device.type != "cpu" or kept in (0, _LEVELS):
            return super().forward(input)
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        mask = draws.view(torch.int16)[: input.numel()].view(input.shape) < kept - _LEVELS // 2
        return input * (mask.to(input.dtype) * (_LEVELS / kept))


def use_fast_dropout(model: Model) -> Model:
    """Put `FastDropout` in the place of each `torch.nn.Dropout` of a model, in place; the model is given back.

    Examples:
        >>> from torch import nn
        >>> from helpers.models.encoders import use_fast_dropout
        >>> use_fast_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
        Sequential(
          (0): Linear(in_features=2, out_features=2, bias=True)
          (1): FastDropout(p=0.1, inplace=False)
        )
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                fast = FastDropout(child.p, child.inplace)
                setattr(parent, name, fast.train(child.training))
    return model
