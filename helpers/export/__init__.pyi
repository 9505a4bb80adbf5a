from . import compression as compression
from .demo_page import demo as demo
from .onnx import to_onnx as to_onnx
from .predictor import Predictor as Predictor
from .scoring import predict_file as predict_file
