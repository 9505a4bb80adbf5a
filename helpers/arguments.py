"""Check what a caller passes (numbers, choices, names, tables, texts) before anything is computed or written.

Each function takes the argument's name, as the caller wrote it, for the message, and the value that was passed.
"""

import math
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from operator import ge, gt, index, le, lt
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def check_count(name: str, value: Any, *, at_least: int = 1, at_most: int | None = None) -> int:  # noqa: ANN401
    """Return a whole number as an int, or refuse it by name.

    NumPy's and torch's integers count as whole numbers; True, fractions (also 2.0), NaN and text do not.

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
        whole = index(value)
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

    Raises:
        ValueError: no number, NaN, infinite, or outside the range; the message gives name, range and value.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_number("lr", 2e-4, above=0)
        0.0002
    """
    limits = {"at least": (at_least, ge), "above": (above, gt), "at most": (at_most, le), "below": (below, lt)}
    rules = [(word, limit, holds) for word, (limit, holds) in limits.items() if limit is not None]
    words = " and ".join(f"{word} {limit}" for word, limit, _ in rules)
    message = f"{name}={value!r}: expected a {'number, ' + words if words else 'finite number'}"
    try:
        number = math.nan if _is_bool(value) or isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(message) from error
    if not (math.isfinite(number) and all(holds(number, limit) for _, limit, holds in rules)):
        raise ValueError(message)
    return number


def check_choice(name: str, value: Any, choices: Collection[Any]) -> Any:  # noqa: ANN401
    """Return the value where it is one of the choices; otherwise a ValueError lists the choices.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_choice("keep", "tail", ("head", "tail"))
        'tail'
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

    Raises:
        ValueError: a value that is no number; the message names the argument, row, column and value.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.as_numbers("targets", pd.DataFrame({"rude": pd.array([1, None], dtype="Int64")})).tolist()
        [[1.0], [nan]]
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

    Lists, tuples, arrays (N,), Indexes, Series and generators are taken. One string is no list; a set has no order.

    Raises:
        ValueError: another type, or another number of entries than `size`; the message calls them `what`.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_list("texts", ("1", "2"))
        ['1', '2']
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

    Raises:
        ValueError: another type (as `check_list`), a name twice, another number of names than `size`, or no name and
            not `empty`.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_names("labels", ("toxic", "insult"))
        ['toxic', 'insult']
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
    """Return a dict (or another mapping) that holds something; otherwise a ValueError names what its `keys` should be.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_mapping("curves", {"toxic": 1})
        {'toxic': 1}
    """
    if not isinstance(value, Mapping) or not value:
        what = "empty" if isinstance(value, Mapping) else f"a {type(value).__name__}"
        raise ValueError(f"{name} is {what}: expected a dict {{{keys}: ...}} with at least one entry")
    return value


def check_table(name: str, value: Any, columns: Iterable[Any] = (), *, empty: bool = False) -> "pd.DataFrame":  # noqa: ANN401
    """Return a DataFrame that has rows and the columns that are needed, or refuse it by name.

    Raises:
        ValueError: no DataFrame, no row (unless `empty`), one of `columns` is missing or there twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.check_table("history", pd.DataFrame({"loss": [0.5]}), ["loss"]).shape
        (1, 1)
    """
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        hint = ", as .to_frame() makes of it" if isinstance(value, pd.Series) else ""
        raise ValueError(f"{name} is a {type(value).__name__}: expected a DataFrame{hint}")
    result, columns = list(value.columns), list(columns)
    if any(result.count(column) != 1 for column in columns):
        raise ValueError(f"{name}: expected the columns {columns}, found {result}")
    if not empty and not (len(value) and result):
        raise ValueError(f"{name} has the shape {value.shape}: expected at least one row and one column")
    return value


def check_path(name: str, value: Any, hint: str = "") -> Path:  # noqa: ANN401
    """Return the path of a file or folder as a Path; what is no path is a ValueError that ends with `hint`.

    Examples:
        >>> from helpers import arguments
        >>> arguments.check_path("folder", "runs/tagger").name
        'tagger'
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


def as_texts(texts: Iterable[str], *, name: str = "texts", allow_empty: bool = True) -> list[str]:
    """Return a list of texts: what a tokenizer takes, and what every function of this package makes of its texts.

    Lists, Series, arrays (numpy, pandas, pyarrow), columns of a Hugging Face data set and generators are taken. Half of
    a character (a lone surrogate, left by a program that cut a text in the middle) is left out with a warning.

    Raises:
        ValueError: one text instead of several, a table instead of a column, a dict or a set, an array of two
            dimensions, no text unless `allow_empty`, or an entry that is no text (its number and index are named).

    Examples:
        >>> import pandas as pd
        >>> from helpers import arguments
        >>> arguments.as_texts(pd.Series(["one", "two"]))
        ['one', 'two']
    """
    result = list(iterate_texts(texts, name=name))
    if not result and not allow_empty:
        raise ValueError(f"{name} is empty: there is no text")
    return result


def iterate_texts(texts: Iterable[str], *, name: str = "texts") -> Iterator[str]:
    """Check texts as `as_texts` does, one at a time, for a generator of any length.

    Examples:
        >>> from helpers import arguments
        >>> next(arguments.iterate_texts(number * "ha" for number in range(1, 10**9)))
        'ha'
    """
    _check_container(texts, name)
    return _checked_texts(texts, name)


def _check_container(texts: Any, name: str) -> None:  # noqa: ANN401
    import pandas as pd

    columns = getattr(texts, "column_names", getattr(texts, "columns", None))
    if isinstance(texts, pd.Series | pd.Index):
        return
    if isinstance(texts, str | bytes):
        raise ValueError(f"{name} must be several texts, not one: put it into a list")
    if columns is not None:
        names = list(columns)
        likely = [getattr(texts, "attrs", {}).get("text"), "comment_text", "text", *names]
        column = next((column for column in likely if column in names), "comment_text")
        raise ValueError(f"{name} is a table with the columns {names}: pass one of them, such as table[{column!r}]")
    if isinstance(texts, Mapping | set | frozenset) or not isinstance(texts, Iterable):
        raise ValueError(f"{name} is of type {type(texts).__name__}: expected a list, a Series or an array of texts")
    if (shape := getattr(texts, "shape", None)) is not None and len(shape) != 1:
        raise ValueError(f"{name} is an array of shape {tuple(shape)}: expected (N,), such as one column, array[:, 0]")


def _checked_texts(texts: Any, name: str) -> Iterator[str]:  # noqa: ANN401
    import pandas as pd

    labels = texts.index if isinstance(texts, pd.Series) else None
    warned = False
    for number, text in enumerate(texts.to_pylist() if hasattr(texts, "to_pylist") else texts):
        if not isinstance(text, str):
            label = number if labels is None else labels[number : number + 1].tolist()[0]
            row = "counted from 0" + (f", index {label!r}" if label != number else "")
            raise ValueError(f"{name}: text {number} ({row}) is {text!r:.80}, not a text{_hint(text)}")
        whole = without_surrogates(text)
        if whole is not text and not warned:
            warned = True
            warn(f"{name}: text {number} (counted from 0) holds half of a character: it and later halves are left out")
        yield str(whole)


def _hint(value: Any) -> str:  # noqa: ANN401
    import pandas as pd

    if isinstance(value, bytes):
        return ': decode it, such as value.decode("utf-8")'
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ': fill missing texts with "" or drop their rows'
    return f" but of type {type(value).__name__}"


def without_surrogates(text: str) -> str:
    r"""Leave out lone surrogates, which no tokenizer reads; without any, return the same object.

    Two halves that follow each other become a character.

    Examples:
        >>> from helpers import arguments
        >>> [arguments.without_surrogates(text) for text in ("half \ud83d", "whole \ud83d\ude00")]
        ['half ', 'whole 😀']
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return re.sub("[\ud800-\udfff]", "", whole)


def warn(message: str) -> None:
    """Warn at the caller's line, the first outside this package.

    Examples:
        >>> import warnings
        >>> from helpers import arguments
        >>> with warnings.catch_warnings(action="ignore"):
        ...     arguments.warn("half of the texts are empty")
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(Path(__file__).parent):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
