"""Access to the table by cell: what is averaged, compared and divided, with what."""

import math

import numpy as np
import pytest

from reflowbench.results.access import Results
from reflowbench.results.statistics import interval
from tests.results.cells import FD, edit, results_of, table_of, write_cells


def test_paired_differences(tmp_path):
    """rca is 4 below reflow at the end, whatever the spread over seeds."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + (3 + seed) * k - (2 * k if method == "rca" else 0))
    difference = results_of(tmp_path).against("rca", "reflow", FD, 50)
    assert difference.mean == pytest.approx(-4) and difference.half_width == pytest.approx(0, abs=1e-9)


def test_the_trend_is_the_slope_of_the_logarithm_seed_by_seed():
    """FD = c e^(g k), with a growth of its own for each seed: exact whatever c."""
    growth = {0: 0.1, 1: 0.25, 2: -0.05}
    results = Results(table_of(lambda method, seed, k, nfe: (3 + seed) * math.exp(growth[seed] * k)))
    trend, expected = results.trend("reflow", FD, 50), interval(list(growth.values()))
    assert trend.bounds == pytest.approx(expected.bounds) and trend.mean == pytest.approx(0.1)


def test_a_trend_counts_the_distance_between_the_rounds():
    """Rounds that the grid does not evaluate are steps all the same."""
    results = Results(table_of(lambda method, seed, k, nfe: math.exp(0.2 * k), rounds=(0, 1, 4)))
    assert results.trend("reflow", FD, 50).mean == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [None, math.nan, 0.0])
def test_a_trend_without_all_logarithms_is_missing(bad):
    results = Results(table_of(lambda method, seed, k, nfe: bad if (seed, k) == (1, 3) else 10.0))
    assert str(results.trend("reflow", FD, 50)) == "missing"


def test_values_relative_to_the_base_are_paired_by_seed(tmp_path):
    """Base (10, 20, 30) by seed; reflow ends at three times it, rca at 20 whatever the seed."""

    def fd(method, seed, k, nfe):
        base = 10.0 * (seed + 1)
        return base if k == 0 else (1 + k) * base if method == "reflow" else 20.0

    write_cells(tmp_path, fd)
    results = results_of(tmp_path)
    reflow = results.relative_to_base("reflow", FD, 50)
    assert reflow.mean == pytest.approx(3) and reflow.half_width == pytest.approx(0)
    assert results.relative_to_base("reflow", FD, 50, k=1).mean == pytest.approx(2)
    rca = results.relative_to_base("rca", FD, 50)
    assert (rca.mean, rca.half_width) == pytest.approx((np.mean([2, 1, 2 / 3]), interval([2, 1, 2 / 3]).half_width))


def test_nothing_is_relative_to_a_base_of_zero():
    results = Results(table_of(lambda method, seed, k, nfe: float(k > 0 or seed > 0)))
    assert str(results.relative_to_base("reflow", FD, 50)) == "missing"


def test_the_headline_is_the_first_feature_space(evaluations):
    """Of several feature spaces, that which the parameters name first, which the rows begin with."""

    def add(cell):
        rows = [row for row in cell["measurements"] if row["features"] == "classifier"]
        cell["measurements"] += [row | {"features": "pixels", "value": 99.0} for row in rows]

    for method, k in (("base", 0), ("reflow", 1), ("reflow", 2), ("rca", 1), ("rca", 2)):
        for seed in (0, 1, 2):
            edit(evaluations, method, seed, k, add)
    results = results_of(evaluations)
    assert results.conditions(FD) == ("classifier", 50)
    assert results.per_seed("rca", 2, FD, 50) == [12.0] * 3 and results.floor(FD) == 2.0
    assert (results.table["features"] == "pixels").sum() > 100


def test_what_the_solvers_are(evaluations):
    results = results_of(evaluations)
    assert (results.nfes, results.solver, results.rounds, results.seeds) == ([1, 50], "euler", [0, 1, 2], [0, 1, 2])
    assert results.adaptive_nfe("rca", 2) == 22.0
    assert results.per_seed("rca", 2, FD, -1) == [12.0] * 3
