from .checkpoints import CheckpointError as CheckpointError, load_best as load_best
from .fine_tuning import fine_tune as fine_tune
from .kept import KeptTagger as KeptTagger, kept_tagger as kept_tagger
from .prediction import (
    evaluate as evaluate,
    features as features,
    logits as logits,
    predict as predict,
    predict_proba as predict_proba,
)
from .schedulers import linear_warmup as linear_warmup
from .training import LossError as LossError, fit as fit
