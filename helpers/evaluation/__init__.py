"""What the scores on the valid or test rows allow one to say, built on `helpers.metrics`.

Everything takes `targets` (N, L), 0 or 1, NaN where a label is unknown, and `probabilities` (N, L) in [0, 1], as the
metrics do. A score from a few thousand rows is itself uncertain: `bootstrap` says by how much, and whether one model is
better than another or was only luckier with these rows. `tune_thresholds` says from which probability on each label is
given, and what that is worth on rows that did not choose it. `reliability`, `calibration_error` and `brier` ask whether
the probabilities are calibrated, and `fit_calibration` makes them so. `bias_report` asks whether a group's harmless
rows are judged like other people's; it takes one label.
"""

from helpers.evaluation.bias import bias_report, bias_score, mentions
from helpers.evaluation.calibration import brier, calibration_error, fit_calibration, reliability
from helpers.evaluation.intervals import bootstrap
from helpers.evaluation.thresholds import tune_thresholds

__all__ = [
    "bias_report",
    "bias_score",
    "bootstrap",
    "brier",
    "calibration_error",
    "fit_calibration",
    "mentions",
    "reliability",
    "tune_thresholds",
]
