"""One style for the whole course: type, colours, and how numbers are written."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib import rcsetup
from matplotlib.axes import Axes

from helpers.arguments import check_names
from helpers.datasets.loading import JIGSAW_LABELS

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#555555")
GREY, DARK = "#777777", "#333333"


def use_style() -> None:
    """Set the course's style: large type for a projector, light grid, sharp pictures that stay small files.

    Examples:
        >>> from matplotlib import pyplot
        >>> from helpers import plots
        >>> with pyplot.rc_context():  # without it the style stays for the whole notebook, as it is meant to
        ...     plots.use_style()
    """
    sns.set_theme(style="whitegrid", font_scale=1.05)
    plt.rcParams.update(
        {
            "figure.figsize": (8, 4.2),
            "figure.dpi": 96,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": rcsetup.cycler(color=PALETTE),
            "axes.titleweight": "bold",
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


def plain(name: object) -> str:
    """A name as matplotlib must get it so that it is drawn as it is: no formula from dollars, no name left out."""
    text = str(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text  # a legend leaves out what begins with an underscore


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label: Jigsaw's six keep theirs for the whole course, others follow their place in the list.

    Examples:
        >>> from helpers import plots
        >>> plots.label_colors(["toxic", "kind"])
        {'toxic': '#0072B2', 'kind': '#D55E00'}
    """
    labels = check_names("labels", labels)
    fixed = {name: color for name, color in zip(JIGSAW_LABELS, PALETTE, strict=False) if name in labels}
    free = [color for color in PALETTE if color not in fixed.values()]
    others = [label for label in labels if label not in fixed]
    if len(others) > len(free):
        free = sns.color_palette("husl", len(others)).as_hex()
    return {**fixed, **dict(zip(others, free, strict=False))}


def new_axes(width: float = 8, height: float = 4.2) -> Axes:
    """Axes on a new figure of a size in inches."""
    return plt.subplots(figsize=(width, height))[1]


def name_points(ax: Axes, points: Iterable[tuple[str, float, float, str]], *, right: float, up: float = 0) -> None:
    """Write names beside points, moved up where they would meet the one below.

    Args:
        ax: has all that is drawn and its scales, for what changes the limits later moves the points.
        points: name, x, y and colour of each.
        right: distance from the point, in typographic points.
        up: the same, upwards.
    """
    ax.figure.canvas.draw()  # without it the limits are not known yet
    pixels = ax.figure.dpi / 72
    lowest = -np.inf
    for name, x, y, color in sorted(points, key=lambda point: point[2]):
        height = ax.transData.transform((ax.get_xlim()[0], y))[1] / pixels  # x may be a word
        lowest = max(height + up, lowest + 14)
        shift = (right, lowest - height)
        ax.annotate(plain(name), (x, y), xytext=shift, textcoords="offset points", va="center", color=color)


def short(value: float) -> str:
    """A number as people write it: whole with thousands separators, else three digits."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
