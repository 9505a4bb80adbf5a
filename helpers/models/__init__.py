"""Models. The networks give logits; none applies a sigmoid or a softmax.

`NBSVM` is a scikit-learn classifier, and `CountTagger`, without a network too, gives probabilities.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
