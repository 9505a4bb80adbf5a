"""The stored rows are those that scikit-learn draws."""

import hashlib

import numpy as np
import pandas as pd

from helpers import datasets
from tools.grammar import synthetic

SHA256 = "4fe27e79e33ed66b1b2a2e67c6a7efb03dfc8cf8c385d93229b057aa69124ee0"


def test_the_stored_rows_are_scikit_learns():
    path = datasets.bundled_file("synthetic.csv")
    rows = pd.read_csv(path)
    assert rows.shape == (10_000, 12 + 5)
    assert list(rows.columns) == [*synthetic.FEATURES, *synthetic.LABELS]
    np.testing.assert_array_equal(rows[:500], synthetic.make(500))
    assert hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest() == SHA256, "some numbers were changed"
