"""PyTorch Lightning: the course's data, models, losses and schedule in another frame."""

from helpers.tagging.data import CommentDataModule
from helpers.tagging.predicting import predict
from helpers.tagging.progress import EpochLines, quiet
from helpers.tagging.scores import LabelAUROC
from helpers.tagging.tagger import CommentTagger

__all__ = ["CommentDataModule", "CommentTagger", "EpochLines", "LabelAUROC", "predict", "quiet"]
