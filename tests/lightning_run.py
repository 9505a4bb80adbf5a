"""A small run of `scripts/train.py` for the tests of several processes; one of them can be killed, or watched.

python tests/lightning_run.py fit --config ...     with DIE=RANK:STEP or WATCH=FOLDER in the environment
"""

import os
import signal
import sys
from pathlib import Path

import pytorch_lightning as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import train


class Die(pl.Callback):
    """Kill one process in the middle of a run, as a machine that fails would."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        rank, step = map(int, os.environ["DIE"].split(":"))
        if (trainer.global_rank, trainer.global_step) == (rank, step):
            os.kill(os.getpid(), signal.SIGKILL)


class Watch(pl.Callback):
    """Write down every row that a process trains on: epoch, step, token ids."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        inputs, _ = batch
        with Path(os.environ["WATCH"], f"rank{trainer.global_rank}.txt").open("a") as file:
            for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                print(trainer.current_epoch, batch_idx, *ids[mask.bool()].tolist(), file=file)


if __name__ == "__main__":
    extra = [f"--trainer.callbacks+={__name__}.{name}" for name in ("Die", "Watch") if name.upper() in os.environ]
    sys.argv += [option for option in extra if option not in sys.argv]
    train.main()
