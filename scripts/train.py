r"""Train a tagger from a YAML file, on one machine or many, with PyTorch Lightning.

    python scripts/train.py fit --config configs/quick.yaml
    python scripts/train.py fit --config configs/quick.yaml --model.lr 1e-4 --folder runs/slower
    python scripts/train.py fit --config configs/quick.yaml --config configs/two_processes.yaml
    torchrun --nproc-per-node 2 scripts/train.py fit --config configs/quick.yaml --config configs/two_processes.yaml \
        --folder runs/torchrun
    python scripts/train.py fit --config runs/quick/config.yaml --ckpt_path runs/quick/last.ckpt    # resume
    python scripts/train.py test --config configs/quick.yaml --ckpt_path runs/quick/best.ckpt
    python scripts/train.py fit --print_config

Every setting is an argument of `CommentDataModule`, `CommentTagger` or Lightning's `Trainer`; later files and options
win over earlier ones. `folder` is the folder of a run: its checkpoints, curves and settings (`config.yaml`).
"""

import os
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from helpers import loops, tagging
from helpers.loops.checkpoints import locked

# Errors of data, settings and checkpoints, which are reported in one line.
EXPECTED = (ValueError, FileNotFoundError, loops.CheckpointError, loops.LossError, MisconfigurationException)


class CommandLineData(tagging.CommentDataModule):
    """The data module without tables in memory: for a type like DataFrame, the command line would read the files."""

    def __init__(
        self,
        train: str | list[str],
        valid: float | str | list[str],
        test: float | str | list[str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(train, valid, test, **options)


class KeepSettings(SaveConfigCallback):
    """Write the settings of a run into its folder when it begins to train; a resumed run writes them anew."""

    def __init__(self, *rest: object, **options: object) -> None:
        super().__init__(*rest, **options | {"overwrite": True})

    def setup(self, trainer: Trainer, pl_module: object, stage: str) -> None:
        """Write nothing yet: the run may be refused, or a test of one that is there."""

    def on_train_start(self, trainer: Trainer, pl_module: object) -> None:
        """Write the settings."""
        super().setup(trainer, pl_module, "fit")


class CourseCLI(LightningCLI):
    """One YAML, three classes; settings that must agree are linked, so that they are given once."""

    def add_arguments_to_parser(self, parser) -> None:  # noqa: ANN001
        """Labels, length and encoder are the data's; the model takes them from there."""
        parser.add_argument("--folder", type=str | None, help="Folder of the run: checkpoints, curves, config.yaml.")
        parser.link_arguments("data.labels", "model.labels", apply_on="instantiate")
        parser.link_arguments("data.max_length", "model.max_length")
        parser.link_arguments("data.encoder", "model.encoder")

    def _parse_ckpt_path(self) -> None:
        """Keep the settings of a run that is resumed: Lightning would overwrite them with the checkpoint's."""
        if self.config.subcommand != "fit":
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Open checkpoints as data: nothing in them can run."""
        self.config[self.subcommand].weights_only = True

    def instantiate_trainer(self, **options: object) -> Trainer:
        """Put checkpoints, curves and settings into the folder of the run, unless they have places of their own."""
        folder, settings = self._get(self.config_init, "folder"), self._get(self.config_init, "trainer")
        if folder is None:
            return super().instantiate_trainer(**options)
        callbacks = settings.callbacks if isinstance(settings.callbacks, list) else [settings.callbacks]
        for callback in callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = os.path.realpath(folder)
        if settings.logger in (None, True):
            options["logger"] = TensorBoardLogger(folder, name="", version="")
        if settings.default_root_dir is None:
            options["default_root_dir"] = folder
        return super().instantiate_trainer(**options)

    def _run_subcommand(self, subcommand: str) -> None:
        """Hold the folders of a run that trains: a second run would mix its files with those of the first."""
        with ExitStack() as held:
            if subcommand == "fit" and self.trainer.is_global_zero:
                for folder in sorted(self._folders()):
                    held.enter_context(locked(folder))
            super()._run_subcommand(subcommand)

    def _folders(self) -> set[Path]:
        run = self.config.fit.folder
        default = None if run is None else Path(run) / "checkpoints"  # of Lightning's own callback
        folders = [callback.dirpath or default for callback in self.trainer.checkpoint_callbacks]
        return {Path(folder) for folder in folders if folder}

    def before_fit(self) -> None:
        """Refuse to overwrite the checkpoints of an earlier run, unless this one resumes it."""
        requeued = list(Path(self.trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"))  # by SLURM: Lightning resumes
        if self.config.fit.ckpt_path is not None or requeued:
            return
        kept = sorted(path for folder in self._folders() for path in folder.glob("*.ckpt"))
        if kept:
            last = next((path for path in kept if path.stem == "last"), kept[-1])
            raise ValueError(
                f"{last} is the checkpoint of an earlier run: resume that run with --ckpt_path {last}, "
                "name another folder with --folder, or delete the checkpoints"
            )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what is wrong with data and settings is reported in one line."""
    try:
        with tagging.quiet():
            warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")  # see before_fit
            CourseCLI(
                tagging.CommentTagger,
                CommandLineData,
                save_config_callback=KeepSettings,
                seed_everything_default=42,
                # Batches are shared among processes by the samplers of the course, see CommentDataModule.
                trainer_defaults={"use_distributed_sampler": False, "enable_model_summary": False},
                args=arguments,
            )
    except EXPECTED as error:
        print(f"{Path(__file__).name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
