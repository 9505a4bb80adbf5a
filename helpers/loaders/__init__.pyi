from .batches import array_loader as array_loader, loader_of as loader_of, sparse_loader as sparse_loader
from .files import file_loader as file_loader, tokenize_files as tokenize_files
from .row_order import Batch as Batch, LengthBatchSampler as LengthBatchSampler
from .tokens import token_loader as token_loader, tokenize as tokenize
