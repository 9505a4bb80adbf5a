"""Ids are the same rows whatever holds them; tables of other rows are refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from helpers import evaluation, metrics, text
from helpers.metrics.checks import id_texts, refuse_shared


@pytest.mark.parametrize(
    "ids",
    [
        [7, 8],
        [7.0, 8.0],
        ["7", "8"],
        np.array([7, 8], dtype=np.int8),
        np.array([7.0, 8.0], dtype=np.float32),
        [np.float32(7), np.float32(8)],
        pd.Series([7, 8], index=[3, 1]),
        torch.tensor([7, 8]),
        [torch.tensor(7), torch.tensor(8.0)],
        pa.array([7, 8]),
        pa.chunked_array([[7.0], [8.0]]),
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_an_id_is_the_same_in_every_type(ids):
    assert id_texts("ids", ids, 2) == ["7", "8"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (5, "mine is a int: expected a list of 2 ids"),
        ("ab", "mine is a str"),
        ([1], "mine=.*: expected a list of 2 ids, found 1"),
        (np.ones((2, 1)), "mine is a ndarray"),
        (["a", None], r"mine: row 1 \(from 0\) has none"),
        ([float("nan"), 1.0], r"mine: row 0 \(from 0\) has none"),
        (pa.array([7, None]), r"mine: row 1 \(from 0\) has none"),
    ],
)
def test_what_is_not_an_id_a_row_is_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        id_texts("mine", ids, 2)


def test_shared_ids_are_named_in_the_order_of_the_others():
    with pytest.raises(ValueError, match=r"2 of these rows were seen \(ids 'c', 'a'\): take other rows"):
        refuse_shared(["a", "b", "c"], ["d", "c", "a", "c"], "were seen")
    refuse_shared(["1", "2"], ["3"], "were seen")


def test_tables_whose_rows_are_named_otherwise_are_refused():
    rng = np.random.default_rng(0)
    targets = pd.DataFrame(rng.integers(0, 2, (30, 2)), columns=["a", "b"], index=rng.permutation(30) + 100)
    scores = pd.DataFrame(rng.random((30, 2)), columns=["a", "b"], index=targets.index)
    shuffled = scores.sample(frac=1, random_state=0)
    numbered = scores.reset_index(drop=True)
    assert metrics.mean_auc(targets, scores) == metrics.mean_auc(targets, numbered)
    calls = [
        lambda: metrics.mean_auc(targets, shuffled),
        lambda: metrics.roc_points(targets["a"], shuffled["a"]),
        lambda: evaluation.bootstrap("auc", targets, scores, baseline=shuffled, n_resamples=5),
        lambda: evaluation.tune_thresholds(targets, shuffled),
        lambda: evaluation.fit_calibration(targets, shuffled),
        lambda: evaluation.bias_report(targets["a"], shuffled["a"], scores > 0.5),
        lambda: evaluation.bias_report(targets["a"], scores["a"], shuffled > 0.5),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="are named otherwise than those of targets"):
            call()


@pytest.mark.parametrize("order", [slice(None, None, -1), [2, 0, 1, 3, 4, 5, 6, 7]], ids=["reversed", "shuffled"])
def test_numbered_rows_in_another_order_are_refused(order):
    targets = pd.DataFrame({"a": [0, 1, 0, 1, 1, 0, 1, 1]})
    scores = pd.DataFrame({"a": [0.1, 0.9, 0.2, 0.8, 0.7, 0.3, 0.6, 0.95]})
    assert metrics.mean_auc(targets, scores) == 1
    other = scores.iloc[order]
    for one, two in ((targets, other), (targets.iloc[order], scores)):
        with pytest.raises(ValueError, match="rows of probabilities are named otherwise"):
            metrics.label_report(one, two)
    with pytest.raises(ValueError, match="rows of probabilities are named otherwise"):
        evaluation.bias_report(targets["a"], other["a"], scores > 0.5)
    with pytest.raises(ValueError, match="different indexes"):
        text.distinctive_words(pd.Series(list("abcdefgh")), other["a"] > 0.5)
    assert metrics.mean_auc(targets, scores.iloc[order].reset_index(drop=True)) < 1
