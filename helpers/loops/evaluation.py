"""Loss and scores on rows that are not trained on; probabilities for any rows."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers import metrics, models

Batch = tuple[dict[str, Tensor], Tensor]
Logits = Tensor | dict[str, Tensor]
Precision = Literal["32-true", "bf16-mixed"]
Loss = Callable[[Logits, Tensor], Tensor]


def move(inputs: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """The inputs of a batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}


def known(labels: Tensor) -> int:
    """Number of labels that are neither NaN nor negative."""
    return int((labels >= 0).sum())


@torch.inference_mode()
def evaluate(
    model: nn.Module, loader: DataLoader[Batch], *, loss: Loss, device: str = "cpu", precision: Precision = "32-true"
) -> dict[str, float]:
    """Mean loss over all known labels, and the mean column-wise ROC AUC, or the mean over heads.

    Args:
        model: gives logits (B, L), or {head: (B, C)}.
        loader: batches of `(inputs, labels (B, L))`.
        loss: of logits and labels; it sees all rows at once, so that no mean of means is taken.
        device: where the model is.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16.

    Returns:
        `loss` and `auc` (NaN where no label has both classes; for heads `metrics.mean_head_auc`).

    Raises:
        ValueError: the loader is empty.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from helpers import loaders, loops, losses
        >>> class Sum(nn.Module):
        ...     def forward(self, features):
        ...         return features.sum(dim=1, keepdim=True)
        >>> features, labels = torch.tensor([[1.0, 2.0], [0.0, -1.0], [-3.0, 1.0]]), torch.tensor([[1], [0], [0]])
        >>> scores = loops.evaluate(Sum(), loaders.array_loader({"features": features}, labels), loss=losses.bce)
        >>> {name: round(score, 3) for name, score in scores.items()}
        {'loss': 0.163, 'auc': 1.0}
    """
    found, truth = _outputs(model, loader, device, precision)
    if isinstance(found, Tensor):
        value = loss(found.to(device), truth.to(device))
        return {"loss": float(value), "auc": metrics.mean_auc(truth, torch.sigmoid(found))}
    value = loss({name: part.to(device) for name, part in found.items()}, truth.to(device))
    truth = truth.float().masked_fill(truth < 0, torch.nan)
    return {"loss": float(value), "auc": metrics.mean_head_auc(truth, models.head_probabilities(found))}


@torch.inference_mode()
def predict(
    model: nn.Module, loader: DataLoader[Batch], *, device: str = "cpu", precision: Precision = "32-true"
) -> np.ndarray | dict[str, np.ndarray]:
    """Probabilities (N, L), float32, in the order of the rows; of a model with heads {head: (N, C)}.

    A loader that sorts its rows by length (`loaders.token_loader`) gives them in another order; it is put right here.

    Args:
        model: gives logits (B, L), or {head: (B, C)}.
        loader: batches of `(inputs, labels)`, not shuffled; the labels are not looked at.
        device: where the model is.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16.

    Raises:
        ValueError: the loader shuffles, so that the rows of the answer would be in an unknown order, or is empty.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, models
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> probabilities = loops.predict(models.MLP(4, hidden=(8, 2)), loader)
        >>> probabilities.shape, bool(((probabilities >= 0) & (probabilities <= 1)).all())
        ((5, 2), True)
    """
    found = _row_logits(model, loader, device, precision)
    if isinstance(found, dict):
        return {name: said.numpy() for name, said in models.head_probabilities(found).items()}
    return torch.sigmoid(found).numpy()


@torch.inference_mode()
def logits(
    model: nn.Module, loader: DataLoader[Batch], *, device: str = "cpu", precision: Precision = "32-true"
) -> np.ndarray | dict[str, np.ndarray]:
    """As `predict`, but logits: what windows of a text are pooled by, and models averaged.

    Examples:
        >>> import torch
        >>> from scipy.special import expit
        >>> from helpers import loaders, loops, models
        >>> model = models.MLP(4, hidden=(8, 2))
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> found = loops.logits(model, loader)
        >>> bool(abs(expit(found) - loops.predict(model, loader)).max() < 1e-6)
        True
    """
    found = _row_logits(model, loader, device, precision)
    return {name: part.numpy() for name, part in found.items()} if isinstance(found, dict) else found.numpy()


@torch.inference_mode()
def predict_labels(
    model: nn.Module,
    loader: DataLoader[Batch],
    *,
    threshold: float | Mapping[str, float] = 0.5,
    device: str = "cpu",
    precision: Precision = "32-true",
) -> pd.DataFrame:
    """Decisions of a model with heads, one row a row, one column a head: 0 or 1, or the most probable class's number.

    Args:
        model: gives logits {head: (B, C)}.
        loader: as `predict`.
        threshold: of binary heads, one for all or by head, as `models.predict_labels` takes it.
        device: where the model is.
        precision: as `predict`.

    Raises:
        ValueError: as `predict` and `models.predict_labels`; a model that has no heads.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, models
        >>> model = models.MultiHead(models.MLP(4, hidden=(8,)), heads={"toxic": 1, "level": 3})
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> table = loops.predict_labels(model, loader, threshold={"toxic": 0.4})
        >>> list(table.columns), len(table), bool(table["level"].between(0, 2).all())
        (['toxic', 'level'], 5, True)
    """
    found = _row_logits(model, loader, device, precision)
    if not isinstance(found, dict):
        raise ValueError("the model has no heads: compare what `predict` gives with your thresholds instead")
    return pd.DataFrame(models.predict_labels(found, threshold=threshold).numpy(), columns=list(found))


@torch.inference_mode()
def features(
    model: nn.Module, loader: DataLoader[Batch], *, device: str = "cpu", precision: Precision = "32-true"
) -> np.ndarray:
    """What a model's encoder says of each row, (N, H) float32 in the order of the rows, to train its head alone on.

    Args:
        model: has `features(**inputs)`, such as `models.BertTagger`.
        loader: as `predict`.
        device: where the model is.
        precision: as `predict`.

    Raises:
        ValueError: as `predict`.

    Examples:
        >>> from helpers import loaders, loops, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> loader = loaders.token_loader(loaders.tokenize(["You are kind.", "Go away!"], tokenizer))
        >>> loops.features(models.BertTagger(encoder, 6), loader).shape
        (2, 384)
    """
    _refuse_shuffled(loader)
    method: Any = model.features
    vectors, _ = _outputs(model, loader, device, precision, call=method)
    ordered = _in_row_order(vectors, loader)
    assert isinstance(ordered, Tensor)
    return ordered.numpy()


def autocast(device: str, precision: Precision) -> torch.autocast:
    """The context in which a model computes; ValueError for another precision than `32-true` and `bf16-mixed`."""
    if precision not in ("32-true", "bf16-mixed"):
        raise ValueError(f"precision={precision!r}: '32-true' or 'bf16-mixed'")
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16-mixed")


def _row_logits(model: nn.Module, loader: DataLoader[Batch], device: str, precision: Precision) -> Logits:
    _refuse_shuffled(loader)
    return _in_row_order(_outputs(model, loader, device, precision)[0], loader)


def _in_row_order(logits: Logits, loader: DataLoader[Batch]) -> Logits:
    order = getattr(loader.batch_sampler, "order", None)
    if order is None:
        return logits
    place = torch.from_numpy(np.argsort(order))
    if isinstance(logits, Tensor):
        return logits[place]
    return {name: part[place] for name, part in logits.items()}


def _outputs(
    model: nn.Module,
    loader: DataLoader[Batch],
    device: str,
    precision: Precision,
    *,
    call: Callable[..., Logits] | None = None,
) -> tuple[Logits, Tensor]:
    """What a model in evaluation mode (or a method of it) gives for all batches, and their labels; both on the CPU."""
    was_training = model.training
    model.eval()
    outs: list[Any] = []
    labels = []
    for inputs, given in loader:
        with autocast(device, precision):
            out = (call or model)(**move(inputs, device))
        if isinstance(out, Tensor):
            outs.append(out.float().cpu())
        else:
            outs.append({name: part.float().cpu() for name, part in out.items()})
        labels.append(given)
    model.train(was_training)
    if not outs:
        raise ValueError("the loader gives no batch: nothing to evaluate or predict")
    if isinstance(outs[0], Tensor):
        return torch.cat(outs), torch.cat(labels)
    return {name: torch.cat([out[name] for out in outs]) for name in outs[0]}, torch.cat(labels)


def _refuse_shuffled(loader: DataLoader[Batch]) -> None:
    if getattr(loader.batch_sampler, "shuffle", False):
        raise ValueError(
            "the loader shuffles: its probabilities would come in an unknown order. Make one without shuffle"
        )
