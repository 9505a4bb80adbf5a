"""Choose labels, and see which others come with them, asked both ways."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.arguments import check_choice, check_names
from helpers.datasets.labels import TEXT, as_html, comment_texts, label_matrix, label_names, text_column
from helpers.plots.style import label_colors
from helpers.widgets.figures import MEASURES, company_picture
from helpers.widgets.rendering import Explorer, boxed, ipywidgets, mark, png, slug

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, ToggleButton

EXAMPLES, LONGEST = 3, 160


class LabelExplorer(Explorer):
    """Which labels come together: choose one or more, and see what the comments that have them all have besides.

    In JupyterLab and Colab `show()` gives a button for each label, a switch between shares, counts and lift, and a few
    of the comments, in full or masked. Where widgets do not run, `show()` gives the picture.

    Examples:
        >>> from helpers import datasets, widgets
        >>> explorer = widgets.LabelExplorer(datasets.load_comments(), ["insult"])  # .show() displays it
        >>> float(explorer.table().loc["toxic", "share_of_chosen"]) > 0.5  # most insults are toxic
        True
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        chosen: Sequence[str] = (),
        *,
        labels: Iterable[str] | None = None,
        text: str | None = None,
        measure: str = "shares",
        masked: bool = False,
    ) -> None:
        """Count and build the widget; `show()` displays it.

        Args:
            frame: a table of comments; without a text column no example is shown.
            chosen: labels to begin with.
            labels: label columns of 0, 1 and NaN (unknown); None takes those that the table carries.
            text: the text column; None takes the one that the table carries, or `comment_text`.
            measure: to begin with: "shares", P(label | chosen) and P(chosen | label), "counts", or "lift", how many
                times as often as chance would have it.
            masked: show the examples as `text.mask` gives them.

        Raises:
            ValueError: labels that the table does not have, see `company`; another measure.
        """
        self.labels = label_names(frame, labels)
        company(frame, chosen, labels=self.labels)  # refuses what does not fit
        has_text = text is not None or "text" in frame.attrs or TEXT in frame
        self._text = text_column(frame, text) if has_text else None
        self._frame, self.chosen, self.masked = frame, list(chosen), masked
        self.measure = check_choice("measure", measure, MEASURES)
        self._seed = 0
        self._brief = np.ones(len(frame), dtype=bool)
        if self._text is not None:
            self._brief = np.array([len(each) < LONGEST for each in comment_texts(frame, self._text)], dtype=bool)
        self.buttons: dict[str, ToggleButton] = {}
        if module := ipywidgets():
            self.widget = self._build(module)

    def table(self) -> pd.DataFrame:
        """Counts, shares and lift of the labels that are not chosen, see `company`."""
        return company(self._frame, self.chosen, labels=self.labels)

    def figure(self) -> Figure:
        """The labels that come with the chosen ones, asked in two ways."""
        return company_picture(self.table(), self.chosen, self.labels, self.measure)

    def examples(self) -> pd.DataFrame:
        """A few comments with all the chosen labels, short ones if there are any; the button draws others."""
        has = np.ones(len(self._frame), dtype=bool)
        if self.chosen:
            has = (label_matrix(self._frame, self.chosen) == 1).all(axis=1)
        short = has & self._brief
        rows = np.flatnonzero(short if short.any() else has)
        drawn = np.random.default_rng(self._seed).permutation(rows)[:EXAMPLES]
        return self._frame.iloc[drawn]

    # ------------------------------------------------------------ the widget

    def _build(self, w: ModuleType) -> "DOMWidget":
        colors = label_colors([str(name) for name in self.labels])
        for name in self.labels:
            button = w.ToggleButton(name in self.chosen, description=str(name), layout=w.Layout(width="auto"))
            button.layout.border = f"2px solid {colors[str(name)]}"
            button.observe(self._pressed, "value")
            self.buttons[name] = mark(button, "explore-label", f"explore-label-{slug(name)}")
        self._switch = w.ToggleButtons(options=MEASURES, value=self.measure, style={"button_width": "80px"})
        self._switch.observe(self._pressed, "value")
        row = w.Layout(flex_flow="row wrap", align_items="center")
        rows = [
            w.HBox([w.HTML("comments that have"), *self.buttons.values()], layout=row),
            mark(self._switch, "explore-measure"),
        ]
        self._picture = mark(w.Image(format="png", layout=w.Layout(max_width="100%")), "explore-picture")
        rows.append(self._picture)
        if self._text is not None:
            self._shown = mark(w.HTML(), "explore-examples")
            others = mark(w.Button(description="other examples"), "explore-others")
            others.on_click(self._others)
            rows += [others, self._shown]
            self._show_examples()
        self._picture.value = png(self.figure())
        return boxed(w, rows, "together")

    def _pressed(self, _: dict[str, object]) -> None:
        self.chosen = [name for name, button in self.buttons.items() if button.value]
        self.measure = self._switch.value
        self._picture.value = png(self.figure())
        if self._text is not None:
            self._show_examples()

    def _others(self, _: object) -> None:
        self._seed += 1
        self._show_examples()

    def _show_examples(self) -> None:
        result = self.examples()
        shown = as_html(result, labels=self.labels, text=self._text, most=LONGEST, masked=self.masked)
        self._shown.value = shown if len(result) else "No comment has all of these labels."


def company(frame: pd.DataFrame, chosen: Sequence[str], *, labels: Iterable[str] | None = None) -> pd.DataFrame:
    """For each label that is not chosen: how often it stands beside all the chosen ones.

    Only rows count in which the chosen labels and the other are known.

    Args:
        frame: a table with label columns of 0, 1 and NaN (unknown).
        chosen: labels that a row must have, all of them; none takes every row.
        labels: label columns; None takes those that the table carries.

    Returns:
        By other label: rows with `both`, `chosen_rows`, `label_rows` and all `rows`; `share_of_chosen`, P(label |
        chosen), and `share_of_label`, P(chosen | label); `base`, P(label); `expected`, the rows with both if the two
        had nothing to do with each other; `lift`, `both` over `expected`, which is the same both ways. A share of no
        rows is NaN.

    Raises:
        ValueError: a label that the table does not have; a chosen one that is not a label, or is chosen twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import widgets
        >>> frame = pd.DataFrame({"toxic": [1, 1, 1, 0], "insult": [1, 1, 0, 0], "threat": [0, 0, 1, 0]})
        >>> table = widgets.company(frame, ["toxic"], labels=["toxic", "insult", "threat"])
        >>> table[["both", "share_of_chosen", "share_of_label", "lift"]].round(2)
                both  share_of_chosen  share_of_label  lift
        label
        insult     2             0.67             1.0  1.33
        threat     1             0.33             1.0  1.33
    """
    names = label_names(frame, labels)
    chosen = check_names("chosen", chosen) if np.size(np.asarray(chosen, dtype=object)) else []
    if unknown := [name for name in chosen if name not in names]:
        raise ValueError(f"chosen labels {unknown} are not among the labels {names}")
    values = label_matrix(frame, names)
    picked = values[:, [names.index(name) for name in chosen]]
    others = [index for index, name in enumerate(names) if name not in chosen]
    has = (picked == 1).all(axis=1)[:, None]
    known = ~np.isnan(picked).any(axis=1)[:, None] & ~np.isnan(values[:, others])
    label = (values[:, others] == 1) & known
    counts = {
        "both": (label & has).sum(axis=0),
        "chosen_rows": (known & has).sum(axis=0),
        "label_rows": label.sum(axis=0),
        "rows": known.sum(axis=0),
    }
    table = pd.DataFrame(counts, index=pd.Index([names[index] for index in others], name="label"))
    return table.assign(
        share_of_chosen=_ratio(table["both"], table["chosen_rows"]),
        share_of_label=_ratio(table["both"], table["label_rows"]),
        base=_ratio(table["label_rows"], table["rows"]),
        expected=_ratio(table["chosen_rows"] * table["label_rows"], table["rows"]),
        lift=_ratio(table["both"] * table["rows"], table["chosen_rows"] * table["label_rows"]),
    )


def _ratio(top: pd.Series, bottom: pd.Series) -> pd.Series:
    return top / bottom.where(bottom > 0)
