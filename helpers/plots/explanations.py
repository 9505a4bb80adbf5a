"""A text with its words coloured by what they contributed."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform

from helpers.arguments import (
    as_numbers,
    check_choice,
    check_count,
    check_list,
    check_mapping,
    check_names,
    check_number,
    check_table,
)
from helpers.plots.style import GREY, PALETTE, label_colors, new_axes, plain

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


def learning_curves(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Training and validation loss over the epochs, labelled at their ends, the best epoch marked.

    Args:
        history: indexed by epoch, with `train_loss` and perhaps `valid_loss`, as `loops.fit` gives it.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> history = pd.DataFrame({"train_loss": [0.6, 0.3, 0.1], "valid_loss": [0.5, 0.4, 0.5]}, index=[1, 2, 3])
        >>> ax = plots.learning_curves(history)  # as loops.fit gives it
        >>> [text.get_text().strip() for text in ax.texts]
        ['train', 'valid', 'best']
    """
    check_table("history (of loops.fit)", history, ["train_loss"])
    ax = ax or new_axes()
    for column, color in (("train_loss", PALETTE[0]), ("valid_loss", PALETTE[1])):
        if column in history:
            ax.plot(history.index, history[column], "o-", color=color)
            end = (history.index[-1], history[column].iloc[-1])
            ax.annotate(column.split("_")[0], end, xytext=(8, 0), textcoords="offset points", va="center", color=color)
    if "valid_loss" in history:
        best: Any = history["valid_loss"].idxmin()
        ax.axvline(best, color=GREY, linestyle="--", linewidth=1)
        ax.annotate(" best", (best, 0.98), xycoords=("data", "axes fraction"), va="top", color=GREY)
    ax.set_xticks(history.index)
    ax.margins(x=0.12)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss (mean over labels)")
    return ax


def roc(curves: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """ROC curves, one a label, with the area in the legend and the diagonal of guessing.

    Args:
        curves: by label, with the columns `fpr` and `tpr`, as `metrics.roc_points` gives them.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import metrics, plots
        >>> ax = plots.roc({"toxic": metrics.roc_points([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6])})
        >>> ax.get_legend().get_texts()[0].get_text()
        'toxic 0.750'
    """
    _check_curves(curves, ["fpr", "tpr"])
    ax = ax or new_axes(5.5, 5)
    colors = label_colors(list(curves))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for label, points in curves.items():
        area = np.trapezoid(points["tpr"], points["fpr"])
        ax.plot(points["fpr"], points["tpr"], color=colors[label], linewidth=2, label=f"{plain(label)} {area:.3f}")
    ax.set_xlabel("share of the negatives flagged (false positive rate)")
    ax.set_ylabel("share of the positives found (recall)")
    ax.legend(loc="lower right")
    return ax


def precision_recall(
    curves: dict[str, pd.DataFrame], *, rates: Mapping[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Precision over recall, one curve a label; the rate of a label, what guessing reaches, as a dotted line.

    Args:
        curves: by label, with the columns `recall` and `precision`, as `metrics.precision_recall_points` gives them.
        rates: share of the positives by label; None draws no lines.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import metrics, plots
        >>> points = metrics.precision_recall_points([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6])
        >>> ax = plots.precision_recall({"toxic": points}, rates={"toxic": 0.5})
        >>> ax.get_legend().get_texts()[0].get_text()
        'toxic'
    """
    _check_curves(curves, ["recall", "precision"])
    rates = {} if rates is None else check_mapping("rates", rates, keys="label")
    if rates and (missing := [label for label in curves if label not in rates]):
        raise ValueError(f"rates: expected one per curve, found none for {missing}")
    ax = ax or new_axes(5.5, 5)
    colors = label_colors(list(curves))
    for label, points in curves.items():
        ax.step(
            points["recall"], points["precision"], where="post", color=colors[label], linewidth=2, label=plain(label)
        )
        if rates:
            ax.axhline(check_number(f"rates[{label!r}]", rates[label]), color=colors[label], linestyle=":", linewidth=1)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.set_xlabel("share of the positives found (recall)")
    ax.set_ylabel("share of the flagged that are positive (precision)")
    ax.legend(loc="best")
    return ax


def reliability(curves: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Observed over predicted frequency, one line a model, dots as large as their bins are full; the diagonal is right.

    Args:
        curves: by name, with the columns `predicted`, `observed` and `rows`, as `evaluation.reliability` gives them.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import evaluation, plots
        >>> points = evaluation.reliability([0, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.8], n_bins=2)
        >>> ax = plots.reliability({"as it is": points})
        >>> ax.get_ylabel()
        'share of positives among these rows'
    """
    _check_curves(curves, ["predicted", "observed", "rows"])
    ax = ax or new_axes(5.5, 5)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for index, (name, points) in enumerate(curves.items()):
        color = PALETTE[index % len(PALETTE)]
        ax.plot(points["predicted"], points["observed"], color=color, linewidth=2, label=plain(name))
        sizes = 12 + 200 * points["rows"] / points["rows"].sum()
        ax.scatter(points["predicted"], points["observed"], s=sizes, color=color, zorder=3)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.set_xlabel("predicted probability")
    ax.set_ylabel("share of positives among these rows")
    ax.legend(loc="upper left")
    return ax


def confusion(
    targets: np.ndarray, flagged: np.ndarray, labels: Sequence[str], *, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """A two-by-two table of counts for each label, rows what is true, columns what the model says.

    Args:
        targets: (N, L) of 0 and 1, NaN where unknown (left out).
        flagged: (N, L) decisions of the model, 0 or 1.
        labels: names of the L labels.
        axes: L axes to draw on; None draws on a new figure.

    Returns:
        The axes, one for each label.

    Raises:
        ValueError: the shapes differ.

    Examples:
        >>> import numpy as np
        >>> from helpers import plots
        >>> targets, flagged = np.array([[1], [0], [1], [0]]), np.array([[1], [0], [0], [0]])
        >>> [ax] = plots.confusion(targets, flagged, ["toxic"])
        >>> [text.get_text() for text in ax.texts]
        ['2', '0', '1', '1']
    """
    labels = check_names("labels", labels)
    truth, predictions = as_numbers("targets", targets), as_numbers("flagged", flagged)
    if truth.shape != predictions.shape or truth.shape[1:] != (len(labels),) or not len(truth):
        shapes = f"targets {truth.shape}, flagged {predictions.shape} and {len(labels)} labels do not fit"
        raise ValueError(f"{shapes}: expected (N, L), (N, L) and L labels")
    shown: Any = axes
    if axes is None:
        shown = np.ravel(plt.subplots(1, len(labels), figsize=(2.6 * len(labels), 2.6))[1])
    for index, (ax, label) in enumerate(zip(shown, labels, strict=True)):
        is_known = ~np.isnan(truth[:, index])
        table = pd.crosstab(truth[is_known, index], predictions[is_known, index])
        table = table.reindex(index=[0.0, 1.0], columns=[0.0, 1.0], fill_value=0)
        shares = table.div(table.sum(axis=1).replace(0, 1), axis=0)
        sns.heatmap(shares, annot=table, fmt=",d", vmin=0, vmax=1, cmap="Blues", cbar=False, linewidths=1, ax=ax)
        ax.set_title(plain(label))
        ax.set(xlabel="model says", ylabel="true" if index == 0 else "")
        ax.set_xticklabels(["no", "yes"])
        ax.set_yticklabels(["no", "yes"], rotation=0)
    return shown


def _check_curves(curves: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> None:
    """ValueError where curves are no dict of tables with these columns."""
    for name, points in check_mapping("curves", curves).items():
        as_numbers(f"curves[{name!r}]", check_table(f"curves[{name!r}]", points, columns)[list(columns)])
