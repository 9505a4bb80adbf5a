"""What smaller and exported taggers keep, and what they save, on real rows.

    python benchmarks/export.py --data FOLDER [--teacher FOLDER --sentiment FOLDER] [--only export.int8 ...]

The teacher is a tagger of `bert_jigsaw.py --folder RUNS` (name `RUNS/cycle2`); without one, it is trained here for one
epoch on 20,000 rows. Times are taken by turns, each engine alone for a while so that no other's waiting threads
disturb it, on the same padded inputs; medians are compared.

- `export.int8_speed`: `to_onnx(int8=True)` run by onnxruntime over float32 run by torch, on comments as they come, cut
  at 128 tokens: one at a time (`batch_1`), and in batches of 32 padded to their longest (`batch_32`). The value is the
  smaller of both. Beside it stands the float32 export.
- `export.int8_size`: bytes of the int8 graph over those of the safetensors file.
- `export.int8_auc`: mean AUC on the test rows, int8 less float32, with the interval of a paired bootstrap; and, with
  `--sentiment` (the folder of imdb.py), what the sentiment tagger loses in accuracy on its validation reviews.
- `export.predictor_vs_pipeline`, `export.predictor_int8_vs_pipeline`: texts a second of `Predictor` over those of
  transformers' text-classification pipeline with the same weights on 5,000 comments, cut at 512 tokens, by turns. The
  pipeline gets the batch size that is best for it on 300 of them. Probabilities of the float32 Predictor that differ
  by more than 1e-4 from the pipeline's are an error.
- `export.student_auc`, `export.student_speed`: every second layer of the teacher, trained for one epoch on the
  teacher's probabilities for 24,000 train rows; its test AUC over the teacher's, and texts a second over the
  teacher's (both in torch, batches of 32).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bert_jigsaw
import imdb
import numpy as np
import pandas as pd
import torch
from _record import data_option, record, use_data
from bag_of_words import protocol_rows
from sklearn.model_selection import train_test_split

from helpers import config, datasets, evaluation, export, loaders, loops, losses, metrics, models
from helpers.export.predictor import by_onnxruntime, by_torch
from helpers.models.persistence import SavedTagger

COMMAND = "python benchmarks/export.py --data FOLDER"
LABELS = bert_jigsaw.LABELS
TOKENS, STUDENT_ROWS, TEACHER_ROWS = 128, 24_000, 20_000
FIGURES = ("export.int8", "export.pipeline", "export.student")
Inputs = dict[str, np.ndarray]


def tagger_from(folder: str, n_labels: int) -> models.BertTagger:
    """A tagger with the weights of the last checkpoint of `loops.fit` in a folder."""
    tagger = models.BertTagger(models.load_encoder().model, n_labels)
    tagger.load_state_dict(torch.load(Path(folder, "last.pt"), weights_only=True)["model"])
    return tagger.eval()


def teacher_of(options: argparse.Namespace, train: pd.DataFrame) -> SavedTagger:
    """The teacher: one that was trained already, or trained for a while."""
    tokenizer = models.load_encoder().tokenizer
    if options.teacher:
        tagger = tagger_from(options.teacher, len(LABELS))
    else:
        rows = datasets.subsample(train, TEACHER_ROWS)
        tagger = taught(models.BertTagger(models.load_encoder().model, len(LABELS)), rows, rows[LABELS].to_numpy())
    return SavedTagger(tagger, tokenizer, LABELS, {}, max_length=TOKENS)


def taught(
    tagger: models.BertTagger, rows: pd.DataFrame, labels: np.ndarray, folder: str | None = None
) -> models.BertTagger:
    """A tagger after one epoch as in bert_jigsaw.py, on labels that may lie between 0 and 1."""
    torch.manual_seed(0)
    tokens = loaders.tokenize(rows["comment_text"], models.load_encoder().tokenizer, max_length=TOKENS)
    batches = loaders.token_loader(tokens, labels, batch_size=bert_jigsaw.BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=bert_jigsaw.LR), fused=True)
    schedule = loops.linear_warmup(optimizer, steps=len(batches))
    options = {"optimizer": optimizer, "scheduler": schedule, "epochs": 1, "clip_norm": 1.0}
    options |= {"folder": folder, "checkpoint_every": 200 if folder else None}
    loops.fit(tagger, batches, loss=losses.bce, **options)
    return tagger.eval()


def padded_batches(rows: pd.DataFrame, size: int, count: int) -> list[Inputs]:
    """Comments as they come, padded to the longest of their batch."""
    tokens = loaders.tokenize(
        rows["comment_text"].iloc[: size * count], models.load_encoder().tokenizer, max_length=TOKENS
    )
    batches = loaders.token_loader(tokens, batch_size=size, bucket=False)
    return [{name: tensor.numpy() for name, tensor in inputs.items()} for inputs, _ in batches]


def medians(ways: dict[str, Callable[[Inputs], object]], batches: list[Inputs], rounds: int = 5) -> dict[str, float]:
    """Seconds for all batches, the median of several rounds by turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            time.sleep(0.5)  # until the waiting threads of the engine before have gone to sleep
            run(batches[0])
            start = time.perf_counter()
            for batch in batches:
                run(batch)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def exported(saved: SavedTagger, folder: Path, *, int8: bool = False) -> Path:
    """The tagger as ONNX, beside a folder of the one in torch."""
    keep = {"labels": saved.labels, "max_length": saved.max_length, "keep": saved.keep}
    source = models.save_tagger(folder.with_name("torch"), saved.tagger, saved.tokenizer, **keep)
    return export.to_onnx(source, folder, int8=int8)


def engines(saved: SavedTagger, folder: Path) -> dict[str, Callable[[Inputs], np.ndarray]]:
    """The tagger in torch, and exported; its folders stay for their sizes."""
    graphs = {name: exported(saved, folder / name, int8=name == "int8") / "model.onnx" for name in ("onnx", "int8")}
    by_onnx = {name: by_onnxruntime(graph, None, len(saved.labels)) for name, graph in graphs.items()}
    return {"torch": by_torch(saved.tagger), **by_onnx}


def measure_int8(saved: SavedTagger, train: pd.DataFrame, test: pd.DataFrame, options: argparse.Namespace) -> None:
    """Speed, size and score of eight bits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways, ratios = engines(saved, folder), {}
        sample = datasets.subsample(train, 1_000)
        for size, count in ((1, 200), (32, 20)):
            seconds = medians(ways, padded_batches(sample, size, count))
            ratios |= {f"batch_{size}": seconds["torch"] / seconds["int8"]}
            ratios |= {f"onnx_float32_batch_{size}": seconds["torch"] / seconds["onnx"]}
            ratios |= {f"int8_ms_batch_{size}": 1000 * seconds["int8"] / count}
        parts = {name: round(value, 3) for name, value in ratios.items()}
        common = {
            "command": f"{COMMAND}{options_in_words(options)}",
            "data": "Jigsaw train.csv, 1,000 comments at 128 tokens; packaged encoder",
        }
        speed = min(ratios["batch_1"], ratios["batch_32"])
        record("export.int8_speed", speed, unit="x", asked=">= 1.8 at batch 1 and at 32", **common, **parts)
        sizes = {
            name: (folder / name / file).stat().st_size
            for name, file in (("torch", "model.safetensors"), ("onnx", "model.onnx"), ("int8", "model.onnx"))
        }
        record(
            "export.int8_size",
            sizes["int8"] / sizes["torch"],
            unit="x",
            asked="<= 0.3",
            **common,
            megabytes=round(sizes["int8"] / 1e6, 1),
        )
        score_int8(folder, test, options)


def score_int8(folder: Path, test: pd.DataFrame, options: argparse.Namespace) -> None:
    """What rounding costs in score."""
    probabilities = {
        name: export.Predictor.load(folder / name).predict_proba(test["comment_text"])
        for name in ("torch", "onnx", "int8")
    }
    apart = float(np.abs(probabilities["onnx"] - probabilities["torch"]).to_numpy().max())
    if apart > 1e-4:
        raise SystemExit(f"the float32 export differs by {apart}")
    lost = evaluation.bootstrap("auc", test[LABELS], probabilities["int8"], baseline=probabilities["torch"]).loc["mean"]
    parts = {"low": round(lost["low"], 5), "high": round(lost["high"], 5), "onnx_float32_differs_by": apart}
    parts["float32"] = round(metrics.mean_auc(test[LABELS], probabilities["torch"]), 5)
    if options.sentiment:
        parts |= sentiment_int8(options.sentiment)
    record(
        "export.int8_auc",
        lost["value"],
        unit="",
        asked=">= -0.003",
        command=f"{COMMAND}{options_in_words(options)}",
        data="Jigsaw train.csv, test rows 10,000-14,999, 128 tokens; packaged encoder",
        **parts,
    )


def sentiment_int8(checkpoints: str) -> dict[str, float]:
    """Accuracy of the sentiment tagger of imdb.py on its validation reviews, in float32 and in eight bits."""
    known = datasets.load_reviews("imdb", subset="train")
    _, valid = train_test_split(known, test_size=imdb.VALID, stratify=known["positive"], random_state=0)
    cut = {"max_length": imdb.TOKENS, "keep": "tail"}
    saved = SavedTagger(tagger_from(checkpoints, 1), models.load_encoder().tokenizer, ["positive"], {}, **cut)
    accuracy = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, int8 in (("float32", False), ("int8", True)):
            probabilities = export.Predictor.load(exported(saved, Path(folder, name), int8=int8)).predict_proba(
                valid["comment_text"]
            )
            accuracy[f"sentiment_{name}"] = round(
                float(((probabilities["positive"] >= 0.5) == valid["positive"].to_numpy()).mean()), 4
            )
    return accuracy


def measure_pipeline(train: pd.DataFrame) -> None:
    """Predictor against transformers' pipeline."""
    from transformers import AutoModelForSequenceClassification, pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    options = {"num_labels": len(LABELS), "problem_type": "multi_label_classification", "trust_remote_code": False}
    classifier = AutoModelForSequenceClassification.from_pretrained(config.packaged_encoder(), **options).eval()
    tokenizer = models.load_encoder().tokenizer
    saved = SavedTagger(models.tagger_of(classifier), tokenizer, LABELS, {}, max_length=512)
    asked = pipeline("text-classification", model=classifier, tokenizer=tokenizer, top_k=None)
    texts = datasets.subsample(train, 5_000)["comment_text"].tolist()

    def by_pipeline(part: list[str], size: int) -> np.ndarray:
        options = {"batch_size": size, "function_to_apply": "sigmoid", "truncation": True, "max_length": 512}
        answers = asked(part, **options)
        return np.array([[{s["label"]: s["score"] for s in row}[f"LABEL_{n}"] for n in range(6)] for row in answers])

    with tempfile.TemporaryDirectory() as folder:
        predictors = {
            name: export.Predictor.load(exported(saved, Path(folder, name), int8=name == "int8"))
            for name in ("float32", "int8")
        }
        by_pipeline(texts[:100], 1)  # first calls are slower
        trials = [
            {size: seconds_of(lambda size=size: by_pipeline(texts[:300], size)) for size in (1, 4, 16)}
            for _ in range(2)
        ]
        trial = {size: min(times[size] for times in trials) for size in trials[0]}
        best = min(trial, key=lambda size: trial[size])
        for predictor in predictors.values():
            predictor.predict_proba(texts[:100])
        taken = {"pipeline": 0.0, "float32": 0.0, "int8": 0.0}
        for start in range(0, len(texts), 1_000):
            part, probabilities = texts[start : start + 1_000], {}
            first = start // 1_000 % len(taken)  # each in turn is the first
            for name in [*taken, *taken][first : first + len(taken)]:
                time.sleep(0.5)
                begun = time.perf_counter()
                probabilities[name] = (
                    by_pipeline(part, best) if name == "pipeline" else predictors[name].predict_proba(part).to_numpy()
                )
                taken[name] += time.perf_counter() - begun
            if (apart := np.abs(probabilities["float32"] - probabilities["pipeline"]).max()) > 1e-4:
                raise SystemExit(f"Predictor and pipeline differ by {apart}")
    speeds = {f"{name}_rows_per_s": round(len(texts) / seconds, 1) for name, seconds in taken.items()}
    common = {"command": f"{COMMAND} --only export.pipeline", "unit": "x", "pipeline_batch_size": best, **speeds}
    common["data"] = "5,000 comments drawn from Jigsaw train.csv, 512 tokens; packaged encoder"
    record("export.predictor_vs_pipeline", taken["pipeline"] / taken["float32"], asked=">= 1.6", **common)
    record("export.predictor_int8_vs_pipeline", taken["pipeline"] / taken["int8"], asked=">= 2.8", **common)


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_student(saved: SavedTagger, train: pd.DataFrame, test: pd.DataFrame, options: argparse.Namespace) -> None:
    """A student of half as many layers, taught by the teacher's probabilities."""
    rows = datasets.subsample(train, STUDENT_ROWS)

    def said_by(tagger: models.BertTagger, part: pd.DataFrame) -> np.ndarray:
        tokens = loaders.tokenize(part["comment_text"], saved.tokenizer, max_length=TOKENS)
        return loops.predict_proba(tagger, loaders.token_loader(tokens, batch_size=8))

    kept = Path(options.folder or tempfile.mkdtemp(), "soft.npy")
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not kept.is_file():
        np.save(kept, said_by(saved.tagger, rows))
    layers = range(1, len(saved.tagger.layers()), 2)
    student = taught(export.compression.keep_layers(saved.tagger, layers), rows, np.load(kept), options.folder)
    probabilities = {"teacher": said_by(saved.tagger, test), "student": said_by(student, test)}
    auc = {name: metrics.mean_auc(test[LABELS], each) for name, each in probabilities.items()}
    lost = evaluation.bootstrap("auc", test[LABELS], probabilities["student"], baseline=probabilities["teacher"]).loc[
        "mean"
    ]
    common = {"command": f"{COMMAND}{options_in_words(options)} --only export.student", "unit": "x"}
    common["data"] = f"Jigsaw train.csv: {len(rows):,} rows to teach, test rows 10,000-14,999; packaged encoder"
    record(
        "export.student_auc",
        auc["student"] / auc["teacher"],
        asked=">= 0.99 of the teacher's AUC",
        **common,
        **{name: round(value, 5) for name, value in auc.items()},
        **{f"difference_{end}": round(lost[end], 5) for end in ("low", "high")},
    )
    ways = {"teacher": by_torch(saved.tagger), "student": by_torch(student)}
    seconds = {size: medians(ways, padded_batches(rows, size, count)) for size, count in ((32, 20), (1, 200))}
    ratio = {size: each["teacher"] / each["student"] for size, each in seconds.items()}
    record("export.student_speed", ratio[32], asked=">= 1.9", **common, batch_1=round(ratio[1], 3))


def options_in_words(options: argparse.Namespace) -> str:
    """The teacher and the sentiment tagger that a repetition needs, as they stand on a command line."""
    named = {"--teacher": options.teacher and "RUNS/cycle2", "--sentiment": options.sentiment and "IMDB_RUN"}
    return "".join(f" {name} {value}" for name, value in named.items() if value)


def parts_of(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Train and test rows of the protocol."""
    return (rows[rows["role"] == role] for role in ("train", "test"))


def main() -> None:
    """Measure all figures, or those named after `--only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--teacher", help="folder of a last.pt that bert_jigsaw.py --folder wrote")
    parser.add_argument("--sentiment", help="folder of a last.pt that imdb.py --folder wrote")
    parser.add_argument("--folder", help="keeps what the student learns from, and its checkpoints, to go on from")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES, metavar="ID")
    options = parser.parse_args()
    use_data(options.data)
    train, test = parts_of(protocol_rows())
    if "export.pipeline" in options.only:
        measure_pipeline(train)
    if {"export.int8", "export.student"} & set(options.only):
        saved = teacher_of(options, train)
        if "export.int8" in options.only:
            measure_int8(saved, train, test, options)
        if "export.student" in options.only:
            measure_student(saved, train, test, options)


if __name__ == "__main__":
    main()
