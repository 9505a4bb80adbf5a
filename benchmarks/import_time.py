"""What `import helpers` costs over an empty interpreter.

python benchmarks/import_time.py
"""

import argparse
import statistics
import subprocess
import sys
import time

from _record import record


def milliseconds(code: str) -> float:
    """Wall-clock time of a fresh interpreter that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Measure in alternation and record the difference of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=31)
    options = parser.parse_args()
    empty, loaded = [], []
    for _ in range(options.runs):
        empty.append(milliseconds("pass"))
        loaded.append(milliseconds("import helpers"))
    value = statistics.median(loaded) - statistics.median(empty)
    about = {"data": "none", "command": "python benchmarks/import_time.py"}
    record("import.ms", max(value, 0.0), unit="ms", asked="< 50", **about)


if __name__ == "__main__":
    main()
