"""Which labels come with which: counts, shares asked both ways, and what chance alone would give."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from helpers.arguments import check_names
from helpers.datasets.columns import label_matrix, label_names


def company(frame: pd.DataFrame, chosen: Sequence[str], *, labels: Iterable[str] | None = None) -> pd.DataFrame:
    """For each label that is not chosen: how often it stands beside all the chosen ones.

    Only rows count in which the chosen labels and the other are known.

    Args:
        frame: a table with label columns of 0, 1 and NaN (unknown).
        chosen: labels that a row must have, all of them; none takes every row.
        labels: label columns; None takes those that the table carries.

    Returns:
        By other label: rows with `both`, `chosen_rows`, `label_rows` and all `rows`; `share_of_chosen`, P(label |
        chosen), and `share_of_label`, P(chosen | label); `base`, P(label); `expected`, the rows with both if the two
        had nothing to do with each other; `lift`, `both` over `expected`, which is the same both ways. A share of no
        rows is NaN.

    Raises:
        ValueError: a label that the table does not have; a chosen one that is not a label, or is chosen twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import explore
        >>> frame = pd.DataFrame({"toxic": [1, 1, 1, 0], "insult": [1, 1, 0, 0], "threat": [0, 0, 1, 0]})
        >>> table = explore.company(frame, ["toxic"], labels=["toxic", "insult", "threat"])
        >>> table[["both", "share_of_chosen", "share_of_label", "lift"]].round(2)
                both  share_of_chosen  share_of_label  lift
        label
        insult     2             0.67             1.0  1.33
        threat     1             0.33             1.0  1.33
    """
    names = label_names(frame, labels)
    chosen = check_names("chosen", chosen) if np.size(np.asarray(chosen, dtype=object)) else []
    if unknown := [name for name in chosen if name not in names]:
        raise ValueError(f"chosen labels {unknown} are not among the labels {names}")
    values = label_matrix(frame, names)
    picked = values[:, [names.index(name) for name in chosen]]
    others = [place for place, name in enumerate(names) if name not in chosen]
    has = (picked == 1).all(axis=1)[:, None]
    known = ~np.isnan(picked).any(axis=1)[:, None] & ~np.isnan(values[:, others])
    label = (values[:, others] == 1) & known
    counts = {
        "both": (label & has).sum(axis=0),
        "chosen_rows": (known & has).sum(axis=0),
        "label_rows": label.sum(axis=0),
        "rows": known.sum(axis=0),
    }
    table = pd.DataFrame(counts, index=pd.Index([names[place] for place in others], name="label"))
    return table.assign(
        share_of_chosen=_ratio(table["both"], table["chosen_rows"]),
        share_of_label=_ratio(table["both"], table["label_rows"]),
        base=_ratio(table["label_rows"], table["rows"]),
        expected=_ratio(table["chosen_rows"] * table["label_rows"], table["rows"]),
        lift=_ratio(table["both"] * table["rows"], table["chosen_rows"] * table["label_rows"]),
    )


def _ratio(top: pd.Series, bottom: pd.Series) -> pd.Series:
    return top / bottom.where(bottom > 0)
