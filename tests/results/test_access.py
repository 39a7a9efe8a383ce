"""Access to the table by cell: what is averaged, compared and divided, with what."""

import math

import numpy as np
import pandas as pd
import pytest

from reflowbench.results.access import Results
from reflowbench.results.statistics import interval
from tests.results.cells import FD, edit, results_of, table_of, write_cells


def test_paired_differences(tmp_path):
    """rca is 4 below reflow at the end, whatever the spread over seeds."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + (3 + seed) * k - (2 * k if method == "rca" else 0))
    difference = results_of(tmp_path).against("rca", "reflow", FD, 50)
    assert difference.mean == pytest.approx(-4) and difference.half_width == pytest.approx(0, abs=1e-9)


def test_growth_is_the_change_of_the_logarithm_a_round_seed_by_seed():
    """FD = c e^(g k), with a growth of its own for each seed: exact whatever c."""
    growth = {0: 0.1, 1: 0.25, 2: -0.05}
    results = Results(table_of(lambda method, seed, k, nfe: (3 + seed) * math.exp(growth[seed] * k)))
    for since in (0, 1):
        found, expected = results.growth("reflow", FD, 50, since), interval(list(growth.values()))
        assert found.bounds == pytest.approx(expected.bounds) and found.mean == pytest.approx(0.1)


def test_growth_is_of_both_ends_only_and_a_good_first_round_hides_none_of_it():
    """From 16 at the base to 1, then doubling up to 8 in round 4."""
    results = Results(table_of(lambda method, seed, k, nfe: (16, 1, 2, 4, 8)[k]))
    assert results.growth("reflow", FD, 50).mean == pytest.approx(-math.log(2) / 4)
    assert results.growth("reflow", FD, 50, since=1).mean == pytest.approx(math.log(2))


@pytest.mark.parametrize(("rounds", "first"), [((0, 1, 2, 4), 1), ((0, 2, 5), 2)])
def test_growth_counts_rounds_that_were_not_evaluated(rounds, first):
    results = Results(table_of(lambda method, seed, k, nfe: math.exp(0.2 * k), rounds=rounds))
    assert (results.first, results.last) == (first, rounds[-1]) and results.starts == [0, first]
    assert [results.growth("reflow", FD, 50, start).mean for start in results.starts] == pytest.approx([0.2, 0.2])


def test_of_a_single_round_there_is_growth_since_the_base_only():
    results = Results(table_of(lambda method, seed, k, nfe: 2.0**k, rounds=(0, 1)))
    assert (results.ends, results.starts) == ([1], [0])
    assert results.growth("reflow", FD, 50).mean == pytest.approx(math.log(2))
    assert str(results.growth("reflow", FD, 50, since=1)) == "missing"


@pytest.mark.parametrize("bad", [None, math.nan, 0.0])
@pytest.mark.parametrize("k", [0, 4])
def test_growth_without_both_logarithms_is_missing(bad, k):
    results = Results(table_of(lambda method, seed, round_, nfe: bad if (seed, round_) == (1, k) else 10.0))
    assert str(results.growth("reflow", FD, 50)) == "missing"
    assert (str(results.growth("reflow", FD, 50, since=1)) == "missing") == (k == 4)


def test_the_share_prevented_is_paired_by_seed():
    """Bases 10, 20, 30; Reflow ends 100, 110, 120 higher; rca prevents 0.25, 0.5 and -0.1 of that."""
    share = (0.25, 0.5, -0.1)

    def fd(method, seed, k, nfe):
        base, grown = 10.0 * (seed + 1), 100.0 + 10.0 * seed
        return base if k == 0 else base + grown * (1 if method == "reflow" else 1 - share[seed])

    results = Results(table_of(fd, methods=("reflow", "rca")))
    found, expected = results.share_prevented("rca", FD, 50), interval(list(share))
    assert (found.mean, found.half_width) == pytest.approx((expected.mean, expected.half_width))
    assert results.share_prevented("reflow", FD, 50).bounds == (0, 0)


@pytest.mark.parametrize("last", [10.0, 9.0])
def test_no_share_is_defined_if_reflow_does_not_exceed_its_base_in_a_seed(last):
    """Equal to the base would divide by zero; below it, a share would have the wrong sign."""
    table = table_of(lambda m, seed, k, nfe: last if (m, seed) == ("reflow", 1) and k else 10.0 + k, ("reflow", "rca"))
    assert math.isnan(Results(table).share_prevented("rca", FD, 50).mean)


def test_no_share_is_defined_if_reflows_growth_is_not_established():
    """It exceeds the base by 1, 1 and 100: in every seed, but the 95 % interval of the mean includes 0."""
    table = table_of(lambda m, seed, k, nfe: 10.0 + (k > 0) * (100.0 if seed == 2 else 1.0), ("reflow", "rca"))
    assert math.isnan(Results(table).share_prevented("rca", FD, 50).mean)


def test_no_share_is_defined_from_another_base():
    table = table_of(lambda m, seed, k, nfe: 10.0 + k + (m == "rca"), ("reflow", "rca"))
    assert math.isnan(Results(table).share_prevented("rca", FD, 50).mean)
    assert Results(table).share_prevented("reflow", FD, 50).mean == 0


def test_differences_are_of_the_round_that_is_asked_for():
    table = table_of(lambda m, seed, k, nfe: k * (2.0 if m == "rca" else 1.0), ("reflow", "rca"), rounds=(0, 1, 4))
    results = Results(table)
    assert [results.against("rca", "reflow", FD, 50, k).mean for k in (None, 1, 4)] == [4, 1, 4]


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


def test_names_that_begin_or_end_like_the_distance_or_its_floor_stay_apart():
    """Further floors and references, beside the distance itself."""
    values = {FD: 10.0, f"{FD}_floor": 1.0, f"{FD}_generalizer_floor": 2.0, f"{FD}_decoder_floor": 3.0,
              f"{FD}_heldout": 4.0, f"{FD}_heldout_floor": 5.0}  # fmt: skip
    results = Results(pd.concat([table_of(lambda *cell, v=value: v, metric=name) for name, value in values.items()]))
    assert results.per_seed("reflow", 4, FD, 50) == [10.0] * 3 and results.nfes == [1, 50]
    assert (results.floor(FD), results.floor(f"{FD}_heldout"), results.mean(f"{FD}_generalizer_floor")) == (1, 5, 2)
    assert math.isnan(results.floor("recall")) and math.isnan(results.mean(f"{FD}_other_floor"))
    assert results.measured(f"{FD}_heldout") and not results.measured(f"{FD}_reconstructions")


def test_what_the_solvers_are(evaluations):
    results = results_of(evaluations)
    assert (results.nfes, results.solver, results.rounds, results.seeds) == ([1, 50], "euler", [0, 1, 2], [0, 1, 2])
    assert results.adaptive_nfe("rca", 2) == 22.0
    assert results.per_seed("rca", 2, FD, -1) == [12.0] * 3
