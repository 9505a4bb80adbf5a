"""The bundled tickets: the same bytes from the grammar, varied, labels of every rarity, some of them unknown."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grammar import tickets as maker
from grammar.engine import Grammar
from make_sample import write
from sample_reviews import near_duplicates

from helpers import datasets

ROOT = Path(__file__).resolve().parents[2]
CSV = ROOT / "data" / "tickets.csv"
RULES = sorted((ROOT / "tools" / "grammar").glob("tickets*.toml"))
CARD = r"\| `(\w+)` \| (\d+) \| ([\d,]+) \|"


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(CSV, keep_default_na=False, dtype=str)


@pytest.fixture(scope="module")
def loaded():
    return datasets.load_comments(CSV, text="message", id="ticket", allow_unknown=True)


def test_regeneration_gives_the_committed_bytes(tmp_path):
    write(maker.make(), tmp_path / "tickets.csv")
    assert (tmp_path / "tickets.csv").read_bytes() == CSV.read_bytes(), "run: python tools/make_sample.py tickets"


def test_another_seed_gives_other_messages(table):
    other = maker.make(seed=1, rows=60)
    assert len(set(other["message"]) & set(table["message"])) <= 2


def test_schema(table):
    assert list(table.columns) == ["ticket", "message", *maker.LABELS]
    assert len(maker.LABELS) == 23
    assert len(table) == 3000
    assert table["ticket"].str.fullmatch(r"(EN|DE|ES|FR)-\d{5}").all()
    assert table["ticket"].str[3:].astype(int).tolist() == list(range(1, 3001))
    assert table["message"].str.lower().is_unique


def test_the_door_refuses_the_gaps_until_they_are_said_to_be_meant():
    with pytest.raises(datasets.DataError, match="allow_unknown=True"):
        datasets.load_comments(CSV, text="message", id="ticket")


def test_labels_are_unknown_before_they_were_introduced_and_known_after(loaded):
    unknown = loaded[list(maker.LABELS)].isna()
    for label in maker.LABELS:
        assert np.flatnonzero(unknown[label]).tolist() == list(range(maker.SINCE.get(label, 0)))


def test_labels_overlap_and_are_of_every_rarity(loaded):
    labels = loaded[list(maker.LABELS)]
    share, topics = labels.mean(), labels.sum(axis=1)
    assert 0.01 < share.min() < 0.02
    assert 0.15 < share.max() < 0.22
    assert 1.5 <= topics.mean() <= 2
    assert set(topics) == {0, 1, 2, 3, 4}
    assert labels.sum().min() >= 40, "enough to be split three ways"


def test_a_few_messages_are_in_another_language(loaded):
    languages = loaded["id"].str[:2].value_counts(normalize=True)
    assert languages[["DE", "ES", "FR"]].between(0.01, 0.03).all()
    german = loaded.loc[loaded["id"].str.startswith("DE"), "comment_text"]
    assert german.str.contains(r"\b(?:ich|das|die|der|den|bitte|wie|wann|gibt|haben|meine?)\b", case=False).mean() > 0.9


def test_lengths_are_those_of_short_messages(table):
    words = table["message"].str.split().str.len()
    assert words.min() <= 2
    assert 15 <= words.median() <= 25
    assert 40 <= words.max() <= 90


def test_no_slot_is_left_and_people_type_as_they_do(table):
    assert not table["message"].str.contains(r"[{}|]|\s\s|^\s|\s$", regex=True).any()
    plain = table["message"].str
    assert 0.05 < (plain.lower() == table["message"]).mean() < 0.2
    assert plain.contains("Thank|thx|Merci|Danke|Gracias", case=False).mean() > 0.1


def test_near_duplicates_are_rare(table):
    assert near_duplicates(table["message"]) <= 0.01


def test_no_long_sentence_of_a_topic_comes_back_often(table):
    pieces = table["message"].str.lower().str.split(r"(?<=[.?!])\s+").explode()
    rules = Grammar.load(RULES, 0).rules
    frame = {text.lower() for name in ("off_topic", "before_it", "after_it", "closing") for text in rules[name]}
    often = pieces[pieces.str.split().str.len() > 7].value_counts()
    assert often[[text not in frame for text in often.index]].iloc[0] <= 15


def test_every_topic_has_its_sentences_and_every_slot_a_rule():
    rules = {}
    for path in RULES:
        rules |= tomllib.loads(path.read_text(encoding="utf-8"))
    for label in maker.LABELS:
        for kind in ("say", "rare", "odd", "terse", "de", "es", "fr"):
            assert rules[f"{kind}_{label}"], f"{kind}_{label}"
    pairs = [symbol.split("_")[1:] for symbol in rules if symbol.startswith("both_")]
    assert all(set(pair) <= set(maker.LABELS) and len(pair) == 2 for pair in pairs)
    slots = {slot for texts in rules.values() for text in texts for slot in re.findall(r"\{(\w+)\}", text)}
    assert slots <= set(rules)


def test_the_topics_of_a_message_are_different_and_follow_the_size():
    grammar = Grammar.load(RULES, 3)
    for size in range(5):
        for _ in range(50):
            topics = maker.choose(grammar, size)
            assert len(topics) == len(set(topics)) == size


def test_the_data_card_counts_as_the_file_does(loaded):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8").split("## tickets.csv")[1]
    said = {label: (int(rows), int(known.replace(",", ""))) for label, rows, known in re.findall(CARD, card)}
    labels = loaded[list(maker.LABELS)]
    assert said == {label: (int(labels[label].sum()), int(labels[label].notna().sum())) for label in labels}
