"""Shape-checked criteria for labels that do not exclude each other: logits and targets in, one number out.

All of them keep one contract:

- `logits`: floating point (B, L), no sigmoid applied. float16 and bfloat16 are lifted to float32, in which the loss is
  computed and returned; float64 stays float64.
- `targets`: (B, L), from 0 to 1, NaN where a label is unknown. An unknown entry adds neither loss nor gradient,
  whatever its logit is. bool and integer targets are cast; they cannot hold NaN, so all their entries are known.
- `reduction`: `mean` is the sum divided once by the number of known entries, 0 with a zero gradient where there is
  none; `sum`; `none` gives (B, L), with 0 at unknown entries.
- Nothing broadcasts: torch turns logits (B, 1) and targets (B,) into (B, B) in many formulas, and a model then learns
  from every pair of rows without an error.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce_with_logits, logsigmoid

from helpers.arguments import check_choice, check_number

_REDUCTIONS = ("mean", "sum", "none")


def bce(logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy, each label a yes-or-no question of its own.

    With `pos_weight`, a positive of label l counts `pos_weight[l]` times. That moves the probabilities up: with weight
    w, a calibrated model answers w p / (w p + 1 - p) where the truth is p.

    Source: `torch.nn.BCEWithLogitsLoss`, which this equals where every label is known.

    Args:
        logits: (B, L).
        targets: (B, L), from 0 to 1, NaN where unknown.
        pos_weight: (L,), positive and finite, for example from `pos_weight_from_counts`; None counts all the same. It
            is brought to the logits' device and type; keep it on the CPU, where its check makes no GPU wait.
        reduction: `mean` over known entries (not over weights), `sum` or `none`.

    Returns:
        A scalar, or (B, L) for `none`.

    Raises:
        TypeError: logits or targets that are no tensors, such as the dict of `MultiHead`.
        ValueError: shapes that are not one and the same (B, L), logits that are not floating point, a target outside 0
            to 1 (on another device, where the answer would take a wait, the loss becomes NaN instead), another
            reduction; pos_weight of another shape than (L,), or not positive and finite.

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
        >>> targets = torch.tensor([[1.0, 0.0], [1.0, float("nan")]])  # one label is unknown, and counts for nothing
        >>> losses.bce(logits, targets)
        tensor(0.3778)
        >>> losses.bce(logits, targets, pos_weight=torch.tensor([3.0, 1.0]), reduction="none")
        tensor([[0.3808, 0.3133],
                [2.0794, 0.0000]])
        >>> losses.bce(logits, torch.tensor([1.0, 0.0]))
        Traceback (most recent call last):
            ...
        ValueError: logits (2, 2) and targets (2,) must have the same shape (B, L): nothing broadcasts
    """
    known, logits, targets = _check(logits, targets, reduction)
    weight = None if pos_weight is None else _checked_weight(pos_weight, logits)
    losses = bce_with_logits(logits, targets, pos_weight=weight, reduction="none")
    return reduce_known(losses, known, reduction)


def focal(
    logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float | None = None, reduction: str = "mean"
) -> Tensor:
    """Focal loss: cross-entropy in which entries that are already right count less, by (1 - p_t) ** gamma.

    p_t is the probability given to the truth. A target between 0 and 1 mixes the losses of a positive and a negative in
    that proportion. gamma=0 without alpha is `bce`. The paper divides by the number of positives (anchors with an
    object); here `mean` divides by the number of known entries.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002.

    Args:
        logits: (B, L).
        targets: (B, L), from 0 to 1, NaN where unknown.
        gamma: 0 or more; the larger, the less easy entries count.
        alpha: weight of positives, 0 to 1, negatives weigh 1 - alpha; None weighs both 1.
        reduction: `mean` over known entries, `sum` or `none`.

    Returns:
        A scalar, or (B, L) for `none`.

    Raises:
        ValueError: as `bce`; gamma or alpha outside its range.

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> logits, targets = torch.tensor([[4.0], [-0.5]]), torch.ones(2, 1)  # an easy positive, and a hard one
        >>> losses.bce(logits, targets, reduction="none").flatten()
        tensor([0.0181, 0.9741])
        >>> losses.focal(logits, targets, reduction="none").flatten().round(decimals=4)
        tensor([0.0000, 0.3774])
    """
    gamma = check_number("gamma", gamma, at_least=0)
    alpha = None if alpha is None else check_number("alpha", alpha, at_least=0, at_most=1)
    known, logits, targets = _check(logits, targets, reduction)
    positive = _positive_losses(logits, gamma)
    negative = _negative_losses(logits, gamma, clip=0.0)
    if alpha is not None:
        positive, negative = alpha * positive, (1 - alpha) * negative
    return reduce_known(targets * positive + (1 - targets) * negative, known, reduction)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    reduction: str = "mean",
) -> Tensor:
    """Asymmetric loss: easy negatives fade faster than easy positives, and very easy ones are left out.

    With p the probability and p_m = max(p - clip, 0), a positive costs -(1 - p) ** gamma_pos * log(p) and a negative
    -p_m ** gamma_neg * log(1 - p_m). A target between 0 and 1 mixes the two in that proportion. The gradient runs
    through the focusing weights too. The paper sums over labels; here the default is `mean`.

    Source: Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, arXiv:2009.14119.

    Args:
        logits: (B, L).
        targets: (B, L), from 0 to 1, NaN where unknown.
        gamma_neg: focusing of negatives, 0 or more.
        gamma_pos: focusing of positives, 0 or more.
        clip: negatives with a probability up to this one cost nothing; 0 or more and below 1.
        reduction: `mean` over known entries, `sum` or `none`.

    Returns:
        A scalar, or (B, L) for `none`.

    Raises:
        ValueError: as `bce`; gamma_neg, gamma_pos or clip outside its range.

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> logits, targets = torch.tensor([[-4.0], [0.5]]), torch.zeros(2, 1)  # an easy negative, and a hard one
        >>> losses.asymmetric(logits, targets, reduction="none").flatten()
        tensor([0.0000, 0.0913])
    """
    clip = check_number("clip", clip, at_least=0, below=1)
    known, logits, targets = _check(logits, targets, reduction)
    positive = _positive_losses(logits, check_number("gamma_pos", gamma_pos, at_least=0))
    negative = _negative_losses(logits, check_number("gamma_neg", gamma_neg, at_least=0), clip)
    return reduce_known(targets * positive + (1 - targets) * negative, known, reduction)


def pos_weight_from_counts(targets: Tensor) -> Tensor:
    """Negatives for each positive, by label: with these weights both sides of a label weigh the same in `bce`.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, not counted), all training rows.

    Returns:
        (L,) float32, on the device of the targets.

    Raises:
        ValueError: targets that are not (N, L), another value than 0, 1 and NaN, a label without positives or without
            negatives (its index, counted from 0, is named: leave it out or choose its weight yourself).

    Examples:
        >>> import torch
        >>> from helpers import losses
        >>> losses.pos_weight_from_counts(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, float("nan")]]))
        tensor([3.0000, 0.5000])
    """
    if not isinstance(targets, Tensor) or targets.ndim != 2:
        what = tuple(targets.shape) if isinstance(targets, Tensor) else f"are a {type(targets).__name__}"
        raise ValueError(f"targets {what}: expected a tensor (N, L), such as torch.tensor(table[labels].to_numpy())")
    counts = {side: (targets == value).sum(dim=0) for side, value in (("positives", 1), ("negatives", 0))}
    if not ((targets == 1) | (targets == 0) | targets.isnan()).all():
        raise ValueError("targets hold other values than 0, 1 and NaN (unknown)")
    for side, count in counts.items():
        if missing := (count == 0).nonzero().flatten().tolist():
            raise ValueError(f"labels {missing} (counted from 0) have no {side} among targets {tuple(targets.shape)}")
    return counts["negatives"] / counts["positives"]


def _check(logits: Tensor, targets: Tensor, reduction: str) -> tuple[Tensor | None, Tensor, Tensor]:
    """Known entries (None: all), then logits and targets to compute with: 32 bits or more, harmless where unknown."""
    check_choice("reduction", reduction, _REDUCTIONS)
    if not (isinstance(logits, Tensor) and isinstance(targets, Tensor)):
        kinds = f"logits are a {type(logits).__name__} and targets a {type(targets).__name__}"
        raise TypeError(f"{kinds}: tensors (B, L) are needed; several heads in a dict go to losses.multi_head")
    if logits.shape != targets.shape or logits.ndim != 2:
        shapes = f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
        raise ValueError(f"{shapes} must have the same shape (B, L): nothing broadcasts")
    if not logits.is_floating_point() or targets.is_complex():
        types = f"logits are {logits.dtype} and targets {targets.dtype}"
        raise ValueError(f"{types}: logits must be floating point, targets real")
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if _all_known(targets):
        return None, logits.to(dtype), targets.to(dtype)
    known, outside = ~targets.isnan(), (targets < 0) | (targets > 1)
    if _on_cpu(targets) and outside.any():
        raise ValueError("targets hold values outside 0 to 1: an unknown label is NaN, not -1")
    # Elsewhere the answer would take a wait: the loss of such an entry is NaN, which `loops.fit` refuses.
    numbers = torch.where(known, targets, 0).to(dtype).masked_fill(outside, math.nan)
    return known, torch.where(known, logits, 0).to(dtype), numbers


def _checked_weight(pos_weight: Tensor, logits: Tensor) -> Tensor:
    if not isinstance(pos_weight, Tensor):
        kind = type(pos_weight).__name__
        raise ValueError(f"pos_weight is a {kind}: expected a tensor (L,), such as torch.tensor([3.0, 1.0])")
    shapes = f"pos_weight {tuple(pos_weight.shape)} for logits {tuple(logits.shape)}"
    if pos_weight.shape != logits.shape[1:]:
        raise ValueError(f"{shapes} must be {tuple(logits.shape[1:])}, one weight per label: nothing broadcasts")
    if not ((pos_weight > 0) & pos_weight.isfinite()).all():
        raise ValueError(f"{shapes} must be positive and finite, found {pos_weight.tolist()}")
    return pos_weight.to(logits)


def _on_cpu(targets: Tensor) -> bool:
    return targets.device.type == "cpu"


def _all_known(targets: Tensor) -> bool:
    """Whether all targets are from 0 to 1, the usual case, in one pass; a GPU would have to wait for the answer."""
    if not _on_cpu(targets) or not targets.numel():
        return False
    low, high = targets.aminmax()
    return bool(low >= 0 and high <= 1)


def _positive_losses(logits: Tensor, gamma: float) -> Tensor:
    # The power is taken through logarithms: a power of a probability that underflowed to 0 has no finite gradient.
    return -torch.exp(gamma * logsigmoid(-logits)) * logsigmoid(logits)


def _negative_losses(logits: Tensor, gamma: float, clip: float) -> Tensor:
    """(B, L) of -p_m ** gamma * log(1 - p_m), where p_m = max(p - clip, 0), all in logarithms; clip=0 is exact."""
    log_clip = logits.new_full((), math.log(clip) if clip else -math.inf)
    log_p = logsigmoid(logits)
    ratio = log_clip - log_p  # log(clip / p), below 0 where p is above the clip
    above = ratio < 0
    log_shifted = log_p + torch.log(-torch.expm1(torch.where(above, ratio, -1)))
    log_rest = torch.logaddexp(logsigmoid(-logits), log_clip)
    return torch.where(above, -torch.exp(gamma * log_shifted) * log_rest, 0)


def reduce_known(losses: Tensor, known: Tensor | None, reduction: str) -> Tensor:
    """Return the `mean`, the `sum` or, for `none`, each of the losses at known entries (None: all are known)."""
    losses = losses if known is None else torch.where(known, losses, 0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.mean() if known is None else losses.sum() / known.sum().clamp(min=1)
