from .checkpoints import CheckpointError as CheckpointError, load_best as load_best
from .fine_tuning import fine_tune as fine_tune, fit_head as fit_head
from .fingerprints import fingerprint as fingerprint, refuse_other as refuse_other
from .prediction import (
    evaluate as evaluate,
    features as features,
    logits as logits,
    predict as predict,
    predict_proba as predict_proba,
    predict_proba_share as predict_proba_share,
)
from .schedulers import linear_warmup as linear_warmup
from .training import Fit as Fit, LossError as LossError, fit as fit
