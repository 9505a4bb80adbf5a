import numpy as np
import pytest

from helpers.datasets.splitting import balanced_sample


def test_each_unit_is_drawn_with_its_chance_and_the_totals_hold():
    rng = np.random.default_rng(1)
    columns = np.column_stack([np.ones(60), rng.random((60, 4)) < 0.3])
    chances = rng.choice([0.1, 0.25, 0.5, 0.9], 60)
    draws = np.array([balanced_sample(columns, chances, rng) for _ in range(400)])
    spread = np.sqrt(chances * (1 - chances) / len(draws))
    assert (np.abs(draws.mean(axis=0) - chances) < 5 * spread).all()
    off = draws @ columns - chances @ columns
    assert np.abs(off[:, 0]).max() < 1
    unbalanced = np.sqrt((chances * (1 - chances)) @ columns**2)
    assert (off.std(axis=0) < 0.5 * unbalanced).all()


def test_a_total_that_can_be_whole_is_met():
    columns = np.column_stack([np.ones(40), np.arange(40) % 4 == 0, np.arange(40) % 2])
    drawn = balanced_sample(columns, np.full(40, 0.5), np.random.default_rng(0))
    assert (drawn @ columns).tolist() == [20, 5, 10]


@pytest.mark.parametrize(
    "columns", [np.ones((5, 0)), np.zeros((5, 2)), np.ones((5, 3))], ids=["none", "empty", "equal"]
)
def test_columns_that_say_nothing(columns):
    drawn = balanced_sample(columns, np.array([0, 1, 1, 0, 1.0]), np.random.default_rng(0))
    assert drawn.tolist() == [False, True, True, False, True]
    assert balanced_sample(columns, np.full(5, 0.4), np.random.default_rng(0)).shape == (5,)


def test_many_columns_keep_their_totals_through_many_steps():
    rng = np.random.default_rng(2)
    columns = np.column_stack([np.ones(900), rng.random((900, 80)) < 0.05])
    off = balanced_sample(columns, np.full(900, 0.3), rng) @ columns - 0.3 * columns.sum(axis=0)
    assert abs(off[0]) < 1e-6
    assert np.abs(off).max() < 5
