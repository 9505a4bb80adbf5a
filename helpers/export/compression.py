"""Less of a tagger: single weights, whole attention heads, whole layers. Each gives a copy; the tagger stays."""

import copy
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from helpers import losses
from helpers.arguments import check_count, check_number
from helpers.loaders.row_order import check_batch
from helpers.models.bert import BertTagger


def prune_weights(tagger: BertTagger, share: float) -> BertTagger:
    """A copy whose smallest weights, over all matrices of the encoder's layers together, are zero.

    The copy is as large and as slow as before: a dense matrix stores and multiplies its zeros like any number.

    Source: magnitude pruning, Han et al. 2015; `torch.nn.utils.prune.global_unstructured`.

    Args:
        tagger: with dense matrices.
        share: of the weights that become zero, 0 to 1.

    Raises:
        ValueError: a share outside 0 to 1.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import export, models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> pruned = export.compression.prune_weights(models.BertTagger(BertModel(settings), 1), 0.4)
        >>> matrices = [weight for name, weight in pruned.layers()[0].named_parameters() if weight.ndim == 2]
        >>> zeros = sum(int((weight == 0).sum()) for weight in matrices)
        >>> round(zeros / sum(weight.numel() for weight in matrices), 2)
        0.4
    """
    share = check_number("share", share, at_least=0, at_most=1)
    pruned = copy.deepcopy(tagger)
    matrices = [(m, "weight") for layer in pruned.layers() for m in layer.modules() if isinstance(m, nn.Linear)]
    prune.global_unstructured(matrices, prune.L1Unstructured, amount=share)
    for module, name in matrices:
        prune.remove(module, name)  # makes the zeros part of the weights
    return pruned


def head_importance(
    tagger: BertTagger,
    loader: DataLoader[Any],
    *,
    loss: Callable[..., torch.Tensor] = losses.bce,
    batches: int | None = None,
) -> torch.Tensor:
    """How much the loss would change without each attention head, to first order: (layers, heads), 0 or more.

    A head's outputs are thought of as multiplied by a gate of 1; the importance is the mean over rows of the size of
    the derivative of the row's loss with respect to that gate, and costs one backward pass a batch.

    Source: Michel et al. 2019, Are Sixteen Heads Really Better than One?

    Args:
        tagger: of the BERT family, with `attention.output.dense` in each layer.
        loader: of `(inputs, labels)`, which are moved to the tagger's device; take rows that the model was trained on,
            or validation rows, never test rows.
        loss: of logits and labels, a mean over the rows of a batch.
        batches: how many to look at; None takes all.

    Raises:
        ValueError: layers without attention heads as BERT has them, an empty loader, or batches of another form.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import export, loaders, models, text
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> tagger = models.BertTagger(BertModel(settings), 1)
        >>> tokens = loaders.tokenize(["You are kind.", "Go away!"], text.load_tokenizer())
        >>> importance = export.compression.head_importance(tagger, loaders.token_loader(tokens, [[0], [1]]))
        >>> importance.shape, bool((importance >= 0).all())
        (torch.Size([2, 4]), True)
    """
    batches = None if batches is None else check_count("batches", batches)
    tagger, device = copy.deepcopy(tagger).eval(), next(tagger.parameters()).device
    blocks = [_attention(layer) for layer in tagger.layers()]
    gates: dict[int, torch.Tensor] = {}  # by layer, (B, heads) of the last batch
    for index, (block, dense) in enumerate(blocks):
        dense.register_forward_pre_hook(_gate(gates, index, block.num_attention_heads))
    totals, rows = [torch.zeros(block.num_attention_heads, device=device) for block, _ in blocks], 0
    for inputs, labels in map(check_batch, islice(loader, batches)):
        logits = tagger(**{name: tensor.to(device) for name, tensor in inputs.items()})
        gradients = torch.autograd.grad(loss(logits, labels.to(device)), [gates[index] for index in range(len(blocks))])
        for total, gradient in zip(totals, gradients, strict=True):
            total += (gradient * len(labels)).abs().sum(dim=0)  # the loss is a mean over rows
        rows += len(labels)
    if not rows:
        raise ValueError("the loader gives no batch")
    return pad_sequence(totals, batch_first=True).cpu() / rows


def _gate(gates: dict[int, torch.Tensor], index: int, heads: int) -> Callable[..., tuple[torch.Tensor]]:
    """A hook that multiplies the outputs of each head by a gate of 1, one per row, and keeps the gates."""

    def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        gates[index] = inputs[0].new_ones(len(inputs[0]), heads, requires_grad=True)
        by_head = inputs[0].unflatten(-1, (heads, -1))  # (B, T, heads, size)
        return ((by_head * gates[index][:, None, :, None]).flatten(-2),)

    return hook


def prune_heads(tagger: BertTagger, heads: Sequence[tuple[int, int]]) -> BertTagger:
    """A copy without some attention heads: smaller matrices, less to multiply.

    `to_onnx(folder, ..., tagger=pruned)` writes it; `models.save_tagger` cannot, as the encoder's configuration knows
    one number of heads only.

    Args:
        tagger: of the BERT family.
        heads: (layer, head) pairs, counted from 0; each layer keeps one head at least.

    Raises:
        ValueError: a head that is not there, a layer that would lose all, layers without heads as BERT has them.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import export, models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> pruned = export.compression.prune_heads(models.BertTagger(BertModel(settings), 1), [(0, 1), (0, 3)])
        >>> [layer.attention.self.num_attention_heads for layer in pruned.layers()]
        [2, 4]
    """
    pruned = copy.deepcopy(tagger)
    layers: list[Any] = list(pruned.layers())
    for number in sorted({layer for layer, _ in heads}):
        if not 0 <= number < len(layers):
            raise ValueError(f"layer {number}: the encoder has {len(layers)} layers")
        block, dense = _attention(layers[number])
        gone = {head for layer, head in heads if layer == number}
        kept = sorted(set(range(block.num_attention_heads)) - gone)
        if len(kept) != block.num_attention_heads - len(gone) or not kept:
            raise ValueError(f"layer {number}: heads {sorted(gone)} of {block.num_attention_heads}; one must stay")
        columns = torch.arange(block.all_head_size).view(block.num_attention_heads, -1)[kept].flatten()
        for name in ("query", "key", "value"):
            _cut(getattr(block, name), columns, dim=0)
        _cut(dense, columns, dim=1)
        block.num_attention_heads, block.all_head_size = len(kept), len(columns)
    return pruned


def keep_layers(tagger: BertTagger, layers: Sequence[int]) -> BertTagger:
    """A copy with some of the encoder's layers only: a student that begins with its teacher's weights.

    Source: DistilBERT (Sanh et al. 2019) begins with every second layer of BERT.

    Args:
        tagger: of the BERT family.
        layers: numbers counted from 0, in the order in which the copy has them.

    Raises:
        ValueError: no layer, or one that is not there.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import export, models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64)
        >>> student = export.compression.keep_layers(models.BertTagger(BertModel(settings), 1), [0, 2])
        >>> len(student.layers())
        2
    """
    whole = tagger.layers()
    if not layers or not set(layers) <= set(range(len(whole))) or len(set(layers)) < len(layers):
        raise ValueError(f"layers={list(layers)}: one or more of 0 to {len(whole) - 1}, each once")
    student = copy.deepcopy(tagger)
    for module in student.encoder.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == len(whole):
                setattr(module, name, nn.ModuleList(child[number] for number in layers))
                student.encoder.config.num_hidden_layers = len(layers)
                student.matrices = frozenset(key for key, weight in student.named_parameters() if weight.ndim > 1)
                return student
    raise ValueError(f"{type(tagger.encoder).__name__} has no list of {len(whole)} layers")


def _attention(layer: Any) -> tuple[Any, nn.Linear]:  # noqa: ANN401
    """The module with query, key and value of a BERT layer, and the linear layer behind it."""
    for module in layer.modules():
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in ("query", "key", "value")):
            return module, layer.attention.output.dense
    raise ValueError(f"{type(layer).__name__} has no attention heads as BERT has them")


def _cut(linear: nn.Linear, kept: torch.Tensor, *, dim: int) -> None:
    """Keep some of a linear layer's outputs (dim 0) or inputs (dim 1)."""
    weight, bias, kept = linear.weight, linear.bias, kept.to(linear.weight.device)
    linear.weight = nn.Parameter(weight.detach().index_select(dim, kept), weight.requires_grad)
    if dim == 0:
        linear.bias = nn.Parameter(bias.detach()[kept], bias.requires_grad)
    linear.out_features, linear.in_features = linear.weight.shape
