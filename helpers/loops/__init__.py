"""The loop in the open: fit, evaluate, predict, under the one contract `(inputs, labels)` and `model(**inputs)`."""

from helpers.loops.checkpoints import CheckpointError, load_best
from helpers.loops.evaluation import evaluate, features, logits, predict, predict_labels, predict_share
from helpers.loops.fingerprints import fingerprint, refuse_other
from helpers.loops.fitting import Fit, LossError, fit
from helpers.loops.schedules import linear_warmup
from helpers.loops.tuning import fine_tune, fit_head

__all__ = [
    "CheckpointError",
    "Fit",
    "LossError",
    "evaluate",
    "features",
    "fine_tune",
    "fingerprint",
    "fit",
    "fit_head",
    "linear_warmup",
    "load_best",
    "logits",
    "predict",
    "predict_labels",
    "predict_share",
    "refuse_other",
]
