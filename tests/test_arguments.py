"""The checks of numbers and choices: what is accepted, and that each refusal names argument, range and value."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st

from helpers import arguments


@pytest.mark.parametrize("value", [1, np.int8(1), np.uint64(1), torch.tensor(1)])
def test_whole_numbers_of_every_library_are_counts(value):
    found = arguments.check_count("epochs", value)
    assert found == 1
    assert type(found) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, math.nan, True, np.True_, "1", None, [1], torch.tensor([1, 2])])
def test_what_is_no_count_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^epochs=.*: expected a whole number, at least 1$"):
        arguments.check_count("epochs", value)


def test_a_count_above_its_range_is_refused():
    assert arguments.check_count("layers", 6, at_least=0, at_most=6) == 6
    with pytest.raises(ValueError, match=r"^layers=7: expected a whole number, from 0 to 6$"):
        arguments.check_count("layers", 7, at_least=0, at_most=6)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5), Fraction(1, 2)])
def test_numbers_of_every_library_are_numbers(value):
    found = arguments.check_number("lr", value, above=0, below=1)
    assert found == 0.5
    assert type(found) is float


@pytest.mark.parametrize("value", [0, -1e-9, math.nan, math.inf, -math.inf, True, "0.5", None, [0.5], 10**400])
def test_what_is_no_positive_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^lr=.*: expected a number, above 0$"):
        arguments.check_number("lr", value, above=0)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_passes_exactly_when_it_is_in_range(value):
    inside = 0 <= value <= 1
    try:
        arguments.check_number("share", value, at_least=0, at_most=1)
    except ValueError:
        assert not inside
    else:
        assert inside


@pytest.mark.parametrize("value", ["end", None, 3, np.array([1, 2]), ["head"]])
def test_other_choices_are_refused_with_the_list(value):
    with pytest.raises(ValueError, match=r"^keep=.*: expected 'head' or 'tail'$"):
        arguments.check_choice("keep", value, ("head", "tail"))


@pytest.mark.parametrize(
    "value", [["a", "b"], ("a", "b"), np.array(["a", "b"]), pd.Index(["a", "b"]), pd.Series(["a", "b"]), iter("ab")]
)
def test_names_of_every_kind_of_list_keep_their_order(value):
    assert arguments.check_names("labels", value, size=2) == ["a", "b"]


@pytest.mark.parametrize(
    "value",
    [
        "ab",
        b"ab",
        {"a", "b"},
        {"a": 1},
        3,
        None,
        [],
        ["a", "a"],
        ["a", ["b"]],
        np.array([["a"]]),
        pd.DataFrame({"a": [1]}),
    ],
)
def test_what_is_no_list_of_names_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^labels.*: expected a list of different names"):
        arguments.check_names("labels", value)


@pytest.mark.parametrize("value", [[], {}, None, "a", pd.DataFrame({"a": [1]})])
def test_what_is_no_filled_mapping_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^curves is .*: expected a dict \{label: ...\} with at least one entry$"):
        arguments.check_mapping("curves", value, keys="label")


def test_a_table_needs_rows_and_each_column_once():
    table = pd.DataFrame([[1, 2]], columns=["a", "b"])
    assert arguments.check_table("report", table, ["a", "b"]) is table
    for bad, message in [
        ([[1, 2]], "report is a list: expected a DataFrame"),
        (table[["a", "a"]], "expected the columns .'a'., found .'a', 'a'."),
        (table.head(0), "shape .0, 2.: expected at least one row"),
    ]:
        with pytest.raises(ValueError, match=message):
            arguments.check_table("report", bad, ["a"])


def test_numbers_of_a_generator_are_read():
    rows = [[1, 0], [True, None]]
    np.testing.assert_array_equal(arguments.as_numbers("targets", (row for row in rows)), [[1, 0], [1, np.nan]])
