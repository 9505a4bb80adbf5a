import os
import pickle
import subprocess
import sys
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
import regex
from hypothesis import given, settings, strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from helpers import config, datasets, text


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Don't STOOOOP!!!", "dont stoop"),
        ("see https://example.org/x?y=1, please", "see url please"),
        ("reverted by 192.0.2.17 (talk) 21:51", "reverted by ipaddress talk number number"),
        ("a_b\tc\n\nd", "a b c d"),
        ("ﬁne x² １２３", "fine x number number"),
        ("Straße, naïve, İstanbul", "strasse naïve i̇stanbul"),
        ("हिन्दी में", "हिन्दी में"),
        ("l'été d’hier", "lété dhier"),
        ("😀 ❤️ !!! ...", ""),
        ("می‌خواهم، র‍্যাব!", "می‌خواهم র‍্যাব"),
        ("", ""),
    ],
)
def test_clean_text_does_what_its_docstring_says(raw, cleaned):
    assert text.clean_text(raw) == cleaned


@given(st.text())
@settings(max_examples=500)
def test_clean_text_is_idempotent_and_leaves_single_spaces(raw):
    cleaned = text.clean_text(raw)
    assert text.clean_text(cleaned) == cleaned
    assert cleaned == " ".join(cleaned.split())


@given(st.text(), st.text(alphabet=" \t\n.!?-", max_size=5))
def test_clean_text_ignores_signs_and_spaces_around(raw, around):
    assert text.clean_text(f"{around} {raw} {around}") == text.clean_text(raw)


@given(st.lists(st.sampled_from(["stop", "ΣΊΣΥΦΟΣ", "naïve", "привет", "日本", "हिन्दी"]), max_size=6))
def test_clean_text_keeps_words_of_every_script(words):
    assert len(text.clean_text(" ".join(words)).split()) == len(words)


def test_token_counts_equal_row_by_row_tokenization():
    texts = ["Hello there", "", "unaffable " * 600, "日本 😀"]
    tokenizer = text.load_tokenizer()
    one_by_one = [len(tokenizer(t, truncation=False, verbose=False)["input_ids"]) for t in texts]
    assert text.token_counts(iter(texts), batch_size=2).tolist() == one_by_one
    assert one_by_one[1] == 2
    assert text.token_counts(pd.Series(texts), tokenizer).tolist() == one_by_one


def test_the_packaged_tokenizer_is_the_real_one_and_tries_no_network():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise RuntimeError('network tried')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from helpers import text; t = text.load_tokenizer(); print(len(t), t.tokenize('unaffable'))"
    )
    env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "30522 ['una', '##ffa', '##ble']", done.stderr


def test_an_unknown_encoder_offline_names_the_three_ways_out(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match=r"no tokenizer for encoder 'no/such-encoder'\. Three ways out") as caught:
        text.load_tokenizer("no/such-encoder")
    assert config.PACKAGED_ENCODER in str(caught.value)


def test_marking_words_follows_the_published_formula():
    texts = ["bad bad dog", "bad cat", "good dog", "good cat", "good bird", "dog bird"]
    marked = [True, True, False, False, False, False]
    table = text.distinctive_words(texts, marked, prior=10, min_df=1)
    inside, outside = {"bad": 2, "dog": 1, "cat": 1}, {"good": 3, "dog": 2, "cat": 1, "bird": 2}
    total = sum(inside.values()) + sum(outside.values())
    alpha = {w: 10 * (inside.get(w, 0) + outside.get(w, 0)) / total for w in (*inside, *outside)}
    for word in alpha:
        a, b = inside.get(word, 0) + alpha[word], outside.get(word, 0) + alpha[word]
        n, m = sum(inside.values()) + 10, sum(outside.values()) + 10
        expected = (np.log(a / (n - a)) - np.log(b / (m - b))) / np.sqrt(1 / a + 1 / b)
        assert table.loc[word, "z"] == pytest.approx(expected)
    assert table.index[0] == "bad"
    assert table.loc["bad", ["marked", "others"]].tolist() == [2, 0]


@pytest.mark.parametrize("marked", [[True, True], [False, False]])
def test_marking_words_needs_both_groups(marked):
    with pytest.raises(ValueError, match="both groups need at least one text"):
        text.distinctive_words(["a b", "c d"], marked)


def test_marking_words_names_both_lengths():
    with pytest.raises(ValueError, match=r"2 texts, and marked has shape \(3,\)"):
        text.distinctive_words(["a b", "c d"], [True, False, True])


def test_as_html_lets_nothing_run():
    frame = pd.DataFrame({"comment_text": ["<script>alert('x')</script> & <b>bold</b>", "y" * 500], "toxic": [1, 0]})
    shown = datasets.as_html(frame, labels=["toxic"], most=100)
    assert "<script" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &lt;b&gt;bold" in shown
    assert "<b>toxic</b>" in shown
    assert "<b>clean</b>" in shown
    assert "y" * 100 + "…" in shown
    assert "y" * 101 not in shown


def test_mask_leaves_first_letters_signs_and_lengths():
    assert text.mask("You are a fool, naïve one!") == "Y** a** a f***, n**** o**!"
    frame = pd.DataFrame({"comment_text": ["<b>Fool</b>"], "toxic": [1]})
    assert "&lt;b&gt;F***&lt;/b&gt;" in datasets.as_html(frame, masked=True)
    assert datasets.as_html(frame, labels=[]) == datasets.as_html(frame)


def test_a_folder_without_a_vocabulary_is_refused(tmp_path):
    source = config.packaged_encoder(weights=False)
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    with pytest.raises(OSError, match="Three ways out"):
        text.load_tokenizer(tmp_path)


def test_the_packaged_tokenizer_is_berts_over_the_checked_vocabulary():
    folder = config.packaged_encoder(weights=False)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = text.load_tokenizer()
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(len(words))] == words
    ids = tokenizer("Naïve, unaffable!")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "naive", ",", "una", "##ffa", "##ble", "!", "[SEP]"]


@pytest.mark.parametrize("marked", [[1, np.nan, 0, 0], [1, -1, 0, 0]])
def test_an_unknown_label_does_not_count_as_marked(marked):
    with pytest.raises(ValueError, match="leave out rows whose label is unknown"):
        text.distinctive_words(["a b", "c d", "e f", "g h"], marked)


def test_marking_words_reads_every_script():
    table = text.distinctive_words(["हिन्दी शब्द", "हिन्दी वाक्य", "other शब्द", "other word"], [1, 1, 0, 0], min_df=1)
    assert table.index[0] == "हिन्दी"


def test_marking_words_says_when_no_word_is_frequent_enough():
    with pytest.raises(ValueError, match="0 words stand in 5 texts or more"):
        text.distinctive_words(["aa bb", "cc dd"], [True, False])


def test_as_html_shows_unknown_labels_and_lets_no_formula_be_typeset():
    frame = pd.DataFrame({"comment_text": ["$x^2$"], "toxic": [np.nan]})
    shown = datasets.as_html(frame, labels=["toxic"])
    assert "<b>toxic?</b>" in shown
    assert "mathjax_ignore" in shown


@pytest.mark.parametrize(("texts", "said"), [("one text", "several texts"), (["a", None], "text 1 .* is None")])
def test_token_counts_name_what_is_no_text(texts, said):
    with pytest.raises(ValueError, match=said):
        text.token_counts(texts)


TOKENS = [
    ("L'été, naïve façade d’Amélie", ["l", "été", "naïve", "façade", "d", "amélie"]),
    ("Ο ΣΊΣΥΦΟΣ ήταν εδώ", ["ο", "σίσυφοσ", "ήταν", "εδώ"]),
    ("Ёлка стоит в углу 5 дней", ["ёлка", "стоит", "в", "углу", "5", "дней"]),
    ("كِتَابٌ جديد، شكرًا", ["كِتَابٌ", "جديد", "شكرًا"]),
    ("می‌خواهم بروم", ["می\u200cخواهم", "بروم"]),
    ("שָׁלוֹם לכולם", ["שָׁלוֹם", "לכולם"]),
    ("क़िताब में १२ पन्ने", ["क़िताब", "में", "१२", "पन्ने"]),
    ("র‍্যাব আজ বাংলায়", ["র\u200d্যাব", "আজ", "বাংলায়"]),
    ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    ("ที่นี่ ๕ คน", ["ที่", "นี่", "๕", "ค", "น"]),
    ("我们去公园3次。", ["我", "们", "去", "公", "园", "3", "次"]),
    ("二〇二六年", ["二", "〇", "二", "六", "年"]),
    ("오늘은 좋다", ["오늘은", "좋다"]),
    ("コーヒーを飲む", ["コーヒー", "を", "飲", "む"]),
    ("ភាសា ລາວ မြန်မာ", ["ភា", "សា", "ລ", "າ", "ວ", "မြ", "န်", "မာ"]),
    ("u r 2 good_at x²", ["u", "r", "2", "good", "at", "x²"]),
    ("I don't, we’ll", ["i", "don", "t", "we", "ll"]),
    ("Straße STRASSE stra\u00dfe co\u00adop", ["strasse", "strasse", "strasse", "coop"]),
    (
        "❤️❤ 👍🏽👍 👩‍👩‍👧‍👦 🇩🇪🇫🇷 🏴󠁧󠁢󠁳󠁣󠁴󠁿 1️⃣2️⃣ #️⃣",
        ["❤", "❤", "👍🏽", "👍", "👩‍👩‍👧‍👦", "🇩🇪", "🇫🇷", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1\u20e3", "2\u20e3", "#\u20e3"],
    ),
    ("🧑🏽‍🤝‍🧑🏿 🏳️‍🌈 ☺", ["🧑🏽‍🤝‍🧑🏿", "🏳\u200d🌈", "☺"]),
    ("... \u0301 \u200d !? :-) $ \ud83d", []),
]


@pytest.mark.parametrize(("raw", "expected"), TOKENS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_tokens_of_every_script(raw, expected, form):
    assert text.tokens(unicodedata.normalize(form, raw)) == [unicodedata.normalize("NFC", each) for each in expected]


ANY = st.text(st.one_of(st.characters(), st.sampled_from("aé'_1\u0301\u200d\u200c\ufe0f\u20e3👍🏽🇩ป่去हि")))


@given(ANY)
@settings(max_examples=1000)
def test_no_letter_and_no_number_is_lost_and_tokens_of_tokens_are_the_same(raw):
    found = text.tokens(raw)
    letters = [each for each in text.normalize(raw) if each.isalnum() or regex.match(r"\p{ExtPict}", each)]
    assert [each for each in "".join(found) if each.isalnum() or regex.match(r"\p{ExtPict}", each)] == letters
    assert text.tokens(" ".join(found)) == found
    assert all(each and " " not in each for each in found)


@given(ANY)
@settings(max_examples=500)
def test_canonically_equivalent_texts_have_the_same_tokens(raw):
    assert text.tokens(unicodedata.normalize("NFD", raw)) == text.tokens(raw)


def test_the_fast_patterns_find_what_the_whole_one_finds():
    special = [chr(code) for code in range(0x110000) if text._SPECIAL.search(chr(code))]
    assert all(
        text._TOKEN.findall(chr(c)) == text._SIMPLE_TOKEN.findall(chr(c))
        for c in set(range(0x110000)) - {*map(ord, special)}
    )
    joined = "".join(chr(code) for code in range(0x110000) if not text._SPECIAL.search(chr(code)))
    assert text._TOKEN.findall(joined) == text._SIMPLE_TOKEN.findall(joined)
    ascii_only = "".join(map(chr, range(128))).lower() * 2
    assert text._TOKEN.findall(ascii_only) == text._ASCII_TOKEN.findall(ascii_only)


def test_a_vectorizer_takes_the_tokens_without_a_warning_and_can_be_pickled():
    with warnings.catch_warnings(action="error"):
        counter = CountVectorizer(tokenizer=text.tokens, token_pattern=None).fit(["I am हिन्दी 😀", "I"])
    assert pickle.loads(pickle.dumps(counter)).transform(["i 😀 😀"]).toarray().tolist() == [[0, 1, 0, 2]]


@pytest.mark.parametrize("function", [text.tokens, text.normalize, text.clean_text, text.mask])
@pytest.mark.parametrize("wrong", [None, 3, b"x", ["a"], pd.Series(["a"]), pd.NA])
def test_a_function_of_one_text_names_what_is_none(function, wrong):
    with pytest.raises(ValueError, match=f"text is of type {type(wrong).__name__}: expected one string"):
        function(wrong)


def test_marking_words_counts_emoji_and_single_letters():
    table = text.distinctive_words(["u 😀", "u 😀 b", "b", "b c"], pd.Series([True, True, False, False]), min_df=1)
    assert set(table.index) == {"u", "😀", "b", "c"}
    assert table.loc[["u", "😀"], "others"].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["boolean", "Int8", "float32", "bool[pyarrow]", "category", object])
def test_marking_words_takes_marks_of_any_dtype(dtype):
    texts, marked = ["a b", "a c", "b c", "c"], pd.Series([1, 1, 0, 0])
    expected = text.distinctive_words(texts, [True, True, False, False], min_df=1)
    pd.testing.assert_frame_equal(text.distinctive_words(texts, marked.astype(dtype), min_df=1), expected)
    with pytest.raises(ValueError, match="leave out rows whose label is unknown"):
        text.distinctive_words(texts, pd.Series([1, pd.NA, 0, 0], dtype="Int8"), min_df=1)


def test_marking_words_refuses_rows_in_another_order():
    with pytest.raises(ValueError, match="different indexes"):
        text.distinctive_words(pd.Series(["a", "b"], index=[5, 6]), pd.Series([True, False], index=[6, 5]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: text.distinctive_words(["a", "b"], [1, 0], prior=0), "prior=0: expected a number, above 0"),
        (lambda: text.distinctive_words(["a", "b"], [1, 0], min_df=1.5), "min_df=1.5: expected a whole number"),
        (lambda: text.token_counts(["a"], batch_size=np.nan), "batch_size=nan: expected a whole number"),
        (lambda: text.distinctive_words(pd.DataFrame({"body": ["a", "b"]}), [1, 0]), r"table\['body'\]"),
        (lambda: text.token_counts(pd.DataFrame({"body": ["a"]})), r"table\['body'\]"),
        (lambda: datasets.as_html(["a"]), "frame is a list: expected a DataFrame"),
        (lambda: datasets.as_html(pd.DataFrame({"comment_text": ["a"]}), most=0), "most=0: expected a whole number"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_as_html_shows_another_column_and_unknown_labels_of_nullable_types():
    frame = pd.DataFrame({"body": ["a", "b"], "rude": pd.array([pd.NA, 1], dtype="Int8")})
    shown = datasets.as_html(frame, labels=["rude"], text="body")
    assert "<b>rude?</b>" in shown
    assert "<b>rude</b>" in shown
