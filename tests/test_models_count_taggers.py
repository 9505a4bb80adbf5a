"""The counts road: every label from the rows in which it is known, and a folder that gives the same answers again."""

import json
import pickle
import subprocess
import sys
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import datasets, export, models, text
from helpers.models import CountTagger

TEXTS = ["the goat eats", "a goat again", "the lamp is out", "no lamp here", "goat and lamp", "nothing at all"]
TARGETS = pd.DataFrame({"goat": [1, 1, 0, 0, 1, 0], "lamp": [0, 0, 1, 1, 1, 0]})


@pytest.fixture
def tagger():
    return CountTagger(min_df=1).fit(TEXTS, TARGETS)


def test_words_alone_are_one_logistic_regression_a_label():
    tagger = CountTagger(3.0, char_ngrams=False).fit(TEXTS, TARGETS)
    words = {"tokenizer": text.tokens, "token_pattern": None}
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), **words).fit_transform(TEXTS)
    for label in TARGETS:
        line = LogisticRegression(C=3.0, solver="liblinear", dual=True).fit(counts, TARGETS[label])
        np.testing.assert_allclose(tagger.predict_proba(TEXTS)[label], line.predict_proba(counts)[:, 1], atol=1e-4)


def test_an_unknown_label_is_as_if_the_row_were_not_there_for_it():
    unknown = TARGETS.astype(float)
    unknown.loc[4, "lamp"] = np.nan
    tagger = CountTagger(char_ngrams=False).fit(TEXTS, unknown)
    counts = tagger.vectorizers[0].transform(TEXTS)
    kept = [0, 1, 2, 3, 5]
    line = LogisticRegression(C=20, solver="liblinear", dual=True).fit(counts[kept], TARGETS["lamp"].iloc[kept])
    np.testing.assert_allclose(tagger.predict_proba(TEXTS)["lamp"], line.predict_proba(counts)[:, 1], atol=1e-4)
    as_absent = CountTagger(char_ngrams=False).fit(TEXTS, unknown.fillna(0))
    assert as_absent.predict_proba(["lamp"]).loc[0, "lamp"] < tagger.predict_proba(["lamp"]).loc[0, "lamp"]


def test_pieces_of_words_know_a_word_that_was_mistyped(tagger):
    said = {
        pieces: CountTagger(char_ngrams=pieces, min_df=1).fit(TEXTS, TARGETS).predict_proba(["gooat"])
        for pieces in (0, 1)
    }
    assert said[1].loc[0, "goat"] > said[0].loc[0, "goat"]


def test_the_answer_has_the_index_of_a_series(tagger):
    said = tagger.predict_proba(pd.Series(["goat", ""], index=[7, 9]))
    assert said.index.tolist() == [7, 9]
    assert list(said.columns) == ["goat", "lamp"]
    assert said.to_numpy().dtype == np.float32
    assert tagger.predict_proba([]).shape == (0, 2)


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
        (["cat", "dog", "", "", "", ""], TARGETS, "no piece of a word in 2 of them: give more texts, min_df=1"),
        (TEXTS, TARGETS.set_axis(["lamp", "lamp"], axis=1), "must have different names"),
    ],
)
def test_input_that_does_not_fit_is_refused(texts, targets, message):
    with pytest.raises(ValueError, match=message):
        CountTagger().fit(texts, targets)


def test_a_fit_that_fails_leaves_what_was_learnt(tagger):
    before = tagger.predict_proba(TEXTS)
    with pytest.raises(ValueError, match="have no words"):
        tagger.fit(["!", "?"], pd.DataFrame({"other": [0, 1]}))
    pd.testing.assert_frame_equal(tagger.predict_proba(TEXTS), before)


def test_one_that_has_learnt_nothing_says_so(tmp_path):
    with pytest.raises(ValueError, match="call fit first"):
        CountTagger().predict_proba(["a goat"])
    with pytest.raises(ValueError, match="call fit first"):
        models.save_tagger(tmp_path / "goats", CountTagger())
    assert not (tmp_path / "goats").exists()


@pytest.mark.parametrize("settings", [{"C": 0}, {"C": np.nan}, {"min_df": 0}, {"min_df": 1.5}, {"char_ngrams": "no"}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.*: expected"):
        CountTagger(**settings)


@pytest.mark.parametrize("char_ngrams", [True, False])
def test_a_folder_gives_the_same_answers_again(tmp_path, char_ngrams):
    tagger = CountTagger(2.0, char_ngrams=char_ngrams, min_df=1).fit(TEXTS, TARGETS)
    folder = models.save_tagger(tmp_path / "goats", tagger, thresholds={"lamp": np.inf})
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "tagger.json", "vocabulary.json"]
    again, thresholds = models.load_tagger(folder).tagger, models.load_tagger(folder).thresholds
    assert (again.C, again.char_ngrams, again.min_df, again.labels) == (2.0, char_ngrams, 1, ["goat", "lamp"])
    assert thresholds == {"goat": 0.5, "lamp": np.inf}
    strange = [*TEXTS, "", "Ziegen 🐐", "GOAT!!"]
    pd.testing.assert_frame_equal(again.predict_proba(strange), tagger.predict_proba(strange))


def test_a_predictor_puts_it_to_work_as_any_other(tmp_path, tagger):
    folder = models.save_tagger(tmp_path / "goats", tagger, thresholds=pd.Series({"goat": 0.9, "lamp": 0.0}))
    predictor = export.Predictor.load(folder)
    given = pd.Series(["a goat", "lamp \ud800"], index=["x", "y"], dtype=object)
    with pytest.warns(UserWarning, match=r"text 1 .* half of a character"):
        expected = tagger.predict_proba(given)
    pd.testing.assert_frame_equal(predictor.predict_proba(given), expected)
    assert predictor.predict(given)["lamp"].tolist() == [1, 1]
    models.set_thresholds(folder, {"lamp": np.inf})
    assert export.Predictor.load(folder).predict(given)["lamp"].tolist() == [0, 0]


def test_a_file_goes_through_it(tmp_path, tagger):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    pd.DataFrame({"id": range(len(TEXTS)), "comment_text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    assert export.predict_file(folder, tmp_path / "in.csv", tmp_path / "out.csv").rows == len(TEXTS)
    found = pd.read_csv(tmp_path / "out.csv")[["goat", "lamp"]]
    np.testing.assert_allclose(found, tagger.predict_proba(TEXTS), rtol=1e-4)


def test_the_folder_is_replaced_by_its_like_and_nothing_else_is(tmp_path, tagger):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    models.save_tagger(folder, CountTagger(char_ngrams=False).fit(TEXTS, TARGETS))
    assert models.load_tagger(folder).tagger.char_ngrams is False
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        models.save_tagger(folder, tagger)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": {"cow": 0.5}}, "are for no label"),
        ({"labels": ["goat", "lamp"]}, "labels: a CountTagger has its labels and reads whole texts"),
        ({"tokenizer": "bert-base-cased", "max_length": 64}, "tokenizer, max_length: a CountTagger"),
    ],
)
def test_what_a_tagger_of_counts_cannot_be_saved_with_is_refused(tmp_path, tagger, options, message):
    with pytest.raises(ValueError, match=message):
        models.save_tagger(tmp_path / "goats", tagger, **options)
    assert not (tmp_path / "goats").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "tagger.json"])
def test_a_torn_or_missing_file_is_named(tmp_path, tagger, name):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    with pytest.raises(ValueError, match="corrupt"):
        models.load_tagger(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        models.load_tagger(folder)


def test_words_of_another_tagger_are_refused(tmp_path, tagger):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    words = json.loads((folder / "vocabulary.json").read_text())
    words[0].pop()
    (folder / "vocabulary.json").write_text(json.dumps(words))
    with pytest.raises(ValueError, match="do not belong together"):
        models.load_tagger(folder)


SENTENCES = {  # a pleased and a displeased one in each script
    "accents": ("l'été fut très agréable, chère amie", "où est ma clé, espèce de bête"),
    "Greek": ("η μέρα ήταν πολύ όμορφη", "το φαγητό ήταν άθλιο"),
    "Cyrillic": ("сегодня чудесный тёплый день", "поезд опять ужасно опоздал"),
    "Arabic": ("كان الطعام لذيذًا جدًا", "القطار متأخر مرة أخرى"),
    "Hebrew": ("הַיּוֹם היה נעים מאוד", "הרכבת איחרה שוב"),
    "Devanagari": ("हमें यह किताब बहुत अच्छी लगी", "खाना ठंडा और बेस्वाद था"),
    "Bengali": ("আজকের দিনটা খুব সুন্দর ছিল", "ট্রেন আবার দেরিতে এসেছে"),
    "Tamil": ("இந்த நாள் மிகவும் இனிமையாக இருந்தது", "உணவு குளிர்ந்து போயிருந்தது"),
    "Thai": ("วันนี้อากาศดีมาก", "รถไฟมาสายอีกแล้ว"),
    "Han": ("今天天气非常好", "火车又晚点了"),
    "Hangul": ("오늘은 날씨가 참 좋았다", "기차가 또 늦게 왔다"),
    "Kana": ("きょうはとてもたのしかった", "でんしゃがまたおくれました"),
    "emoji": ("😀 👍🏽 🇩🇪", "😡 👎🏽 🇫🇷"),
    "one letter": ("u r a q", "i m b z"),
}


@pytest.mark.parametrize("script", SENTENCES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("char_ngrams", [True, False])
def test_every_script_is_learnt_and_composed_and_decomposed_accents_are_the_same(script, form, char_ngrams):
    pleased, displeased = SENTENCES[script]
    tagger = CountTagger(char_ngrams=char_ngrams, min_df=1).fit(
        [pleased, displeased] * 2, pd.DataFrame({"pleased": [1, 0] * 2})
    )
    with warnings.catch_warnings(action="error"):
        composed = tagger.predict_proba([unicodedata.normalize("NFC", each) for each in SENTENCES[script]])
    other = tagger.predict_proba([unicodedata.normalize(form, each).upper() for each in SENTENCES[script]])
    assert composed["pleased"][0] > 0.8 and composed["pleased"][1] < 0.2
    np.testing.assert_array_equal(other, composed)


@pytest.fixture(scope="module")
def english():
    comments = datasets.load_comments("sample")
    return CountTagger(char_ngrams=False).fit(comments["comment_text"][:2000], comments[["toxic"]][:2000]), comments[
        4000:
    ]


def test_held_out_english_gives_no_warning(english):
    tagger, comments = english
    with warnings.catch_warnings(action="error"):
        assert len(tagger.predict_proba(comments["comment_text"])) == len(comments)
        assert len(tagger.predict_proba(["gooat"])) == 1


@pytest.mark.parametrize("script", [name for name in SENTENCES if name not in ("accents", "emoji", "one letter")])
def test_a_script_that_was_never_seen_is_named(english, script):
    with pytest.warns(UserWarning, match=r"1 of 100 texts: most words are not in the vocabulary.*first: text 99,"):
        english[0].predict_proba([*english[1]["comment_text"][:99], SENTENCES[script][0]])


def test_a_predictor_of_counts_names_it_too(english, tmp_path):
    predictor = export.Predictor.load(models.save_tagger(tmp_path / "counts", english[0]))
    with warnings.catch_warnings(action="error"):
        predictor.predict_proba(english[1]["comment_text"][:300])
    with pytest.warns(UserWarning, match="1 of 1 texts: most words are not in the vocabulary") as caught:
        predictor.predict([SENTENCES["Thai"][0]])
        predictor.predict([SENTENCES["Thai"][1]])
    assert len(caught) == 1


def test_a_folder_of_the_former_token_pattern_predicts_as_it_did(tmp_path):
    tagger = CountTagger(min_df=1)
    letters = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 1}
    former = [TfidfVectorizer(sublinear_tf=True, **options) for options in ({"ngram_range": (1, 2)}, letters)]
    texts = ["हिन्दी में a goat", "don't, I say 😀", "Straße", "strasse a b"]
    counts = sparse.hstack([each.fit_transform(texts) for each in former])
    line = LogisticRegression(solver="liblinear").fit(counts, [1, 1, 0, 0])
    tagger.labels, tagger.vectorizers = ["goat"], former
    tagger.coef, tagger.intercept = line.coef_.astype(np.float32), line.intercept_.astype(np.float32)
    folder = models.save_tagger(tmp_path / "old", tagger)
    settings = json.loads((folder / "tagger.json").read_text())
    assert settings["options"].pop("token_pattern") == 2
    (folder / "tagger.json").write_text(json.dumps(settings))  # as before the token pattern had a version
    again = models.load_tagger(folder).tagger
    given = [*texts, "STRASSE हिन्दी", "Cafe\u0301 a"]
    expected = line.predict_proba(sparse.hstack([each.transform(given) for each in former]))[:, 1]
    np.testing.assert_allclose(again.predict_proba(given)["goat"], expected, rtol=1e-5)
    saved = models.save_tagger(tmp_path / "saved again", again)
    assert json.loads((saved / "tagger.json").read_text())["options"]["token_pattern"] == 1
    again.fit(TEXTS, TARGETS)
    assert again.token_pattern == 2


@pytest.mark.parametrize("name", ["", " "])
def test_a_label_that_no_folder_can_hold_is_refused_before_a_tagger_is_replaced(tmp_path, tagger, name):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    with pytest.raises(ValueError, match=r"labels .*each a text"):
        models.save_tagger(folder, CountTagger().fit(TEXTS, TARGETS.set_axis([name, "lamp"], axis=1)))
    assert models.load_tagger(folder).labels == tagger.labels


def test_a_token_pattern_of_a_later_version_is_named(tmp_path, tagger):
    folder = models.save_tagger(tmp_path / "goats", tagger)
    settings = json.loads((folder / "tagger.json").read_text())
    settings["options"]["token_pattern"] = 3
    (folder / "tagger.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="token pattern 3 is of another version"):
        models.load_tagger(folder)


def test_a_tagger_can_be_pickled(tagger):
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(tagger)).predict_proba(TEXTS), tagger.predict_proba(TEXTS))


@pytest.mark.parametrize("what", ["fit", "predict"])
def test_a_table_of_texts_is_refused_with_the_line_that_helps(tagger, what):
    table = pd.DataFrame({"body": TEXTS})
    with pytest.raises(ValueError, match=r"texts is a table with the columns \['body'\].*table\['body'\]"):
        tagger.fit(table, TARGETS) if what == "fit" else tagger.predict_proba(table)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (TARGETS["goat"], r"Series of shape \(6,\): expected a DataFrame .* table\[\['toxic'\]\]"),
        (TARGETS["goat"].to_numpy(), r"ndarray of shape \(6,\): expected a DataFrame .* table\[\['toxic'\]\]"),
        ([0, 1, 0, 1, 0, 1], r"list of shape \(6,\): expected a DataFrame"),
        (TARGETS.to_numpy(), r"shape \(6, 2\): expected .* pd.DataFrame\(targets, columns="),
        (TARGETS.set_axis(list("fedcba")), "rows of targets are named otherwise"),
    ],
)
def test_targets_that_are_no_table_or_in_another_order_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        CountTagger().fit(pd.Series(TEXTS, index=list("abcdef")), targets)


@pytest.mark.parametrize("dtype", ["bool", "Int8", "boolean", "Float32", "int64[pyarrow]", "bool[pyarrow]", "object"])
def test_targets_of_any_dtype_with_missing_values_are_learnt(dtype):
    unknown = TARGETS.astype(dtype)
    if dtype != "bool":
        unknown.loc[4, "lamp"] = None
    plain = unknown.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    expected = CountTagger(min_df=1).fit(TEXTS, pd.DataFrame(plain, columns=TARGETS.columns)).predict_proba(TEXTS)
    pd.testing.assert_frame_equal(CountTagger(min_df=1).fit(TEXTS, unknown).predict_proba(TEXTS), expected)


def test_counts_serve_texts_and_files_without_torch(tagger, tmp_path):
    folder = models.save_tagger(tmp_path / "counts", tagger)
    pd.DataFrame({"id": [1, 2], "comment_text": ["You are kind", "Go away"]}).to_csv(tmp_path / "in.csv", index=False)
    code = (
        "import sys\nfrom helpers import export\nfolder, source, target = sys.argv[1:]\n"
        "export.Predictor.load(folder).predict_proba(['You are kind'])\nexport.predict_file(folder, source, target)\n"
        "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))\n"
    )
    paths = [str(folder), str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
