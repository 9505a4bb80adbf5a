"""Drawings of networks."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from helpers.arguments import check_count, check_mapping, check_names
from helpers.plots.style import DARK, GREY, PALETTE, new_axes, plain


def heads(
    layers: Sequence[str],
    sizes: Mapping[str, int],
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A network with several heads, left to right: its layers as boxes, each head as a box with a dot for each logit.

    Args:
        layers: words in the boxes of the backbone, from the input on.
        sizes: {head: logits}, first head at the top.
        classes: by head, what its logits stand for; None writes nothing.
        ax: where to draw; None draws on a new figure.

    Raises:
        ValueError: no layer, no head, or other texts than one per logit of a head.

    Examples:
        >>> from helpers import plots
        >>> ax = plots.heads(["12", "32"], {"toxic": 1, "level": 3}, classes={"level": ["none", "some", "much"]})
        >>> [text.get_text() for text in ax.texts if ":" in text.get_text()]
        ['level: none', 'level: some', 'level: much']
    """
    if isinstance(layers, str | bytes) or not isinstance(layers, Sequence) or not layers:
        raise ValueError(f"layers={layers!r:.200}: expected a list of texts, one per layer, at least one")
    sizes = {name: check_count(f"sizes[{name!r}]", size) for name, size in check_mapping("sizes", sizes).items()}
    meanings = {} if classes is None else check_mapping("classes", classes, keys="head")
    for name in meanings:
        if name not in sizes:
            raise ValueError(f"classes name the head {name!r}; the heads are {list(sizes)}")
        check_names(f"classes[{name!r}]", meanings[name], size=sizes[name])
    dots = sum(sizes.values())
    ax = ax or new_axes(9, 0.32 * dots + 0.34 * len(sizes) + 0.6)
    right, top = 1.5 * len(layers) + 0.8, 0.32 * dots + 0.34 * len(sizes)
    for place, words in enumerate(layers):
        _box(ax, 1.5 * place, 0.25 * top, 1.0, 0.5 * top, PALETTE[0])
        ax.annotate(plain(words), (1.5 * place + 0.5, top / 2), ha="center", va="center", color="white", fontsize=10)
        if place:
            _arrow(ax, (1.5 * place - 0.5, top / 2), (1.5 * place, top / 2))
    height = top
    for place, (name, size) in enumerate(sizes.items()):
        color, depth = PALETTE[1 + place % (len(PALETTE) - 1)], 0.32 * size
        height -= depth + 0.34
        _box(ax, right, height, 0.6, depth, color)
        _arrow(ax, (1.5 * len(layers) - 0.5, top / 2), (right, height + depth / 2))
        for logit in range(size):
            y = height + depth - 0.16 - 0.32 * logit
            ax.plot(right + 0.3, y, "o", color="white", markersize=6)
            meaning = meanings.get(name, [""] * size)[logit]
            text = f"{name}: {meaning}" if meaning else (name if logit == 0 else "")
            ax.annotate(plain(text), (right + 0.75, y), va="center", color=DARK, fontsize=10)
    ax.set(xlim=(-0.1, right + 3.2), ylim=(-0.1, top + 0.1))
    ax.axis("off")
    return ax


def _box(ax: Axes, x: float, y: float, width: float, height: float, color: str) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", color=color))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 1.2}, zorder=0)
