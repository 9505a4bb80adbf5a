"""A widget where a front end runs it, and its picture everywhere else."""

import importlib
import io
import re
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

if TYPE_CHECKING:
    from ipywidgets import DOMWidget

WIDGET = "application/vnd.jupyter.widget-view+json"
MOVES = "Run this cell in JupyterLab or Colab: the picture below moves."
HIDING = "<style>.jp-OutputArea-child:has(.explore) + .jp-OutputArea-child { display: none }</style>"
AnyWidget = TypeVar("AnyWidget", bound="DOMWidget")
ADVICE = (
    "The picture does not move here: ipywidgets is not installed (pip install ipywidgets, then restart the kernel)."
)


class Explorer:
    """What explorers share. `widget` is None where ipywidgets is not installed.

    A browser sends one move at a time and keeps only the last of those that wait (ipywidgets' own throttle), so that a
    slow kernel falls behind by one picture, never by a queue of them.
    """

    widget: "DOMWidget | None" = None

    def figure(self) -> Figure:
        """The picture of the present state, on a figure that pyplot does not know, so that none stays open."""
        raise NotImplementedError

    def show(self) -> None:
        """Display the widget, and the picture for every place and time where widgets do not run.

        JupyterLab does not keep widgets in a file: a notebook that is opened again shows the picture. As long as the
        widget lives, the picture below it is hidden. Colab keeps them, and gets both in one output.
        """
        from IPython.display import display

        picture: dict[str, Any] = {"text/plain": repr(figure := self.figure()), "image/png": png(figure)}
        if self.widget is None:
            print(ADVICE)
        else:
            view = {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}}
            if "google.colab" in sys.modules:
                picture |= view
            else:
                display({"text/plain": MOVES, **view}, raw=True)
        display(picture, raw=True)


def name_inches(names: Iterable[object]) -> float:
    """Room for the longest of some names beside an axis, in inches."""
    return 0.25 + 0.088 * max((len(str(name)) for name in names), default=0)


def side_by_side(figure: Figure, panels: Sequence[tuple[float, float, float]]) -> list[Axes]:
    """Axes next to each other at fixed places: a layout that measures all texts takes longer than the drawing.

    Args:
        figure: where they are put.
        panels: of each, the inches left and right of it, and its share of the width that remains.
    """
    width, height = figure.get_size_inches()
    shared = width - sum(left + right for left, right, _ in panels)
    axes, edge = [], 0.0
    for left, right, share in panels:
        inches = shared * share / sum(panel[2] for panel in panels)
        index = ((edge + left) / width, 0.62 / height, inches / width, (height - 0.96) / height)
        axes.append(figure.add_axes(index))
        edge += left + inches + right
    return axes


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, in the resolution of the notebook's other figures; `savefig` would draw it twice."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encoded(canvas)


def encoded(canvas: FigureCanvasAgg) -> bytes:
    """What stands on a canvas as a PNG file."""
    file = io.BytesIO()
    imsave(file, np.asarray(canvas.buffer_rgba()), format="png")
    return file.getvalue()


def ipywidgets() -> ModuleType | None:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module("ipywidgets")
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        return None


def slug(label: object) -> str:
    """A label's name as a part of a CSS class."""
    return re.sub(r"[^a-z0-9]+", "-", str(label).lower()).strip("-") or "label"


def boxed(w: ModuleType, parts: "Sequence[DOMWidget]", name: str) -> "DOMWidget":
    """The parts one below the other, as the widget of an explorer; it hides the picture in the output below it."""
    return mark(w.VBox([w.HTML(HIDING, layout=w.Layout(display="none")), *parts]), "explore", f"explore-{name}")


def mark(widget: AnyWidget, *classes: str) -> AnyWidget:
    """Give a widget CSS classes, by which a page or a test finds it, and return it."""
    for name in classes:
        widget.add_class(name)
    return widget
