"""From a file to DataFrames that can be trusted: find, download, load, validate, split, downsample_negatives.

A table of comments that `load_*` gives has the columns `id`, `comment_text`, then one column per label: int8 with 0 and
1, or float32 where some labels are unknown (NaN). It carries the names of its text and label columns in `attrs`;
`as_comments` makes any other table one of comments.
"""

from helpers.datasets.labels import as_comments, as_html, label_matrix, label_names, text_column
from helpers.datasets.loading import (
    JIGSAW_LABELS,
    JIGSAW_ROWS,
    load_comments,
    load_synthetic,
    load_templates,
    subsample,
)
from helpers.datasets.near_duplicates import duplicate_groups, near_duplicate_groups, near_duplicate_pairs
from helpers.datasets.reading import DataError
from helpers.datasets.registry import DownloadError, bundled_file, download, list_datasets
from helpers.datasets.reviews import load_reviews
from helpers.datasets.splitting import Split, downsample_negatives, label_distribution, split

__all__ = [
    "JIGSAW_LABELS",
    "JIGSAW_ROWS",
    "DataError",
    "DownloadError",
    "Split",
    "as_comments",
    "as_html",
    "bundled_file",
    "download",
    "downsample_negatives",
    "duplicate_groups",
    "label_distribution",
    "label_matrix",
    "label_names",
    "list_datasets",
    "load_comments",
    "load_reviews",
    "load_synthetic",
    "load_templates",
    "near_duplicate_groups",
    "near_duplicate_pairs",
    "split",
    "subsample",
    "text_column",
]
