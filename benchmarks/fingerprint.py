"""What the fingerprint of a run costs: its time over that of one epoch.

    python benchmarks/fingerprint.py

`fit.fingerprint_share` is the larger of two shares, each measured in alternation in one process: the fingerprint of
training and validation set, model, loss and optimizer, against one epoch of `loops.fit` without a folder.

- `counts`: the course's perceptron over the bundled comments as sparse counts, at its batch of 1,024.
- `tokens`: MiniLM over the first of them as tokens, in length buckets.
"""

import argparse
import statistics
from typing import Any

import torch
from _record import record
from bag_of_words import course_run
from mlp import times_by_turns
from sklearn.feature_extraction.text import CountVectorizer

from helpers import datasets, loaders, loops, losses, models
from helpers.loops.fingerprints import fingerprint

TOKEN_ROWS = 64


def counts_run(rounds: int) -> tuple[dict[str, Any], Any]:
    """Arguments for `loops.fit` over sparse counts, and a validation set of a quarter of the size."""
    comments = datasets.load_comments()
    labels = comments[datasets.label_names(comments)].to_numpy()
    counts = CountVectorizer(max_features=10_000).fit_transform(comments["comment_text"])
    valid = loaders.sparse_loader(counts[: len(labels) // 4], labels[: len(labels) // 4])
    return course_run(counts, labels, epochs=rounds + 1), valid


def tokens_run() -> tuple[dict[str, Any], Any]:
    """The same over tokens."""
    comments = datasets.load_comments().head(TOKEN_ROWS)
    labels = comments[datasets.label_names(comments)]
    encoder, tokenizer = models.load_encoder()
    tokens = loaders.tokenize(comments["comment_text"], tokenizer)
    model = models.BertTagger(encoder, labels.shape[1])
    optimizer = torch.optim.AdamW(models.parameter_groups(model, lr=1e-4), fused=True)
    loader = loaders.token_loader(tokens, labels, shuffle=True)
    run = {"model": model, "train": loader, "loss": losses.bce, "optimizer": optimizer, "progress": False}
    return run, loaders.token_loader(tokens, labels)


def share(run: dict[str, Any], valid: Any, rounds: int) -> float:  # noqa: ANN401
    """Median time of a fingerprint over that of an epoch."""
    parts = {"data": run["train"], "valid": valid, "scheduler": run.get("scheduler")}
    parts |= {name: run[name] for name in ("loss", "model", "optimizer")}
    ways = {"fingerprint": lambda: fingerprint(**parts), "epoch": lambda: loops.fit(**run, epochs=1)}
    times = times_by_turns(ways, rounds)
    return statistics.median(times["fingerprint"]) / statistics.median(times["epoch"])


def main() -> None:
    """Measure both shares; record the larger one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    shares = {"counts": share(*counts_run(options.rounds), options.rounds), "tokens": share(*tokens_run(), 3)}
    percent = {name: round(100 * value, 3) for name, value in shares.items()}
    about = {"unit": "%", "asked": "< 2", "command": "python benchmarks/fingerprint.py"}
    record("fit.fingerprint_share", max(percent.values()), data="bundled comments", **about, **percent)


if __name__ == "__main__":
    main()
