"""Load the synthetic rows of the multi-head lesson: numbers, no text."""

import numpy as np

from helpers import config
from helpers.datasets.reading import DataError, find_file, parse_csv, read_file

N_FEATURES, LABELS = 12, ("a", "b", "c", "d", "e")


def load_synthetic() -> tuple[np.ndarray, np.ndarray]:
    """Ten thousand rows with five labels that do not exclude each other, drawn by scikit-learn.

    They are `make_multilabel_classification(n_samples=10_000, n_features=12, n_classes=5, n_labels=2, random_state=1)`,
    stored in data/synthetic.csv because that call takes half a minute.

    Returns:
        Features (10000, 12) float64, counts; labels (10000, 5) int64 of 0 and 1.

    Raises:
        FileNotFoundError: the course's `data` folder is not there.
        DataError: the file is not what it was.
    """
    advice = "It is part of the course's repository: git checkout data/synthetic.csv"
    raw = read_file(find_file(config.bundled_folders(), ["synthetic.csv"], advice))
    frame = parse_csv(raw, text_columns=[])
    expected = [*(f"f{place}" for place in range(1, N_FEATURES + 1)), *LABELS]
    if list(frame.columns) != expected or len(frame) != 10_000:
        raise DataError(f"{raw.name}: {len(frame):,} rows of {list(frame.columns)}, not 10,000 of {expected}. {advice}")
    return frame.iloc[:, :N_FEATURES].to_numpy(dtype=np.float64), frame[list(LABELS)].to_numpy(dtype=np.int64)
