"""Notebook 10's two roads on its tickets: mean AUC over 23 labels, on messages that nothing has seen.

    python benchmarks/tickets.py [--splits 3]

- `tickets.auc`: mean AUC of the fine-tuned packaged encoder on the test rows, with its interval; beside it that of the
  counts, and the paired difference. The code is the notebook's own: its cells are read from the file and run. With
  more `--splits`, other draws of train, valid and test rows are scored too, to see how much of it is the draw.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import torch
from _record import record

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "10_your_own_data.ipynb"
COMMAND = "python benchmarks/tickets.py"
BEGIN = (
    "setup",
    "profile",
    "mine",
    "rows",
    "lengths",
    "road-in",
    "road-judge",
    "road-counts",
    "road-bert-a",
    "road-bert-b",
)
COUNTS, BERT = "counts-run", "bert-run"
SEED = "seed=0"


def sources() -> dict[str, str]:
    """The notebook's code by cell id.

    Raises:
        KeyError: a cell of the road has another id.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}
    return {name: cells[name] for name in (*BEGIN, COUNTS, BERT, "compare")}


def walk(split: int = 0) -> tuple[pd.DataFrame, dict[str, float]]:
    """Run the notebook's cells on one draw of the rows.

    Args:
        split: seed of the draw; 0 is the notebook's.

    Returns:
        The rows "counts", "BERT" and "difference" with `value`, `low` and `high` of the mean AUC; seconds by road.
    """
    cells, space, seconds = sources(), {"display": lambda *_: None}, {}
    if cells["road-in"].count(SEED) != 1:
        raise ValueError(f"the notebook's split no longer says {SEED!r}")
    cells["road-in"] = cells["road-in"].replace(SEED, f"seed={split}")
    for name, source in cells.items():
        begun = time.perf_counter()
        exec(compile(source, f"<{NOTEBOOK.name}: {name}>", "exec"), space)
        seconds[name] = time.perf_counter() - begun
    space["folder"].cleanup()
    reports = {"counts": "counts_report", "BERT": "bert_report", "difference": "gain"}
    table = {name: space[report].loc["mean", ["value", "low", "high"]] for name, report in reports.items()}
    return pd.DataFrame(table).T.astype(float), {"counts": seconds[COUNTS], "BERT": seconds[BERT]}


def measure(splits: int) -> None:
    """Walk both roads, and record what they reach."""
    drawn = [walk(split) for split in range(splits)]
    table, seconds = drawn[0]
    details: dict[str, Any] = {}
    for name, row in table.iterrows():
        details |= {f"{str(name).lower()}_{column}": round(row[column], 4) for column in table}
    for split, (other, _) in enumerate(drawn[1:], start=1):
        details |= {f"split_{split}_{str(name).lower()}": round(value, 4) for name, value in other["value"].items()}
    details |= {f"{name.lower()}_s": round(took) for name, took in seconds.items()}
    record(
        "tickets.auc",
        table.loc["BERT", "value"],
        unit="",
        asked="counts >= 0.95; BERT above it",
        data="data/tickets.csv, a quarter of the rows, unseen; 23 labels; counts against the packaged encoder",
        command=COMMAND if splits == 1 else f"{COMMAND} --splits {splits}",
        threads=torch.get_num_threads(),
        **details,
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=1, help="draws of the rows, the notebook's first (1)")
    measure(parser.parse_args().splits)


if __name__ == "__main__":
    main()
