"""One criterion for a model with several heads, binary and categorical in any mixture.

Heads of one size are computed together: one call of torch per size, not one per head.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce_with_logits

from helpers.arguments import as_numbers, check_choice, check_count, check_mapping, check_number
from helpers.losses.binary import reduce_known

_REDUCTIONS = ("mean", "heads", "entries", "sum", "none")
Weights = Mapping[str, float | Sequence[float] | Tensor]


def multi_head(
    logits: Mapping[str, Tensor],
    labels: Tensor,
    *,
    head_weights: Mapping[str, float] | None = None,
    class_weights: Weights | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Loss of a model with H heads: the mean over heads of each head's mean over its known labels.

    A head of size 1 is binary: its loss is binary cross-entropy of the logit. A head of size C >= 2 is categorical:
    cross-entropy of the C logits with the class number. Neither has a sigmoid or a softmax before it.

    A class weight multiplies the loss of the rows of that class, and the sum is divided by the number of rows, not by
    the sum of weights as in `torch.nn.CrossEntropyLoss(weight=...)`: so a binary head with weight w and a head of two
    classes with weights (1, w) are the same criterion of the same difference of logits.

    Args:
        logits: {head: (B, C)}, floating point, as `models.MultiHead` gives them; float16 and bfloat16 are lifted to
            float32.
        labels: (B, H), one column per head in the order of `logits`: 0 or 1 (or between) for a binary head, the class
            number 0 to C - 1 for a categorical one; NaN or negative where unknown. Such an entry adds neither loss nor
            gradient.
        head_weights: by head, 0 or more, 1 for heads that are not named; the mean over heads is weighted by them.
        class_weights: by head, above 0: for a binary head one number, the weight of its positives (`pos_weight`); for
            a categorical one C numbers. `class_weights_from_counts` makes them. Heads that are not named have none.
            Keep them on the CPU, where their check makes no GPU wait.
        reduction: `mean`; `heads`, (H,) means of each head (0 where it has no known label; the mean leaves such a head
            out); `entries`, the mean over all known entries, which batches of any size add up to exactly; `sum` over
            them; `none`, (B, H) with 0 at unknown entries. Only `mean` uses `head_weights`.

    Returns:
        A scalar, (H,) or (B, H).

    Raises:
        ValueError: shapes that do not fit (both are named), a label that is no class of its head (looked for on the
            CPU only, since a GPU would have to wait for the answer), weights for an unknown head or of another shape.

    Source: the mean over heads is the published tutorial's; cross-entropies as in torch.

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> logits = {"toxic": torch.tensor([[2.0], [-1.0]]), "level": torch.tensor([[0.0, 0.0, 4.0], [3.0, 0.0, 0.0]])}
        >>> labels = torch.tensor([[1, 2], [0, -1]])  # toxic and of level 2; not toxic, level unknown
        >>> losses.multi_head(logits, labels)
        tensor(0.1280)
        >>> losses.multi_head(logits, labels, reduction="heads")
        tensor([0.2201, 0.0360])
    """
    check_choice("reduction", reduction, _REDUCTIONS)
    labels = _checked_labels(labels, check_mapping("logits", logits, keys="head"))
    sizes = {name: _checked_size(name, out, labels) for name, out in logits.items()}
    _refuse_foreign_labels(labels, sizes)
    shares = _head_weights(head_weights, sizes)
    known, targets = _known(labels)
    losses = _entry_losses(logits, known, targets, _class_weights(class_weights, sizes))
    if reduction in ("entries", "sum", "none"):
        return reduce_known(losses, known, "mean" if reduction == "entries" else reduction)
    if known is None and not head_weights:
        return losses.mean() if reduction == "mean" else losses.mean(dim=0)
    counts = known.sum(dim=0) if known is not None else torch.full_like(losses[0], len(losses))
    means = reduce_known(losses, known, "none").sum(dim=0) / counts.clamp(min=1)
    if reduction == "heads":
        return means
    weights = torch.where(counts > 0, torch.tensor(shares, dtype=means.dtype).to(means.device), 0)
    return (means * weights).sum() / weights.sum().clamp(min=torch.finfo(means.dtype).tiny)


def class_weights_from_counts(labels: Tensor, heads: Mapping[str, int]) -> dict[str, Tensor]:
    """Weights with which all classes of a head weigh the same: for `multi_head(class_weights=...)`.

    Args:
        labels: (N, H), all training rows, one column per head, as `multi_head` takes them.
        heads: {head: C}, C = 1 for binary heads, in the order of the columns.

    Returns:
        By head, on the CPU: for a binary one negatives / positives, (); for a categorical one (C,), rows / (C * rows of
        the class).

    Raises:
        ValueError: shapes that do not fit, a label that is no class of its head, a class without a row (it is named:
            choose its weight yourself, or merge it with another).

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> labels = torch.tensor([[1, 0], [0, 1], [0, 2], [0, 2]])
        >>> losses.class_weights_from_counts(labels, {"toxic": 1, "level": 3})
        {'toxic': tensor(3.), 'level': tensor([1.3333, 1.3333, 0.6667])}
    """
    heads = {name: check_count(f"heads[{name!r}]", size) for name, size in check_mapping("heads", heads).items()}
    labels = _checked_labels(labels, heads).detach().cpu()
    _refuse_foreign_labels(labels, heads)
    result = {}
    for (name, size), column in zip(heads.items(), labels.T, strict=True):
        classes = column[column >= 0]
        counts = torch.stack([(classes == value).sum() for value in range(max(size, 2))]).float()
        if missing := (counts == 0).nonzero().flatten().tolist():
            raise ValueError(f"head {name!r} has no row of class {missing} among its {len(classes)} known labels")
        result[name] = counts[0] / counts[1] if size == 1 else counts.sum() / (size * counts)
    return result


def _checked_labels(labels: Tensor, heads: Mapping[str, object]) -> Tensor:
    """Labels (B, H) of real numbers, which truth values become."""
    if not isinstance(labels, Tensor) or labels.is_complex():
        kind = str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels of type {kind}: expected a tensor (B, H) of numbers, one column per head")
    if labels.ndim != 2 or labels.shape[1] != len(heads):
        raise ValueError(f"labels {tuple(labels.shape)} must be (B, {len(heads)}), one column per head")
    return labels.long() if labels.dtype == torch.bool else labels


def _checked_size(name: str, out: Tensor, labels: Tensor) -> int:
    """Number of logits of a head."""
    if not isinstance(out, Tensor) or not out.is_floating_point():
        kind = out.dtype if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise ValueError(f"head {name!r}: logits are {kind}: expected a tensor (B, C) of floating point")
    if out.ndim != 2 or len(out) != len(labels) or out.shape[1] < 1:
        shapes = f"logits {tuple(out.shape)} and labels {tuple(labels.shape)}"
        raise ValueError(f"head {name!r}: {shapes} must be (B, C) and (B, H): nothing broadcasts")
    return out.shape[1]


def _refuse_foreign_labels(labels: Tensor, sizes: Mapping[str, int]) -> None:
    """A ValueError for the first label that is no class of its head; a GPU is not asked."""
    if labels.device.type != "cpu":
        return
    size = torch.tensor(list(sizes.values()))
    binary = size == 1
    if bool(binary.all()) and labels.numel() and bool(labels.amax() <= 1):  # the usual case, in one pass
        return
    bad = (labels > torch.where(binary, 1, size - 1)) | (~binary & (labels != labels.floor()) & (labels >= 0))
    if bad.any():
        row, index = bad.nonzero()[0].tolist()
        name, last = list(sizes)[index], int(size[index]) - 1
        allowed = f"a whole number, 0 to {last}" if last else "0 to 1"
        value = labels[row, index].item()
        raise ValueError(f"head {name!r}, row {row} of the batch (from 0): label {value:g} must be {allowed}")


def _of_heads(what: str, weights: Mapping[str, Any] | None, sizes: Mapping[str, int]) -> Mapping[str, Any]:
    """Weights by head, none where None was given; a ValueError for heads that the model does not have."""
    weights = {} if weights is None else check_mapping(what, weights, keys="head")
    if unknown := [name for name in weights if name not in sizes]:
        raise ValueError(f"{what} name {unknown}; the heads are {list(sizes)}")
    return weights


def _head_weights(weights: Mapping[str, float] | None, sizes: Mapping[str, int]) -> list[float]:
    """(H,), 1 where none was given."""
    shares = dict.fromkeys(sizes, 1.0)
    for name, weight in _of_heads("head_weights", weights, sizes).items():
        shares[name] = check_number(f"head_weights[{name!r}]", weight, at_least=0)
    if not any(shares.values()):
        raise ValueError(f"head_weights: expected at least one above 0, found {shares}")
    return list(shares.values())


def _class_weights(weights: Weights | None, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """By head (C,), on the CPU."""
    result = {}
    for name, values in _of_heads("class_weights", weights, sizes).items():
        numbers = torch.from_numpy(as_numbers(f"class_weights of head {name!r}", values))
        if numbers.numel() != sizes[name] or numbers.ndim > 1:
            shape = "one number" if sizes[name] == 1 else f"({sizes[name]},), one per class"
            raise ValueError(f"class_weights of head {name!r} have shape {tuple(numbers.shape)}, must be {shape}")
        if not ((numbers > 0) & numbers.isfinite()).all():
            raise ValueError(f"class_weights of head {name!r} must be positive and finite, found {numbers.tolist()}")
        result[name] = numbers.reshape(-1)
    return result


def _known(labels: Tensor) -> tuple[Tensor | None, Tensor]:
    """Where labels are known (None: everywhere), and the labels with 0 elsewhere."""
    if labels.device.type == "cpu" and labels.numel() and bool(labels.amin() >= 0):  # NaN is not
        return None, labels
    known = labels >= 0
    return known, torch.where(known, labels, 0)


def _entry_losses(
    logits: Mapping[str, Tensor], known: Tensor | None, targets: Tensor, weights: Mapping[str, Tensor]
) -> Tensor:
    """(B, H), computed for all heads of a size at once."""
    groups: dict[int, list[int]] = {}
    for index, out in enumerate(logits.values()):
        groups.setdefault(out.shape[1], []).append(index)
    names, outs, parts = list(logits), list(logits.values()), []
    for size, members in groups.items():
        columns = slice(None) if len(groups) == 1 else members
        together = torch.cat([outs[index] for index in members], dim=1)
        together = together.to(torch.promote_types(together.dtype, torch.float32))
        if known is not None:
            # An infinite logit would give NaN through torch.where's gradient.
            together = together.masked_fill(~known[:, columns].repeat_interleave(size, dim=1), 0)
        scales = _scales([names[index] for index in members], size, weights, together)
        parts.append((_binary if size == 1 else _categorical)(together, targets[:, columns], scales))
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([index for members in groups.values() for index in members]).argsort()
    return torch.cat(parts, dim=1)[:, order.to(targets.device)]


def _scales(names: Sequence[str], size: int, weights: Mapping[str, Tensor], like: Tensor) -> Tensor | None:
    """(heads of the group, C) class weights, or None where none of these heads has any."""
    if weights.keys().isdisjoint(names):
        return None
    ones = torch.ones(size, dtype=torch.float64)
    return torch.stack([weights.get(name, ones) for name in names]).to(like)


def _binary(logits: Tensor, targets: Tensor, scales: Tensor | None) -> Tensor:
    pos_weight = None if scales is None else scales[:, 0]
    return bce_with_logits(logits, targets.to(logits.dtype), pos_weight=pos_weight, reduction="none")


def _categorical(logits: Tensor, targets: Tensor, scales: Tensor | None) -> Tensor:
    classes = targets.long().unsqueeze(2)
    log_probabilities = logits.unflatten(1, (targets.shape[1], -1)).log_softmax(dim=2)
    losses = -log_probabilities.gather(2, classes).squeeze(2)
    return losses if scales is None else losses * scales.expand(len(logits), -1, -1).gather(2, classes).squeeze(2)
