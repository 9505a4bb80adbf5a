"""Loss and scores on rows that are not trained on; probabilities for any rows, in the data set's order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from helpers import metrics, models
from helpers.arguments import check_choice
from helpers.loaders.batches import count_rows, numbered, same_epoch
from helpers.loaders.row_order import first_places, in_row_order, joined, joined_rows
from helpers.metrics.checks import decide
from helpers.metrics.classification import mean_head_auc
from helpers.models.multi_head import head_probabilities

Batch = tuple[dict[str, Tensor], Tensor]
Device = str | torch.device
Logits = Tensor | dict[str, Tensor]
Precision = Literal["32-true", "bf16-mixed"]
Loss = Callable[[Logits, Tensor], Tensor]
Forward = Callable[..., Logits]


def move(inputs: Mapping[str, Tensor], device: Device) -> dict[str, Tensor]:
    """The inputs of a batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}


def known(labels: Tensor) -> int:
    """Number of labels that are neither NaN nor negative."""
    return int((labels >= 0).sum())


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    loader: Iterable[Batch],
    *,
    loss: Loss,
    device: Device | None = None,
    precision: Precision = "32-true",
) -> dict[str, float]:
    """Mean loss over all known labels, and the mean column-wise ROC AUC, or the mean over heads.

    Each row counts once, also where a sampler repeats rows to fill its last batch. The model's modules stay in the
    modes (training or evaluation) in which they were, and a shuffled loader at its epoch.

    Args:
        model: gives logits (B, L), or {head: (B, C)}.
        loader: batches of `(inputs, labels (B, L))`, in any order.
        loss: of logits and labels; it sees all rows at once, so that no mean of means is taken.
        device: where the model is; None asks its parameters.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16.

    Returns:
        `loss` and `auc` (NaN where no label has both classes; for heads the mean of their AUC).

    Raises:
        ValueError: the loader is empty, gives a part of its rows only, or batches of another form; the model gives
            outputs of another form or is on another device.

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
    where = resolve_device(model, device)
    result, truth = outputs_once(model, loader, where, precision)
    value = float(loss(_mapped(result, lambda part: part.to(where)), truth.to(where)))
    if isinstance(result, Tensor):
        return {"loss": value, "auc": metrics.mean_auc(truth, torch.sigmoid(result))}
    truth = truth.float().masked_fill(truth < 0, torch.nan)
    return {"loss": value, "auc": mean_head_auc(truth, head_probabilities(result))}


@torch.inference_mode()
def predict_proba(
    model: nn.Module, loader: Iterable[Batch], *, device: Device | None = None, precision: Precision = "32-true"
) -> np.ndarray | dict[str, np.ndarray]:
    """Probabilities (N, L), float32, in the data set's order; of a model with heads {head: (N, C)}.

    The loaders of this package know their rows: shuffled, sorted by length or read by several workers, their results
    are put back into the order of `loader.dataset`. Other loaders are taken where their order is known: a DataLoader
    without shuffling over a map-style data set, and lists of batches.

    Args:
        model: gives logits (B, L), or {head: (B, C)}.
        loader: batches of `(inputs, labels)`; only the number of the labels' rows is looked at.
        device: where the model is; None asks its parameters.
        precision: `32-true`, or `bf16-mixed` where the device computes in bfloat16.

    Raises:
        ValueError: the order of the rows cannot be known; rows are missing; the loader is empty or gives batches of
            another form; the model gives outputs of another form or is on another device.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, models
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> probabilities = loops.predict_proba(models.backbones.MLP(4, hidden=(8,), n_labels=2), loader)
        >>> probabilities.shape, bool(((probabilities >= 0) & (probabilities <= 1)).all())
        ((5, 2), True)
    """
    return _as_probabilities(_row_logits(model, loader, device, precision))


@torch.inference_mode()
def predict_proba_share(
    model: nn.Module, loader: Iterable[Batch], *, device: Device | None = None, precision: Precision = "32-true"
) -> tuple[np.ndarray, np.ndarray | dict[str, np.ndarray]]:
    """Positions (B,) and probabilities (B, L) of the rows that a loader gives: one process's share of a data set.

    `helpers.loaders.row_order.in_row_order` puts the shares of all processes together.

    Args:
        model: as `predict_proba`.
        loader: as `predict_proba`; it may leave rows out, as `loaders.token_loader(..., rank=0, world_size=2)` does.
        device: as `predict_proba`.
        precision: as `predict_proba`.

    Raises:
        ValueError: as `predict_proba`, but for missing rows.

    Examples:
        >>> import torch
        >>> from helpers import loaders, models
        >>> from helpers.loaders.row_order import EpochBatchSampler, in_row_order
        >>> from helpers.loops.prediction import predict_proba_share
        >>> model = models.backbones.MLP(4, hidden=(8, 2))
        >>> rows = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2)).dataset
        >>> shares = []
        >>> for rank in range(2):  # each in its own process, usually
        ...     order = EpochBatchSampler(5, batch_size=2, shuffle=False, rank=rank, world_size=2)
        ...     shares.append(predict_proba_share(model, loaders.loader_of(rows, order)))
        >>> places, probabilities = zip(*shares)
        >>> [share.tolist() for share in places], in_row_order(places, probabilities, n_rows=5).shape
        ([[0, 2, 4], [1, 3]], (5, 2))
    """
    rows, result, _ = _outputs(model, loader, device, precision)
    return joined_rows(rows), _as_probabilities(result)


@torch.inference_mode()
def logits(
    model: nn.Module, loader: Iterable[Batch], *, device: Device | None = None, precision: Precision = "32-true"
) -> np.ndarray | dict[str, np.ndarray]:
    """As `predict_proba`, but logits: what windows of a text are pooled by, and models averaged.

    Examples:
        >>> import torch
        >>> from scipy.special import expit
        >>> from helpers import loaders, loops, models
        >>> model = models.backbones.MLP(4, hidden=(8,), n_labels=2)
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> result = loops.logits(model, loader)
        >>> bool(abs(expit(result) - loops.predict_proba(model, loader)).max() < 1e-6)
        True
    """
    return _mapped(_row_logits(model, loader, device, precision), Tensor.numpy)


@torch.inference_mode()
def predict(
    model: nn.Module,
    loader: Iterable[Batch],
    *,
    threshold: float | Sequence[float] | Mapping[str, float] = 0.5,
    device: Device | None = None,
    precision: Precision = "32-true",
) -> np.ndarray | pd.DataFrame:
    """Decisions in the data set's order: 1 where a probability is at least the threshold, or the most probable class.

    Args:
        model: gives logits (B, L), or {head: (B, C)}.
        loader: as `predict_proba`.
        threshold: one for all labels, or (L,); of a model with heads one for all binary heads or by head, as
            `models.predict_labels` takes it. inf never decides 1.
        device: as `predict_proba`.
        precision: as `predict_proba`.

    Returns:
        (N, L) int8 of 0 and 1; of a model with heads a DataFrame with one row per input and one column per head.

    Raises:
        ValueError: as `predict_proba` and `models.predict_labels`; a threshold that does not fit.

    Examples:
        >>> import torch
        >>> from helpers import loaders, loops, models
        >>> loader = loaders.array_loader({"features": torch.randn(5, 4)}, torch.zeros(5, 2))
        >>> model = models.backbones.MLP(4, hidden=(8,), n_labels=2)
        >>> decisions = loops.predict(model, loader, threshold=[0.4, float("inf")])
        >>> decisions.shape, bool(decisions[:, 1].any())
        ((5, 2), False)
        >>> model = models.MultiHead(models.backbones.MLP(4, hidden=(8,)), heads={"toxic": 1, "level": 3})
        >>> table = loops.predict(model, loader, threshold={"toxic": 0.4})
        >>> list(table.columns), len(table), bool(table["level"].between(0, 2).all())
        (['toxic', 'level'], 5, True)
    """
    logits = _row_logits(model, loader, device, precision)
    if isinstance(logits, dict):
        by_head: Any = threshold  # models.predict_labels checks it
        return pd.DataFrame(models.predict_labels(logits, threshold=by_head).numpy(), columns=list(logits))
    probabilities = torch.sigmoid(logits).numpy()
    if probabilities.ndim != 2 or isinstance(threshold, Mapping):
        what = "thresholds by head" if isinstance(threshold, Mapping) else f"logits {probabilities.shape}"
        raise ValueError(f"{what}: expected logits (B, L) with one threshold, or one per label")
    return decide(probabilities, threshold, pd.RangeIndex(probabilities.shape[1])).astype(np.int8)


@torch.inference_mode()
def features(
    model: nn.Module, loader: Iterable[Batch], *, device: Device | None = None, precision: Precision = "32-true"
) -> np.ndarray:
    """What a model's encoder says of each row, (N, H) float32 in the data set's order, to train its head alone on.

    Args:
        model: has `features(**inputs)`, such as `models.BertTagger`.
        loader: as `predict_proba`.
        device: as `predict_proba`.
        precision: as `predict_proba`.

    Raises:
        ValueError: as `predict_proba`; a model without `features`.

    Examples:
        >>> from helpers import loaders, loops, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> loader = loaders.token_loader(loaders.tokenize(["You are kind.", "Go away!"], tokenizer))
        >>> loops.features(models.BertTagger(encoder, 6), loader).shape
        (2, 384)
    """
    method: Any = getattr(model, "features", None)
    if not callable(method):
        raise ValueError(f"{type(model).__name__} has no method features(**inputs), as models.BertTagger has one")
    result = _row_logits(model, loader, device, precision, call=method)
    if isinstance(result, dict):
        raise ValueError(f"{type(model).__name__}.features gives a dict with {list(result)}: expected a tensor (B, H)")
    return result.numpy()


def autocast(device: Device, precision: Precision) -> torch.autocast:
    """The context in which a model computes; ValueError for another precision than `32-true` and `bf16-mixed`."""
    check_choice("precision", precision, ("32-true", "bf16-mixed"))
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16-mixed")


def resolve_device(model: nn.Module, device: Device | None) -> torch.device:
    """Where a model computes: the device of its parameters, which `device` must name, or be None.

    Raises:
        ValueError: no device, or another one than the model's.
    """
    own = list(dict.fromkeys(part.device for part in chain(model.parameters(), model.buffers())))
    if device is None:
        return own[0] if own else torch.device("cpu")
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r}: expected a name such as 'cpu' or 'cuda:0', or None") from error
    alike = [one for one in own if one.type == wanted.type and (None in (one.index, wanted.index) or one == wanted)]
    if own and not alike:
        names = ", ".join(map(str, own))
        raise ValueError(f"device={str(wanted)!r}, and the model is on {names}: leave device out, or move the model")
    return wanted


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[list[nn.Module]]:
    """Give each module its mode, training or evaluation, back at the end, whatever happens.

    Yields:
        The modules in evaluation mode of a model that is not in it as a whole: they are in it on purpose.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        some = any(is_training for _, is_training in modes)
        yield [module for module, is_training in modes if some and not is_training]
    finally:
        for module, is_training in modes:
            module.training = is_training


def _mapped(result: Logits, function: Callable[[Tensor], Any]) -> Any:  # noqa: ANN401
    """A function of logits, or of those of each head."""
    return {name: function(part) for name, part in result.items()} if isinstance(result, dict) else function(result)


def _as_probabilities(result: Logits) -> np.ndarray | dict[str, np.ndarray]:
    probabilities = head_probabilities(result) if isinstance(result, dict) else torch.sigmoid(result)
    return _mapped(probabilities, Tensor.numpy)


def _row_logits(
    model: nn.Module, loader: Iterable[Batch], device: Device | None, precision: Precision, call: Forward | None = None
) -> Logits:
    rows, result, _ = _outputs(model, loader, device, precision, call=call)
    return in_row_order(rows, result, n_rows=count_rows(loader))


def outputs_once(
    model: nn.Module, loader: Iterable[Batch], device: Device | None, precision: Precision, call: Forward | None = None
) -> tuple[Logits, Tensor]:
    """What a model (or a method of it) gives for each row, once, and the labels; in the order in which they come."""
    rows, result, labels = _outputs(model, loader, device, precision, call=call, ordered=False)
    if rows is None:
        return result, labels
    numbers, total = joined_rows(rows), count_rows(loader)
    first = np.unique(numbers, return_index=True)[1] if total is None else first_places(numbers, total)
    kept = torch.from_numpy(np.sort(first))
    return (result, labels) if len(kept) == len(labels) else (_mapped(result, lambda part: part[kept]), labels[kept])


def _outputs(
    model: nn.Module,
    loader: Iterable[Batch],
    device: Device | None,
    precision: Precision,
    call: Forward | None = None,
    *,
    ordered: bool = True,
) -> tuple[list[Tensor] | None, Logits, Tensor]:
    """Rows, what a model in evaluation mode (or a method of it) gives, and labels, as they come; on the CPU."""
    where, parts = resolve_device(model, device), []
    with modes_kept(model), same_epoch(loader):
        model.eval()
        for batch in numbered(loader, ordered=ordered):
            inputs, targets = batch
            if not len(targets):  # a process that has no row of a small last batch
                continue
            with autocast(where, precision):
                out = (call or model)(**move(inputs, where))
            parts.append((batch.rows, _checked_output(out, len(targets), type(model).__name__), targets.cpu()))
    if not parts:
        raise ValueError("the loader gives no row: nothing to evaluate or predict")
    rows, outs, labels = zip(*parts, strict=True)
    return None if rows[0] is None else list(rows), joined(outs), joined(labels)


def _checked_output(out: Any, n_rows: int, model: str) -> Logits:  # noqa: ANN401
    """What a model gave for a batch, float32 on the CPU; ValueError where it has not one output for each row."""
    form = f"expected logits from {model}, a tensor (B, L) or {{head: (B, C)}}"
    if hasattr(out, "to_tuple") or not isinstance(out, Tensor | Mapping) or (isinstance(out, Mapping) and not out):
        way = "; let forward return its .logits" if hasattr(out, "logits") else ""
        raise ValueError(f"{form}, got a {type(out).__name__}{way}")
    result: dict[str, Tensor] = {}
    for name, part in out.items() if isinstance(out, Mapping) else [("", out)]:
        what = f"and {name!r} is" if isinstance(out, Mapping) else "got"
        if not isinstance(part, Tensor):
            raise ValueError(f"{form}, {what} a {type(part).__name__}")
        if part.ndim == 0 and n_rows == 1:  # a model that squeezes its one column, and a last batch of one row
            part = part[None]
        if part.ndim == 0 or len(part) != n_rows:
            raise ValueError(f"{form}, {what} {tuple(part.shape)} for a batch of {n_rows} rows: each needs an output")
        result[str(name)] = part.float().cpu()
    return result if isinstance(out, Mapping) else result[""]
