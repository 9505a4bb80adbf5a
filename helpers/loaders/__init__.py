"""Batches for the loop: `(inputs, labels)`, `inputs` a dict of tensors for `model(**inputs)`, `labels` float (B, L)."""

from helpers.loaders.files import ArrowRows, TokenFiles, file_loader, open_tokens
from helpers.loaders.making import label_columns, tokenize_files
from helpers.loaders.ordering import check_batch, in_row_order
from helpers.loaders.rows import ArrayRows, Batch, BatchLoader, SparseRows, array_loader, loader_of, sparse_loader
from helpers.loaders.sampling import EpochBatchSampler, LengthBatchSampler
from helpers.loaders.streams import StreamLoader, TokenStream
from helpers.loaders.tokens import TokenRows, Tokens, pool_windows, token_loader, tokenize

__all__ = [
    "ArrayRows",
    "ArrowRows",
    "Batch",
    "BatchLoader",
    "EpochBatchSampler",
    "LengthBatchSampler",
    "SparseRows",
    "StreamLoader",
    "TokenFiles",
    "TokenRows",
    "TokenStream",
    "Tokens",
    "array_loader",
    "check_batch",
    "file_loader",
    "in_row_order",
    "label_columns",
    "loader_of",
    "open_tokens",
    "pool_windows",
    "sparse_loader",
    "token_loader",
    "tokenize",
    "tokenize_files",
]
