"""Pictures of the course: each function takes data and an optional `ax`, draws, and returns the `ax`.

Titles are left to the caller, who knows the finding. Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from helpers.plots.charts import bars, columns, compare, heat_map, histograms, intervals, lines, road, spread
from helpers.plots.comments import distinctive_words, heads, label_counts, lengths, lengths_by_label, share_longer
from helpers.plots.explanations import confusion, learning_curves, precision_recall, reliability, roc, word_weights
from helpers.plots.style import CLEAN, DARK, GREY, PALETTE, label_colors, use_style

__all__ = [
    "CLEAN",
    "DARK",
    "GREY",
    "PALETTE",
    "bars",
    "columns",
    "compare",
    "confusion",
    "distinctive_words",
    "heads",
    "heat_map",
    "histograms",
    "intervals",
    "label_colors",
    "label_counts",
    "learning_curves",
    "lengths",
    "lengths_by_label",
    "lines",
    "precision_recall",
    "reliability",
    "road",
    "roc",
    "share_longer",
    "spread",
    "use_style",
    "word_weights",
]
