"""Interactive figures: move the threshold of each label, and see which labels co-occur.

An explorer is shown by its method `show()`. JupyterLab, Colab and their like get sliders and buttons (ipywidgets, in
the extra `lab`); wherever widgets do not run, a page on GitHub, a book, a notebook that was only executed, the same
output is a picture. Plain functions count (`decisions`, `cooccurrence`); the widgets only call them.
"""

from helpers.widgets.label_buttons import LabelExplorer, cooccurrence
from helpers.widgets.threshold_sliders import ThresholdExplorer, decisions

__all__ = ["LabelExplorer", "ThresholdExplorer", "cooccurrence", "decisions"]
