"""What a fine-tuned encoder reaches on real comments, beside the best bag of words, on the same test rows.

    python benchmarks/bert_jigsaw.py --data FOLDER [--encoder NAME --epochs N --precision bf16-mixed ...]

The rows are those of bag_of_words.py: test rows 10,000 to 14,999 of Kaggle's train.csv, scored once; rows 5,000 to
9,999 for choices; all others for training: AdamW at 1e-4 with 10 % linear warm-up, batches of 32 in length buckets,
texts cut at 128 tokens, one epoch, and a second one from a rate of half the height. The validation rows chose that: a
single epoch had AUC 0.9864 on them, the best bag of words has 0.9868. They also choose whether texts are read cut at
128 tokens or at 512 (windows of 128, pooled by maximum or mean, had 0.9860 and 0.9863 where the cut at 128 had 0.9864).
The best bag of words is the one that bag_of_words.py chose and recorded, and learns from the validation rows too; the
interval of the difference is that of a paired bootstrap over the test rows.

`--gpu` records `jigsaw.bert_gpu`, with the options of the training that are given: for three epochs of bert-base,
`--gpu --encoder bert-base-cased --epochs 3 --cycles 1 --lr 2e-5 --precision bf16-mixed`.
"""

import argparse
import sys
import time
from collections.abc import Callable

import bag_of_words
import numpy as np
import pandas as pd
import torch
from _record import data_option, load, record, use_data
from scipy.special import expit, logit

from helpers import config, evaluation, loaders, loops, losses, metrics, models
from helpers.loops.prediction import Precision
from helpers.models.encoders import Encoder

COMMAND = "python benchmarks/bert_jigsaw.py --data FOLDER"
LABELS = bag_of_words.LABELS
BATCH, LR, TRAIN_TOKENS = 32, 1e-4, 128
SEEN_BATCH = 8  # on a CPU small batches stay in its cache


def fine_tuned(train: pd.DataFrame, options: argparse.Namespace) -> tuple[models.BertTagger, Encoder, pd.DataFrame]:
    """A tagger trained on some rows, its encoder with the tokenizer, and the histories of all cycles."""
    torch.manual_seed(0)
    encoder = models.load_encoder(options.encoder)
    tagger = models.BertTagger(encoder.model, len(LABELS), pooling=options.pooling)
    tokens = loaders.tokenize(train["comment_text"], encoder.tokenizer, max_length=TRAIN_TOKENS)
    histories = []
    for cycle in range(options.cycles):
        batches = loaders.token_loader(tokens, train[LABELS].to_numpy(), batch_size=BATCH, shuffle=True, seed=cycle)
        optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=options.lr / 2**cycle), fused=True)
        fit = loops.fit(
            tagger,
            batches,
            loss=losses.bce,
            optimizer=optimizer,
            scheduler=loops.linear_warmup(optimizer, steps=options.epochs * len(batches)),
            epochs=options.epochs,
            clip_norm=1.0,
            folder=f"{options.folder}/cycle{cycle + 1}" if options.folder else None,
            checkpoint_every=300,
            device=options.device,
            precision=options.precision,
        )
        histories.append(fit.history)
    return tagger, encoder, pd.concat(histories)


def readings(
    tagger: models.BertTagger, encoder: Encoder, options: argparse.Namespace
) -> dict[str, Callable[[pd.DataFrame], np.ndarray]]:
    """Ways to read texts with a tagger, each from rows to probabilities (N, L)."""

    def read(rows: pd.DataFrame, max_length: int) -> np.ndarray:
        tokens = loaders.tokenize(rows["comment_text"], encoder.tokenizer, max_length=max_length)
        batches = loaders.token_loader(tokens, batch_size=SEEN_BATCH if options.device == "cpu" else 128)
        return loops.predict_proba(tagger, batches, device=options.device, precision=options.precision)

    return {"cut_128": lambda rows: read(rows, 128), "cut_512": lambda rows: read(rows, 512)}


def best_bag_of_words(known: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """What the winner that bag_of_words.py recorded says of the test rows, (N, L)."""
    recorded = [entry["details"]["winner"] for entry in load() if entry["id"] == "jigsaw.bow_auc"]
    if not recorded or recorded[-1] not in bag_of_words.linear_models():
        sys.exit("benchmarks/bag_of_words.py has recorded no single winner: run it first")
    return expit(bag_of_words.fitted_logits(recorded[-1:], known, test)[recorded[-1]])


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--encoder", default=config.PACKAGED_ENCODER)
    parser.add_argument("--pooling", default="mean", choices=["mean", "cls", "pooler"])
    parser.add_argument("--lr", type=float, default=LR, help="2e-5 suits bert-base")
    parser.add_argument("--epochs", type=int, default=1, help="of a cycle")
    parser.add_argument("--cycles", type=int, default=2, help="warm-up and decay anew, at half of the rate before")
    parser.add_argument("--gpu", action="store_true", help="train on CUDA, record jigsaw.bert_gpu")
    parser.add_argument("--precision", default="32-true", choices=Precision.__args__)
    parser.add_argument("--folder", help="keeps checkpoints, from which a run that was stopped goes on")
    options = parser.parse_args()
    options.device = "cuda" if options.gpu else "cpu"
    return options


def options_in_words(options: argparse.Namespace) -> str:
    """The options that a repetition needs, as they stand on a command line."""
    wanted = {name: getattr(options, name) for name in ("encoder", "pooling", "lr", "epochs", "cycles", "precision")}
    return " ".join([*["--gpu"] * options.gpu, *(f"--{name} {value}" for name, value in wanted.items())])


def main() -> None:
    """Train, choose, score, record."""
    options = parsed()
    use_data(options.data)
    rows = bag_of_words.protocol_rows()
    train, valid, test = (rows[rows["role"] == role] for role in ("train", "valid", "test"))
    tagger, encoder, history = fine_tuned(train, options)
    ways = readings(tagger, encoder, options)
    valid_auc = {name: metrics.mean_auc(valid[LABELS], read(valid)) for name, read in ways.items()}
    chosen = max(valid_auc, key=lambda name: valid_auc[name])
    print(f"validation rows: {valid_auc}; {chosen} is taken", flush=True)
    start = time.perf_counter()
    probabilities = ways[chosen](test)
    speed = len(test) / (time.perf_counter() - start)
    bag = best_bag_of_words(rows[rows["role"] != "test"], test)
    both = expit((logit(probabilities.astype(float).clip(1e-7, 1 - 1e-7)) + logit(bag)) / 2)
    difference = evaluation.bootstrap("auc", test[LABELS], probabilities, baseline=bag).loc["mean"]
    interval = bag_of_words.interval(test, probabilities)
    parts = {f"valid_{name}": round(value, 5) for name, value in valid_auc.items()}
    parts |= {"bag_of_words": round(metrics.mean_auc(test[LABELS], bag), 5)}
    parts |= {f"difference_{name}": round(float(difference[name]), 5) for name in ("value", "low", "high")}
    parts |= {"blend_with_bag_of_words": round(metrics.mean_auc(test[LABELS], both), 5)}
    parts |= {"epochs": options.epochs * options.cycles, "test_rows_per_s": round(speed, 1)}
    if not options.folder:  # a run that was taken up again does not know how long it took
        seconds = history["seconds"].sum()
        parts |= {"minutes": round(seconds / 60, 1)}
        parts |= {"train_rows_per_s": round(len(history) * len(train) / seconds, 1)}
    record(
        "jigsaw.bert_gpu" if options.gpu else "jigsaw.bert_auc",
        interval.pop("value"),
        unit="",
        asked="minutes, rows a second, AUC" if options.gpu else ">= 0.988, aim 0.991, and above the best bag of words",
        data=f"Jigsaw train.csv: {len(train):,} rows to learn from, test rows 10,000-14,999; {options.encoder}",
        command=f"{COMMAND} {options_in_words(options)}".strip(),
        hardware_used=torch.cuda.get_device_name() if options.gpu else None,
        reading=chosen,
        **interval,
        **parts,
    )


if __name__ == "__main__":
    main()
