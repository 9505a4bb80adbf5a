"""Models. The networks give logits; none applies a sigmoid or a softmax. `NBSVM` is a scikit-learn classifier."""

from helpers.models.counts import CountMLP, sparse_product
from helpers.models.linear import NBSVM

__all__ = ["NBSVM", "CountMLP", "sparse_product"]
