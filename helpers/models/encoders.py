"""Pretrained encoders: found on this machine or fetched, never guessed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from helpers import config, text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Encoder(NamedTuple):
    """An encoder with its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"


def load_encoder(name: str | Path = config.PACKAGED_ENCODER) -> Encoder:
    """An encoder and its tokenizer, in evaluation mode on the CPU.

    Args:
        name: the packaged encoder's name (its files are checked by SHA-256, and no network is tried); a folder with a
            model as transformers saves it; or a name on the Hugging Face hub, looked for in the local cache alone when
            HF_HUB_OFFLINE=1. Any encoder of the BERT family will do.

    Raises:
        OSError: the encoder or its tokenizer cannot be found or is torn; the message lists the three ways out.
        ValueError: a file of the packaged encoder is not the original.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    packaged = str(name) == config.PACKAGED_ENCODER
    source = config.packaged_encoder() if packaged else name
    local = packaged or Path(name).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    tokenizer = text.load_tokenizer(name)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # safetensors only: other formats may run code when they are read.
        model = AutoModel.from_pretrained(source, local_files_only=local, use_safetensors=True)
    except Exception as error:
        raise OSError(
            f"no encoder {str(name)!r}. Three ways out: take the packaged {config.PACKAGED_ENCODER}; "
            "name a local folder that holds one (config.json, model.safetensors); or let transformers fetch it "
            f"(network on, HF_HUB_OFFLINE unset) ({error})"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    return Encoder(model.eval(), tokenizer)
