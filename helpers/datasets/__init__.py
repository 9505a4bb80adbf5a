"""From a file to DataFrames that can be trusted: find, download, load, validate, split, balance.

A table of comments has the columns `id`, `comment_text`, then one column a label: int8 with 0 and 1, or float32 where
some labels are unknown (NaN). It is validated once, when it is loaded; every later function trusts it.
"""

from helpers.datasets.comments import JIGSAW_LABELS, JIGSAW_ROWS, at_most, load_comments
from helpers.datasets.downloading import DownloadError, download
from helpers.datasets.duplicates import duplicate_groups, near_duplicate_groups, near_duplicate_pairs
from helpers.datasets.inventory import available, bundled_file
from helpers.datasets.reading import DataError
from helpers.datasets.reviews import load_reviews
from helpers.datasets.splitting import Split, balance, share_table, split
from helpers.datasets.synthetic import load_synthetic
from helpers.datasets.templates import load_templates
from helpers.datasets.validation import label_names

__all__ = [
    "JIGSAW_LABELS",
    "JIGSAW_ROWS",
    "DataError",
    "DownloadError",
    "Split",
    "at_most",
    "available",
    "balance",
    "bundled_file",
    "download",
    "duplicate_groups",
    "label_names",
    "load_comments",
    "load_reviews",
    "load_synthetic",
    "load_templates",
    "near_duplicate_groups",
    "near_duplicate_pairs",
    "share_table",
    "split",
]
