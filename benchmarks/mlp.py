"""The multilayer perceptron over counts against the tutorial's dense loop and against Keras; what our loop costs.

    python benchmarks/mlp.py --data FOLDER [--only mlp.memory_ratio ...]

All on real Jigsaw comments with 10,000 counted words. Times are taken side by side in one process, on as good as idle
cores (with another process at work these ratios grow): one warm-up each, then by turns, in an order that turns around
each round, and the medians are compared.

- `mlp.sparse_vs_dense_b64`: training rows a second, the same net, settings and batch of 64; sparse rows, fused Adam
  and `loops.fit` against the tutorial's loop over a dense table.
- `mlp.course_vs_tutorial`: the same for the course's settings against the tutorial's, and the mean AUC of both on rows
  5,000-9,999 after the same number of epochs on all rows but these and the test rows. A worse AUC is not recorded, but
  an error. There the tutorial's net learns from sparse rows: its arithmetic, as a test shows, in a third of the time.
- `mlp.memory_ratio`: what 60,000 rows take, the course's way over the tutorial's. Each way is a process of its own that
  loads the counts from a file, prepares the loader and takes five steps; of its peak (resident set) that of a third
  process is subtracted, which does the same with 64 rows: imports, model, optimizer.
- `mlp.torch_vs_keras`: rows a second of our loop over those of Keras `fit` on torch, same net, batch of 64, same sparse
  rows. Keras is spared the tutorial's L2 terms and its metric, ours keeps the weight decay.
- `loop.overhead`: time of one epoch of `loops.fit` over that of a bare loop with the same loader and model, less 1.
  A few per cent drown in the noise of single timings, so it takes many short epochs by turns, the ratio within each
  round, whose parts see the same weather, and the median of these. The quarter of the rounds below `_from` and that
  above `_to` say how far it can be trusted.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import data_option, record, use_data
from bag_of_words import FEATURES, LABELS, course_run, protocol_rows
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import loaders, loops, losses, models

COMMAND = "python benchmarks/mlp.py --data FOLDER"
SPEED_ROWS, MEMORY_ROWS, TINY_ROWS, STEPS, SEEDS = 12_800, 60_000, 64, 5, 3
OVERHEAD_BATCHES, OVERHEAD_ROUNDS = {1024: 20, 64: 60}, 31
Call = Callable[[], object]


@dataclass(frozen=True)
class Table:
    """Counts (N, F), whole numbers, of words from the training rows; labels (N, L); each row's role."""

    counts: sparse.csr_array
    labels: np.ndarray
    role: np.ndarray

    def some(self, rows: np.ndarray | slice) -> tuple[sparse.csr_array, np.ndarray]:
        """Counts and labels of some rows."""
        return self.counts[rows], self.labels[rows]


def real_table() -> Table:
    """The real comments, counted."""
    rows = protocol_rows()
    counter = CountVectorizer(max_features=FEATURES).fit(rows.loc[rows["role"] == "train", "cleaned"])
    counts = sparse.csr_array(counter.transform(rows["cleaned"]))
    return Table(counts, rows[LABELS].to_numpy(dtype=np.float32), rows["role"].to_numpy())


def tutorial_network(n_features: int, n_labels: int) -> nn.Sequential:
    """The tutorial's network: probabilities from dense rows, weights from Glorot's normal distribution."""
    network = nn.Sequential(
        *(nn.Linear(n_features, 256), nn.ReLU()),
        *(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3)),
        *(nn.Linear(128, 64), nn.ReLU(), nn.BatchNorm1d(64)),
        *(nn.Linear(64, 32), nn.ReLU()),
        *(nn.Linear(32, n_labels), nn.Sigmoid()),
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def tutorial_loader(counts: sparse.csr_array, labels: np.ndarray) -> DataLoader:
    """The tutorial's batches: 64 rows of a dense float32 table, made from a dense table of whole numbers."""
    inputs = torch.tensor(counts.toarray(), dtype=torch.float32)
    rows = TensorDataset(inputs, torch.tensor(labels, dtype=torch.float32))
    return DataLoader(rows, batch_size=64, shuffle=True)


def tutorial_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[Any]) -> list[torch.Tensor]:
    """The tutorial's loop over some batches; the loss of each."""
    criterion, values = nn.BCELoss(), []
    network.train()
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = criterion(network(inputs), targets)
        loss.backward()
        optimizer.step()
        values.append(loss.detach())
    return values


def tutorial_optimizer(network: nn.Module, **options: bool) -> torch.optim.Adam:
    """The tutorial's optimizer."""
    return torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-3, **options)


def tutorial_run(counts: sparse.csr_array, labels: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """The tutorial's settings over sparse rows, as arguments for `loops.fit` (all but `epochs`)."""
    torch.manual_seed(seed)
    loader = loaders.sparse_loader(counts, labels, batch_size=64, shuffle=True, seed=seed)
    model = models.CountMLP(counts.shape[1], labels.shape[1])
    optimizer = tutorial_optimizer(model, fused=True)
    return {"model": model, "train": loader, "loss": losses.bce, "optimizer": optimizer, "progress": False}


def dense_training(counts: sparse.csr_array, labels: np.ndarray) -> Call:
    """One epoch the tutorial's way."""
    loader, network = tutorial_loader(counts, labels), tutorial_network(counts.shape[1], labels.shape[1])
    optimizer = tutorial_optimizer(network)
    return lambda: tutorial_epoch(network, optimizer, loader)


def fit_training(run: dict[str, Any]) -> Call:
    """One epoch our way."""
    return lambda: loops.fit(**run, epochs=1)


def keras_training(counts: sparse.csr_array, labels: np.ndarray, folder: str) -> Call:
    """One epoch of Keras `fit` on torch over sparse rows, the tutorial's topology; `folder` takes Keras' own files."""
    os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": folder}
    import keras

    dense = {"activation": "relu", "kernel_initializer": "glorot_normal"}
    parts = [
        keras.Input((counts.shape[1],)),
        *(keras.layers.Dense(256, **dense), keras.layers.Dense(128, **dense), keras.layers.Dropout(0.3)),
        *(keras.layers.Dense(64, **dense), keras.layers.BatchNormalization(), keras.layers.Dense(32, **dense)),
        keras.layers.Dense(labels.shape[1], **dense | {"activation": "sigmoid"}),
    ]
    network = keras.Sequential(parts)
    network.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), loss="binary_crossentropy")
    rows = counts.astype(np.float32)
    return lambda: network.fit(rows, labels, batch_size=64, epochs=1, verbose=0)


def bare_training(run: dict[str, Any]) -> Call:
    """One epoch of the shortest loop that does the same steps."""
    model, loss, optimizer = run["model"], run["loss"], run["optimizer"]

    def epoch(batches: Iterable[Any] = run["train"]) -> None:
        model.train()
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss(model(**inputs), labels).backward()
            optimizer.step()

    return epoch


def quiet_bar_training(run: dict[str, Any]) -> Call:
    """One epoch our way with the progress bar drawn, into memory."""

    def epoch() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            loops.fit(**run | {"progress": True}, epochs=1)

    return epoch


def times_by_turns(ways: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            ways[name]()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def rows_per_second(ways: dict[str, Call], rows: int, rounds: int) -> dict[str, float]:
    """Median throughput of each way."""
    return {name: rows / statistics.median(times) for name, times in times_by_turns(ways, rounds).items()}


def record_speed(table: Table, rounds: int, epochs: int, wanted: Sequence[str]) -> None:
    """Time the tutorial's way, ours at its batch, and ours with the course's settings, by turns; record the ratios."""
    some = table.some(slice(SPEED_ROWS))
    course = course_run(*some, epochs=rounds + 1)
    ways = {"dense": dense_training(*some), "sparse": fit_training(tutorial_run(*some)), "course": fit_training(course)}
    speed = rows_per_second(ways, SPEED_ROWS, rounds)
    about = {"data": f"{SPEED_ROWS:,} real Jigsaw rows, {FEATURES:,} counted words", "command": COMMAND, "unit": "x"}
    parts = {name: round(value) for name, value in speed.items()}
    name = "mlp.sparse_vs_dense_b64"
    if name in wanted:
        record(name, speed["sparse"] / speed["dense"], asked=">= 2.5 x", **about, **parts)
    name = "mlp.course_vs_tutorial"
    if name in wanted:
        scores = {f"auc_{side}": round(value, 5) for side, value in valid_auc(table, epochs).items()}
        if not scores["auc_course"] >= scores["auc_tutorial"]:
            sys.exit(f"{name} is not recorded: the course's settings score worse on the validation rows, {scores}")
        about["data"] += f"; AUC: 5,000 validation rows after {epochs} epochs on {(table.role == 'train').sum():,}"
        asked = ">= 15 x, no worse validation AUC after the same epochs"
        record(name, speed["course"] / speed["dense"], asked=asked, **about, **parts, **scores)


def valid_auc(table: Table, epochs: int) -> dict[str, float]:
    """Mean AUC on the validation rows over three seeds, after training with either settings to the end."""
    (train, labels), (valid, truth) = table.some(table.role == "train"), table.some(table.role == "valid")
    auc_of: dict[str, list[float]] = {"course": [], "tutorial": []}
    for seed in range(SEEDS):
        sides = {
            "course": (course_run(train, labels, epochs=epochs, seed=seed), valid.log1p()),
            "tutorial": (tutorial_run(train, labels, seed=seed), valid),
        }
        for side, (run, rows) in sides.items():
            loops.fit(**run, epochs=epochs)
            scores = loops.evaluate(run["model"], loaders.sparse_loader(rows, truth), loss=losses.bce)
            auc_of[side].append(scores["auc"])
            print(f"validation AUC, {side}, seed {seed}: {scores['auc']:.5f}", flush=True)
    return {side: statistics.mean(values) for side, values in auc_of.items()}


def record_keras(table: Table, rounds: int) -> None:
    """Time Keras and our loop by turns; record the ratio."""
    some = table.some(slice(SPEED_ROWS))
    with tempfile.TemporaryDirectory() as folder:
        ways = {"keras": keras_training(*some, folder), "torch": fit_training(tutorial_run(*some))}
        speed = rows_per_second(ways, SPEED_ROWS, rounds)
    data = f"{SPEED_ROWS:,} real Jigsaw rows, {FEATURES:,} counted words, batch 64"
    parts = {name: round(value) for name, value in speed.items()}
    ratio = speed["torch"] / speed["keras"]
    record("mlp.torch_vs_keras", ratio, unit="x", asked=">= 3 x", data=data, command=COMMAND, **parts)


def record_overhead(table: Table, rounds: int) -> None:
    """Time our loop and the bare one by turns, at the course's batch and at 64; record the overhead in percent."""
    overheads = {}
    for batch, batches in OVERHEAD_BATCHES.items():
        some = table.some(slice(batch * batches))
        # The bare loop has no schedule, so ours has none here.
        run = tutorial_run(*some) if batch == 64 else course_run(*some, epochs=1) | {"scheduler": None}
        # Words that these rows lack would decay into denormal numbers, which a processor handles many times as slowly.
        run["optimizer"].param_groups[0]["weight_decay"] = 0.0
        ways = {"bare": bare_training(run), "fit": fit_training(run), "fit_with_bar": quiet_bar_training(run)}
        times = times_by_turns(ways, rounds)
        for name in ("fit", "fit_with_bar"):
            ratios = [own / bare for own, bare in zip(times[name], times["bare"], strict=True)]
            for part, value in zip(("_from", "", "_to"), statistics.quantiles(ratios, n=4), strict=True):
                overheads[f"{name}_b{batch}{part}"] = round(100 * (value - 1), 2)
    value = overheads.pop("fit_b1024")
    data = f"real Jigsaw rows, epochs of {' and '.join(f'{n} batches of {b:,}' for b, n in OVERHEAD_BATCHES.items())}"
    about = {"data": f"{data}, {FEATURES:,} counted words", "command": COMMAND}
    record("loop.overhead", value, unit="%", asked="<= 3 %", **about, **overheads)


def record_memory(table: Table) -> None:
    """Let each way train in a process of its own; record the ratio of what their peaks have above the tiny table's."""
    rows = np.arange(MEMORY_ROWS) % len(table.labels)
    # Linux lets a process begin with the peak of the one that started it; a small one between them keeps ours out.
    starter = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"]
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ("tiny", "sparse", "dense"):
            path = Path(folder, "counts.npz")
            sparse.save_npz(path, table.counts[rows[: TINY_ROWS if way == "tiny" else None]])
            command = [*starter, sys.executable, __file__, "--memory", way, str(path)]
            peaks[way] = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    above = {way: peaks[way] - peaks["tiny"] for way in ("sparse", "dense")}
    data = f"{MEMORY_ROWS:,} rows (the {len(table.labels):,} real Jigsaw rows, repeated), {FEATURES:,} counted words"
    parts = {f"{way}_MB": round(value, 1) for way, value in above.items()} | {"baseline_MB": round(peaks["tiny"], 1)}
    ratio = above["sparse"] / above["dense"]
    record("mlp.memory_ratio", ratio, unit="", asked="<= 1/20", data=data, command=COMMAND, **parts)


def train_and_tell_peak(way: str, path: str) -> None:
    """A process of `record_memory`: load, prepare, five steps, print the peak in MB (10**6 bytes)."""
    import resource

    counts = sparse.csr_array(sparse.load_npz(path))
    labels = np.zeros((counts.shape[0], len(LABELS)), dtype=np.float32)
    if way == "dense":
        loader, network = tutorial_loader(counts, labels), tutorial_network(counts.shape[1], labels.shape[1])
        tutorial_epoch(network, tutorial_optimizer(network), islice(loader, STEPS))
    else:
        run = course_run(counts, labels, epochs=1)
        bare_training(run)(islice(run["train"], STEPS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    figures = ["mlp.memory_ratio", "loop.overhead", "mlp.torch_vs_keras"]
    figures += ["mlp.sparse_vs_dense_b64", "mlp.course_vs_tutorial"]
    parser.add_argument("--only", nargs="+", choices=figures, default=figures, metavar="ID", help=", ".join(figures))
    parser.add_argument("--runs", type=int, default=7, help="rounds of each timing; loop.overhead has 31 or more")
    parser.add_argument("--epochs", type=int, default=10, help="before the AUC of mlp.course_vs_tutorial is taken")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        train_and_tell_peak(*options.memory)
        return
    use_data(options.data)
    table = real_table()
    if "mlp.memory_ratio" in options.only:
        record_memory(table)
    if "loop.overhead" in options.only:
        record_overhead(table, max(options.runs, OVERHEAD_ROUNDS))
    if "mlp.torch_vs_keras" in options.only:
        record_keras(table, options.runs)
    if {"mlp.sparse_vs_dense_b64", "mlp.course_vs_tutorial"} & set(options.only):
        record_speed(table, options.runs, options.epochs, options.only)


if __name__ == "__main__":
    main()
