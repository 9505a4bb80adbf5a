"""What a run prints, one line per epoch, and what guards it: shares of processes, finite weights, resuming."""

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.tuner import lr_finder
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from tqdm.auto import tqdm

from helpers import loops
from helpers.arguments import check_number
from helpers.loaders.batches import refuse_reordered
from helpers.loops.checkpoints import refuse_other
from helpers.loops.fingerprints import fingerprint

_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
_CHATTER = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*treespec.*",
    ".*Trying to infer the `batch_size`.*",
    ".*custom batch sampler `(Epoch|Length)BatchSampler` for prediction.*",
    ".*but have no `val_dataloader`.*",
    ".*You have overridden `on_before_batch_transfer` in `LightningModule`.*",
    ".*`IterableDataset` has `__len__` defined.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
)
_UNSHARED = (RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler)
_SETTINGS = (
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "precision",
    "limit_train_batches",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's announcements off the screen: what hardware was found, tips, advice on worker processes.

    Errors, and warnings of anything else, are shown.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from helpers import tagging
        >>> with tagging.quiet():  # else it says what hardware it found, and more
        ...     trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    # The learning rate finder draws a bar of its own, which no setting turns off.
    no_bar = mock.patch.object(lr_finder, "tqdm", functools.partial(tqdm, disable=True), create=True)
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), no_bar:
            for message in _CHATTER:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class EpochLines(pl.callbacks.ProgressBar):
    """A bar while an epoch runs, which goes away, and a line when it is over: readable in a notebook and in a log file.

    Args:
        bar: show the bar; False leaves the lines alone.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from helpers import tagging
        >>> with tagging.quiet():
        ...     trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[tagging.EpochLines(bar=False)])
        >>> type(trainer.progress_bar_callback).__name__
        'EpochLines'
    """

    def __init__(self, *, bar: bool = True) -> None:
        super().__init__()
        self.with_bar, self.shown, self.begun = bar, True, 0.0
        self.bar: Any = None  # of tqdm, while an epoch runs
        self.ended: tuple[int, float] | None = None  # an epoch and its seconds, until its line is written

    def disable(self) -> None:
        """Print nothing; Lightning calls this on all processes but the first."""
        self.shown = False

    def enable(self) -> None:
        """Print lines again."""
        self.shown = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of the epoch before, whose last scores came after its end, and begin a bar."""
        self._write_line(trainer)
        self._begin(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: object) -> None:
        """Move the bar on."""
        if self.bar is None:  # resumed in the middle of an epoch
            self._begin(trainer)
        self.bar.update(1)
        if self.shown and self.with_bar and self.bar.n % 10 == 0:
            loss = float(trainer.callback_metrics.get("train_loss_step", "nan"))
            self.bar.set_postfix_str(f"loss {loss:.4f}, lr {trainer.optimizers[0].param_groups[0]['lr']:.2g}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.ended = (trainer.current_epoch + 1, time.perf_counter() - self.begun)
        self._close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last line."""
        self._write_line(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no half bar behind."""
        self._close()

    def _begin(self, trainer: pl.Trainer) -> None:
        self.begun, batches = time.perf_counter(), trainer.num_training_batches
        # None: no bar where the output is no terminal, such as a log file. A notebook is none either, but draws bars.
        drawn = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
        disable = (False if drawn else None) if self.shown and self.with_bar else True
        total = None if batches == float("inf") else batches
        self.bar = tqdm(desc=f"epoch {trainer.current_epoch + 1}", total=total, leave=False, disable=disable)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def _write_line(self, trainer: pl.Trainer) -> None:
        if self.ended is not None and self.shown:
            epoch, seconds = self.ended
            result = trainer.callback_metrics
            names = [name for name in ("train_loss", "valid_loss", "valid_auc") if name in result]
            scores = ", ".join(f"{name.replace('_', ' ')} {float(result[name]):.4f}" for name in names)
            print(f"epoch {epoch}/{trainer.max_epochs}: {scores}, {seconds:.0f} s", flush=True)
        self.ended = None


class ResumableRun(pl.Callback):
    """Resume a run only with its own data and settings, from where every process stood; `CommentTagger` adds it.

    It also refuses loaders that are not shared among the processes, before a run, an evaluation or a prediction, ends a
    run whose weights are not finite, and leaves each module in the mode, training or evaluation, in which it was.
    """

    def __init__(self) -> None:
        self.modes: list[tuple[nn.Module, bool]] = []
        self.restored: dict[str, Any] = {}  # from the checkpoint, until training starts
        self.run: dict[str, Any] = {}
        self.patience: dict[str, Any] = {}
        self.is_idle = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the modes, and the settings of early stopping, which Lightning replaces by those of a checkpoint.

        Raises:
            ValueError: the gradient would be clipped to a negative length.
        """
        self.restored = {}  # of an earlier run
        self.modes = [(module, module.training) for module in pl_module.modules()]
        self.patience = {f"patience for {one.monitor}": one.patience for one in _stoppers(trainer)}
        if stage == "fit" and trainer.gradient_clip_val is not None:
            check_number("gradient_clip_val", trainer.gradient_clip_val, at_least=0)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the modes after a run."""
        for module, training in self.modes:
            module.training = training
        self.modes = []

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the modes after an error."""
        self.teardown(trainer, pl_module, "")

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ANN401
        """Keep where the run was until training starts."""
        self.restored = checkpoint.get("resume", {})

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Refuse loaders that are not shared among the processes, and a checkpoint of another run.

        Raises:
            ValueError: each process would train on the same rows, or on none.
            CheckpointError: data or settings are others than those of the run in the checkpoint.
        """
        trainer.fit_loop.setup_data()
        check_shares(trainer, trainer.train_dataloader, training=True)
        self.run = {"fingerprint": self._fingerprint(trainer, pl_module), "max_epochs": trainer.max_epochs}
        if _resumes(trainer):
            _refuse_other_run(self.restored.get("run"), self.run, trainer.ckpt_path)
            # Lightning would train one more epoch after a run that was stopped early.
            trainer.should_stop |= any(one.wait_count >= one.patience for one in _stoppers(trainer))
        if not pl_module.training:  # as `load_from_checkpoint` leaves it; parts in evaluation mode stay in it
            pl_module.train()
        self.is_idle = True

    def _fingerprint(self, trainer: Any, pl_module: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the fingerprint of the run, see `loops.fingerprints`, the same in all processes."""
        if not trainer.is_global_zero:
            return trainer.strategy.broadcast({})
        settings = {name: getattr(trainer, name) or None for name in _SETTINGS}
        settings = {name: str(value) if isinstance(value, str) else value for name, value in settings.items()}
        valid = trainer.fit_loop.epoch_loop.val_loop._data_source.dataloader() if trainer.enable_validation else None
        result = fingerprint(
            data=trainer.train_dataloader,
            loss=pl_module.loss,
            model=pl_module.model,
            optimizer=trainer.optimizers[0],
            scheduler=next((one.scheduler for one in trainer.lr_scheduler_configs), None),
            valid=valid if isinstance(valid, DataLoader) else None,
            **settings | self.patience,
        )
        return trainer.strategy.broadcast(result)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Restore position, sums and random numbers from the checkpoint, each process its own."""
        self.is_idle, restored, self.restored = False, self.restored, {}
        if not restored or not trainer.fit_loop.restarting:
            return  # a checkpoint that was opened to begin another run with its weights
        if "loader" in restored:
            trainer.train_dataloader.load_state_dict(restored["loader"])
            if restored["loader"]["batches"] and trainer.is_global_zero:
                pl_module.mean_losses["train_rows"].sums = restored["sums"].sum(0).to(pl_module.device)
        if len(restored["cpu"]) != trainer.world_size:
            warnings.warn("another number of processes than before: dropout draws other numbers", stacklevel=2)
            return
        torch.set_rng_state(restored["cpu"][trainer.global_rank].clone())
        if pl_module.device.type == "cuda" and "cuda" in restored:
            torch.cuda.set_rng_state(restored["cuda"][trainer.global_rank].clone(), pl_module.device)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ANN401
        """Add what the run is, and where every process is: its random numbers and sums, and the next row."""
        states = {"cpu": torch.get_rng_state(), "sums": pl_module.mean_losses["train_rows"].sums}
        if pl_module.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(pl_module.device)
        kept: dict[str, Any] = {}
        for name, state in states.items():  # one row per process
            kept[name] = trainer.strategy.all_gather(state.to(pl_module.device)).reshape(-1, *state.shape).cpu()
        if hasattr(trainer.train_dataloader, "state_dict"):
            kept["loader"] = trainer.train_dataloader.state_dict()
        checkpoint["resume"] = kept | ({"run": self.run} if self.run else {})

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Print that a finished run was read back and nothing was trained."""
        if self.is_idle and _resumes(trainer) and trainer.is_global_zero:
            done = f"{trainer.fit_loop.epoch_progress.current.processed} epochs"
            print(f"{trainer.ckpt_path}: this run is finished after {done}; read back, nothing was trained", flush=True)

    def on_train_epoch_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:  # noqa: ANN401
        """Pass the epoch to a loader that asks for it: Lightning passes it to samplers alone."""
        if hasattr(trainer.train_dataloader, "set_epoch"):
            trainer.train_dataloader.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:  # noqa: ANN401
        """End the run where weights are not finite."""
        check_finite(pl_module.model, trainer.current_epoch)

    def on_validation_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:  # noqa: ANN401
        """Refuse loaders that give the rows of another process."""
        check_shares(trainer, getattr(trainer, f"{trainer.state.stage.dataloader_prefix}_dataloaders"))

    on_test_start = on_predict_start = on_validation_start


def _stoppers(trainer: Any) -> list[Any]:  # noqa: ANN401
    return [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]


def _resumes(trainer: Any) -> bool:  # noqa: ANN401
    """Whether the Trainer resumes a run: a checkpoint was passed, or SLURM started the job again."""
    requeued = getattr(trainer._checkpoint_connector, "_hpc_resume_path", None)
    return trainer.ckpt_path is not None or requeued is not None


def _refuse_other_run(saved: dict[str, Any] | None, own: dict[str, Any], path: Any) -> None:  # noqa: ANN401
    """Refuse to resume a run (`fingerprint` and `max_epochs`) whose data or settings have changed, each by name."""
    anew = "a new run with its weights: CommentTagger.load_from_checkpoint(path), then fit without ckpt_path"
    if saved is None:
        raise loops.CheckpointError(
            f"{path} does not say which run it is of (an earlier version wrote it, or another module). Begin {anew}"
        )
    before, now = saved["fingerprint"], own["fingerprint"]
    changed = [name for name in before | now if before.get(name) != now.get(name)]
    old, new = saved["max_epochs"], own["max_epochs"]
    if old != new and changed and all(name.startswith("scheduler ") for name in changed):
        raise loops.CheckpointError(
            f"{path}: max_epochs was {old} and is {new}, and the schedule of the learning rate, which ends at 0, was "
            f"made for the former. Set max_epochs back to {old} or begin {anew}"
        )
    refuse_other(before, now, where=str(path))


def check_monitors(trainer: Any, labels: Sequence[str], *, train_auc: bool) -> None:  # noqa: ANN401
    """Refuse callbacks that monitor what is never logged, or that would keep the worst of a score.

    Raises:
        ValueError: with the names to choose from.
    """
    modes = {"train_loss": "min", "train_loss_step": "min", "epoch": None, "step": None}
    modes |= {f"train_auc/{label}": "max" for label in labels if train_auc}
    if trainer.enable_validation:
        modes |= {"valid_loss": "min", "valid_auc": "max"} | {f"valid_auc/{label}": "max" for label in labels}
    for callback in trainer.callbacks:
        if not isinstance(callback, EarlyStopping | ModelCheckpoint) or callback.monitor is None:
            continue
        call = f"{type(callback).__name__}(monitor={callback.monitor!r}"
        if callback.monitor not in modes:
            unseen = "" if trainer.enable_validation else "; without a validation set there is no valid_loss"
            raise ValueError(f"{call}): expected one of {', '.join(modes)}{unseen}")
        if (mode := modes[callback.monitor]) not in (None, callback.mode):
            raise ValueError(f"{call}, mode={callback.mode!r}): expected mode={mode!r}")


def check_shares(trainer: pl.Trainer, loaders: Any, *, training: bool = False) -> None:  # noqa: ANN401
    """Refuse loaders that do not give each of several processes its own rows.

    Args:
        trainer: of the run.
        loaders: one loader, or several.
        training: rows that all processes have in common are refused; in an evaluation they change no score.

    Raises:
        ValueError: rows that no process or every process would read; the message says how to share them.
    """
    process = (trainer.global_rank, trainer.world_size)
    for loader in [part for part in CombinedLoader(loaders).flattened if isinstance(part, DataLoader)]:
        sampler: Any = loader.batch_sampler
        if hasattr(sampler, "world_size"):
            own = (sampler.rank, sampler.world_size)
            if own != process and (training or own != (0, 1)):
                raise ValueError(
                    f"the loader gives the share of rank {own[0]} of {own[1]}, and this is process {process[0]} of "
                    f"{process[1]}: pass loaders.token_loader(..., rank=trainer.global_rank, "
                    "world_size=trainer.world_size), or a CommentDataModule, which does so"
                )
        elif training and process[1] > 1 and type(getattr(sampler, "sampler", loader.sampler)) in _UNSHARED:
            raise ValueError(
                f"each of {process[1]} processes would train on all rows: pass use_distributed_sampler=True to the "
                "Trainer, a DistributedSampler to the DataLoader, or a CommentDataModule"
            )


def check_finite(module: nn.Module, epoch: int) -> None:
    """Refuse weights that are not finite; LossError names the first one."""
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise loops.LossError(
                f"the weights {name} are not finite in epoch {epoch + 1}: lower the learning rate, or clip the gradient"
            )


def rows_of(trainer: pl.Trainer, batch: Any, batch_idx: int, dataloader_idx: int) -> torch.Tensor:  # noqa: ANN401
    """Return positions (B,) of a batch's rows in its data set: the batch knows them, or Lightning has noted them."""
    if (rows := getattr(batch, "rows", None)) is not None:
        return rows
    loader: Any = CombinedLoader(trainer.predict_dataloaders).flattened[dataloader_idx]
    drawn = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", None)
    if not drawn or (loader.num_workers and not getattr(loader, "in_order", True)):
        raise ValueError(
            f"the order of the rows of a {type(loader).__name__} over a {type(loader.dataset).__name__} cannot be "
            "known: pass a loader of helpers.loaders, or a DataLoader over a data set with a length"
        )
    rows = torch.as_tensor(np.asarray(drawn[batch_idx], dtype=np.int64))
    if batch_idx == 0:
        refuse_reordered(loader, rows, *batch)
    return rows
