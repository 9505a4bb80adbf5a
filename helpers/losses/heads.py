"""One criterion for a model with several heads, binary and categorical in any mixture.

Heads of one size are computed together: one call of torch a size, not one a head.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from helpers.arguments import check_choice, check_count, check_mapping, check_number

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
    _check_labels(labels)
    labels = labels.long() if labels.dtype == torch.bool else labels
    sizes = _sizes(logits, labels)
    known, targets = _known(labels)
    _refuse_unknown_heads("head_weights", head_weights, sizes)
    _refuse_unknown_heads("class_weights", class_weights, sizes)
    losses = _entry_losses(logits, sizes, known, targets, class_weights or {})
    if known is not None:
        losses = torch.where(known, losses, 0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "entries":
        return losses.mean() if known is None else losses.sum() / known.sum().clamp(min=1)
    if known is None and not head_weights:
        return losses.mean() if reduction == "mean" else losses.mean(dim=0)
    counts = known.sum(dim=0) if known is not None else torch.full_like(losses[0], len(losses))
    means = losses.sum(dim=0) / counts.clamp(min=1)
    return means if reduction == "heads" else _mean_over_heads(means, counts, sizes, head_weights or {})


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
    _check_labels(labels)
    heads = {name: check_count(f"heads[{name!r}]", size) for name, size in check_mapping("heads", heads).items()}
    if labels.ndim != 2 or labels.shape[1] != len(heads):
        raise ValueError(f"labels {tuple(labels.shape)} must be (N, {len(heads)}), one column per head")
    labels = labels.detach().cpu()
    labels = labels.long() if labels.dtype == torch.bool else labels
    _refuse_foreign_labels(labels, list(heads), list(heads.values()))
    result = {}
    for index, (name, size) in enumerate(heads.items()):
        column = labels[:, index]
        classes = column[column >= 0]
        counts = torch.stack([(classes == value).sum() for value in range(max(size, 2))]).float()
        if missing := (counts == 0).nonzero().flatten().tolist():
            raise ValueError(f"head {name!r} has no row of class {missing} among its {len(classes)} known labels")
        result[name] = counts[0] / counts[1] if size == 1 else counts.sum() / (size * counts)
    return result


def _check_labels(labels: Tensor) -> None:
    """ValueError where labels are no tensor of real numbers."""
    if not isinstance(labels, Tensor) or labels.is_complex():
        kind = str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels of type {kind}: expected a tensor (B, H) of numbers, one column per head")


def _sizes(logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, int]:
    """Number of logits of each head, after a look at all shapes."""
    check_mapping("logits", logits, keys="head")
    if labels.ndim != 2 or labels.shape[1] != len(logits):
        raise ValueError(
            f"labels {tuple(labels.shape)} must be (B, {len(logits)}), a column for each of the heads of the logits"
        )
    sizes = {}
    for name, out in logits.items():
        if not isinstance(out, Tensor):
            raise ValueError(f"head {name!r}: logits are a {type(out).__name__}: expected a tensor (B, C)")
        if out.ndim != 2 or len(out) != len(labels) or out.shape[1] < 1:
            raise ValueError(
                f"head {name!r}: logits {tuple(out.shape)} and labels {tuple(labels.shape)} must be (B, C) and (B, H): "
                "nothing broadcasts"
            )
        if not out.is_floating_point():
            raise ValueError(f"head {name!r}: logits are {out.dtype}, not floating point")
        sizes[name] = out.shape[1]
    _refuse_foreign_labels(labels, list(sizes), list(sizes.values()))
    return sizes


def _refuse_foreign_labels(labels: Tensor, names: Sequence[str], sizes: Sequence[int]) -> None:
    """A ValueError for the first label that is no class of its head; a GPU is not asked."""
    if labels.device.type != "cpu":
        return
    size = torch.tensor(sizes)
    binary = size == 1
    if bool(binary.all()) and labels.numel() and bool(labels.amax() <= 1):  # the usual case, in one pass
        return
    bad = (labels > torch.where(binary, 1, size - 1)) | (~binary & (labels != labels.floor()) & (labels >= 0))
    if bad.any():
        row, index = bad.nonzero()[0].tolist()
        allowed = "0 to 1" if sizes[index] == 1 else f"a whole number, 0 to {sizes[index] - 1}"
        value = labels[row, index].item()
        raise ValueError(f"head {names[index]!r}, row {row} of the batch (from 0): label {value:g} must be {allowed}")


def _known(labels: Tensor) -> tuple[Tensor | None, Tensor]:
    """Where labels are known (None: everywhere), and the labels with 0 elsewhere."""
    if labels.device.type == "cpu" and labels.numel() and bool(labels.amin() >= 0):  # NaN is not
        return None, labels
    known = labels >= 0
    return known, torch.where(known, labels, 0)


def _entry_losses(
    logits: Mapping[str, Tensor], sizes: Mapping[str, int], known: Tensor | None, targets: Tensor, weights: Weights
) -> Tensor:
    """(B, H), computed for all heads of a size at once."""
    groups: dict[int, list[int]] = {}
    for index, size in enumerate(sizes.values()):
        groups.setdefault(size, []).append(index)
    names, outs, parts = list(sizes), list(logits.values()), []
    for size, places in groups.items():
        together = torch.cat([outs[index] for index in places], dim=1)
        together = together.to(torch.promote_types(together.dtype, torch.float32))
        columns = targets if len(groups) == 1 else targets[:, places]
        if known is not None:
            # An infinite logit would give NaN through torch.where's gradient.
            unknown = ~(known if len(groups) == 1 else known[:, places])
            together = together.masked_fill(unknown.repeat_interleave(size, dim=1), 0)
        scales = _scales([names[index] for index in places], size, weights, together)
        parts.append(_binary(together, columns, scales) if size == 1 else _categorical(together, columns, size, scales))
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([index for places in groups.values() for index in places]).argsort()
    return torch.cat(parts, dim=1)[:, order.to(targets.device)]


def _binary(logits: Tensor, targets: Tensor, scales: Tensor | None) -> Tensor:
    pos_weight = None if scales is None else scales[:, 0]
    return functional.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype), pos_weight=pos_weight, reduction="none"
    )


def _categorical(logits: Tensor, targets: Tensor, size: int, scales: Tensor | None) -> Tensor:
    classes = targets.long().unsqueeze(2)
    log_probabilities = logits.view(len(logits), logits.shape[1] // size, size).log_softmax(dim=2)
    losses = -log_probabilities.gather(2, classes).squeeze(2)
    if scales is None:
        return losses
    return losses * scales.expand(len(logits), -1, -1).gather(2, classes).squeeze(2)


def _scales(names: Sequence[str], size: int, weights: Weights, like: Tensor) -> Tensor | None:
    """(heads of the group, C) class weights, or None where none of these heads has any."""
    if not any(name in weights for name in names):
        return None
    scales = torch.ones(len(names), size, dtype=like.dtype)
    for index, name in enumerate(names):
        if name in weights:
            try:
                given = torch.as_tensor(weights[name], dtype=like.dtype).cpu()
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"class_weights of head {name!r} are no numbers: {weights[name]!r}") from error
            if given.numel() != size or given.ndim > 1:
                shape = "one number" if size == 1 else f"({size},), one a class"
                raise ValueError(f"class_weights of head {name!r} have shape {tuple(given.shape)}, must be {shape}")
            scales[index] = given
    if not ((scales > 0) & scales.isfinite()).all():
        raise ValueError(
            f"class_weights must be positive and finite, those of {', '.join(names)} are {scales.tolist()}"
        )
    return scales.to(like)


def _mean_over_heads(means: Tensor, counts: Tensor, sizes: Mapping[str, int], weights: Mapping[str, float]) -> Tensor:
    numbers = [check_number(f"head_weights[{name!r}]", weights.get(name, 1.0), at_least=0) for name in sizes]
    if not any(numbers):
        raise ValueError(f"head_weights: expected at least one above 0, found {dict(weights)}")
    given = torch.tensor(numbers, dtype=means.dtype)
    shares = torch.where(counts > 0, given.to(means.device), 0)
    return (means * shares).sum() / shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)


def _refuse_unknown_heads(what: str, weights: Mapping[str, object] | None, sizes: Mapping[str, int]) -> None:
    if weights is None:
        return
    if unknown := [name for name in check_mapping(what, weights, keys="head") if name not in sizes]:
        raise ValueError(f"{what} name {unknown}; the heads are {list(sizes)}")
