"""Batches for the loop: `(inputs, labels)`, `inputs` a dict of tensors for `model(**inputs)`, `labels` float (B, L)."""

from helpers.loaders.rows import ArrayRows, Batch, SparseRows, array_loader, sparse_loader
from helpers.loaders.sampling import EpochBatchSampler, LengthBatchSampler
from helpers.loaders.tokens import TokenRows, Tokens, pool_windows, token_loader, tokenize

__all__ = [
    "ArrayRows",
    "Batch",
    "EpochBatchSampler",
    "LengthBatchSampler",
    "SparseRows",
    "TokenRows",
    "Tokens",
    "array_loader",
    "pool_windows",
    "sparse_loader",
    "token_loader",
    "tokenize",
]
