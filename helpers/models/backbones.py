"""Networks that turn an input into features (B, width), for the heads of `MultiHead` to read."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from helpers.arguments import check_choice, check_count, check_list

Cell = Literal["gru", "lstm"]


class MLP(nn.Module):
    """Linear layers with a ReLU after each hidden one: dense features in, logits or activations out.

    With `n_labels` it is a classifier, whose last layer is linear. Without, it is a backbone for `MultiHead`, which
    ends in a ReLU and has a `width`: its output is never negative, so it cannot be trained as logits, and `loops.fit`
    refuses it. The default is the published multi-head tutorial's backbone, 12-32-64-128-256.

    Args:
        n_features: width of the input.
        hidden: widths of the hidden layers; without `n_labels` the last one is the `width` of the output.
        n_labels: number of logits, L; None gives a backbone. As in `CountMLP`.

    Raises:
        ValueError: no layer, or a width below 1.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> classifier = models.backbones.MLP(12, hidden=(32, 64), n_labels=6)
        >>> classifier(torch.zeros(5, 12)).shape
        torch.Size([5, 6])
        >>> backbone = models.backbones.MLP(12, hidden=(32, 64))
        >>> backbone(torch.zeros(5, 12)).shape, backbone.width
        (torch.Size([5, 64]), 64)
    """

    def __init__(
        self, n_features: int = 12, hidden: Sequence[int] = (32, 64, 128, 256), *, n_labels: int | None = None
    ) -> None:
        super().__init__()
        self.n_features = check_count("n_features", n_features)
        widths = [self.n_features, *check_widths(hidden)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        if n_labels is None:
            self.width = widths[-1]
        else:
            layers.append(nn.Linear(widths[-1], check_count("n_labels", n_labels)))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, n_labels) or activations (B, width) for features (B, n_features).

        Raises:
            ValueError: features of another shape.
        """
        if features.ndim != 2 or features.shape[1] != self.n_features:
            hint = "; for sequences (B, T, E) take PooledSequence or RecurrentSequence" if features.ndim == 3 else ""
            raise ValueError(f"features {tuple(features.shape)} must be (B, {self.n_features}){hint}")
        return self.layers(features)


class PooledSequence(nn.Module):
    """Vectors of a sequence, such as word vectors, pooled into one: no order, no weights, and hard to beat.

    Args:
        n_features: width E of the vectors; also the `width` of the output.
        pooling: `mean`, or `max` of each feature.

    Raises:
        ValueError: another pooling, or a width below 1.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])  # one text of three words
        >>> models.backbones.PooledSequence(2)(vectors, mask=torch.tensor([[1, 1, 0]]))  # the third is padding
        tensor([[2., 4.]])
        >>> models.backbones.PooledSequence(2, pooling="max")(vectors)
        tensor([[9., 9.]])
    """

    def __init__(self, n_features: int, *, pooling: Literal["mean", "max"] = "mean") -> None:
        super().__init__()
        self.width = check_count("n_features", n_features)
        self.pooling = check_choice("pooling", pooling, ("mean", "max"))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features (B, E) of sequences.

        Args:
            features: (B, T, E).
            mask: (B, T), not 0 where there is a vector, 0 where there is padding; None: no padding.

        Raises:
            ValueError: shapes that do not fit.
        """
        mask = _checked_mask(features, mask, self.width)
        if self.pooling == "mean":
            return mean_pool(features, mask)
        lowest = torch.finfo(features.dtype).min
        highest = features.masked_fill(~mask.unsqueeze(2), lowest).amax(dim=1)
        return torch.where(mask.any(dim=1, keepdim=True), highest, 0)


class RecurrentSequence(nn.Module):
    """A recurrent network over the vectors of a sequence: its last state, or its last two, one a direction.

    Padding is packed away: a sequence gives the same features however much padding follows it.

    Args:
        n_features: width E of the vectors.
        hidden: width of the state; the `width` of the output is that, twice that where `bidirectional`.
        cell: `gru` or `lstm`.
        bidirectional: read from the end too.

    Raises:
        ValueError: another cell, or a width below 1.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> backbone = models.backbones.RecurrentSequence(8, hidden=16)
        >>> backbone(torch.zeros(5, 7, 8)).shape  # both directions, 16 each
        torch.Size([5, 32])
    """

    def __init__(self, n_features: int, *, hidden: int = 128, cell: Cell = "gru", bidirectional: bool = True) -> None:
        super().__init__()
        self.n_features, hidden = check_count("n_features", n_features), check_count("hidden", hidden)
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[check_choice("cell", cell, ("gru", "lstm"))]
        self.recurrent = kind(n_features, hidden, batch_first=True, bidirectional=bidirectional)
        self.width = hidden * (2 if bidirectional else 1)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features (B, width) of sequences; zeros for one without a vector.

        Args:
            features: (B, T, E).
            mask: (B, T), not 0 where there is a vector; padding stands at the end only. None: no padding.

        Raises:
            ValueError: shapes that do not fit, or padding before a vector.
        """
        mask = _checked_mask(features, mask, self.n_features)
        lengths = mask.sum(dim=1)
        if (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("mask has padding before a vector: padding must stand at the end of a sequence")
        options = {"batch_first": True, "enforce_sorted": False}
        _, state = self.recurrent(pack_padded_sequence(features, lengths.clamp(min=1).cpu(), **options))
        state = state[0] if isinstance(state, tuple) else state  # an LSTM adds its cell's state
        return torch.where(lengths.unsqueeze(1) > 0, state.transpose(0, 1).flatten(1), 0)


class EncoderBackbone(nn.Module):
    """A transformers encoder with its token vectors averaged, padding left out.

    Args:
        encoder: gives `last_hidden_state` (B, T, H) for `input_ids` and `attention_mask`, and has `config.hidden_size`.

    Examples:
        >>> import torch
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> backbone = models.backbones.EncoderBackbone(BertModel(settings))
        >>> model = models.MultiHead(backbone, heads={"toxic": 1, "level": 3})
        >>> {name: tuple(logits.shape) for name, logits in model(input_ids=torch.ones(4, 9, dtype=torch.long)).items()}
        {'toxic': (4, 1), 'level': (4, 3)}
    """

    encoder: Any  # a module, and more than torch knows of one

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.encoder.train()  # as each new module; a pretrained encoder comes in evaluation mode
        self.width: int = self.encoder.config.hidden_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any) -> Tensor:  # noqa: ANN401
        """Features (B, H) for token ids (B, T), whatever else the tokenizer gives, and a mask (B, T).

        Raises:
            ValueError: the encoder gives no `last_hidden_state`, as models with a head of their own.
        """
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        vectors = getattr(output, "last_hidden_state", None)
        if vectors is None:
            raise ValueError(f"{type(self.encoder).__name__} gives no last_hidden_state: take its encoder, AutoModel")
        return mean_pool(vectors, _checked_mask(vectors, attention_mask, self.width))


def mean_pool(features: Tensor, mask: Tensor) -> Tensor:
    """Mean (B, E) of the vectors (B, T, E) where the mask (B, T) is not 0; zeros for a row without any.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
        >>> models.backbones.mean_pool(vectors, torch.tensor([[1, 1, 0]]))
        tensor([[2., 4.]])
    """
    present = (mask != 0).unsqueeze(2)
    return features.masked_fill(~present, 0).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def check_widths(hidden: Sequence[int]) -> list[int]:
    """Return the widths of hidden layers as a list, or refuse what is no list of one whole number above 0 or more.

    Examples:
        >>> from helpers.models.backbones import check_widths
        >>> check_widths((32, 64))
        [32, 64]
    """
    widths = [check_count("hidden", width) for width in check_list("hidden", hidden, "widths, such as (32, 64)")]
    if not widths:
        raise ValueError("hidden is empty: expected at least one width, such as (32, 64)")
    return widths


def _checked_mask(features: Tensor, mask: Tensor | None, width: int) -> Tensor:
    """The mask as bool (B, T), all True for None; ValueError names shapes that do not fit."""
    if features.ndim != 3 or features.shape[2] != width or not features.shape[1]:
        raise ValueError(f"features {tuple(features.shape)} must be (B, T, {width}), T 1 or more")
    if mask is None:
        return torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
    if mask.shape != features.shape[:2]:
        raise ValueError(f"mask {tuple(mask.shape)} must be {tuple(features.shape[:2])}, as features are")
    return mask != 0
