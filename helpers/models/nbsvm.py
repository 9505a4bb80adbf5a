"""Linear models over word counts, as scikit-learn classifiers."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from helpers.arguments import check_count, check_number

Matrix: TypeAlias = "ArrayLike | sparse.spmatrix | sparse.sparray"


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
            kind = type_of_target(y)
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present: two are needed")
        check_non_negative(X, "NBSVM.fit")
        shares = []
        for chosen in (y == self.classes_[1], y == self.classes_[0]):
            counts = self.alpha + np.asarray(X[chosen].sum(axis=0)).ravel()
            shares.append(counts / counts.sum())
        self.ratios_ = np.log(shares[0] / shares[1])
        linear = LogisticRegression(C=self.C, solver="liblinear", max_iter=self.max_iter)
        linear.fit(self._scaled(X), y)
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
        return np.column_stack([np.exp(-np.logaddexp(0, logits)), np.exp(-np.logaddexp(0, -logits))])

    def predict(self, X: Matrix) -> np.ndarray:  # noqa: N803
        """Classes (N,) for counts (N, F)."""
        decided = self.decision_function(X) > 0
        return self.classes_[decided.astype(int)]

    def _scaled(self, X: Any) -> Any:  # noqa: ANN401, N803
        return X.multiply(self.ratios_).tocsr() if sparse.issparse(X) else X * self.ratios_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = tags.input_tags.positive_only = True
        return tags
