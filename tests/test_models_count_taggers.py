"""The counts road: every label from the rows in which it is known, and a folder that gives the same answers again."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import export, models
from helpers.models import CountTagger

TEXTS = ["the goat eats", "a goat again", "the lamp is out", "no lamp here", "goat and lamp", "nothing at all"]
TARGETS = pd.DataFrame({"goat": [1, 1, 0, 0, 1, 0], "lamp": [0, 0, 1, 1, 1, 0]})


@pytest.fixture
def tagger():
    return CountTagger(min_rows=1).fit(TEXTS, TARGETS)


def test_words_alone_are_one_logistic_regression_a_label():
    tagger = CountTagger(3.0, pieces=False).fit(TEXTS, TARGETS)
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit_transform(TEXTS)
    for label in TARGETS:
        line = LogisticRegression(C=3.0, solver="liblinear", dual=True).fit(counts, TARGETS[label])
        np.testing.assert_allclose(tagger.predict(TEXTS)[label], line.predict_proba(counts)[:, 1], atol=1e-4)


def test_an_unknown_label_is_as_if_the_row_were_not_there_for_it():
    unknown = TARGETS.astype(float)
    unknown.loc[4, "lamp"] = np.nan
    tagger = CountTagger(pieces=False).fit(TEXTS, unknown)
    counts = tagger.vectorizers[0].transform(TEXTS)
    kept = [0, 1, 2, 3, 5]
    line = LogisticRegression(C=20, solver="liblinear", dual=True).fit(counts[kept], TARGETS["lamp"].iloc[kept])
    np.testing.assert_allclose(tagger.predict(TEXTS)["lamp"], line.predict_proba(counts)[:, 1], atol=1e-4)
    as_absent = CountTagger(pieces=False).fit(TEXTS, unknown.fillna(0))
    assert as_absent.predict(["lamp"]).loc[0, "lamp"] < tagger.predict(["lamp"]).loc[0, "lamp"]


def test_pieces_of_words_know_a_word_that_was_mistyped(tagger):
    said = {pieces: CountTagger(pieces=pieces, min_rows=1).fit(TEXTS, TARGETS).predict(["gooat"]) for pieces in (0, 1)}
    assert said[1].loc[0, "goat"] > said[0].loc[0, "goat"]


def test_the_answer_has_the_index_of_a_series(tagger):
    said = tagger.predict(pd.Series(["goat", ""], index=[7, 9]))
    assert said.index.tolist() == [7, 9]
    assert list(said.columns) == ["goat", "lamp"]
    assert said.to_numpy().dtype == np.float32
    assert tagger.predict([]).shape == (0, 2)


@pytest.mark.parametrize("rows", [[1, 1], [0, 0], [None, None], [1, None]])
def test_a_label_of_one_class_is_refused_by_name(rows):
    with pytest.raises(ValueError, match=r"\['lamp'\] have one class only"):
        CountTagger().fit(["a goat", "no lamp"], pd.DataFrame({"goat": [1, 0], "lamp": rows}))


@pytest.mark.parametrize(
    ("texts", "targets", "message"),
    [
        (["a goat"], TARGETS, r"1 texts, and targets have shape \(6, 2\)"),
        (TEXTS, TARGETS * 2, "other values than 0, 1 and NaN"),
        (TEXTS, TARGETS[[]], "targets have shape"),
        ("a goat", TARGETS, "put it into a list"),
        (["cat", "dog", "", "", "", ""], TARGETS, "no piece of a word in 2 of them: give more texts, min_rows=1"),
        (TEXTS, TARGETS.set_axis(["lamp", "lamp"], axis=1), "must have different names"),
    ],
)
def test_input_that_does_not_fit_is_refused(texts, targets, message):
    with pytest.raises(ValueError, match=message):
        CountTagger().fit(texts, targets)


def test_a_fit_that_fails_leaves_what_was_learnt(tagger):
    before = tagger.predict(TEXTS)
    with pytest.raises(ValueError, match="have no words"):
        tagger.fit(["!", "?"], pd.DataFrame({"other": [0, 1]}))
    pd.testing.assert_frame_equal(tagger.predict(TEXTS), before)


def test_one_that_has_learnt_nothing_says_so(tmp_path):
    with pytest.raises(ValueError, match="call fit first"):
        CountTagger().predict(["a goat"])
    with pytest.raises(ValueError, match="call fit first"):
        models.save_counts(tmp_path / "goats", CountTagger())
    assert not (tmp_path / "goats").exists()


@pytest.mark.parametrize("settings", [{"C": 0}, {"min_rows": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="above 0, and 1 or more"):
        CountTagger(**settings)


@pytest.mark.parametrize("pieces", [True, False])
def test_a_folder_gives_the_same_answers_again(tmp_path, pieces):
    tagger = CountTagger(2.0, pieces=pieces, min_rows=1).fit(TEXTS, TARGETS)
    folder = models.save_counts(tmp_path / "goats", tagger, thresholds={"lamp": np.inf})
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "tagger.json", "vocabulary.json"]
    again, thresholds = models.load_counts(folder)
    assert (again.C, again.pieces, again.min_rows, again.labels) == (2.0, pieces, 1, ["goat", "lamp"])
    assert thresholds == {"goat": 0.5, "lamp": np.inf}
    strange = [*TEXTS, "", "Ziegen und Lämpchen 🐐", "GOAT!!"]
    pd.testing.assert_frame_equal(again.predict(strange), tagger.predict(strange))


def test_a_predictor_puts_it_to_work_as_any_other(tmp_path, tagger):
    folder = models.save_counts(tmp_path / "goats", tagger, thresholds=pd.Series({"goat": 0.9, "lamp": 0.0}))
    predictor = export.Predictor.load(folder)
    given = pd.Series(["a goat", "lamp \ud800"], index=["x", "y"], dtype=object)
    pd.testing.assert_frame_equal(predictor.predict(given), tagger.predict(given))
    assert predictor.tags(given)["lamp"].tolist() == [1, 1]
    models.set_thresholds(folder, {"lamp": np.inf})
    assert export.Predictor.load(folder).tags(given)["lamp"].tolist() == [0, 0]


def test_a_file_goes_through_it(tmp_path, tagger):
    folder = models.save_counts(tmp_path / "goats", tagger)
    pd.DataFrame({"id": range(len(TEXTS)), "comment_text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    assert export.predict_file(folder, tmp_path / "in.csv", tmp_path / "out.csv").rows == len(TEXTS)
    found = pd.read_csv(tmp_path / "out.csv")[["goat", "lamp"]]
    np.testing.assert_allclose(found, tagger.predict(TEXTS), rtol=1e-4)


def test_the_folder_is_replaced_by_its_like_and_nothing_else_is(tmp_path, tagger):
    folder = models.save_counts(tmp_path / "goats", tagger)
    models.save_counts(folder, CountTagger(pieces=False).fit(TEXTS, TARGETS))
    assert models.load_counts(folder)[0].pieces is False
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        models.save_counts(folder, tagger)


def test_thresholds_for_no_label_are_refused(tmp_path, tagger):
    with pytest.raises(ValueError, match="are for no label"):
        models.save_counts(tmp_path / "goats", tagger, thresholds={"cow": 0.5})


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "tagger.json"])
def test_a_torn_or_missing_file_is_named(tmp_path, tagger, name):
    folder = models.save_counts(tmp_path / "goats", tagger)
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    with pytest.raises(ValueError, match="torn, or its files do not belong together"):
        models.load_counts(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        models.load_counts(folder)


def test_words_of_another_tagger_are_refused(tmp_path, tagger):
    folder = models.save_counts(tmp_path / "goats", tagger)
    words = json.loads((folder / "vocabulary.json").read_text())
    words[0].pop()
    (folder / "vocabulary.json").write_text(json.dumps(words))
    with pytest.raises(ValueError, match="do not belong together"):
        models.load_counts(folder)
