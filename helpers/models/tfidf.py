"""A tagger without a network: TF-IDF of words and pieces of words, one logistic regression a label; and its folder."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import config, folders, text
from helpers.arguments import as_numbers, check_choice, check_count, check_number
from helpers.metrics.checks import Threshold, check_same_rows, decide
from helpers.tagger_settings import checked_thresholds, thresholds_as_json, whole_folder
from helpers.text_checks import warn_of_unknown

WEIGHTS, SETTINGS, VOCABULARY = config.TAGGER_WEIGHTS, config.TAGGER_SETTINGS, config.TAGGER_VOCABULARY
KIND = "counts"
TOKEN_PATTERN = 2  # version of `text.tokens`, stored with a tagger; 1 was scikit-learn's own pattern
UNKNOWN_TOKENS = 0.8  # share of its tokens from which a text is unknown; of held-out English none comes near
LEAST_UNKNOWN = 3  # tokens: fewer are no more than a few mistyped words


class CountTagger:
    """Any number of labels over counts, each learnt from the rows in which it is known.

    Two sets of features side by side: TF-IDF of single tokens and pairs of tokens (`text.tokens`: words of every
    script, numbers, emoji), and TF-IDF of the pieces of words, of two to five letters, by which a word that was
    mistyped or never seen resembles others. Both over normalized text (`text.normalize`), with logarithmic counts and
    rows of length one. On them a logistic regression for each label.

    Args:
        C: inverse strength of the L2 penalty.
        char_ngrams: n-grams of 2 to 5 letters within words, beside words and bigrams; False leaves them out.
        min_df: n-grams of letters in fewer training texts are left out.

    Attributes:
        labels: names of the L labels, in the order of the columns.
        vectorizers: the fitted TF-IDF vectorizers.
        coef: (L, F) weights.
        intercept: (L,).
        token_pattern: version of the pattern by which texts are split: 2 is `text.tokens`; a folder that was saved
            before it existed has 1, scikit-learn's pattern, and predicts with that as it did.

    Raises:
        ValueError: C is not above 0, or min_df is below 1.

    Examples:
        >>> import pandas as pd
        >>> from helpers import models
        >>> texts = ["the goat eats", "a goat again", "the lamp is out", "no lamp here"]
        >>> targets = pd.DataFrame({"goat": [1, 1, 0, None], "lamp": [0, 0, 1, 1]})
        >>> tagger = models.CountTagger().fit(texts, targets)
        >>> tagger.predict(["that goat!", "a lamp"]).to_dict("list")
        {'goat': [1, 0], 'lamp': [0, 1]}
    """

    def __init__(self, C: float = 20.0, *, char_ngrams: bool = True, min_df: int = 2) -> None:  # noqa: N803
        self.C, self.min_df = check_number("C", C, above=0), check_count("min_df", min_df)
        self.char_ngrams = bool(check_choice("char_ngrams", char_ngrams, (True, False)))
        self.token_pattern = TOKEN_PATTERN
        self.labels: list[str] = []
        self.vectorizers: list[TfidfVectorizer] = []
        self.coef, self.intercept = np.zeros((0, 0)), np.zeros(0)

    def fit(self, texts: Iterable[str], targets: pd.DataFrame) -> "CountTagger":
        """Learn vocabulary and weights, from the training set alone.

        Args:
            texts: N texts.
            targets: (N, L) of 0, 1 and missing values (unknown), one column per label.

        Raises:
            ValueError: texts as in `text.as_texts`, or none; targets that are no table with a column per label;
                another number of texts than rows, or rows in another order; other values; two labels of one name; no
                token in any text or no piece of a word in `min_df` texts; or labels of which fewer than two classes
                are known (they are named).
        """
        if not isinstance(targets, pd.DataFrame):
            raise ValueError(_targets_hint(targets))
        if isinstance(texts, pd.Series):
            check_same_rows(texts=texts, targets=targets)
        texts, truth = text.as_texts(texts, allow_empty=False), as_numbers("targets", targets)
        if len(texts) != len(truth) or not truth.size:
            raise ValueError(f"{len(texts)} texts, and targets have shape {truth.shape}: (N, L) is needed")
        if not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
            raise ValueError("targets hold other values than 0, 1 and NaN (unknown)")
        names = [str(name) for name in targets.columns]
        if len(set(names)) < len(names):
            raise ValueError(f"labels {names} must have different names: rename the columns")
        lacking = [
            name
            for name, column in zip(targets.columns, truth.T, strict=True)
            if len(set(column[~np.isnan(column)])) < 2
        ]
        if lacking:
            raise ValueError(
                f"{lacking} have one class only, or none, among the {len(truth):,} training rows, so nothing can be "
                "learnt: collect examples, join the label with another, or leave it out (drop=[...] when loading)"
            )
        vectorizers = [_vectorizer(TOKEN_PATTERN, **options) for options in self._options()]
        try:
            counts = sparse.hstack([each.fit_transform(texts) for each in vectorizers], format="csr")
        except ValueError as error:
            raise ValueError(
                f"the {len(texts):,} texts have no words, or no piece of a word in {self.min_df} of them: give more "
                "texts, min_df=1 or char_ngrams=False"
            ) from error
        lines = [self._line(counts, column) for column in truth.T]
        self.labels, self.vectorizers, self.token_pattern = names, vectorizers, TOKEN_PATTERN
        self.coef = np.concatenate([line.coef_ for line in lines]).astype(np.float32)
        self.intercept = np.concatenate([line.intercept_ for line in lines]).astype(np.float32)
        return self

    def predict(self, texts: Iterable[str], *, threshold: Threshold = 0.5) -> pd.DataFrame:
        """Decide labels, (N, L) of 0 and 1: 1 where a probability is at least its label's threshold.

        Args:
            texts: as `predict_proba`.
            threshold: one for all labels, or (L,); inf never decides 1.

        Raises:
            ValueError: as `predict_proba`; a threshold that does not fit.
        """
        table = self.predict_proba(texts)
        decided = decide(table.to_numpy(), threshold, table.columns)
        return pd.DataFrame(decided, index=table.index, columns=table.columns).astype(np.int8)

    def predict_proba(self, texts: Iterable[str]) -> pd.DataFrame:
        """Predict the probabilities of texts, (N, L) float32, one column per label.

        Warns when most tokens of texts are not in the vocabulary.

        Args:
            texts: a list or a Series, whose index the answer gets.

        Raises:
            ValueError: the tagger was not fitted, or texts as in `text.as_texts`.
        """
        if not self.labels:
            raise ValueError("the tagger has learnt nothing yet: call fit first")
        index = texts.index if isinstance(texts, pd.Series) else None
        texts = text.as_texts(texts)
        warn_of_unknown(self.mostly_unknown(texts), source="the vocabulary")
        return pd.DataFrame(self.probabilities(texts), columns=self.labels, index=index)

    def mostly_unknown(self, texts: list[str]) -> np.ndarray:
        """(N,) bool, True for texts whose tokens are mostly not in the vocabulary."""
        known = self.vectorizers[0].vocabulary_
        missing = [[token not in known for token in text.tokens(each)] for each in texts]
        return np.array([sum(own) >= max(LEAST_UNKNOWN, UNKNOWN_TOKENS * len(own)) for own in missing], dtype=bool)

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """As `predict_proba`, as an array, and without its warning."""
        if not texts:
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        counts = sparse.hstack([each.transform(texts) for each in self.vectorizers], format="csr")
        return expit(np.asarray(counts @ self.coef.T) + self.intercept).astype(np.float32)

    def _options(self) -> list[dict[str, Any]]:
        words = {"ngram_range": (1, 2)}
        char_ngrams = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": self.min_df}
        return [words, char_ngrams] if self.char_ngrams else [words]

    def _line(self, counts: sparse.csr_matrix, column: np.ndarray) -> LogisticRegression:
        known = ~np.isnan(column)
        return LogisticRegression(C=self.C, solver="liblinear", dual=True, max_iter=1000, random_state=0).fit(
            counts[known], column[known]
        )


def _vectorizer(token_pattern: int, **options: object) -> TfidfVectorizer:
    if token_pattern == 1:
        return TfidfVectorizer(sublinear_tf=True, **options)
    own: dict[str, Any] = {"lowercase": False, "tokenizer": text.tokens, "token_pattern": None}
    own = {"preprocessor": text.normalize} if "analyzer" in options else own
    return TfidfVectorizer(sublinear_tf=True, **own, **options)


def _targets_hint(targets: Any) -> str:  # noqa: ANN401
    kind, shape = type(targets).__name__, np.shape(targets)
    name = getattr(targets, "name", None) if isinstance(targets, pd.Series) else None
    hint = f"such as table[[{name or 'toxic'!r}]]" if name or len(shape) < 2 else "pd.DataFrame(targets, columns=[...])"
    return f"targets are a {kind} of shape {shape}: expected a DataFrame with one column per label, {hint}"


def save_counts(folder: str | Path, tagger: CountTagger, *, thresholds: Mapping[str, float] | None = None) -> Path:
    """Write a fitted tagger into a folder, which appears as a whole or not at all; numbers and plain text alone.

    `export.Predictor.load` reads it and puts it to work, `set_thresholds` changes its thresholds.

    Args:
        folder: does not exist yet, or holds such a tagger, which is replaced.
        tagger: fitted.
        thresholds: by label, a dict or a Series; labels that are not named get 0.5; inf never gives the label.

    Raises:
        ValueError: the tagger was not fitted; thresholds for other labels, or neither from 0 to 1 nor inf.
        FileExistsError: the folder holds something else than such a tagger, or something beside one.

    Examples:
        >>> import pandas as pd
        >>> from helpers import export, models
        >>> tagger = models.CountTagger().fit(["a goat", "a lamp", "no goat"], pd.DataFrame({"goat": [1, 0, 1]}))
        >>> folder = models.save_counts("goats", tagger, thresholds={"goat": 0.6})
        >>> export.Predictor.load(folder).thresholds
        {'goat': 0.6}
    """
    from safetensors.numpy import save_file

    if not isinstance(tagger, CountTagger):
        raise ValueError(f"tagger: expected a models.CountTagger, got a {type(tagger).__name__}")
    if not tagger.labels:
        raise ValueError("the tagger has learnt nothing yet: call fit first")
    filled = checked_thresholds(tagger.labels, {} if thresholds is None else thresholds)
    options = {"C": tagger.C, "char_ngrams": tagger.char_ngrams, "min_df": tagger.min_df}
    options |= {"token_pattern": tagger.token_pattern}
    settings = {"kind": KIND, "labels": tagger.labels, "thresholds": thresholds_as_json(filled), "options": options}
    arrays = {"coef": tagger.coef, "intercept": tagger.intercept}
    terms = []
    for number, each in enumerate(tagger.vectorizers):
        arrays[f"idf_{number}"] = each.idf_
        terms.append(each.get_feature_names_out().tolist())
    with whole_folder(folder) as partial:
        save_file(arrays, partial / WEIGHTS)
        (partial / VOCABULARY).write_text(json.dumps(terms) + "\n", encoding="utf-8")
        (partial / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return Path(folder)


def load_counts(folder: str | Path) -> tuple[CountTagger, dict[str, float]]:
    """Read a tagger, and its thresholds by label, from a folder that `save_counts` wrote.

    Raises:
        FileNotFoundError: the folder is no such tagger's; the missing file is named.
        ValueError: a file is corrupt, or the files do not belong together.

    Examples:
        >>> import pandas as pd
        >>> from helpers import models
        >>> tagger = models.CountTagger().fit(["a goat", "a lamp", "no goat"], pd.DataFrame({"goat": [1, 0, 1]}))
        >>> again, thresholds = models.load_counts(models.save_counts("goats", tagger))
        >>> again.labels, thresholds
        (['goat'], {'goat': 0.5})
    """
    return folders.read_whole(folder, lambda: _read_counts(Path(folder)))


def _read_counts(folder: Path) -> tuple[CountTagger, dict[str, float]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (SETTINGS, WEIGHTS, VOCABULARY):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing: the folder holds no tagger of counts, or not all of it"
            )
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        options = dict(settings["options"])
        pattern = options.pop("token_pattern", 1)
        if pattern not in (1, TOKEN_PATTERN):
            raise ValueError(f"token pattern {pattern!r} is of another version: 1 to {TOKEN_PATTERN} are known")
        tagger = CountTagger(**options)
        tagger.token_pattern = pattern
        labels = [str(name) for name in settings["labels"]]
        thresholds = checked_thresholds(labels, {k: float(v) for k, v in settings["thresholds"].items()})
        terms = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        arrays = load_file(folder / WEIGHTS)
        tagger.coef, tagger.intercept = arrays["coef"], arrays["intercept"]
        for number, (own, vocabulary) in enumerate(zip(tagger._options(), terms, strict=True)):
            tagger.vectorizers.append(_vectorizer(pattern, **own, vocabulary=vocabulary))
            tagger.vectorizers[-1].idf_ = arrays[f"idf_{number}"]
        if tagger.coef.shape != (len(labels), sum(map(len, terms))) or tagger.intercept.shape != (len(labels),):
            raise ValueError(f"weights {tagger.coef.shape} are not for {len(labels)} labels and these words")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: corrupt, or its files do not belong together: {error!r}") from error
    tagger.labels = labels
    return tagger, thresholds
