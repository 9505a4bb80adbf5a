"""torchmetrics is the streaming form of our scores: batch by batch it comes to the same, one-class labels apart."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MultilabelAUROC, MultilabelAveragePrecision

from helpers import metrics

ROWS, LABELS = 600, 4


def scored(seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((ROWS, LABELS)) < [0.4, 0.1, 0.02, 0.5]).astype(int)
    targets[0] = 1
    scores = 1 / (1 + np.exp(-(rng.normal(size=targets.shape) + targets)))
    return targets, np.round(scores, 3).astype(np.float32)


@pytest.mark.parametrize(
    ("streaming", "name"), [(MultilabelAUROC, "auc"), (MultilabelAveragePrecision, "average_precision")]
)
def test_batches_of_any_size_come_to_the_same(streaming, name):
    targets, scores = scored()
    metric = streaming(LABELS, average=None)
    for start in range(0, ROWS, 37):
        rows = slice(start, start + 37)
        metric.update(torch.tensor(scores[rows]), torch.tensor(targets[rows]))
    expected = metrics.label_report(targets, scores)[name]
    np.testing.assert_allclose(metric.compute(), expected, atol=1e-5)


def test_a_label_without_positives_drags_the_streaming_mean_down_and_not_ours():
    targets, scores = scored()
    targets[:, 2] = 0
    metric = MultilabelAUROC(LABELS, average=None)
    with pytest.warns(UserWarning, match="No positive samples"):
        streamed = metric(torch.tensor(scores), torch.tensor(targets))
    assert streamed[2] == 0
    with pytest.warns(UserWarning, match="leaves out"):
        ours = metrics.mean_auc(targets, scores)
    assert ours == pytest.approx(streamed[[0, 1, 3]].mean().item(), abs=1e-5)
