"""Check the numbers and the choices that a caller passes, before anything is computed, trained or written."""

import math
import operator
from collections.abc import Collection
from typing import Any


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
    try:
        known = value in choices
    except (TypeError, ValueError):  # an array or a table compares element by element
        known = False
    if not known:
        raise ValueError(f"{name}={value!r}: expected {' or '.join(map(repr, choices))}")
    return value


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
