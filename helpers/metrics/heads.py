"""Scores of models with several heads, binary and categorical, beside each other."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.arguments import as_numbers, check_mapping
from helpers.metrics.checks import Table
from helpers.metrics.labels import auc_by_label, mean_of_scored


def auc_by_head(targets: Table, probabilities: Mapping[str, Table]) -> pd.Series:
    """ROC AUC of every head: of a binary head as it is, of a categorical one the mean over its classes.

    A head of C >= 3 classes has one AUC a class, that class against all others, and their mean counts (scikit-learn's
    `multi_class="ovr", average="macro"`); a class that does not occur is left out of it. A head of two classes has one,
    that of class 1, so that it can be set beside a binary head.

    Args:
        targets: (N, H), a column a head in the order of `probabilities`: 0 or 1, class numbers 0 to C - 1 for a
            categorical head, NaN where unknown.
        probabilities: {head: (N, C)}, C = 1 for a binary head, as `loops.predict` gives them.

    Returns:
        (H,) by head; NaN for a head of which one class only is known.

    Raises:
        ValueError: shapes that do not fit, a target that is no class of its head, a probability outside [0, 1].

    Examples:
        >>> import numpy as np
        >>> from helpers import metrics
        >>> targets = np.array([[1, 2], [0, 0], [0, 1], [1, 0]])  # a yes-or-no head, and one of three classes
        >>> toxic = np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> level = np.array([[0.1, 0.2, 0.7], [0.6, 0.2, 0.2], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])
        >>> metrics.auc_by_head(targets, {"toxic": toxic, "level": level}).to_dict()
        {'toxic': 0.75, 'level': 1.0}
    """
    truth, given = as_numbers("targets", targets), check_mapping("probabilities", probabilities, keys="head")
    tables = {name: as_numbers(f"probabilities of head {name!r}", table) for name, table in given.items()}
    if truth.ndim != 2 or truth.shape[1] != len(tables):
        raise ValueError(f"targets {truth.shape} must be (N, {len(tables)}), a column for each of {list(tables)}")
    areas = {
        name: _head_auc(name, column, table) for (name, table), column in zip(tables.items(), truth.T, strict=True)
    }
    return pd.Series(areas, dtype=float, name="auc").rename_axis("head")


def mean_head_auc(targets: Table, probabilities: Mapping[str, Table]) -> float:
    """Mean over heads of `auc_by_head`, each weighing the same.

    A UserWarning names heads of which one class only is known; they are left out.

    Args:
        targets: (N, H), as `auc_by_head` takes them.
        probabilities: {head: (N, C)}.

    Returns:
        The mean; NaN when no head has two classes.

    Raises:
        ValueError: as `auc_by_head`.

    Examples:
        >>> import numpy as np
        >>> from helpers import metrics
        >>> targets, toxic = np.array([[1], [0], [0], [1]]), np.array([[0.9], [0.2], [0.8], [0.7]])
        >>> metrics.mean_head_auc(targets, {"toxic": toxic})
        0.75
    """
    areas = auc_by_head(targets, probabilities)
    return mean_of_scored("mean_head_auc", areas.to_numpy(), areas.index)


def _head_auc(name: str, column: np.ndarray, table: np.ndarray) -> float:
    """AUC of one head from its targets (N,) and probabilities (N, C); a ValueError names the head."""
    if table.ndim != 2 or len(table) != len(column):
        raise ValueError(f"head {name!r}: probabilities {table.shape} must be ({len(column)}, C)")
    size, known = max(table.shape[1], 2), ~np.isnan(column)
    if not np.isin(column[known], np.arange(size)).all():
        raise ValueError(f"head {name!r}: targets must be 0 to {size - 1}, or NaN where unknown")
    values = [1] if size == 2 else list(range(size))
    against = np.column_stack([np.where(known, column == value, np.nan) for value in values])
    places = [min(value, table.shape[1] - 1) for value in values]
    try:
        return float(auc_by_label(against, table[:, places]).mean())
    except ValueError as error:
        raise ValueError(f"head {name!r}: {error}") from error
