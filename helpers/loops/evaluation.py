"""Loss and scores on rows that are not trained on; probabilities for any rows."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers import metrics

Loss = Callable[[Tensor, Tensor], Tensor]


def move(inputs: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """The inputs of a batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}


def known(labels: Tensor) -> int:
    """Number of labels that are not NaN."""
    return int(labels.isfinite().sum())


@torch.inference_mode()
def evaluate(model: nn.Module, loader: DataLoader, *, loss: Loss, device: str = "cpu") -> dict[str, float]:
    """Mean loss over all known labels, and the mean column-wise ROC AUC.

    Args:
        model: gives logits (B, L).
        loader: batches of `(inputs, labels (B, L))`.
        loss: of logits and labels, a mean over the known labels.
        device: where the model is.

    Returns:
        `loss` (summed over the labels, divided once) and `auc` (NaN where no label has both classes).

    Raises:
        ValueError: the loader is empty.
    """
    was_training = model.training
    model.eval()
    total, count, logits, targets = 0.0, 0, [], []
    for inputs, labels in loader:
        out = model(**move(inputs, device))
        total += float(loss(out, labels.to(device))) * known(labels)
        count += known(labels)
        logits.append(out.float().cpu())
        targets.append(labels)
    model.train(was_training)
    if not logits:
        raise ValueError("the loader gives no batch: nothing to evaluate")
    auc = metrics.mean_auc(torch.cat(targets), torch.sigmoid(torch.cat(logits)))
    return {"loss": total / max(count, 1), "auc": auc}


@torch.inference_mode()
def predict(model: nn.Module, loader: DataLoader, *, device: str = "cpu") -> np.ndarray:
    """Probabilities (N, L), float32, in the order of the rows.

    Args:
        model: gives logits (B, L).
        loader: batches of `(inputs, labels)` in the rows' order; the labels are not looked at.
        device: where the model is.

    Raises:
        ValueError: the loader shuffles, so that the rows of the answer would be in an unknown order, or is empty.
    """
    if getattr(loader.batch_sampler, "shuffle", False):
        raise ValueError(
            "the loader shuffles: its probabilities would come in an unknown order. Make one without shuffle"
        )
    was_training = model.training
    model.eval()
    logits = [model(**move(inputs, device)).float().cpu() for inputs, _ in loader]
    model.train(was_training)
    if not logits:
        raise ValueError("the loader gives no batch: nothing to predict")
    return torch.sigmoid(torch.cat(logits)).numpy()
