"""Pictures of comments: how many, how long, with which words."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter

from helpers.arguments import as_numbers, check_count, check_mapping, check_names, check_number, check_table
from helpers.datasets.labels import label_matrix, label_names, refuse_other_rows
from helpers.plots.charts import bars
from helpers.plots.style import CLEAN, DARK, GREY, PALETTE, label_colors, name_points, new_axes, plain, short


def label_counts(frame: pd.DataFrame, *, labels: Iterable[str] | None = None, ax: Axes | None = None) -> Axes:
    """Rows of each label as bars with counts and shares, most frequent on top.

    Args:
        frame: a table of comments.
        labels: label columns; None takes those that the table carries.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import datasets, plots
        >>> ax = plots.label_counts(datasets.load_comments())
        >>> ax.get_yticklabels()[0].get_text()  # the rarest is at the bottom
        'threat'
    """
    names = label_names(frame, labels)
    values = pd.DataFrame(label_matrix(frame, names).astype(float), columns=names)
    counts = values.sum().sort_values()
    shares = values.mean()[counts.index]
    texts = [f"{int(c):,}  ({s:.1%})" for c, s in zip(counts, shares, strict=True)]
    colors = label_colors(names)
    ax = bars(counts, texts=texts, colors=[colors[name] for name in counts.index], ax=ax)
    ax.set_xlabel("comments")
    return ax


def lengths(
    values: Sequence[int], *, unit: str, cuts: Sequence[float] = (), bins: int = 60, ax: Axes | None = None
) -> Axes:
    """Histogram of lengths on a log axis; each cut is a line.

    Args:
        values: (N,) lengths; those below 1 count as 1.
        unit: of the lengths, for the axis.
        cuts: lengths to mark with a line.
        bins: number of bars, of equal width on the log axis.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import datasets, plots
        >>> comments = datasets.load_comments()
        >>> ax = plots.lengths(comments["comment_text"].str.len(), unit="characters", cuts=[200])
        >>> ax.get_xlabel()
        'characters (log axis)'
    """
    sizes, bins = np.maximum(_checked_lengths(values), 1), check_count("bins", bins)
    cuts = [check_number("cuts", cut, above=0) for cut in _listed("cuts", cuts)]
    ax = ax or new_axes()
    edges = np.geomspace(sizes.min(), sizes.max() + 1, bins + 1).tolist()
    ax.hist(sizes, bins=edges, color=PALETTE[5])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.margins(y=0.18)
    for cut in cuts:
        ax.axvline(cut, color=PALETTE[1], linewidth=1.5)
        ax.annotate(f" {cut:g}", (cut, 0.99), xycoords=("data", "axes fraction"), va="top", color=PALETTE[1])
    ax.set_xlabel(f"{plain(unit)} (log axis)")
    ax.set_ylabel("comments")
    return ax


def share_longer(values: Sequence[int], *, unit: str, cuts: Sequence[float], ax: Axes | None = None) -> Axes:
    """The share of texts longer than a limit, as a curve over the limit, with marked points.

    Args:
        values: (N,) lengths.
        unit: of the lengths, for the axis.
        cuts: limits to mark.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import plots
        >>> ax = plots.share_longer([10, 20, 40, 300], unit="tokens", cuts=[30, 128])
        >>> [text.get_text() for text in ax.texts]
        ['128: 25.0%', '30: 50.0%']
    """
    ordered = np.sort(_checked_lengths(values))
    cuts = [check_number("cuts", cut, above=0) for cut in _listed("cuts", cuts)]
    ax = ax or new_axes()
    limits = np.unique(np.geomspace(8, max(ordered.max(), 16), 200).astype(int))
    ax.plot(limits, 1 - np.searchsorted(ordered, limits, side="right") / len(ordered), color=PALETTE[0], linewidth=2.5)
    ax.set_xscale("log", base=4)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    shares = {cut: float((ordered > cut).mean()) for cut in cuts}
    ax.plot(list(shares), list(shares.values()), "o", color=PALETTE[1])
    names = [(f"{cut:g}: {share:.1%}", cut, share, PALETTE[1]) for cut, share in shares.items()]
    name_points(ax, names, right=7, up=10)
    ax.set_xlabel(f"limit in {plain(unit)} (log axis)")
    ax.set_ylabel("comments that are cut")
    return ax


def lengths_by_label(
    frame: pd.DataFrame,
    values: Sequence[int],
    *,
    unit: str,
    labels: Iterable[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Middle half (bar), median (dot) and 5-95 % range (line) of the lengths, clean on top, then label by label.

    A label without rows is left out.

    Args:
        frame: a table of comments, N rows.
        values: (N,) lengths.
        unit: of the lengths, for the axis.
        labels: label columns; None takes those that the table carries.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import datasets, plots
        >>> comments = datasets.load_comments()
        >>> ax = plots.lengths_by_label(comments, comments["comment_text"].str.len(), unit="characters")
        >>> ax.get_yticklabels()[0].get_text().split()[0]
        'clean'
    """
    names, sizes = label_names(frame, labels), _checked_lengths(values)
    refuse_other_rows(frame, "values", values)
    if len(sizes) != len(frame):
        raise ValueError(f"values {sizes.shape}: expected one length per row of the table, ({len(frame)},)")
    marks = label_matrix(frame, names)
    masks = {"clean": (marks == 0).all(axis=1), **dict(zip(names, (marks == 1).T, strict=True))}
    ax = ax or new_axes()
    colors = {"clean": CLEAN, **label_colors(names)}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    for index, (name, mask) in enumerate(masks.items()):
        low, q1, middle, q3, high = np.quantile(sizes[mask], [0.05, 0.25, 0.5, 0.75, 0.95])
        ax.plot([low, high], [index, index], color=colors[name], linewidth=1.5)
        ax.plot([q1, q3], [index, index], color=colors[name], linewidth=10, solid_capstyle="butt")
        ax.plot(middle, index, "o", color="white", markeredgecolor=DARK, markersize=7)
        ax.annotate(
            f"{middle:.0f}", (middle, index), xytext=(0, 8), textcoords="offset points", ha="center", color=DARK
        )
    ax.set_yticks(range(len(masks)), [f"{plain(name)} (n={int(mask.sum()):,})" for name, mask in masks.items()])
    ax.set_ylim(len(masks) - 0.4, -0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{plain(unit)} (log axis; the number is the median)")
    return ax


def distinctive_words(table: pd.DataFrame, *, most: int = 15, color: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the most distinctive words of `text.distinctive_words`; each bar says in how many texts its word is.

    Args:
        table: with the columns `z`, `marked`, `others`, strongest first.
        most: words drawn.
        color: of the bars, such as the label's.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import datasets, plots, text
        >>> comments = datasets.load_comments().head(2000)
        >>> table = text.distinctive_words(comments["comment_text"], comments["toxic"])
        >>> ax = plots.distinctive_words(table, most=5)
        >>> len(ax.patches)
        5
    """
    check_table("table (of text.distinctive_words)", table, ["z", "marked", "others"])
    top = table.head(check_count("most", most))[::-1]
    texts = [
        f"{int(inside):,} | {int(outside):,}" for inside, outside in zip(top["marked"], top["others"], strict=True)
    ]
    ax = bars(top["z"], texts=texts, colors=color, ax=ax)
    ax.set_xlabel("mark in standard deviations (texts with the label | others)")
    return ax


def _checked_lengths(values: Sequence[int]) -> np.ndarray:
    """(N,) finite lengths; ValueError for anything else."""
    sizes = as_numbers("values", values)
    if sizes.ndim != 1 or not sizes.size or not (np.isfinite(sizes) & (sizes >= 0)).all():
        raise ValueError(f"values {sizes.shape}: expected (N,) lengths, at least one, each a number of 0 or more")
    return sizes


def _listed(name: str, values: Sequence[float]) -> list[float]:
    """Numbers as a list; ValueError where they are none."""
    numbers = as_numbers(name, list(values) if isinstance(values, Sequence) else values)
    if numbers.ndim != 1:
        raise ValueError(f"{name}={values!r:.200}: expected a list of numbers")
    return numbers.tolist()


def heads(
    layers: Sequence[str],
    sizes: Mapping[str, int],
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A network with several heads, left to right: its layers as boxes, each head as a box with a dot for each logit.

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
    if isinstance(layers, str | bytes) or not isinstance(layers, Sequence) or not layers:
        raise ValueError(f"layers={layers!r:.200}: expected a list of texts, one per layer, at least one")
    sizes = {name: check_count(f"sizes[{name!r}]", size) for name, size in check_mapping("sizes", sizes).items()}
    meanings = {} if classes is None else check_mapping("classes", classes, keys="head")
    for name in meanings:
        if name not in sizes:
            raise ValueError(f"classes name the head {name!r}; the heads are {list(sizes)}")
        check_names(f"classes[{name!r}]", meanings[name], size=sizes[name])
    dots = sum(sizes.values())
    ax = ax or new_axes(9, 0.32 * dots + 0.34 * len(sizes) + 0.6)
    right, top = 1.5 * len(layers) + 0.8, 0.32 * dots + 0.34 * len(sizes)
    for index, words in enumerate(layers):
        _box(ax, 1.5 * index, 0.25 * top, 1.0, 0.5 * top, PALETTE[0])
        ax.annotate(plain(words), (1.5 * index + 0.5, top / 2), ha="center", va="center", color="white", fontsize=10)
        if index:
            _arrow(ax, (1.5 * index - 0.5, top / 2), (1.5 * index, top / 2))
    height = top
    for index, (name, size) in enumerate(sizes.items()):
        color, depth = PALETTE[1 + index % (len(PALETTE) - 1)], 0.32 * size
        height -= depth + 0.34
        _box(ax, right, height, 0.6, depth, color)
        _arrow(ax, (1.5 * len(layers) - 0.5, top / 2), (right, height + depth / 2))
        for logit in range(size):
            y = height + depth - 0.16 - 0.32 * logit
            ax.plot(right + 0.3, y, "o", color="white", markersize=6)
            meaning = meanings.get(name, [""] * size)[logit]
            text = f"{name}: {meaning}" if meaning else (name if logit == 0 else "")
            ax.annotate(plain(text), (right + 0.75, y), va="center", color=DARK, fontsize=10)
    ax.set(xlim=(-0.1, right + 3.2), ylim=(-0.1, top + 0.1))
    ax.axis("off")
    return ax


def _box(ax: Axes, x: float, y: float, width: float, height: float, color: str) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", color=color))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 1.2}, zorder=0)
