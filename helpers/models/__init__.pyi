from . import backbones as backbones
from .bert import BertTagger as BertTagger, parameter_groups as parameter_groups, tagger_of as tagger_of
from .encoders import load_encoder as load_encoder
from .linear import NBSVM as NBSVM, CountTagger as CountTagger
from .multi_head import MultiHead as MultiHead, predict_labels as predict_labels
from .persistence import load_tagger as load_tagger, save_tagger as save_tagger, set_thresholds as set_thresholds
from .sparse_mlp import CountMLP as CountMLP
