"""One way for texts from a caller: what is a list of texts, and what is refused with the line that helps."""

import warnings

import datasets as hf
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from helpers import datasets, text
from helpers.arguments import without_surrogates
from helpers.text import unknown_words, warn_of_unknown

GOOD = ["one", "zwölf", ""]


@pytest.mark.parametrize(
    "texts",
    [
        tuple(GOOD),
        (each for each in GOOD),
        dict.fromkeys(GOOD).keys(),
        np.array(GOOD),
        np.array(GOOD, dtype=object),
        np.array(GOOD, dtype=np.dtypes.StringDType()),
        pd.Series(GOOD, index=[7, 7, "x"]),
        pd.Series({"columns": "one", "column_names": "zwölf", "shape": ""}),
        pd.Index(GOOD),
        pd.Series(GOOD, dtype="string"),
        pd.Series(GOOD, dtype="category"),
        pd.Series(GOOD, dtype=pd.ArrowDtype(pa.string())),
        pd.array(GOOD, dtype="string"),
        pa.array(GOOD),
        pa.chunked_array([GOOD[:1], GOOD[1:]]),
        hf.Dataset.from_dict({"body": GOOD})["body"],
    ],
)
def test_every_list_and_column_of_texts_is_taken(texts):
    found = text.as_texts(texts)
    assert found == GOOD
    assert all(type(each) is str for each in found)


TABLE = r"texts is a table with the columns \['body'\]: pass one of them, such as table\['body'\]"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one", "several texts, not one: put it into a list"),
        (b"one", "several texts, not one"),
        (pd.DataFrame({"body": GOOD}), TABLE),
        (pa.table({"body": GOOD}), TABLE),
        (hf.Dataset.from_dict({"body": GOOD}), TABLE),
        (pd.DataFrame({"id": [1], "comment_text": ["a"]}), r"table\['comment_text'\]"),
        (
            datasets.as_comments(pd.DataFrame({"id": [1], "b": ["a"], "c": [0]}), text="b", labels=["c"]),
            r"table\['b'\]",
        ),
        (pd.DataFrame(), r"columns \[\]"),
        ({"body": GOOD}, "of type dict"),
        (set(GOOD), "of type set"),
        (frozenset(GOOD), "of type frozenset"),
        (None, "of type NoneType"),
        (3, "of type int"),
        (np.array([GOOD]), r"shape \(1, 3\): expected \(N,\)"),
        (np.array(GOOD)[:, None], r"shape \(3, 1\): expected \(N,\)"),
        (np.array("one"), r"shape \(\): expected \(N,\)"),
        (["a", None], r'text 1 \(counted from 0\) is None, not a text: fill missing texts with "" or drop their rows'),
        (["a", np.nan], "text 1 .* is nan, not a text: fill missing"),
        (["a", pd.NA], "text 1 .* is <NA>, not a text: fill missing"),
        (["a", pd.NaT], "text 1 .* is NaT, not a text: fill missing"),
        (pa.array(["a", None]), "text 1 .* is None, not a text: fill missing"),
        (["a", 3], "text 1 .* is 3, not a text but of type int"),
        (["a", True], "text 1 .* is True, not a text but of type bool"),
        ([["a"]], r"text 0 .* is \['a'\], not a text but of type list"),
        (["a", b"b"], r"text 1 .* is b'b', not a text: decode it"),
        (pd.Series(["a", None], index=[7, 3]), r"text 1 \(counted from 0, index 3\) is (None|nan)"),
        (pd.Series([1.5, 2.5]), "text 0 .* is 1.5, not a text but of type float"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        text.as_texts(texts)


def test_an_empty_list_is_refused_where_texts_are_needed():
    assert text.as_texts([]) == []
    with pytest.raises(ValueError, match="answers is empty: there is no text"):
        text.as_texts([], name="answers", allow_empty=False)


def test_half_a_character_is_left_out_with_one_warning():
    with pytest.warns(UserWarning, match=r"texts: text 1 \(counted from 0\) holds half of a character") as caught:
        assert text.as_texts(["a", "b\ud83d", "\ude00c", "\ud83d\ude00"]) == ["a", "b", "c", "😀"]
    assert len(caught) == 1
    assert caught[0].filename == __file__


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_what_is_left_can_be_written(raw):
    whole = without_surrogates(raw)
    whole.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in raw):
        assert whole is raw


@pytest.mark.parametrize(
    ("words", "counts"),
    [("today is a fine day 😀", [1, 6]), ("วันนี้อากาศดี", [1, 1]), ("a fine day", [0, 0]), ("", [0, 0])],
)
def test_unknown_words_are_counted_by_word(words, counts):
    tokenizer = text.load_tokenizer()
    assert unknown_words(tokenizer([words]).encodings, tokenizer.unk_token_id).tolist() == [counts]


@pytest.mark.parametrize(("unknown", "of", "warned"), [(0, 10, False), (1, 1, True), (1, 100, True), (1, 101, False)])
def test_a_stray_text_gives_no_warning(unknown, of, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_unknown(np.arange(of) < unknown, source="here")
    assert bool(caught) is warned
