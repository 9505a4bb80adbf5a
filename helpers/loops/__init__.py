"""The loop in the open: fit, evaluate, predict, under the one contract `(inputs, labels)` and `model(**inputs)`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
