"""Speed of the door: loading with full validation, splitting with stratification and with near-duplicate groups.

    python benchmarks/loading_and_splitting.py --data FOLDER

The real rows are repeated up to 160,000, with new ids; medians of five runs, alternating.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _record import data_option, record, use_data

from helpers import datasets

ROWS = 160_000
COMMAND = "python benchmarks/loading_and_splitting.py --data FOLDER"


def repeated_rows(folder: Path) -> Path:
    """Write the real rows, repeated to 160,000, as a file in Kaggle's form."""
    frame = datasets.load_comments("jigsaw")
    whole = pd.concat([frame] * -(-ROWS // len(frame)), ignore_index=True).iloc[:ROWS]
    path = folder / "train.csv"
    whole.assign(id=[f"{i:016x}" for i in range(ROWS)]).to_csv(path, index=False)
    return path


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    use_data(options.data)
    with tempfile.TemporaryDirectory() as folder:
        path = repeated_rows(Path(folder))
        frame = datasets.load_comments(path)
        calls = {
            "load": lambda: datasets.load_comments(path),
            "split": lambda: datasets.split(frame),
            "group": lambda: datasets.split(frame, groups="near-duplicates"),
        }
        times = {name: [] for name in calls}
        for _ in range(options.runs):
            for name, call in calls.items():
                times[name].append(seconds(call))
    middle = {name: statistics.median(values) for name, values in times.items()}
    assert np.isfinite(list(middle.values())).all()
    distinct = frame["comment_text"].nunique()
    about = {"data": f"{ROWS:,} rows: the real Jigsaw rows repeated ({distinct:,} distinct texts)", "command": COMMAND}
    record("load.rows_per_s", ROWS / middle["load"], unit="rows/s", asked=">= 50,000", **about)
    record("split.seconds_160k", middle["split"], unit="s", asked="< 5 without grouping", **about)
    record("split.grouped_seconds_160k", middle["group"], unit="s", asked="< 60 with grouping", **about)


if __name__ == "__main__":
    main()
