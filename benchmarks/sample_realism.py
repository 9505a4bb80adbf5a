"""How real are the bundled comments? The same five measures on real Jigsaw rows and on `data/comments.csv`.

    python benchmarks/sample_realism.py --data FOLDER

FOLDER (or the environment variable COURSE_DATA) holds `jigsaw/`, as `python -m helpers download jigsaw` makes it. Of
the whole file the first 15,000 rows are used, of a part those with `part == "head"`: natural prevalence, in order.
"""

import argparse
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from _record import data_option, record, use_data
from scipy.stats import ks_2samp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers import datasets
from helpers.text import token_counts

ROOT = Path(__file__).resolve().parent.parent
LABELS = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
COMMAND = "python benchmarks/sample_realism.py --data FOLDER"
HEAD_ROWS = 15_000
MILD = re.compile(
    r"\b(?:stupid|idiots?|idiotic|dumb|fools?|foolish|jerks?|losers?|crap\w*|damn\w*|bloody|butts?|rubbish|pathetic"
    r"|clowns?|shut up|garbage|sucks?|stinks?|dimwit|nitwit|twit|worm|rat|toad|donkey|coward|liar|hate|kill\w*|heck"
    r"|useless|ignorant)\b",
    re.I,
)


def real_rows() -> pd.DataFrame:
    """The first 15,000 rows of the real training data, in natural prevalence."""
    rows = datasets.load_comments("jigsaw")
    if len(rows) == datasets.registry.PUBLISHED["train.csv"].rows:
        return rows.head(HEAD_ROWS)
    rows = datasets.load_comments("jigsaw", keep=["part"])
    return rows[rows["part"] == "head"]


def words(text: str) -> list[str]:
    """Word tokens in lower case."""
    return re.findall(r"\w+", text.lower())


def shingles(text: str) -> set[tuple[str, ...]]:
    """Word 3-grams; a shorter text is one shingle."""
    tokens = words(text)
    return {tuple(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))}


def near_duplicates(texts: list[str], threshold: float = 0.8) -> float:
    """Share of the texts that have another one with word-3-gram Jaccard above the threshold.

    Exact: two sets that similar share one of their rarest 3-grams, a fifth of each (prefix filtering, Bayardo et al.
    2007), so only rows that do are compared.
    """
    sets = [shingles(text) for text in texts]
    counts = Counter(gram for grams in sets for gram in grams)
    index: dict[tuple[str, ...], list[int]] = {}
    duplicates = set()
    for row, grams in enumerate(sets):
        rarest = sorted(grams, key=lambda gram: (counts[gram], gram))[: int(len(grams) * (1 - threshold)) + 1]
        for other in {earlier for gram in rarest for earlier in index.get(gram, ())}:
            if len(grams & sets[other]) > threshold * len(grams | sets[other]):
                duplicates |= {row, other}
        for gram in rarest:
            index.setdefault(gram, []).append(row)
    return len(duplicates) / len(texts)


def token_stream(texts: list[str], seed: int = 0) -> list[str]:
    """All word tokens of the texts, in an order shuffled by a fixed seed."""
    order = np.random.default_rng(seed).permutation(len(texts))
    return [word for i in order for word in words(texts[i])]


def distinct_bigrams(tokens: list[str]) -> float:
    """Distinct bigrams over all bigrams."""
    return len(set(pairwise(tokens))) / (len(tokens) - 1)


def label_auc(frame: pd.DataFrame) -> dict[str, float]:
    """Area under the ROC curve of each label: TF-IDF of words and word pairs, logistic regression, 5 folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = {}
    for label in LABELS:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, strip_accents="unicode"),
            LogisticRegression(C=4, solver="liblinear"),
        )
        texts, target = frame["comment_text"], frame[label]
        chance = cross_val_predict(model, texts, target, cv=folds, method="predict_proba")[:, 1]
        scores[label] = float(roc_auc_score(target, chance))
    return scores


def measure(real: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """All measures: one row each, columns `real`, `sample`, `value` (what is asked about), `asked`."""
    texts = [frame["comment_text"].tolist() for frame in (real, sample)]
    lengths = [token_counts(part) for part in texts]
    correlations = [frame[LABELS].astype(float).corr().to_numpy() for frame in (real, sample)]
    streams = [token_stream(part) for part in texts]
    size = min(map(len, streams))
    distinct = [distinct_bigrams(stream[:size]) for stream in streams]
    twins = [near_duplicates(part) for part in texts]
    aucs = [label_auc(frame) for frame in (real, sample)]
    upper = [matrix[np.triu_indices(len(LABELS), 1)] for matrix in correlations]
    means = [float(np.mean(list(part.values()))) for part in aucs]
    rows: dict[str, tuple] = {
        "sample.length_ks": (*map(np.median, lengths), float(ks_2samp(*lengths).statistic), "<= 0.10"),
        "sample.label_corr_diff": (*(part.mean() for part in upper), np.abs(upper[0] - upper[1]).max(), "<= 0.10"),
        "sample.near_duplicates": (*twins, twins[1], "<= 0.01"),
        "sample.distinct2_ratio": (*distinct, distinct[1] / distinct[0], ">= 0.50"),
        "sample.lr_auc": (*means, means[1], "0.93 to 0.975"),
    }
    for label in LABELS:
        rows[f"AUC {label}"] = (aucs[0][label], aucs[1][label], np.nan, "")
    for label in LABELS:
        rows[f"rate {label}"] = (real[label].mean(), sample[label].mean(), np.nan, "")
    for name, toxic, wanted in (("clean with a mild rude word", 0, True), ("toxic without one", 1, False)):
        chosen = [frame.loc[frame["toxic"] == toxic, "comment_text"] for frame in (real, sample)]
        hits = [part.map(lambda text: bool(MILD.search(text))) for part in chosen]
        rows[name] = (*((hit == wanted).mean() for hit in hits), np.nan, "")
    for share in (5, 25, 50, 75, 90, 95, 99):
        rows[f"characters, {share} %"] = (*(np.percentile([len(t) for t in part], share) for part in texts), np.nan, "")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["real", "sample", "value", "asked"])


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description="Compare the bundled comments with real Jigsaw rows.")
    data_option(parser)
    parser.add_argument("--sample", type=Path, default=ROOT / "data" / "comments.csv", help="the CSV to judge")
    arguments = parser.parse_args()
    use_data(arguments.data)
    real = real_rows()
    sample = pd.read_csv(arguments.sample, keep_default_na=False)
    start = time.perf_counter()
    table = measure(real, sample)
    print("Row 1: median tokens; row 2: mean correlation; rows 3-5: the measure itself. Asked about is `value`.")
    print(table.to_string(float_format=lambda number: f"{number:.4g}", na_rep=""))
    print(f"{len(real):,} real rows, {len(sample):,} sample rows, {time.perf_counter() - start:.0f} s")
    if arguments.sample.resolve() != ROOT / "data" / "comments.csv":
        return  # a trial, not the bundled file
    data = f"Jigsaw train.csv, first {len(real):,} rows; data/comments.csv, {len(sample):,} rows"
    for name in table.index[:5]:
        row = table.loc[name]
        sides = {"real": round(float(row["real"]), 4), "sample": round(float(row["sample"]), 4)}
        record(name, float(row["value"]), unit="", asked=row["asked"], data=data, command=COMMAND, **sides)


if __name__ == "__main__":
    main()
