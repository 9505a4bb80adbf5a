"""The bundled comments: made by the grammar, in the promised shape, safe for a projector, as hard as intended."""

import hashlib
import ipaddress
import re
import tomllib
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from make_sample import write

from helpers import datasets
from tools.grammar.comments import COLUMNS, JOINT, ROWS, make, shingles
from tools.grammar.engine import Grammar

ROOT = Path(__file__).resolve().parents[2]
CSV = ROOT / "data" / "comments.csv"
GRAMMAR = sorted((ROOT / "tools" / "grammar").glob("comments_*.toml"))
RUDE = re.compile(
    r"\b(?:stupid|idiots?|dumb|fools?|jerk|losers?|crap\w*|damn\w*|bloody|shut up|rubbish|kill\w*|hell|bum|butt|fart\w*"
    r"|liar|clown|troll|coward|lazy|useless|silly|pathetic|ignorant)\b",
    re.IGNORECASE,
)
MARKUP = (
    r"^== .+ ==",
    r"\[\[.+\]\]",
    r"\{\{.+\}\}",
    r"^:+\w",
    r"\(talk\) \d\d:\d\d, .+ \(UTC\)",
    r"example\.(?:org|com|net)",
)
ODD = (
    r'""',
    r"\b[A-Z]{4,} [A-Z]{3,} [A-Z]{3,}",
    r"\w\*+\w",
    r"\b(?:1d|cr4p|d4mn|5t)",
    r"\b\w(?: \w){3,}\b",
    "[\U0001f300-\U0001faff]",
)
HARD = (
    r"<script>alert\(1\)</script>",
    r"\b(?:kill|murder) (?:for )?a \w+",
    r"\bhanded out\b",
    r"\b[Cc]all(?:ed|ing)? (?:people|me|anybody|anyone|another editor|\w+) (?:an? |\"\")",
)
TONGUES = (r"\bIch\b|\bnicht\b", r"\bHola\b|artículo", r"\bMerci\b|\bBonjour\b", r"\bGrazie\b|\bCiao\b")


@pytest.fixture(scope="module")
def comments() -> pd.DataFrame:
    return pd.read_csv(CSV, keep_default_na=False)


def test_the_committed_file_is_what_the_grammar_makes(tmp_path):
    write(make(), tmp_path / "comments.csv")
    assert (tmp_path / "comments.csv").read_bytes() == CSV.read_bytes(), "run: python tools/make_sample.py comments"
    assert [path.name for path in tmp_path.iterdir()] == ["comments.csv"]


def test_schema(comments):
    assert list(comments) == ["id", "comment_text", *COLUMNS]
    assert len(comments) == ROWS
    assert comments["id"].is_unique
    assert comments["id"].str.fullmatch(r"[0-9a-f]{16}").all()
    assert comments[list(COLUMNS)].isin([0, 1]).all(axis=None)
    assert comments["comment_text"].str.len().between(2, 5000).all()
    assert (comments["comment_text"] == comments["comment_text"].str.strip()).all()
    content = CSV.read_bytes()
    assert b"\r" not in content
    assert not content.startswith(b"\xef\xbb\xbf")
    assert content.endswith(b"\n")


def test_labels_are_nested_and_as_frequent_as_planned(comments):
    assert (comments.loc[comments["severe_toxic"] == 1, "toxic"] == 1).all()
    assert all(combination[0] >= combination[1] for combination in JOINT)
    found = comments.groupby(list(COLUMNS)).size()
    assert {key: count for key, count in found.items() if any(key)} == JOINT
    rates = comments[list(COLUMNS)].mean()
    for label, (low, high) in {
        "toxic": (0.17, 0.21), "severe_toxic": (0.018, 0.024), "obscene": (0.09, 0.12), "threat": (0.005, 0.009),
        "insult": (0.09, 0.11), "identity_hate": (0.015, 0.021),
    }.items():  # fmt: skip
        assert low < rates[label] < high, label


def test_no_blocked_word(comments):
    blocked = set((ROOT / "tests" / "blocked_tokens.txt").read_text(encoding="ascii").split())
    texts = [*comments["comment_text"], *(path.read_text(encoding="utf-8") for path in GRAMMAR)]
    tokens = {token for text in texts for token in re.findall(r"[^\W_]+", text.lower())}
    tokens |= {token.rstrip("s") for token in tokens}
    assert len(blocked) > 100
    assert not [token for token in tokens if hashlib.sha256(token.encode()).hexdigest()[:12] in blocked]


def test_addresses_are_reserved_for_documentation(comments):
    nets = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    text = "\n".join(comments["comment_text"])
    addresses = re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text)
    assert len(addresses) > 100
    assert all(any(ipaddress.ip_address(address) in net for net in nets) for address in addresses)
    hosts = re.findall(r"https?://([^/\s\"]+)", text.lower())
    assert len(hosts) > 50
    assert all(host.endswith(("example.org", "example.com", "example.net")) for host in hosts)


def test_few_near_duplicates_some_with_other_labels(comments):
    rows = comments[comments["comment_text"].duplicated(keep=False)]
    assert len(rows) > 20
    labels = rows.groupby("comment_text")[list(COLUMNS)].nunique().gt(1).any(axis=1)
    assert labels.sum() >= 3
    sets = [shingles(text) for text in comments["comment_text"]]
    index: dict[tuple[str, ...], list[int]] = {}
    close: set[int] = set()
    for row, grams in enumerate(sets):
        for_index = sorted(grams, key=lambda gram: (-len("".join(gram)), gram))[: len(grams) // 5 + 1]
        for other in {earlier for gram in for_index for earlier in index.get(gram, ())}:
            if len(grams & sets[other]) > 0.8 * len(grams | sets[other]):
                close |= {row, other}
        for gram in for_index:
            index.setdefault(gram, []).append(row)
    assert 50 <= len(close) <= 0.01 * len(comments)


@pytest.mark.parametrize("pattern", [*MARKUP, *ODD, *HARD, *TONGUES])
def test_what_talk_pages_have_is_there(comments, pattern):
    assert comments["comment_text"].str.contains(pattern, flags=re.MULTILINE, regex=True).sum() >= 2


def test_words_alone_do_not_decide(comments):
    rude = comments["comment_text"].map(lambda text: bool(RUDE.search(text)))
    toxic = comments["toxic"] == 1
    assert 0.03 < rude[~toxic].mean() < 0.15
    assert 0.2 < (~rude[toxic]).mean() < 0.7


def test_most_insults_of_a_test_set_are_rare_in_training(comments):
    heads = tomllib.loads((GRAMMAR[0].parent / "comments_heads.toml").read_text(encoding="utf-8"))
    swearing = tomllib.loads((GRAMMAR[0].parent / "comments_swearing.toml").read_text(encoding="utf-8"))
    compounds = rf"(?:{'|'.join(heads['cbad'])})[- ]?(?:{'|'.join(heads['cbody'])})"
    names = sorted({name.lower() for name in heads["iw"] + swearing["butt"] if "{" not in name}, key=len, reverse=True)
    head = re.compile(rf"\b({compounds}|{'|'.join(map(re.escape, names))})s?\b")
    rows = datasets.as_comments(comments, labels=list(COLUMNS))
    for seed in range(3):
        parts = datasets.split(rows, valid=0.15, test=0.25, seed=seed, groups="near-duplicates")
        known = Counter(name for text in parts.train["comment_text"] for name in head.findall(text.lower()))
        insults = parts.test.loc[parts.test["insult"] == 1, "comment_text"]
        found = {name for text in insults for name in head.findall(text.lower())}
        assert len(found) > 100
        assert sum(known[name] > 5 for name in found) <= 0.4 * len(found)
        assert sum(known[name] == 0 for name in found) >= 0.1 * len(found)


def test_kind_and_unkind_sentences_share_their_frames():
    frames = tomllib.loads((GRAMMAR[0].parent / "comments_frames.toml").read_text(encoding="utf-8"))

    def openings(symbol):
        return {" ".join(re.sub(r"\{\w+\}", "_", text).lower().split()[:2]) for text in frames[symbol]}

    assert len(openings("clean_word") & openings("ins_word")) > 30


def test_rules_in_zipf_prefer_their_first_alternatives_and_use_all():
    grammar = Grammar({"word": [str(k) for k in range(50)]}, seed=1)
    grammar.zipf = {"word": 5}
    drawn = Counter(grammar.pick("word") for _ in range(5_000))
    assert len(drawn) == 50
    assert drawn["0"] > 2 * drawn["20"] > 2 * drawn["49"]


def test_a_symbol_in_capitals_is_written_in_capitals():
    grammar = Grammar({"word": ["a {thing}"], "thing": ["goat"]}, seed=1)
    assert grammar.expand("{WORD}, {word}, {USER}", user="Moth") == "A GOAT, a goat, MOTH"


def test_every_symbol_of_the_grammar_is_defined_and_used():
    rules: dict[str, list[str]] = {}
    for path in GRAMMAR:
        if "topics" not in path.name:
            rules |= tomllib.loads(path.read_text(encoding="utf-8"))
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools" / "grammar").glob("comments*.py"))
    text = " ".join(alternative for alternatives in rules.values() for alternative in alternatives)
    unused = [
        name
        for name in rules
        if f"{{{name}}}" not in text
        and name.removesuffix("_more") not in code
        and not name.startswith(("foreign_", "rude_", "welcome_", "warn_"))
    ]
    assert not unused


def test_the_data_card_gives_the_rates_of_the_file(comments):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for label in COLUMNS:
        assert f"| `{label}` | {comments[label].sum():,} | {comments[label].mean():.2%} |" in card


def test_wrong_labels_and_copies_stand_anywhere_in_the_file(comments):
    texts = comments["comment_text"].str.lower()
    unmarked = ~texts.str.contains(r"\b(?:you|your|crap|damn|bloody|idiot|stupid)\b", regex=True)
    doubtful = (comments["toxic"].eq(1) & unmarked).to_numpy()
    copied = texts.duplicated(keep=False).to_numpy()
    for rows in (doubtful, copied):
        tenths = [rows[start : start + ROWS // 10].mean() for start in range(0, ROWS, ROWS // 10)]
        assert max(tenths) < 0.35 * sum(tenths)
