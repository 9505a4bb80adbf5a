"""Move the threshold of each label by a slider, and see its confusion matrix and scores."""

import html
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from helpers.arguments import as_numbers, check_choice
from helpers.metrics.checks import Confusion, Table, Threshold, checked, confusion, decide, precision_recall_f
from helpers.plots.style import DARK, PALETTE, label_colors, plain
from helpers.widgets.rendering import Explorer, KeptBackground, boxed, ipywidgets, mark, name_inches, side_by_side

if TYPE_CHECKING:
    from ipywidgets import HTML, DOMWidget, FloatSlider

STEP = 0.005
NEVER = 1 + STEP  # the slider's last position: the label is never predicted
BINS = np.linspace(0, 1, 41)
SCORES = {"precision": PALETTE[0], "recall": PALETTE[4], "f1": DARK}
CORNERS = {
    "tp": ("true positives", 0.98, 0.9),
    "fn": ("false negatives", 0.02, 0.9),
    "fp": ("false positives", 0.98, 0.03),
    "tn": ("true negatives", 0.02, 0.03),
}
SHOWN = {**dict.fromkeys(("threshold", *SCORES), ".3f"), **dict.fromkeys(("tp", "fn", "fp"), ",.0f")}


class ThresholdExplorer(Explorer):
    """Move the threshold of each label, and see its precision, recall, F1 and confusion matrix, and the means.

    In JupyterLab and Colab `show()` gives sliders: one per label, 0 to 1, and at the far right *never*. The picture is
    of the label that was moved last. `thresholds` are the present ones, for the `threshold=` of the metrics and for
    `models.set_thresholds`. Where widgets do not run, `show()` gives the picture.

    Examples:
        >>> from helpers import widgets
        >>> targets, probabilities = [[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]]
        >>> explorer = widgets.ThresholdExplorer(targets, probabilities, labels=["toxic"])  # .show() displays it
        >>> explorer.set(0.3)  # as a slider does
        >>> explorer.table()[["precision", "recall"]].round(2)
               precision  recall
        label
        toxic       0.67     1.0
        >>> explorer.thresholds.to_dict()
        {'toxic': 0.3}
    """

    def __init__(
        self,
        targets: Table,
        probabilities: Table,
        *,
        start: Threshold = 0.5,
        tuned: "Threshold | None" = None,
        labels: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        """Check all and build the widget; `show()` displays it.

        Args:
            targets: (N, L) of 0, 1 and NaN (unknown). Choose on the validation set: thresholds that were chosen on the
                rows that are reported give an optimistic bias (`evaluation.tune_thresholds`).
            probabilities: (N, L) in [0, 1].
            start: thresholds to begin with, one or (L,); inf is never.
            tuned: thresholds that a button sets, such as those of `evaluation.tune_thresholds`; None for no button.
            labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.
            label: whose picture comes first; None takes the first.

        Raises:
            ValueError: shapes, names or values that do not fit, as `metrics.label_report`; an unknown `label`.
        """
        self._truth, self._scores, self._names = checked(targets, probabilities, labels)
        self._cuts = _as_thresholds(start, self._names)
        self._tuned = None if tuned is None else _as_thresholds(tuned, self._names)
        self.label = self._names[0] if label is None else check_choice("label", label, list(self._names))
        self.sliders: dict[str, FloatSlider] = {}
        self._numbers: list[HTML] = []
        self._drawn: tuple[str, KeptBackground] | None = None
        if module := ipywidgets():
            self.widget = self._build(module)
            self._redraw()

    @property
    def thresholds(self) -> pd.Series:
        """(L,) present thresholds by label; inf is never."""
        return pd.Series(self._cuts.copy(), index=self._names, name="threshold")

    def table(self) -> pd.DataFrame:
        """Scores and confusion matrix of each label with the present thresholds, see `decisions`."""
        return decisions(self._truth, self._scores, self._cuts, labels=list(self._names))

    def figure(self) -> Figure:
        """The label's rows and scores around its threshold, and F1 of all labels."""
        figure = threshold_background(self._truth, self._scores, self._names, self.label)
        draw_thresholds(figure, self.table(), self.label)
        return figure

    def set(self, threshold: Threshold) -> None:
        """Move all sliders at once.

        Raises:
            ValueError: thresholds that do not fit the labels.
        """
        self._cuts = _as_thresholds(threshold, self._names)
        for slider, cut in zip(self.sliders.values(), self._cuts, strict=False):
            slider.value = min(cut, NEVER)  # no move, because the threshold is there already
        if self.widget:
            self._redraw()

    def _build(self, w: ModuleType) -> "DOMWidget":
        colors = label_colors([str(name) for name in self._names])
        header = [name.upper() if len(name) == 2 else name for name in SHOWN]
        cells = [w.HTML(), w.HTML(), mark(w.HTML(_line(header)), "head")]
        for index, name in enumerate(self._names):
            color, position = colors[str(name)], min(self._cuts[index], NEVER)
            slider = w.FloatSlider(position, min=0, max=NEVER, step=STEP, readout=False, layout=w.Layout(width="100%"))
            slider.style.handle_color = color
            slider.observe(lambda change, index=index: self._moved(index, change["new"]), "value")
            self.sliders[name] = mark(slider, "slider", f"slider-{name}")
            self._numbers.append(mark(w.HTML(), "numbers", f"numbers-{name}"))
            text = f"<b style='color:{color}'>{html.escape(str(name))}</b>"
            cells += [w.HTML(text), slider, self._numbers[-1]]
        for name in ("macro", "micro"):
            self._numbers.append(mark(w.HTML(), "totals", name))
            cells += [w.HTML(f"<b>{name}</b>"), w.HTML(), self._numbers[-1]]
        columns = "max-content minmax(120px, 320px) max-content"
        grid = w.GridBox(cells, layout=w.Layout(grid_template_columns=columns, grid_gap="0 12px", align_items="center"))
        self._picture = mark(w.Image(format="png", layout=w.Layout(max_width="100%")), "picture")
        return boxed(w, [self._controls(w), grid, self._picture], "thresholds")

    def _controls(self, w: ModuleType) -> "DOMWidget":
        """Buttons, and the choice of the label in the picture."""
        options = [(str(name), name) for name in self._names]
        self._choice = w.Dropdown(options=options, value=self.label, description="picture of")
        self._choice.observe(lambda change: self._show_label(change["new"]), "value")
        buttons = {"half": ("all at 0.5", 0.5), "tuned": ("take the tuned ones", self._tuned)}
        controls = []
        for name, (description, threshold) in buttons.items():
            if threshold is not None:
                button = mark(w.Button(description=description, layout=w.Layout(width="auto")), name)
                button.on_click(lambda _, threshold=threshold: self.set(threshold))
                controls.append(button)
        return w.HBox([*controls, mark(self._choice, "label")], layout=w.Layout(flex_flow="row wrap"))

    def _moved(self, index: int, value: float) -> None:
        # A browser answers a value between two steps with the nearest step: that is no move, and the value stays exact.
        if abs(value - min(self._cuts[index], NEVER)) > STEP / 2 + 1e-9:
            self._cuts[index] = value if value <= 1 else np.inf
            if self._names[index] == self.label:
                self._redraw()
            self._choice.value = self._names[index]  # draws where this is another label

    def _show_label(self, name: str) -> None:
        self.label = name
        self._redraw()

    def _redraw(self) -> None:
        """Write the numbers, then the picture."""
        table = self.table()
        for numbers, row in zip(self._numbers, pd.concat([table, _means(table)]).to_dict("records"), strict=True):
            cells = ["never" if np.isinf(row[name]) else format(row[name], form) for name, form in SHOWN.items()]
            numbers.value = _line(cells).replace("nan", "  –")
        if self._drawn is None or self._drawn[0] != self.label:
            figure = threshold_background(self._truth, self._scores, self._names, self.label)
            self._drawn = self.label, KeptBackground(figure)
        self._picture.value = self._drawn[1].png(lambda figure: draw_thresholds(figure, table, self.label))


def decisions(
    targets: Table, probabilities: Table, threshold: Threshold = 0.5, *, labels: Sequence[str] | None = None
) -> pd.DataFrame:
    """Count each label's confusion matrix at a threshold, and its precision, recall and F1.

    Args:
        targets: (N, L) of 0, 1 and NaN (unknown).
        probabilities: (N, L) in [0, 1].
        threshold: one for all labels, or (L,); a row gets a label from there on, inf never gives it.
        labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.

    Returns:
        By label: `threshold`, `precision`, `recall`, `f1` (0.0 with nothing to divide by, NaN where no row is known),
        and the confusion matrix: `tp`, `fp`, `fn`, `tn`.

    Raises:
        ValueError: as `metrics.label_report`.

    Examples:
        >>> from helpers import widgets
        >>> widgets.decisions([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.6]], 0.5, labels=["toxic"]).T
        label      toxic
        threshold    0.5
        precision    0.5
        recall       0.5
        f1           0.5
        tp           1.0
        fp           1.0
        fn           1.0
        tn           1.0
    """
    truth, scores, names = checked(targets, probabilities, labels)
    return _score(confusion(truth, decide(scores, threshold, names)), names, _as_thresholds(threshold, names))


def _as_thresholds(threshold: Threshold, names: pd.Index) -> np.ndarray:
    """(L,) thresholds, each in [0, 1] or inf (never); ValueError where they do not fit the labels."""
    decide(np.empty((0, len(names))), threshold, names)  # refuses what does not fit
    return np.broadcast_to(as_numbers("threshold", threshold), len(names)).copy()


def _score(counts: Confusion, index: pd.Index, thresholds: np.ndarray | float = np.nan) -> pd.DataFrame:
    """Thresholds, precision, recall, F1 and the counts themselves, each (K,)."""
    scores = dict(zip(SCORES, precision_recall_f(counts), strict=True))
    return pd.DataFrame({"threshold": thresholds, **scores, **counts._asdict()}, index)


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of `macro` (mean over the labels with a known row) and `micro` (all decisions counted together)."""
    macro = table[list(SCORES)].mean().to_frame("macro").T
    return pd.concat([macro, _score(Confusion(*table[list(Confusion._fields)].sum()), pd.Index(["micro"]))])


def _line(texts: Sequence[str]) -> str:
    return f"<pre style='margin: 0'>{''.join(f'{text:>10}' for text in texts)}</pre>"


def threshold_background(truth: np.ndarray, scores: np.ndarray, names: pd.Index, label: str) -> Figure:
    """Draw what does not depend on thresholds: a label's rows and score curves, and the names of all labels.

    Args:
        truth: (N, L) of 0, 1 and NaN (unknown).
        scores: (N, L) probabilities.
        names: of the L labels.
        label: which is shown in the two panels on the left.
    """
    panels = [(1.0, 0.5, 5), (0.5, 0.25, 4), (name_inches(names), 0.15, 3.2)]
    figure, (rows, curves, bars) = side_by_side(13, max(3.8, 0.24 * len(names) + 1.4), panels)
    index: Any = names.get_loc(label)
    positive, negative = (scores[truth[:, index] == known, index] for known in (1, 0))
    for sign, part in ((1, positive), (-1, negative)):
        rows.stairs(sign * np.histogram(part, BINS)[0], BINS, fill=True, color="lightgrey")
    rows.set(xlim=(-0.01, 1.03), yscale="symlog", xlabel="probability", ylabel="rows without | with (log axis)")
    rows.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.0f}" if value else ""))
    rows.margins(y=0.25)
    points = score_curve(positive, negative)
    for name, color in SCORES.items():
        curves.plot(points.index, points[name], color=color, linewidth=2)
    curves.set(xlim=(0, 1), ylim=(-0.02, 1.05), xlabel="threshold")
    bars.set_yticks(range(len(names)), [plain(name) for name in names[::-1]])
    bars.set(xlim=(0, 1.18), ylim=(-0.6, len(names) - 0.4), xticks=[0, 0.5, 1], xlabel="F1 at these thresholds")
    for ax in (rows, bars):
        ax.grid(visible=False)
    return figure


def draw_thresholds(figure: Figure, table: pd.DataFrame, label: str) -> None:
    """Draw over a background what moves with the thresholds.

    Args:
        figure: of `threshold_background`.
        table: of `decisions` with the present thresholds.
        label: which is shown.
    """
    row: Any = table.loc[label]
    rows, curves, bars = figure.axes
    cut: float = min(row["threshold"], NEVER)
    words = "never predicted" if cut == NEVER else f"predicted from {cut:.3f} on"
    _write(rows, 0, f"'{plain(label)}': {words}", size=12)
    for pile, color in zip(rows.patches[:2], (PALETTE[2], PALETTE[1]), strict=True):
        heights, edges, _ = pile.get_data()  # type: ignore[attr-defined]  # a pile is a StepPatch
        flagged = rows.stairs(heights, edges, fill=True, color=color)
        flagged.set_clip_path(Rectangle((cut, 0), 2, 1, transform=rows.get_xaxis_transform()))
    rows.axhline(0, color=DARK, linewidth=0.8)
    for ax in (rows, curves):
        ax.axvline(cut, color=DARK, linewidth=1.5)
    for name, (words, x, y) in CORNERS.items():
        text = _write(rows, x, f"{words} {row[name]:,.0f}", y)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})
    for (name, color), x in zip(SCORES.items(), (0, 0.56, 1), strict=True):
        curves.plot(row["threshold"], row[name], "o", color=color, markersize=7)  # none for a threshold of inf
        _write(curves, x, f"{name.replace('f1', 'F1')} {row[name]:.2f}", color=color)
    f1, means = table["f1"][::-1], _means(table)["f1"]
    colors = label_colors([str(name) for name in table.index])
    drawn = bars.barh(range(len(f1)), f1.fillna(0), color=[colors[str(name)] for name in f1.index])
    bars.bar_label(drawn, labels=[f"{value:.2f}" for value in f1], padding=4, color=DARK)
    _write(bars, 1, f"F1: macro {means['macro']:.3f}, micro {means['micro']:.3f}", size=12)


def _write(ax: Axes, x: float, text: str, y: float = 1.02, *, color: str = DARK, size: int = 10) -> Text:
    """Bold text at a share of the axes' width and height, aligned to the nearer side."""
    side = "left" if x < 0.5 else "right" if x > 0.6 else "center"
    return ax.text(x, y, text, transform=ax.transAxes, ha=side, color=color, size=size, weight="bold")


def score_curve(positive: np.ndarray, negative: np.ndarray, points: int = 201) -> pd.DataFrame:
    """Scores of a label by its threshold; precision is NaN where no row reaches the threshold."""
    cuts = np.linspace(0, 1, points)
    tp, fp = (len(part) - np.searchsorted(np.sort(part), cuts) for part in (positive, negative))
    table = _score(Confusion(tp=tp, fp=fp, fn=len(positive) - tp, tn=len(negative) - fp), pd.Index(cuts), cuts)
    return table.assign(precision=table["precision"].where(tp + fp > 0))
