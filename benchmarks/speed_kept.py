"""Whether a change of `helpers` kept its speed: an older revision and this one, by turns, on the same work.

    python benchmarks/speed_kept.py --old REVISION [--only mlp ...]

Each revision runs in a process of its own, from a checkout of its own, with the same data. The two take turns at each
piece of work, one warm-up each and then seven rounds, whose order turns around; the medians are compared. Idle cores
are assumed. `kept.mlp`, `kept.bert`, `kept.multihead`, `kept.data` and `kept.export` record the largest ratio new / old
of their pieces, and all ratios beside it.
"""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
AREAS = {
    "mlp": ["fit_1024", "fit_64", "predict"],
    "bert": ["tokenize", "fit", "predict"],
    "multihead": ["fit", "predict"],
    "data": ["load", "split", "subsample"],
    "export": ["onnx", "onnx_one_row", "counts", "file"],
}

# ---------------------------------------------------------------- the work, in the names of either revision


def either(module: Any, *names: str) -> Any:  # noqa: ANN401
    """The first of some names that a module or an object has."""
    return next(getattr(module, name) for name in names if hasattr(module, name))


def parts() -> tuple[Any, ...]:
    """The modules of the revision that this process runs."""
    return tuple(
        importlib.import_module(f"helpers.{name}") for name in ("datasets", "loaders", "loops", "losses", "models")
    )


def counted() -> tuple[Any, Any]:
    """Counts (8000, F) and labels (8000, 6) of the bundled comments."""
    from sklearn.feature_extraction.text import CountVectorizer

    datasets = parts()[0]
    comments = datasets.load_comments()
    counts = CountVectorizer(max_features=10_000).fit_transform(comments["comment_text"]).astype("float32")
    return counts, comments[datasets.label_names(comments)].to_numpy(dtype="float32")


def mlp(folder: Path) -> dict[str, Callable[[], object]]:
    """Training epochs and prediction over sparse counts."""
    import torch

    _, loaders, loops, losses, models = parts()
    counts, labels = counted()
    model = models.CountMLP(counts.shape[1], labels.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    batches = {n: loaders.sparse_loader(counts, labels, batch_size=n, shuffle=True) for n in (1024, 64)}

    def fit(batch_size: int, epochs: int) -> None:
        loops.fit(model, batches[batch_size], loss=losses.bce, optimizer=optimizer, epochs=epochs, progress=False)

    predict, rows = either(loops, "predict_proba", "predict"), loaders.sparse_loader(counts, labels)
    return {
        "fit_1024": lambda: fit(1024, 5),
        "fit_64": lambda: fit(64, 1),
        "predict": lambda: [predict(model, rows) for _ in range(5)],
    }


def bert(folder: Path) -> dict[str, Callable[[], object]]:
    """Tokens, training and prediction with the packaged encoder."""
    import torch

    datasets, loaders, loops, losses, models = parts()
    comments = datasets.load_comments()
    labels = comments[datasets.label_names(comments)]
    encoder, tokenizer = models.load_encoder()
    tokens = loaders.tokenize(comments["comment_text"].head(192), tokenizer)
    model = models.BertTagger(encoder, labels.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    train = loaders.token_loader(tokens, labels.head(192), shuffle=True)
    predict, rows = either(loops, "predict_proba", "predict"), loaders.token_loader(tokens, batch_size=64)
    return {
        "tokenize": lambda: loaders.tokenize(comments["comment_text"], tokenizer),
        "fit": lambda: loops.fit(model, train, loss=losses.bce, optimizer=optimizer, epochs=1, progress=False),
        "predict": lambda: predict(model, rows),
    }


def multihead(folder: Path) -> dict[str, Callable[[], object]]:
    """Five binary heads over 9,900 rows of twelve features."""
    import numpy as np
    import torch

    _, loaders, loops, losses, models = parts()
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(9_900, 12)), rng.integers(0, 2, size=(9_900, 5))
    model = models.MultiHead(heads={f"label {n}": 1 for n in range(5)})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loader = loaders.array_loader({"features": features}, labels, shuffle=True)
    predict, rows = either(loops, "predict_proba", "predict"), loaders.array_loader({"features": features}, labels)
    fit = {"loss": losses.multi_head, "optimizer": optimizer, "epochs": 20, "progress": False}
    return {
        "fit": lambda: loops.fit(model, loader, **fit),
        "predict": lambda: [predict(model, rows) for _ in range(20)],
    }


def data(folder: Path) -> dict[str, Callable[[], object]]:
    """Reading, splitting and drawing from the bundled comments."""
    datasets = parts()[0]
    comments, subsample = datasets.load_comments(), either(datasets, "subsample", "at_most")
    return {
        "load": lambda: [datasets.load_comments() for _ in range(3)],
        "split": lambda: datasets.split(comments),
        "subsample": lambda: [subsample(comments, 2_000) for _ in range(10)],
    }


def export(folder: Path) -> dict[str, Callable[[], object]]:
    """Predictors over an ONNX file and over counts; a file of comments."""
    module = importlib.import_module("helpers.export")
    datasets, _, _, _, models = parts()
    comments = datasets.load_comments()
    labels = datasets.label_names(comments)
    encoder, tokenizer = models.load_encoder()
    models.save_tagger(folder / "bert", models.BertTagger(encoder, len(labels)), tokenizer, labels=labels)
    onnx = module.Predictor.load(module.to_onnx(folder / "bert", folder / "onnx"))
    tagger = models.CountTagger().fit(comments["comment_text"], comments[labels])
    either(models, "save_counts", "save_tagger")(folder / "counts", tagger)
    counts = module.Predictor.load(folder / "counts")
    texts = comments["comment_text"].tolist()
    comments.to_csv(folder / "rows.csv", index=False)

    def file() -> None:
        (folder / "scores.csv").unlink(missing_ok=True)
        module.predict_file(folder / "counts", folder / "rows.csv", folder / "scores.csv")

    by_onnx, by_counts = (either(each, "predict_proba", "predict") for each in (onnx, counts))
    return {
        "onnx": lambda: by_onnx(texts[:256]),
        "onnx_one_row": lambda: [by_onnx(texts[n : n + 1]) for n in range(64)],
        "counts": lambda: by_counts(texts),
        "file": file,
    }


def work() -> None:
    """Do what is asked for line by line: the area, then its pieces; answer each piece with its seconds."""
    area = {f.__name__: f for f in (mlp, bert, multihead, data, export)}[input()]
    with tempfile.TemporaryDirectory() as folder:
        answers, sys.stdout = sys.stdout, sys.stderr
        pieces = area(Path(folder))
        while (piece := sys.stdin.readline().strip()) != "":
            start = time.perf_counter()
            pieces[piece]()
            print(time.perf_counter() - start, file=answers, flush=True)


# ---------------------------------------------------------------- the comparison


def checkout(revision: str, folder: Path) -> Path:
    """Lay the files of a revision into a folder."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def start(folder: Path, area: str) -> subprocess.Popen[str]:
    """A process that works for one revision and area."""
    settings = os.environ | {"PYTHONPATH": str(folder), "OMP_WAIT_POLICY": "PASSIVE"}
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--work"],
        cwd=folder,
        env=settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(area + "\n")
    worker.stdin.flush()
    return worker


def seconds(worker: subprocess.Popen[str], piece: str) -> float:
    """Let a worker do a piece once.

    Raises:
        RuntimeError: the worker died.
    """
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(piece + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f"{piece}: the process of {worker.args} ended")
    return float(answer)


def compare(folders: dict[str, Path], area: str, rounds: int = ROUNDS) -> dict[str, float]:
    """The ratio new / old of the median seconds of each piece of an area."""
    workers = {name: start(folder, area) for name, folder in folders.items()}
    ratios = {}
    try:
        for piece in AREAS[area]:
            times: dict[str, list[float]] = {name: [] for name in workers}
            for number in range(rounds + 1):
                for name in list(workers)[:: 1 if number % 2 else -1]:
                    taken = seconds(workers[name], piece)
                    if number:
                        times[name].append(taken)
            ratios[piece] = statistics.median(times["new"]) / statistics.median(times["old"])
            print(f"{area}.{piece}: {ratios[piece]:.3f}", flush=True)
    finally:
        for worker in workers.values():
            worker.kill()
    return ratios


def main() -> int:
    """Compare two revisions, area by area, and record the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--old", metavar="REVISION", help="the older revision")
    parser.add_argument("--only", nargs="+", choices=list(AREAS), default=list(AREAS))
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="by turns, each piece of work (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.work:
        work()
        return 0
    from _record import NO_DATA, record

    if options.old is None:
        print("nothing to compare with: name a revision, --old REVISION")
        return NO_DATA

    with tempfile.TemporaryDirectory() as folder:
        folders = {"old": checkout(options.old, Path(folder, "old")), "new": checkout("HEAD", Path(folder, "new"))}
        for area in options.only:
            ratios = compare(folders, area, options.rounds)
            record(
                f"kept.{area}",
                max(ratios.values()),
                unit="x",
                asked="<= 1.05",
                data="bundled comments; drawn rows for multi-head",
                command=f"python benchmarks/speed_kept.py --old {options.old}",
                **{piece: round(ratio, 3) for piece, ratio in ratios.items()},
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
