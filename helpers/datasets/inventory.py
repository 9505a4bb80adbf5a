"""Which data sets are at hand, before anything is loaded."""

from pathlib import Path

import pandas as pd

from helpers import config
from helpers.datasets.reading import find_file

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


def bundled_file(name: str) -> Path:
    """Where a file that comes with the course lies, in its folder or in the installed package.

    `load_comments` knows `comments.csv` by the name `sample`; the others are loaded as a file of your own would be.

    Args:
        name: such as `tickets.csv`.

    Raises:
        FileNotFoundError: no such file comes with the course; the message lists where it was looked for.

    Examples:
        >>> from helpers import datasets
        >>> tickets = datasets.load_comments(
        ...     datasets.bundled_file("tickets.csv"), text="message", id="ticket", allow_unknown=True
        ... )
        >>> tickets.attrs["source"], len(datasets.label_names(tickets))
        ('tickets.csv: 3,000 rows', 23)
    """
    return find_file(config.bundled_folders(), [name], f"If it is part of the course: git checkout data/{name}")
