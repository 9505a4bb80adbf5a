"""The picture of a threshold. What moves with it is drawn over a background that is kept: a move takes milliseconds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter

from helpers.arguments import check_choice
from helpers.plots.style import DARK, GREY, PALETTE, label_colors, plain
from helpers.widgets.decisions import Ranked, curve, totals
from helpers.widgets.rendering import encoded, name_inches, side_by_side

BINS = np.linspace(0, 1, 41)
FOUND, ALARM, PALE = PALETTE[2], PALETTE[1], "#D5D5D5"
LINES = {"precision": PALETTE[0], "recall": PALETTE[4], "f1": DARK}
CORNERS = {"fn": (0, 1), "tp": (1, 1), "tn": (0, 0), "fp": (1, 0)}
WORDS = {
    "fn": "false negatives",
    "tp": "true positives",
    "tn": "true negatives",
    "fp": "false positives",
    "f1": "F1",
}
OUTSIDE = 1.02  # where the line of a threshold stands that no probability reaches


class ThresholdPicture:
    """One label's rows and scores around its threshold, and F1 of all labels, on a figure that pyplot does not know.

    Attributes:
        label: which is shown in the two panels on the left.
        figure: as matplotlib draws it, with the thresholds of the last `update`.
    """

    def __init__(self, ranked: Ranked, table: pd.DataFrame, label: str) -> None:
        """Draw once.

        Args:
            ranked: from `rank`.
            table: of `decisions` with the present thresholds.
            label: which is shown.
        """
        self.label = label
        index: Any = ranked.names.get_loc(label)
        height, names = max(3.8, 0.24 * len(table) + 1.4), name_inches(table.index)
        self.figure = Figure(figsize=(13, height), layout="none")  # type: ignore[arg-type]  # its stub forgets this one
        panels = [(0.85, 0.5, 5), (0.5, 0.25, 4), (names, 0.15, 3.2)]
        self._rows, self._scores, self._everyone = side_by_side(self.figure, panels)
        self._moving: list[Artist] = []
        self._draw_piles(self._rows, ranked.with_label[index], ranked.without[index])
        self._draw_curves(self._scores, curve(ranked, label))
        self._draw_bars(self._everyone, table)
        self._means = self._everyone.set_title("", loc="right")  # from the right: it is longer than the panel
        self._title = self._rows.set_title("", loc="left")
        self._moving += [self._title, self._means]
        self._canvas, self._behind = FigureCanvasAgg(self.figure), None
        self.update(table)

    def update(self, table: pd.DataFrame) -> None:
        """Move everything to other thresholds.

        Args:
            table: of `decisions`.
        """
        row: Any = table.loc[self.label]
        cut = min(row["threshold"], OUTSIDE)
        never = np.isinf(row["threshold"])
        self._title.set_text(f"'{plain(self.label)}': " + ("never given" if never else f"given from {cut:.3f} on"))
        bottom, top = self._rows.get_ylim()
        for pile in self._piles:
            pile.set_clip_path(Rectangle((cut, bottom), 2, top - bottom, transform=self._rows.transData))
        for line in self._lines:
            line.set_xdata([cut, cut])
        for name, corner in self._corners.items():
            corner.set_text(f"{WORDS[name]} {int(row[name]):,}")
        for name, (dot, text) in self._dots.items():
            dot.set_data([cut], [np.nan if never else row[name]])
            text.set_text(f"{WORDS.get(name, name)} {row[name]:.2f}")
        for bar, text, value in zip(self._bars, self._bar_texts, table["f1"][::-1], strict=True):
            bar.set_width(np.nan_to_num(value))
            text.set_x(np.nan_to_num(value) + 0.02)
            text.set_text(f"{value:.2f}")
        means = totals(table)["f1"]
        self._means.set_text(f"F1: macro {means['macro']:.3f}, micro {means['micro']:.3f}")

    def png(self) -> bytes:
        """The picture as a PNG file: all of it the first time, then only what moves, over the kept rest."""
        if self._behind is None:
            for artist in self._moving:
                artist.set_animated(True)
            self._canvas.draw()
            self._behind = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._behind)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return encoded(self._canvas)

    def _draw_piles(self, ax: Axes, positive: np.ndarray, negative: np.ndarray) -> None:
        """Rows with the label as a pile upwards, without it downwards; coloured right of the threshold."""
        ups, downs = (np.log10(1 + np.histogram(scores, BINS)[0]) for scores in (positive, negative))
        top, bottom = 1.45 * max(ups.max(), 1), -1.45 * max(downs.max(), 1)
        ax.set(xlim=(-0.01, 1.03), ylim=(bottom, top), xlabel="probability")
        self._piles = []
        for heights, color in ((ups, FOUND), (-downs, ALARM)):
            ax.stairs(heights, BINS, fill=True, color=PALE)
            self._piles.append(ax.stairs(heights, BINS, fill=True, color=color))
        zero, line = ax.axhline(0, color=DARK, linewidth=0.8), ax.axvline(0, color=DARK, linewidth=1.5)
        self._lines, self._corners = [line], {}
        for name, (x, y) in CORNERS.items():
            sides: dict[str, Any] = {"ha": ["left", "right"][x], "va": ["bottom", "top"][y]}
            at = (0.02 + 0.96 * x, 0.03 + 0.94 * y)
            text = ax.text(*at, "", transform=ax.transAxes, color=DARK, weight="bold", fontsize=10, **sides)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})
            self._corners[name] = text
        powers = range(int(max(-bottom, top)) + 1)
        ticks = {sign * np.log10(1 + 10**power): f"{10**power:,}" for power in powers for sign in (-1, 1)}
        inside = {index: name for index, name in ticks.items() if bottom < index < top}
        ax.set_yticks(list(inside), list(inside.values()))
        ax.set_ylabel("rows without | with (log axis)")
        ax.grid(visible=False)
        self._moving += [*self._piles, zero, line, *self._corners.values()]

    def _draw_curves(self, ax: Axes, points: pd.DataFrame) -> None:
        self._dots = {}
        line = ax.axvline(0, color=DARK, linewidth=1)
        for index, (name, color) in enumerate(LINES.items()):
            ax.plot(points.index, points[name], color=color, linewidth=2)
            (dot,) = ax.plot([], [], "o", color=color, markersize=7)
            x, side = ((0, "left"), (0.56, "center"), (1, "right"))[index]
            at: dict[str, Any] = {"transform": ax.transAxes, "ha": side, "va": "bottom", "fontsize": 10}
            self._dots[name] = (dot, ax.text(x, 1.02, "", color=color, weight="bold", **at))
        ax.set(xlim=(0, 1), ylim=(-0.02, 1.05), xlabel="threshold")
        self._lines.append(line)
        self._moving += [line, *(artist for pair in self._dots.values() for artist in pair)]

    def _draw_bars(self, ax: Axes, table: pd.DataFrame) -> None:
        names = [str(name) for name in table.index]
        colors = label_colors(names)
        self._bars = ax.barh(
            [plain(name) for name in names[::-1]], np.ones(len(names)), color=[colors[name] for name in names[::-1]]
        )
        self._bar_texts = [ax.text(0, y, "", va="center", color=DARK, fontsize=10) for y in range(len(names))]
        ax.set(xlim=(0, 1.18), xlabel="F1 at these thresholds")
        ax.set_xticks([0, 0.5, 1])
        ax.grid(visible=False)
        self._moving += [*self._bars, *self._bar_texts]


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
