"""From a file to DataFrames that can be trusted: find, download, load, validate, split, downsample_negatives.

A table of comments that `load_*` gives has the columns `id`, `comment_text`, then one column per label: int8 with 0 and
1, or float32 where some labels are unknown (NaN). It carries the names of its text and label columns in `attrs`;
`as_comments` makes any other table one of comments.
"""

from helpers.datasets.labels import as_comments, as_html, label_names
from helpers.datasets.loading import load_comments, load_reviews, load_templates
from helpers.datasets.near_duplicates import near_duplicate_groups
from helpers.datasets.reading import DataError
from helpers.datasets.registry import bundled_file, download, list_datasets
from helpers.datasets.splitting import downsample_negatives, label_distribution, split, subsample

__all__ = [
    "DataError",
    "as_comments",
    "as_html",
    "bundled_file",
    "download",
    "downsample_negatives",
    "label_distribution",
    "label_names",
    "list_datasets",
    "load_comments",
    "load_reviews",
    "load_templates",
    "near_duplicate_groups",
    "split",
    "subsample",
]
