"""The bundled reviews: made from the grammar byte by byte, balanced, varied, and hard for single words."""

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from grammar import reviews as maker
from grammar.engine import Grammar
from make_sample import write
from sample_reviews import near_duplicates, tokens

ROOT = Path(__file__).resolve().parents[2]
CSV = ROOT / "data" / "reviews.csv"
RULES = sorted((ROOT / "tools" / "grammar").glob("reviews*.toml"))
# what is written about a review that counts cannot weigh, and how often it must occur on each side (share of reviews)
DEVICES = {
    "negation": (r"\b(not|never|nobody|no one|nothing|neither|without|hardly|isn't|don't|doesn't|can't)\b", 0.3),
    "irony": (r"\b(about as [\w -]+ as|if that is what you call|next you will tell me|in the way that)\b", 0.03),
    "mixed": (
        r"\b(although|though|even so|despite|in spite of|for all its|nevertheless|granted|the other half)\b",
        0.08,
    ),
    "hearsay": (r"\b(called it|told me|insisted|swore|says|according to|left a note|wrote to me|thought it)\b", 0.08),
    "expectation": (
        r"\b(expect\w*|promise[sd]|braced|was sure|was certain|ready for|had read that|sold to me)\b",
        0.05,
    ),
    "breaks": (r"<br /><br />", 0.2),
}


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(CSV, keep_default_na=False)


def test_regeneration_gives_the_committed_bytes(tmp_path):
    write(maker.make(), tmp_path / "reviews.csv")
    assert (tmp_path / "reviews.csv").read_bytes() == CSV.read_bytes()


def test_another_seed_gives_other_reviews(table):
    other = maker.make(seed=1, rows=40)
    assert not set(other["review"]) & set(table["review"])
    assert other["sentiment"].value_counts().to_dict() == {"positive": 20, "negative": 20}


def test_schema_balance_and_order(table):
    assert list(table.columns) == ["review", "sentiment"]
    assert table["sentiment"].value_counts().to_dict() == {"positive": 1000, "negative": 1000}
    changes = table["sentiment"].ne(table["sentiment"].shift()).sum()
    assert 850 < changes < 1150, "shuffled rows change sentiment about every second row"
    assert table["review"].is_unique


def test_lengths_have_a_long_tail(table):
    lengths = table["review"].str.split().str.len()
    assert lengths.min() >= maker.SHORTEST - 1
    assert lengths.max() <= 340
    assert 80 <= lengths.median() <= 110
    assert lengths.quantile(0.95) > 1.8 * lengths.median()


def test_no_slot_or_mark_is_left(table):
    assert not table["review"].str.contains(r"[{}|]|\ba [aeio]\w+ly\b|  ", regex=True).any()


def test_near_duplicates_are_rare(table):
    assert near_duplicates(table["review"]) <= 0.01


def test_near_duplicates_sees_a_copy():
    copy = "one two three four five six seven eight nine ten"
    assert near_duplicates([copy, copy + " eleven", "nothing of the sort is in here at all"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sentiment", ["positive", "negative"])
def test_device_occurs_on_both_sides(table, device, sentiment):
    pattern, share = DEVICES[device]
    side = table.loc[table["sentiment"] == sentiment, "review"]
    assert side.str.lower().str.contains(pattern.replace("(", "(?:", 1)).mean() >= share


def test_words_of_blame_occur_in_praise_and_the_other_way_round(table):
    rules = Grammar.load(RULES, 0).rules
    for sentiment, wrong in (("positive", "bad_adj"), ("negative", "good_adj")):
        words = set(rules[wrong])
        side = table.loc[table["sentiment"] == sentiment, "review"]
        assert side.map(lambda text, words=words: bool(words & set(tokens(text)))).mean() > 0.5


def test_every_pair_of_symbols_has_both_sides_and_every_slot_a_rule():
    rules = {}
    for path in RULES:
        rules |= tomllib.loads(path.read_text(encoding="utf-8"))
    good = {symbol.removeprefix("good_") for symbol in rules if symbol.startswith("good_")}
    bad = {symbol.removeprefix("bad_") for symbol in rules if symbol.startswith("bad_")}
    assert good == bad
    known = set(rules) | {f"{side}_{name}" for side in ("same", "other") for name in good}
    known |= set(maker.cast(Grammar.load(RULES, 0)))
    slots = {slot for texts in rules.values() for text in texts for slot in re.findall(r"\{(\w+)\}", text)}
    assert slots <= known


def test_verdicts_differ_between_the_sides():
    rules = Grammar.load(RULES, 0).rules
    assert len(rules["good_verdict"]) == len(rules["bad_verdict"])
    assert not set(rules["good_verdict"]) & set(rules["bad_verdict"])
