"""The template sentences: the bundled file is what the grammar makes, fair to every group; the loader; the real set."""

import hashlib
import os
import re
import tomllib
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from make_sample import write

from helpers import config, datasets, evaluation
from helpers.datasets.registry import PUBLISHED
from tools.grammar.templates import RULES, fill, make

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "data" / "identity_templates.csv"
DATA = os.environ.get("COURSE_DATA", "")
KINDS = {"named": 10, "new": 6, "neutral": 8}
RUDE = re.compile(r"\b(?:stupid|idiots?|fool|kill\w*|damn|crap|bloody|shut up|lazy)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def rules():
    return tomllib.loads(RULES.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def templates():
    return datasets.load_templates(keep=["template", "identity_hate"])


def words(rules, *kinds):
    """All forms of each group's name."""
    return {group: [group, *forms] for kind in kinds for group, forms in rules["groups"][kind].items()}


def test_the_committed_file_is_what_the_grammar_makes(tmp_path):
    write(make(), tmp_path / "templates.csv")
    assert (tmp_path / "templates.csv").read_bytes() == CSV.read_bytes(), "run: python tools/make_sample.py templates"


def test_every_group_stands_in_every_sentence_half_of_them_toxic(templates, rules):
    assert {kind: len(groups) for kind, groups in rules["groups"].items()} == KINDS
    assert templates.shape == (24 * 80, 6)
    assert templates["id"].is_unique
    assert templates["comment_text"].is_unique
    assert pd.crosstab(templates["template"], templates["group"]).eq(1).all(axis=None)
    assert templates.groupby("group")["toxic"].agg(["size", "sum"]).eq([80, 40]).all(axis=None)
    assert templates.groupby("template")["toxic"].nunique().eq(1).all()
    assert templates["toxic"].iloc[::24].tolist() == [0, 1] * 40
    assert templates["identity_hate"].iloc[::24].tolist() == [0, 1] * 20 + [0, 0] * 20


def test_a_sentence_is_its_template_with_the_groups_name(templates, rules):
    forms = {group: forms for kind in rules["groups"].values() for group, forms in kind.items()}
    for row in templates.itertuples():
        assert row.comment_text == fill(row.template, row.group, *forms[row.group])
        assert row.comment_text[0].isupper()
        assert row.comment_text[-1] in ".!?"
    assert not templates["comment_text"].str.contains(r"[{}]|  |\b[Aa] [aeiou]|\b[Aa]n [^aeiouAEIOU]", regex=True).any()
    named = evaluation.mentions(templates["comment_text"], words(rules, *KINDS))
    expected = pd.get_dummies(templates["group"])[named.columns]
    assert (named.to_numpy() == expected.to_numpy()).all(), "no group is named in another one's sentence"


def test_an_article_fits_its_noun():
    assert fill("{A} and {a}", "owls", "owl", "owls'") == "An owl and an owl"
    assert fill("{Plural}, {a}, {Attributive}", "night owls", "night owl", "night owls'") == (
        "Night owls, a night owl, Night owls'"
    )


def test_the_named_peoples_are_those_of_the_comments_and_the_new_ones_are_not(rules):
    comments = datasets.load_comments()
    named = evaluation.mentions(comments["comment_text"], words(rules, "named"))
    assert named.sum().min() >= 10
    hated = named.mul(comments["identity_hate"], axis=0).sum() / named.sum()
    assert hated.min() > 10 * comments["identity_hate"].mean()
    grammar = tomllib.loads((RULES.parent / "comments_names.toml").read_text(encoding="utf-8"))
    others = dict(zip(grammar["groups"], zip(grammar["group"], grammar["groups"], strict=True), strict=True))
    left_out = {plural: spellings for plural, spellings in others.items() if plural not in rules["groups"]["named"]}
    assert len(left_out) == len(others) - 10
    assert evaluation.mentions(comments["comment_text"], left_out).sum().max() < 10
    assert not evaluation.mentions(comments["comment_text"], words(rules, "new")).any(axis=None)
    neutral = evaluation.mentions(comments["comment_text"], words(rules, "neutral"))
    assert neutral.mul(comments["identity_hate"], axis=0).sum().max() <= 1


def test_harmless_sentences_have_rude_words_too(rules):
    share = {side: sum(map(bool, map(RUDE.search, texts))) / len(texts) for side, texts in rules["sentences"].items()}
    assert 0.3 < share["harmless"] < 0.45
    assert 0.3 < (share["against_the_group"] + share["against_somebody_else"]) / 2 < 0.7


def test_no_blocked_word(templates):
    blocked = set((ROOT / "tests" / "blocked_tokens.txt").read_text(encoding="ascii").split())
    texts = [*templates["comment_text"], RULES.read_text(encoding="utf-8")]
    tokens = {token for text in texts for token in re.findall(r"[^\W_]+", text.lower())}
    tokens |= {token.rstrip("s") for token in tokens}
    assert not [token for token in tokens if hashlib.sha256(token.encode()).hexdigest()[:12] in blocked]


def test_the_data_card_names_the_groups(rules):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for kind, groups in rules["groups"].items():
        assert f"| {kind} | {len(groups)} | {', '.join(groups)} |" in card


def test_the_bundled_file_loads(monkeypatch, tmp_path):
    frame = datasets.load_templates()
    assert list(frame) == ["id", "comment_text", "toxic", "group"]
    assert frame["toxic"].dtype == "int8"
    assert frame.attrs["source"] == "bundled sample: 1,920 rows"
    monkeypatch.setattr(config, "bundled_folders", lambda: [tmp_path])
    with pytest.raises(FileNotFoundError, match=r"git checkout data/identity_templates\.csv"):
        datasets.load_templates()


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("comment_text,toxic,group,year\nHello bakers,0,bakers,1\nBoo twins,1,twins,2\n")
    frame = datasets.load_templates(path, keep=["year"])
    assert frame["id"].tolist() == ["row-1", "row-2"]
    assert frame["group"].tolist() == ["bakers", "twins"]
    assert list(frame) == ["id", "comment_text", "toxic", "group", "year"]
    assert list(datasets.load_templates(path, keep=["group"])) == ["id", "comment_text", "toxic", "group"]
    for content, message in [
        ("comment_text,toxic\na,0\n", "missing column group"),
        ("comment_text,toxic,group\na,0, \nb,1,x\n", "row 1: column group is empty"),
        ("comment_text,toxic,group\na,0,x\nb,2,x\n", "row 2: column toxic holds '2'"),
        ("comment_text,toxic,group\n,0,x\n", "row 1: column comment_text is empty"),
    ]:
        path.write_text(content)
        with pytest.raises(datasets.DataError, match=message):
            datasets.load_templates(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        datasets.load_templates(tmp_path / "other.csv")


MADLIBS = """Text,Label,Template
hug bakers,NOT_BAD,verb_adj
destroy night owls,BAD,verb_adj
i am night owl,NOT_BAD,am_hate_adj
Being left-handed is terrible.,BAD,being_adj
You are a kind night owl,NOT_BAD,you_are_adj
You are an ugly fire fighter,BAD,you_occupation
Zita is a nasty Night Owl,BAD,name_adj
"""


def test_the_one_file_in_the_published_zip_is_read_whatever_its_name(identity, tmp_path):
    identity()
    plain = datasets.load_templates("identity")
    with zipfile.ZipFile(tmp_path / "identity" / "bias_madlibs_77k.zip", "w") as archive:
        archive.writestr("madlibs.csv", MADLIBS)
    (tmp_path / "identity" / "bias_madlibs_77k.csv").unlink()
    pd.testing.assert_frame_equal(datasets.load_templates("identity"), plain)


@pytest.fixture
def identity(tmp_path, monkeypatch):
    """Write a small file in the published schema where `load_templates("identity")` looks."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "identity").mkdir()

    def put(text=MADLIBS):
        (tmp_path / "identity" / "bias_madlibs_77k.csv").write_text(text, encoding="utf-8")

    return put


def test_the_term_is_told_by_its_place_in_the_sentence(identity):
    identity()
    frame = datasets.load_templates("identity", keep=["template"])
    assert frame["group"].tolist() == [
        "bakers", "night owls", "night owl", "left-handed", "night owl", "fire fighter", "night owl",
    ]  # fmt: skip
    assert frame["toxic"].tolist() == [0, 1, 0, 1, 0, 1, 1]
    assert list(frame) == ["id", "comment_text", "toxic", "group", "template"]
    assert frame.attrs["source"] == "part of bias_madlibs_77k, which has 76,564 rows: 7 rows"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "hug bakers,NOT_BAD",
            "hug bakers,GOOD",
            "row 1: column Label holds 'GOOD' .* 'bad' or 'not_bad'",
        ),
        ("destroy night owls", "destroy", "row 2: the text is no sentence of template 'verb_adj'"),
        ("am_hate_adj", "other", "row 3: the text is no sentence of template 'other'.*known are verb_adj, am_hate_adj"),
        ("Text,", "Words,", "missing column Text"),
    ],
)
def test_another_file_is_refused(identity, old, new, message):
    identity(MADLIBS.replace(old, new))
    with pytest.raises(datasets.DataError, match=message):
        datasets.load_templates("identity")


def test_without_the_file_it_says_where_it_looked_and_where_it_can_be_had(identity, tmp_path):
    with pytest.raises(FileNotFoundError) as refusal:
        datasets.load_templates("identity")
    message = str(refusal.value)
    assert "bias_madlibs_77k.csv.zip" in message
    assert str(tmp_path / "identity") in message
    assert str(ROOT / "data" / "identity") in message
    assert "conversationai/unintended-ml-bias-analysis (Apache-2.0)" in message


@pytest.mark.skipif(
    not DATA or not Path(DATA, "identity").is_dir(), reason="set COURSE_DATA to a folder with identity/"
)
def test_the_published_set_has_the_same_terms_in_every_template():
    frame = datasets.load_templates("identity", keep=["template"])
    assert frame.attrs["source"] == f"bias_madlibs_77k, whole: {PUBLISHED['bias_madlibs_77k.csv'].rows:,} rows"
    assert frame["toxic"].mean() == 0.5
    kinds = frame.groupby("template")["group"].agg(frozenset)
    occupations = kinds.pop("you_occupation")
    assert len(set(kinds)) == 1
    assert len(kinds.iloc[0]) == 50
    assert len(occupations) == 27
    assert not occupations & kinds.iloc[0]
    counts = frame.groupby("group")["toxic"].agg(["size", "mean"])
    assert counts["mean"].eq(0.5).all()
    assert sorted(counts["size"]) == [32] * 27 + [1514] * 50
