"""Pretrained encoders: found on this machine or fetched, never guessed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from helpers import config, text
from helpers.models.dropout import use_fast_dropout

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # BERT's name, and DistilBERT's


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
        attention_dropout: share of attention weights dropped in training; None keeps what the model's configuration
            says, 0.1 as a rule. On a CPU torch's fused attention runs only without. The dropout of the hidden states
            stays, as `FastDropout`.

    Raises:
        OSError: the encoder or its tokenizer cannot be found, is torn, or lacks weights; the message lists the three
            ways out. A pooler alone may be missing: the encoder then has none.
        ValueError: a file of the packaged encoder is not the original.

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
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    packaged = str(name) == config.PACKAGED_ENCODER
    source = config.packaged_encoder() if packaged else name
    local = packaged or Path(name).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    tokenizer = text.load_tokenizer(name)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        settings = AutoConfig.from_pretrained(source, local_files_only=local)
        for setting in _ATTENTION_DROPOUT:
            if attention_dropout is not None and hasattr(settings, setting):
                setattr(settings, setting, attention_dropout)
        # safetensors only: other formats may run code when they are read.
        options = {"config": settings, "local_files_only": local, "use_safetensors": True, "dtype": torch.float32}
        model, found = AutoModel.from_pretrained(source, output_loading_info=True, **options)
        _refuse_untrained(model, set(found["missing_keys"]))
    except Exception as error:
        raise OSError(
            f"no encoder {str(name)!r}. Three ways out: take the packaged {config.PACKAGED_ENCODER}; "
            "name a local folder that holds one (config.json, model.safetensors); or let transformers fetch it "
            f"(network on, HF_HUB_OFFLINE unset) ({error})"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    return Encoder(use_fast_dropout(model).eval(), tokenizer)


def _refuse_untrained(model: "PreTrainedModel", missing: set[str]) -> None:
    """Transformers fills what a file lacks with random numbers, and only logs it."""
    if missing and all(name.startswith("pooler.") for name in missing):
        model.pooler = None  # type: ignore[assignment]  # torch lets a part be none
    elif missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {min(missing)}; a tagger needs load_tagger")
