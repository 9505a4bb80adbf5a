"""Pictures of training and of scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from helpers.arguments import as_numbers, check_mapping, check_names, check_number, check_table
from helpers.plots.style import GREY, PALETTE, label_colors, new_axes, plain


def learning_curves(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Train and valid loss over the epochs, labelled at their ends, the best valid epoch marked.

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
        >>> points = evaluation.reliability([0, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.8], bins=2)
        >>> ax = plots.reliability({"as it is": points})
        >>> ax.get_ylabel()
        'share of positives among these rows'
    """
    _check_curves(curves, ["predicted", "observed", "rows"])
    ax = ax or new_axes(5.5, 5)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for place, (name, points) in enumerate(curves.items()):
        color = PALETTE[place % len(PALETTE)]
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
    for place, (ax, label) in enumerate(zip(shown, labels, strict=True)):
        is_known = ~np.isnan(truth[:, place])
        table = pd.crosstab(truth[is_known, place], predictions[is_known, place])
        table = table.reindex(index=[0.0, 1.0], columns=[0.0, 1.0], fill_value=0)
        shares = table.div(table.sum(axis=1).replace(0, 1), axis=0)
        sns.heatmap(shares, annot=table, fmt=",d", vmin=0, vmax=1, cmap="Blues", cbar=False, linewidths=1, ax=ax)
        ax.set_title(plain(label))
        ax.set(xlabel="model says", ylabel="true" if place == 0 else "")
        ax.set_xticklabels(["no", "yes"])
        ax.set_yticklabels(["no", "yes"], rotation=0)
    return shown


def _check_curves(curves: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> None:
    """ValueError where curves are no dict of tables with these columns."""
    for name, points in check_mapping("curves", curves).items():
        as_numbers(f"curves[{name!r}]", check_table(f"curves[{name!r}]", points, columns)[list(columns)])
