"""How far a score, or the difference of two models, could move with other rows: the percentile bootstrap.

A resample draws N rows with replacement, so how often each row was drawn, its weight, says all about it. The metrics
that have a name need only sums of weights, made for many resamples at once: some 150 times as fast as calling
`helpers.metrics` on the repeated rows, which is what happens to any other metric, one resample after the other.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from helpers.arguments import check_choice, check_count, check_number
from helpers.metrics.checks import (
    Confusion,
    Table,
    Threshold,
    check_same_rows,
    checked,
    confusion_cells,
    decide,
    precision_recall_f,
)

Result: TypeAlias = "float | pd.Series"
Metric: TypeAlias = "str | Callable[[np.ndarray, np.ndarray], Result] | Callable[[pd.DataFrame, pd.DataFrame], Result]"
Score: TypeAlias = Callable[[np.ndarray], np.ndarray]

DECISIONS = ("f1", "precision", "recall")
METRICS = ("auc", "average_precision", *DECISIONS)
WEIGHTS_AT_ONCE = 2**18
ROUNDING = 1e-12  # equal scores, summed in another order, differ by less


def bootstrap(
    metric: Metric,
    targets: Table,
    probabilities: Table,
    *,
    baseline: "Table | None" = None,
    threshold: "Threshold | None" = None,
    baseline_threshold: "Threshold | None" = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
    labels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A score with its percentile interval (Efron and Tibshirani 1993, chapter 13), from resampled rows.

    With `baseline`, all is about the difference `probabilities` - `baseline`: both models are scored on the same
    resamples, so what makes a resample easy or hard for both cancels out, and the interval is usually much narrower
    than the two models' own intervals suggest.

    A resample in which a label has lost a class cannot be scored for that label: it is left out there, and
    `n_resamples` says how many were counted. The mean is always over the same labels, those with both classes in all
    the rows (a UserWarning names the others), so a resample in which one of them has lost a class does not count for
    the mean.
    Decisions need no second class: there a label counts that has any known row, and a ratio without anything to divide
    by is 0.0, as in `metrics.f1`.

    The interval knows these rows only: not another training run, nor rows of another kind, and near-duplicates among
    the rows make it too narrow. So do few positives: with fewer than about ten, do not trust it.

    Args:
        metric: for each label and their mean "auc", "average_precision", or of the decisions "f1", "precision",
            "recall" (0.0 with nothing to divide by; the mean of "f1" is macro F1); or a callable of targets and
            probabilities that gives a float or a Series, NaN where it has no value, as `metrics.label_accuracy`. It
            gets DataFrames where the labels have names, else arrays.
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        baseline: (N, L) in [0, 1], of a second model on the same rows in the same order.
        threshold: one for all labels, or (L,), for the metrics of decisions; None takes 0.5.
        baseline_threshold: of the second model; None takes `threshold`. To compare thresholds give the same
            probabilities twice.
        n_resamples: how many; 1000 or more for an interval of 95 %.
        confidence_level: share of the resamples' scores inside the interval, in (0, 1).
        seed: of the draws; the same seed and number of rows give the same resamples.
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        By label, then "mean" (for a callable: by "value", or as its Series): `value` from all rows, `low` and `high`,
        with `baseline` also `share_above` (of the resamples with a difference above 0), `n_resamples` that were scored,
        and, unless `metric` is a callable, `positives` (in the mean's row those of all labels that it counts).

    Raises:
        ValueError: as `metrics.label_report`; `baseline` does not fit; an unknown metric, or a callable that gives
            something else than a float or always the same labels; a threshold for another metric or for no second
            model; `n_resamples` below 1; `confidence_level` outside (0, 1).

    Examples:
        >>> import numpy as np
        >>> from helpers import evaluation
        >>> rng = np.random.default_rng(0)
        >>> targets = rng.integers(0, 2, (200, 1))
        >>> weak, strong = (np.clip(targets * gap + rng.random((200, 1)) * 0.7, 0, 1) for gap in (0.1, 0.3))
        >>> one = evaluation.bootstrap("auc", targets, strong, n_resamples=200, labels=["toxic"])
        >>> one.loc["toxic", ["low", "value", "high"]].is_monotonic_increasing
        True
        >>> two = evaluation.bootstrap("auc", targets, strong, baseline=weak, n_resamples=200, labels=["toxic"])
        >>> float(two.loc["toxic", "share_above"])  # of the n_resamples in which the strong model is the better one
        1.0
    """
    _check_settings(metric, baseline, threshold, baseline_threshold)
    n_resamples, seed = check_count("n_resamples", n_resamples), check_count("seed", seed, at_least=0)
    check_number("confidence_level", confidence_level, above=0, below=1)
    truth, scores, names = checked(targets, probabilities, labels)
    models = [scores]
    if baseline is not None:
        check_same_rows(targets=targets, probabilities=probabilities, baseline=baseline)
        models.append(checked(pd.DataFrame(truth, columns=names), baseline, labels, names=("targets", "baseline"))[1])
    counted = ~np.isnan(truth).all(axis=0) if metric in DECISIONS else _has_both_classes(truth)
    if callable(metric):
        score, index = _score_by_calls(metric, truth, models, names)
    else:
        if "mean" in names:
            raise ValueError(f"labels {list(names)}: rename 'mean', which is the row of the mean here")
        if metric in DECISIONS:
            models = _decided(models, threshold, baseline_threshold, names)
        score, index = _score_by_sums(metric, truth, models, counted), pd.Index([*names, "mean"], name=names.name)
    value = score(np.ones((len(truth), 1), dtype=np.int64))[:, 0]
    draws = np.hstack([score(weights) for weights in resample_weights(len(truth), n_resamples, seed=seed)])
    table = _intervals(value, pd.DataFrame(draws.T), confidence_level).set_axis(index)
    if baseline is None:
        table = table.drop(columns="share_above")
    return table if callable(metric) else _with_positives(table, (truth == 1).sum(axis=0), names, counted)


def resample_weights(rows: int, n_resamples: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield how often each row is in each resample of `bootstrap`, (N, R) whole numbers, some resamples at a time.

    `np.repeat(np.arange(rows), weights[:, i])` are the rows of a resample. R is as many as make 2**18 weights (2 MB),
    at least one; `bootstrap` needs some ten times that at its peak. The draws do not depend on it.

    Examples:
        >>> from helpers.evaluation.intervals import resample_weights
        >>> [weights] = resample_weights(rows=4, n_resamples=3)
        >>> weights.shape, weights.sum(axis=0).tolist()
        ((4, 3), [4, 4, 4])
    """
    rng, most = np.random.default_rng(seed), max(1, WEIGHTS_AT_ONCE // rows)
    for start in range(0, n_resamples, most):
        size = min(most, n_resamples - start)
        cells = rng.integers(0, rows, (size, rows)) * size + np.arange(size)[:, None]
        yield np.bincount(cells.ravel(), minlength=rows * size).reshape(rows, size)


def _score_by_sums(metric: str, truth: np.ndarray, models: list[np.ndarray], counted: np.ndarray) -> Score:
    """A function of weights (N, R) that gives (L + 1, R): each label's score or difference, and the mean."""
    plans = [[_plan(metric, t, s) for t, s in zip(truth.T, scores.T, strict=True)] for scores in models]

    def score(weights: np.ndarray) -> np.ndarray:
        by_label = _difference([np.stack([label(weights) for label in plan]) for plan in plans])
        return np.vstack([by_label, by_label[counted].sum(axis=0) / (counted.sum() or np.nan)])

    return score


def _score_by_calls(
    metric: Callable[..., Result], truth: np.ndarray, models: list[np.ndarray], names: pd.Index
) -> tuple[Score, pd.Index]:
    """A function of weights (N, R) that gives (K, R), what the metric or its difference is, and its K names."""
    named = not names.equals(pd.RangeIndex(len(names)))

    def call(scores: np.ndarray, rows: np.ndarray | slice) -> pd.Series:
        tables = [truth[rows], scores[rows]]
        result: Any = metric(*(pd.DataFrame(table, columns=names) if named else table for table in tables))
        if isinstance(result, pd.Series):
            return result
        if np.ndim(result) or not hasattr(result, "__float__"):
            raise ValueError(f"the metric gave a {type(result).__name__}: it must give a float or a Series")
        return pd.Series([float(result)], index=["value"])

    index = call(models[0], slice(None)).index

    def score(weights: np.ndarray) -> np.ndarray:
        columns = []
        for counts in weights.T:
            results = [call(scores, np.repeat(np.arange(len(counts)), counts)) for scores in models]
            if other := [list(one.index) for one in results if not one.index.equals(index)]:
                raise ValueError(f"the metric gave {list(index)}, then {other[0]}: it must always give the same labels")
            columns.append(_difference([one.to_numpy(dtype=float) for one in results]))
        return np.stack(columns, axis=1)

    return score, index


def _difference(results: list[np.ndarray]) -> np.ndarray:
    return results[0] if len(results) == 1 else results[0] - results[1]


def _has_both_classes(truth: np.ndarray) -> np.ndarray:
    return (truth == 1).any(axis=0) & (truth == 0).any(axis=0)


def _intervals(value: np.ndarray, draws: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """A table of K rows from all rows' values (K,) and those of the resamples (R, K), NaN where there is none."""
    n_resamples = draws.count()
    ends = draws.quantile([(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    share_above = (draws > ROUNDING).sum() / n_resamples
    columns = {"value": value, "low": ends.iloc[0], "high": ends.iloc[1], "share_above": share_above}
    return pd.DataFrame(columns).assign(n_resamples=n_resamples)


def _with_positives(table: pd.DataFrame, positives: np.ndarray, names: pd.Index, counted: np.ndarray) -> pd.DataFrame:
    """Adds the column `positives`, and warns of labels that the mean leaves out."""
    if not counted.all():
        reason = "of which one class only, or nothing, is known"
        left_out = f"bootstrap leaves {names[~counted].tolist()} out of the mean, {reason}"
        warnings.warn(f"{left_out}; labels counted: {counted.sum()}", UserWarning, stacklevel=3)
    return table.assign(positives=[*positives, positives[counted].sum()])


def _check_settings(
    metric: Metric, baseline: "Table | None", threshold: "Threshold | None", baseline_threshold: "Threshold | None"
) -> None:
    if not callable(metric):
        check_choice("metric (a name, or a function of targets and probabilities)", metric, METRICS)
    if not (threshold is None and baseline_threshold is None) and metric not in DECISIONS:
        advice = "give a callable its own, as functools.partial does" if callable(metric) else f"not with {metric!r}"
        raise ValueError(f"a threshold goes with {', '.join(DECISIONS)}: {advice}")
    if baseline_threshold is not None and baseline is None:
        raise ValueError("baseline_threshold is that of a second model: give its probabilities as baseline")


def _decided(
    models: list[np.ndarray], threshold: "Threshold | None", baseline_threshold: "Threshold | None", names: pd.Index
) -> list[np.ndarray]:
    """The decisions, 0 or 1, of one model or two."""
    first = 0.5 if threshold is None else threshold
    second = first if baseline_threshold is None else baseline_threshold
    limits = {"threshold": first, "baseline_threshold": second}
    return [decide(scores, limits[what], names, what) for scores, what in zip(models, limits, strict=False)]


def _plan(metric: str, truth: np.ndarray, scores: np.ndarray) -> Score:
    """A function of weights (N, R) that gives one label's score in each resample, (R,), NaN where it has none.

    Args:
        metric: one of `METRICS`.
        truth: (N,) of 0, 1 and NaN (unknown).
        scores: (N,) in [0, 1]; for decisions 0 and 1.
    """
    if metric in DECISIONS:
        cells = sparse.csr_array(np.array(confusion_cells(truth, scores), dtype=np.int64))
        index = ("precision", "recall", "f1").index(metric)
        return lambda weights: precision_recall_f(Confusion(*(cells @ weights)))[index]
    positives, negatives = _steps(truth, scores)
    formula = {"auc": _auc, "average_precision": _average_precision}[metric]

    def score(weights: np.ndarray) -> np.ndarray:
        at = positives @ weights, negatives @ weights
        both_classes = at[0].any(axis=0) & at[1].any(axis=0)
        with np.errstate(invalid="ignore"):
            return np.where(both_classes, formula(*at), np.nan)

    return score


def _steps(truth: np.ndarray, scores: np.ndarray) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Matrices that sum weights (N, R) over the positives (G, R) and the negatives (2G + 1, R) of one label.

    G is the number of different scores among the positives, in ascending order. The positives are summed at each; the
    negatives alternately between two of these scores, and at one (ties).
    """
    steps = np.unique(scores[truth == 1])
    index = np.searchsorted(steps, scores, "left") + np.searchsorted(steps, scores, "right")
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    parts = [(positive, index[positive] // 2, len(steps)), (negative, index[negative], 2 * len(steps) + 1)]
    one = np.ones(len(truth), dtype=np.int64)
    first, second = (sparse.csr_array((one[rows], (at, rows)), shape=(n, len(truth))) for rows, at, n in parts)
    return first, second


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(R,) share of (positive, negative) pairs in the right order, ties count 0.5, from the sums of `_steps`."""
    below = negatives.cumsum(axis=0)
    wins = positives * (below[:-1:2] + below[1::2])
    return wins.sum(axis=0) / (2 * positives.sum(axis=0) * below[-1])


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(R,) precision at each score of a positive, weighted by the positives there, from the sums of `_steps`."""
    true = positives[::-1].cumsum(axis=0)[::-1]
    false = negatives[::-1].cumsum(axis=0)[::-1][1::2]
    precision = true / np.maximum(true + false, 1)
    return (positives * precision).sum(axis=0) / positives.sum(axis=0)
