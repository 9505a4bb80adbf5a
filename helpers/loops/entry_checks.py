"""Check what `fit` is given, before anything is moved, trained or written."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import (
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.utils.data import DataLoader, IterableDataset

from helpers.arguments import check_list, check_mapping, check_number
from helpers.loops.prediction import Precision, autocast, known, move
from helpers.models.multi_head import refuse_backbone
from helpers.models.persistence import can_be_saved, unwrapped

_NUMBERS: dict[str, tuple[str, dict[str, float]]] = {
    "lr": ("learning rate", {"at_least": 0}),
    "weight_decay": ("weight decay", {"at_least": 0}),
    "momentum": ("momentum", {"at_least": 0, "below": 1}),
    "dampening": ("dampening", {"at_least": 0, "at_most": 1}),  # more turns the gradient around
    "eps": ("eps", {"at_least": 0}),
    "alpha": ("alpha", {"at_least": 0, "at_most": 1}),
    "lambd": ("lambd", {"at_least": 0}),
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


def check_loader(name: str, loader: Any) -> None:  # noqa: ANN401
    """Refuse what is no loader, an empty one, and labels none of which is known."""
    if not isinstance(loader, DataLoader):
        raise ValueError(
            f"{name}: expected a DataLoader, such as loaders.array_loader returns, got {type(loader).__name__}"
        )
    with contextlib.suppress(TypeError):  # a stream may have no length
        if len(loader) == 0:
            raise ValueError(f"{name}: the loader has no batch")
    labels = getattr(loader.dataset, "labels", None)
    if isinstance(labels, Tensor) and labels.ndim == 2 and known(labels) == 0:
        raise ValueError(f"{name}: none of the {labels.numel()} labels is known (all are NaN or -1)")


def check_batch(name: str, batch: Any) -> None:  # noqa: ANN401
    """Refuse a batch of another form than `(inputs, labels)`."""
    wanted = f"{name}: expected batches (inputs, labels), a dict of tensors for model(**inputs) and a tensor (B, L)"
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        shown = f"a {type(batch).__name__}" + (f" with {sorted(map(str, batch))}" if isinstance(batch, Mapping) else "")
        raise ValueError(f"{wanted}, got {shown}")
    inputs, labels = batch
    if not isinstance(inputs, Mapping) or not all(isinstance(part, Tensor) for part in inputs.values()):
        raise ValueError(f"{wanted}, got inputs of type {type(inputs).__name__}; name the model's argument: {{'x': x}}")
    if not isinstance(labels, Tensor) or labels.ndim != 2:
        shape = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else f"type {type(labels).__name__}"
        raise ValueError(f"{wanted}, got labels of {shape}; one label per row is a column: labels.reshape(-1, 1)")


def check_outputs(name: str, out: Any, labels: Tensor) -> list[int]:  # noqa: ANN401
    """Refuse outputs that do not fit the labels, and return the number of classes by label, 1 for yes or no."""
    if isinstance(out, Tensor):
        if out.shape != labels.shape:
            raise ValueError(f"{name}: the model gives logits {tuple(out.shape)} for labels {tuple(labels.shape)}")
        return [1] * labels.shape[1]
    if not isinstance(out, Mapping) or not all(isinstance(part, Tensor) and part.ndim == 2 for part in out.values()):
        raise ValueError(f"{name}: expected logits (B, L) or {{head: (B, C)}} of the model, got {type(out).__name__}")
    if len(out) != labels.shape[1] or any(len(part) != len(labels) for part in out.values()):
        shapes = {head: tuple(part.shape) for head, part in out.items()}
        raise ValueError(f"{name}: the model gives {shapes} for labels {tuple(labels.shape)}: one column per head")
    return [part.shape[1] for part in out.values()]


def check_targets(name: str, labels: Tensor, classes: list[int]) -> None:
    """Refuse labels that are neither unknown (NaN, -1) nor from 0 to 1, or no class number of a head with classes."""
    labels = labels.float()
    top = torch.tensor([max(number - 1, 1) for number in classes], device=labels.device)
    is_class = torch.tensor([number > 1 for number in classes], device=labels.device)
    wrong = (
        ((labels < 0) & (labels != -1)) | (labels > top) | (is_class & labels.isfinite() & (labels != labels.round()))
    )
    if wrong.any():
        row, column = (int(index) for index in wrong.nonzero()[0])
        number = classes[column]
        wanted = f"a class number from 0 to {number - 1}" if number > 1 else "a number from 0 to 1"
        raise ValueError(
            f"{name}: label {labels[row, column].item():g} in row {row}, column {column} (counted from 0): expected "
            f"{wanted}, or NaN where it is unknown"
        )


def check_optimizer(model: nn.Module, optimizer: Optimizer, loss: object) -> None:
    """Refuse an optimizer that trains nothing of this model, or something else, or uphill."""
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, LBFGS):
        raise ValueError(
            f"optimizer: expected one of torch.optim that needs no closure, got {type(optimizer).__name__}"
        )
    held = [weight for group in optimizer.param_groups for weight in group["params"]]
    learnable = [*model.parameters(), *(loss.parameters() if isinstance(loss, nn.Module) else [])]
    own = {id(weight) for weight in learnable}
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
        for size in group.get("step_sizes", ()):  # of Rprop
            check_number(f"step_sizes of parameter group {number}", size, above=0)
        for key, (words, limits) in _NUMBERS.items():
            for value in (group.get(kept) for kept in ([key, "initial_lr"] if key == "lr" else [key])):
                if value is not None:
                    check_number(f"{words} of parameter group {number}", value, **limits)
    if not any(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups):
        warnings.warn("every learning rate is 0: no weight will change", stacklevel=4)


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
    check_optimizer(model, optimizer, loss)
    all_checked = check_data("train", train, model, precision)
    if valid is not None:
        check_data("valid", valid, model, precision)
    warn_of_modes(model)
    return all_checked


def length_of(loader: DataLoader[Any]) -> int | None:
    """Batches of an epoch; None for a stream that does not know."""
    try:
        return len(loader)
    except TypeError:
        return None


def steps_of(loader: DataLoader[Any], epochs: int, accumulate: int) -> int:
    """Optimizer steps of some epochs; 0 where they are unknown."""
    return epochs * -(-(length_of(loader) or 0) // accumulate)


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


def check_schedule(
    scheduler: Any,  # noqa: ANN401
    optimizer: Optimizer,
    steps: int,
    per_epoch: int,
    *,
    done: int = 0,
) -> None:
    """Refuse a schedule of another optimizer, one that needs a score, and one that is over before the last epoch.

    `done` counts the steps that the schedule has taken before this run; unknown steps are 0.
    """
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            f"scheduler: expected one of torch.optim.lr_scheduler that is stepped without a score, "
            f"got {type(scheduler).__name__}"
        )
    if scheduler.optimizer is not optimizer:
        raise ValueError("scheduler: it belongs to another optimizer, whose learning rate it would change")
    if steps and is_over(scheduler, done + steps - per_epoch + 1, done + steps):
        raise ValueError(
            f"scheduler: the learning rate is 0 in the whole last epoch, or the schedule ends before it; this "
            f"run takes {steps} steps ({per_epoch} in each epoch): make the schedule for as many"
        )


def check_steps(scheduler: Any, optimizer: Optimizer, *, steps: int, epochs: int, is_new: bool) -> None:  # noqa: ANN401
    """Refuse a schedule that does not fit the steps of a run; of a run that is resumed, its checkpoint says more."""
    if scheduler is not None:
        done = getattr(scheduler, "last_epoch", 0)
        check_schedule(scheduler, optimizer, steps if is_new else 0, steps // epochs, done=done)


def is_over(scheduler: Any, first: int, last: int) -> bool:  # noqa: ANN401
    """Whether a schedule has no rate left from step `first` to step `last` of a run, counted from 1."""
    if isinstance(scheduler, SequentialLR):
        start = scheduler._milestones[-1]
        return is_over(scheduler._schedulers[-1], max(first - start, 1), last - start)
    if isinstance(scheduler, OneCycleLR) and last > scheduler.total_steps:
        return True  # torch would raise an error there
    if isinstance(scheduler, PolynomialLR) or (isinstance(scheduler, LinearLR) and scheduler.end_factor == 0):
        return first > scheduler.total_iters
    if not isinstance(scheduler, LambdaLR):
        return False
    steps = range(first - 1, last, max(1, (last - first) // 1000))
    rules = list(zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True))
    return any(rate for rate, _ in rules) and all(rate * rule(step) == 0 for rate, rule in rules for step in steps)


def first_row(loader: DataLoader[Any]) -> Any:  # noqa: ANN401
    """A batch of the first row, without drawing from the loader; None where only iterating would give one."""
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset):
        return None
    if loader.batch_sampler is None:
        return loader.collate_fn(dataset[0])
    return loader.collate_fn(dataset.__getitems__([0]) if hasattr(dataset, "__getitems__") else [dataset[0]])


def check_data(name: str, loader: DataLoader[Any], model: nn.Module, precision: Precision) -> bool:
    """Refuse batches, outputs and labels that do not go together; False where not all labels could be looked at."""
    check_loader(name, loader)
    try:
        batch = first_row(loader)
    except (KeyError, IndexError, TypeError, AttributeError):  # its sampler gives other keys than numbers
        return False
    if batch is None:
        return False
    check_batch(name, batch)
    out = _outputs(name, model, batch[0], precision)
    if out is None:
        return False
    classes = check_outputs(name, out, batch[1].to(_device(model)))
    labels = getattr(loader.dataset, "labels", None)
    whole = isinstance(labels, Tensor) and labels.ndim == 2 and labels.shape[1] == len(classes)
    check_targets(name, labels if isinstance(labels, Tensor) and whole else batch[1], classes)
    return whole


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _outputs(name: str, model: nn.Module, inputs: dict[str, Tensor], precision: Precision) -> Any:  # noqa: ANN401
    """What the model gives in evaluation mode; no random number is drawn and no module is changed."""
    model, device = unwrapped(model), str(_device(model))
    with modes_kept(model), torch.no_grad(), torch.random.fork_rng(devices=[]), autocast(device, precision):
        for module in model.modules():
            module.training = False
        try:
            return model(**move(inputs, device))
        except torch.OutOfMemoryError:
            return None  # a training step will say how large its batch is
        except (TypeError, RuntimeError, IndexError) as error:
            shapes = {key: tuple(part.shape) for key, part in inputs.items()}
            raise ValueError(f"{name}: the model cannot take inputs {shapes}: {error}") from error


@contextlib.contextmanager
def modes_kept(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Give a function that puts a model into training mode, and leave each module in the mode in which it was.

    A module that was in evaluation mode, in a model that was not, stays in it: its dropout and batch norm were switched
    off on purpose. A model that is in evaluation mode as a whole is trained as a whole.
    """
    before = [(module, module.training) for module in model.modules()]
    some = any(training for _, training in before)
    kept = [module for module, training in before if some and not training]

    def train() -> None:
        model.train()
        for module in kept:
            module.training = False

    try:
        yield train
    finally:
        for module, training in before:
            module.training = training


def warn_of_modes(model: nn.Module) -> None:
    """Warn of modules that are in evaluation mode, in a model that is not, and would be trained so."""
    if not model.training:
        return
    names = [name for name, module in model.named_modules() if not module.training and any(_trained(module))]
    tops = [name for name in names if name.rpartition(".")[0] not in names]
    if tops:
        warnings.warn(
            f"{', '.join(tops[:5])}: in evaluation mode, and stays in it: its weights are trained without dropout and "
            "with fixed batch norm. Call model.train() first where that is not meant",
            stacklevel=3,
        )


def _trained(module: nn.Module) -> Iterator[bool]:
    return (weight.requires_grad for weight in module.parameters())


def weights_are_finite(model: nn.Module) -> bool:
    """Whether no trained weight and no running statistic of a batch norm is infinite or NaN."""
    tensors: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._NormBase)]
    tensors += [buffer for module in norms for buffer in module.buffers() if buffer.is_floating_point()]
    ends = [end for tensor in tensors if tensor.numel() for end in tensor.detach().aminmax()]
    return all(math.isfinite(float(end)) for end in ends)
