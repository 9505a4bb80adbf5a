"""Bias by group: scikit-learn on the published masks, closed forms, what must not change a score, bad input."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.metrics import roc_auc_score

from helpers.evaluation import bias_report, bias_score, mentions

AREAS = ["subgroup_auc", "bpsn_auc", "bnsp_auc"]
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@st.composite
def cases(draw):
    """Targets and groups with unknown entries, probabilities with many ties, some groups or classes empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, unknown = draw(st.integers(1, 60)), draw(st.sampled_from([0, 0.2]))
    targets = (rng.random(rows) < draw(st.sampled_from([0.0, 0.3, 0.5]))).astype(float)
    groups = (rng.random((rows, 3)) < draw(st.sampled_from([0.0, 0.2, 0.6]))).astype(float)
    targets[rng.random(rows) < unknown] = np.nan
    groups[rng.random(groups.shape) < unknown] = np.nan
    levels = draw(st.sampled_from([1, 4, 1000]))
    return targets, rng.integers(0, levels + 1, rows) / levels, pd.DataFrame(groups, columns=["x", "y", "z"])


def made(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random(rows) < 0.4).astype(float)
    scores = np.round(np.clip(rng.normal(0.4 + 0.2 * targets, 0.2), 0, 1), 2)
    return targets, scores, pd.DataFrame(rng.random((rows, 3)) < 0.4, columns=["x", "y", "z"])


def sklearn_auc(targets, scores, rows):
    return roc_auc_score(targets[rows], scores[rows]) if len(set(targets[rows])) == 2 else np.nan


@given(cases())
@settings(max_examples=40, deadline=None)
def test_the_areas_are_scikit_learns_on_the_published_masks(case):
    targets, scores, groups = case
    found = bias_report(targets, scores, groups, min_support=1, threshold=0.5)
    for name in groups:
        known = ~np.isnan(targets) & groups[name].notna().to_numpy()
        inside, toxic = groups[name].eq(1).to_numpy(), targets == 1
        masks = [inside, (inside & ~toxic) | (~inside & toxic), (inside & toxic) | (~inside & ~toxic)]
        expected = [sklearn_auc(targets, scores, known & mask) for mask in masks]
        np.testing.assert_allclose(found.loc[name, AREAS].astype(float), expected, rtol=0, atol=1e-12)
        assert found.loc[name, "rows"] == (known & inside).sum()
        assert found.loc[name, "positives"] == (known & inside & toxic).sum()
        flagged = pd.Series(scores >= 0.5)
        rate, elsewhere = (flagged[known & ~toxic & rows].mean() for rows in (inside, ~inside))
        np.testing.assert_allclose(
            found.loc[name, ["false_positive_rate", "false_positive_gap"]].astype(float), [rate, rate - elsewhere]
        )


def test_by_hand():
    targets = [1, 0, 0, 1, 1, 0]
    scores = [0.9, 0.8, 0.8, 0.8, 0.6, 0.1]
    groups = pd.DataFrame({"named": [True, True, True, False, False, False]})
    found = bias_report(targets, scores, groups, min_support=1, threshold=0.7).loc["named"]
    assert found[["rows", "positives"]].tolist() == [3, 1]
    assert found["subgroup_auc"] == 1
    assert found["bpsn_auc"] == (0.5 + 0.5) / 4  # two ties, and two pairs the wrong way round
    assert found["bnsp_auc"] == 1
    assert found["false_positive_rate"] == 1
    assert found["false_positive_gap"] == 1


def test_a_higher_score_for_the_name_alone_lowers_bpsn_and_raises_bnsp_and_nothing_else():
    rng = np.random.default_rng(0)
    targets = np.tile(rng.integers(0, 2, 500), 2)
    logits = np.tile(rng.normal(targets[:500]), 2)  # the same rows twice, with the name and without
    groups = pd.DataFrame({"named": np.arange(1000) < 500})
    scores = [1 / (1 + np.exp(-logits - extra * groups["named"])) for extra in (0, 1)]
    fair, unfair = (bias_report(targets, score, groups).loc["named"] for score in scores)
    assert fair["subgroup_auc"] == fair["bpsn_auc"] == fair["bnsp_auc"]
    assert unfair["subgroup_auc"] == fair["subgroup_auc"]
    assert unfair["bpsn_auc"] < fair["bpsn_auc"] - 0.15
    assert unfair["bnsp_auc"] > fair["bnsp_auc"] + 0.1


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_rows_and_groups_nor_a_monotone_transform_matters(case, random):
    targets, scores, groups = case
    expected = bias_report(targets, scores, groups, min_support=1)
    order, names = random.sample(range(len(targets)), len(targets)), random.sample(list(groups), 3)
    shuffled = bias_report(targets[order], scores[order], groups.iloc[order].reset_index(drop=True), min_support=1)
    pd.testing.assert_frame_equal(shuffled, expected)
    pd.testing.assert_frame_equal(bias_report(targets, scores, groups[names], min_support=1), expected.loc[names])
    pd.testing.assert_frame_equal(bias_report(targets, scores**3 / 2, groups, min_support=1), expected)
    turned = bias_report(1 - targets, 1 - scores, groups, min_support=1)
    np.testing.assert_allclose(turned[AREAS], expected[["subgroup_auc", "bnsp_auc", "bpsn_auc"]])


def test_few_rows_give_no_score():
    targets, scores, groups = made()
    groups["few"] = np.isin(np.arange(400), np.flatnonzero(targets == 1)[:9])
    groups["nobody"] = False
    groups["everybody"] = True
    found = bias_report(targets, scores, groups, threshold=0.5)
    assert found.loc["few", ["rows", "positives"]].tolist() == [9, 9]
    assert found.loc["nobody", ["rows", "positives"]].tolist() == [0, 0]
    assert found.loc[["few", "nobody"], [*AREAS, "false_positive_rate", "false_positive_gap"]].isna().all(axis=None)
    assert found.loc["everybody"].notna().tolist() == [True, True, True, False, False, True, False]
    one_less = bias_report(targets, scores, groups, min_support=9).loc["few", AREAS]
    assert one_less.notna().tolist() == [False, False, True]


def test_tensors_series_and_nullable_columns_are_taken():
    targets, scores, groups = made()
    expected = bias_report(targets, scores, groups)
    given_otherwise = groups.astype("boolean")
    found = bias_report(pd.Series(targets), torch.tensor(scores, requires_grad=True), given_otherwise)
    pd.testing.assert_frame_equal(found, expected)
    given_otherwise["x"] = pd.array([None] * 400, dtype="boolean")
    assert bias_report(targets, scores, given_otherwise).loc["x", ["rows", "subgroup_auc"]].fillna(-1).tolist() == [
        0,
        -1,
    ]


GROUPS = pd.DataFrame({"a": [True, False, True]})


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0, 1], [0.1, 0.2, 0.3], GROUPS), {}, r"targets \(2,\) and probabilities \(3,\): both must be \(N,\)"),
        (([[0], [1]], [[0.1], [0.2]], GROUPS), {}, r"targets \(2, 1\) and .* of one label"),
        (([0, 1, 2], [0.1, 0.2, 0.3], GROUPS), {}, "targets: row 2, label 0 .* is 2.0; must be 0, 1 or NaN"),
        (([0, 1, 1], [0.1, 0.2, 1.3], GROUPS), {}, "probabilities: row 2, label 0 .* is 1.3"),
        (([], [], GROUPS.iloc[:0]), {}, "nothing to score"),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS["a"]), {}, "groups is a Series: expected a DataFrame"),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS[[]]), {}, r"groups has the shape \(3, 0\): expected at least one"),
        (([0, 1], [0.1, 0.2], GROUPS), {}, r"groups \(3, 1\) must be \(2, G\), one row per target"),
        (
            ([0, 1, 1], [0.1, 0.2, 0.3], pd.concat([GROUPS, GROUPS], axis=1)),
            {},
            r"columns of groups=\['a', 'a'\]: expected a list of different names",
        ),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS * 2), {}, "groups: row 0 .*, 'a' is 2.0; must be 0, 1, a bool or"),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS.replace({True: "yes"})), {}, "groups of type DataFrame are not a table"),
        (
            (pd.Series([0, 1, 1], index=[5, 6, 7]), [0.1, 0.2, 0.3], GROUPS.set_axis([7, 6, 5])),
            {},
            "rows of groups are named otherwise than those of targets",
        ),
        (
            ([0, 1, 1], [0.1, 0.2, 0.3], GROUPS),
            {"min_support": 0},
            "min_support=0: expected a whole number, at least 1",
        ),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS), {"min_support": 1.5}, "min_support=1.5"),
        (([0, 1, 1], [0.1, 0.2, 0.3], GROUPS), {"threshold": 2}, "threshold 2.0: each must lie in"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        bias_report(*arguments, **settings)


def report(**columns):
    table = {"subgroup_auc": [0.9, 0.8], "bpsn_auc": [0.7, 0.9], "bnsp_auc": [0.95, 0.85]} | columns
    return pd.DataFrame(table, index=["a", "b"])


def test_the_score_is_the_competitions():
    def power_mean(series):
        return (sum(value**-5 for value in series) / len(series)) ** (1 / -5)

    table = report()
    expected = 0.25 * 0.96 + 0.75 * sum(power_mean(table[name]) for name in AREAS) / 3
    assert bias_score(table, 0.96) == pytest.approx(expected, abs=1e-14)
    assert bias_score(table.assign(rows=3), 0.96) == bias_score(table, 0.96)
    assert bias_score(report(bpsn_auc=[0.0, 0.9]), 1) == pytest.approx(
        0.25 + 0.25 * sum(power_mean(table[name]) for name in ("subgroup_auc", "bnsp_auc"))
    )


def test_a_group_without_an_area_is_left_out_of_all_three_means():
    table = report(bnsp_auc=[np.nan, 0.85])
    with pytest.warns(UserWarning, match=r"leaves out \['a'\], of which an AUC is NaN; groups counted: 1"):
        assert bias_score(table, 1.0) == pytest.approx((1 + 0.8 + 0.9 + 0.85) / 4)
    with pytest.warns(UserWarning, match=r"\['a', 'b'\].*groups counted: 0"):
        assert np.isnan(bias_score(report(bpsn_auc=[np.nan, np.nan]), 0.9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bias_score(report(), 0.9)


def test_the_score_refuses_what_is_no_report():
    with pytest.raises(ValueError, match=r"expected the columns .*'bpsn_auc'.*, found \['subgroup_auc', 'bnsp_auc'\]"):
        bias_score(report().drop(columns="bpsn_auc"), 0.9)
    with pytest.raises(ValueError, match="expected at least one row"):
        bias_score(report().iloc[:0], 0.9)
    with pytest.raises(ValueError, match=r"report: row 1 \(from 0\), 'bpsn_auc' is 90\.0; must be in \[0, 1\]"):
        bias_score(report(bpsn_auc=[0.7, 90]), 0.9)
    for wrong in (1.1, -0.1, np.nan):
        with pytest.raises(ValueError, match="overall_auc="):
            bias_score(report(), wrong)
    assert bias_score(report(), Decimal("0.875")) == bias_score(report(), 0.875)


def test_mentions_finds_whole_words():
    texts = [
        "The bakers met.",
        "BAKER!",
        "a baker's dozen",
        "bakery",
        "the_baker",
        "half-baker",
        "Bakérs",
        "baker2",
        "",
    ]
    found = mentions(texts, {"bakers": ["baker", "bakers"], "plural": "bakers"})
    assert found.dtypes.eq(bool).all()
    assert found["bakers"].tolist() == [True, True, True, False, False, True, False, False, False]
    assert found["plural"].tolist() == [True] + [False] * 8
    assert found.columns.name == "group"


@pytest.mark.parametrize(
    ("text", "word", "named"),
    [
        ("Ein BÄCKER backt.", "Bäcker", True),
        ("Ein Ba\u0308cker backt.", "bäcker", True),
        ("Ein Bäckerei-Gehilfe", "Bäcker", False),
        ("STRASSENMUSIKANT", "Straßenmusikant", True),
        ("पाठकी", "पाठक", False),  # a vowel sign follows, which is no letter to the standard library
        ("пекарь, пекари", "Пекарь", True),
        ("пекари", "пекар", False),
        ("ｂａｋｅｒ", "baker", True),
        ("I use C++ daily", "c++", True),
        ("I use C++11", "c++", False),
        ("a (b) c", "(b)", True),
        ("abc", "a.c", False),
        ("left-handed\n  people meet", "Left-Handed People", True),
        ("left handed people", "left-handed people", False),
        ("don't", "don", True),
    ],
)
def test_mentions_in_any_script(text, word, named):
    assert mentions([text], [word]).to_numpy().tolist() == [[named]]


def test_mentions_keeps_the_rows_names_and_the_groups_order():
    texts = pd.Series(["a twin", "a baker"], index=[7, 3])
    found = mentions(texts, ["twin", "baker"])
    assert found.index.tolist() == [7, 3]
    assert found.columns.tolist() == ["twin", "baker"]
    assert found.to_numpy().tolist() == [[True, False], [False, True]]
    assert mentions([], ["twin"]).shape == (0, 1)
    assert bias_report(pd.Series([0, 1], index=[7, 3]), [0.1, 0.2], found)["rows"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("他是面包师。", "面包师", True),
        ("เขาเป็นครูที่ดี", "ครู", True),
        ("わたしはbaker です", "baker", True),
        ("हम किसान हैं", "किसान", True),
        ("हम किसानों से मिले", "किसान", False),
        ("bakersfield", "bakers", False),
        ("Zo\u00e9s Zoe\u0301", "zoé", True),
        ("Zo\u00e9s", "Zoe\u0301", False),
    ],
)
def test_a_word_stands_whole_in_scripts_with_and_without_spaces(text, word, found):
    assert mentions([text], [word])[word].tolist() == [found]


@pytest.mark.parametrize(
    ("texts", "terms", "message"),
    [
        (["a", None], ["b"], r"texts: text 1 \(counted from 0\) is None, not a text"),
        (["a", np.nan], ["b"], "texts: text 1 .* is nan"),
        ("a text", ["b"], "texts must be several texts, not one"),
        (pd.DataFrame({"comment_text": ["a"]}), ["b"], "texts is a table"),
        (["a"], [], "terms=.*: expected a list of different names"),
        (["a"], {}, "terms is empty: expected a dict {group: ...}"),
        (["a"], "baker", "terms='baker': expected a list of different names"),
        (["a"], ["b", "b"], r"terms=\['b', 'b'\]: expected a list of different names"),
        (["a"], {"bakers": []}, "group 'bakers' has"),
        (["a"], {"bakers": ["baker", " "]}, "group 'bakers' has"),
        (["a"], {"bakers": [None]}, "group 'bakers' has"),
    ],
)
def test_mentions_refuses(texts, terms, message):
    with pytest.raises(ValueError, match=message):
        mentions(texts, terms)
