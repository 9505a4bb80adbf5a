"""Check what a caller passes (numbers, choices, names, tables) before anything is computed, trained or written."""

import math
import operator
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def check_count(name: str, value: Any, *, at_least: int = 1, at_most: int | None = None) -> int:  # noqa: ANN401
    """Return a whole number as an int, or refuse it by name.

    NumPy's and torch's integers count as whole numbers; True, fractions (also 2.0), NaN and text do not.

    Args:
        name: of the argument, as the caller wrote it.
        value: what the caller passed.
        at_least: smallest value that is allowed.
        at_most: largest value that is allowed; None sets no limit.

    Raises:
        ValueError: another type, or a value outside the range; the message gives name, range and value.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_count("epochs", 3)
        3
        >>> arguments.check_count("patience", 0)
        Traceback (most recent call last):
            ...
        ValueError: patience=0: expected a whole number, at least 1
    """
    limit = f"at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    try:
        whole = operator.index(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}={value!r}: expected a whole number, {limit}") from error
    if _is_bool(value) or whole < at_least or (at_most is not None and whole > at_most):
        raise ValueError(f"{name}={value!r}: expected a whole number, {limit}")
    return whole


def check_number(
    name: str,
    value: Any,  # noqa: ANN401
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number as a float, or refuse it by name.

    Args:
        name: of the argument, as the caller wrote it.
        value: what the caller passed.
        at_least: smallest value that is allowed.
        above: the value must be larger than this.
        at_most: largest value that is allowed.
        below: the value must be smaller than this.

    Raises:
        ValueError: no number, NaN, infinite, or outside the range; the message gives name, range and value.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_number("lr", 2e-4, above=0)
        0.0002
        >>> arguments.check_number("clip_norm", -1, above=0)
        Traceback (most recent call last):
            ...
        ValueError: clip_norm=-1: expected a number, above 0
    """
    limits = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    words = " and ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)
    message = f"{name}={value!r}: expected a {'number, ' + words if words else 'finite number'}"
    try:
        number = math.nan if _is_bool(value) or isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(message) from error
    fits = math.isfinite(number)
    fits = fits and (at_least is None or number >= at_least) and (above is None or number > above)
    if not (fits and (at_most is None or number <= at_most) and (below is None or number < below)):
        raise ValueError(message)
    return number


def check_choice(name: str, value: Any, choices: Collection[Any]) -> Any:  # noqa: ANN401
    """Return the value where it is one of the choices, or refuse it by name.

    Raises:
        ValueError: another value; the message lists the choices.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_choice("keep", "tail", ("head", "tail"))
        'tail'
        >>> arguments.check_choice("keep", "end", ("head", "tail"))
        Traceback (most recent call last):
            ...
        ValueError: keep='end': expected 'head' or 'tail'
    """
    # An array or a table compares element by element, so only single values are looked up.
    single = getattr(value, "__hash__", None) is not None and getattr(value, "ndim", 0) == 0
    if not single or value not in choices:
        raise ValueError(f"{name}={value!r}: expected {' or '.join(map(repr, choices))}")
    return value


def as_numbers(name: str, values: Any) -> "np.ndarray":  # noqa: ANN401
    """Return a table, array, list, generator or tensor as float64 numbers, whatever type holds them; NaN where missing.

    Numbers and truth values of NumPy, pandas (nullable, pyarrow-backed, categorical, `object` with `None` or `pd.NA`)
    and torch (any device, precision or gradient) are taken alike, and so are numbers written as text.

    Args:
        name: of the argument, as the caller wrote it.
        values: what the caller passed, of any shape.

    Raises:
        ValueError: a value that is no number; the message names the argument, row, column and value.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.as_numbers("targets", pd.DataFrame({"rude": pd.array([1, None], dtype="Int64")})).tolist()
        [[1.0], [nan]]
        >>> arguments.as_numbers("targets", [1, 0, "maybe"])
        Traceback (most recent call last):
            ...
        ValueError: targets of type list are not a table of numbers: row 2 (from 0) is 'maybe'
    """
    import numpy as np
    import pandas as pd

    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    if isinstance(values, Iterator):
        values = list(values)
    try:
        if isinstance(values, pd.DataFrame):
            columns = [_column_numbers(column, f", column {key!r}") for key, column in values.items()]
            return np.column_stack(columns) if columns else np.zeros(values.shape)
        if isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
            return _column_numbers(pd.Series(values))
        array = np.asarray(values)
        if array.dtype.kind in "biuf":
            return array.astype(float)
        if array.ndim not in (1, 2) or array.dtype.kind not in "OSU":
            raise ValueError(f"their dtype is {array.dtype}")
        table = pd.DataFrame(array) if array.ndim == 2 else pd.DataFrame({"": array})
        numbers = [_column_numbers(column, f", column {key}" if key != "" else "") for key, column in table.items()]
        return np.column_stack(numbers).reshape(array.shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} of type {type(values).__name__} are not a table of numbers: {error}") from error


def is_numeric(column: "pd.Series") -> bool:
    """Say whether a column's type, be it of NumPy, pandas or pyarrow, holds real numbers or truth values only.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.is_numeric(pd.Series([True, None], dtype="boolean")), arguments.is_numeric(pd.Series(["1"]))
        (True, False)
    """
    from pandas.api import types

    real = types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype)
    return column.dtype != object and (real or types.is_bool_dtype(column.dtype))


def _column_numbers(column: "pd.Series", place: str = "") -> "np.ndarray":
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if is_numeric(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    missing = column.isna().to_numpy(dtype=bool)
    cells = column.astype(object).where(~missing, None)
    numbers = np.full(len(column), np.nan)
    if not pd.api.types.is_complex_dtype(column.dtype):
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    if len(bad := np.flatnonzero(np.isnan(numbers) & ~missing)):
        raise ValueError(f"row {bad[0]} (from 0){place} is {cells.iloc[bad[0]]!r}")
    return numbers


def check_list(name: str, value: Any, what: str = "values", *, size: int | None = None) -> list[Any]:  # noqa: ANN401
    """Return what has an order as a list, or refuse it by name.

    Args:
        name: of the argument, as the caller wrote it.
        value: a list, tuple, array (N,), Index, Series or generator. One string is no list; a set has no order.
        what: its entries are, for the message.
        size: how many entries are needed; None takes any number.

    Raises:
        ValueError: another type, or another number of entries.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_list("texts", ("1", "2"))
        ['1', '2']
        >>> arguments.check_list("costs", 3, "numbers", size=2)
        Traceback (most recent call last):
            ...
        ValueError: costs is a int: expected a list of 2 numbers
    """
    many = what if size is None else f"{size} {what}"
    flat = isinstance(value, Iterable) and getattr(value, "ndim", 1) == 1
    if not flat or isinstance(value, str | bytes | Set | Mapping):
        raise ValueError(f"{name} is a {type(value).__name__}: expected a list of {many}")
    entries = list(value)
    if size is not None and len(entries) != size:
        raise ValueError(f"{name}={entries!r:.200}: expected a list of {many}, found {len(entries)}")
    return entries


def check_names(name: str, value: Any, *, size: int | None = None, empty: bool = False) -> list[Any]:  # noqa: ANN401
    """Return names in their order as a list, or refuse what is no list of different names.

    Args:
        name: of the argument, as the caller wrote it.
        value: a list, tuple, array, Index, Series or generator of names. One string is no list; a set has no order.
        size: how many names are needed; None takes any number from 1.
        empty: allow a list without names.

    Raises:
        ValueError: another type, no name, a name twice, or another number of names.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_names("labels", ("toxic", "insult"))
        ['toxic', 'insult']
        >>> arguments.check_names("labels", "toxic")
        Traceback (most recent call last):
            ...
        ValueError: labels='toxic': expected a list of different names, such as ['toxic']
    """
    many = "different names" if size is None else f"{size} different {'name' if size == 1 else 'names'}"
    if isinstance(value, str):
        raise ValueError(f"{name}={value!r}: expected a list of {many}, such as [{value!r}]")
    names = check_list(name, value, many)
    hashable = [one for one in names if getattr(one, "__hash__", None) is not None]
    if not (names or empty) or len(set(hashable)) < len(names) or (size is not None and len(names) != size):
        raise ValueError(f"{name}={names}: expected a list of {many}")
    return names


def check_mapping(name: str, value: Any, *, keys: str = "name") -> Mapping[Any, Any]:  # noqa: ANN401
    """Return a dict (or another mapping) that holds something, or refuse it by name.

    Args:
        name: of the argument, as the caller wrote it.
        value: what the caller passed.
        keys: what its keys are, for the message.

    Raises:
        ValueError: no mapping, or an empty one.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_mapping("curves", {"toxic": 1})
        {'toxic': 1}
        >>> arguments.check_mapping("curves", [1], keys="label")
        Traceback (most recent call last):
            ...
        ValueError: curves is a list: expected a dict {label: ...} with at least one entry
    """
    if not isinstance(value, Mapping) or not value:
        what = "empty" if isinstance(value, Mapping) else f"a {type(value).__name__}"
        raise ValueError(f"{name} is {what}: expected a dict {{{keys}: ...}} with at least one entry")
    return value


def check_table(name: str, value: Any, columns: Iterable[Any] = (), *, empty: bool = False) -> "pd.DataFrame":  # noqa: ANN401
    """Return a DataFrame that has rows and the columns that are needed, or refuse it by name.

    Args:
        name: of the argument, as the caller wrote it.
        value: what the caller passed.
        columns: that it must have, each once.
        empty: allow a table without rows.

    Raises:
        ValueError: no DataFrame, no row, a column that is missing or there twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.check_table("history", pd.DataFrame({"loss": [0.5]}), ["train_loss"])
        Traceback (most recent call last):
            ...
        ValueError: history: expected the columns ['train_loss'], found ['loss']
    """
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise ValueError(f"{name} is a {type(value).__name__}: expected a DataFrame")
    result, columns = list(value.columns), list(columns)
    if any(result.count(column) != 1 for column in columns):
        raise ValueError(f"{name}: expected the columns {columns}, found {result}")
    if not empty and not (len(value) and result):
        raise ValueError(f"{name} has the shape {value.shape}: expected at least one row and one column")
    return value


def check_path(name: str, value: Any, hint: str = "") -> Path:  # noqa: ANN401
    """Return the path of a file or folder as a Path, or refuse what is no path by name.

    Args:
        name: of the argument, as the caller wrote it.
        value: a str or a path.
        hint: further advice for the message.

    Raises:
        ValueError: another type.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_path("folder", "runs/tagger").name
        'tagger'
        >>> arguments.check_path("folder", None)
        Traceback (most recent call last):
            ...
        ValueError: folder: expected a path, got a NoneType
    """
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name}: expected a path, got a {type(value).__name__}{hint}")
    return Path(value)


def names_other_rows(one: "pd.Index", other: "pd.Index") -> bool:
    """Say whether the rows of two tables have other names, or the same names in another order.

    Rows that are only numbered from 0 have no names: they fit any others except these numbers in another order.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> numbers, chosen, reversed_rows = pd.RangeIndex(3), pd.Index([7, 2, 9]), pd.RangeIndex(2, -1, -1)
        >>> arguments.names_other_rows(numbers, chosen), arguments.names_other_rows(numbers, reversed_rows)
        (False, True)
    """
    import pandas as pd

    if len(one) != len(other) or one.equals(other):
        return False
    numbers = pd.RangeIndex(len(one))
    names = [index for index in (one, other) if not index.equals(numbers)]
    return len(names) == 2 or bool(names[0].is_unique and names[0].isin(numbers).all())


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
