"""Shape-checked criteria: logits and targets in, one number out; nothing ever broadcasts.

`binary` holds those for labels that do not exclude each other, logits (B, L); `multi_head` is for models with several
heads, binary or categorical, in any mixture. To bind settings once, for a loop that calls `criterion(logits, targets)`,
use `functools.partial`.
"""

from helpers.losses.binary import asymmetric, bce, focal, pos_weight_from_counts
from helpers.losses.heads import class_weights_from_counts, multi_head

__all__ = [
    "asymmetric",
    "bce",
    "class_weights_from_counts",
    "focal",
    "multi_head",
    "pos_weight_from_counts",
]
