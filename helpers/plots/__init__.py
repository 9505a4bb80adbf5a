"""Pictures of the course: each function takes data and an optional `ax`, draws, and returns the `ax`.

Titles are left to the caller, who knows the finding. Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from helpers.plots.charts import (
    bars,
    heat_map,
    histograms,
    intervals,
    label_counts,
    lines,
    precision_recall,
    reliability,
    roc,
    spread,
)
from helpers.plots.diagrams import heads
from helpers.plots.style import PALETTE, label_colors, use_style

__all__ = [
    "PALETTE",
    "bars",
    "heads",
    "heat_map",
    "histograms",
    "intervals",
    "label_colors",
    "label_counts",
    "lines",
    "precision_recall",
    "reliability",
    "roc",
    "spread",
    "use_style",
]
