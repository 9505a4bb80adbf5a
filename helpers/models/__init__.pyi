from .backbones import (
    MLP as MLP,
    EncoderBackbone as EncoderBackbone,
    PooledSequence as PooledSequence,
    RecurrentSequence as RecurrentSequence,
    mean_pool as mean_pool,
)
from .bert import (
    BertTagger as BertTagger,
    Pooling as Pooling,
    parameter_groups as parameter_groups,
    tagger_of as tagger_of,
)
from .encoders import (
    Encoder as Encoder,
    FastDropout as FastDropout,
    load_encoder as load_encoder,
    use_fast_dropout as use_fast_dropout,
)
from .multi_head import (
    MultiHead as MultiHead,
    head_probabilities as head_probabilities,
    predict_labels as predict_labels,
)
from .nbsvm import NBSVM as NBSVM
from .persistence import (
    SavedTagger as SavedTagger,
    load_tagger as load_tagger,
    save_tagger as save_tagger,
    set_thresholds as set_thresholds,
)
from .sparse_mlp import CountMLP as CountMLP, sparse_product as sparse_product
from .tfidf import CountTagger as CountTagger, load_counts as load_counts, save_counts as save_counts
