"""The stored rows are those that scikit-learn draws."""

import numpy as np
import pandas as pd
import pytest

from helpers import config, datasets
from tools.grammar import synthetic

FILE = config.repository_folder() / "data" / "synthetic.csv"


def test_the_stored_rows_are_scikit_learns():
    features, labels = datasets.load_synthetic()
    assert features.shape == (10_000, 12)
    assert labels.shape == (10_000, 5)
    drawn = synthetic.make(500)
    np.testing.assert_array_equal(features[:500], drawn[synthetic.FEATURES])
    np.testing.assert_array_equal(labels[:500], drawn[synthetic.LABELS])


def test_a_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "bundled_folders", lambda: [tmp_path])
    with pytest.raises(FileNotFoundError, match=r"git checkout data/synthetic\.csv"):
        datasets.load_synthetic()
    rows = pd.read_csv(FILE)
    for changed in (rows.head(10), rows.drop(columns="e")):
        changed.to_csv(tmp_path / "synthetic.csv", index=False)
        with pytest.raises(datasets.DataError, match=r"synthetic\.csv: .* rows of .*, not 10,000 of"):
            datasets.load_synthetic()
    rows.loc[7_000, "f3"] += 1
    rows.to_csv(tmp_path / "synthetic.csv", index=False, lineterminator="\n")
    with pytest.raises(datasets.DataError, match="some of its numbers were changed"):
        datasets.load_synthetic()
