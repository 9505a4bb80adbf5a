"""Scores of multi-label probabilities: threshold-free, of yes/no decisions, and curves to draw.

Every function takes `targets` (N, L), 0 or 1, NaN where a label is unknown, and `probabilities` (N, L), scores in
[0, 1], as arrays, DataFrames or tensors; logits are refused, a sigmoid comes first. Unknown entries are left out, never
counted as 0. A label is decided "yes" where its probability is at least the threshold, as in scikit-learn's curves.

All is computed at once from complete tables, and a mean is a sum divided once. Scores that build up batch by batch
during training are torchmetrics' work (it comes with Lightning). Mind that its `MultilabelAUROC` gives a label without
positives 0.0, which drags the macro mean down; here such a label is NaN, named in a warning and left out of the mean.

Scores of the ranking of a row's labels are scikit-learn's: `label_ranking_loss`, `coverage_error` and
`label_ranking_average_precision_score` take the same two tables, without unknown entries.
"""

from helpers.metrics.classification import (
    auc_by_label,
    f1,
    label_accuracy,
    label_report,
    mean_auc,
    mean_average_precision,
    precision_recall_points,
    roc_points,
    subset_accuracy,
)

__all__ = [
    "auc_by_label",
    "f1",
    "label_accuracy",
    "label_report",
    "mean_auc",
    "mean_average_precision",
    "precision_recall_points",
    "roc_points",
    "subset_accuracy",
]
