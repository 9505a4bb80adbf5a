"""The picture of labels that come together, asked in two ways, on a figure that pyplot does not know."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from helpers.arguments import check_choice
from helpers.explore.showing import name_inches, side_by_side
from helpers.plots.style import DARK, GREY, label_colors, plain

PALE = "#D5D5D5"
MEASURES = ("shares", "counts", "lift")


def company_picture(table: pd.DataFrame, chosen: Sequence[str], labels: Sequence[str], measure: str) -> Figure:
    """The labels that come with the chosen ones, asked in two ways.

    Args:
        table: of `company`.
        chosen: the chosen labels.
        labels: all labels; they give the colours.
        measure: "shares", "counts" or "lift".

    Raises:
        ValueError: another measure.
    """
    check_choice("measure", measure, MEASURES)
    figure = Figure(figsize=(12, max(3.4, 0.34 * len(table) + 1.6)), layout="none")  # type: ignore[arg-type]  # its stub forgets this one
    left, right = side_by_side(figure, [(name_inches(table.index), 0.15, 1), (0.15, 0.15, 1)])
    right.tick_params(labelleft=False)
    if table.empty:
        return _nothing_left(figure, left, right)
    colors, table = label_colors([str(name) for name in labels]), table[::-1]
    them = " and ".join(map(plain, chosen)) if len(chosen) < 3 else f"the {len(chosen)} chosen labels"
    rows = int(table["chosen_rows"].max())
    left.set_title(f"Of {rows:,} comments" + (f" with {them}" if chosen else ""))
    right.set_title("Of the comments with the row's label")
    {"shares": _shares, "counts": _counts, "lift": _lift}[measure](left, right, table, them or "any label or none")
    for ax in (left, right):
        for bar, name in zip(ax.containers[-1], table.index, strict=True):
            bar.set_color(colors[str(name)])
        ax.grid(visible=False)
    return figure


def _bars(ax: Axes, values: pd.Series, texts: Sequence[str], behind: pd.Series | float | None = None) -> None:
    """Bars with texts; `behind` them, wider, what they are a part of."""
    names = [plain(name) for name in values.index]
    if behind is not None:
        whole = ax.barh(names, behind, color=PALE, height=0.8)
    drawn = ax.barh(names, values.fillna(0), height=0.6 if behind is not None else 0.8)
    ax.bar_label(drawn if behind is None else whole, labels=texts, padding=4, color=DARK)


def _shares(left: Axes, right: Axes, table: pd.DataFrame, them: str) -> None:
    for ax, share, rows in ((left, "share_of_chosen", "chosen_rows"), (right, "share_of_label", "label_rows")):
        texts = [f"{s:.0%} of {n:,}" if n else "no rows" for s, n in zip(table[share], table[rows], strict=True)]
        _bars(ax, table[share], texts)
        ax.set_xlim(0, 1.3)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    left.plot(table["base"], range(len(table)), "|", color=DARK, markersize=18, markeredgewidth=2, zorder=3)
    left.set_xlabel("share that has the row's label too (mark: of all)")
    right.set_xlabel(f"share that has {them}")


def _counts(left: Axes, right: Axes, table: pd.DataFrame, them: str) -> None:
    for ax, rows in ((left, "chosen_rows"), (right, "label_rows")):
        texts = [f"{both:,} of {n:,}" for both, n in zip(table["both"], table[rows], strict=True)]
        _bars(ax, table["both"], texts, behind=table[rows])
        ax.margins(x=0.35)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    left.set_xlabel("comments that have the row's label too (grey: all of these)")
    right.set_xlabel(f"comments that have {them} (grey: all of these)")


def _lift(left: Axes, right: Axes, table: pd.DataFrame, them: str) -> None:
    _bars(left, table["lift"], ["no rows" if np.isnan(value) else f"× {value:.1f}" for value in table["lift"]])
    left.axvline(1, color=DARK, linestyle="--", linewidth=1)
    left.margins(x=0.2)
    left.set_xlabel("lift: times as frequent as among all comments")
    expected = table["expected"].fillna(0)
    texts = [f"{both:,}, by chance {e:,.0f}" for both, e in zip(table["both"], expected, strict=True)]
    _bars(right, table["both"], texts)
    right.plot(expected, range(len(table)), "|", color=GREY, markersize=18, markeredgewidth=3, zorder=3)
    right.margins(x=0.65)
    right.set_title("The same both ways")
    right.set_xlabel(f"comments with {them} and the row's label")


def _nothing_left(figure: Figure, *axes: Axes) -> Figure:
    for ax in axes:
        ax.axis("off")
    axes[0].text(0, 0.5, "Every label is chosen: leave one out, and it is shown here.", color=DARK)
    return figure
