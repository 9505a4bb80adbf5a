"""Balanced sampling: each unit is drawn with the chance it was given, and the totals come out as expected."""

import numpy as np

_EPSILON = 1e-9
_REFRESH = 200
_DROPPED = 0.1


def balanced_sample(columns: np.ndarray, chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw units so that totals of columns over the drawn ones are close to what the chances promise.

    The cube method (Deville, Tillé 2004), in the fast form of Chauvet and Tillé (2006). Chances move at random along
    directions that leave all totals unchanged, until each is 0 or 1; they are a martingale, so that unit k is drawn
    with chance `chances[k]` exactly, whatever its columns. When no direction is left, the last columns are let go.

    Args:
        columns: (U, C) what to balance, the most important column first.
        chances: (U,) each unit's chance of being drawn, from 0 to 1.
        rng: the generator of the draw.

    Returns:
        (U,) bool, True where drawn.
    """
    chances = chances.astype(float).copy()
    order = rng.permutation(len(chances))
    kept = columns.shape[1]
    while True:
        undecided = order[(chances[order] > _EPSILON) & (chances[order] < 1 - _EPSILON)]
        if not len(undecided):
            return chances > 0.5
        if not kept:
            chances[undecided] = rng.random(len(undecided)) < chances[undecided]
            continue
        chances[undecided] = _flight(columns[undecided, :kept].astype(float), chances[undecided], rng)
        kept -= max(1, int(kept * _DROPPED))


def _flight(columns: np.ndarray, chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move chances along directions that keep all C totals, until none is left: at most C stay between 0 and 1.

    As in the simplex method, a basis of undecided units spans the columns of those seen before, and its inverse is
    updated: a step costs C squared, not C cubed.
    """
    n_columns = columns.shape[1]
    basis = np.full(n_columns, -1)  # the unit in each place; -1 while the place is empty
    inverse = np.eye(n_columns)
    pivots = 0
    for unit in range(len(columns)):
        direction = inverse @ columns[unit]
        free = (basis < 0) & (np.abs(direction) > _EPSILON)
        if free.any():
            place = int(np.abs(np.where(free, direction, 0)).argmax())
        else:
            moving = np.flatnonzero((basis >= 0) & (np.abs(direction) > _EPSILON))
            units = np.append(basis[moving], unit)
            stopped = _move(chances, units, np.append(-direction[moving], 1.0), rng)
            if stopped == len(moving):
                continue
            place = int(moving[stopped])
        basis[place] = unit
        pivots += 1
        if pivots % _REFRESH:
            row = inverse[place] / direction[place]
            inverse -= np.outer(direction, row)
            inverse[place] = row
        else:
            inverse = np.linalg.inv(np.where(basis >= 0, columns[basis].T, np.eye(n_columns)))
    return chances


def _move(chances: np.ndarray, units: np.ndarray, direction: np.ndarray, rng: np.random.Generator) -> int:
    """Step along a direction or against it until a chance is 0 or 1; returns the place in `units` of that one."""
    here = chances[units]
    to_one, to_zero = (1 - here) / np.abs(direction), here / np.abs(direction)
    ahead = np.where(direction > 0, to_one, to_zero)
    back = np.where(direction > 0, to_zero, to_one)
    go = rng.random() * (ahead.min() + back.min()) < back.min()
    room, sign = (ahead, 1) if go else (back, -1)
    stopped = int(room.argmin())
    there = np.clip(here + sign * room[stopped] * direction, 0, 1)
    there[stopped] = round(there[stopped])
    chances[units] = there
    return stopped
