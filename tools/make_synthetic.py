"""Write data/synthetic.csv: what scikit-learn draws for the multi-head lesson, kept because drawing it takes a while.

    python tools/make_synthetic.py [--out FILE]

10,000 rows of 12 features (counts) and 5 labels from `make_multilabel_classification`, with the arguments of the
published tutorial. Most of the half minute goes into its rejection sampling.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.datasets import make_multilabel_classification

FILE = Path(__file__).resolve().parent.parent / "data" / "synthetic.csv"
FEATURES, LABELS = [f"f{place}" for place in range(1, 13)], list("abcde")


def table(rows: int = 10_000) -> pd.DataFrame:
    """The first rows of the table; rows are drawn one after the other, so fewer are the beginning of more."""
    features, labels = make_multilabel_classification(
        n_samples=rows, n_features=len(FEATURES), n_classes=len(LABELS), n_labels=2, random_state=1
    )
    return pd.DataFrame(features.astype(int), columns=FEATURES).join(pd.DataFrame(labels, columns=LABELS))


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write")
    path = parser.parse_args().out
    partial = path.with_suffix(".csv.part")
    table().to_csv(partial, index=False, lineterminator="\n")
    partial.replace(path)
    print(f"{path}: written")


if __name__ == "__main__":
    main()
