"""From which probability on is a label given? A threshold for each label, chosen on validation rows.

0.5 is right only for calibrated probabilities and errors that cost the same both ways.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from helpers.arguments import check_choice, check_list, check_number
from helpers.metrics.checks import (
    Confusion,
    Ids,
    Table,
    checked,
    confusion,
    decide,
    id_texts,
    precision_recall_f,
    refuse_shared,
)

Objective: TypeAlias = Literal["f1", "f_beta", "cost", "precision_at", "recall_at"]
OBJECTIVES = ("f1", "f_beta", "cost", "precision_at", "recall_at")
SETTINGS = {"beta": "f_beta", "costs": "cost", "min_precision": "precision_at", "min_recall": "recall_at"}
Score: TypeAlias = Callable[[Confusion], np.ndarray]


def tune_thresholds(
    targets: Table,
    probabilities: Table,
    *,
    objective: Objective = "f1",
    beta: float = 1.0,
    costs: tuple[float, float] = (1.0, 1.0),
    min_precision: float | None = None,
    min_recall: float | None = None,
    labels: Sequence[str] | None = None,
    ids: "Ids | None" = None,
    test_targets: "Table | None" = None,
    test_probabilities: "Table | None" = None,
    test_ids: "Ids | None" = None,
) -> pd.DataFrame:
    """The best threshold of each label over all possible cuts, and what it is worth on rows that did not choose it.

    Every cut between two different probabilities is tried, so the search is exact; the threshold is put halfway between
    both. Of equally good cuts it takes the one that predicts the label least often. Choosing on the rows that are
    reported is the mistake that this call refuses: with few positives the best of many cuts is largely luck with these
    rows.

    Objectives, all for each label by itself:

    - "f1": the largest F1 (van Rijsbergen 1979); "f_beta": recall weighs `beta` times as much as precision.
    - "cost": the smallest cost a row, with `costs` = (of a false positive, of a false negative). For calibrated
      probabilities the answer is known, false positive / (false positive + false negative) (Elkan 2001). Where saying
      no to all is cheapest, the threshold is inf.
    - "precision_at": the largest recall among cuts with a precision of at least `min_precision`.
    - "recall_at": the largest precision among cuts with a recall of at least `min_recall`.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown) of the validation rows.
        probabilities: (N, L) in [0, 1].
        objective: one of the above.
        beta: of "f_beta", above 0.
        costs: of "cost", neither negative.
        min_precision: of "precision_at", in (0, 1].
        min_recall: of "recall_at", in (0, 1].
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.
        ids: (N,) of the validation rows; needed with test rows.
        test_targets: (M, L) of other rows, to report on.
        test_probabilities: (M, L) in [0, 1].
        test_ids: (M,) of the test rows; none may be among `ids`.

    Returns:
        By label: `threshold` (for the `threshold=` of the metrics, and for `models.save_tagger` and
        `models.set_thresholds`; inf never predicts the label), `valid` and `valid_at_half`, the objective's value with
        it and with 0.5; with test rows also `test` and `test_at_half`; then `positives` and `rows` of the validation
        rows. The value of "precision_at" is the recall and that of "recall_at" the precision; NaN where the decisions
        do not have what was asked for, which may well happen on the test rows: `metrics.label_report` shows how much is
        missing.

    Raises:
        ValueError: shapes, names or values that do not fit; an unknown objective or a setting it cannot have; test rows
            without ids, ids of another number, missing ones, or ids on both sides (compared as text; some are named).

    Warns:
        UserWarning: labels with one class only, whose threshold stays 0.5; labels of which no cut has the precision
            that "precision_at" asks for, or for which all negatives cost least ("cost"): their threshold is inf.

    Examples:
        >>> from helpers import evaluation
        >>> targets, probabilities = [[0], [0], [0], [1], [1]], [[0.1], [0.2], [0.6], [0.4], [0.45]]
        >>> tuned = evaluation.tune_thresholds(targets, probabilities, labels=["toxic"])
        >>> tuned[["threshold", "valid", "valid_at_half"]]
               threshold  valid  valid_at_half
        label
        toxic        0.3    0.8            0.0
        >>> evaluation.tune_thresholds(targets, probabilities, objective="cost", costs=(1.0, 3.0))["threshold"].tolist()
        [0.30000000000000004]
    """
    settings = {"beta": beta, "costs": costs, "min_precision": min_precision, "min_recall": min_recall}
    score = _score_of(objective, settings)
    truth, scores, names = checked(targets, probabilities, labels)
    test = {"test_targets": test_targets, "test_probabilities": test_probabilities, "test_ids": test_ids}
    parts = {"valid": (truth, scores)} | _test_rows(names, len(truth), ids, test)
    chosen = np.array([_best_threshold(t, s, score, objective) for t, s in zip(truth.T, scores.T, strict=True)])
    _warn(names, chosen, objective, min_precision)
    table = pd.DataFrame({"threshold": np.where(np.isnan(chosen), 0.5, chosen)}, index=names)
    for name, (part_truth, part_scores) in parts.items():
        for column, threshold in ((name, table["threshold"]), (f"{name}_at_half", 0.5)):
            table[column] = score(confusion(part_truth, decide(part_scores, threshold, names)))
    return table.assign(positives=(truth == 1).sum(axis=0), rows=(~np.isnan(truth)).sum(axis=0))


def _score_of(objective: str, settings: dict[str, Any]) -> Score:
    """Check the settings; return the objective as a function of counts, NaN where they lack what was asked for."""
    check_choice("objective", objective, OBJECTIVES)
    beta = check_number("beta", settings["beta"], above=0, at_most=1e6)
    pair = check_list("costs", settings["costs"], "numbers (of a false positive, of a false negative)", size=2)
    costs = [check_number(f"costs[{index}]", cost, at_least=0) for index, cost in enumerate(pair)]
    if not any(costs):
        raise ValueError(f"costs={settings['costs']!r}: at least one of them must be above 0")
    unused = {"beta": beta == 1, "costs": costs == [1, 1]}
    for name, owner in SETTINGS.items():
        if objective != owner and not unused.get(name, settings[name] is None):
            raise ValueError(f"{name}={settings[name]!r} goes with objective={owner!r}, not with {objective!r}")
    needed = {"precision_at": "min_precision", "recall_at": "min_recall"}.get(objective)
    least = 0.0 if needed is None else check_number(needed, settings[needed], above=0, at_most=1)

    def score(counts: Confusion) -> np.ndarray:
        if objective == "cost":
            rows = np.sum(counts, axis=0)
            return np.where(rows > 0, (costs[0] * counts.fp + costs[1] * counts.fn) / np.maximum(rows, 1), np.nan)
        precision, recall, f = precision_recall_f(counts, beta=beta)
        if objective == "precision_at":
            return np.where(precision >= least, recall, np.nan)
        return np.where(recall >= least, precision, np.nan) if objective == "recall_at" else f

    return score


def _best_threshold(truth: np.ndarray, scores: np.ndarray, score: Score, objective: str) -> float:
    """The best of all cuts of one label's rows; NaN with one class only, inf where no cut is good enough."""
    known = ~np.isnan(truth)
    order = np.argsort(-scores[known], kind="stable")
    ordered, positive = scores[known][order], truth[known][order] == 1
    positives, negatives = positive.sum(), (~positive).sum()
    if not positives or not negatives:
        return np.nan
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))  # of each row of ties
    tp = np.append(0, positive.cumsum()[last])  # the first cut predicts all negatives, the last all positives
    fp = np.append(0, last + 1) - tp
    values = score(Confusion(tp, fp, positives - tp, negatives - fp))
    values = -values if objective == "cost" else values
    if np.isnan(values).all():
        return np.inf
    best = np.nanmax(values)
    # Equal values may differ in the last digit: 3 * 0.1 is not 0.3. Different ones of N rows are N**-2 apart.
    return float(_between(ordered[last])[np.flatnonzero(values >= best - 4 * np.spacing(abs(best)))[0]])


def _between(steps: np.ndarray) -> np.ndarray:
    """Thresholds that predict no positive, then the rows down to each step (falling): halfway to the step below."""
    below = np.append(steps[1:], 0.0)
    middle = (steps + below) / 2
    # Two neighbouring floats have no middle, which may come out as the one below.
    return np.append(np.inf, np.where(middle > below, middle, steps))


def _test_rows(
    names: pd.Index, n_rows: int, ids: "Ids | None", test: dict[str, Any]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The test rows' targets and probabilities, checked against the validation rows; nothing where none were given."""
    known = [] if ids is None else id_texts("ids", ids, n_rows)
    missing = [name for name, value in {"ids": ids, **test}.items() if value is None]
    if all(value is None for value in test.values()):
        return {}
    if missing:
        raise ValueError(f"to report on test rows, give {', '.join(missing)} too: ids tell that they are other rows")
    tables = test["test_targets"], test["test_probabilities"]
    try:
        truth, scores, _ = checked(*tables, list(names), names=("test_targets", "test_probabilities"))
    except ValueError as error:
        raise ValueError(f"{error} (labels: those of the validation rows)") from error
    refuse_shared(known, id_texts("test_ids", test["test_ids"], len(truth)), "chose the thresholds themselves")
    return {"test": (truth, scores)}


def _warn(names: pd.Index, chosen: np.ndarray, objective: str, min_precision: float | None) -> None:
    if (alone := np.isnan(chosen)).any():
        message = f"one class only among the known targets of {names[alone].tolist()}: their threshold stays 0.5"
        warnings.warn(message, UserWarning, stacklevel=3)
    if (never := np.isinf(chosen)).any():
        cheapest = "predicting all negatives costs least"
        reason = cheapest if objective == "cost" else f"no cut has a precision of {min_precision}"
        message = f"{names[never].tolist()}: {reason}, so their threshold is inf (never)"
        warnings.warn(message, UserWarning, stacklevel=3)
