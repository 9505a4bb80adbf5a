"""Linear models over word counts, without torch: NBSVM, and CountTagger, which is TF-IDF + logistic regression."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from helpers import config, text
from helpers.arguments import as_numbers, check_choice, check_count, check_number
from helpers.metrics.checks import Threshold, check_same_rows, decide
from helpers.text import warn_of_unknown

Matrix: TypeAlias = "ArrayLike | sparse.spmatrix | sparse.sparray"

WEIGHTS, VOCABULARY = config.TAGGER_WEIGHTS, config.TAGGER_VOCABULARY
TOKEN_PATTERN = 2  # version of `text.tokens`, stored with a tagger; 1 was scikit-learn's own pattern
UNKNOWN_TOKENS = 0.8  # share of its tokens from which a text is unknown; of held-out English none comes near
LEAST_UNKNOWN = 3  # tokens: fewer are no more than a few mistyped words


class NBSVM(ClassifierMixin, BaseEstimator):
    """A linear classifier over counts, each first multiplied by what naive Bayes thinks of its word.

    The factor of a word is the log-ratio of its smoothed share among the words of the positive rows and of the negative
    ones. Words that tell the label get large features, so the penalty of the linear model presses less on them. The
    linear model is a logistic regression in place of the paper's support vector machine, as in the baseline by which
    the method became known in the Jigsaw challenge: it gives probabilities, and ranks as well.

    For one binary label; for several, `sklearn.multiclass.OneVsRestClassifier(NBSVM())`.

    Source: Wang and Manning 2012, Baselines and Bigrams: Simple, Good Sentiment and Topic Classification.

    Args:
        C: inverse strength of the L2 penalty of the logistic regression, above 0.
        alpha: added to the count of each word in each class, above 0.
        max_iter: steps of the solver at most.

    Attributes:
        classes_: (2,) the two classes, in ascending order.
        ratios_: (F,) the factor of each word.
        coef_: (1, F) weight of each count, factor and logistic regression together.
        intercept_: (1,).

    Examples:
        >>> from sklearn.feature_extraction.text import CountVectorizer
        >>> from helpers import models, text
        >>> vectorizer = CountVectorizer(tokenizer=text.tokens, token_pattern=None)
        >>> counts = vectorizer.fit_transform(["you fool", "silly fool", "you are kind", "what a day"])
        >>> classifier = models.NBSVM().fit(counts, [1, 1, 0, 0])
        >>> classifier.predict(vectorizer.transform(["a fool", "kind of you"])).tolist()
        [1, 0]
    """

    def __init__(self, C: float = 4.0, *, alpha: float = 1.0, max_iter: int = 200) -> None:  # noqa: N803
        self.C, self.alpha, self.max_iter = C, alpha, max_iter

    def fit(self, X: Matrix, y: ArrayLike) -> "NBSVM":  # noqa: N803
        """Learn from counts.

        Args:
            X: (N, F), dense or sparse, 0 or more: counts or TF-IDF.
            y: (N,) of two classes; the greater one is the positive.

        Raises:
            ValueError: a negative or missing count, other than two classes, C or alpha not above 0 (without alpha, a
                word of one class alone has an infinite ratio), max_iter below 1.
        """
        check_number("C", self.C, above=0)
        check_number("alpha", self.alpha, above=0)
        check_count("max_iter", self.max_iter)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)  # noqa: N806
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) > 2:
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present: two are needed")
        check_non_negative(X, "NBSVM.fit")
        negative, positive = (self.alpha + np.asarray(X[y == one].sum(axis=0)).ravel() for one in self.classes_)
        self.ratios_ = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
        linear = LogisticRegression(C=self.C, solver="liblinear", max_iter=self.max_iter)
        linear.fit(X @ sparse.diags_array(self.ratios_), y)
        self.coef_, self.intercept_, self.n_iter_ = linear.coef_ * self.ratios_, linear.intercept_, linear.n_iter_
        return self

    def decision_function(self, X: Matrix) -> np.ndarray:  # noqa: N803
        """Logits (N,) of the positive class for counts (N, F)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)  # noqa: N806
        return np.asarray(X @ self.coef_.T).ravel() + self.intercept_[0]

    def predict_proba(self, X: Matrix) -> np.ndarray:  # noqa: N803
        """Probabilities (N, 2) of the negative and the positive class for counts (N, F)."""
        logits = self.decision_function(X)
        return np.column_stack([expit(-logits), expit(logits)])

    def predict(self, X: Matrix) -> np.ndarray:  # noqa: N803
        """Classes (N,) for counts (N, F)."""
        logits = self.decision_function(X)
        return self.classes_[(logits > 0).astype(int)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = tags.input_tags.positive_only = True
        return tags


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
                token in any text or no n-gram of letters in `min_df` texts; or labels of which fewer than two classes
                are known (they are named).
        """
        truth = _checked_targets(texts, targets)
        texts = text.as_texts(texts, allow_empty=False)
        if len(texts) != len(truth) or not truth.size:
            raise ValueError(f"{len(texts)} texts, and targets have shape {truth.shape}: (N, L) is needed")
        vectorizers = _vectorizers(TOKEN_PATTERN, self.char_ngrams, self.min_df)
        try:
            counts = sparse.hstack([each.fit_transform(texts) for each in vectorizers], format="csr")
        except ValueError as error:
            raise ValueError(
                f"the {len(texts):,} texts have no words, or no piece of a word in {self.min_df} of them: give more "
                "texts, min_df=1 or char_ngrams=False"
            ) from error
        options = {"C": self.C, "solver": "liblinear", "dual": True, "max_iter": 1000, "random_state": 0}
        known = ~np.isnan(truth)
        models = [
            LogisticRegression(**options).fit(counts[rows], column[rows])
            for rows, column in zip(known.T, truth.T, strict=True)
        ]
        self.labels, self.vectorizers = [str(name) for name in targets.columns], vectorizers
        self.token_pattern = TOKEN_PATTERN
        self.coef = np.concatenate([model.coef_ for model in models]).astype(np.float32)
        self.intercept = np.concatenate([model.intercept_ for model in models]).astype(np.float32)
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


def _vectorizers(token_pattern: int, char_ngrams: bool, min_df: int) -> list[TfidfVectorizer]:
    words: dict[str, Any] = {"ngram_range": (1, 2)}
    letters: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": min_df}
    if token_pattern == TOKEN_PATTERN:
        words |= {"lowercase": False, "tokenizer": text.tokens, "token_pattern": None}
        letters |= {"preprocessor": text.normalize}
    chosen = [words, letters] if char_ngrams else [words]
    return [TfidfVectorizer(sublinear_tf=True, **options) for options in chosen]


def _checked_targets(texts: Any, targets: Any) -> np.ndarray:  # noqa: ANN401
    """Targets as float (N, L), NaN where unknown, each label with both classes."""
    if not isinstance(targets, pd.DataFrame):
        hint = "such as table[['toxic']] or pd.DataFrame(targets, columns=[...])"
        kind = f"a {type(targets).__name__} of shape {np.shape(targets)}"
        raise ValueError(f"targets are {kind}: expected a DataFrame with one column per label, {hint}")
    check_same_rows(texts=texts, targets=targets)
    truth, names = as_numbers("targets", targets), [str(name) for name in targets.columns]
    if not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
        raise ValueError("targets hold other values than 0, 1 and NaN (unknown)")
    if len(set(names)) < len(names):
        raise ValueError(f"labels {names} must have different names: rename the columns")
    has_both = (truth == 0).any(axis=0) & (truth == 1).any(axis=0)
    if len(truth) and not has_both.all():
        raise ValueError(
            f"{targets.columns[~has_both].tolist()} have one class only, or none, among the {len(truth):,} training "
            "rows, so nothing can be learnt: collect examples, join the label with another, or leave it out "
            "(drop=[...] when loading)"
        )
    return truth


def write_counts(tagger: CountTagger, folder: Path) -> dict[str, Any]:
    """Write weights and vocabulary of a fitted tagger into a new folder; return the settings that belong to them.

    Examples:
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> from helpers.models.linear import CountTagger, read_counts, write_counts
        >>> tagger = CountTagger().fit(["a goat", "a lamp", "no goat"], pd.DataFrame({"goat": [1, 0, 1]}))
        >>> settings = write_counts(tagger, Path())
        >>> read_counts(Path(), {"labels": ["goat"], **settings}).labels
        ['goat']
    """
    from safetensors.numpy import save_file

    arrays = {"coef": tagger.coef, "intercept": tagger.intercept}
    arrays |= {f"idf_{number}": each.idf_ for number, each in enumerate(tagger.vectorizers)}
    save_file(arrays, folder / WEIGHTS)
    terms = [each.get_feature_names_out().tolist() for each in tagger.vectorizers]
    (folder / VOCABULARY).write_text(json.dumps(terms) + "\n", encoding="utf-8")
    options = {name: getattr(tagger, name) for name in ("C", "char_ngrams", "min_df", "token_pattern")}
    return {"kind": "counts", "options": options}


def read_counts(folder: Path, settings: dict[str, Any]) -> CountTagger:
    """Read the tagger that `write_counts` wrote.

    Raises:
        FileNotFoundError: a file is missing; it is named.
        ValueError: a file is corrupt, or the files do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (WEIGHTS, VOCABULARY):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: the folder of the tagger is incomplete")
    try:
        options = dict(settings["options"])
        pattern = options.pop("token_pattern", 1)
        if pattern not in (1, TOKEN_PATTERN):
            raise ValueError(f"token pattern {pattern!r} is of another version: 1 to {TOKEN_PATTERN} are known")
        tagger = CountTagger(**options)
        terms = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        arrays, shape = load_file(folder / WEIGHTS), (len(settings["labels"]), sum(map(len, terms)))
        tagger.labels, tagger.token_pattern = settings["labels"], pattern
        tagger.coef, tagger.intercept = arrays["coef"], arrays["intercept"]
        tagger.vectorizers = _vectorizers(pattern, tagger.char_ngrams, tagger.min_df)
        for number, (each, vocabulary) in enumerate(zip(tagger.vectorizers, terms, strict=True)):
            each.set_params(vocabulary=vocabulary).idf_ = arrays[f"idf_{number}"]
        if tagger.coef.shape != shape or tagger.intercept.shape != shape[:1]:
            raise ValueError(f"weights {tagger.coef.shape} are not for {shape[0]} labels and these words")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: corrupt, or its files do not belong together: {error!r}") from error
    return tagger
