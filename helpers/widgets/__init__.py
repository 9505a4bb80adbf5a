"""Pictures that move under the reader's hand: thresholds, and which labels go together.

An explorer is shown by its method `show()`. JupyterLab, Colab and their like get sliders and buttons (ipywidgets, in
the extra `lab`); wherever widgets do not run, a page on GitHub, a book, a notebook that was only executed, the same
output is a picture. Plain functions count and draw (`decisions`, `totals`, `company`); the widgets only call them.
"""

from helpers.widgets.cooccurrence import LabelExplorer, company
from helpers.widgets.decisions import Ranked, curve, decisions, rank, totals
from helpers.widgets.sliders import ThresholdExplorer

__all__ = ["LabelExplorer", "Ranked", "ThresholdExplorer", "company", "curve", "decisions", "rank", "totals"]
