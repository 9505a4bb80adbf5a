import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse.csgraph import connected_components

from helpers import datasets

LONG = "please do not remove the notice again because the article still needs a reliable source for its first claim"


def jaccard(a: str, b: str) -> float:
    x, y = ({tuple(t.split()[i : i + 3]) for i in range(len(t.split()) - 2)} for t in (a, b))
    return len(x & y) / len(x | y)


def test_exact_duplicates_ignore_case_spacing_and_signs():
    texts = ["Stop it!", "other", "stop   IT", "STOP, it...", "", "!!!", "??", "!!!"]
    assert datasets.near_duplicates.duplicate_groups(texts).tolist() == [0, 1, 0, 0, 2, 3, 4, 3]


def test_near_duplicates_are_found_and_distant_texts_are_not():
    changed = LONG + " thanks"
    other = "an entirely different sentence about trains and tunnels and the weather of last week"
    texts = [LONG, other, changed, LONG.upper()]
    assert datasets.near_duplicate_groups(texts).tolist() == [0, 1, 0, 0]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_groups_equal_those_of_comparing_all(seed):
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(300)])
    texts = [" ".join(rng.choice(words, rng.integers(8, 40))) for _ in range(30)]
    for source in rng.integers(0, 30, 30):
        copy = texts[source].split()
        for index in rng.integers(0, len(copy), rng.integers(0, 3)):
            copy[index] = rng.choice(words)
        texts.append(" ".join(copy))
    texts = list(dict.fromkeys(texts))
    linked = np.array([[jaccard(one, other) > 0.8 for other in texts] for one in texts])
    expected = connected_components(linked)[1]
    groups = datasets.near_duplicate_groups(texts)
    np.testing.assert_array_equal(groups[:, None] == groups, expected[:, None] == expected)


def test_groups_link_over_several_steps():
    words = LONG.split() * 2
    chain = [" ".join(words + [f"extra{i}" for i in range(n)]) for n in range(0, 12, 2)]
    assert jaccard(chain[0], chain[-1]) < 0.8
    assert len(set(datasets.near_duplicate_groups(chain))) == 1


def test_no_texts_and_one_text():
    assert datasets.near_duplicate_groups([]).tolist() == []
    assert datasets.near_duplicate_groups(["alone"]).tolist() == [0]


def test_groups_do_not_depend_on_the_order_or_the_process():
    code = (
        "from helpers import datasets; f = datasets.load_comments();"
        "print(len(set(datasets.near_duplicate_groups(f['comment_text'][::-1]))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(set(datasets.near_duplicate_groups(datasets.load_comments()["comment_text"])))


@pytest.mark.parametrize("threshold", [0.3, 1.0, 2])
def test_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match=r"^threshold=.*: expected a number, at least 0\.5 and below 1"):
        datasets.near_duplicate_groups(["a"], threshold=threshold)


def test_texts_of_one_template_are_grouped():
    texts = [f"{LONG} says ticket {i}" for i in range(500)]
    assert set(datasets.near_duplicate_groups(texts)) == {0}


@pytest.mark.parametrize(("one", "other"), [("कि", "की"), ("กิน", "กีน"), ("resumé", "resume")])
def test_accents_and_vowel_signs_belong_to_the_word(one, other):
    assert datasets.near_duplicates.duplicate_groups([one, other]).tolist() == [0, 1]


def test_composed_and_decomposed_accents_are_the_same_word():
    assert datasets.near_duplicates.duplicate_groups(
        ["Résumé", "re\u0301sume\u0301", "STRASSE", "straße"]
    ).tolist() == [0, 0, 1, 1]
