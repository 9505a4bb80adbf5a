"""What a run says: one line an epoch, and nothing else."""

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytorch_lightning as pl
from pytorch_lightning.tuner import lr_finder
from tqdm.auto import tqdm

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
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        # The learning rate finder draws a bar of its own, which no setting turns off.
        no_bar = mock.patch.object(lr_finder, "tqdm", functools.partial(tqdm, disable=True), create=True)
        with warnings.catch_warnings(), no_bar:
            for message in _CHATTER:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


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

    bar: Any  # of tqdm, while an epoch runs

    def __init__(self, *, bar: bool = True) -> None:
        super().__init__()
        self.with_bar, self.shown, self.bar, self.begun = bar, True, None, 0.0
        self.ended: tuple[int, float] | None = None

    def disable(self) -> None:
        """Say nothing; Lightning calls this on all processes but the first."""
        self.shown = False

    def enable(self) -> None:
        """Say something again."""
        self.shown = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of the epoch before, whose last scores came after its end, and begin a bar."""
        self._write_line(trainer)
        self._begin(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: object) -> None:
        """Move the bar on."""
        if self.bar is None:  # taken up in the middle of an epoch
            self._begin(trainer)
        self.bar.update(1)
        if self.shown and self.with_bar and self.bar.n % 10 == 0:
            loss = float(trainer.callback_metrics.get("train_loss_step", "nan"))
            self.bar.set_postfix_str(f"loss {loss:.4f}, lr {trainer.optimizers[0].param_groups[0]['lr']:.2g}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            self.ended = (trainer.current_epoch + 1, time.perf_counter() - self.begun)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last line."""
        self._write_line(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no half bar behind."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _begin(self, trainer: pl.Trainer) -> None:
        self.begun, batches = time.perf_counter(), trainer.num_training_batches
        options: dict[str, Any] = {"total": batches if batches != float("inf") else None, "leave": False}
        # None: no bar where the output is no terminal, such as a log file. A notebook is none either, but draws bars.
        drawn = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
        options["disable"] = (False if drawn else None) if self.shown and self.with_bar else True
        self.bar = tqdm(desc=f"epoch {trainer.current_epoch + 1}", **options)

    def _write_line(self, trainer: pl.Trainer) -> None:
        if self.ended is None:
            return
        (epoch, seconds), self.ended = self.ended, None
        if self.shown:
            found = trainer.callback_metrics
            names = [name for name in ("train_loss", "valid_loss", "valid_auc") if name in found]
            scores = ", ".join(f"{name.replace('_', ' ')} {float(found[name]):.4f}" for name in names)
            print(f"epoch {epoch}/{trainer.max_epochs}: {scores}, {seconds:.0f} s", flush=True)
