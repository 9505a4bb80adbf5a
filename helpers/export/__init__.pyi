from .files import FileSummary as FileSummary, iter_predict_file as iter_predict_file, predict_file as predict_file
from .onnx import to_onnx as to_onnx
from .page import demo as demo
from .predictor import Predictor as Predictor
from .pruning import (
    head_importance as head_importance,
    keep_layers as keep_layers,
    prune_heads as prune_heads,
    prune_weights as prune_weights,
    share_of_zeros as share_of_zeros,
)
