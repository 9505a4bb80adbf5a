"""The loop in the open: fit, evaluate, predict, under the one contract `(inputs, labels)` and `model(**inputs)`."""

from helpers.loops.checkpoints import CheckpointError, load_best
from helpers.loops.evaluation import evaluate, predict, predict_labels
from helpers.loops.fitting import Fit, LossError, fit

__all__ = ["CheckpointError", "Fit", "LossError", "evaluate", "fit", "load_best", "predict", "predict_labels"]
