"""Which data sets are at hand, before anything is loaded."""

import pandas as pd

from helpers import config

_FILES = {
    "bundled comments": ("", ["comments.csv"], "git checkout data/comments.csv"),
    "bundled reviews": ("", ["reviews.csv"], "git checkout data/reviews.csv"),
    "Jigsaw comments": (
        "jigsaw",
        ["train.csv", "train.csv.zip", "jigsaw-toxic-comment-classification-challenge.zip"],
        "python -m helpers download jigsaw",
    ),
    "IMDB reviews": ("imdb", ["imdb.csv", "imdb.csv.zip"], "python -m helpers download imdb"),
}


def available() -> pd.DataFrame:
    """What can be loaded here.

    Returns:
        One row a data set: `here` (bool), `file` (its name, or ""), and `to get it` (a command, "" where it is here).

    Examples:
        >>> from helpers import datasets
        >>> table = datasets.available()
        >>> list(table.columns)
        ['here', 'file', 'to get it']
        >>> bool(table.loc["bundled comments", "here"])
        True
    """
    rows = []
    for title, (subfolder, names, command) in _FILES.items():
        folders = config.data_folders() if subfolder else config.bundled_folders()
        found = [name for folder in folders for name in names if (folder / subfolder / name).is_file()]
        rows.append((title, bool(found), found[0] if found else "", "" if found else command))
    return pd.DataFrame(rows, columns=["data set", "here", "file", "to get it"]).set_index("data set")
