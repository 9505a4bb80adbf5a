"""ROC AUC by label as a stream: over batches and over processes, each row counted once."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities.data import dim_zero_cat


class LabelAUROC(Metric):
    """The ROC AUC of each label, exact, over all rows of all processes.

    Torchmetrics gathers the rows and computes each area, with the course's contract: a label that is NaN in a row is
    left out of that row, and a label with one class only is NaN, where `MultilabelAUROC` says 0 and drags the mean
    down. All rows are kept until the end of the epoch: 8 bytes a row and label.

    Args:
        labels: names of the L labels.

    Examples:
        >>> import torch
        >>> from helpers import tagging
        >>> areas = tagging.LabelAUROC(["toxic", "threat"])
        >>> areas.update(torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        >>> areas.update(torch.tensor([[0.5, 0.0]]), torch.tensor([[float("nan"), 0.0]]))
        >>> areas.compute()  # no row is a threat
        tensor([1., nan])
    """

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = list(labels)
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add rows: logits (B, L), targets (B, L) with NaN where unknown."""
        self.logits.append(logits.detach().float())
        self.targets.append(targets.float())

    def compute(self) -> Tensor:
        """(L,) AUC of each label, NaN where a label has one class only."""
        if len(self.logits) == 0:  # a list of batches, or one tensor once processes were gathered
            return torch.full((len(self.labels),), torch.nan, device=self.device)
        logits, targets = dim_zero_cat(self.logits), dim_zero_cat(self.targets)
        return torch.stack([_area(logits[:, place], targets[:, place]) for place in range(len(self.labels))])


def _area(logits: Tensor, targets: Tensor) -> Tensor:
    known = targets >= 0
    said, truth = torch.sigmoid(logits[known]), targets[known].long()
    if not (truth == 1).any() or not (truth == 0).any():
        return said.new_tensor(torch.nan)
    return binary_auroc(said, truth, validate_args=False)


class KnownMean(Metric):
    """A mean over all known labels of all processes: sums divided once, NaN where a value is.

    Torchmetrics' `MeanMetric` leaves NaN out, and with `nan_strategy="disable"` it forgets the weights (1.9).
    """

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", default=torch.zeros(2), dist_reduce_fx="sum")

    def update(self, value: Tensor, known: int) -> None:
        """Add the mean of so many known labels."""
        self.sums = self.sums + torch.stack([value.detach().to(self.sums) * known, self.sums.new_tensor(known)])

    def compute(self) -> Tensor:
        """The mean; NaN where nothing is known."""
        return self.sums[0] / self.sums[1]
