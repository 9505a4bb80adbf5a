"""From a file to DataFrames that can be trusted: find, download, load, validate, split, balance.

A table of comments that `load_*` gives has the columns `id`, `comment_text`, then one column per label: int8 with 0 and
1, or float32 where some labels are unknown (NaN). It carries the names of its text and label columns in `attrs`;
`as_comments` makes any other table one of comments.
"""

from helpers.datasets.labels import as_comments, as_html, label_matrix, label_names, text_column
from helpers.datasets.loading import JIGSAW_LABELS, JIGSAW_ROWS, at_most, load_comments, load_synthetic, load_templates
from helpers.datasets.near_duplicates import duplicate_groups, near_duplicate_groups, near_duplicate_pairs
from helpers.datasets.reading import DataError
from helpers.datasets.registry import DownloadError, available, bundled_file, download
from helpers.datasets.reviews import load_reviews
from helpers.datasets.splitting import Split, balance, share_table, split

__all__ = [
    "JIGSAW_LABELS",
    "JIGSAW_ROWS",
    "DataError",
    "DownloadError",
    "Split",
    "as_comments",
    "as_html",
    "at_most",
    "available",
    "balance",
    "bundled_file",
    "download",
    "duplicate_groups",
    "label_matrix",
    "label_names",
    "load_comments",
    "load_reviews",
    "load_synthetic",
    "load_templates",
    "near_duplicate_groups",
    "near_duplicate_pairs",
    "share_table",
    "split",
    "text_column",
]
