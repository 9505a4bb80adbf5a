from .compression import (
    head_importance as head_importance,
    keep_layers as keep_layers,
    prune_heads as prune_heads,
    prune_weights as prune_weights,
)
from .demo_page import demo as demo
from .onnx import to_onnx as to_onnx
from .predictor import Predictor as Predictor
from .scoring import predict_file as predict_file
