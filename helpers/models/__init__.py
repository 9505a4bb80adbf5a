"""Models. The networks give logits; none applies a sigmoid or a softmax. `NBSVM` is a scikit-learn classifier."""

from helpers.models.backbones import MLP, EncoderBackbone, PooledSequence, RecurrentSequence, mean_pool
from helpers.models.counts import CountMLP, sparse_product
from helpers.models.heads import MultiHead, head_probabilities, predict_labels
from helpers.models.linear import NBSVM

__all__ = [
    "MLP",
    "NBSVM",
    "CountMLP",
    "EncoderBackbone",
    "MultiHead",
    "PooledSequence",
    "RecurrentSequence",
    "head_probabilities",
    "mean_pool",
    "predict_labels",
    "sparse_product",
]
