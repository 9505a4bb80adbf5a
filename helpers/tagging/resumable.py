"""Resume a Lightning run only with its own data and settings, from where every process stood."""

import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.utilities.distributed import gather_all_tensors

from helpers import loops
from helpers.tagging.callbacks import check_clipping, check_finite, check_shares

_SCHEDULE = "scheduler "


class ModesKept(pl.Callback):
    """Put each module back into the mode, training or evaluation, in which it was before `fit`, also after an error."""

    def __init__(self) -> None:
        self.modes: list[tuple[nn.Module, bool]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the modes."""
        self.modes = [(module, module.training) for module in pl_module.modules()]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the modes after a run."""
        for module, training in self.modes:
            module.training = training
        self.modes = []

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the modes after an error."""
        self.teardown(trainer, pl_module, "")


class ResumableModule(pl.LightningModule):
    """Hooks that write what a run is into its checkpoints, and compare it before the run is resumed."""

    model: Any  # the module whose weights are trained
    loss: Any
    mean_losses: Any

    def __init__(self) -> None:
        super().__init__()
        self._restored: dict[str, Any] = {}
        self._run: dict[str, Any] = {}
        self._stopping: dict[str, Any] = {}
        self._idle = False

    def configure_callbacks(self) -> list[pl.Callback]:
        """Keep the modes of all modules."""
        return [ModesKept()]

    def setup(self, stage: str) -> None:
        """Note the settings of early stopping, which Lightning replaces by those of a checkpoint.

        Raises:
            ValueError: the gradient would be clipped to a negative length.
        """
        self._restored = {}  # of an earlier run
        trainer: Any = self.trainer
        stoppers = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]
        self._stopping = {f"patience for {one.monitor}": one.patience for one in stoppers}
        if stage == "fit":
            check_clipping(trainer)

    @property
    def _resumes(self) -> bool:
        """Whether the Trainer resumes a run: a checkpoint was passed, or SLURM started the job again."""
        trainer: Any = self.trainer
        requeued = getattr(trainer._checkpoint_connector, "_hpc_resume_path", None)
        return trainer.ckpt_path is not None or requeued is not None

    def on_fit_start(self) -> None:
        """Refuse loaders that are not shared among the processes, and a checkpoint of another run.

        Raises:
            ValueError: each process would train on the same rows, or on none.
            CheckpointError: data or settings are others than those of the run in the checkpoint.
        """
        trainer: Any = self.trainer
        trainer.fit_loop.setup_data()
        check_shares(trainer, trainer.train_dataloader, training=True)
        self._run = {"fingerprint": self._fingerprint(), "max_epochs": trainer.max_epochs}
        if self._resumes:
            _refuse_other_run(self._restored.get("run"), self._run, trainer.ckpt_path)
            # Lightning would train one more epoch after a run that was stopped early.
            stoppers = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]
            trainer.should_stop |= any(one.wait_count >= one.patience for one in stoppers)
        if not self.training:  # as `load_from_checkpoint` leaves it; single parts in evaluation mode stay in it
            self.train()
        self._idle = True  # until training starts

    def _fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the run, see `loops.fingerprint`, the same in all processes."""
        trainer: Any = self.trainer
        if not trainer.is_global_zero:
            return trainer.strategy.broadcast({})
        settings: dict[str, Any] = {
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "gradient_clip_val": trainer.gradient_clip_val or None,
            "gradient_clip_algorithm": trainer.gradient_clip_algorithm and str(trainer.gradient_clip_algorithm),
            "precision": str(trainer.precision),
            "limit_train_batches": trainer.limit_train_batches,
        }
        source = trainer.fit_loop.epoch_loop.val_loop._data_source
        valid = source.dataloader() if trainer.enable_validation else None
        schedulers = [one.scheduler for one in trainer.lr_scheduler_configs]
        result = loops.fingerprint(
            data=trainer.train_dataloader,
            loss=self.loss,
            model=self.model,
            optimizer=trainer.optimizers[0],
            scheduler=schedulers[0] if schedulers else None,
            valid=valid if isinstance(valid, DataLoader) else None,
            **settings | self._stopping,
        )
        return trainer.strategy.broadcast(result)

    def on_fit_end(self) -> None:
        """Say so when a finished run was read back and nothing was trained."""
        trainer: Any = self.trainer
        if self._idle and self._resumes and trainer.is_global_zero:
            done = f"{trainer.fit_loop.epoch_progress.current.processed} epochs"
            print(f"{trainer.ckpt_path}: this run is finished after {done}; read back, nothing was trained", flush=True)

    def on_train_epoch_start(self) -> None:
        """Tell a stream its epoch."""
        loader: Any = self.trainer.train_dataloader
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(self.current_epoch)

    def on_train_start(self) -> None:
        """Restore position, sums and random numbers from the checkpoint, each process its own."""
        self._idle = False
        restored, self._restored = self._restored, {}
        if not restored or not self.trainer.fit_loop.restarting:
            return  # a checkpoint that was opened to begin another run with its weights
        if (loader := restored.get("loader")) is not None:
            train: Any = self.trainer.train_dataloader
            train.load_state_dict(loader)
        if loader is not None and loader["batches"] and self.global_rank == 0:
            self.mean_losses["train_rows"].sums = restored["sums"].sum(0).to(self.device)
        if len(restored["cpu"]) != self.trainer.world_size:
            warnings.warn("another number of processes than before: dropout draws other numbers", stacklevel=2)
            return
        torch.set_rng_state(restored["cpu"][self.global_rank].clone())
        if self.device.type == "cuda" and "cuda" in restored:
            torch.cuda.set_rng_state(restored["cuda"][self.global_rank].clone(), self.device)

    def on_validation_start(self) -> None:
        """Check the shares of the processes, and in a run the weights.

        Raises:
            ValueError: a process would read the rows of another number of processes.
            LossError: weights are not finite.
        """
        trainer: Any = self.trainer
        check_shares(trainer, trainer.val_dataloaders, training=False)
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            check_finite(self.model, self.current_epoch)

    def on_test_start(self) -> None:
        """Check the shares of the processes, as in validation."""
        check_shares(self.trainer, self.trainer.test_dataloaders, training=False)

    def on_predict_start(self) -> None:
        """Check the shares of the processes, as in validation."""
        check_shares(self.trainer, self.trainer.predict_dataloaders, training=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the run is, and where every process is: its random numbers and sums, and the next row.

        Raises:
            LossError: weights are not finite; the file of an earlier checkpoint stays as it is.
        """
        trainer: Any = self._trainer
        check_finite(self.model, 0 if trainer is None else self.current_epoch)
        own: dict[str, Tensor] = {"cpu": torch.get_rng_state(), "sums": self.mean_losses["train_rows"].sums}
        if self.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(self.device)
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        states = {name: gather_all_tensors(one.to(self.device)) if several else [one] for name, one in own.items()}
        kept: dict[str, Any] = {name: torch.stack(list(result)).cpu() for name, result in states.items()}
        loader: Any = getattr(trainer, "train_dataloader", None)
        if hasattr(loader, "state_dict"):
            kept["loader"] = loader.state_dict()
        if self._run:
            kept["run"] = self._run
        checkpoint["resume"] = kept
        # What torch.compile wraps has other names; a checkpoint has those of the tagger.
        checkpoint["state_dict"] = {_plain_name(name): value for name, value in checkpoint["state_dict"].items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the run was until training starts."""
        self._restored = checkpoint.get("resume", {})
        own = {_plain_name(name): name for name, _ in self.named_parameters()}
        own |= {_plain_name(name): name for name, _ in self.named_buffers()}
        if "state_dict" in checkpoint:
            checkpoint["state_dict"] = {own.get(name, name): part for name, part in checkpoint["state_dict"].items()}


def _refuse_other_run(saved: dict[str, Any] | None, own: dict[str, Any], path: Any) -> None:  # noqa: ANN401
    """Refuse to resume a run whose data or settings have changed since.

    Args:
        saved: `fingerprint` and `max_epochs` in the checkpoint; None where it has none.
        own: the same of this run.
        path: of the checkpoint, for the message.

    Raises:
        CheckpointError: each difference by name, with both values.
    """
    if saved is None:
        raise loops.CheckpointError(
            f"{path} does not say which run it is of (an earlier version wrote it, or another module). Begin a "
            "new run with its weights: CommentTagger.load_from_checkpoint(path), then fit without ckpt_path"
        )
    before, now = saved["fingerprint"], own["fingerprint"]
    changed = [name for name in before | now if before.get(name) != now.get(name)]
    if changed and all(name.startswith(_SCHEDULE) for name in changed) and saved["max_epochs"] != own["max_epochs"]:
        raise loops.CheckpointError(
            f"{path}: max_epochs was {saved['max_epochs']} and is {own['max_epochs']}, and the schedule of the "
            f"learning rate, which ends at 0, was made for the former. Set max_epochs back to {saved['max_epochs']} or "
            "begin a new run with these weights: CommentTagger.load_from_checkpoint(path), then fit without ckpt_path"
        )
    loops.refuse_other(before, now, where=str(path))


def _plain_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
