"""Pictures of the course: each function takes data and an optional `ax`, draws, and returns the `ax`.

Titles are left to the caller, who knows the finding. Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from helpers.datasets.comments import JIGSAW_LABELS
from helpers.datasets.validation import label_names

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#555555")
GREY, DARK, CLEAN = "#777777", "#333333", "#999999"


def use_style() -> None:
    """Set the course's style: large type for a projector, light grid, sharp pictures that stay small files."""
    sns.set_theme(style="whitegrid", font_scale=1.05)
    plt.rcParams.update(
        {
            "figure.figsize": (8, 4.2),
            "figure.dpi": 96,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.titleweight": "bold",
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label: Jigsaw's six keep theirs for the whole course, others follow their place in the list."""
    fixed = {name: color for name, color in zip(JIGSAW_LABELS, PALETTE, strict=False) if name in labels}
    free = [color for color in PALETTE if color not in fixed.values()]
    others = [label for label in labels if label not in fixed]
    if len(others) > len(free):
        free = sns.color_palette("husl", len(others)).as_hex()
    return {**fixed, **dict(zip(others, free, strict=False))}


def label_counts(frame: pd.DataFrame, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Rows of each label as bars with counts and shares, most frequent on top.

    Args:
        frame: a table of comments.
        labels: label columns; None takes those of the table.
        ax: where to draw; None draws on a new figure.
    """
    names = list(labels) if labels is not None else label_names(frame)
    counts = frame[names].sum().sort_values()
    shares = frame[names].mean()[counts.index]
    texts = [f"{int(c):,}  ({s:.1%})" for c, s in zip(counts, shares, strict=True)]
    colors = label_colors(names)
    ax = bars(counts, texts=texts, colors=[colors[name] for name in counts.index], ax=ax)
    ax.set_xlabel("comments")
    return ax


def bars(
    values: pd.Series,
    *,
    texts: Sequence[str] | None = None,
    colors: Sequence[str] | str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Horizontal bars that carry their numbers, first value at the bottom.

    Args:
        values: N values, the index names the bars.
        texts: (N,) what stands at the bars; None writes the values.
        colors: one colour or (N,) colours.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes()
    drawn = ax.barh([str(name) for name in values.index], values.to_numpy(), color=colors or PALETTE[0])
    texts = texts if texts is not None else [_short(value) for value in values]
    ax.bar_label(drawn, labels=texts, padding=4, color=DARK)
    ax.margins(x=0.3)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    return ax


def compare(tables: dict[str, pd.DataFrame], *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Scores of several models beside each other: a panel for each score, a group of bars for each row.

    Args:
        tables: for each model the same (R, C) table of shares from 0 to 1; first row at the bottom.
        axes: C axes to draw on; None draws on a new figure.

    Returns:
        The axes, one for each column.
    """
    first = next(iter(tables.values()))
    axes = axes if axes is not None else plt.subplots(1, first.shape[1], figsize=(10.5, 4), sharey=True)[1]
    height = 0.8 / len(tables)
    for ax, column in zip(axes, first.columns, strict=True):
        for place, (name, table) in enumerate(tables.items()):
            ys = np.arange(len(table)) + (len(tables) / 2 - place - 0.5) * height
            drawn = ax.barh(ys, table[column], height=height, color=PALETTE[place % len(PALETTE)], label=name)
            ax.bar_label(drawn, labels=[f"{v:.0%}" for v in table[column]], padding=3, fontsize=9, color=DARK)
        ax.set_yticks(range(len(first)), first.index)
        ax.set_xlim(0, 1.15)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        ax.set_xlabel(column)
        ax.grid(visible=False)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tables))
    return axes


def columns(
    values: pd.Series, *, texts: Sequence[str] | None = None, color: str | None = None, ax: Axes | None = None
) -> Axes:
    """Upright bars that carry their numbers, for values in an order of their own such as counts 0, 1, 2.

    Args:
        values: N values, the index names the bars.
        texts: (N,) what stands on the bars; None writes the values.
        color: of the bars.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes()
    drawn = ax.bar([str(name) for name in values.index], values.to_numpy(), color=color or PALETTE[0])
    ax.bar_label(drawn, labels=texts if texts is not None else [_short(v) for v in values], padding=3, color=DARK)
    ax.margins(y=0.12)
    ax.grid(visible=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    return ax


def lengths(
    values: Sequence[int], *, unit: str, cuts: Sequence[int] = (), bins: int = 60, ax: Axes | None = None
) -> Axes:
    """Histogram of lengths on a log axis; each cut is a line.

    Args:
        values: (N,) lengths; those below 1 count as 1.
        unit: of the lengths, for the axis.
        cuts: lengths to mark with a line.
        bins: number of bars, of equal width on the log axis.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes()
    sizes = np.maximum(np.asarray(values), 1)
    edges = np.geomspace(sizes.min(), sizes.max() + 1, bins + 1)
    ax.hist(sizes, bins=edges, color=PALETTE[5])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.margins(y=0.18)
    for cut in cuts:
        ax.axvline(cut, color=PALETTE[1], linewidth=1.5)
        ax.annotate(f" {cut}", (cut, 0.99), xycoords=("data", "axes fraction"), va="top", color=PALETTE[1])
    ax.set_xlabel(f"{unit} (log axis)")
    ax.set_ylabel("comments")
    return ax


def share_longer(values: Sequence[int], *, unit: str, cuts: Sequence[int], ax: Axes | None = None) -> Axes:
    """The share of texts longer than a limit, as a curve over the limit, with marked points.

    Args:
        values: (N,) lengths.
        unit: of the lengths, for the axis.
        cuts: limits to mark.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes()
    ordered = np.sort(np.asarray(values))
    limits = np.unique(np.geomspace(8, max(ordered.max(), 16), 200).astype(int))
    ax.plot(limits, 1 - np.searchsorted(ordered, limits, side="right") / len(ordered), color=PALETTE[0], linewidth=2.5)
    for place, cut in enumerate(sorted(cuts, reverse=True)):
        share = (ordered > cut).mean()
        ax.plot(cut, share, "o", color=PALETTE[1])
        ax.annotate(
            f"{cut}: {share:.1%}",
            (cut, share),
            xytext=(8, 10 + 16 * place),
            textcoords="offset points",
            color=PALETTE[1],
        )
    ax.set_xscale("log", base=4)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    ax.set_xlabel(f"limit in {unit} (log axis)")
    ax.set_ylabel("comments that are cut")
    return ax


def lengths_by_label(
    frame: pd.DataFrame,
    values: Sequence[int],
    *,
    unit: str,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Middle half (bar), median (dot) and 5-95 % range (line) of the lengths, clean on top, then label by label.

    A label without rows is left out.

    Args:
        frame: a table of comments, N rows.
        values: (N,) lengths.
        unit: of the lengths, for the axis.
        labels: label columns; None takes those of the table.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes()
    names = list(labels) if labels is not None else label_names(frame)
    sizes = np.asarray(values)
    masks = {"clean": frame[names].eq(0).all(axis=1), **{name: frame[name].eq(1) for name in names}}
    colors = {"clean": CLEAN, **label_colors(names)}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    for place, (name, mask) in enumerate(masks.items()):
        low, q1, middle, q3, high = np.quantile(sizes[mask.to_numpy()], [0.05, 0.25, 0.5, 0.75, 0.95])
        ax.plot([low, high], [place, place], color=colors[name], linewidth=1.5)
        ax.plot([q1, q3], [place, place], color=colors[name], linewidth=10, solid_capstyle="butt")
        ax.plot(middle, place, "o", color="white", markeredgecolor=DARK, markersize=7)
        ax.annotate(
            f"{middle:.0f}", (middle, place), xytext=(0, 8), textcoords="offset points", ha="center", color=DARK
        )
    ax.set_yticks(range(len(masks)), [f"{name} (n={int(mask.sum()):,})" for name, mask in masks.items()])
    ax.set_ylim(len(masks) - 0.4, -0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{unit} (log axis; the number is the median)")
    return ax


def heat_map(
    table: pd.DataFrame, *, number_format: str = ".2f", limits: tuple[float, float] = (0, 1), ax: Axes | None = None
) -> Axes:
    """A table as coloured squares that carry their numbers.

    Args:
        table: (R, C) numbers.
        number_format: of the numbers, such as `.2f` or `.0%`.
        limits: values at the ends of the colour scale.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes(7, 5)
    low, high = limits
    cmap = "vlag" if low < 0 else "Blues"
    sns.heatmap(table, annot=True, fmt=number_format, vmin=low, vmax=high, cmap=cmap, cbar=False, linewidths=1, ax=ax)
    ax.tick_params(axis="y", rotation=0)
    ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=30, ha="right")
    return ax


def marking_words(table: pd.DataFrame, *, most: int = 15, color: str | None = None, ax: Axes | None = None) -> Axes:
    """The words with the strongest mark, from `text.marking_words`; each bar says in how many texts the word stands.

    Args:
        table: with the columns `z`, `marked`, `others`, strongest first.
        most: words drawn.
        color: of the bars, such as the label's.
        ax: where to draw; None draws on a new figure.
    """
    top = table.head(most)[::-1]
    texts = [
        f"{int(inside):,} | {int(outside):,}" for inside, outside in zip(top["marked"], top["others"], strict=True)
    ]
    ax = bars(top["z"], texts=texts, colors=color, ax=ax)
    ax.set_xlabel("mark in standard deviations (texts with the label | others)")
    return ax


def spread(values: dict[str, Sequence[float]], *, target: float, unit: str, ax: Axes | None = None) -> Axes:
    """Repeated draws as dots, one row for each way of drawing, with the value aimed at as a line.

    Args:
        values: draws by name.
        target: the value aimed at.
        unit: for the axis.
        ax: where to draw; None draws on a new figure.
    """
    ax = ax or _new_axes(8, 2.6)
    jitter = np.random.default_rng(0)
    for place, (name, draws) in enumerate(values.items()):
        heights = place + jitter.uniform(-0.16, 0.16, len(draws))
        ax.plot(draws, heights, "o", color=PALETTE[place % len(PALETTE)], alpha=0.6, markersize=7, label=name)
    ax.axvline(target, color=DARK, linestyle="--", linewidth=1.2)
    ax.annotate(f" aim: {_short(target)}", (target, 0.02), xycoords=("data", "axes fraction"), color=DARK)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(unit)
    return ax


def road(
    stops: Sequence[tuple[str, str]], *, ready: Sequence[str] | None = None, per_row: int = 6, ax: Axes | None = None
) -> Axes:
    """Stops of a road as numbered circles, row by row.

    Args:
        stops: (number, words) of each stop.
        ready: numbers of the stops that are open, the others are grey; None for all.
        per_row: stops in a row.
        ax: where to draw; None draws on a new figure.
    """
    rows = -(-len(stops) // per_row)
    ax = ax or _new_axes(1.55 * per_row, 1.75 * rows)
    places = [(i % per_row, -(i // per_row)) for i in range(len(stops))]
    for row in range(rows):
        inside = [x for x, y in places if y == -row]
        ax.plot([min(inside), max(inside)], [-row, -row], color="#CCCCCC", linewidth=6, zorder=1)
    for (x, y), (number, words) in zip(places, stops, strict=True):
        color = PALETTE[0] if ready is None or number in ready else GREY
        ax.plot(x, y, "o", markersize=36, color=color, zorder=2)
        ax.annotate(number, (x, y), ha="center", va="center", color="white", weight="bold", zorder=3)
        ax.annotate(words, (x, y - 0.3), ha="center", va="top", color=DARK, fontsize=11)
    ax.set_xlim(-0.6, per_row - 0.4)
    ax.set_ylim(-rows + 0.2, 0.35)
    ax.axis("off")
    return ax


def _new_axes(width: float = 8, height: float = 4.2) -> Axes:
    return plt.subplots(figsize=(width, height))[1]


def _short(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
