"""Are the bundled reviews hard for counts, varied, and without copies? Three figures about `data/reviews.csv`.

    python benchmarks/sample_reviews.py --data FOLDER

FOLDER (or the environment variable COURSE_DATA) holds `imdb/`, as `python -m helpers download imdb` makes it; without
it the comparison with real reviews is skipped, and said to be.
"""

import argparse
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from _record import record
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers import datasets

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "reviews.csv"
COMMAND = "python benchmarks/sample_reviews.py"
WORD = re.compile(r"[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """Words in lower case, without the paragraph breaks."""
    return WORD.findall(text.lower().replace("<br />", " "))


def bow_scores(reviews: pd.DataFrame, folds: int = 5) -> np.ndarray:
    """Probability of "positive" for each review from TF-IDF of words and pairs and logistic regression, out of fold."""
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(C=3, max_iter=1000)
    )
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    positive = reviews["sentiment"].eq("positive").to_numpy(dtype=int)
    return cross_val_predict(model, reviews["review"], positive, cv=split, method="predict_proba")[:, 1]


def near_duplicates(texts: Iterable[str], limit: float = 0.8) -> float:
    """Share of texts that have another one with a Jaccard similarity of word 3-grams above `limit`.

    Only texts that share one of their rarest grams are compared: two sets above the limit must (prefix filter,
    Chaudhuri et al., 2006).
    """
    sets = [set(zip(words, words[1:], words[2:], strict=False)) for words in map(tokens, texts)]
    count = Counter(gram for grams in sets for gram in grams)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    duplicates: set[int] = set()
    for row, grams in enumerate(sets):
        rarest = sorted(grams, key=lambda gram: (count[gram], gram))[: len(grams) - math.ceil(limit * len(grams)) + 1]
        for other in {other for gram in rarest for other in holders[gram]}:
            if len(grams & sets[other]) > limit * len(grams | sets[other]):
                duplicates |= {row, other}
        for gram in rarest:
            holders[gram].append(row)
    return len(duplicates) / len(sets)


def distinct2(texts: Iterable[str], count: int | None = None) -> tuple[float, int]:
    """Distinct pairs of neighbouring words over words, in the first `count` words; and how many words were read."""
    pairs: set[tuple[str, str]] = set()
    seen = 0
    for text in texts:
        words = tokens(text)[: None if count is None else count - seen]
        pairs.update(pairwise(words))
        seen += len(words)
        if seen == count:
            break
    return len(pairs) / seen, seen


def compare_with_real(reviews: pd.DataFrame, folder: str | None) -> None:
    """Record the ratio of distinct pairs, ours over IMDB's, at the same number of words; or say that it is skipped."""
    if folder:
        os.environ["COURSE_DATA"] = folder
    try:
        real = datasets.load_reviews("imdb")["comment_text"].sample(frac=1, random_state=0)
    except FileNotFoundError:
        print("reviews.distinct2_ratio skipped: give a folder that holds imdb/ with --data or COURSE_DATA")
        return
    ours, count = distinct2(reviews["review"])
    theirs, _ = distinct2(real, count)
    record(
        "reviews.distinct2_ratio",
        100 * ours / theirs,
        unit="%",
        asked=">= 50 %",
        data=f"data/reviews.csv against real IMDB reviews, {count:,} words each",
        command=f"{COMMAND} --data FOLDER",
        ours=round(ours, 4),
        real=round(theirs, 4),
    )


def main() -> None:
    """Read the command line, measure, record."""
    parser = argparse.ArgumentParser(description="Measure the bundled reviews.")
    parser.add_argument("--data", default=os.environ.get("COURSE_DATA"), help="folder with imdb/ (or set COURSE_DATA)")
    folder = parser.parse_args().data
    reviews = pd.read_csv(SAMPLE, keep_default_na=False)
    positive = reviews["sentiment"].eq("positive").to_numpy(dtype=int)
    scores = bow_scores(reviews)
    data = f"data/reviews.csv, {len(reviews):,} rows"
    record(
        "reviews.bow_auc",
        roc_auc_score(positive, scores),
        unit="",
        asked="< 0.93",
        data=f"{data}, 5-fold, TF-IDF word 1-2 and logistic regression",
        command=COMMAND,
        accuracy=round(accuracy_score(positive, scores > 0.5), 4),
    )
    share = 100 * near_duplicates(reviews["review"])
    record("reviews.near_duplicates", share, unit="%", asked="<= 1 %", data=data, command=COMMAND)
    compare_with_real(reviews, folder)


if __name__ == "__main__":
    main()
