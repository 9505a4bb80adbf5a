"""Parts for multi-label text classification, from the course From Counts to BERT.

Import the module that you need, for example `from helpers import datasets, plots`. Importing the package alone loads
none of them, so it costs nothing.
"""
