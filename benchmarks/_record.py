"""The book of figures: append a measurement to results.json, and render RESULTS.md from it."""

import argparse
import datetime
import json
import math
import os
import platform
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
PAGE = FOLDER / "RESULTS.md"
NO_DATA = 3
FIELDS = ("id", "value", "unit", "asked", "command", "data", "hardware", "date")


def hardware() -> str:
    """The machine in words: processor cores, instructions for eight-bit products, memory, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    cpu = Path("/proc/cpuinfo")
    vnni = " with VNNI" if cpu.is_file() and "vnni" in cpu.read_text() else ""
    return (
        f"{cores} CPU cores{vnni}{memory}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def record(
    id: str,
    value: float,
    *,
    unit: str,
    asked: str,
    data: str,
    command: str,
    hardware_used: str | None = None,
    **details: Any,  # noqa: ANN401
) -> None:
    """Append one measurement to results.json and render RESULTS.md anew; print it too.

    Args:
        id: name of the figure, such as `load.rows_per_s`.
        value: the measurement.
        unit: its unit; "" for a pure number.
        asked: what was asked for, in words.
        data: what it was measured on.
        command: the command that repeats it, from the course's folder.
        hardware_used: the machine; None describes this one.
        details: further plain values that belong to the figure (intervals, parts).

    Raises:
        ValueError: the value is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{id}: {value} is no measurement")
    entry = dict(
        zip(
            FIELDS,
            (
                id,
                float(f"{value:.6g}"),
                unit,
                asked,
                command,
                data,
                hardware_used or hardware(),
                str(datetime.date.today()),
            ),
            strict=True,
        )
    )
    if details:
        entry["details"] = details
    _write(RESULTS, json.dumps([*load(), entry], indent=1, ensure_ascii=False) + "\n")
    _write(PAGE, render(load()))
    print(f"{id}: {value:.6g} {unit} (asked: {asked})".replace("  ", " "), flush=True)


def load() -> list[dict[str, Any]]:
    """All measurements, oldest first."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def latest(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest measurement of each id, in the order in which the ids first appeared."""
    return list({entry["id"]: entry for entry in entries}.values())


def render(entries: list[dict[str, Any]]) -> str:
    """RESULTS.md as text: a table with the newest value of each figure, one row each."""
    head = [
        "# Measured",
        "",
        "Written by the benchmarks in this folder (`make bench`), never by hand; the history is in `results.json`.",
        "*Met* compares a value with the number that *asked* begins with, and with an aim; words are not judged.",
        "",
        "| id | value | asked | met | data | repeat with | hardware | date |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| `{e['id']}` | {_number(e['value'])} {e['unit']}".rstrip()
        + _parts(e.get("details", {}))
        + f" | {e['asked']} | {_met(e['value'], e['asked'])} | {e['data']}"
        + f" | `{e['command']}` | {e['hardware']} | {e['date']} |"
        for e in latest(entries)
    ]
    return "\n".join(head + rows) + "\n"


def data_option(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, the folder of the real data, to a benchmark's options; it sets COURSE_DATA for the loaders."""
    parser.add_argument(
        "--data", default=os.environ.get("COURSE_DATA"), help="folder with jigsaw/ (or set COURSE_DATA)"
    )


def use_data(folder: str | None, needed: str = "jigsaw") -> None:
    """Point the loaders to the real data, or leave with exit status NO_DATA and a clear word when there is none."""
    if folder and Path(folder, needed).is_dir():
        os.environ["COURSE_DATA"] = str(Path(folder).resolve())
    elif not (FOLDER.parent / "data" / needed).is_dir():
        print(f"This benchmark needs real data: give a folder that holds {needed}/ with --data or COURSE_DATA.")
        sys.exit(NO_DATA)


def run_figures(figures: dict[str, Callable[[], None]], description: str) -> None:
    """The command line of a benchmark on real data: measure all figures, or those named after `--only`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--only", nargs="+", choices=figures, default=figures, metavar="ID", help=", ".join(figures))
    options = parser.parse_args()
    use_data(options.data)
    for name, measure in figures.items():
        if name in options.only:
            measure()


def _met(value: float, asked: str) -> str:
    number = r"(-?[\d.,]+(?:/\d+)?)"
    match, between, aim = (
        re.match(rf"(>=|<=|<|>) {number}", asked),
        re.match(rf"{number} to {number}", asked),
        re.search(rf"\baim {number}", asked),
    )
    words = []
    if match:
        sign, bound = match[1], _plain(match[2])
        held = {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}
        words.append("yes" if held[sign] else "**no**")
    elif between:
        words.append("yes" if _plain(between[1]) <= value <= _plain(between[2]) else "**no**")
    if aim:
        words.append("aim met" if value >= _plain(aim[1]) else "**aim missed**")
    return ", ".join(words)


def _plain(number: str) -> float:
    return float(Fraction(number.replace(",", "").rstrip(".")))


def _parts(details: dict[str, Any]) -> str:
    shown = [f"{name} {_number(part)}" for name, part in details.items() if isinstance(part, int | float)]
    return f" ({', '.join(shown)})" if shown else ""


def _number(value: float) -> str:
    if value == 0:
        return "0"  # and not "-0", which a rounded difference may be
    if abs(value) < 0.001:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
