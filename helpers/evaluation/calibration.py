"""Does a probability mean what it says? Of the rows that get 0.7, seven in ten should have the label.

`reliability`, `calibration_error` and `brier` measure it. `fit_calibration` makes it so: a rising curve for each label,
fitted on rows that the model was not trained on; measure on rows that neither has seen.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression, isotonic_regression
from sklearn.linear_model import LogisticRegression

from helpers.arguments import as_numbers, check_choice, check_count
from helpers.metrics.checks import Ids, Table, checked, checked_curve, id_texts, refuse_shared

if TYPE_CHECKING:
    import torch

Binning: TypeAlias = Literal["uniform", "quantile"]
Method: TypeAlias = Literal["temperature", "platt", "isotonic"]

COLUMNS = {"temperature": ["temperature"], "platt": ["slope", "intercept"], "isotonic": ["steps"]}
EPSILON = 2.0**-53  # 1 - EPSILON is the largest double below 1; the logits end at ±36.7
TEMPERATURES = (0.1, 10.0)
NO_RISE = 1e-6  # of logits, in standard deviations; below it rounding would make ties

ALONE = "one class only among the known targets of {}: their probabilities stay as they are"
FLAT = "the probabilities of {} do not rise with the label: their slope stays 1, only the intercept is fitted"
ENDS = "the scores separate the known rows perfectly, or not at all"
AT_THE_END = f"the temperature of {{}} stopped at an end of {list(TEMPERATURES)}: {ENDS}; do not trust it"


def reliability(
    targets: Table, probabilities: Table, *, n_bins: int = 15, strategy: Binning = "uniform"
) -> pd.DataFrame:
    """What a reliability diagram draws, for one label: predicted and observed frequency in bins.

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].
        n_bins: number of bins; empty ones are left out.
        strategy: "uniform" or "quantile", as in `calibration_error`.

    Returns:
        One row per bin, from low to high: `predicted` (mean probability), `observed` (share of positives), `rows`.

    Raises:
        ValueError: shapes that do not fit, one class only, a value out of range, `n_bins` below 1, unknown strategy.

    Examples:
        >>> from helpers import evaluation
        >>> evaluation.reliability([0, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.8], n_bins=2).round(2)
           predicted  observed  rows
        0       0.20      0.33     3
        1       0.83      0.67     3
    """
    return _binned(*checked_curve(targets, probabilities), n_bins, strategy)


def calibration_error(
    targets: Table, probabilities: Table, *, n_bins: int = 15, strategy: Binning = "uniform"
) -> pd.Series:
    """Expected calibration error of each label: mean distance of predicted from observed frequency over its bins.

    Each row weighs the same, as in torchmetrics' `BinaryCalibrationError` with the l1 norm. A model that gives every
    row the label's rate has 0: the error says nothing about telling rows apart, so read it beside the AUC.

    A rare label has nearly all its rows in the lowest bin of equal width, where too high and too low cancel out. With
    `strategy="quantile"` each bin holds about N / n_bins rows. Equal probabilities all go to the bin in which the
    middle one of them falls, so that the order of the rows does not matter. Many ties make fewer bins.

    Sources: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; Nguyen and O'Connor
    2015, Posterior calibration and exploratory analysis for natural language processing models (quantiles).

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        n_bins: number of bins.
        strategy: "uniform" for bins of equal width over [0, 1], "quantile" for bins of equally many rows.

    Returns:
        (L,) by label, from 0 to 1; NaN for a label of which no row is known.

    Raises:
        ValueError: shapes that do not fit, a value out of range, `n_bins` below 1, unknown strategy.

    Examples:
        >>> from helpers import evaluation
        >>> errors = evaluation.calibration_error([[0], [0], [1], [1]], [[0.1], [0.1], [0.7], [0.7]], n_bins=2)
        >>> errors.round(2).to_dict()
        {0: 0.2}
    """
    truth, scores, names = checked(targets, probabilities)
    bins = [_binned(*known, n_bins, strategy) for known in _known_by_label(truth, scores)]
    errors = [((one["predicted"] - one["observed"]).abs() * one["rows"]).sum() for one in bins]
    rows = (~np.isnan(truth)).sum(axis=0)
    return pd.Series(np.where(rows > 0, errors / np.maximum(rows, 1), np.nan), index=names, name="calibration_error")


def brier(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Brier score of each label, the mean of (probability - target)², and the three parts it is made of.

    `brier` = `miscalibration` - `discrimination` + `uncertainty`:

    - `uncertainty` is the score of giving every row the label's rate, rate × (1 - rate): how hard the rows are;
    - `discrimination` is how much better than that the probabilities can be made by the rising curve that is best for
      these rows (higher is better);
    - `miscalibration` is how much worse than with that curve they are as they stand (lower is better).

    The curve is isotonic regression of the targets on the probabilities, the CORP decomposition of Dimitriadis,
    Gneiting and Jordan 2021 (Stable reliability diagrams for probabilistic classifiers, PNAS 118). Murphy's parts
    (1973) depend on bins and often do not add up; these need no choice, add up, and are never negative. As the curve is
    fitted on the rows that it judges, few rows make `miscalibration` and `discrimination` too large, by one amount.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown, left out).
        probabilities: (N, L) in [0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        By label: `brier`, `miscalibration`, `discrimination`, `uncertainty` (NaN where no row is known), known `rows`.

    Raises:
        ValueError: shapes or names that do not fit, zero rows, a value out of range (its row and label are named).

    Examples:
        >>> from helpers import evaluation
        >>> table = evaluation.brier([[0], [0], [1], [1]], [[0.1], [0.1], [0.7], [0.7]], labels=["toxic"])
        >>> table.round(2)
               brier  miscalibration  discrimination  uncertainty  rows
        label
        toxic   0.05            0.05            0.25         0.25     4
    """
    truth, scores, names = checked(targets, probabilities, labels)
    parts = [_brier_parts(*known) for known in _known_by_label(truth, scores)]
    columns = ["brier", "miscalibration", "discrimination", "uncertainty"]
    return pd.DataFrame(parts, columns=columns, index=names).assign(rows=(~np.isnan(truth)).sum(axis=0))


@dataclass(frozen=True)
class Curve:
    """What happens to one label's probabilities: a line on the logit scale, or points (x, y) joined by lines."""

    rows: int
    positives: int
    slope: float = 1.0  # above 0; 1 / temperature
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()  # what x become, never falling; without points the line is meant

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise ValueError(f"slope {self.slope}, intercept {self.intercept}: the slope must be above 0, both finite")
        x, y = np.asarray(self.x, dtype=float), np.asarray(self.y, dtype=float)
        inside = ((x >= 0) & (x <= 1)).all() and ((y >= 0) & (y <= 1)).all()
        if x.shape != y.shape or not inside or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
            raise ValueError(f"{len(x)} x and {len(y)} y: as many of both, in [0, 1], x rising and y never falling")

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N,) for probabilities (N,)."""
        if self.x:
            return np.interp(scores, self.x, self.y)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return scores
        return expit(self.slope * _logits(scores) + self.intercept)


@dataclass(frozen=True)
class Calibration:
    """One curve per label, and the ids of the rows that it was fitted on, as text; made by `fit_calibration`."""

    method: Method
    labels: tuple[Any, ...]
    curves: tuple[Curve, ...] = field(repr=False)
    ids: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        check_choice("method", self.method, COLUMNS)
        if not len(self.labels) == len(set(self.labels)) == len(self.curves) > 0:
            raise ValueError(f"{len(self.curves)} curves for the labels {list(self.labels)}: expected one per label")

    def apply(self, probabilities: Table, *, ids: "Ids | None" = None) -> "np.ndarray | pd.DataFrame | torch.Tensor":
        """Return calibrated probabilities of other rows.

        Args:
            probabilities: (N, L) in [0, 1], labels in the order of the fit.
            ids: (N,) of these rows, compared as text with those given to `fit_calibration`. Give them wherever the
                result is measured: on its own rows a calibration looks better than it is.

        Returns:
            (N, L) in [0, 1], float64 so that rounding makes no ties, in what came: DataFrame, tensor or array.

        Raises:
            ValueError: shape, names or values that do not fit; ids of the fit, or where the fit had none.
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
            refuse_shared(self.ids, id_texts("ids", ids, len(scores)), "were fitted")
        columns = [curve.apply(column) for curve, column in zip(self.curves, scores.T, strict=True)]
        return _like(probabilities, np.stack(columns, axis=1))

    def table(self) -> pd.DataFrame:
        """Return what was fitted, by label, and the `positives` and known `rows` of the fit.

        What was fitted is the `temperature` (1 changes nothing, above 1 moves towards 0.5), or `slope` and `intercept`,
        or the number of `steps` (different values of the isotonic curve; 0 where none was fitted).
        """
        table = pd.DataFrame([asdict(curve) for curve in self.curves], index=pd.Index(self.labels, name="label"))
        table = table.assign(temperature=1 / table["slope"], steps=[len(set(y)) for y in table["y"]])
        return table[[*COLUMNS[self.method], "positives", "rows"]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json` can write and `from_dict` reads, ids of the fitted rows included."""
        return json.loads(json.dumps({**asdict(self), "ids": sorted(self.ids)}))  # lists in place of tuples

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Calibration":
        """Return the calibration that `to_dict` saved; ValueError where a key or a value is not what it writes."""
        try:
            curves = tuple(Curve(**{**one, "x": tuple(one["x"]), "y": tuple(one["y"])}) for one in saved["curves"])
            parts = {"labels": tuple(saved["labels"]), "curves": curves, "ids": frozenset(saved["ids"])}
            return cls(**{**saved, **parts})
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
    """Fit a curve for each label that turns probabilities into calibrated ones, on rows the model was not trained on.

    - "temperature": the logit is divided by one number above 0, the one in [0.1, 10] with the smallest log loss (Guo
      et al. 2017, On Calibration of Modern Neural Networks). It corrects too much or too little confidence, but 0.5
      stays 0.5: a rate that is off, as after training with class weights, needs another method.
    - "platt": slope × logit + intercept, by logistic regression on targets drawn in a little, (P + 1) / (P + 2) and
      1 / (N + 2) for P positives and N negatives (Platt 1999, Probabilistic Outputs for Support Vector Machines). The
      slope stays above 0: where positives have no higher logits than negatives on average it stays 1, and the
      intercept alone is fitted.
    - "isotonic": any curve that never falls (Zadrozny and Elkan 2002, Transforming Classifier Scores into Accurate
      Multiclass Probability Estimates); scikit-learn's `IsotonicRegression`, flat beyond the fitted probabilities. It
      makes ties, so the AUC can change, overfits below some hundreds of positives, and can give exactly 0 or 1.

    The first two keep the order of the rows, and so the AUC, except that probabilities are clipped to
    [2**-53, 1 - 2**-53] (logits of ±36.7). In float32, as `loops.predict_proba` gives, all logits above 17 are 1.

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
        ValueError: shapes, names, values or ids that do not fit, `shared` with another method than temperature.

    Warns:
        UserWarning: labels with one class only, which stay as they are (with `shared` they take the temperature of
            all), whose temperature stopped at an end of its range, or whose slope was not fitted.

    Examples:
        >>> from helpers import evaluation
        >>> targets, probabilities = [[0], [0], [0], [1], [1]], [[0.1], [0.2], [0.9], [0.8], [0.95]]
        >>> calibration = evaluation.fit_calibration(targets, probabilities, labels=["toxic"], ids=list("abcde"))
        >>> calibration.table().round(2)
               temperature  positives  rows
        label
        toxic         1.67          2     5
        >>> calibration.apply([[0.9]], ids=["f"]).round(2).tolist()  # less sure than before
        [[0.79]]
    """
    check_choice("method", method, COLUMNS)
    if check_choice("shared", shared, (True, False)) and method != "temperature":
        raise ValueError(f"shared=True goes with method='temperature', not with {method!r}")
    truth, scores, names = checked(targets, probabilities, labels)
    taken = frozenset() if ids is None else frozenset(id_texts("ids", ids, len(truth)))
    parts = list(_known_by_label(truth, scores))
    everything = _known_by_label(truth.reshape(-1, 1), scores.reshape(-1, 1))
    fits = [_fit(*known, method) for known in everything] * len(parts) if shared else [_fit(*p, method) for p in parts]
    for problem in (ALONE, FLAT, AT_THE_END):
        if labels_with_it := [name for name, (_, met) in zip(names.tolist(), fits, strict=True) if met == problem]:
            warnings.warn(problem.format(labels_with_it), UserWarning, stacklevel=2)
    curves = [Curve(len(t), int(t.sum()), **fitted) for (t, _), (fitted, _) in zip(parts, fits, strict=True)]
    return Calibration(method, tuple(names.tolist()), tuple(curves), taken)


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
        # scikit-learn takes no targets between 0 and 1: each row is a positive and a negative, weighted.
        twice, kinds = np.tile((logits - middle) / spread, 2)[:, None], np.repeat([1, 0], len(logits))
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
        model.fit(twice, kinds, sample_weight=np.append(wanted, 1 - wanted))
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        if slope > NO_RISE:
            return {"slope": slope / spread, "intercept": intercept - slope * middle / spread}, ""
    return {"intercept": _shift(logits, wanted)}, FLAT


def _shift(logits: np.ndarray, wanted: np.ndarray) -> float:
    """What to add to the logits so that the mean probability is the mean of what is wanted."""
    rate = wanted.mean()
    low, high = logit(rate) - logits.max() - 1, logit(rate) - logits.min() + 1
    return float(brentq(lambda shift: expit(logits + shift).mean() - rate, low, high, xtol=1e-12))


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores, EPSILON, 1 - EPSILON))


def _like(probabilities: Any, result: np.ndarray) -> "np.ndarray | pd.DataFrame | torch.Tensor":  # noqa: ANN401
    """Return a table of the kind of the probabilities: a DataFrame, a tensor or an array."""
    if isinstance(probabilities, pd.DataFrame):
        return pd.DataFrame(result, index=probabilities.index, columns=probabilities.columns)
    if hasattr(probabilities, "detach"):
        import torch

        return torch.from_numpy(result).to(probabilities.device)
    return result


def _brier_parts(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float, float, float]:
    if not len(truth):
        return (np.nan,) * 4
    # Ties become one weighted point first: isotonic regression would otherwise give equal scores different values.
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rates = np.bincount(index, truth) / counts
    curve = isotonic_regression(rates, sample_weight=counts.astype(float))[index]
    score, best, uncertainty = (np.square(truth - values).mean() for values in (scores, curve, truth.mean()))
    return score, max(score - best, 0.0), max(uncertainty - best, 0.0), uncertainty


def _known_by_label(truth: np.ndarray, scores: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for column, values in zip(truth.T, scores.T, strict=True):
        known = ~np.isnan(column)
        yield column[known], values[known]


def _binned(truth: np.ndarray, scores: np.ndarray, n_bins: int, strategy: Binning) -> pd.DataFrame:
    check_count("n_bins", n_bins)
    check_choice("strategy", strategy, ("uniform", "quantile"))
    # scikit-learn's calibration_curve gives no counts, which the error needs, and its quantile bins split ties.
    if strategy == "uniform":
        index = np.minimum((scores * n_bins).astype(int), n_bins - 1)
    else:  # ties go where the middle of them falls; twice the ranks are whole numbers, so nothing is rounded
        index = (2 * rankdata(scores) - 1) * n_bins // (2 * len(scores))
    bins = pd.DataFrame({"predicted": scores, "observed": truth}).groupby(index)
    return bins.mean().assign(rows=bins.size()).reset_index(drop=True)
