"""Write one of the bundled data sets from its grammar: the same bytes on every run and machine.

python tools/make_sample.py comments [--out data/comments.csv]
python tools/make_sample.py reviews [--out data/reviews.csv]
python tools/make_sample.py templates [--out data/identity_templates.csv]
python tools/make_sample.py tickets [--out data/tickets.csv]
python tools/make_sample.py synthetic [--out data/synthetic.csv]
"""

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    "comments": "comments.csv",
    "reviews": "reviews.csv",
    "templates": "identity_templates.csv",
    "tickets": "tickets.csv",
    "synthetic": "synthetic.csv",
}
sys.path.insert(0, str(ROOT))  # `tools` is a folder of programs, not an installed package


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with Unix line ends, to a temporary name first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            table.to_csv(stream, index=False, lineterminator="\n")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main() -> None:
    """Read the command line, make the table, write it, say so."""
    parser = argparse.ArgumentParser(description="Write a bundled data set from its grammar.")
    parser.add_argument("which", choices=tuple(FILES))
    parser.add_argument("--out", type=Path, help="the CSV to write (default: the bundled one in data/)")
    arguments = parser.parse_args()
    out = arguments.out or ROOT / "data" / FILES[arguments.which]
    table = importlib.import_module(f"tools.grammar.{arguments.which}").make()
    write(table, out)
    print(f"{out}: {len(table):,} rows")


if __name__ == "__main__":
    main()
