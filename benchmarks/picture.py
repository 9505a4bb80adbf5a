"""Draw the README's picture, benchmarks/results.svg, from the newest figures in results.json.

python benchmarks/picture.py
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from helpers import plots

FOLDER = Path(__file__).resolve().parent
SCORES = {
    "A small network over word counts (02)": "jigsaw.mlp_auc",
    "Logistic regression, words and letters (10)": "jigsaw.bow_auc",
    "A small BERT, fine-tuned (04)": "jigsaw.bert_auc",
    "The last two, averaged (07)": "jigsaw.blend_auc",
}
SPEEDS = {
    "02: a network over counts, against dense rows": "mlp.course_vs_tutorial",
    "03: five heads, loaded and trained": "multihead.training",
    "04: length buckets, against padding to 512": "bert.bucket_vs_512",
    "05: scoring in batches, against row by row": "lightning.evaluate",
    "07: a thousand bootstraps, against a loop": "eval.bootstrap_ratio",
    "08: eight bits served, against a pipeline": "export.predictor_int8_vs_pipeline",
}


def newest(path: Path = FOLDER / "results.json") -> dict[str, dict[str, Any]]:
    """The last record of each figure, by id."""
    return {entry["id"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}


def scores(figures: dict[str, dict[str, Any]], ax: Axes) -> None:
    """Mean AUC with its interval, a row a model."""
    for index, key in enumerate(SCORES.values()):
        value, details = figures[key]["value"], figures[key]["details"]
        ax.plot([details["low"], details["high"]], [index, index], color=plots.PALETTE[0], linewidth=3, alpha=0.4)
        ax.plot(value, index, "o", color=plots.PALETTE[0], markersize=9)
        ax.annotate(f"{value:.4f}", (value, index), xytext=(0, 9), textcoords="offset points", ha="center")
    ax.set_yticks(range(len(SCORES)), SCORES)
    ax.set_ylim(len(SCORES) - 0.4, -0.7)
    ax.set_xlabel("mean AUC over six labels, with its 95 % interval")
    ax.set_title("How good? On 5,000 unseen real comments")


def speeds(figures: dict[str, dict[str, Any]], ax: Axes) -> None:
    """How many times as fast, a bar a lesson, on a log axis."""
    values = [figures[key]["value"] for key in SPEEDS.values()]
    bars = ax.barh(list(SPEEDS), values, color=plots.PALETTE[2], height=0.6)
    ax.bar_label(bars, [f" {value:.1f} x" if value < 10 else f" {value:.0f} x" for value in values])
    ax.set_xscale("log")
    ax.set_xlim(1, 500)
    ax.set_xticks([1, 10, 100], ["as fast", "10 x", "100 x"])
    ax.minorticks_off()
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_title("How fast? Two CPU cores, by turns")


def description(figures: dict[str, dict[str, Any]]) -> str:
    """What is drawn, in words: letters are drawn as outlines, so that every machine shows the same picture."""
    return "; ".join(f"{key} {figures[key]['value']}" for key in (*SCORES.values(), *SPEEDS.values()))


def main() -> None:
    """Write the picture."""
    mpl.use("svg")
    plots.use_style()
    plt.rcParams.update({"svg.hashsalt": "results", "font.size": 11})
    figures = newest()
    figure, axes = plt.subplots(1, 2, figsize=(15, 3.7), width_ratios=[1.15, 1])
    scores(figures, axes[0])
    speeds(figures, axes[1])
    about = {"Date": None, "Creator": None, "Description": description(figures)}
    figure.savefig(FOLDER / "results.svg", metadata=about)


if __name__ == "__main__":
    main()
