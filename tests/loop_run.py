"""A small training run for the tests of the loop; as a script it can be killed at any step.

python tests/loop_run.py FOLDER [--die-after STEPS] [--slow]
"""

import argparse
import os
import signal
import time

import numpy as np
import torch
from scipy import sparse
from torch import nn

from helpers import loaders, loops, models

ROWS, FEATURES, LABELS = 160, 40, 3


def data(seed=0):
    rng = np.random.default_rng(seed)
    counts = sparse.csr_array(rng.poisson(0.15, (ROWS, FEATURES)))
    scores = counts @ rng.normal(size=(FEATURES, LABELS))
    return counts, (scores > np.median(scores, axis=0)).astype(np.float32)


def parts(batch_size=16, **loader):
    """Model, loaders and optimizer, the same every time."""
    torch.manual_seed(0)
    counts, labels = data()
    model = models.CountMLP(FEATURES, LABELS, hidden=(16, 8, 8))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return {
        "model": model,
        "train": loaders.sparse_loader(counts, labels, batch_size=batch_size, shuffle=True, **loader),
        "valid": loaders.sparse_loader(*data(1), batch_size=64),
        "loss": nn.functional.binary_cross_entropy_with_logits,
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.05 * step)),
    }


def run(folder=None, epochs=4, batch_size=16, **options):
    """A run of the loop, and the model that it trained."""
    given = parts(batch_size) | options
    model = given.pop("model")
    given["model"] = model
    options = {"epochs": epochs, "folder": folder, "checkpoint_every": 3, "progress": False, "clip_norm": 1.0} | given
    return loops.fit(**options), model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    steps = 0

    def count(model, inputs):
        nonlocal steps
        steps += model.training
        if options.slow and model.training:
            print("step", flush=True)
            time.sleep(0.05)
        if steps == options.die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    given = parts()
    given["model"].register_forward_pre_hook(count)
    training, _ = run(options.folder, **given)
    print("ended:", training.ended)


if __name__ == "__main__":
    main()
