"""Charts for any numbers: bars, columns, heat maps, draws, the outline of the course."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from helpers.arguments import as_numbers, check_count, check_list, check_mapping, check_number, check_table
from helpers.plots.style import DARK, GREY, PALETTE, name_points, new_axes, plain, short


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

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> ax = plots.bars(pd.Series({"threat": 38, "insult": 395, "toxic": 766}))
        >>> [text.get_text() for text in ax.texts]
        ['38', '395', '766']
    """
    names, heights, texts = _bars_of(values, texts)
    ax = ax or new_axes()
    drawn = ax.barh(np.arange(len(names)), heights, tick_label=names, color=colors or PALETTE[0])
    ax.bar_label(drawn, labels=texts, padding=4, color=DARK)
    ax.margins(x=0.3)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return ax


def columns(
    values: pd.Series, *, texts: Sequence[str] | None = None, color: str | None = None, ax: Axes | None = None
) -> Axes:
    """Upright bars that carry their numbers, for values in an order of their own such as counts 0, 1, 2.

    Args:
        values: N values, the index names the bars.
        texts: (N,) what stands on the bars; None writes the values.
        color: of the bars.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> ax = plots.columns(pd.Series([7190, 344, 466], index=[0, 1, 2]))
        >>> ax.set_xlabel("labels of a comment").get_text()
        'labels of a comment'
    """
    names, heights, texts = _bars_of(values, texts)
    ax = ax or new_axes()
    drawn = ax.bar(np.arange(len(names)), heights, tick_label=names, color=color or PALETTE[0])
    ax.bar_label(drawn, labels=texts, padding=3, color=DARK)
    ax.margins(y=0.12)
    ax.grid(visible=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return ax


def _bars_of(values: pd.Series, texts: Sequence[str] | None) -> tuple[list[str], np.ndarray, list[str]]:
    """Names (some may be equal), heights and texts of bars; ValueError for no Series, or for texts of other bars."""
    if not isinstance(values, pd.Series) or values.empty:
        raise ValueError(f"values is a {type(values).__name__}: expected a Series of numbers with at least one row")
    heights = as_numbers("values", values)
    names = [plain(name) for name in values.index]
    if texts is None:
        return names, heights, [short(value) for value in heights]
    return names, heights, [plain(text) for text in check_list("texts", texts, "texts, one per bar", size=len(names))]


def _checked_limits(limits: tuple[float, float]) -> tuple[float, float]:
    pair = check_list("limits", limits, "numbers (lowest, highest)", size=2)
    low = check_number("limits[0]", pair[0])
    return low, check_number("limits[1]", pair[1], above=low)


def compare(tables: dict[str, pd.DataFrame], *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Scores of several models beside each other: a panel for each score, a group of bars for each row.

    Args:
        tables: for each model the same (R, C) table of shares from 0 to 1; first row at the bottom.
        axes: C axes to draw on; None draws on a new figure.

    Returns:
        The axes, one for each column.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> table = pd.DataFrame({"precision": [0.8, 0.6], "recall": [0.7, 0.3]}, index=["toxic", "threat"])
        >>> axes = plots.compare({"counts": table, "BERT": table + 0.1})
        >>> [ax.get_xlabel() for ax in axes]
        ['precision', 'recall']
    """
    first = check_table("tables", next(iter(check_mapping("tables", tables, keys="model").values())))
    for name, table in tables.items():
        if not (check_table(f"tables[{name!r}]", table, first.columns).index.equals(first.index)):
            raise ValueError(f"tables[{name!r}] has the rows {list(table.index)}, the first table {list(first.index)}")
        as_numbers(f"tables[{name!r}]", table)
    axes = axes if axes is not None else plt.subplots(1, first.shape[1], figsize=(10.5, 4), sharey=True)[1]
    height = 0.8 / len(tables)
    for ax, column in zip(axes, first.columns, strict=True):
        for index, (name, table) in enumerate(tables.items()):
            ys = np.arange(len(table)) + (len(tables) / 2 - index - 0.5) * height
            drawn = ax.barh(ys, table[column], height=height, color=PALETTE[index % len(PALETTE)], label=plain(name))
            ax.bar_label(drawn, labels=[f"{v:.0%}" for v in table[column]], padding=3, fontsize=9, color=DARK)
        ax.set_yticks(range(len(first)), [plain(name) for name in first.index])
        ax.set_xlim(0, 1.15)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        ax.set_xlabel(plain(column))
        ax.grid(visible=False)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tables))
    return axes


def heat_map(
    table: pd.DataFrame, *, number_format: str = ".2f", limits: tuple[float, float] = (0, 1), ax: Axes | None = None
) -> Axes:
    """A table as coloured squares that carry their numbers.

    Args:
        table: (R, C) numbers.
        number_format: of the numbers, such as `.2f` or `.0%`.
        limits: values at the ends of the colour scale.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> names = ["toxic", "insult"]
        >>> ax = plots.heat_map(pd.DataFrame([[1.0, 0.4], [0.4, 1.0]], index=names, columns=names))
        >>> [text.get_text() for text in ax.texts]
        ['1.00', '0.40', '0.40', '1.00']
    """
    numbers = as_numbers("table", check_table("table", table))
    low, high = _checked_limits(limits)
    if np.isfinite(numbers).all() and all(map(pd.api.types.is_integer_dtype, table.dtypes)):
        numbers = numbers.astype(int)  # for formats of whole numbers
    try:
        format(numbers.flat[0].item(), number_format)
    except (TypeError, ValueError) as error:
        raise ValueError(f"number_format={number_format!r}: expected a format of numbers, such as '.2f'") from error
    ax = ax or new_axes(7, 5)
    table = pd.DataFrame(numbers, table.index, table.columns).rename(index=plain, columns=plain)
    cmap = "vlag" if low < 0 else "Blues"
    sns.heatmap(table, annot=True, fmt=number_format, vmin=low, vmax=high, cmap=cmap, cbar=False, linewidths=1, ax=ax)
    ax.tick_params(axis="y", rotation=0)
    names = [label.get_text() for label in ax.get_xticklabels()]
    ax.set_xticks(ax.get_xticks(), names, rotation=30, ha="right")
    return ax


def lines(
    table: pd.DataFrame,
    *,
    log: bool = False,
    colors: Sequence[str] | None = None,
    marker: str = "o",
    ax: Axes | None = None,
) -> Axes:
    """One line a column over the table's index, each named at its last known point; names that meet are moved apart.

    Args:
        table: (N, C) numbers, NaN where a line has no point.
        log: draw the values on a log axis; say so on its label.
        colors: (C,) colours; None takes the palette's.
        marker: of the points; "" draws none.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> table = pd.DataFrame({"counts": [0.8, 0.9, 0.92], "BERT": [0.7, 0.95, 0.97]}, index=[100, 1000, 8000])
        >>> ax = plots.lines(table)
        >>> [text.get_text() for text in ax.texts]  # each line's name stands at its end
        ['counts', 'BERT']
    """
    as_numbers("table", check_table("table", table))
    ax = ax or new_axes()
    colors = colors or [PALETTE[index % len(PALETTE)] for index in range(table.shape[1])]
    for column, color in zip(table.columns, colors, strict=True):
        ax.plot(table.index, table[column], marker=marker, color=color, linewidth=2, markersize=5)
    if log:
        ax.set_yscale("log")
    ax.margins(x=0.02)
    ends = {column: table[column].dropna() for column in table.columns}
    points = [(c, e.index[-1], e.iloc[-1], color) for (c, e), color in zip(ends.items(), colors, strict=True) if len(e)]
    name_points(ax, points, right=8)
    return ax


def histograms(
    table: pd.DataFrame, *, log: bool = False, bins: int | Sequence[float] = 60, ax: Axes | None = None
) -> Axes:
    """Histograms of several columns as outlines on each other, over the same bins.

    Args:
        table: (N, C) numbers; above 0 where `log`.
        log: bins of equal width on a log axis; say so on its label.
        bins: number of bars, or their edges.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from helpers import plots
        >>> ax = plots.histograms(pd.DataFrame({"train": np.arange(100), "test": np.arange(100) / 2}), bins=10)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['train', 'test']
    """
    numbers = as_numbers("table", check_table("table", table))
    if np.isnan(numbers).all() or (log and (numbers <= 0).any()):
        raise ValueError(f"table: expected known numbers{' above 0, because log=True' if log else ''}")
    ax = ax or new_axes()
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    edges: Any = bins
    if isinstance(bins, Sequence | np.ndarray) and not isinstance(bins, str | bytes):
        edges = [check_number("bins", edge) for edge in check_list("bins", bins, "edges")]
        if len(edges) < 2 or sorted(set(edges)) != edges:
            raise ValueError(f"bins={edges!r:.200}: expected a number of bins, or at least two edges that rise")
    else:
        bins = check_count("bins", bins)
        edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    for index, column in enumerate(table.columns):
        color = PALETTE[index % len(PALETTE)]
        ax.hist(table[column], edges, histtype="step", linewidth=2, color=color, label=plain(column))
    if log:
        ax.set_xscale("log")
    ax.legend(loc="best")
    return ax


def intervals(
    table: pd.DataFrame, *, colors: Sequence[str] | None = None, signed: bool = False, ax: Axes | None = None
) -> Axes:
    """Values with their intervals as dots on bars, one row each, first row at the bottom, numbers at the right.

    Args:
        table: (N, ...) with the columns `value`, `low` and `high`, as `evaluation.bootstrap` gives them.
        colors: (N,) colours; None draws all in one.
        signed: write a plus before numbers above 0, for differences.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> table = pd.DataFrame({"value": [0.9], "low": [0.85], "high": [0.94]}, index=["toxic"])
        >>> ax = plots.intervals(table)  # as evaluation.bootstrap gives it
        >>> [text.get_text() for text in ax.texts]
        ['0.900']
    """
    as_numbers("table", check_table("table", table, ["value", "low", "high"])[["value", "low", "high"]])
    ax = ax or new_axes(8, 0.5 * len(table) + 1.2)
    colors = colors or [PALETTE[0]] * len(table)
    for index, (row, color) in enumerate(zip(table.to_dict("records"), colors, strict=True)):
        ax.plot([row["low"], row["high"]], [index, index], color=color, linewidth=5, alpha=0.4, solid_capstyle="butt")
        ax.plot(row["value"], index, "o", color=color, markersize=8)
        ax.annotate(
            f"{row['value']:+.3f}" if signed else f"{row['value']:.3f}",
            (row["high"], index),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=DARK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    ax.set_yticks(range(len(table)), [plain(name) for name in table.index])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.margins(x=0.12)
    ax.locator_params(axis="x", nbins=6)
    ax.grid(axis="y", visible=False)
    return ax


def spread(
    values: dict[str, Sequence[float]], *, target: float, unit: str, name: str = "aim", ax: Axes | None = None
) -> Axes:
    """Repeated draws as dots, one row for each way of drawing, with the value aimed at as a line.

    Args:
        values: draws by name.
        target: the value aimed at.
        unit: for the axis.
        name: of the target.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> from helpers import plots
        >>> draws = {"at random": [35, 41, 44], "stratified": [39, 40, 40]}
        >>> ax = plots.spread(draws, target=40, unit="threats in the test part")
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['at random', 'stratified']
    """
    numbers = {way: as_numbers(f"values[{way!r}]", draws) for way, draws in check_mapping("values", values).items()}
    for way, draws in numbers.items():
        if draws.ndim != 1:
            raise ValueError(f"values[{way!r}]: expected a list of numbers, found the shape {draws.shape}")
    target = check_number("target", target)
    ax = ax or new_axes(8, 2.6)
    jitter = np.random.default_rng(0)
    for index, (way, draws) in enumerate(numbers.items()):
        heights = index + jitter.uniform(-0.16, 0.16, len(draws))
        ax.plot(draws, heights, "o", color=PALETTE[index % len(PALETTE)], alpha=0.6, markersize=7, label=plain(way))
    ax.axvline(target, color=DARK, linestyle="--", linewidth=1.2)
    ax.annotate(f" {plain(name)}: {short(target)}", (target, 0.02), xycoords=("data", "axes fraction"), color=DARK)
    ax.set_yticks(range(len(values)), [plain(way) for way in values])
    ax.set_ylim(len(values) * 1.1 - 0.5, -0.5)  # room for the target's name below the last row
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(plain(unit))
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

    Examples:
        >>> from helpers import plots
        >>> ax = plots.road([("01", "the data"), ("02", "counts"), ("03", "heads")], ready=["01"])
        >>> [text.get_text() for text in ax.texts][:2]
        ['01', 'the data']
    """
    stops = check_list("stops", stops, "pairs (number, words)")
    if not stops or not all(isinstance(stop, Sequence) and len(stop) == 2 for stop in stops):
        raise ValueError(f"stops={stops!r:.200}: expected a list of pairs (number, words), at least one")
    rows = -(-len(stops) // check_count("per_row", per_row))
    ax = ax or new_axes(1.55 * per_row, 1.75 * rows)
    places = [(i % per_row, -(i // per_row)) for i in range(len(stops))]
    for row in range(rows):
        inside = [x for x, y in places if y == -row]
        ax.plot([min(inside), max(inside)], [-row, -row], color="#CCCCCC", linewidth=6, zorder=1)
    for (x, y), (number, words) in zip(places, stops, strict=True):
        color = PALETTE[0] if ready is None or number in ready else GREY
        ax.plot(x, y, "o", markersize=36, color=color, zorder=2)
        ax.annotate(plain(number), (x, y), ha="center", va="center", color="white", weight="bold", zorder=3)
        ax.annotate(plain(words), (x, y - 0.3), ha="center", va="top", color=DARK, fontsize=11)
    ax.set_xlim(-0.6, per_row - 0.4)
    ax.set_ylim(-rows + 0.2, 0.35)
    ax.axis("off")
    return ax
