"""Schedules of the learning rate: the warm-up of fine-tuning."""

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from helpers.arguments import check_count, check_number


def linear_warmup(optimizer: Optimizer, *, steps: int, warmup: float | int = 0.1) -> LambdaLR:
    """A learning rate that rises in a line from 0 to the optimizer's own, then falls in a line to 0.

    A fresh head gives large, random gradients. At the full rate they would damage the pretrained layers below.

    Source: Devlin et al. 2019, appendix A.2; equal to transformers' `get_linear_schedule_with_warmup` at every step.

    Args:
        optimizer: whose groups' rates are the peaks.
        steps: optimizer steps of the whole run: epochs x batches, divided by `accumulate`, rounded up in each epoch.
        warmup: steps until the peak; a float, from 0.0 to 1.0, is the share of all steps.

    Returns:
        A schedule to step after each optimizer step, for `fit(scheduler=...)`.

    Raises:
        ValueError: no steps, or a warm-up below 0 or longer than the run.

    Examples:
        >>> import torch
        >>> from helpers import loops
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = loops.linear_warmup(optimizer, steps=6, warmup=2)
        >>> rates = []
        >>> for _ in range(7):
        ...     rates.append(optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    try:
        steps = check_count("steps", steps)
        if isinstance(warmup, float | np.floating):
            warmup_steps = round(steps * check_number("warmup", warmup, at_least=0, at_most=1))
        else:
            warmup_steps = check_count("warmup", warmup, at_least=0, at_most=steps)
    except ValueError as error:
        raise ValueError(f"{error}; a run has a step at least, and a warm-up no longer than the run") from error

    def share(step: int) -> float:
        if step < warmup_steps:
            return step / warmup_steps
        return max(0.0, (steps - step) / max(1, steps - warmup_steps))

    return LambdaLR(optimizer, share)
