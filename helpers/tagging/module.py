"""The tagger as a Lightning module: `BertTagger`, the losses, the schedule and the scores of the course."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from helpers import config, loops, losses, metrics, models
from helpers.arguments import check_choice, check_count, check_names, check_number
from helpers.loaders.row_order import check_batch
from helpers.models.bert import Pooling
from helpers.models.encoders import build_encoder, longest_input
from helpers.models.persistence import clean_name
from helpers.tagger_settings import checked_thresholds
from helpers.tagging.callbacks import ResumableRun, check_finite, check_monitors, rows_of

Batch = tuple[dict[str, Tensor], Tensor]
Loss = Literal["bce", "focal", "asymmetric"]
STAGES = ("train", "valid", "test")


class LabelAUROC(Metric):
    """The ROC AUC of each label, exact, over all rows of all processes: `metrics.auc_by_label` at the end of an epoch.

    A label that is NaN in a row is left out of that row, and a label with one class only is NaN, where torchmetrics'
    `MultilabelAUROC` says 0 and drags the mean down. All rows are kept until then: 8 bytes per row and label.

    Args:
        labels: names of the L labels.

    Examples:
        >>> import torch
        >>> from helpers import tagging
        >>> areas = tagging.module.LabelAUROC(["toxic", "threat"])
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
        """(L,) AUC of each label, NaN where a label has one class only, or a logit that is NaN."""
        if len(self.logits) == 0 or not len(targets := dim_zero_cat(self.targets)):
            return torch.full((len(self.labels),), torch.nan, device=self.device)
        logits = dim_zero_cat(self.logits)
        known = (targets >= 0) & ~logits.isnan().any(dim=0)
        truth = torch.where(known, (targets >= 1).float(), torch.nan)
        areas = metrics.auc_by_label(truth, torch.sigmoid(logits).nan_to_num())
        return torch.tensor(areas.to_numpy(), dtype=torch.float32, device=self.device)


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
        """Add the mean of so many known labels; of none it may be NaN."""
        if known:
            self.sums = self.sums + torch.stack([value.to(self.sums) * known, self.sums.new_tensor(known)])

    def compute(self) -> Tensor:
        """Return the mean; NaN where nothing is known."""
        return self.sums[0] / self.sums[1]


class CommentTagger(pl.LightningModule):
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
        max_length: length at which texts are truncated, in tokens; kept with the weights for those who predict.
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
        labels = check_names("labels", [str(name) for name in check_names("labels", labels)])
        is_steps, encoder = hasattr(warmup, "__index__"), str(encoder)
        check_warmup: Any = check_count if is_steps else partial(check_number, at_most=1)
        checked: dict[str, Any] = {
            "labels": labels,
            "encoder": encoder,
            "pooling": check_choice("pooling", pooling, ("mean", "cls", "pooler")),
            "dropout": check_number("dropout", dropout, at_least=0, below=1),
            "loss": check_choice("loss", loss, ("bce", "focal", "asymmetric")),
            "lr": check_number("lr", lr, above=0),
            "weight_decay": check_number("weight_decay", weight_decay, at_least=0),
            "layer_decay": check_number("layer_decay", layer_decay, above=0, at_most=1),
            "warmup": check_warmup("warmup", warmup, at_least=0),
            "thresholds": checked_thresholds(labels, {} if thresholds is None else thresholds),
            "max_length": check_count("max_length", max_length),
            "train_auc": bool(train_auc),
        }
        built: Any = models.load_encoder(encoder).model if encoder_config is None else build_encoder(encoder_config)
        check_count("max_length", max_length, at_most=longest_input(built))
        checked["encoder_config"] = json.loads(built.config.to_json_string(use_diff=False))
        self.save_hyperparameters()
        # Lightning's command line saves what it was given, not what became of it; NumPy's numbers could not be loaded.
        self.hparams.update(checked)
        self.hparams.pop("_instantiator", None)
        self.model = models.BertTagger(built, len(labels), pooling=pooling, dropout=checked["dropout"])
        self.model.train()
        self.lr = checked["lr"]  # where the learning rate finder looks for it
        self.loss = getattr(losses, loss)
        self.mean_losses = nn.ModuleDict({f"{stage}_rows": KnownMean() for stage in STAGES})
        self.areas = nn.ModuleDict({f"{stage}_rows": LabelAUROC(labels) for stage in STAGES})
        self._resumable = ResumableRun()  # kept, so that a checkpoint after a test still knows the run
        self._step_known, self._batch_known = 0, 0
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

    def configure_callbacks(self) -> list[pl.Callback]:
        """Guard the run, and let it be resumed."""
        return [self._resumable]

    def setup(self, stage: str) -> None:
        """Refuse data of other labels, and callbacks that watch a score which is never logged.

        Raises:
            ValueError: the data module's labels are others, or in another order; an unknown monitor.
        """
        self._step_known, self._step_loss = 0, 0.0
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

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Any:  # noqa: ANN401
        """Check the form of a batch; count its known labels while they are on the CPU.

        Raises:
            ValueError: no batch `(inputs, labels)`.
        """
        self._batch_known = int((check_batch(batch)[1] >= 0).sum())
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's share of the step's loss."""
        (_, value), known = self._score("train", batch), self._batch_known
        self._step_known += known
        self._step_loss = self._step_loss + value.detach()
        self.log("train_loss_step", value.detach(), batch_size=max(known, 1))
        return value * (known / self._full_batch)

    def _score(self, stage: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits and loss of a batch, and keep them for the scores of the epoch."""
        logits, targets = self(**batch[0]), batch[1]
        value = self.loss(logits, targets)
        self.mean_losses[f"{stage}_rows"].update(value.detach(), self._batch_known)
        if stage != "train" or self.hparams["train_auc"]:
            self.areas[f"{stage}_rows"].update(logits, targets)
        return logits, value

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

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of the validation set."""
        self._score("valid", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Score a batch of the test set; its probabilities (B, L), for callbacks that keep them."""
        return torch.sigmoid(self._score("test", batch)[0].float())

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Predict probabilities (B, L), float32, with their `rows` (B,) of the data set; see `tagging.predict_proba`.

        Raises:
            ValueError: the order of the loader's rows cannot be known.
        """
        rows = rows_of(self.trainer, batch, batch_idx, dataloader_idx)
        return {"rows": rows, "probabilities": torch.sigmoid(self(**batch[0]).float())}

    def on_train_epoch_end(self) -> None:
        """Log the training curves."""
        mean = self.mean_losses["train_rows"]
        if mean.update_called and torch.isnan(mean.compute()):  # a loss of NaN has ended the run before
            raise ValueError("no label of the training set is known: there is nothing to learn from")
        self._log_scores("train")

    def on_validation_epoch_end(self) -> None:
        """Log the validation curves."""
        self._log_scores("valid")

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        self._log_scores("test")

    def _log_scores(self, stage: str) -> None:
        mean, auc = self.mean_losses[f"{stage}_rows"], self.areas[f"{stage}_rows"]
        scores = {f"{stage}_loss": mean.compute()}
        if stage != "train" or self.hparams["train_auc"]:
            areas = auc.compute()
            scores |= {f"{stage}_auc/{name}": area for name, area in zip(self.labels, areas, strict=True)}
            scores |= {f"{stage}_auc": areas.nanmean()} if stage != "train" else {}
        self.log_dict(scores, sync_dist=True)  # every process has the same values: this only says so to Lightning
        mean.reset()
        auc.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Make AdamW, its learning rate that of `loops.linear_warmup` over the steps of the whole run."""
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give the weights the names that they have without `torch.compile`.

        Raises:
            LossError: weights are not finite; the file of an earlier checkpoint stays as it is.
        """
        check_finite(self.model, self.current_epoch)
        checkpoint["state_dict"] = {clean_name(name): value for name, value in checkpoint["state_dict"].items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give the weights the names that they have here; drop a pooler that the encoder did not have.

        Raises:
            ValueError: the checkpoint is that of other labels.
        """
        saved = checkpoint.get("hyper_parameters", {}).get("labels", self.labels)
        if list(saved) != self.labels:
            raise ValueError(f"the checkpoint has the labels {list(saved)}, the tagger {self.labels}")
        state = checkpoint.get("state_dict", {})
        if state and not any(name.startswith("model.encoder.pooler.") for name in state):
            self.model.encoder.pooler = None
        own = {clean_name(name): name for name in self.state_dict()}
        checkpoint["state_dict"] = {own.get(name, name): value for name, value in state.items()}

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # what is not named here goes by name alone
        cls,
        checkpoint_path: str | Path | IO[Any],
        map_location: Any = "cpu",  # noqa: ANN401
        *,
        weights_only: bool = True,
        **changes: Any,  # noqa: ANN401
    ) -> "CommentTagger":
        """Open a Lightning checkpoint, in evaluation mode: tensors and plain values, nothing that can run.

        Args:
            checkpoint_path: of the file; it holds all that is needed.
            map_location: the device.
            weights_only: leave it True for files that are not your own: False lets a file run code.
            changes: hyper-parameters to change.
        """
        result = super().load_from_checkpoint(checkpoint_path, map_location, weights_only=weights_only, **changes)
        return result.eval()
