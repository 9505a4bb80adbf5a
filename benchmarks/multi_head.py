"""Multi-head networks: the tutorial's headline measured anew, and what fused heads and whole arrays are worth.

    python benchmarks/multi_head.py [--only multihead.table ...]

The data are the tutorial's: `make_multilabel_classification`, 10,000 rows, 12 features, 5 labels. Times are taken side
by side in one process, on idle cores: one warm-up each, then by turns, and the medians are compared.

- `multihead.table`: five variants, five seeds each, 100 epochs of Adam at batches of 1,024. The train loss is that of
  the last epoch on the tutorial's 9,900 rows; all else is measured on 20 % of the rows, drawn anew with each seed, by a
  net that learnt from the others. The recorded value is how many of the table's means lie outside `EXPECTED`, which
  comes from one draw of rows, by more than three standard deviations (the larger of the two); the figures themselves
  are in the details.
- `multihead.fused_vs_list`: forward, loss and backward of 100 binary heads on 256 features, batch 1,024: one fused
  projection and `losses.multi_head` against a loop over `nn.ModuleList` and `nn.BCEWithLogitsLoss`; 1,000 heads beside.
- `multihead.loading`: one epoch of batches of 1,024 from 9,900 rows: `loaders.array_loader` against the tutorial's
  Dataset, which makes a dict of scalar tensors for each row.
- `multihead.training`: seconds an epoch of the tutorial's script, its Dataset and its five attributes, against
  `loops.fit` with `models.MultiHead`, both with plain Adam; after a warm-up, each side trains 100 epochs, 20 at a turn.
  `ratio_fused_adam` has torch's fused Adam on our side, as the lesson does.
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from _record import record
from mlp import times_by_turns
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from helpers import datasets, evaluation, loaders, loops, losses, metrics, models

COMMAND = "python benchmarks/multi_head.py"
TUTORIAL_ROWS, LABELS = 9_900, 5
BATCH, EPOCHS, SEEDS = 1_024, 100, 5
# Mean and standard deviation over five seeds, from an earlier, independent run.
EXPECTED = {
    "broadcast": {"train_loss": (0.5612, 0.0002), "subset_accuracy": (0.1025, 0), "macro_f1": (0.291, 0)}
    | {"auc": (0.532, 0.015), "log_loss": (0.563, 0), "ece": (0.009, 0)},
    "binary": {"train_loss": (0.2539, 0.0015), "subset_accuracy": (0.610, 0.005), "macro_f1": (0.695, 0.010)}
    | {"auc": (0.920, 0.002), "log_loss": (0.281, 0), "ece": (0.020, 0)},
    "binary, logits": {"train_loss": (0.2540, 0.0014), "subset_accuracy": (0.610, 0.003), "macro_f1": (0.693, 0.012)}
    | {"auc": (0.920, 0.002), "log_loss": (0.281, 0), "ece": (0.020, 0)},
    "2-way + sigmoid": {"train_loss": (0.4236, 0.0009), "subset_accuracy": (0.591, 0.002), "macro_f1": (0.664, 0.001)}
    | {"auc": (0.848, 0.007), "log_loss": (0.432, 0), "ece": (0.165, 0)},
    "2-way, logits": {"train_loss": (0.2449, 0.0028), "subset_accuracy": (0.605, 0.004), "macro_f1": (0.701, 0.010)}
    | {"auc": (0.917, 0.004), "log_loss": (0.284, 0), "ece": (0.020, 0)},
    "constant prior": {"subset_accuracy": (0.1025, 0), "macro_f1": (0.291, 0), "log_loss": (0.563, 0)},
    "logistic regression": {"subset_accuracy": (0.427, 0), "macro_f1": (0.614, 0), "auc": (0.857, 0)}
    | {"log_loss": (0.366, 0), "ece": (0.012, 0)},
}
Logits = dict[str, Tensor]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Features (10000, 12) and labels (10000, 5), as the tutorial draws them."""
    rows = pd.read_csv(datasets.bundled_file("synthetic.csv"))
    return rows.loc[:, "f1":"f12"].to_numpy(float), rows.loc[:, "a":"e"].to_numpy()


# ---------------------------------------------------------------- the variants


def stacked(logits: Logits) -> Tensor:
    """(B, H) of one-logit heads, (B, H, C) of others."""
    outs = list(logits.values())
    return torch.cat(outs, dim=1) if outs[0].shape[1] == 1 else torch.stack(outs, dim=1)


def broadcast_loss(logits: Logits, labels: Tensor) -> Tensor:
    """The published binary loss as CUDA differentiated it: each row's output against the labels of all rows."""
    shares = labels.mean(dim=0).expand_as(labels)  # the mean over the other rows, which is all that is left of them
    return functional.binary_cross_entropy(stacked(logits).sigmoid(), shares)


def sigmoid_bce(logits: Logits, labels: Tensor) -> Tensor:
    """The published binary loss with shapes that match."""
    return functional.binary_cross_entropy(stacked(logits).sigmoid(), labels)


def sigmoid_cross_entropy(logits: Logits, labels: Tensor) -> Tensor:
    """The published categorical loss: a sigmoid before the cross-entropy, which applies a softmax."""
    outs = stacked(logits).sigmoid()
    return functional.cross_entropy(outs.flatten(0, 1), labels.long().flatten())


VARIANTS: dict[str, tuple[int, Callable[[Logits, Tensor], Tensor]]] = {
    "broadcast": (1, broadcast_loss),
    "binary": (1, sigmoid_bce),
    "binary, logits": (1, losses.multi_head),
    "2-way + sigmoid": (2, sigmoid_cross_entropy),
    "2-way, logits": (2, losses.multi_head),
}


def train(features: np.ndarray, labels: np.ndarray, variant: str, *, seed: int) -> tuple[models.MultiHead, float]:
    """A net trained in one of the ways, and the mean loss of its last epoch."""
    size, loss = VARIANTS[variant]
    torch.manual_seed(seed)
    model = models.MultiHead(heads={f"label {index}": size for index in range(LABELS)})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loader = loaders.array_loader({"features": features}, labels, batch_size=BATCH, shuffle=True, seed=seed)
    done = loops.fit(model, loader, loss=loss, optimizer=optimizer, epochs=EPOCHS, progress=False)
    return model, float(done.history["train_loss"].iloc[-1])


@torch.inference_mode()
def probabilities(model: models.MultiHead, features: np.ndarray, variant: str) -> np.ndarray:
    """(N, 5) as the way of training reads its own outputs."""
    out = stacked(model.eval()(features=torch.tensor(features, dtype=torch.float32)))
    if out.ndim == 2:
        return out.sigmoid().numpy()
    return (out.sigmoid() if variant == "2-way + sigmoid" else out).softmax(dim=2)[:, :, 1].numpy()


def scores(targets: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """All scores but the train loss; log-loss and calibration error are those of all entries together."""
    return {
        "subset_accuracy": metrics.subset_accuracy(targets, said),
        "macro_f1": metrics.f1(targets, said),
        "auc": metrics.mean_auc(targets, said),
        "log_loss": log_loss(targets.ravel(), said.ravel().astype(float)),
        "ece": float(evaluation.calibration_error(targets.reshape(-1, 1), said.reshape(-1, 1))[0]),
    }


def measure_table(seeds: int = SEEDS) -> dict[str, dict[str, list[float]]]:
    """{variant: {score: one value a seed}}."""
    features, labels = data()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        train_x, held_x, train_y, held_y = train_test_split(features, labels, test_size=0.2, random_state=seed)
        constant = np.tile(train_y.mean(axis=0), (len(held_y), 1))
        linear = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(train_x, train_y)
        for name, predictions in {
            "constant prior": constant,
            "logistic regression": linear.predict_proba(held_x),
        }.items():
            rows.setdefault(name, []).append(scores(held_y, predictions))
        for name in VARIANTS:
            _, loss = train(features[:TUTORIAL_ROWS], labels[:TUTORIAL_ROWS], name, seed=seed)
            model, _ = train(train_x, train_y, name, seed=seed)
            result = {"train_loss": loss} | scores(held_y, probabilities(model, held_x, name))
            rows.setdefault(name, []).append(result)
            print(f"seed {seed}, {name}: {result}", flush=True)
    return {
        name: {score: [round(row[score], 5) for row in result] for score in result[0]} for name, result in rows.items()
    }


def outside(table: dict[str, dict[str, list[float]]]) -> list[str]:
    """The figures that lie outside what is expected."""
    misses = []
    for variant, expected in EXPECTED.items():
        for name, (mean, sd) in expected.items():
            value, own_sd = statistics.mean(table[variant][name]), statistics.stdev(table[variant][name])
            if abs(value - mean) > max(3 * sd, 3 * min(own_sd, 0.015)):  # a spread of its own does not excuse all
                misses.append(f"{variant}, {name}: {value:.4f}, expected {mean} ± {sd}")
    return misses


def record_table() -> None:
    """Train all variants, record the table."""
    table = measure_table()
    strange = outside(table)
    print("\n".join(strange) or "all within the expected spread")
    asked = "five-seed table within the spread of an independent run: 0 figures outside"
    about = {"data": "make_multilabel_classification, 10,000 rows", "command": COMMAND}
    record("multihead.table", len(strange), unit="figures outside", asked=asked, **about, outside=strange, table=table)


# ---------------------------------------------------------------- speed


class HeadList(nn.Module):
    """Separate heads, called one after the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(heads))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Logits (B, 1) of each head."""
        return [head(features) for head in self.heads]


def list_loss(model: HeadList, features: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Forward, mean of the heads' losses, backward; the loss."""
    criterion = nn.BCEWithLogitsLoss()
    columns = labels.split(1, dim=1)

    def step() -> Tensor:
        model.zero_grad()
        outs = model(features)
        loss = sum(criterion(out, column) for out, column in zip(outs, columns, strict=True)) / len(outs)
        loss.backward()
        return loss.detach()

    return step


def fused_loss(model: models.MultiHead, features: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """The same, our way."""

    def step() -> Tensor:
        model.zero_grad()
        loss = losses.multi_head(model(features), labels)
        loss.backward()
        return loss.detach()

    return step


def head_losses(heads: int, *, width: int = 256, rows: int = BATCH) -> dict[str, Callable[[], Tensor]]:
    """Both ways over the same features, labels and weights."""
    torch.manual_seed(0)
    features = torch.randn(rows, width, requires_grad=True)
    labels = torch.randint(0, 2, (rows, heads)).float()
    separate = HeadList(width, heads)
    fused = models.MultiHead(_Unchanged(width), heads={f"head {index}": 1 for index in range(heads)})
    weights = {name: torch.cat([getattr(head, name) for head in separate.heads]) for name in ("weight", "bias")}
    fused.projection.load_state_dict(weights)
    return {"list": list_loss(separate, features, labels), "fused": fused_loss(fused, features, labels)}


class _Unchanged(nn.Module):
    """A backbone that gives what it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        return features


class TutorialDataset(Dataset):
    """The tutorial's: each row a dict of tensors, each label a scalar of its own."""

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        sample = {"features": torch.tensor(self.features[row], dtype=torch.float32)}
        for index in range(LABELS):
            sample[f"label{index + 1}"] = torch.tensor(self.labels[row, index], dtype=torch.float32)
        return sample


class TutorialNetwork(nn.Module):
    """The tutorial's: five heads as five attributes, a sigmoid after each."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = models.backbones.MLP()
        self.out1, self.out2, self.out3, self.out4, self.out5 = (nn.Linear(256, 1) for _ in range(LABELS))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Probabilities (B, 1) of each head."""
        shared = self.backbone(features)
        return [torch.sigmoid(head(shared)) for head in (self.out1, self.out2, self.out3, self.out4, self.out5)]


def tutorial_loader(features: np.ndarray, labels: np.ndarray) -> DataLoader:
    """The tutorial's loader."""
    return DataLoader(TutorialDataset(features, labels), batch_size=BATCH, shuffle=True)


def tutorial_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> float:
    """The tutorial's epoch, with the labels' shape mended (today's BCELoss refuses the published one); its loss."""
    from tqdm import tqdm

    network.train()
    total = 0.0
    for batch in tqdm(loader):
        targets = [batch[f"label{index + 1}"].unsqueeze(1) for index in range(LABELS)]
        optimizer.zero_grad()
        outs = network(batch["features"])
        loss = sum(nn.BCELoss()(out, target) for out, target in zip(outs, targets, strict=True)) / LABELS
        total += loss.item()
        loss.backward()
        optimizer.step()
    return total / len(loader)


def quietly(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with its progress bar drawn into memory."""

    def run() -> object:
        with contextlib.redirect_stderr(io.StringIO()):
            return call()

    return run


def training_ways(epochs: int) -> dict[str, Callable[[], Any]]:
    """Some epochs of training, the tutorial's way and ours."""
    features, labels = (part[:TUTORIAL_ROWS] for part in data())
    torch.manual_seed(0)
    network, loader = TutorialNetwork(), tutorial_loader(features, labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    arrays = loaders.array_loader({"features": features}, labels, batch_size=BATCH, shuffle=True)

    def ours(*, fused: bool) -> Callable[[], Any]:
        model = models.MultiHead(heads={f"label {index}": 1 for index in range(LABELS)})
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
        return quietly(lambda: loops.fit(model, arrays, loss=losses.multi_head, optimizer=adam, epochs=epochs))

    tutorial = quietly(lambda: [tutorial_epoch(network, optimizer, loader) for _ in range(epochs)])
    return {"tutorial": tutorial, "course": ours(fused=False), "course_fused": ours(fused=True)}


def record_ratio(
    name: str, times: dict[str, list[float]], slow: str, fast: str, asked: str, about: str, **details: float
) -> None:
    """Record the ratio of the medians, with the medians in milliseconds."""
    medians = {way: statistics.median(values) for way, values in times.items()}
    parts = {f"{way}_ms": round(1000 * value, 3) for way, value in medians.items()}
    ratio = medians[slow] / medians[fast]
    record(name, ratio, unit="x", asked=asked, data=about, command=COMMAND, **parts, **details)


def record_heads(rounds: int) -> None:
    """Time both ways with 100 heads and with 1,000."""
    times = times_by_turns(head_losses(100), 5 * rounds)
    many = {way: statistics.median(values) for way, values in times_by_turns(head_losses(1000), rounds).items()}
    about = f"100 binary heads on 256 features, batch {BATCH:,}; 1,000 heads beside"
    details = {"ratio_1000_heads": round(many["list"] / many["fused"], 1)}
    record_ratio("multihead.fused_vs_list", times, "list", "fused", ">= 6 x", about, **details)


def record_loading(rounds: int) -> None:
    """Time one epoch of batches."""
    features, labels = (part[:TUTORIAL_ROWS] for part in data())
    theirs = tutorial_loader(features, labels)
    ours = loaders.array_loader({"features": features}, labels, batch_size=BATCH, shuffle=True)
    ways = {"tutorial": lambda: list(theirs), "course": lambda: list(ours)}
    about = f"{TUTORIAL_ROWS:,} rows of 12 features and {LABELS} labels, batch {BATCH:,}, shuffled"
    record_ratio("multihead.loading", times_by_turns(ways, rounds), "tutorial", "course", ">= 200 x", about)


def record_training() -> None:
    """Time 100 epochs of each, 20 at a turn."""
    turn = EPOCHS // 5
    start = time.perf_counter()
    times = times_by_turns(training_ways(turn), EPOCHS // turn)
    by_epoch = {way: [seconds / turn for seconds in values] for way, values in times.items()}
    about = f"{EPOCHS} epochs over {TUTORIAL_ROWS:,} rows on each side, {turn} at a turn; times are an epoch's"
    fused = statistics.median(times["tutorial"]) / statistics.median(times["course_fused"])
    details = {"ratio_fused_adam": round(fused, 1)}
    record_ratio("multihead.training", by_epoch, "tutorial", "course", ">= 10 x", about, **details)
    print(f"took {time.perf_counter() - start:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures: dict[str, Callable[[int], None]] = {
        "multihead.fused_vs_list": record_heads,
        "multihead.loading": record_loading,
        "multihead.training": lambda rounds: record_training(),
        "multihead.table": lambda rounds: record_table(),
    }
    parser.add_argument("--only", nargs="+", choices=figures, default=figures, metavar="ID", help=", ".join(figures))
    parser.add_argument("--runs", type=int, default=7, help="rounds of the timings of heads and loading")
    options = parser.parse_args(arguments)
    for name, measure in figures.items():
        if name in options.only:
            measure(options.runs)


if __name__ == "__main__":
    main()
