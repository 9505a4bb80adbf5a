"""Diagrams: a network with several heads, and a text with its words coloured by what they contributed."""

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform

from helpers.arguments import (
    as_numbers,
    check_choice,
    check_count,
    check_list,
    check_mapping,
    check_names,
    check_number,
)
from helpers.plots.style import DARK, GREY, PALETTE, new_axes, plain

RAISES, LOWERS = PALETTE[1], PALETTE[0]
DEEPEST = 0.75  # of a colour, the rest is white: black text on it has a contrast of 6 to 1
COLUMN, LINE, TIGHT = 0.61, 1.8, 1.5  # by font size: width of a character, height of a line, and that at least
LARGEST = 18  # font size in points
KEY = 1.4  # lines that the key takes
STEP, GAP = 0.32, 0.34  # inches of a logit, and between two heads


def heads(
    layers: Sequence[str],
    sizes: Mapping[str, int],
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a network with several heads, left to right: a box per layer and head, a dot per logit.

    Args:
        layers: words in the boxes of the backbone, from the input on.
        sizes: {head: logits}, first head at the top.
        classes: by head, what its logits stand for; None writes nothing.
        ax: where to draw; None draws on a new figure.

    Raises:
        ValueError: no layer, no head, or other texts than one per logit of a head.

    Examples:
        >>> from helpers import plots
        >>> ax = plots.heads(["12", "32"], {"toxic": 1, "level": 3}, classes={"level": ["none", "some", "much"]})
        >>> [text.get_text() for text in ax.texts if ":" in text.get_text()]
        ['level: none', 'level: some', 'level: much']
    """
    if not (layers := check_list("layers", layers, "texts, one per layer")):
        raise ValueError("layers=[]: expected a list of texts, one per layer, at least one")
    sizes = {name: check_count(f"sizes[{name!r}]", size) for name, size in check_mapping("sizes", sizes).items()}
    texts = _logit_texts(sizes, {} if classes is None else check_mapping("classes", classes, keys="head"))
    top, end = STEP * sum(sizes.values()) + GAP * len(sizes), 1.5 * len(layers) - 0.5
    ax = ax or new_axes(9, top + 0.6)
    ax.plot([0, end], [top / 2, top / 2], color=GREY, linewidth=1.2, zorder=0)
    for index, words in enumerate(layers):
        _box(ax, 1.5 * index, 0.25 * top, 1.0, 0.5 * top, PALETTE[0])
        ax.annotate(plain(words), (1.5 * index + 0.5, top / 2), ha="center", va="center", color="white", fontsize=10)
    left, y = end + 1.3, top
    for index, (name, size) in enumerate(sizes.items()):
        y -= STEP * size + GAP
        _box(ax, left, y, 0.6, STEP * size, PALETTE[1 + index % (len(PALETTE) - 1)])
        ax.plot([end, left], [top / 2, y + STEP * size / 2], color=GREY, linewidth=1.2, zorder=0)
        for logit, text in enumerate(texts[name]):
            height = y + STEP * (size - logit - 0.5)
            ax.plot(left + 0.3, height, "o", color="white", markersize=6)
            ax.annotate(plain(text), (left + 0.75, height), va="center", color=DARK, fontsize=10)
    ax.set(xlim=(-0.1, left + 3.2), ylim=(-0.1, top + 0.1))
    ax.axis("off")
    return ax


def _logit_texts(sizes: Mapping[str, int], classes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What stands at the logits of each head: the class of each, or the head's name at the first."""
    if unknown := [name for name in classes if name not in sizes]:
        raise ValueError(f"classes name the heads {unknown}: expected some of {list(sizes)}")
    texts = {name: [name] + [""] * (size - 1) for name, size in sizes.items()}
    for name, meanings in classes.items():
        texts[name] = [f"{name}: {text}" for text in check_names(f"classes[{name!r}]", meanings, size=sizes[name])]
    return texts


def _box(ax: Axes, x: float, y: float, width: float, height: float, color: str) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", color=color))


def word_weights(
    words: Sequence[str] | pd.Series,
    weights: Sequence[float] | np.ndarray | pd.Series,
    *,
    largest: float | None = None,
    per_line: int = 64,
    key: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the words of a text, orange where they raise the logit, blue where they lower it, the stronger the deeper.

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
        >>> ax = plots.diagrams.word_weights(["You", "are", "unkind."], [0.1, -0.2, 1.5])
        >>> [text.get_text() for text in ax.texts]
        ['You', 'are', 'unkind.']
    """
    shown = [str(word) for word in check_list("words", words, "words, in the order of the text")]
    values = as_numbers("weights", weights)
    if values.shape != (len(shown),) or not np.isfinite(values).all():
        raise ValueError(f"weights {values.shape}: expected {len(shown)} finite numbers, one per word")
    per_line = check_count("per_line", per_line, at_least=8)
    largest = np.abs(values).max(initial=0) if largest is None else check_number("largest", largest, above=0)
    has_key = check_choice("key", key, (True, False))
    cells = _cells(shown, per_line)
    lines = 1 + max((row for row, _, _ in cells), default=0) + KEY * has_key
    ax = _fitting_axes(lines, per_line) if ax is None else ax
    size, line = _sizes(ax, lines, per_line)
    grid = _grid(ax, size * COLUMN, line)
    for (row, column, word), weight in zip(cells, values, strict=True):
        text = ax.text(column, row + 0.2, word, color="black", family="monospace", size=size, transform=grid)
        text.set_parse_math(False)  # a dollar is a dollar
        text.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": _mixed(weight / (largest or 1)), "edgecolor": "none"})
        text.set_in_layout(False)  # else the layout would make room for the text by making the axes smaller
    if has_key:
        names = {1: "raises the logit", -1: "lowers it"}
        handles = [Patch(color=_mixed(depth), label=name) for depth, name in names.items()]
        ax.legend(handles=handles, loc="lower left", ncols=2, borderaxespad=0, frameon=False, fontsize=0.8 * size)
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


def _mixed(depth: float) -> tuple[float, float, float]:
    """A colour mixed with white: 0 is white, 1 or more the deepest that raises, -1 or less the deepest that lowers."""
    share = DEEPEST * min(abs(depth), 1)
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(RAISES if depth > 0 else LOWERS))
    return red, green, blue


def _cells(words: Sequence[str], per_line: int) -> list[tuple[int, int, str]]:
    """Line, column and text of each word; one that is longer than a line is cut."""
    cells, row, column = [], 0, 0
    for word in words:
        while _width(word) > per_line:
            word = word.removesuffix("…")[:-1] + "…"
        if column and column + _width(word) > per_line:
            row, column = row + 1, 0
        cells.append((row, column, word))
        column += _width(word) + 1
    return cells


def _width(word: str) -> int:
    """Columns that a word takes: Chinese characters and emoji two, accents that combine none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in word)
    return len(word) + wide - sum(unicodedata.combining(letter) > 0 for letter in word)
