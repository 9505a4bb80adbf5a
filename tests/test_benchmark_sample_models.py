"""The benchmarks that compare bundled with real comments, and recipes for the course's tagger."""

import json

import course
import numpy as np
import pandas as pd
import pytest
import sample_models
import torch

from helpers import datasets


@pytest.fixture(scope="module")
def few():
    parts = datasets.split(datasets.load_comments().head(900), valid=0.1, test=0.4, seed=0)
    return parts.train, parts.test


def test_scores_of_cheap_models_are_kept_and_not_computed_again(few, tmp_path, monkeypatch):
    kept = tmp_path / "scores" / "one.json"
    names = ["logistic regression", "NB-SVM", "MLP"]
    first = sample_models.scores(*few, names, kept=kept)
    assert all(0.6 < first[name]["auc"] < 1 and 0 < first[name]["ap"] < 1 for name in names[:2])
    assert len(first["MLP"]["by_label"]) == 6
    monkeypatch.setattr(sample_models, "MODELS", {})
    again = sample_models.scores(*few, names, kept=kept)
    assert again == json.loads(kept.read_text()) == json.loads(json.dumps(first))


def test_average_precision_is_the_mean_over_labels(few):
    found = sample_models.scores(*few, ["logistic regression"])["logistic regression"]
    assert found["ap"] == pytest.approx(np.mean(list(found["ap_by_label"].values())))
    assert found["auc"] == pytest.approx(np.mean(list(found["by_label"].values())))


def test_the_splits_are_those_of_the_notebooks():
    pairs = sample_models.splits(datasets.load_comments().head(1_000))
    assert len(pairs) == 5
    assert all(abs(len(train) - 600) < 10 and abs(len(test) - 250) < 10 for train, test in pairs)
    assert len({tuple(train["id"]) for train, _ in pairs}) == 5


def test_unseen_types_count_words_once():
    train, test = (
        pd.DataFrame({"comment_text": texts}) for texts in (["A goat eats"], ["a goat, a GOAT", "sings well"])
    )
    assert sample_models.unseen_types(train, test) == 0.5


def test_the_interval_is_that_of_student():
    found = sample_models.interval(pd.Series([0.1, 0.2, 0.3]))
    assert found == {"low": pytest.approx(0.2 - 0.2484, abs=1e-3), "high": pytest.approx(0.2 + 0.2484, abs=1e-3)}


@pytest.mark.parametrize("lower", [2, 4])
def test_upper_layers_give_the_logits_of_the_whole_tagger(few, lower):
    rows = few[0].head(8)
    tagger, tokenizer = course.fresh(rows)
    tagger.eval()
    ((inputs, _),) = list(course.batches_of(rows, tokenizer))
    with torch.inference_mode():
        states = tagger.encoder(**inputs, output_hidden_states=True).hidden_states
        logits = course.Upper(tagger, lower).eval()(states[lower], inputs["attention_mask"])
        assert torch.allclose(logits, tagger(**inputs), atol=1e-5)


def test_every_recipe_says_what_it_is():
    assert len(course.RECIPES) >= 4
    assert len({recipe.__doc__ for recipe in course.RECIPES.values()}) == len(course.RECIPES)
