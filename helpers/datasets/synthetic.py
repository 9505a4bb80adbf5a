"""Load the synthetic rows of the multi-head lesson: numbers, no text."""

import hashlib

import numpy as np

from helpers import config
from helpers.datasets.reading import DataError, find_file, parse_csv, read_file

N_FEATURES, LABELS = 12, ("a", "b", "c", "d", "e")
SHA256 = "4fe27e79e33ed66b1b2a2e67c6a7efb03dfc8cf8c385d93229b057aa69124ee0"


def load_synthetic() -> tuple[np.ndarray, np.ndarray]:
    """Ten thousand rows with five labels that do not exclude each other, drawn by scikit-learn.

    They are `make_multilabel_classification(n_samples=10_000, n_features=12, n_classes=5, n_labels=2, random_state=1)`,
    stored in data/synthetic.csv because that call takes half a minute.

    Returns:
        Features (10000, 12) float64, counts; labels (10000, 5) int64 of 0 and 1.

    Raises:
        FileNotFoundError: the course's `data` folder is not there.
        DataError: the file is not what it was.

    Examples:
        >>> from helpers import datasets
        >>> features, labels = datasets.load_synthetic()
        >>> features.shape, labels.shape, labels[0].tolist()
        ((10000, 12), (10000, 5), [1, 1, 0, 1, 1])
    """
    advice = "It is part of the course's repository: git checkout data/synthetic.csv"
    raw = read_file(find_file(config.bundled_folders(), ["synthetic.csv"], advice))
    frame = parse_csv(raw, text_columns=[])
    expected = [*(f"f{place}" for place in range(1, N_FEATURES + 1)), *LABELS]
    if list(frame.columns) != expected or len(frame) != 10_000:
        raise DataError(f"{raw.name}: {len(frame):,} rows of {list(frame.columns)}, not 10,000 of {expected}. {advice}")
    if hashlib.sha256(raw.content.replace(b"\r\n", b"\n")).hexdigest() != SHA256:
        raise DataError(f"{raw.name}: some of its numbers were changed. {advice}")
    return frame.iloc[:, :N_FEATURES].to_numpy(dtype=np.float64), frame[list(LABELS)].to_numpy(dtype=np.int64)
