"""From a trained tagger to one at work: smaller, faster, behind a function, a file or a page.

Names are imported when they are asked for, so that a server that only predicts does without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.export.files import FileSummary, iter_predict_file, predict_file
    from helpers.export.onnx import to_onnx
    from helpers.export.page import demo
    from helpers.export.predictor import Predictor
    from helpers.export.pruning import head_importance, keep_layers, prune_heads, prune_weights, share_of_zeros

__all__ = [
    "FileSummary",
    "Predictor",
    "demo",
    "head_importance",
    "iter_predict_file",
    "keep_layers",
    "predict_file",
    "prune_heads",
    "prune_weights",
    "share_of_zeros",
    "to_onnx",
]

_MODULE_OF = {"Predictor": "predictor", "demo": "page", "to_onnx": "onnx"}
_MODULE_OF |= dict.fromkeys(("FileSummary", "iter_predict_file", "predict_file"), "files")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, 'pruning')}"), name)
