"""Scores of multi-label probabilities: threshold-free, of yes/no decisions, of rankings, and curves to draw.

Every function takes `targets` (N, L), 0 or 1, NaN where a label is unknown, and `probabilities` (N, L), scores in
[0, 1], as arrays, DataFrames or tensors; logits are refused, a sigmoid comes first. Unknown entries are left out, never
counted as 0. A label is decided "yes" where its probability is at least the threshold, as in scikit-learn's curves.

All is computed at once from complete tables, and a mean is a sum divided once. Scores that build up batch by batch
during training are torchmetrics' work (it comes with Lightning). Mind that its `MultilabelAUROC` gives a label without
positives 0.0, which drags the macro mean down; here such a label is NaN, named in a warning and left out of the mean.
"""

from helpers.metrics.classification import (
    auc_by_label,
    f1,
    hamming_loss,
    label_accuracy,
    label_report,
    mean_auc,
    mean_average_precision,
    subset_accuracy,
)
from helpers.metrics.rankings import (
    auc_by_head,
    coverage_error,
    label_ranking_average_precision,
    mean_head_auc,
    precision_recall_points,
    ranking_loss,
    roc_points,
)

__all__ = [
    "auc_by_head",
    "auc_by_label",
    "coverage_error",
    "f1",
    "hamming_loss",
    "label_accuracy",
    "label_ranking_average_precision",
    "label_report",
    "mean_auc",
    "mean_average_precision",
    "mean_head_auc",
    "precision_recall_points",
    "ranking_loss",
    "roc_points",
    "subset_accuracy",
]
