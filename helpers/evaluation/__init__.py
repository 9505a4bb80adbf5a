"""What the scores on the valid or test rows allow one to say, built on `helpers.metrics`.

Everything takes `targets` (N, L), 0 or 1, NaN where a label is unknown, and `probabilities` (N, L) in [0, 1], as the
metrics do. A score from a few thousand rows is itself uncertain: `bootstrap` says by how much, and whether one model is
better than another or was only luckier with these rows. `reliability` and `calibration_error` ask whether the
probabilities can be taken at their word.
"""

from helpers.evaluation.calibration import calibration_error, reliability
from helpers.evaluation.intervals import bootstrap, resample_weights

__all__ = ["bootstrap", "calibration_error", "reliability", "resample_weights"]
