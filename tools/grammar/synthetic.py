"""Draw data/synthetic.csv: what scikit-learn makes for the multi-head lesson, kept because drawing it takes a while.

10,000 rows of 12 features (counts) and 5 labels from `make_multilabel_classification`, with the arguments of the
published tutorial. Most of the half minute goes into its rejection sampling.
"""

import pandas as pd
from sklearn.datasets import make_multilabel_classification

FEATURES, LABELS = [f"f{number}" for number in range(1, 13)], list("abcde")


def make(rows: int = 10_000) -> pd.DataFrame:
    """The first rows of the table; rows are drawn one after the other, so fewer are the beginning of more."""
    features, labels = make_multilabel_classification(
        n_samples=rows, n_features=len(FEATURES), n_classes=len(LABELS), n_labels=2, random_state=1
    )
    return pd.DataFrame(features.astype(int), columns=FEATURES).join(pd.DataFrame(labels, columns=LABELS))
