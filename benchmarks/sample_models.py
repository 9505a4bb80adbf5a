"""Five models of the course, trained by one recipe on 4,800 comments: do bundled comments rank them as real ones do?

    python benchmarks/sample_models.py --data FOLDER [--kept SCORES]

Real: rows 0 to 4,799 of Kaggle's train.csv for training, rows 5,000 to 9,999 for the test. Bundled: the split of the
notebooks (60 % for training, which are 4,800 comments, and 25 % for the test), seeds 0 to 4. The encoder is trained
with three seeds on each, which takes an hour on two cores; --kept names a folder that keeps the scores of each
training, so that a run that was stopped goes on. Intervals are those of the mean over the five splits (Student's t);
the splits share rows, so they say how much the split matters on this file, not how another file of the same kind would
come out.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sample_realism
import torch
from _record import data_option, record, use_data
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from helpers import datasets, loaders, loops, losses, metrics, models, text
from helpers.loops.fine_tuning import fit_head

SPLITS, SEEDS = 5, range(3)
TRAIN_TOKENS, PREDICT_TOKENS, BATCH, EPOCHS, LR = 64, 128, 32, 2, 2e-4
Model = Callable[[pd.DataFrame, pd.DataFrame, int], np.ndarray]


def text_name(rows: pd.DataFrame) -> str:
    """The name of the text column."""
    return str(rows.attrs.get("text", "comment_text"))


def _labels(rows: pd.DataFrame) -> np.ndarray:
    return rows[datasets.label_names(rows)].to_numpy()


def _linear(classifier: LogisticRegression | models.NBSVM, train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(tfidf, OneVsRestClassifier(classifier))
    model.fit(train[text_name(train)].map(text.clean_text), _labels(train))
    probabilities = model.predict_proba(test[text_name(test)].map(text.clean_text))
    return probabilities[:, -_labels(train).shape[1] :]  # scikit-learn gives a single label two columns


def logistic_regression(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    """TF-IDF of words and bigrams, one logistic regression per label with C 10."""
    return _linear(LogisticRegression(C=10, solver="newton-cg", random_state=seed), train, test)


def nbsvm(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    """NB-SVM on the same TF-IDF."""
    return _linear(models.NBSVM(C=4), train, test)


def mlp(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    """The MLP over word counts of notebook 02: Adam at 3e-3, batches of 256, six epochs."""
    torch.manual_seed(seed)
    counter = CountVectorizer(max_features=10_000)
    counts = counter.fit_transform(train[text_name(train)].map(text.clean_text)).astype(np.float32)
    test_counts = counter.transform(test[text_name(test)].map(text.clean_text)).astype(np.float32)
    batches = loaders.sparse_loader(counts, _labels(train), batch_size=256, shuffle=True, seed=seed)
    model = models.CountMLP(counts.shape[1], _labels(train).shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    loops.fit(model, batches, loss=losses.bce, optimizer=optimizer, epochs=6, progress=False)
    return loops.predict_proba(model, loaders.sparse_loader(test_counts, _labels(test)))


def _loaders(tokenizer: Any, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> tuple[Any, Any]:  # noqa: ANN401
    tokens = loaders.tokenize(train[text_name(train)], tokenizer, max_length=TRAIN_TOKENS)
    batches = loaders.token_loader(tokens, _labels(train), batch_size=BATCH, shuffle=True, seed=seed)
    tokens = loaders.tokenize(test[text_name(test)], tokenizer, max_length=PREDICT_TOKENS)
    return batches, loaders.token_loader(tokens, batch_size=8)


def frozen_encoder(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    """A linear head on MiniLM's vectors, the encoder as it is."""
    torch.manual_seed(seed)
    encoder, tokenizer = models.load_encoder()
    batches, test_batches = _loaders(tokenizer, train, test, seed)
    tagger = models.BertTagger(encoder, _labels(train).shape[1])
    fit_head(tagger, batches, loss=losses.bce)
    return loops.predict_proba(tagger, test_batches)


def fine_tuned_encoder(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    """MiniLM with all layers trained: two epochs at 2e-4 with 10 % warm-up, the head's bias at the log-odds."""
    torch.manual_seed(seed)
    encoder, tokenizer = models.load_encoder()
    batches, test_batches = _loaders(tokenizer, train, test, seed)
    tagger = models.BertTagger(encoder, _labels(train).shape[1])
    share = torch.as_tensor(_labels(train).mean(axis=0)).clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        tagger.head.bias.copy_(torch.logit(share))
    optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=LR), fused=True)
    schedule = loops.linear_warmup(optimizer, steps=EPOCHS * len(batches))
    options = {"epochs": EPOCHS, "clip_norm": 1.0, "progress": False}
    loops.fit(tagger, batches, loss=losses.bce, optimizer=optimizer, scheduler=schedule, **options)
    return loops.predict_proba(tagger, test_batches)


LINEAR, BERT = "logistic regression", "fine-tuned encoder"
SEEDED = ("MLP", BERT)  # the others hardly depend on a seed
MODELS: dict[str, Model] = {
    "logistic regression": logistic_regression,
    "NB-SVM": nbsvm,
    "MLP": mlp,
    "frozen encoder + head": frozen_encoder,
    "fine-tuned encoder": fine_tuned_encoder,
}


def scores(
    train: pd.DataFrame, test: pd.DataFrame, names: list[str], seed: int = 0, kept: Path | None = None
) -> dict[str, dict]:
    """Mean AUC and mean average precision of models on test comments, and the AUC of each label.

    Args:
        train: comments to train on.
        test: comments to score.
        names: of MODELS.
        seed: of weights, dropout and order.
        kept: a JSON file of scores that are not computed again, and to which new ones are added.
    """
    done = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for name in names:
        if name not in done:
            probabilities, truth = MODELS[name](train, test, seed), _labels(test)
            labels = datasets.label_names(test)
            precision = [average_precision_score(truth[:, n], probabilities[:, n]) for n in range(len(labels))]
            done[name] = {
                "auc": metrics.mean_auc(truth, probabilities),
                "ap": float(np.mean(precision)),
                "by_label": metrics.auc_by_label(pd.DataFrame(truth, columns=labels), probabilities).to_dict(),
                "ap_by_label": dict(zip(labels, precision, strict=True)),
            }
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(done, indent=1) + "\n")
    return {name: done[name] for name in names}


def splits(comments: pd.DataFrame) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Training and test set of the notebooks' split, with five seeds."""
    options = {"valid": 0.15, "test": 0.25, "groups": "near-duplicates"}
    parts = [datasets.split(comments, seed=seed, **options) for seed in range(SPLITS)]
    return [(each.train, each.test) for each in parts]


def all_scores(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], kept: Path | None) -> pd.DataFrame:
    """Scores of all models: one row per pair, model and seed, columns `auc` and `ap`."""
    rows = []
    for number, (train, test) in enumerate(pairs):
        content = pd.util.hash_pandas_object(pd.concat([train, test]), index=False).to_numpy().tobytes()
        for name in MODELS:
            for seed in SEEDS if name in SEEDED else SEEDS[:1]:
                file = kept / f"{hashlib.sha256(content).hexdigest()[:16]}_{seed}.json" if kept else None
                found = scores(train, test, [name], seed, file)[name]
                rows.append({"pair": number, "model": name, "seed": seed, "auc": found["auc"], "ap": found["ap"]})
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def interval(values: pd.Series) -> dict[str, float]:
    """The 95 % confidence interval of a mean (Student's t)."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.sem()
    return {"low": round(values.mean() - half, 4), "high": round(values.mean() + half, 4)}


def unseen_types(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Share of the word types of some comments that do not occur in others."""
    known, types = (
        {word for text in part["comment_text"] for word in sample_realism.words(text)} for part in (train, test)
    )
    return len(types - known) / len(types)


def main() -> None:
    """Train, score, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--kept", type=Path, help="folder that keeps the scores of each training")
    options = parser.parse_args()
    use_data(options.data)
    real = sample_realism.real_rows().reset_index(drop=True)
    pairs = {"real": [(real.iloc[:4_800], real.iloc[5_000:10_000])], "bundled": splits(datasets.load_comments())}
    tables = {name: all_scores(each, options.kept).set_index(["pair", "model", "seed"]) for name, each in pairs.items()}
    means = {name: table.groupby("model").mean() for name, table in tables.items()}
    print(pd.concat(means, axis=1).round(4).to_string())
    by_split = tables["bundled"].groupby(["model", "pair"]).mean()
    about = {"unit": "", "command": "python benchmarks/sample_models.py --data FOLDER"}
    about["data"] = "Jigsaw train.csv, rows 0-4,799 and 5,000-9,999; data/comments.csv, five splits; MiniLM seeds 0-2"

    def gap(id: str, table: dict[str, pd.Series], splits: pd.Series, asked: str) -> None:
        one, other = (float(table[name]) for name in ("real", "bundled"))
        sides = {"real": round(one, 4), "bundled": round(other, 4), **interval(splits)}
        record(id, abs(one - other), asked=asked, **about, **sides)

    def leads(table: pd.DataFrame, column: str) -> pd.Series | float:
        return table.loc[BERT, column] - table.loc[LINEAR, column]

    auc = {name: table.loc[LINEAR, "auc"] for name, table in means.items()}
    gap("sample.lr_auc_gap", auc, by_split.loc[LINEAR, "auc"], "<= 0.015")
    for column, bound in (("auc", "<= 0.010"), ("ap", "<= 0.025")):
        lead = {name: leads(table, column) for name, table in means.items()}
        gap(f"sample.bert_lead_{column}_gap", lead, leads(by_split, column), bound)
    orders = [table["auc"].sort_values(ascending=False).index.tolist() for table in means.values()]
    same = stats.kendalltau(*(table["auc"].loc[list(MODELS)] for table in means.values())).statistic
    print(*orders, sep="\n")
    parts = {
        f"{name}_{model}".replace(" ", "_"): round(table.loc[model, "auc"], 4)
        for name, table in means.items()
        for model in MODELS
    }
    record("sample.model_order", same, asked=">= 1", **about, **parts)
    shares = [unseen_types(real.iloc[:4_800], real.iloc[5_000:7_000])]
    shares += [unseen_types(train, test.head(2_000)) for train, test in pairs["bundled"]]
    sides = {"real": round(shares[0], 4), "bundled": round(float(np.mean(shares[1:])), 4)}
    record("sample.unseen_types", np.mean(shares[1:]) / shares[0], asked="0.8 to 1.2", **about, **sides)


if __name__ == "__main__":
    main()
