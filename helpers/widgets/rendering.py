"""Show a widget where a front end runs it, and its picture everywhere else."""

import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterable, Sequence
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
ADVICE = "The picture does not move: ipywidgets is not installed (pip install ipywidgets, then restart the kernel)."
AnyWidget = TypeVar("AnyWidget", bound="DOMWidget")


class Explorer:
    """What explorers share. `widget` is None where ipywidgets is not installed.

    A browser sends one move at a time and keeps only the last of those that wait (ipywidgets' own throttle), so that a
    slow kernel falls behind by one picture, never by a queue of them. Controls are observed one by one, because
    `ipywidgets.interactive_output` does not say which of them moved, and draws once per control when all are set.
    """

    widget: "DOMWidget | None" = None

    def figure(self) -> Figure:
        """Draw the present state on a figure that pyplot does not know, so that none stays open."""
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


def side_by_side(
    width: float, height: float, panels: Sequence[tuple[float, float, float]]
) -> tuple[Figure, list[Axes]]:
    """Put axes next to each other at fixed places: a layout that measures all texts takes longer than the drawing.

    Args:
        width: of the figure, in inches.
        height: the same.
        panels: of each, the inches left and right of it, and its share of the width that remains.
    """
    figure = Figure(figsize=(width, height), layout="none")  # type: ignore[arg-type]  # its stub forgets this one
    per_share = (width - sum(left + right for left, right, _ in panels)) / sum(share for *_, share in panels)
    inches = [part for left, right, share in panels for part in (left, share * per_share, right)]
    frame = {"left": 0, "right": 1, "wspace": 0, "bottom": 0.62 / height, "top": 1 - 0.34 / height}
    grid = figure.add_gridspec(1, len(inches), width_ratios=inches, **frame)
    return figure, [figure.add_subplot(grid[0, column]) for column in range(1, len(inches), 3)]


class KeptBackground:
    """Draw what moves over a background that is drawn once: a third of the time of a whole picture."""

    def __init__(self, figure: Figure) -> None:
        self._figure, self._canvas = figure, FigureCanvasAgg(figure)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(figure.bbox)
        self._still = set(figure.findobj())

    def png(self, draw: Callable[[Figure], None]) -> bytes:
        """Return the PNG file of the background and of what `draw` adds to the figure, which is then removed."""
        draw(self._figure)
        moving = [part for ax in self._figure.axes for part in ax.get_children() if part not in self._still]
        self._canvas.restore_region(self._background)
        for part in sorted(moving, key=lambda part: part.zorder):
            self._figure.draw_artist(part)
            part.remove()
        file = io.BytesIO()
        imsave(file, np.asarray(self._canvas.buffer_rgba()), format="png")
        return file.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, in the resolution of the notebook's other figures; `savefig` would draw it twice."""
    return KeptBackground(figure).png(lambda _: None)


def ipywidgets() -> ModuleType | None:
    """The module, or None where it is not installed."""
    return importlib.import_module("ipywidgets") if importlib.util.find_spec("ipywidgets") else None


def boxed(w: ModuleType, parts: "Sequence[DOMWidget]", name: str) -> "DOMWidget":
    """The parts one below the other, as the widget of an explorer; it hides the picture in the output below it."""
    return mark(w.VBox([w.HTML(HIDING, layout=w.Layout(display="none")), *parts]), "", name)


def mark(widget: AnyWidget, *names: object) -> AnyWidget:
    """Give a widget CSS classes `explore-name`, by which a page or a test finds it, and return it."""
    for name in names:
        widget.add_class("-".join(["explore", *re.findall("[a-z0-9]+", str(name).lower())]))
    return widget
