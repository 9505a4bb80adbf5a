"""The tagger as a Lightning module: `BertTagger`, the losses, the schedule and the scores of the course."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from helpers import config, loops, losses, models
from helpers.arguments import check_choice, check_count, check_number
from helpers.loaders.row_order import check_batch
from helpers.models.bert import Pooling
from helpers.models.encoders import build_encoder, longest_input
from helpers.tagger_settings import checked_thresholds
from helpers.tagging.callbacks import KnownMean, LabelAUROC, check_finite, check_monitors, rows_of
from helpers.tagging.resumable import ResumableModule

Loss = Literal["bce", "focal", "asymmetric"]
STAGES = ("train", "valid", "test")


class CommentTagger(ResumableModule):
    """An encoder with one head, trained as `loops.fit` trains it: after the same steps the weights are the same.

    A step's loss is divided once by the known labels of all its batches on all processes, so that batches accumulated,
    or shared among processes, make the step that one large batch would make. Weights, optimizer, schedule, order of
    the rows and random numbers are in a checkpoint: a run that was killed resumes where it was.

    Logged: `train_loss`, `valid_loss`, `valid_auc` (the mean over labels that have both classes), and by label
    `train_auc/NAME` and `valid_auc/NAME`; for the test rows likewise.

    Args:
        labels: names of the L labels, in the order of the logits.
        encoder: as `models.load_encoder` takes it.
        pooling: as `models.BertTagger` takes it.
        dropout: before the head.
        loss: `bce`, `focal` or `asymmetric`, see `losses`.
        lr: peak learning rate of the head.
        weight_decay: of all matrices.
        layer_decay: as `models.parameter_groups` takes it.
        warmup: steps until the peak; a float is the share of all steps.
        thresholds: by label, from which probability on it is given; 0.5 where none is named, inf for never.
        max_length: length at which texts are cut; kept with the weights for those who predict.
        train_auc: log the AUC by label on the training rows as well.
        encoder_config: of the encoder, plain values; a checkpoint holds it, so that opening one needs no other file.

    Raises:
        ValueError: no label, a label named twice, thresholds for other labels, another loss.

    Examples:
        >>> import pytorch_lightning as pl
        >>> from transformers import BertConfig
        >>> from helpers import datasets, tagging
        >>> comments = datasets.subsample(datasets.load_comments(), 100)
        >>> data = tagging.CommentDataModule(comments, valid=0.2, max_length=16)
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tagger = tagging.CommentTagger(data.labels, encoder_config=settings.to_dict())  # a small one, to be quick
        >>> options = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        >>> options |= {"accelerator": "cpu", "enable_progress_bar": False, "use_distributed_sampler": False}
        >>> with tagging.quiet():
        ...     trainer = pl.Trainer(max_epochs=1, **options)
        ...     trainer.fit(tagger, data)
        >>> trainer.global_step, "valid_loss" in trainer.callback_metrics
        (3, True)
    """

    mean_losses: Any  # an nn.ModuleDict of KnownMean, by stage
    areas: Any  # an nn.ModuleDict of LabelAUROC, by stage

    def __init__(
        self,
        labels: Sequence[str],
        *,
        encoder: str = config.PACKAGED_ENCODER,
        pooling: Pooling = "mean",
        dropout: float = 0.1,
        loss: Loss = "bce",
        lr: float = 5e-5,
        weight_decay: float = 0.01,
        layer_decay: float = 1.0,
        warmup: float | int = 0.1,
        thresholds: Mapping[str, float] | None = None,
        max_length: int = 128,
        train_auc: bool = True,
        encoder_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        names = [] if isinstance(labels, str) else [str(name) for name in labels]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"labels={labels!r}: expected a list of different names, at least one")
        labels, encoder = names, str(encoder)
        check_choice("loss", loss, ("bce", "focal", "asymmetric"))
        check_choice("pooling", pooling, ("mean", "cls", "pooler"))
        lr, weight_decay = check_number("lr", lr, above=0), check_number("weight_decay", weight_decay, at_least=0)
        layer_decay = check_number("layer_decay", layer_decay, above=0, at_most=1)
        dropout = check_number("dropout", dropout, at_least=0, below=1)
        max_length = check_count("max_length", max_length)
        warmup = _checked_warmup(warmup)
        thresholds = checked_thresholds(labels, {} if thresholds is None else thresholds)
        built: Any = models.load_encoder(encoder).model if encoder_config is None else build_encoder(encoder_config)
        if (longest := longest_input(built)) is not None and max_length > longest:
            raise ValueError(f"max_length={max_length}: the encoder reads at most {longest} tokens")
        encoder_config = json.loads(built.config.to_json_string(use_diff=False))
        self.save_hyperparameters()
        # Lightning's command line saves what it was given, not what became of it; NumPy's numbers could not be loaded.
        self.hparams.update(labels=labels, encoder=encoder, thresholds=thresholds, encoder_config=encoder_config)
        self.hparams.update(lr=lr, weight_decay=weight_decay, layer_decay=layer_decay, warmup=warmup, dropout=dropout)
        self.hparams.update(max_length=max_length, train_auc=bool(train_auc))
        self.hparams.pop("_instantiator", None)
        self.model = models.BertTagger(built, len(labels), pooling=pooling, dropout=dropout)
        self.model.train()
        self.lr = lr  # where the learning rate finder looks for it
        self.loss = getattr(losses, loss)
        self.mean_losses = nn.ModuleDict({f"{stage}_rows": KnownMean() for stage in STAGES})
        self.areas = nn.ModuleDict({f"{stage}_rows": LabelAUROC(labels) for stage in STAGES})
        self._step_known, self._batch_known, self._noted = 0, 0, 0
        self._step_loss: float | Tensor = 0.0

    @property
    def labels(self) -> list[str]:
        """Names of the L labels."""
        return self.hparams["labels"]

    @property
    def thresholds(self) -> dict[str, float]:
        """By label, from which probability on it is given. A checkpoint that is saved after a change has the change."""
        return self.hparams["thresholds"]

    @thresholds.setter
    def thresholds(self, thresholds: Mapping[str, float]) -> None:
        self.hparams["thresholds"] = checked_thresholds(self.labels, thresholds)

    def setup(self, stage: str) -> None:
        """Refuse data of other labels, and callbacks that watch a score which is never logged.

        Raises:
            ValueError: the data module's labels are others, or in another order; an unknown monitor.
        """
        super().setup(stage)
        self._step_known, self._step_loss, self._noted = 0, 0.0, 0
        trainer: Any = self.trainer
        if stage == "fit" and type(self) is CommentTagger:  # others may log more
            check_monitors(trainer, self.labels, train_auc=self.hparams["train_auc"])
        theirs = getattr(trainer.datamodule, "labels", self.labels)
        if list(theirs) != self.labels:
            raise ValueError(
                f"the data have the labels {list(theirs)}, the tagger {self.labels}: name them in one order"
            )

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits (B, L)."""
        if len(inputs["input_ids"]) == 0:
            # A process without rows of a small last batch must take part in the step all the same.
            return self.model(**{name: part.new_ones((1, 1)) for name, part in inputs.items()})[:0]
        return self.model(**inputs)

    def on_before_batch_transfer(self, batch: tuple[dict[str, Tensor], Tensor], dataloader_idx: int) -> Any:  # noqa: ANN401
        """Check the form of a batch; count its known labels while they are on the CPU.

        Raises:
            ValueError: no batch `(inputs, labels)`.
        """
        self._batch_known = int((check_batch(batch)[1] >= 0).sum())
        return batch

    def training_step(self, batch: tuple[dict[str, Tensor], Tensor], batch_idx: int) -> Tensor:
        """The batch's share of the step's loss."""
        logits, targets = self(**batch[0]), batch[1]
        value, known = self.loss(logits, targets), self._batch_known
        self._step_known += known
        self._step_loss = self._step_loss + value.detach()
        self._note("train", value.detach(), known, logits, targets)
        self.log("train_loss_step", value.detach(), batch_size=max(known, 1))
        return value * (known / self._full_batch)

    @property
    def _full_batch(self) -> float:
        """Known labels of a batch of one process where it is full and nothing is unknown."""
        loader: Any = self.trainer.train_dataloader
        rows = getattr(getattr(loader, "batch_sampler", None), "batch_size", None) or loader.dataset.batch_size
        return rows * len(self.labels) / self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Divide the gradient once by what was known in all batches of the step; Lightning clips after this.

        Raises:
            LossError: the loss of one of the batches is not finite.
        """
        value, self._step_loss = float(self._step_loss), 0.0
        if not math.isfinite(value):
            position = f"epoch {self.current_epoch + 1}, batch {self.trainer.fit_loop.batch_idx + 1}"
            raise loops.LossError(f"the loss is {value} at {position}")
        known = self.trainer.strategy.reduce(torch.tensor(float(self._step_known), device=self.device), reduce_op="sum")
        self._step_known = 0
        full = self._full_batch * self.trainer.world_size * self.trainer.accumulate_grad_batches
        share = full / max(known.item(), 1.0)
        if share != 1:
            for weight in self.parameters():
                if weight.grad is not None:
                    weight.grad.mul_(share)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as Lightning does; sharded (FSDP), by the wrapped model, which knows all shards."""
        whole: Any = self.trainer.model
        if gradient_clip_val and gradient_clip_algorithm in (None, "norm") and hasattr(whole, "clip_grad_norm_"):
            whole.clip_grad_norm_(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def validation_step(self, batch: tuple[dict[str, Tensor], Tensor], batch_idx: int) -> None:
        """Note a batch of the validation set."""
        self._look("valid", batch)

    def test_step(self, batch: tuple[dict[str, Tensor], Tensor], batch_idx: int) -> Tensor:
        """Note a batch of the test set; its probabilities (B, L), for callbacks that keep them."""
        return torch.sigmoid(self._look("test", batch).float())

    def predict_step(
        self, batch: tuple[dict[str, Tensor], Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Predict probabilities (B, L), float32, with their `rows` (B,) of the data set; see `tagging.predict_proba`.

        Raises:
            ValueError: the order of the loader's rows cannot be known.
        """
        rows = rows_of(self.trainer, batch, batch_idx, dataloader_idx)
        return {"rows": rows, "probabilities": torch.sigmoid(self(**batch[0]).float())}

    def _look(self, stage: str, batch: tuple[dict[str, Tensor], Tensor]) -> Tensor:
        logits, targets = self(**batch[0]), batch[1]
        self._note(stage, self.loss(logits, targets), self._batch_known, logits, targets)
        return logits

    def _note(self, stage: str, value: Tensor, known: int, logits: Tensor, targets: Tensor) -> None:
        self._noted += stage == "train"
        if known:
            self.mean_losses[f"{stage}_rows"].update(value, known)
        if stage != "train" or self.hparams["train_auc"]:
            self.areas[f"{stage}_rows"].update(logits, targets)

    def on_train_epoch_end(self) -> None:
        """Log the training curves; weights that are not finite end the run."""
        check_finite(self.model, self.current_epoch)
        self._tell("train")

    def on_validation_epoch_end(self) -> None:
        """Log the valid curves."""
        self._tell("valid")

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        self._tell("test")

    def _tell(self, stage: str) -> None:
        mean, auc = self.mean_losses[f"{stage}_rows"], self.areas[f"{stage}_rows"]
        if stage == "train":
            batches, self._noted = self._noted, 0
            if batches and torch.isnan(mean.compute()):  # a loss of NaN has ended the run before
                raise ValueError("no label of the training set is known: there is nothing to learn from")
        # Every process has the same values: sync_dist only says so to Lightning.
        self.log(f"{stage}_loss", mean.compute(), sync_dist=True)
        if stage != "train" or self.hparams["train_auc"]:
            areas = auc.compute()
            by_label = dict(zip(self.labels, areas, strict=True))
            self.log_dict({f"{stage}_auc/{name}": area for name, area in by_label.items()}, sync_dist=True)
            if stage != "train":
                self.log(f"{stage}_auc", areas.nanmean(), sync_dist=True)
        mean.reset()
        auc.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and a line to zero over the steps of the whole run, as in `loops.linear_warmup`."""
        decay, layers = self.hparams["weight_decay"], self.hparams["layer_decay"]
        model = getattr(self.model, "_orig_mod", self.model)  # its names tell matrices from biases
        groups = models.parameter_groups(model, lr=self.lr, weight_decay=decay, layer_decay=layers)
        # Fused, the optimizer would unscale mixed precision's gradients by itself, and Lightning could not clip them.
        optimizer = torch.optim.AdamW(groups, lr=self.lr, fused=not self.trainer.precision.endswith("-mixed"))
        trainer: Any = self.trainer
        steps, warmup = trainer.estimated_stepping_batches, self.hparams["warmup"]
        if math.isinf(steps):
            raise ValueError("the schedule needs the length of the run: set max_epochs or max_steps of the Trainer")
        if isinstance(warmup, int) and (trainer.fast_dev_run or trainer.max_steps != -1):
            warmup = min(warmup, int(steps))  # a trial run
        schedule = loops.linear_warmup(optimizer, steps=int(steps), warmup=warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the run was until training starts; drop a pooler that the encoder did not have.

        Raises:
            ValueError: the checkpoint is that of other labels.
        """
        saved = checkpoint.get("hyper_parameters", {}).get("labels", self.labels)
        if list(saved) != self.labels:
            raise ValueError(f"the checkpoint has the labels {list(saved)}, the tagger {self.labels}")
        names = checkpoint.get("state_dict", {})
        if names and not any(name.startswith("model.encoder.pooler.") for name in names):
            self.model.encoder.pooler = None
        super().on_load_checkpoint(checkpoint)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # what is not named here goes by name alone
        cls,
        checkpoint_path: str | Path | IO[Any],
        map_location: Any = "cpu",  # noqa: ANN401
        *,
        weights_only: bool = True,
        **changes: Any,  # noqa: ANN401
    ) -> "CommentTagger":
        """A tagger from a Lightning checkpoint, in evaluation mode: tensors and plain values, nothing that can run.

        Args:
            checkpoint_path: of the file; it holds all that is needed.
            map_location: the device.
            weights_only: leave it True for files that are not your own: False lets a file run code.
            changes: hyper-parameters to change.
        """
        result = super().load_from_checkpoint(checkpoint_path, map_location, weights_only=weights_only, **changes)
        result._restored = {}
        return result.eval()


def _checked_warmup(warmup: Any) -> float | int:  # noqa: ANN401
    """Steps, or a share of all steps as a float."""
    if hasattr(warmup, "__index__"):
        return check_count("warmup", warmup, at_least=0)
    return check_number("warmup", warmup, at_least=0, at_most=1)
