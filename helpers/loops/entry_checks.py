"""Check what `fit` is given, before anything is moved, trained or written."""

import contextlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer, lr_scheduler
from torch.utils.data import DataLoader, IterableDataset

from helpers.arguments import check_list, check_mapping, check_number
from helpers.loaders.row_order import check_batch
from helpers.loops.prediction import Precision, autocast, known, modes_kept, move, resolve_device
from helpers.models.multi_head import refuse_backbone
from helpers.models.persistence import can_be_saved, unwrapped

_LIMITS: dict[str, dict[str, float]] = {
    **{name: {"at_least": 0} for name in ("lr", "initial_lr", "weight_decay", "eps", "lambd")},
    **{name: {"at_least": 0, "at_most": 1} for name in ("dampening", "alpha")},  # more turns the gradient around
    "momentum": {"at_least": 0, "below": 1},
}


def check_device(device: Any) -> str:  # noqa: ANN401
    """Return a device's name, or refuse what torch does not know or this machine does not have."""
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        message = f"device={device!r}: expected a device of this machine, such as 'cpu' or 'cuda' ({error})"
        raise ValueError(message) from error
    return str(device)


def check_functions(name: str, value: Any) -> list[Any]:  # noqa: ANN401
    """Return functions as a list, or refuse what is no list of them."""
    functions = check_list(name, value, "functions")
    if wrong := [one for one in functions if not callable(one)]:
        raise ValueError(f"{name}: expected a list of functions, got {wrong[0]!r:.100} in it")
    return functions


def check_settings(settings: Any, recorded: Iterable[str]) -> dict[str, Any]:  # noqa: ANN401
    """Return further settings of a run as a dict, or refuse names that are recorded already and values of other types.

    Args:
        settings: by name; None for none.
        recorded: names of the run's own settings.
    """
    if settings is None or settings == {}:
        return {}
    taken = {*recorded, "data", "valid", "loss", "model", "optimizer", "scheduler", "torch_seed"}
    for name, value in check_mapping("settings", settings).items():
        if not isinstance(name, str) or name in taken:
            reason = "is recorded already" if name in taken else "is no name"
            raise ValueError(f"settings: {name!r} {reason}; choose another name")
        if not isinstance(value, str | bool | int | float | None):
            kind = type(value).__name__
            raise ValueError(f"settings[{name!r}] is a {kind}: expected a text, a number, True, False or None")
    return dict(settings)


def check_parts(
    model: nn.Module,
    train: DataLoader[Any],
    valid: DataLoader[Any] | None,
    loss: Any,  # noqa: ANN401
    optimizer: Optimizer,
    precision: Precision,
) -> bool:
    """Refuse parts of a run that do not go together; False where not all training labels could be looked at."""
    refuse_backbone(model)
    if not callable(loss):
        raise ValueError(f"loss={loss!r}: expected a function of logits and labels, such as losses.bce")
    _check_optimizer(model, optimizer, loss)
    all_checked = _check_data("train", train, model, precision)
    if valid is not None:
        _check_data("valid", valid, model, precision)
    names = [name for name, module in model.named_modules() if model.training and not module.training]
    trained = {name.rpartition(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    tops = [name for name in names if name.rpartition(".")[0] not in names]
    if stay := [top for top in tops if any(f"{name}.".startswith(f"{top}.") for name in trained)]:
        warnings.warn(
            f"{', '.join(stay[:5])}: in evaluation mode, and stays in it: its weights are trained without dropout and "
            "with fixed batch norm. Call model.train() first where that is not meant",
            stacklevel=3,
        )
    return all_checked


def _check_optimizer(model: nn.Module, optimizer: Optimizer, loss: object) -> None:
    """Refuse an optimizer that trains nothing of this model, or something else, or uphill."""
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, LBFGS):
        kind = type(optimizer).__name__
        raise ValueError(f"optimizer: expected one of torch.optim that needs no closure, got {kind}")
    held = [weight for group in optimizer.param_groups for weight in group["params"]]
    own = {id(weight) for part in (model, loss) if isinstance(part, nn.Module) for weight in part.parameters()}
    if foreign := [tuple(weight.shape) for weight in held if id(weight) not in own]:
        raise ValueError(
            f"optimizer: {len(foreign)} of its {len(held)} weights are not of this model (the first has the shape "
            f"{foreign[0]}): make the optimizer from model.parameters() of the model that is trained"
        )
    if not any(weight.requires_grad for weight in held):
        raise ValueError("optimizer: all its weights are frozen (requires_grad=False), so nothing would be trained")
    for number, group in enumerate(optimizer.param_groups, 1):
        if group.get("maximize"):
            raise ValueError("optimizer: maximize=True climbs the loss; leave it out, or return the negative as loss")
        checks = [(name, group.get(name), limits) for name, limits in _LIMITS.items()]
        checks += [("step_sizes", size, {"above": 0}) for size in group.get("step_sizes", ())]  # of Rprop
        for name, value, limits in checks:
            words = "learning rate" if name.endswith("lr") else name.replace("weight_decay", "weight decay")
            if value is not None:
                check_number(f"{words} of parameter group {number}", value, **limits)
    if not any(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups):
        warnings.warn("every learning rate is 0: no weight will change", stacklevel=4)


def check_state(model: nn.Module) -> None:
    """Refuse a model whose state could not be written: something else than tensors, or a kind that no file takes."""
    for name, part in unwrapped(model).state_dict().items():
        if not isinstance(part, Tensor):
            raise ValueError(f"model: {name} in its state is a {type(part).__name__}, and only tensors can be kept")
        if not can_be_saved(part):
            raise ValueError(
                f"model: {name} in its state has the type {part.dtype} and the layout {part.layout}, which cannot be "
                "kept in a file: make it dense, of real numbers, or register_buffer(..., persistent=False)"
            )


def check_schedule(scheduler: Any, optimizer: Optimizer, steps: int, per_epoch: int) -> None:  # noqa: ANN401
    """Refuse a schedule of another optimizer, one that needs a score, and one that is over before the last epoch.

    The steps that it has taken already come before those of this run; unknown steps are 0.
    """
    if not isinstance(scheduler, lr_scheduler.LRScheduler) or isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        kind = type(scheduler).__name__
        raise ValueError(f"scheduler: expected one of torch.optim.lr_scheduler, stepped without a score, got {kind}")
    if scheduler.optimizer is not optimizer:
        raise ValueError("scheduler: it belongs to another optimizer, whose learning rate it would change")
    last = scheduler.last_epoch + steps
    if steps and is_over(scheduler, last - per_epoch + 1, last):
        raise ValueError(
            f"scheduler: the learning rate is 0 in the whole last epoch, or the schedule ends before it; this "
            f"run takes {steps} steps ({per_epoch} in each epoch): make the schedule for as many"
        )


def is_over(scheduler: Any, first: int, last: int) -> bool:  # noqa: ANN401
    """Whether a schedule has no rate left from step `first` to step `last` of a run, counted from 1."""
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        start = scheduler._milestones[-1]
        return is_over(scheduler._schedulers[-1], max(first - start, 1), last - start)
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return last > scheduler.total_steps  # torch would raise an error there
    falls = isinstance(scheduler, lr_scheduler.LinearLR) and scheduler.end_factor == 0
    if falls or isinstance(scheduler, lr_scheduler.PolynomialLR):
        return first > scheduler.total_iters
    if not isinstance(scheduler, lr_scheduler.LambdaLR):
        return False
    steps = range(first - 1, last, max(1, (last - first) // 1000))
    rules = [rule for rate, rule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True) if rate]
    return bool(rules) and all(rule(step) == 0 for rule in rules for step in steps)


def length_of(loader: DataLoader[Any]) -> int | None:
    """Batches of an epoch; None for a stream that does not know."""
    with contextlib.suppress(TypeError):
        return len(loader)
    return None


def _check_data(name: str, loader: Any, model: nn.Module, precision: Precision) -> bool:  # noqa: ANN401
    """Refuse batches, outputs and labels that do not go together; False where not all labels could be looked at."""
    if not isinstance(loader, DataLoader):
        kind = type(loader).__name__
        raise ValueError(f"{name}: expected a DataLoader, such as loaders.array_loader returns, got {kind}")
    if length_of(loader) == 0:
        raise ValueError(f"{name}: the loader has no batch")
    labels = getattr(loader.dataset, "labels", None)
    labels = labels if isinstance(labels, Tensor) and labels.ndim == 2 else None
    if labels is not None and known(labels) == 0:
        raise ValueError(f"{name}: none of the {labels.numel()} labels is known (all are NaN or -1)")
    try:
        batch = _first_row(loader)
    except (KeyError, IndexError, TypeError, AttributeError):  # its sampler gives other keys than numbers
        return False
    if batch is None:
        return False
    try:
        inputs, targets = check_batch(batch)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    outputs = _outputs(name, model, inputs, precision)
    return outputs is not None and check_labels(name, outputs, targets, labels)


def _first_row(loader: DataLoader[Any]) -> Any:  # noqa: ANN401
    """A batch of the first row, without drawing from the loader; None where only iterating would give one."""
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset):
        return None
    if loader.batch_sampler is None:
        return loader.collate_fn(dataset[0])
    return loader.collate_fn(dataset.__getitems__([0]) if hasattr(dataset, "__getitems__") else [dataset[0]])


def _outputs(name: str, model: nn.Module, inputs: Mapping[str, Tensor], precision: Precision) -> Any:  # noqa: ANN401
    """What the model gives in evaluation mode; no random number is drawn and no module is changed."""
    model, device = unwrapped(model), resolve_device(model, None)
    with modes_kept(model), torch.no_grad(), torch.random.fork_rng(devices=[]), autocast(device, precision):
        for module in model.modules():  # `model.eval()` may be the caller's own, and do more
            module.training = False
        try:
            return model(**move(inputs, device))
        except torch.OutOfMemoryError:
            return None  # a training step will say how large its batch is
        except (TypeError, RuntimeError, IndexError) as error:
            shapes = {key: tuple(part.shape) for key, part in inputs.items()}
            raise ValueError(f"{name}: the model cannot take inputs {shapes}: {error}") from error


def check_labels(name: str, outputs: Any, labels: Tensor, data: Tensor | None = None) -> bool:  # noqa: ANN401
    """Refuse outputs that do not fit a batch's labels, and labels that are no probability or class number.

    Args:
        name: of the loader, for the messages.
        outputs: (B, L), or {head: (B, C)}.
        labels: (B, L) of the batch.
        data: (N, L) of the whole data set, where it is known, to look at in their place.

    Returns:
        Whether all labels of the data set were looked at.
    """
    heads = outputs if isinstance(outputs, Mapping) else {"": outputs}
    is_tensor = all(isinstance(part, Tensor) for part in heads.values())
    if not heads or not is_tensor or (heads is outputs and any(part.ndim != 2 for part in heads.values())):
        kind = type(outputs).__name__
        raise ValueError(f"{name}: expected logits (B, L) or {{head: (B, C)}} of the model, got {kind}")
    sizes = [(len(part), len(heads)) for part in heads.values()] if heads is outputs else [tuple(outputs.shape)]
    if any(size != labels.shape for size in sizes):
        shown = {head: tuple(part.shape) for head, part in heads.items()} if heads is outputs else sizes[0]
        way = "expected one column per label, or one column per head"
        raise ValueError(f"{name}: the model gives logits {shown} for labels {tuple(labels.shape)}: {way}")
    classes = [part.shape[-1] for part in heads.values()] if heads is outputs else [1] * labels.shape[1]
    is_whole = data is not None and data.shape[1] == labels.shape[1]
    values = (data if data is not None and is_whole else labels).float()
    top = torch.tensor([max(number - 1, 1) for number in classes], device=values.device)
    is_part = torch.tensor([number > 1 for number in classes], device=values.device) & (values != values.round())
    wrong = ((values < 0) & (values != -1)) | (values > top) | (is_part & values.isfinite())
    if wrong.any():
        row, column = (int(index) for index in wrong.nonzero()[0])
        number = classes[column]
        wanted = f"a class number from 0 to {number - 1}" if number > 1 else "a number from 0 to 1"
        raise ValueError(
            f"{name}: label {values[row, column].item():g} in row {row}, column {column} (counted from 0): expected "
            f"{wanted}, or NaN where it is unknown"
        )
    return is_whole
