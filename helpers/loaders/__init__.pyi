from .batches import (
    ArrayRows as ArrayRows,
    Batch as Batch,
    BatchLoader as BatchLoader,
    SparseRows as SparseRows,
    array_loader as array_loader,
    loader_of as loader_of,
    sparse_loader as sparse_loader,
)
from .files import (
    TokenFiles as TokenFiles,
    file_loader as file_loader,
    label_columns as label_columns,
    tokenize_files as tokenize_files,
)
from .row_order import check_batch as check_batch, in_row_order as in_row_order
from .samplers import EpochBatchSampler as EpochBatchSampler, LengthBatchSampler as LengthBatchSampler
from .tokens import (
    TokenRows as TokenRows,
    Tokens as Tokens,
    pool_windows as pool_windows,
    token_loader as token_loader,
    tokenize as tokenize,
)
