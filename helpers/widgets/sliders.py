"""Move the threshold of each label by a slider, and see its confusion matrix and scores."""

import html
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.arguments import check_choice
from helpers.metrics.checks import Table, Threshold
from helpers.plots.style import label_colors
from helpers.widgets.decisions import SCORES, as_thresholds, decisions, rank, totals
from helpers.widgets.figures import ThresholdPicture
from helpers.widgets.rendering import Explorer, boxed, ipywidgets, mark, slug

if TYPE_CHECKING:
    from ipywidgets import HTML, DOMWidget, FloatSlider

STEP = 0.005
NEVER = 1 + STEP  # the slider's last place: the label is never given
COLUMNS = ("threshold", "precision", "recall", "F1", "TP", "FN", "FP")
ROW = "<div class='explore-row' style='display:flex;font-variant-numeric:tabular-nums'>{}</div>"
WIDTHS = ("5.5em", "5.5em", "4.5em", "4em", "4.5em", "5em", "7em")
CELL = "<span style='width:{};text-align:right;line-height:28px'>{}</span>"


class ThresholdExplorer(Explorer):
    """Move the threshold of each label, and see its precision, recall, F1 and confusion table, and the totals.

    In JupyterLab and Colab `show()` gives sliders: a label each, 0 to 1, and at the far right *never*. The picture is
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
        """Sort the probabilities and build the widget; `show()` displays it.

        Args:
            targets: (N, L) of 0, 1 and NaN (unknown). Choose on validation rows: thresholds that were chosen on the
                the rows that are reported give an optimistic bias (`evaluation.tune_thresholds`).
            probabilities: (N, L) in [0, 1].
            start: thresholds to begin with, one or (L,); inf is never.
            tuned: thresholds that a button sets, such as those of `evaluation.tune_thresholds`; None for no button.
            labels: L names; None takes the column names of a DataFrame, or 0 to L - 1.
            label: whose picture comes first; None takes the first.

        Raises:
            ValueError: shapes, names or values that do not fit, as `metrics.label_report`; an unknown `label`.
        """
        self.ranked = rank(targets, probabilities, labels=labels)
        names = self.ranked.names
        self._start = as_thresholds(start, names)
        self._tuned = None if tuned is None else as_thresholds(tuned, names)
        self._cuts = self._start.copy()
        self.label = names[0] if label is None else check_choice("label", label, list(names))
        self._quiet = False
        self._drawn: ThresholdPicture | None = None
        self.sliders: dict[str, FloatSlider] = {}
        if module := ipywidgets():
            self.widget = self._build(module)

    @property
    def thresholds(self) -> pd.Series:
        """(L,) present thresholds by label; inf is never."""
        return pd.Series(self._cuts.copy(), index=self.ranked.names, name="threshold")

    def table(self) -> pd.DataFrame:
        """Scores and confusion table of each label with the present thresholds, see `decisions`."""
        return decisions(self.ranked, self._cuts)

    def figure(self) -> Figure:
        """The label's rows and scores around its threshold, and F1 of all labels."""
        return ThresholdPicture(self.ranked, self.table(), self.label).figure

    def set(self, threshold: Threshold) -> None:
        """Move all sliders at once.

        Raises:
            ValueError: thresholds that do not fit the labels.
        """
        cuts = as_thresholds(threshold, self.ranked.names)
        self._quiet = True
        try:
            for slider, cut in zip(self.sliders.values(), cuts, strict=False):
                slider.value = min(cut, NEVER)
        finally:
            self._quiet = False
        self._cuts = cuts
        self._redraw()

    # ------------------------------------------------------------ the widget

    def _build(self, w: ModuleType) -> "DOMWidget":
        names = list(self.ranked.names)
        colors = label_colors([str(name) for name in names])
        cells: list[DOMWidget] = [w.HTML(), w.HTML(), _html(w, _cells(COLUMNS), "explore-head")]
        self._numbers: dict[str, HTML] = {}
        for name, cut in zip(names, self._cuts, strict=True):
            text = f"<b style='color:{colors[str(name)]}'>{html.escape(str(name))}</b>"
            slider = w.FloatSlider(min(cut, NEVER), min=0, max=NEVER, step=STEP, readout=False)
            slider.layout.width, slider.style.handle_color = "100%", colors[str(name)]
            mark(slider, "explore-slider", f"explore-slider-{slug(name)}")
            slider.observe(lambda change, name=name: self._moved(name, change["new"]), "value")
            numbers = _html(w, "", "explore-numbers", f"explore-numbers-{slug(name)}")
            self.sliders[name], self._numbers[name] = slider, numbers
            cells += [w.HTML(text), slider, numbers]
        self._totals = {name: _html(w, "", "explore-totals", f"explore-{name}") for name in ("macro", "micro")}
        for name, numbers in self._totals.items():
            cells += [w.HTML(f"<b>{name}</b>"), w.HTML(), numbers]
        columns = "max-content minmax(120px, 320px) max-content"
        grid = w.GridBox(cells, layout=w.Layout(grid_template_columns=columns, grid_gap="0 12px", align_items="center"))
        self._picture = mark(w.Image(format="png", layout=w.Layout(max_width="100%")), "explore-picture")
        self._redraw()
        return boxed(w, [self._controls(w), grid, self._picture], "thresholds")

    def _controls(self, w: ModuleType) -> "DOMWidget":
        """Buttons, and the choice of the label in the picture."""
        fitting = w.Layout(width="auto")
        half = mark(w.Button(description="all at one half", layout=fitting), "explore-half")
        half.on_click(lambda _: self.set(0.5))
        buttons = [half]
        if self._tuned is not None:
            tuned = mark(w.Button(description="take the tuned ones", layout=fitting), "explore-tuned")
            tuned.on_click(lambda _: self.set(self._tuned))
            buttons.append(tuned)
        options = [(str(name), name) for name in self.ranked.names]
        self._choice = w.Dropdown(options=options, value=self.label, description="picture of")
        self._choice.observe(lambda change: self._chosen(change["new"]), "value")
        return w.HBox([*buttons, mark(self._choice, "explore-label")], layout=w.Layout(flex_flow="row wrap"))

    def _moved(self, name: str, value: float) -> None:
        index: Any = self.ranked.names.get_loc(name)
        # A browser answers a value between two steps with the nearest step; that is no move, and the value stays exact.
        if self._quiet or abs(value - STEP * round(min(self._cuts[index], NEVER) / STEP)) < STEP / 100:
            return
        self._cuts[index] = value if value <= 1 else np.inf
        self._show_label(name)
        self._redraw()

    def _chosen(self, name: str) -> None:
        if not self._quiet:
            self._show_label(name)
            self._redraw()

    def _show_label(self, name: str) -> None:
        self.label, self._quiet = name, True
        self._choice.value = name
        self._quiet = False

    def _redraw(self) -> None:
        """Write the numbers, then the picture."""
        if not self.sliders:
            return
        table = self.table()
        for name, row in zip(self.sliders, table.to_dict("records"), strict=True):
            cut = "never" if np.isinf(row["threshold"]) else f"{row['threshold']:.3f}"
            counts = [f"{row[count]:,}" for count in ("tp", "fn", "fp")]
            self._numbers[name].value = _cells([cut, *_rounded(row), *counts])
        for mean, means in totals(table).to_dict("index").items():
            counts = [f"{table[count].sum():,}" for count in ("tp", "fn", "fp")] if mean == "micro" else []
            self._totals[str(mean)].value = _cells(["", *_rounded(means), *counts])
        if self._drawn is None or self._drawn.label != self.label:
            self._drawn = ThresholdPicture(self.ranked, table, self.label)
        self._drawn.update(table)
        self._picture.value = self._drawn.png()


def _rounded(row: Mapping[Any, float]) -> list[str]:
    return [f"{row[score]:.3f}" for score in SCORES]


def _cells(texts: Sequence[str]) -> str:
    return ROW.format("".join(CELL.format(width, text) for width, text in zip(WIDTHS, texts, strict=False)))


def _html(w: ModuleType, text: str, *classes: str) -> "HTML":
    return mark(w.HTML(text), *classes)
