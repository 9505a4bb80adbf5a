"""Models. The networks give logits; none applies a sigmoid or a softmax.

`NBSVM` is a scikit-learn classifier, and `CountTagger`, without a network too, gives probabilities.
"""

from helpers.models.backbones import MLP, EncoderBackbone, PooledSequence, RecurrentSequence, mean_pool
from helpers.models.count_taggers import CountTagger, load_counts, save_counts
from helpers.models.counts import CountMLP, sparse_product
from helpers.models.dropout import FastDropout, use_fast_dropout
from helpers.models.encoders import Encoder, load_encoder
from helpers.models.heads import MultiHead, head_probabilities, predict_labels
from helpers.models.linear import NBSVM
from helpers.models.saving import SavedTagger, load_tagger, save_tagger, set_thresholds
from helpers.models.taggers import BertTagger, Pooling, parameter_groups, tagger_of

__all__ = [
    "MLP",
    "NBSVM",
    "BertTagger",
    "CountMLP",
    "CountTagger",
    "Encoder",
    "EncoderBackbone",
    "FastDropout",
    "MultiHead",
    "PooledSequence",
    "Pooling",
    "RecurrentSequence",
    "SavedTagger",
    "head_probabilities",
    "load_counts",
    "load_encoder",
    "load_tagger",
    "mean_pool",
    "parameter_groups",
    "predict_labels",
    "save_counts",
    "save_tagger",
    "set_thresholds",
    "sparse_product",
    "tagger_of",
    "use_fast_dropout",
]
