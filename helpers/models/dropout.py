"""Dropout that spends no more random bits than it needs."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from helpers.arguments import check_number

Model = TypeVar("Model", bound=nn.Module)
_LEVELS = 2**16  # of 16 random bits


class FastDropout(nn.Dropout):
    """`torch.nn.Dropout`, with four numbers decided by one random draw of 64 bits.

    A CPU draws them one after the other on a single core, and torch draws for each number: this is more than twice as
    fast, forward and backward together. The probability is rounded to 1/65536, and what is kept is scaled up
    by the rounded share, so that the mean stays. On other devices, and in evaluation mode, it is torch's own.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> dropout = models.FastDropout(0.25)
        >>> kept = dropout(torch.ones(100_000))
        >>> bool(abs((kept == 0).float().mean() - 0.25) < 0.01), round(float(kept.mean()), 1)
        (True, 1.0)
        >>> bool((dropout.eval()(torch.ones(9)) == 1).all())  # in evaluation mode it does nothing
        True
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(check_number("p", p, at_least=0, at_most=1), inplace)

    def forward(self, input: Tensor) -> Tensor:
        """The input (any shape), a share `p` of its numbers 0 and the others scaled up, in training mode."""
        kept = round((1 - self.p) * _LEVELS)
        if not self.training or input.device.type != "cpu" or kept in (0, _LEVELS):
            return super().forward(input)
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        mask = draws.view(torch.int16)[: input.numel()].view(input.shape) < kept - _LEVELS // 2
        return input * (mask.to(input.dtype) * (_LEVELS / kept))


def use_fast_dropout(model: Model) -> Model:
    """Put `FastDropout` in the place of each `torch.nn.Dropout` of a model, in place; the model is given back.

    Examples:
        >>> from torch import nn
        >>> from helpers import models
        >>> models.use_fast_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
        Sequential(
          (0): Linear(in_features=2, out_features=2, bias=True)
          (1): FastDropout(p=0.1, inplace=False)
        )
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                fast = FastDropout(child.p, child.inplace)
                setattr(parent, name, fast.train(child.training))
    return model
