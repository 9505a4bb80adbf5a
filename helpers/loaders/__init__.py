"""Batches for the loop: `(inputs, labels)`, `inputs` a dict of tensors for `model(**inputs)`, `labels` float (B, L)."""

from helpers.loaders.files import TokenFiles, file_loader, label_columns, tokenize_files
from helpers.loaders.ordering import check_batch, in_row_order
from helpers.loaders.rows import ArrayRows, Batch, BatchLoader, SparseRows, array_loader, loader_of, sparse_loader
from helpers.loaders.sampling import EpochBatchSampler, LengthBatchSampler
from helpers.loaders.tokens import TokenRows, Tokens, pool_windows, token_loader, tokenize

__all__ = [
    "ArrayRows",
    "Batch",
    "BatchLoader",
    "EpochBatchSampler",
    "LengthBatchSampler",
    "SparseRows",
    "TokenFiles",
    "TokenRows",
    "Tokens",
    "array_loader",
    "check_batch",
    "file_loader",
    "in_row_order",
    "label_columns",
    "loader_of",
    "pool_windows",
    "sparse_loader",
    "token_loader",
    "tokenize",
    "tokenize_files",
]
