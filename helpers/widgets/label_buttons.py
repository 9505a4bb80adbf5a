"""Choose labels by buttons, and see which others co-occur with them, asked both ways."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.arguments import check_choice, check_names
from helpers.datasets.labels import TEXT, as_html, comment_texts, label_matrix, label_names, text_column
from helpers.plots.charts import bars
from helpers.plots.style import DARK, GREY, label_colors, plain
from helpers.widgets.rendering import Explorer, boxed, ipywidgets, mark, name_inches, png, side_by_side

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, ToggleButton

EXAMPLES, LONGEST = 3, 160
MEASURES = ("shares", "counts", "lift")


class LabelExplorer(Explorer):
    """Explore which labels co-occur: choose one or more, and see what else the comments have that have them all.

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
                times as often as expected by chance.
            masked: show the examples as `text.mask` gives them.

        Raises:
            ValueError: labels that the table does not have, see `cooccurrence`; another measure.
        """
        self.labels = label_names(frame, labels)
        cooccurrence(frame, chosen, labels=self.labels)  # refuses what does not fit
        self._frame, self.chosen, self.masked, self._seed = frame, list(chosen), masked, 0
        self._values = pd.DataFrame(label_matrix(frame, self.labels), columns=self.labels)
        self.measure = check_choice("measure", measure, MEASURES)
        has_text = text is not None or "text" in frame.attrs or TEXT in frame
        self._text = text_column(frame, text) if has_text else None
        texts = comment_texts(frame, self._text) if has_text else [""] * len(frame)
        self._is_short = np.array([len(each) < LONGEST for each in texts], dtype=bool)
        self.buttons: dict[str, ToggleButton] = {}
        if module := ipywidgets():
            self.widget = self._build(module)

    def table(self) -> pd.DataFrame:
        """Counts, shares and lift of the labels that are not chosen, see `cooccurrence`."""
        return cooccurrence(self._frame, self.chosen, labels=self.labels)

    def figure(self) -> Figure:
        """The labels that co-occur with the chosen ones, asked in two ways."""
        return cooccurrence_figure(self.table(), self.chosen, self.labels, self.measure)

    def examples(self) -> pd.DataFrame:
        """A few comments with all the chosen labels, short ones if there are any; the button draws others."""
        has = self._values[self.chosen].eq(1).all(axis=1).to_numpy()
        short = has & self._is_short
        rows = np.flatnonzero(short if short.any() else has)
        return self._frame.iloc[np.random.default_rng(self._seed).permutation(rows)[:EXAMPLES]]

    def _build(self, w: ModuleType) -> "DOMWidget":
        colors = label_colors([str(name) for name in self.labels])
        for name in self.labels:
            border = w.Layout(width="auto", border=f"2px solid {colors[str(name)]}")
            button = w.ToggleButton(name in self.chosen, description=str(name), layout=border)
            self.buttons[name] = mark(button, "label", f"label-{name}")
        self._switch = w.ToggleButtons(options=MEASURES, value=self.measure, style={"button_width": "80px"})
        for control in (*self.buttons.values(), self._switch):
            control.observe(self._pressed, "value")
        row = w.Layout(flex_flow="row wrap", align_items="center")
        buttons = w.HBox([w.HTML("comments that have"), *self.buttons.values()], layout=row)
        self._picture = w.Image(value=png(self.figure()), format="png", layout=w.Layout(max_width="100%"))
        parts = [buttons, mark(self._switch, "measure"), mark(self._picture, "picture")]
        if self._text is not None:
            others = mark(w.Button(description="other examples"), "others")
            others.on_click(lambda _: self._show_examples(self._seed + 1))
            self._shown = mark(w.HTML(), "examples")
            self._show_examples(0)
            parts += [others, self._shown]
        return boxed(w, parts, "together")

    def _pressed(self, _: object) -> None:
        self.chosen = [name for name, button in self.buttons.items() if button.value]
        self.measure = self._switch.value
        self._picture.value = png(self.figure())
        if self._text is not None:
            self._show_examples(self._seed)

    def _show_examples(self, seed: int) -> None:
        self._seed = seed
        result = self.examples()
        shown = as_html(result, labels=self.labels, text=self._text, most=LONGEST, masked=self.masked)
        self._shown.value = shown if len(result) else "No comment has all of these labels."


def cooccurrence(frame: pd.DataFrame, chosen: Sequence[str], *, labels: Iterable[str] | None = None) -> pd.DataFrame:
    """Count for each label that is not chosen how often it co-occurs with all the chosen ones.

    Only rows count in which the chosen labels and the other are known.

    Args:
        frame: a table with label columns of 0, 1 and NaN (unknown).
        chosen: labels that a row must have, all of them; none takes every row.
        labels: label columns; None takes those that the table carries.

    Returns:
        By other label: rows with `both`, `chosen_rows`, `label_rows` and all `rows`; `share_of_chosen`, P(label |
        chosen), and `share_of_label`, P(chosen | label); `base`, P(label); `expected`, the rows with both if the two
        were independent; `lift`, `both` over `expected`, which is the same both ways. A share of no rows is NaN.

    Raises:
        ValueError: a label that the table does not have; a chosen one that is not a label, or is chosen twice.

    Examples:
        >>> import pandas as pd
        >>> from helpers import widgets
        >>> frame = pd.DataFrame({"toxic": [1, 1, 1, 0], "insult": [1, 1, 0, 0], "threat": [0, 0, 1, 0]})
        >>> table = widgets.cooccurrence(frame, ["toxic"], labels=["toxic", "insult", "threat"])
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
    values = pd.DataFrame(label_matrix(frame, names), columns=pd.Index(names, name="label"))
    picked, others = values[chosen], values.drop(columns=chosen)
    known = others.notna().mul(picked.notna().all(axis=1), axis=0)
    has = known.mul(picked.eq(1).all(axis=1), axis=0)
    label = others.eq(1) & known
    counts = {"both": label & has, "chosen_rows": has, "label_rows": label, "rows": known}
    table = pd.DataFrame({name: cells.sum() for name, cells in counts.items()})
    return table.assign(  # where no row is, 0 / 0 is NaN
        share_of_chosen=table["both"] / table["chosen_rows"],
        share_of_label=table["both"] / table["label_rows"],
        base=table["label_rows"] / table["rows"],
        expected=table["chosen_rows"] * table["label_rows"] / table["rows"],
        lift=table["both"] * table["rows"] / (table["chosen_rows"] * table["label_rows"]),
    )


def cooccurrence_figure(table: pd.DataFrame, chosen: Sequence[str], labels: Sequence[str], measure: str) -> Figure:
    """Draw the labels that co-occur with the chosen ones, asked in two ways.

    Args:
        table: of `cooccurrence`.
        chosen: the chosen labels.
        labels: all labels; they give the colours.
        measure: "shares", "counts" or "lift".
    """
    panels = [(name_inches(table.index), 0.15, 1), (0.15, 0.15, 1)]
    figure, (left, right) = side_by_side(12, max(3.4, 0.34 * len(table) + 1.6), panels)
    if table.empty:
        for ax in (left, right):
            ax.axis("off")
        left.text(0, 0.5, "Every label is chosen: leave one out, and it is shown here.", color=DARK)
        return figure
    palette, table = label_colors([str(name) for name in labels]), table[::-1]
    them = " and ".join(map(plain, chosen)) if len(chosen) < 3 else f"the {len(chosen)} chosen labels"
    rows = int(table["chosen_rows"].max())
    left.set_title(f"Of {rows:,} comments" + (f" with {them}" if chosen else ""))
    right.set_title("Of the comments with the row's label")
    draw = {"shares": _draw_shares, "counts": _draw_counts, "lift": _draw_lift}[measure]
    draw(left, right, table, [palette[str(name)] for name in table.index], them or "any label or none")
    right.tick_params(labelleft=False)
    return figure


def _draw_shares(left: Axes, right: Axes, table: pd.DataFrame, colors: list[str], them: str) -> None:
    for ax, share, rows in ((left, "share_of_chosen", "chosen_rows"), (right, "share_of_label", "label_rows")):
        texts = [f"{s:.0%} of {n:,}" if n else "no rows" for s, n in zip(table[share], table[rows], strict=True)]
        bars(table[share].fillna(0), texts=texts, colors=colors, ax=ax)
        ax.set(xlim=(0, 1.3), xticks=[0, 0.25, 0.5, 0.75, 1])
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    left.plot(table["base"], range(len(table)), "|", color=DARK, markersize=18, markeredgewidth=2)
    left.set_xlabel("share that has the row's label too (mark: of all)")
    right.set_xlabel(f"share that has {them}")


def _draw_counts(left: Axes, right: Axes, table: pd.DataFrame, colors: list[str], them: str) -> None:
    for ax, rows in ((left, "chosen_rows"), (right, "label_rows")):
        texts = [f"{both:,} of {n:,}" for both, n in zip(table["both"], table[rows], strict=True)]
        bars(table[rows], texts=texts, colors="lightgrey", ax=ax)
        ax.barh(range(len(table)), table["both"], height=0.6, color=colors)
    left.set_xlabel("comments that have the row's label too (grey: all of these)")
    right.set_xlabel(f"comments that have {them} (grey: all of these)")


def _draw_lift(left: Axes, right: Axes, table: pd.DataFrame, colors: list[str], them: str) -> None:
    texts = ["no rows" if np.isnan(value) else f"× {value:.1f}" for value in table["lift"]]
    bars(table["lift"].fillna(0), texts=texts, colors=colors, ax=left)
    left.axvline(1, color=DARK, linestyle="--", linewidth=1)
    left.set_xlabel("lift: times as frequent as among all comments")
    expected = table["expected"].fillna(0)
    texts = [f"{both:,}, by chance {e:,.0f}" for both, e in zip(table["both"], expected, strict=True)]
    bars(table["both"], texts=texts, colors=colors, ax=right)
    right.plot(expected, range(len(table)), "|", color=GREY, markersize=18, markeredgewidth=3)
    right.margins(x=0.65)
    right.set_title("The same both ways")
    right.set_xlabel(f"comments with {them} and the row's label")
