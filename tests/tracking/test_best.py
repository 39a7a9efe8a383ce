"""Which model is registered."""

import math

import pytest

from reflowbench.tracking.best import best_cell
from reflowbench.tracking.records import Row


def rows(values, **changes):
    """Of {(method, seed, round): distance}."""
    shared = {"profile": "p", "solver": "euler", "nfe": 1, "features": "a", "n_samples": 9, "error": 0.5, "missing": ""}
    shared |= {"metric": "frechet_distance"} | changes
    return [Row(method=m, seed=s, round=k, value=value, **shared) for (m, s, k), value in values.items()]


CELLS = {
    ("reflow", 0, 1): 5.0,
    ("reflow", 1, 1): 9.0,
    ("rca", 0, 2): 8.0,
    ("rca", 1, 2): 4.0,
    ("rca", 0, 3): 1.0,
    ("rca", 1, 3): 30.0,
}


def test_the_mean_over_seeds_decides_and_then_the_seed():
    """Not the lowest value of all, which is a lucky seed's."""
    assert best_cell(rows(CELLS)) == ("rca", 1, 2)


def test_the_fewest_evaluations_count():
    many = rows({**CELLS, ("reflow", 0, 1): 0.1}, nfe=50)
    assert best_cell([*many, *rows(CELLS)]) == ("rca", 1, 2)
    assert best_cell(many) == ("reflow", 0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"metric": "kernel_distance"},
        {"metric": "frechet_distance_floor", "solver": "", "nfe": 0},
        {"solver": "dopri5", "nfe": 1},
        {"solver": "", "nfe": 0},
        {"features": "b"},
        {"solver": "heun"},
    ],
)
def test_only_the_distance_with_a_fixed_solver_in_the_first_space_counts(other):
    assert best_cell([*rows(CELLS), *rows({("reflow", 0, 1): 0.0}, **other)]) == ("rca", 1, 2)


def test_the_base_model_is_not_registered():
    assert best_cell([*rows({("rca", 0, 0): 0.0}), *rows(CELLS)]) == ("rca", 1, 2)
    assert best_cell(rows({("rca", 0, 0): 0.0})) is None


def test_a_cell_with_a_seed_that_failed_is_out():
    """The mean of the others would be of other models."""
    assert best_cell(rows({**CELLS, ("rca", 0, 2): math.nan})) == ("reflow", 0, 1)
    assert best_cell(rows({**CELLS, ("rca", 0, 2): math.inf, ("reflow", 1, 1): math.nan})) == ("rca", 0, 3)


def test_ties_go_to_what_is_first_in_the_table():
    tied = {("rca", 1, 1): 2.0, ("rca", 0, 1): 2.0, ("reflow", 0, 1): 2.0}
    assert best_cell(rows(tied)) == ("rca", 1, 1)
    assert best_cell(rows(dict(reversed(tied.items())))) == ("reflow", 0, 1)


def test_nothing_to_choose():
    assert best_cell([]) is None
    assert best_cell(rows({("rca", 0, 1): math.nan})) is None
