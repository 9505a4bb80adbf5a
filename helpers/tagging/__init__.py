"""PyTorch Lightning: the course's data, models, losses and schedule in another frame."""

from helpers.tagging.callbacks import EpochLines, quiet
from helpers.tagging.datamodule import CommentDataModule, predict_proba
from helpers.tagging.module import CommentTagger

__all__ = ["CommentDataModule", "CommentTagger", "EpochLines", "predict_proba", "quiet"]
