"""Charts of any numbers (bars, heat maps, lines, intervals) and of scores (ROC, precision-recall, reliability)."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from helpers.arguments import (
    as_numbers,
    check_choice,
    check_count,
    check_list,
    check_mapping,
    check_number,
    check_table,
)
from helpers.datasets.labels import label_matrix, label_names
from helpers.plots.style import DARK, GREY, PALETTE, label_colors, name_points, new_axes, plain, short


def bars(
    values: pd.Series,
    *,
    texts: Sequence[str] | None = None,
    colors: Sequence[str] | str | None = None,
    orientation: str = "horizontal",
    ax: Axes | None = None,
) -> Axes:
    """Draw bars with their numbers beside them.

    Args:
        values: N values, the index names the bars; the first is at the bottom, or at the left.
        texts: (N,) what stands at the bars; None writes the values.
        colors: one colour or (N,) colours.
        orientation: "horizontal", or "vertical" for values in an order of their own, such as counts 0, 1, 2.
        ax: where to draw; None draws on a new figure.

    Examples:
        >>> import pandas as pd
        >>> from helpers import plots
        >>> ax = plots.bars(pd.Series({"threat": 38, "insult": 395, "toxic": 766}))
        >>> [text.get_text() for text in ax.texts]
        ['38', '395', '766']
    """
    if not isinstance(values, pd.Series) or values.empty:
        raise ValueError(f"values is a {type(values).__name__}: expected a Series of numbers with at least one row")
    heights = as_numbers("values", values)
    texts = [short(value) for value in heights] if texts is None else texts
    texts = [plain(text) for text in check_list("texts", texts, "texts, one per bar", size=len(heights))]
    is_horizontal = check_choice("orientation", orientation, ("horizontal", "vertical")) == "horizontal"
    ax = ax or new_axes()
    draw, axis = (ax.barh, ax.xaxis) if is_horizontal else (ax.bar, ax.yaxis)
    names = [plain(name) for name in values.index]  # at numbers, because some may be equal
    drawn = draw(np.arange(len(names)), heights, tick_label=names, color=colors or PALETTE[0])
    ax.bar_label(drawn, labels=texts, padding=4, color=DARK)
    ax.margins(x=0.3 if is_horizontal else None, y=None if is_horizontal else 0.12)
    ax.grid(visible=False)
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return ax


def label_counts(frame: pd.DataFrame, *, labels: Iterable[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the rows of each label as bars with counts and shares, most frequent on top.

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


def heat_map(
    table: pd.DataFrame, *, number_format: str = ".2f", limits: tuple[float, float] = (0, 1), ax: Axes | None = None
) -> Axes:
    """Draw a table as coloured squares that carry their numbers.

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
    low, high = check_list("limits", limits, "numbers (lowest, highest)", size=2)
    check_number("limits[1]", high, above=check_number("limits[0]", low))
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
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    return ax


def lines(
    table: pd.DataFrame,
    *,
    log: bool = False,
    colors: Sequence[str] | None = None,
    marker: str = "o",
    ax: Axes | None = None,
) -> Axes:
    """Draw one line per column over the index, each named at its last known point; names that meet are moved apart.

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
    """Draw histograms of several columns as outlines on each other, over the same bins.

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
    if isinstance(bins, Sequence | np.ndarray):
        edges = as_numbers("bins", bins)
        if edges.ndim != 1 or len(edges) < 2 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
            raise ValueError(f"bins={bins!r:.200}: expected a number of bins, or at least two edges that rise")
    else:
        spaced = np.geomspace if log else np.linspace
        edges = spaced(np.nanmin(numbers), np.nanmax(numbers), check_count("bins", bins) + 1)
    for index, column in enumerate(table.columns):
        color = PALETTE[index % len(PALETTE)]
        ax.hist(table[column], edges.tolist(), histtype="step", linewidth=2, color=color, label=plain(column))
    if log:
        ax.set_xscale("log")
    ax.legend(loc="best")
    return ax


def intervals(
    table: pd.DataFrame, *, colors: Sequence[str] | None = None, signed: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw values with their confidence intervals, one row each, first row at the bottom, numbers at the right.

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
    """Draw repeated draws as dots, one row for each way of drawing, with the target value as a line.

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


def roc(curves: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw ROC curves, one per label, with the AUC in the legend and the diagonal of random scores.

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
    """Draw precision-recall curves, one per label; the rate of a label, what random scores reach, as a dotted line.

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
    """Draw reliability diagrams, one line per model, dots as large as their bins are full; calibrated is the diagonal.

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


def _check_curves(curves: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> None:
    """ValueError where curves are no dict of tables with these columns."""
    for name, points in check_mapping("curves", curves).items():
        as_numbers(f"curves[{name!r}]", check_table(f"curves[{name!r}]", points, columns)[list(columns)])
