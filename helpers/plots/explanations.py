"""A text with its words coloured by what they contributed."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform

from helpers.arguments import as_numbers, check_choice, check_count, check_list, check_number
from helpers.plots.style import PALETTE, new_axes

RAISES, LOWERS = PALETTE[1], PALETTE[0]
DEEPEST = 0.75  # of a colour, the rest is white: black text on it has a contrast of 6 to 1
COLUMN, LINE, TIGHT = 0.61, 1.8, 1.5  # by font size: width of a character, height of a line, and that at least
LARGEST = 18  # font size in points
KEY = 1.4  # lines that the key takes


def word_weights(
    words: Sequence[str] | pd.Series,
    weights: Sequence[float] | np.ndarray | pd.Series,
    *,
    largest: float | None = None,
    per_line: int = 64,
    key: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Words in their order, orange where they raise the logit and blue where they lower it, the stronger the deeper.

    Args:
        words: (N,) as `explain.word_attributions` gives them, in the order of the text; one longer than a line is cut.
        weights: (N,) what each contributed.
        largest: weight of the deepest colour, so that two texts can be compared; None takes the largest of these.
        per_line: characters in a line, which fill the width: fewer make larger letters.
        key: say below what the colours mean.
        ax: where to draw; letters are as small as it makes them, a third of an inch a line is good. None draws on a new
            figure as high as the text needs.

    Raises:
        ValueError: as many words as weights are needed, finite ones; `largest` not above 0, `per_line` below 8.

    Examples:
        >>> from helpers import plots
        >>> ax = plots.word_weights(["You", "are", "unkind."], [0.1, -0.2, 1.5])
        >>> [text.get_text() for text in ax.texts]
        ['You', 'are', 'unkind.']
    """
    shown = [str(word) for word in check_list("words", words, "words, in the order of the text")]
    values = as_numbers("weights", weights)
    if values.shape != (len(shown),) or not np.isfinite(values).all():
        raise ValueError(f"weights {values.shape}: expected {len(shown)} finite numbers, one per word")
    per_line = check_count("per_line", per_line, at_least=8)
    largest = None if largest is None else check_number("largest", largest, above=0)
    key = bool(check_choice("key", key, (True, False)))
    depths = values / (largest or np.abs(values).max(initial=0) or 1)
    places = _places(shown, per_line)
    lines = 1 + max((row for row, _, _ in places), default=0) + KEY * key
    ax = _fitting_axes(lines, per_line) if ax is None else ax
    size, line = _sizes(ax, lines, per_line)
    grid = _grid(ax, size * COLUMN, line)
    for (row, column, word), depth in zip(places, depths, strict=True):
        _write(ax, column, row, word, size=size, color=_mixed(depth), transform=grid)
    if key:
        keys = {"raises the logit": RAISES, "lowers it": LOWERS}
        handles = [Patch(color=_mixed(1, colour), label=name) for name, colour in keys.items()]
        options: dict[str, Any] = {
            "loc": "lower left",
            "ncols": 2,
            "borderaxespad": 0,
            "frameon": False,
            "fontsize": 0.8 * size,
        }
        ax.legend(handles=handles, **options)
    return ax


def _fitting_axes(lines: float, per_line: int) -> Axes:
    """Axes that fill a new figure, which is as high as the lines, the key and a title need."""
    width = 9.0
    size = min(72 * width / ((per_line + 1) * COLUMN), LARGEST)
    ax = new_axes(width, lines * LINE * size / 72 + 0.4)
    assert isinstance(ax.figure, Figure)
    ax.figure.set_layout_engine("constrained")
    return ax


def _sizes(ax: Axes, lines: float, per_line: int) -> tuple[float, float]:
    """Font size and height of a line in points, so that all fits into the axes, also below a title yet to come."""
    ax.set_axis_off()
    ax.figure.canvas.figure.draw_without_rendering()  # the layout settles how large the axes are
    width, height = np.asarray(ax.get_window_extent().size) * 72 / ax.figure.dpi
    titled = ax.get_title("left") or ax.get_title() or ax.get_title("right")
    title = 0 if titled else 1.8 * float(ax.title.get_fontsize())
    room = max(height - title, height / 2) / lines
    size = min(width / ((per_line + 1) * COLUMN), room / TIGHT, LARGEST)
    return size, min(room, LINE * size)


def _grid(ax: Axes, column: float, line: float) -> Transform:
    """Columns and lines, sizes in points, from the upper left corner of the axes, however these may change."""
    cells = Affine2D().translate(0.5, 0.5).scale(column / 72, -line / 72)
    return cells + ax.figure.dpi_scale_trans + ScaledTranslation(0, 1, ax.transAxes)  # type: ignore[arg-type]  # any will do


def _write(
    ax: Axes, column: int, row: int, word: str, *, size: float, color: tuple[float, ...], transform: Transform
) -> None:
    text = ax.text(column, row + 0.2, word, color="black", family="monospace", size=size, transform=transform)
    text.set_parse_math(False)  # a dollar is a dollar
    text.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": color, "edgecolor": "none"})
    text.set_in_layout(False)  # else the layout would make room for the text by making the axes smaller


def _mixed(depth: float, colour: str | None = None) -> tuple[float, float, float]:
    """A colour mixed with white: 0 is white, 1 or -1 the deepest."""
    full = to_rgb(colour or (RAISES if depth > 0 else LOWERS))
    red, green, blue = (1 - DEEPEST * min(abs(depth), 1) * (1 - part) for part in full)
    return red, green, blue


def _places(words: Sequence[str], per_line: int) -> list[tuple[int, int, str]]:
    """Line, column and what is written of each word."""
    places, row, column = [], 0, 0
    for word in words:
        while _width(word) > per_line:
            word = word.removesuffix("…")[:-1] + "…"
        if column and column + _width(word) > per_line:
            row, column = row + 1, 0
        places.append((row, column, word))
        column += _width(word) + 1
    return places


def _width(word: str) -> int:
    """Columns that a word takes: Chinese characters and emoji two, accents that combine none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in word)
    return len(word) + wide - sum(unicodedata.combining(letter) > 0 for letter in word)
