"""Batches for the loop: `(inputs, labels)`, `inputs` a dict of tensors for `model(**inputs)`, `labels` float (B, L)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
