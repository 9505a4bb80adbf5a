"""Names of the files in a tagger's folder; apart, so that a predictor need not import torch to know them."""

from helpers import config

GRAPH = "model.onnx"
SETTINGS, WEIGHTS, VOCABULARY = config.TAGGER_SETTINGS, config.TAGGER_WEIGHTS, config.TAGGER_VOCABULARY
