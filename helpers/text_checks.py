"""Check texts from callers, and warn when much of them is unknown to a model."""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from tokenizers import Encoding

_PACKAGE = Path(__file__).parent
LEAST_ROWS = 0.01  # share of the texts that must be unknown before a warning: a stray foreign comment gives none
UNKNOWN_WORDS = (
    0.4  # share of its words from which a text is mostly unknown to a tokenizer; ordinary English has below 0.2
)


def as_texts(texts: Iterable[str], *, name: str = "texts", allow_empty: bool = True) -> list[str]:
    """Return a list of texts: what a tokenizer takes, and what every function of this package makes of its texts.

    Half of a character (a lone surrogate, left by a program that cut a text in the middle) is left out with a warning.

    Args:
        texts: a list, a Series, an array (numpy, pandas, pyarrow), a column of a Hugging Face data set, a generator.
        name: of the argument, as the caller wrote it.
        allow_empty: False refuses an empty list.

    Raises:
        ValueError: one text instead of several, a table instead of a column, a dict or a set, an array of two
            dimensions, no text at all, or an entry that is no text (its number is named, and its index label).

    Examples:
        >>> import pandas as pd
        >>> from helpers import text
        >>> text.as_texts(pd.Series(["one", "two"]))
        ['one', 'two']
        >>> text.as_texts(["one", None])
        Traceback (most recent call last):
            ...
        ValueError: texts: text 1 (counted from 0) is None, not a text: fill missing texts with "" or drop their rows
    """
    result = list(iterate_texts(texts, name=name))
    if not result and not allow_empty:
        raise ValueError(f"{name} is empty: there is no text")
    return result


def iterate_texts(texts: Iterable[str], *, name: str = "texts") -> Iterator[str]:
    """Check texts as `as_texts` does, one at a time, for a generator of any length.

    Examples:
        >>> from helpers import text_checks
        >>> next(text_checks.iterate_texts(number * "ha" for number in range(1, 10**9)))
        'ha'
    """
    _check_container(texts, name)
    return _checked_texts(texts, name)


def _check_container(texts: Any, name: str) -> None:  # noqa: ANN401
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
            _warn(f"{name}: text {number} (counted from 0) holds half of a character: it and later halves are left out")
        yield str(whole)


def _hint(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bytes):
        return ': decode it, such as value.decode("utf-8")'
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ': fill missing texts with "" or drop their rows'
    return f" but of type {type(value).__name__}"


def without_surrogates(text: str) -> str:
    r"""Leave out lone surrogates, which no tokenizer reads; two halves that follow each other become a character.

    Returns:
        The same object where there is nothing to leave out.

    Examples:
        >>> from helpers import text_checks
        >>> [text_checks.without_surrogates(text) for text in ("half \ud83d", "whole \ud83d\ude00")]
        ['half ', 'whole 😀']
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return re.sub("[\ud800-\udfff]", "", whole)
    return text


def unknown_words(encodings: "Sequence[Encoding]", unknown_id: int | None) -> np.ndarray:
    """Count the words of each text that its tokenizer does not know ([UNK]).

    Args:
        encodings: N texts as a fast tokenizer gives them (`encode_batch_fast` leaves the words out).
        unknown_id: number of the token for unknown words; None where the tokenizer has none, as with bytes.

    Returns:
        (N, 2) int: unknown words, and words; both 0 where no word is unknown, for `mostly_unknown`.

    Examples:
        >>> from helpers import text, text_checks
        >>> tokenizer = text.load_tokenizer()
        >>> found = tokenizer(["no problem", "no 😀"])
        >>> text_checks.unknown_words(found.encodings, tokenizer.unk_token_id).tolist()
        [[0, 0], [1, 2]]
    """
    counts = np.zeros((len(encodings), 2), dtype=np.int64)
    for row, encoding in enumerate(encodings):
        if unknown_id in (ids := encoding.ids):
            words = encoding.word_ids
            unknown = {word for word, token in zip(words, ids, strict=True) if token == unknown_id} - {None}
            counts[row] = len(unknown), len(set(words) - {None})
    return counts


def mostly_unknown(counts: np.ndarray) -> np.ndarray:
    """Tell which texts are mostly unknown: (N,) bool from unknown words and words, (N, 2), of `unknown_words`.

    Examples:
        >>> import numpy as np
        >>> from helpers import text_checks
        >>> text_checks.mostly_unknown(np.array([[0, 0], [1, 9], [3, 4]])).tolist()
        [False, False, True]
    """
    return (counts[:, 0] > 0) & (counts[:, 0] >= UNKNOWN_WORDS * counts[:, 1])


def warn_of_unknown(unknown: np.ndarray, *, source: str) -> bool:
    """Warn in one line when texts are mostly unknown to a model: it predicts for them as for an empty text.

    Args:
        unknown: (N,) bool, True where a text is mostly unknown.
        source: where the words are looked for.

    Returns:
        Whether there was a warning.

    Examples:
        >>> import numpy as np, warnings
        >>> from helpers import text_checks
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = text_checks.warn_of_unknown(np.array([False, True]), source="the vocabulary")
        >>> print(caught[0].message)
        1 of 2 texts: most words are not in the vocabulary, so predictions mean little (first: text 1, counted from 0)
    """
    if unknown.sum() < max(1, LEAST_ROWS * len(unknown)):
        return False
    _warn(
        f"{unknown.sum():,} of {len(unknown):,} texts: most words are not in {source}, so predictions mean little "
        f"(first: text {unknown.argmax()}, counted from 0)"
    )
    return True


def _warn(message: str) -> None:
    """Warn at the caller's line, the first outside this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
