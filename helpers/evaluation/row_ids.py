"""Which rows are these? Ids, compared as text, tell rows that chose something from rows that are to judge it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

if TYPE_CHECKING:
    import numpy as np
    import torch

Ids: TypeAlias = "Sequence[object] | np.ndarray | pd.Series | torch.Tensor"


def texts_of(what: str, ids: Ids, rows: int) -> list[str]:
    """The ids of N rows as text: the number 7 is "7", whatever library and type it is of.

    Raises:
        ValueError: not one id a row, or a row without one; it says so of `what`.
    """
    listed = hasattr(ids, "tolist") or (isinstance(ids, Sequence) and not isinstance(ids, str))
    if not listed or getattr(ids, "ndim", 1) != 1 or len(ids) != rows:
        size = tuple(ids.shape) if hasattr(ids, "shape") else len(ids) if hasattr(ids, "__len__") else "none"
        raise ValueError(f"{what} of type {type(ids).__name__} and size {size} for {rows} rows: give one a row")
    plain = [one.item() if hasattr(one, "item") else one for one in (ids.tolist() if hasattr(ids, "tolist") else ids)]
    if (missing := pd.Series(plain, dtype=object).isna()).any():
        raise ValueError(f"{what}: row {missing.to_numpy().argmax()} (from 0) has none")
    return [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in plain]


def refuse_shared(known: Sequence[str] | frozenset[str], others: Sequence[str], complaint: str) -> None:
    """ValueError where ids stand on both sides: how many, the complaint, and up to five of them."""
    taken = frozenset(known)
    both = [one for one in dict.fromkeys(others) if one in taken]
    if both:
        shown = ", ".join(map(repr, both[:5])) + (", ..." if len(both) > 5 else "")
        raise ValueError(f"{len(both)} of these rows {complaint} (ids {shown}): take other rows")
