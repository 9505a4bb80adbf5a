"""From which probability on is a label given? A threshold for each label, chosen on validation rows.

One half is right only for probabilities that can be taken at their word and errors that cost the same both ways.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from helpers.arguments import check_choice, check_list, check_number
from helpers.evaluation.row_ids import Ids, refuse_shared, texts_of
from helpers.metrics.checks import Confusion, Table, Threshold, checked, decide, precision_recall_f

Objective: TypeAlias = Literal["f1", "f_beta", "cost", "precision_at", "recall_at"]
OBJECTIVES = ("f1", "f_beta", "cost", "precision_at", "recall_at")
Rows: TypeAlias = tuple[np.ndarray, np.ndarray]


class Cuts(NamedTuple):
    """What each possible cut of one label's rows gives; the first predicts all negatives, the last all positives."""

    threshold: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: int
    rows: int


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
    _check_settings(objective, beta, costs)
    least = _checked_least(objective, min_precision=min_precision, min_recall=min_recall)
    truth, scores, names = checked(targets, probabilities, labels)
    given = {"test_targets": test_targets, "test_probabilities": test_probabilities}
    parts = {"valid": (truth, scores)} | _other_rows(names, len(truth), given, ids, test_ids)
    worth = partial(_worth, objective=objective, beta=beta, costs=costs, least=least)
    cuts = [_cuts(target, score) for target, score in zip(truth.T, scores.T, strict=True)]
    chosen = np.array([_best(one, worth, lowest=objective == "cost") for one in cuts])
    _warn(names, chosen, objective, least)
    table = pd.DataFrame({"threshold": np.where(np.isnan(chosen), 0.5, chosen)}, index=names)
    for name, rows in parts.items():
        for column, threshold in ((name, table["threshold"]), (f"{name}_at_half", 0.5)):
            table[column] = _values(rows, threshold, names, worth)
    return table.assign(positives=(truth == 1).sum(axis=0), rows=(~np.isnan(truth)).sum(axis=0))


def _cuts(truth: np.ndarray, scores: np.ndarray) -> Cuts:
    known = ~np.isnan(truth)
    order = np.argsort(-scores[known], kind="stable")
    ordered, positive = scores[known][order], truth[known][order] == 1
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True)[: len(ordered)])  # of each row of ties
    hits = np.append(0, positive.cumsum()[last])
    said_yes = np.append(0, last + 1)
    return Cuts(_between(ordered[last]), hits, said_yes - hits, int(positive.sum()), len(ordered))


def _between(steps: np.ndarray) -> np.ndarray:
    """Thresholds that predict no positive, then the rows down to each step (falling): halfway to the step below."""
    below = np.append(steps[1:], 0.0)[: len(steps)]
    middle = (steps + below) / 2
    # Two neighbouring floats have no middle, which may come out as the one below.
    return np.append(np.inf, np.where(middle > below, middle, steps))


def _best(cuts: Cuts, worth: Callable[[Cuts], np.ndarray], *, lowest: bool) -> float:
    """The threshold of the best cut; NaN where there is nothing to choose from, inf where no cut is good enough."""
    if cuts.positives in (0, cuts.rows):
        return np.nan
    values = -worth(cuts) if lowest else worth(cuts)
    if np.isnan(values).all():
        return np.inf
    best = np.nanmax(values)
    # Equal values may differ in the last digit: 3 * 0.1 is not 0.3. Different ones of N rows are N**-2 apart.
    return float(cuts.threshold[np.flatnonzero(values >= best - 4 * np.spacing(abs(best)))[0]])


def _worth(cuts: Cuts, *, objective: str, beta: float, costs: tuple[float, float], least: float | None) -> np.ndarray:
    """The objective's value of each cut; NaN for a cut that does not have what was asked for."""
    tp, fp, fn = cuts.true_positives, cuts.false_positives, cuts.positives - cuts.true_positives
    if objective == "cost":
        return (costs[0] * fp + costs[1] * fn) / cuts.rows
    counts = Confusion(tp, fp, fn, cuts.rows - tp - fp - fn)
    precision, recall, f = precision_recall_f(counts, beta=1.0 if objective == "f1" else beta)
    needed = 0.0 if least is None else least
    if objective == "precision_at":
        return np.where(precision >= needed, recall, np.nan)
    if objective == "recall_at":
        return np.where(recall >= needed, precision, np.nan)
    return f


def _values(rows: Rows, threshold: Threshold, names: pd.Index, worth: Callable[[Cuts], np.ndarray]) -> list[float]:
    """The objective's value of the decisions on each label, NaN where no row is known."""
    truth, scores = rows
    yes = decide(scores, threshold, names) == 1
    hits, alarms = ((yes & (truth == known)).sum(axis=0) for known in (1, 0))
    positives, known = (truth == 1).sum(axis=0), (~np.isnan(truth)).sum(axis=0)
    one_cut = [Cuts(np.array(np.nan), *part) for part in zip(hits, alarms, positives, known, strict=True)]
    return [float(worth(cut)) if cut.rows else np.nan for cut in one_cut]


def _other_rows(
    names: pd.Index, n_rows: int, given: dict[str, Any], ids: "Ids | None", test_ids: "Ids | None"
) -> dict[str, Rows]:
    """The test rows' targets and probabilities, checked against the validation rows; nothing where none were given."""
    needed: dict[str, Any] = {"ids": ids, **given, "test_ids": test_ids}
    missing = [name for name, value in needed.items() if value is None]
    if ids is not None:
        texts_of("ids", ids, n_rows)
    if set(needed) - set(missing) <= {"ids"}:
        return {}
    if missing:
        raise ValueError(f"to report on test rows, give {', '.join(missing)} too: ids tell that they are other rows")
    try:
        truth, scores, _ = checked(given["test_targets"], given["test_probabilities"], list(names))
    except ValueError as error:
        raise ValueError(f"test rows: {error} (labels: those of the validation rows)") from error
    known = texts_of("ids", needed["ids"], n_rows)
    refuse_shared(known, texts_of("test_ids", needed["test_ids"], len(truth)), "chose the thresholds themselves")
    return {"test": (truth, scores)}


def _warn(names: pd.Index, chosen: np.ndarray, objective: str, least: float | None) -> None:
    if alone := names[np.isnan(chosen)].tolist():
        message = f"one class only among the known targets of {alone}: their threshold stays 0.5"
        warnings.warn(message, UserWarning, stacklevel=3)
    if never := names[np.isinf(chosen)].tolist():
        reason = "predicting all negatives costs least" if objective == "cost" else f"no cut has a precision of {least}"
        warnings.warn(f"{never}: {reason}, so their threshold is inf (never)", UserWarning, stacklevel=3)


def _check_settings(objective: str, beta: float, costs: tuple[float, float]) -> None:
    check_choice("objective", objective, OBJECTIVES)
    if check_number("beta", beta, above=0, at_most=1e6) != 1 and objective != "f_beta":
        raise ValueError(f"beta={beta!r} goes with objective='f_beta', not with {objective!r}")
    pair = check_list("costs", costs, "numbers (of a false positive, of a false negative)", size=2)
    numbers = [check_number(f"costs[{index}]", cost, at_least=0) for index, cost in enumerate(pair)]
    if not any(numbers):
        raise ValueError(f"costs={costs!r}: at least one of them must be above 0")
    if numbers != [1, 1] and objective != "cost":
        raise ValueError(f"costs={costs!r} go with 'cost', not with {objective!r}")


def _checked_least(objective: str, **limits: float | None) -> float | None:
    """The precision or recall that an objective needs, or None for one that needs none."""
    needed = {"precision_at": "min_precision", "recall_at": "min_recall"}.get(objective)
    for name, value in limits.items():
        if name != needed and value is not None:
            raise ValueError(f"{name}={value!r} goes with objective={name[4:] + '_at'!r}, not with {objective!r}")
    if needed is None:
        return None
    if limits[needed] is None:
        raise ValueError(f"objective={objective!r} needs {needed}=, the {needed[4:]} to reach, such as {needed}=0.9")
    return check_number(needed, limits[needed], above=0, at_most=1)
