"""What thresholds decide, counted from sorted probabilities: a move of a slider costs no pass over the rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.arguments import as_numbers, check_choice, check_count, check_table
from helpers.metrics.checks import Confusion, Table, Threshold, checked, decide, precision_recall_f

SCORES = ["precision", "recall", "f1"]


class Ranked(NamedTuple):
    """The known probabilities of each of L labels in ascending order, of the rows with the label and of those without.

    Attributes:
        names: L labels.
        with_label: L arrays.
        without: L arrays.

    Examples:
        >>> from helpers import widgets
        >>> ranked = widgets.rank([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]], labels=["toxic"])
        >>> list(ranked.names), ranked.with_label[0].tolist(), ranked.without[0].tolist()
        (['toxic'], [0.4, 0.9], [0.2, 0.6])
    """

    names: pd.Index
    with_label: tuple[np.ndarray, ...]
    without: tuple[np.ndarray, ...]


def rank(targets: Table, probabilities: Table, *, labels: Sequence[str] | None = None) -> Ranked:
    """Sort once what `decisions` then counts for any thresholds.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Raises:
        ValueError: as `metrics.label_report`.

    Examples:
        >>> from helpers import widgets
        >>> ranked = widgets.rank([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]], labels=["toxic"])
        >>> widgets.decisions(ranked, 0.3).loc["toxic", ["tp", "fp"]].astype(int).tolist()
        [2, 1]
    """
    truth, scores, names = checked(targets, probabilities, labels)
    parts = [[np.sort(s[t == known]) for t, s in zip(truth.T, scores.T, strict=True)] for known in (1, 0)]
    return Ranked(names, tuple(parts[0]), tuple(parts[1]))


def as_thresholds(threshold: Threshold, names: pd.Index) -> np.ndarray:
    """(L,) thresholds, each in [0, 1] or inf (never); ValueError where they do not fit the labels."""
    decide(np.empty((0, len(names))), threshold, names)  # refuses what does not fit
    return np.broadcast_to(as_numbers("threshold", threshold), len(names)).copy()


def decisions(ranked: Ranked, threshold: Threshold = 0.5) -> pd.DataFrame:
    """The confusion table of each label and its scores; the same as `metrics.label_report` gives from the rows.

    Args:
        ranked: from `rank`.
        threshold: one for all labels, or (L,); a row gets a label from there on, inf never gives it.

    Returns:
        By label: `threshold`, `precision`, `recall`, `f1` (0.0 with nothing to divide by, NaN where no row is known),
        and the confusion matrix: `tp`, `fn`, `fp`, `tn`.

    Raises:
        ValueError: thresholds that do not fit.

    Examples:
        >>> from helpers import widgets
        >>> ranked = widgets.rank([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]], labels=["toxic"])
        >>> widgets.decisions(ranked, threshold=0.5).T
        label      toxic
        threshold    0.5
        precision    0.5
        recall       0.5
        f1           0.5
        tp           1.0
        fn           1.0
        fp           1.0
        tn           1.0
    """
    cuts = as_thresholds(threshold, _checked(ranked).names)
    tp, fp = (
        np.array([len(scores) - np.searchsorted(scores, cut) for scores, cut in zip(part, cuts, strict=True)])
        for part in (ranked.with_label, ranked.without)
    )
    positives, negatives = (np.array([len(s) for s in part]) for part in (ranked.with_label, ranked.without))
    table = _scores(tp, positives - tp, fp, negatives - fp).set_index(ranked.names)
    table.insert(0, "threshold", cuts)
    return table.assign(tp=tp, fn=positives - tp, fp=fp, tn=negatives - fp)


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Macro and micro means of the scores in a table of `decisions`.

    Returns:
        `precision`, `recall` and `f1` of `macro` (mean of the labels with a known row) and `micro` (all decisions
        counted together, in which frequent labels decide); `macro` is all NaN where nothing is known.

    Examples:
        >>> from helpers import widgets
        >>> targets, probabilities = [[1, 0], [0, 1], [1, 0]], [[0.9, 0.2], [0.6, 0.4], [0.8, 0.0]]
        >>> widgets.totals(widgets.decisions(widgets.rank(targets, probabilities))).round(2)
               precision  recall    f1
        macro       0.33    0.50  0.40
        micro       0.67    0.67  0.67
    """
    counts = ["tp", "fn", "fp", "tn"]
    check_table("table (of widgets.decisions)", table, [*SCORES, *counts])
    micro = _scores(*(table[[name]].sum().to_numpy() for name in counts))
    return pd.DataFrame({"macro": table[SCORES].mean(), "micro": micro.iloc[0]}).T


def curve(ranked: Ranked, label: str, *, points: int = 201) -> pd.DataFrame:
    """Precision, recall and F1 of one label at evenly spaced thresholds from 0 to 1.

    Returns:
        Indexed by `threshold`; precision is NaN where no row reaches the threshold.

    Examples:
        >>> from helpers import widgets
        >>> ranked = widgets.rank([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]], labels=["toxic"])
        >>> widgets.curve(ranked, "toxic", points=5).round(2)
                   precision  recall    f1
        threshold
        0.00            0.50     1.0  0.67
        0.25            0.67     1.0  0.80
        0.50            0.50     0.5  0.50
        0.75            1.00     0.5  0.67
        1.00             NaN     0.0  0.00
    """
    index = list(_checked(ranked).names).index(check_choice("label", label, list(ranked.names)))
    cuts = np.linspace(0, 1, check_count("points", points, at_least=2))
    positive, negative = ranked.with_label[index], ranked.without[index]
    tp, fp = (len(scores) - np.searchsorted(scores, cuts) for scores in (positive, negative))
    table = _scores(tp, len(positive) - tp, fp, len(negative) - fp).set_index(pd.Index(cuts, name="threshold"))
    table.loc[tp + fp == 0, "precision"] = np.nan
    return table


def _checked(ranked: Ranked) -> Ranked:
    if not isinstance(ranked, Ranked):
        raise ValueError(f"ranked is a {type(ranked).__name__}: expected what widgets.rank gives")
    return ranked


def _scores(tp: np.ndarray, fn: np.ndarray, fp: np.ndarray, tn: np.ndarray) -> pd.DataFrame:
    """Precision, recall and F1 of counts, each (K,)."""
    scores = precision_recall_f(Confusion(tp, fp, fn, tn))
    return pd.DataFrame(dict(zip(SCORES, scores, strict=True)))
