"""Predictions of one data set by all kinds of loaders, for the tests of one and of two processes.

python tests/predict_run.py FOLDER ENCODER, alone or under torchrun: each process writes what it got into FOLDER.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from helpers import datasets, loaders, tagging
from helpers.loaders.tokens import TokenRows

ROWS = 37  # of the test set: neither batches nor processes divide it


class Plain(Dataset):
    """A data set of torch's own kind, one row at a time."""

    def __init__(self, rows):
        self.rows = [rows[number] for number in range(len(rows))]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return self.rows[number]


class Endless(IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def joined(rows):
    """Single rows as a batch, as a collate function of one's own would make it."""
    ids, masks = ([row[0][name][0] for row in rows] for name in ("input_ids", "attention_mask"))
    inputs = {"input_ids": ids, "attention_mask": masks}
    padded = {name: torch.nn.utils.rnn.pad_sequence(part, batch_first=True) for name, part in inputs.items()}
    return padded, torch.cat([row[1] for row in rows])


def trainer(processes, **options):
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_epochs": 1} | options
    options |= {"devices": processes, "strategy": "ddp" if processes > 1 else "auto"}
    return pl.Trainer(**options, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0)


def main(folder, encoder):
    """Predict, and note the messages of what is refused."""
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    comments = datasets.load_comments("sample")
    train, test = comments[:40], comments[100 : 100 + ROWS]
    options = {"encoder": encoder, "max_length": 48, "batch_size": 8}
    data = tagging.CommentDataModule(train, train, test, **options)
    data.setup()
    if rank == 0:
        for name, table in (("train", train), ("test", test)):
            table.to_csv(folder / f"{name}{processes}.csv", index=False)
    torch.manual_seed(0)
    tagger = tagging.CommentTagger(data.labels, encoder=encoder)
    tokens, labels, place = data.tokens["test"], test[data.labels], {"rank": rank, "world_size": processes}
    rows = TokenRows(tokens, labels)
    plain = {"batch_size": 5, "collate_fn": joined}
    given = {
        "module": (False, data),
        "bucketed": (False, loaders.token_loader(tokens, labels, batch_size=8, **place)),
        "shuffled": (False, loaders.token_loader(tokens, labels, batch_size=8, shuffle=True, **place)),
        "unshared": (False, loaders.token_loader(tokens, labels, batch_size=8)),
        "plain": (True, DataLoader(Plain(rows), **plain)),
        "plain shuffled": (True, DataLoader(Plain(rows), shuffle=True, **plain)),
        "plain unshared": (False, DataLoader(Plain(rows), **plain)),
    }
    found = {}
    with tagging.quiet():
        for name, (sampler, loader) in given.items():
            run = trainer(processes, use_distributed_sampler=sampler)
            pl.seed_everything(3, verbose=False)
            found[name] = tagging.predict_proba(run, tagger, loader)
        run.strategy.barrier()
        paths = [str(folder / f"{name}{processes}.csv") for name in ("train", "train", "test")]
        files = tagging.CommentDataModule(*paths, cache=folder / "cache", **options)
        found["files"] = tagging.predict_proba(trainer(processes, use_distributed_sampler=False), tagger, files)
        np.savez(folder / f"predictions{rank}of{processes}.npz", **found)
        (folder / f"refused{rank}of{processes}.txt").write_text("\n".join(refused(processes, tagger, data, plain)))


def refused(processes, tagger, data, plain):
    """The messages of what is refused, one per line."""
    rows = TokenRows(data.tokens["train"], data.sources["train"][data.labels])
    few = {"use_distributed_sampler": False, "limit_predict_batches": 2}
    attempts = [
        lambda: tagging.predict_proba(trainer(processes, **few), tagger, data),
        lambda: tagging.predict_proba(
            trainer(processes), tagger, DataLoader(Endless([joined([rows[0]])]), batch_size=None)
        ),
        lambda: tagging.predict_proba(trainer(processes), tagger, [data.test_dataloader()]),
    ]
    if processes > 1:
        ours = loaders.token_loader(data.tokens["train"], data.sources["train"][data.labels], shuffle=True)
        alone = {"use_distributed_sampler": False, "limit_val_batches": 0}
        attempts += [
            lambda: trainer(processes, **alone).fit(tagger, ours),
            lambda: trainer(processes, **alone).fit(tagger, DataLoader(Plain(rows), shuffle=True, **plain)),
        ]
    for attempt in attempts:
        try:
            attempt()
        except ValueError as error:
            yield str(error)
        else:
            yield "not refused"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
