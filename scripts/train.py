"""Train a tagger from a YAML file, on one machine or many, with PyTorch Lightning.

    python scripts/train.py fit --config configs/quick.yaml
    python scripts/train.py fit --config configs/quick.yaml --model.lr 1e-4 --trainer.max_epochs 3
    python scripts/train.py fit --config configs/quick.yaml --config configs/two_processes.yaml
    torchrun --nproc-per-node 2 scripts/train.py fit --config configs/quick.yaml --config configs/two_processes.yaml
    python scripts/train.py fit --config configs/full.yaml --ckpt_path runs/full/last.ckpt    # go on
    python scripts/train.py test --config configs/quick.yaml --ckpt_path runs/quick/best.ckpt
    python scripts/train.py fit --print_config

Every setting is an argument of `CommentDataModule`, `CommentTagger` or Lightning's `Trainer`; later files and options
win over earlier ones. The settings that a run had are written beside its checkpoints.
"""

from pathlib import Path

from pytorch_lightning.cli import LightningCLI, SaveConfigCallback

from helpers import tagging


class KeepSettings(SaveConfigCallback):
    """Write the settings of a run into its folder; a run that is taken up writes them anew."""

    def __init__(self, *rest: object, **options: object) -> None:
        super().__init__(*rest, **options | {"overwrite": True})


class CourseCLI(LightningCLI):
    """One YAML, three classes; what must agree is linked, so that it is said once."""

    def before_instantiate_classes(self) -> None:
        """Open checkpoints as data: nothing in them can run."""
        self.config[self.subcommand].weights_only = True

    def before_fit(self) -> None:
        """Refuse to write over the checkpoints of an earlier run, unless this one goes on from there."""
        requeued = list(Path(self.trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"))  # by SLURM: Lightning goes on
        if self.config.fit.ckpt_path is not None or requeued:
            return
        folders = {Path(callback.dirpath) for callback in self.trainer.checkpoint_callbacks if callback.dirpath}
        kept = sorted(path for folder in folders for path in folder.glob("*.ckpt"))
        if kept:
            last = next((path for path in kept if path.stem == "last"), kept[-1])
            self.parser.error(
                f"{last} is there from an earlier run: go on from it with --ckpt_path {last}, "
                "name another folder, or delete its checkpoints"
            )

    def add_arguments_to_parser(self, parser) -> None:  # noqa: ANN001
        """Labels, length and encoder are the data's; the model takes them from there."""
        parser.link_arguments("data.labels", "model.labels", apply_on="instantiate")
        parser.link_arguments("data.max_tokens", "model.max_tokens")
        parser.link_arguments("data.encoder", "model.encoder")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    with tagging.quiet():
        CourseCLI(
            tagging.CommentTagger,
            tagging.CommentDataModule,
            save_config_callback=KeepSettings,
            seed_everything_default=42,
            # Batches are shared among processes by the samplers of the course, see CommentDataModule.
            trainer_defaults={"use_distributed_sampler": False, "enable_model_summary": False},
            args=arguments,
        )


if __name__ == "__main__":
    main()
