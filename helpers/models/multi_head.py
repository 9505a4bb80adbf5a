"""One network with several heads, each a question of its own: whether, or which."""

import json
import reprlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helpers.arguments import check_count, check_number
from helpers.models.backbones import MLP, EncoderBackbone, PooledSequence, RecurrentSequence
from helpers.models.persistence import unwrapped
from helpers.models.sparse_mlp import CountMLP


class MultiHead(nn.Module):
    """A backbone with any number of heads, each binary (size 1) or categorical (size C >= 2), in any mixture.

    All heads are one projection, whose result is split by head: the same numbers as separate `nn.Linear` heads, and
    many times as fast when there are many. There is no list of heads that `to(device)`, `state_dict` or an optimizer
    could overlook. To freeze the backbone, `model.backbone.requires_grad_(False)`; it then stays in evaluation mode, so
    that its batch norm does not move either. The heads' names and sizes are part of `state_dict`: weights of other
    heads, or of the same in another order, are refused.

    Source: the published tutorial's multi-head networks, which have one attribute per head; their weights are rows of
    `model.projection`, in the order of the heads.

    Args:
        backbone: gives features (B, width) for the model's inputs: `MLP` over dense features, `CountMLP` with
            `n_labels=None` over counts, `PooledSequence` or `RecurrentSequence` over (B, T, E), a transformers encoder
            (its token vectors are averaged, see `EncoderBackbone`), or any module of your own. None takes the
            tutorial's `MLP()`, for 12 features.
        heads: {name: size}; the names' order is that of the label columns.
        width: of the backbone's features; None asks the backbone for its `width`, or the last layer of an
            `nn.Sequential` for its `out_features`.
        dropout: probability that a feature is dropped before the heads.

    Raises:
        ValueError: no heads, a size below 1, a name that is no text, a backbone of unknown width, or dropout not from 0
            to below 1.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> model = models.MultiHead(models.backbones.MLP(12, hidden=(32,)), heads={"toxic": 1, "level": 3})
        >>> logits = model(torch.zeros(5, 12))
        >>> {name: tuple(part.shape) for name, part in logits.items()}
        {'toxic': (5, 1), 'level': (5, 3)}
        >>> models.predict_labels(logits).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        backbone: nn.Module | None = None,
        *,
        heads: Mapping[str, int],
        width: int | None = None,
        dropout: float = 0,
    ) -> None:
        super().__init__()
        self.heads = _checked_heads(heads)
        backbone = MLP() if backbone is None else backbone
        is_encoder = hasattr(backbone, "get_input_embeddings") and hasattr(backbone.config, "hidden_size")
        self.backbone = EncoderBackbone(backbone) if is_encoder and width is None else backbone
        self.width = _width(self.backbone) if width is None else check_count("width", width)
        self.dropout = nn.Dropout(check_number("dropout", dropout, at_least=0, below=1))
        self.projection = nn.Linear(self.width, sum(self.heads.values()))
        self._names, self._sizes = tuple(self.heads), list(self.heads.values())

    def forward(self, *args: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits {head: (B, C)} for whatever the backbone takes.

        Raises:
            ValueError: the backbone gives something else than (B, width).
        """
        features = self.backbone(*args, **inputs)
        if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[1] != self.width:
            result = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"the backbone gives {result}, the heads read (B, {self.width}): pool sequences first")
        logits = self.projection(self.dropout(features))
        return dict(zip(self._names, logits.split(self._sizes, dim=1), strict=True))

    def train(self, mode: bool = True) -> "MultiHead":
        """As in torch, but a frozen backbone stays in evaluation mode."""
        super().train(mode)
        weights = list(self.backbone.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            self.backbone.eval()
        return self

    def get_extra_state(self) -> Tensor:
        """Names and sizes of the heads as a tensor of bytes, which every format for weights can hold."""
        return torch.tensor(list(json.dumps(list(self.heads.items())).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Compare the heads that weights were saved with; RuntimeError, as torch has it, when they are others."""
        saved = [tuple(pair) for pair in json.loads(bytes(state.tolist()))]
        if saved != list(self.heads.items()):
            raise RuntimeError(f"weights of the heads {saved}, the model has {list(self.heads.items())}")

    def head(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight (C, width) and bias (C,) of one head: views into the projection, of which they are a part.

        Raises:
            KeyError: no head of that name.
        """
        if name not in self.heads:
            raise KeyError(f"no head {name!r}: the heads are {list(self.heads)}")
        start = sum(self._sizes[: self._names.index(name)])
        rows = slice(start, start + self.heads[name])
        return self.projection.weight[rows], self.projection.bias[rows]

    def extra_repr(self) -> str:
        """Names and sizes of the first heads, for print(model)."""
        return f"heads={reprlib.repr(self.heads)}"


def head_probabilities(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return probabilities {head: (B, C)}, float32: sigmoid of a binary head (C = 1), softmax of a categorical one.

    Examples:
        >>> import torch
        >>> from helpers.models.multi_head import head_probabilities
        >>> head_probabilities({"toxic": torch.zeros(1, 1), "level": torch.zeros(1, 4)})
        {'toxic': tensor([[0.5000]]), 'level': tensor([[0.2500, 0.2500, 0.2500, 0.2500]])}
    """
    _check_logits(logits)
    return {
        name: out.float().sigmoid() if out.shape[1] == 1 else out.float().softmax(dim=1) for name, out in logits.items()
    }


def predict_labels(logits: Mapping[str, Tensor], *, threshold: float | Mapping[str, float] = 0.5) -> Tensor:
    """Decide labels (B, H), int64, one column per head: 0 or 1 of a binary head, else the most probable class.

    Args:
        logits: {head: (B, C)}.
        threshold: a binary head is decided 1 where its probability is at least this; one for all, or by head (0.5 for
            heads that are not named).

    Raises:
        ValueError: a threshold outside 0 to 1, or for a head that is categorical or does not exist.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> logits = {"toxic": torch.tensor([[0.5], [-2.0]]), "level": torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]])}
        >>> models.predict_labels(logits)
        tensor([[1, 2],
                [0, 0]])
        >>> models.predict_labels(logits, threshold={"toxic": 0.9})[:, 0]
        tensor([0, 0])
    """
    _check_logits(logits)
    binary = {name for name, out in logits.items() if out.shape[1] == 1}
    limits = dict(threshold) if isinstance(threshold, Mapping) else dict.fromkeys(binary, threshold)
    if foreign := [name for name in limits if name not in binary]:
        raise ValueError(f"threshold names {foreign}, which are no binary heads of {list(logits)}")
    for limit in limits.values() if isinstance(threshold, Mapping) else [threshold]:
        check_number("threshold", limit, at_least=0, at_most=1)
    columns = [
        (out[:, 0].float().sigmoid() >= limits.get(name, 0.5)).long() if name in binary else out.argmax(dim=1)
        for name, out in logits.items()
    ]
    return torch.stack(columns, dim=1)


def _checked_heads(heads: Mapping[str, int]) -> dict[str, int]:
    if not isinstance(heads, Mapping) or not heads:
        raise ValueError(f"heads must be a mapping such as {{'toxic': 1, 'level': 3}}, found {heads!r}")
    if unnamed := [name for name in heads if not isinstance(name, str) or not name]:
        raise ValueError(f"head {unnamed[0]!r}: expected a name that is a text")
    return {name: check_count(f"heads[{name!r}]", size) for name, size in heads.items()}


def _check_logits(logits: Mapping[str, Tensor]) -> None:
    if not isinstance(logits, Mapping) or not logits:
        raise ValueError(f"logits is a {type(logits).__name__}: expected {{head: (B, C)}}, as MultiHead gives it")
    if bad := {name: getattr(out, "shape", out) for name, out in logits.items() if getattr(out, "ndim", 0) != 2}:
        name, shape = next(iter(bad.items()))
        raise ValueError(f"logits of head {name!r} are {shape}: expected (B, C)")


def refuse_backbone(model: nn.Module) -> None:
    """Refuse to train features as logits: a backbone that ends in a ReLU, or has no head, is no classifier.

    Raises:
        ValueError: the model is a backbone; the message says how to get logits.

    Examples:
        >>> from helpers import models
        >>> from helpers.models.multi_head import refuse_backbone
        >>> refuse_backbone(models.backbones.MLP(4, hidden=(8,), n_labels=1))
        >>> refuse_backbone(models.backbones.MLP(4, hidden=(8, 1)))
        Traceback (most recent call last):
            ...
        ValueError: MLP gives features (B, 1), not logits: pass n_labels=, or put it into models.MultiHead
    """
    plain = unwrapped(model)
    if not isinstance(plain, MLP | CountMLP | PooledSequence | RecurrentSequence | EncoderBackbone):
        return
    if (width := getattr(plain, "width", None)) is not None:
        way = "pass n_labels=, or put" if isinstance(plain, MLP | CountMLP) else "put"
        name = type(plain).__name__
        raise ValueError(f"{name} gives features (B, {width}), not logits: {way} it into models.MultiHead")


def _width(backbone: nn.Module) -> int:
    result = getattr(backbone, "width", None)
    if result is None and isinstance(backbone, nn.Sequential):
        result = next((m.out_features for m in reversed(list(backbone.modules())) if hasattr(m, "out_features")), None)
    if not isinstance(result, int):
        raise ValueError(
            f"the width of {type(backbone).__name__}'s features is unknown: pass width= (MLP, CountMLP: n_labels=None)"
        )
    return result
