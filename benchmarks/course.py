"""The headline run of notebook 04: what recipe it uses, how long it takes, and what it gains over a bag of words.

    python benchmarks/course.py [--only ID ...]

`course.auc_per_minute` trains MiniLM on the training set of the notebooks by several recipes, all at 64 tokens, and
compares them on the validation set; the test set is not touched. `course.bert_minutes` and `course.bert_lead` train the
tagger of notebook 04 anew, and compare it with TF-IDF of words and bigrams + logistic regression, trained on the same
comments, on the test set. Other work on the machine makes the minutes worthless.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import sample_models
import torch
from _record import record
from torch import Tensor, nn

from helpers import config, datasets, evaluation, loaders, loops, losses, metrics, models
from helpers.loops.fine_tuning import fit_head

LENGTH, BATCH, LR = 64, 32, 2e-4
DATA = "data/comments.csv, split of the notebooks: 4,800 training, 1,200 validation, 2,000 test comments"
about = {"data": DATA, "command": "python benchmarks/course.py"}


def parts() -> datasets.splitting.Split:
    """The split of the notebooks."""
    return datasets.split(datasets.load_comments(), valid=0.15, test=0.25, seed=0, groups="near-duplicates")


def fresh(rows: pd.DataFrame) -> tuple[models.BertTagger, Any]:
    """A tagger whose head's bias is at the log-odds of each label, and its tokenizer."""
    torch.manual_seed(0)
    encoder, tokenizer = models.load_encoder()
    labels = datasets.label_names(rows)
    tagger = models.BertTagger(encoder, len(labels))
    with torch.no_grad():
        tagger.head.bias.copy_(torch.logit(torch.as_tensor(rows[labels].mean().to_numpy(copy=True))))
    return tagger, tokenizer


def batches_of(rows: pd.DataFrame, tokenizer: Any) -> Any:  # noqa: ANN401
    """Batches of training rows."""
    tokens = loaders.tokenize(rows["comment_text"], tokenizer, max_length=LENGTH)
    return loaders.token_loader(tokens, rows[datasets.label_names(rows)], batch_size=BATCH, shuffle=True)


def trained(tagger: models.BertTagger, batches: Any, *, epochs: int = 2, lr: float = LR, **options: Any) -> None:  # noqa: ANN401
    """Fine-tune without a progress bar."""
    options = {"head_epochs": 0, "progress": False, "loss": losses.bce} | options
    loops.fine_tune(tagger, batches, epochs=epochs, lr=lr, **options)


def two_epochs(rows: pd.DataFrame) -> models.BertTagger:
    """All layers, two epochs."""
    tagger, tokenizer = fresh(rows)
    trained(tagger, batches_of(rows, tokenizer))
    return tagger


def one_epoch(rows: pd.DataFrame) -> models.BertTagger:
    """All layers, one epoch at a higher rate."""
    tagger, tokenizer = fresh(rows)
    trained(tagger, batches_of(rows, tokenizer), epochs=1, lr=3e-4)
    return tagger


def head_first(rows: pd.DataFrame) -> models.BertTagger:
    """The head on vectors computed once, then all layers for one epoch."""
    tagger, tokenizer = fresh(rows)
    batches = batches_of(rows, tokenizer)
    fit_head(tagger, batches, loss=losses.bce)
    trained(tagger, batches, epochs=1)
    return tagger


def upper_second(rows: pd.DataFrame) -> models.BertTagger:
    """All layers for one epoch, then the upper three for another one at half the rate."""
    tagger, tokenizer = fresh(rows)
    batches = batches_of(rows, tokenizer)
    trained(tagger, batches, epochs=1)
    trained(tagger, batches, epochs=1, lr=LR / 2, layers=3)
    return tagger


def head_first_twice(rows: pd.DataFrame) -> models.BertTagger:
    """The head on vectors computed once, then all layers for two epochs."""
    tagger, tokenizer = fresh(rows)
    batches = batches_of(rows, tokenizer)
    fit_head(tagger, batches, loss=losses.bce)
    trained(tagger, batches)
    return tagger


class Upper(nn.Module):
    """The upper layers of a tagger, from the outputs of the lower ones."""

    def __init__(self, tagger: models.BertTagger, lower: int) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(list(tagger.layers())[lower:]), tagger.head

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (B, L)."""
        mask = torch.zeros(attention_mask.shape).masked_fill(attention_mask == 0, -1e9)[:, None, None]
        for layer in self.layers:
            output = layer(hidden, attention_mask=mask)
            hidden = output[0] if isinstance(output, tuple) else output
        return self.head(models.backbones.mean_pool(hidden, attention_mask))


def lower_kept(rows: pd.DataFrame, lower: int = 2, epochs: int = 3) -> models.BertTagger:
    """The outputs of the lower two layers computed once and kept, the upper four trained on them for three epochs."""
    tagger, tokenizer = fresh(rows)
    kept = []
    tagger.eval()
    with torch.no_grad():
        for inputs, labels in batches_of(rows, tokenizer):
            states = tagger.encoder(**inputs, output_hidden_states=True).hidden_states
            kept.append((states[lower].clone(), inputs["attention_mask"], labels))
    upper = Upper(tagger, lower)
    optimizer = torch.optim.AdamW(upper.parameters(), lr=LR, fused=True)
    schedule = loops.linear_warmup(optimizer, steps=epochs * len(kept))
    order = random.Random(0)
    upper.train()
    for _ in range(epochs):
        order.shuffle(kept)
        for hidden, mask, labels in kept:
            optimizer.zero_grad()
            losses.bce(upper(hidden, mask), labels).backward()
            nn.utils.clip_grad_norm_(upper.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return tagger


RECIPES: dict[str, Callable[[pd.DataFrame], models.BertTagger]] = {
    "two_epochs": two_epochs,
    "one_epoch": one_epoch,
    "head_first": head_first,
    "head_first_twice": head_first_twice,
    "upper_second": upper_second,
    "lower_kept": lower_kept,
}


def predicted(tagger: models.BertTagger, rows: pd.DataFrame) -> np.ndarray:
    """Probabilities (N, L), texts truncated at 128 tokens."""
    tokens = loaders.tokenize(rows["comment_text"], models.load_encoder().tokenizer, max_length=128)
    return loops.predict_proba(tagger, loaders.token_loader(tokens, batch_size=8))


def recipes() -> None:
    """Compare recipes on the validation set."""
    train, valid, _ = parts()
    labels = datasets.label_names(valid)
    line = metrics.mean_auc(valid[labels], sample_models.logistic_regression(train, valid, 0))
    details: dict[str, Any] = {"logistic_regression_auc": round(line, 4)}
    rates = {}
    for name, recipe in RECIPES.items():
        start = time.perf_counter()
        tagger = recipe(train)
        minutes = (time.perf_counter() - start) / 60
        auc = metrics.mean_auc(valid[labels], predicted(tagger, valid))
        rates[name] = (auc, minutes)
        details |= {f"{name}_auc": round(auc, 4), f"{name}_minutes": round(minutes, 2)}
        print(f"{name}: {auc:.4f}, {minutes:.1f} minutes", flush=True)
    best = max(rates, key=lambda name: rates[name][0])
    record(
        "course.auc_per_minute",
        rates[best][0],
        unit="",
        asked="at least four recipes, the best is taken",
        **about,
        **details,
        best=best,
    )


def lead() -> None:
    """Train notebook 04's tagger anew, and compare it with logistic regression on the test set."""
    train, _, test = parts()
    with tempfile.TemporaryDirectory() as folder:
        kept = loops.kept_tagger(folder, train, **config.profile("quick").tagger_settings() | {"progress": False})
    record("course.bert_minutes", kept.minutes, unit="min", asked="<= 4", **about)
    truth = test[datasets.label_names(test)]
    line = sample_models.logistic_regression(train, test, 0)
    bert = predicted(kept.tagger, test)
    difference = evaluation.bootstrap("auc", truth, bert, baseline=line).loc["mean"]
    found = {name: round(float(difference[name]), 4) for name in ("low", "high")}
    found |= {
        "bert": round(metrics.mean_auc(truth, bert), 4),
        "logistic_regression": round(metrics.mean_auc(truth, line), 4),
    }
    record("course.bert_lead", float(difference["value"]), unit="", asked="> 0, and its interval too", **about, **found)


FIGURES = {"course.auc_per_minute": recipes, "course.bert_lead": lead}


def main() -> None:
    """Measure all, or those that --only names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="ID")
    for name in parser.parse_args().only:
        FIGURES[name]()


if __name__ == "__main__":
    main()
