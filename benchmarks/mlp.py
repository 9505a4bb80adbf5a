"""The multilayer perceptron over counts: sparse rows against the tutorial's dense loop, side by side in one run.

    python benchmarks/mlp.py --data FOLDER

Training throughput on real rows with 10,000 counted words, the tutorial's network; alternating, medians of five.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from _record import data_option, record, use_data
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import datasets, loaders, loops, losses, models, text

COMMAND = "python benchmarks/mlp.py --data FOLDER"
FEATURES, ROWS, COURSE_BATCH = 10_000, 12_800, 512


def dense_epoch(counts: sparse.csr_array, labels: torch.Tensor) -> Callable[[], None]:
    """The tutorial's road: counts as a dense float32 tensor, batches of 64 from a TensorDataset, Adam."""
    rows = TensorDataset(torch.tensor(counts.toarray(), dtype=torch.float32), labels)
    loader = DataLoader(rows, batch_size=64, shuffle=True)
    model = models.CountMLP(FEATURES, labels.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.BCEWithLogitsLoss()

    def run() -> None:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()

    return run


def sparse_epoch(counts: sparse.csr_array, labels: torch.Tensor, batch_size: int) -> Callable[[], None]:
    """The course's road: sparse rows, fused Adam, `loops.fit`."""
    loader = loaders.sparse_loader(counts, labels.numpy(), batch_size=batch_size, shuffle=True)
    model = models.CountMLP(FEATURES, labels.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    return lambda: loops.fit(model, loader, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False)


def rows_per_second(epochs: dict[str, Callable[[], None]], runs: int) -> dict[str, float]:
    """Median throughput of each road, one warm-up, then in alternation."""
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for number in range(runs + 1):
        for name, run in epochs.items():
            start = time.perf_counter()
            run()
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: ROWS / statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    use_data(options.data)
    comments = datasets.load_comments("jigsaw")
    cleaned = comments["comment_text"].map(text.clean_text)
    counts = sparse.csr_array(CountVectorizer(max_features=FEATURES).fit_transform(cleaned))[:ROWS]
    some = torch.tensor(comments[list(datasets.JIGSAW_LABELS)].to_numpy()[:ROWS], dtype=torch.float32)
    epochs = {
        "dense": dense_epoch(counts, some),
        "sparse": sparse_epoch(counts, some, 64),
        "course": sparse_epoch(counts, some, COURSE_BATCH),
    }
    speed = rows_per_second(epochs, options.runs)
    about = {"data": f"{ROWS:,} real Jigsaw rows, {FEATURES:,} counted words", "command": COMMAND}
    parts = {name: round(value) for name, value in speed.items()}
    record("mlp.sparse_vs_dense_b64", speed["sparse"] / speed["dense"], unit="x", asked=">= 2.5 x", **about, **parts)


if __name__ == "__main__":
    main()
