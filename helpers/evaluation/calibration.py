"""Probabilities that can be taken at their word: a rising curve for each label, fitted on validation rows.

`fit_calibration` gives a `Calibration`, which turns the probabilities of other rows into calibrated ones and can be
saved as plain values. Fit on rows that the model was not trained on, and measure on rows that neither has seen.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from helpers.arguments import as_numbers, check_choice
from helpers.evaluation.row_ids import Ids, refuse_shared, texts_of
from helpers.metrics.checks import Table, checked

if TYPE_CHECKING:
    import torch

Method: TypeAlias = Literal["temperature", "platt", "isotonic"]

METHODS = ("temperature", "platt", "isotonic")
EPSILON = 2.0**-53  # 1 - EPSILON is the largest double below 1; the logits end at ±36.7
TEMPERATURES = (0.1, 10.0)
NO_RISE = 1e-6  # of logits, in standard deviations; below it rounding would make ties

ALONE = "one class only among the known targets of {}: their probabilities stay as they are"
FLAT = "the probabilities of {} do not rise with the label: their slope stays 1, only the intercept is fitted"
AT_THE_END = (
    f"the temperature of {{}} stopped at an end of {list(TEMPERATURES)}: the scores part the known rows without error "
    "(low end) or say nothing about them (high end); do not trust it"
)


@dataclass(frozen=True)
class Curve:
    """What happens to one label's probabilities: a line on the logit scale, or points joined by lines.

    Attributes:
        rows: known rows that it was fitted on.
        positives: those with the label.
        slope: of the line, above 0; 1 over the temperature.
        intercept: of the line.
        x: ascending probabilities of the points; where there are none, the line is meant.
        y: what they become, never falling.
    """

    rows: int
    positives: int
    slope: float = 1.0
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise ValueError(f"slope {self.slope}, intercept {self.intercept}: the slope must be above 0, both finite")
        x, y = np.asarray(self.x, dtype=float), np.asarray(self.y, dtype=float)
        inside = ((x >= 0) & (x <= 1)).all() and ((y >= 0) & (y <= 1)).all()
        if x.shape != y.shape or not inside or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
            raise ValueError(f"{len(x)} x and {len(y)} y: as many of both, in [0, 1], x rising and y never falling")

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N,) for probabilities (N,)."""
        if self.x:
            return np.interp(scores, self.x, self.y)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return scores
        return expit(self.slope * _logits(scores) + self.intercept)


@dataclass(frozen=True)
class Calibration:
    """One curve a label, made by `fit_calibration`; it does not change.

    Attributes:
        method: "temperature", "platt" or "isotonic".
        labels: L names, or 0 to L - 1.
        curves: L of them.
        ids: of the rows that it was fitted on, as text; empty where none were given.

    Examples:
        >>> from helpers import evaluation
        >>> targets, probabilities = [[0], [0], [0], [1], [1]], [[0.1], [0.2], [0.9], [0.8], [0.95]]
        >>> calibration = evaluation.fit_calibration(targets, probabilities, ids=["a", "b", "c", "d", "e"])
        >>> calibration.apply([[0.9]], ids=["f"]).round(2).tolist()  # less sure than before
        [[0.79]]
        >>> again = evaluation.Calibration.from_dict(calibration.to_dict())
        >>> again == calibration
        True
        >>> again.apply([[0.9]], ids=["c"])
        Traceback (most recent call last):
            ...
        ValueError: 1 of these rows were fitted (ids 'c'): take other rows
    """

    method: Method
    labels: tuple[Any, ...]
    curves: tuple[Curve, ...] = field(repr=False)
    ids: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        _check_method(self.method, False)
        if not len(self.labels) == len(set(self.labels)) == len(self.curves) > 0:
            raise ValueError(f"{len(self.curves)} curves for the labels {list(self.labels)}: one for each, please")

    def apply(self, probabilities: Table, *, ids: "Ids | None" = None) -> "np.ndarray | pd.DataFrame | torch.Tensor":
        """Calibrated probabilities of other rows.

        Args:
            probabilities: (N, L) in [0, 1], labels in the order of the fit.
            ids: (N,) of these rows, compared as text with those given to `fit_calibration`. Give them wherever the
                result is going to be measured: on its own rows a calibration looks better than it is.

        Returns:
            (N, L) in [0, 1], float64 so that rounding makes no ties: a DataFrame with the same index and columns for a
            DataFrame, a tensor on the same device for a tensor, else an array.

        Raises:
            ValueError: shape, names or values that do not fit; ids of another number, among those of the fit, or where
                the fit had none.
        """
        scores = as_numbers("probabilities", probabilities)
        if scores.shape[1:] != (len(self.labels),):
            wanted = f"(N, {len(self.labels)}), a column for each of {list(self.labels)}"
            raise ValueError(f"probabilities {scores.shape}: must be {wanted}")
        if len(scores):
            named = self.labels != tuple(range(len(self.labels)))
            checked(np.full_like(scores, np.nan), probabilities, self.labels if named else None)
        if ids is not None:
            if not self.ids:
                raise ValueError("the rows that were fitted are not known: give `ids` to fit_calibration too")
            refuse_shared(self.ids, texts_of("ids", ids, len(scores)), "were fitted")
        columns = [curve.apply(column) for curve, column in zip(self.curves, scores.T, strict=True)]
        return _like(probabilities, np.stack(columns, axis=1))

    def table(self) -> pd.DataFrame:
        """What was fitted, by label.

        Returns:
            `temperature` (1 changes nothing, above 1 moves towards 0.5), or `slope` and `intercept`, or `steps`
            (different values of the isotonic curve; 0 where none was fitted), then `positives` and `rows` (known) of
            the fit.
        """
        columns: dict[str, list[Any]] = {
            "temperature": [1 / curve.slope for curve in self.curves],
            "slope": [curve.slope for curve in self.curves],
            "intercept": [curve.intercept for curve in self.curves],
            "steps": [len(set(curve.y)) for curve in self.curves],
            "positives": [curve.positives for curve in self.curves],
            "rows": [curve.rows for curve in self.curves],
        }
        own = {"temperature": ["temperature"], "platt": ["slope", "intercept"], "isotonic": ["steps"]}[self.method]
        index = pd.Index(self.labels, name="label")
        return pd.DataFrame(columns, index=index)[[*own, "positives", "rows"]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `json` can write and `from_dict` reads; the ids of the fitted rows are among them."""
        curves = [{name: _plain(value) for name, value in asdict(curve).items()} for curve in self.curves]
        return {"method": self.method, "labels": list(self.labels), "curves": curves, "ids": sorted(self.ids)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Calibration":
        """The calibration that `to_dict` saved.

        Raises:
            ValueError: a key is missing or unknown, or a value is not what `to_dict` writes.
        """
        try:
            parts = {**saved, "labels": tuple(saved["labels"]), "ids": frozenset(saved["ids"])}
            parts["curves"] = tuple(
                Curve(**{**one, "x": tuple(one["x"]), "y": tuple(one["y"])}) for one in saved["curves"]
            )
            return cls(**parts)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a saved calibration: {type(error).__name__}: {error}") from error


def fit_calibration(
    targets: Table,
    probabilities: Table,
    *,
    method: Method = "temperature",
    shared: bool = False,
    labels: Sequence[str] | None = None,
    ids: "Ids | None" = None,
) -> Calibration:
    """A curve for each label that turns probabilities into calibrated ones, from rows the model was not trained on.

    - "temperature": the logit is divided by one number above 0, the one in [0.1, 10] with the smallest log loss (Guo
      et al. 2017, On Calibration of Modern Neural Networks). It corrects too much or too little confidence, but 0.5
      stays 0.5: it cannot correct a rate that is off, as after training with class weights. That takes
    - "platt": slope × logit + intercept, by logistic regression on targets drawn in a little, (P + 1) / (P + 2) and
      1 / (N + 2) for P positives and N negatives (Platt 1999, Probabilistic Outputs for Support Vector Machines). The
      slope stays above 0: below it would turn the ranking around, so where positives have no higher logits than
      negatives on average it stays 1, and the intercept alone is fitted.
    - "isotonic": any curve that never falls (Zadrozny and Elkan 2002, Transforming Classifier Scores into Accurate
      Multiclass Probability Estimates); scikit-learn's `IsotonicRegression`, flat beyond the fitted probabilities. It
      makes ties, so the AUC can change, overfits when there are few positives (below some hundreds, take another
      method), and can give exactly 0 or 1.

    The first two keep the order of the rows, and so the AUC. For them probabilities are clipped to [2**-53, 1 - 2**-53]
    first, as the logit of 0 or 1 is infinite; only what lies outside becomes equal, or rounds to 1 in the end. Such a
    row then has a logit of ±36.7, and where it is wrong it weighs heavily. In float32, as `loops.predict_proba` gives,
    all logits above 17 are exactly 1.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        method: one of the above.
        shared: one temperature for all labels, from all known entries together; rare labels borrow from common ones.
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.
        ids: (N,) of the rows; `Calibration.apply` then refuses rows with the same ids. They are kept and saved.

    Returns:
        The calibration; `apply` uses it, `table` shows it, `to_dict` saves it.

    Raises:
        ValueError: shapes, names or values that do not fit, an unknown method, `shared` with another method than
            temperature, ids that are missing or of another number than the rows.

    Warns:
        UserWarning: naming labels with one class only, which stay as they are (with `shared` they take the temperature
            of all, unless all entries are of one class); labels whose temperature stopped at an end of its range;
            labels whose slope was not fitted.

    Examples:
        >>> from helpers import evaluation
        >>> targets, probabilities = [[0], [0], [0], [1], [1]], [[0.1], [0.2], [0.9], [0.8], [0.95]]
        >>> for method in ("temperature", "platt", "isotonic"):
        ...     calibration = evaluation.fit_calibration(targets, probabilities, method=method, labels=["toxic"])
        ...     print(method, calibration.table().round(2).loc["toxic"].to_dict())
        temperature {'temperature': 1.67, 'positives': 2.0, 'rows': 5.0}
        platt {'slope': 0.38, 'intercept': -0.6, 'positives': 2.0, 'rows': 5.0}
        isotonic {'steps': 3, 'positives': 2, 'rows': 5}
    """
    _check_method(method, shared)
    truth, scores, names = checked(targets, probabilities, labels)
    taken = frozenset() if ids is None else frozenset(texts_of("ids", ids, len(truth)))
    known = ~np.isnan(truth)
    parts = [(t[k], s[k]) for t, s, k in zip(truth.T, scores.T, known.T, strict=True)]
    fits = [_fit(truth[known], scores[known], method)] * len(parts) if shared else [_fit(*p, method) for p in parts]
    for problem in (ALONE, FLAT, AT_THE_END):
        if named := [name for name, (_, result) in zip(names.tolist(), fits, strict=True) if result == problem]:
            warnings.warn(problem.format(named), UserWarning, stacklevel=2)
    counts: list[dict[str, Any]] = [{"rows": len(t), "positives": int(t.sum())} for t, _ in parts]
    curves = tuple(Curve(**count, **fitted) for count, (fitted, _) in zip(counts, fits, strict=True))
    return Calibration(method, tuple(names.tolist()), curves, taken)


def _fit(truth: np.ndarray, scores: np.ndarray, method: Method) -> tuple[dict[str, Any], str]:
    """What `Curve` needs beside its counts, from known targets and their probabilities, and the problem met or ''."""
    if len(np.unique(truth)) < 2:
        return {}, ALONE
    if method == "isotonic":
        result = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
        return {"x": tuple(result.X_thresholds_.tolist()), "y": tuple(result.y_thresholds_.tolist())}, ""
    return (_temperature if method == "temperature" else _platt)(truth, _logits(scores))


def _temperature(truth: np.ndarray, logits: np.ndarray) -> tuple[dict[str, float], str]:
    signed = np.where(truth == 1, logits, -logits)
    if not signed.any():
        return {}, ""

    def loss(log_temperature: float) -> float:
        return np.logaddexp(0, -signed * np.exp(-log_temperature)).mean()

    ends = np.log(TEMPERATURES)
    # The loss is convex in 1 / temperature, so on the log scale too it has one minimum at most.
    best = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-8}).x
    return {"slope": float(np.exp(-best))}, AT_THE_END if np.abs(best - ends).min() < 1e-3 else ""


def _platt(truth: np.ndarray, logits: np.ndarray) -> tuple[dict[str, float], str]:
    positives, negatives = (truth == 1).sum(), (truth == 0).sum()
    wanted = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle, spread = logits.mean(), logits.std()
    if spread > NO_RISE:
        slope, intercept = _logistic_line((logits - middle) / spread, wanted)
        if slope > NO_RISE:
            return {"slope": slope / spread, "intercept": intercept - slope * middle / spread}, ""
    return {"intercept": _shift(logits, wanted)}, FLAT


def _logistic_line(values: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of targets between 0 and 1 on values of mean 0 and variance 1."""
    # scikit-learn takes no targets between 0 and 1: each row is a positive and a negative, weighted.
    twice, kinds = np.concatenate([values, values])[:, None], np.repeat([1, 0], len(values))
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    model.fit(twice, kinds, sample_weight=np.concatenate([wanted, 1 - wanted]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _shift(logits: np.ndarray, wanted: np.ndarray) -> float:
    """What to add to the logits so that the mean probability is the mean of what is wanted."""
    rate = wanted.mean()
    low, high = logit(rate) - logits.max() - 1, logit(rate) - logits.min() + 1
    return float(brentq(lambda shift: expit(logits + shift).mean() - rate, low, high, xtol=1e-12))


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores, EPSILON, 1 - EPSILON))


def _like(given: Any, found: np.ndarray) -> "np.ndarray | pd.DataFrame | torch.Tensor":  # noqa: ANN401
    if isinstance(given, pd.DataFrame):
        return pd.DataFrame(found, index=given.index, columns=given.columns)
    if hasattr(given, "detach"):
        import torch

        return torch.from_numpy(found).to(given.device)
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401
    return list(value) if isinstance(value, tuple) else value


def _check_method(method: str, shared: bool) -> None:
    check_choice("method", method, METHODS)
    if check_choice("shared", shared, (True, False)) and method != "temperature":
        raise ValueError(f"shared=True goes with method='temperature', not with {method!r}")
