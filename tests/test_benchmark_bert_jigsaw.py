"""The parts of benchmarks/bert_jigsaw.py that need no real comments."""

import argparse

import bert_jigsaw
import numpy as np
import pytest

from helpers import config, datasets


@pytest.fixture(scope="module")
def trained():
    options = {
        "encoder": config.PACKAGED_ENCODER,
        "pooling": "mean",
        "lr": 1e-4,
        "epochs": 1,
        "cycles": 2,
        "folder": None,
    }
    options = argparse.Namespace(**options, device="cpu", precision="32-true", gpu=False)
    comments = datasets.downsample_negatives(datasets.load_comments(), negatives=200).iloc[::40]
    tagger, encoder, history = bert_jigsaw.fine_tuned(comments, options)
    return comments, bert_jigsaw.readings(tagger, encoder, options), history


def test_two_cycles_are_trained(trained):
    comments, _, history = trained
    assert list(history.index) == [1, 1]
    assert len(comments) > 40
    assert history["train_loss"].iloc[1] < history["train_loss"].iloc[0]


def test_each_reading_gives_probabilities_in_the_order_of_the_rows(trained):
    comments, ways, _ = trained
    rows = comments.copy()
    rows["comment_text"] = np.where(np.arange(len(rows)) % 2, rows["comment_text"], "goat " * 300)
    found = {name: read(rows) for name, read in ways.items()}
    for probabilities in found.values():
        assert probabilities.shape == (len(rows), 6)
        assert np.ptp(probabilities[::2], axis=0).max() < 1e-5, "the same text, the same answer"
        assert np.ptp(probabilities[1::2], axis=0).max() > 1e-3
    assert np.abs(found["cut_128"][::2] - found["cut_512"][::2]).max() > 1e-6


def test_the_command_that_is_recorded_repeats_the_run():
    options = argparse.Namespace(
        encoder="e", pooling="mean", lr=1e-4, epochs=1, cycles=2, precision="32-true", gpu=True
    )
    said = bert_jigsaw.options_in_words(options)
    assert said == "--gpu --encoder e --pooling mean --lr 0.0001 --epochs 1 --cycles 2 --precision 32-true"
