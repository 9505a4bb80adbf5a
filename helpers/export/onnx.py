"""Export a tagger to ONNX, in float32 or quantized to int8, for onnxruntime."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from helpers.arguments import check_choice, check_path
from helpers.export.predictor import GRAPH
from helpers.models.bert import BertTagger
from helpers.models.encoders import longest_input
from helpers.models.persistence import READING, check_tokenizer, checked_tagger, load_tagger, without_compiled
from helpers.tagger_settings import check_labels, checked_reading, whole_folder, write_settings

OPSET = 23  # the first with attention as one operation, which onnxruntime runs in one piece


def to_onnx(source: str | Path, folder: str | Path, *, tagger: BertTagger | None = None, int8: bool = False) -> Path:
    """Write a saved tagger as ONNX, with tokenizer, labels and thresholds, into a folder that `Predictor.load` reads.

    Source: `torch.onnx.export`; `onnxruntime.quantization.quantize_dynamic`, with one scale per column of each
    matrix that multiplies, and one for the table of embeddings.

    Args:
        source: folder of the tagger, as `models.save_tagger` wrote it.
        folder: does not exist yet, or holds an earlier export, which is replaced in one step. A link is followed.
        tagger: written in place of the one in `source`, such as what `prune_heads` made of it.
        int8: quantize all matrices to int8 (dynamic quantization): a quarter of the size, and faster on a CPU. The
            probabilities change a little, also with the other texts of a batch, which share one scale for their
            activations. Evaluate it before you use it.

    Raises:
        FileNotFoundError: no tagger in `source`.
        ValueError: a corrupt source; a tagger of another type, with another number of labels, or whose encoder has
            fewer tokens than the tokenizer or reads shorter texts than the folder says.
        FileExistsError: the folder holds something else than an export.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import export, models, text
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tagger = models.BertTagger(BertModel(settings), 1)  # a small one, to be quick
        >>> source = models.save_tagger("small", tagger, text.load_tokenizer(), labels=["toxic"])
        >>> folder = export.to_onnx(source, "small-int8", int8=True)
        >>> predictor = export.Predictor.load(folder)  # onnxruntime, without torch
        >>> predictor.predict_proba(["You are kind.", "Go away!"]).shape
        (2, 1)
    """
    saved = load_tagger(check_path("source", source, ": save the tagger first, with models.save_tagger"))
    network = checked_tagger(saved.tagger if tagger is None else tagger)
    check_labels(saved.labels, network.head.out_features)
    check_choice("int8", int8, (True, False))
    tokenizer: Any = saved.tokenizer
    check_tokenizer(network, tokenizer)
    reading: dict[str, Any] = {name: getattr(saved, name) for name in READING}
    settings = {"labels": saved.labels, "thresholds": saved.thresholds}
    settings |= checked_reading(**reading, longest=longest_input(network.encoder))
    with whole_folder(folder) as new:
        _write_graph(network, new / GRAPH)
        if int8:
            _quantize(new / GRAPH)
        tokenizer.save_pretrained(new)
        write_settings(new, settings | {"pad_id": tokenizer.pad_token_id or 0, "int8": bool(int8)})
    return Path(folder)


def _write_graph(tagger: BertTagger, path: Path) -> None:
    """The graph for any number of texts of any length."""
    tagger = without_compiled(copy.deepcopy(tagger)).cpu().eval()
    ids = torch.arange(24).reshape(2, 12)  # any two texts of any length do: their sizes are left open
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=longest_input(tagger.encoder))}
    options: dict[str, Any] = {"input_names": ["input_ids", "attention_mask"], "output_names": ["logits"]}
    options |= {"dynamo": True, "opset_version": OPSET, "dynamic_shapes": (sizes, sizes), "verbose": False}
    with _quiet():
        program = torch.onnx.export(tagger, (ids, mask), **options)
        assert program is not None  # only the older exporter gives nothing back
        program.save(str(path), external_data=False)


def _quantize(path: Path) -> None:
    """Quantize the matrices of a graph to int8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path)
    del graph.graph.value_info[:]  # the exporter's notes on shapes, which the quantizer would contradict
    onnx.save(graph, path)
    options: dict[str, Any] = {"per_channel": True, "extra_options": {"MatMulConstBOnly": True}}
    # Not Attention: the quantizer takes ONNX's for onnxruntime's older operation of that name.
    options |= {"weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul", "Gemm", "Gather"]}
    with _quiet():
        quantize_dynamic(path, path, **options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
