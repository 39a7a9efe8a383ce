"""The tables of the two questions, floors and references: closed forms, gaps, one seed and tables that lack metrics."""

import math

import pandas as pd
import pytest

from reflowbench.report import headline
from reflowbench.report.collapse import word_of
from reflowbench.report.headline import NOT_DEFINED
from reflowbench.results.access import Results
from reflowbench.results.statistics import interval
from tests.results.cells import FD, table_of


def made(fd, methods=("reflow", "rca"), **changes):
    return Results(table_of(fd, methods, **changes))


def cells(rows, method):
    """A row of a table by its header."""
    header, body = rows
    [found] = [row for row in body if row[0] == method]
    assert len(found) == len(header)
    return dict(zip(header, found, strict=True))


def test_full_steps_have_growth_share_and_differences():
    """Reflow doubles a round from 10; rca stays at 10 in round 1 and ends at 20: 10 of 150 are left."""
    results = made(lambda m, seed, k, nfe: 10 * 2.0**k if m == "reflow" else 10 * 2.0 ** (k / 4 if k > 1 else 0))
    assert cells(headline.full_steps(results), "reflow") == {
        "method": "reflow", "FD, base": "10.0 ± 0.0", "FD, round 1": "20.0 ± 0.0", "FD, round 4": "160.0 ± 0.0",
        "growth a round since the base": "x 2 (2 to 2)", "growth a round since round 1": "x 2 (2 to 2)",
        "verdict": "grows", "share prevented": "", "- reflow, round 1": "", "- reflow, round 4": ""}  # fmt: skip
    rca = cells(headline.full_steps(results), "rca")
    assert rca["growth a round since the base"] == "x 1.19 (1.19 to 1.19)", "2^(1/4)"
    assert rca["growth a round since round 1"] == "x 1.26 (1.26 to 1.26)", "2^(1/3)"
    assert rca["share prevented"] == "93 ± 0 %", "140 of 150"
    assert (rca["- reflow, round 1"], rca["- reflow, round 4"]) == ("-10.0 ± 0.0", "-140.0 ± 0.0")


def test_one_step_has_the_lowest_nfe():
    results = made(lambda m, seed, k, nfe: 50.0 - 10 * k + seed - 5 * (m == "rca") if nfe == 1 else 1.0)
    row = cells(headline.one_step(results), "rca")
    base, first, last = (str(interval([value + seed for seed in range(3)])) for value in (45, 35, 5))
    assert row == {"method": "rca", "FD, base": base, "FD, round 1": first, "FD, round 4": last,
                   "- reflow, round 1": "-5.0 ± 0.0", "- reflow, round 4": "-5.0 ± 0.0"}  # fmt: skip
    assert headline.step_title(results).startswith("One step")
    assert headline.step_title(made(lambda *cell: 1.0, nfes=(5, 50))).startswith("NFE 5")


def test_skipped_rounds_have_no_columns():
    results = made(lambda m, seed, k, nfe: math.exp(k), rounds=(0, 2, 5))
    row = cells(headline.full_steps(results), "rca")
    assert "growth a round since round 2" in row and "- reflow, round 5" in row and not any("round 1" in c for c in row)
    assert row["growth a round since round 2"] == row["growth a round since the base"] == "x 2.72 (2.72 to 2.72)"


def test_a_single_round_is_in_the_tables_once():
    header, rows = headline.full_steps(made(lambda m, seed, k, nfe: 10.0 + k, rounds=(0, 1)))
    assert header == ["method", "FD, base", "FD, round 1", "growth a round since the base", "verdict",
                      "share prevented", "- reflow, round 1"]  # fmt: skip
    assert all(len(row) == len(header) for row in rows)


def test_a_grid_without_reflow_has_no_columns_against_it():
    results = made(lambda m, seed, k, nfe: 10.0 + k, methods=("rca", "ot"))
    for header, rows in (headline.full_steps(results), headline.one_step(results)):
        assert not any("- reflow" in name or "share" in name for name in header)
        assert all(len(row) == len(header) for row in rows)
    assert headline.notes(results) == ""


@pytest.mark.parametrize(
    ("reflow", "rca", "shown"),
    [
        ((20, 20, 20), (15, 15, 15), "50 ± 0 %"),
        ((20, 20, 20), (25, 25, 25), "-50 ± 0 %"),
        ((20, 10, 20), (15, 15, 15), NOT_DEFINED),  # equals the base in seed 1
        ((20, 9, 20), (15, 15, 15), NOT_DEFINED),
        ((20, math.nan, 20), (15, 15, 15), "missing"),
        ((20, 20, 20), (15, math.nan, 15), "missing"),
    ],
)
def test_a_share_that_is_not_defined_is_not_missing(reflow, rca, shown):
    results = made(lambda m, seed, k, nfe: 10.0 if k == 0 else (reflow if m == "reflow" else rca)[seed])
    assert headline.share(results, "rca") == shown and headline.share(results, "reflow") == ""
    assert (NOT_DEFINED in headline.notes(results)) == (shown == NOT_DEFINED)


def test_a_single_seed_has_values_without_intervals():
    results = made(lambda m, seed, k, nfe: 10.0 * (2 if m == "reflow" else 1.5) ** k, seeds=(0,))
    row = cells(headline.full_steps(results), "rca")
    assert row["verdict"] == "inconclusive" and row["growth a round since the base"] == "x 1.5"
    assert row["share prevented"] == f"{float(f'{100 * (2**4 - 1.5**4) / (2**4 - 1):.2g}'):g} %"
    assert not any("±" in cell for cell in row.values())


def test_the_word_since_round_1_is_shown_where_it_differs():
    results = made(lambda m, seed, k, nfe: 10.0 * 1.5**k if m == "reflow" else 100.0 if k == 0 else 10 * 1.2**k)
    assert word_of(results, "reflow") == "grows"
    assert word_of(results, "rca") == "shrinks (since round 1: grows)"


def with_metrics(**values):
    distance = table_of(lambda m, seed, k, nfe: 10.0 + k, ("reflow", "rca"))
    others = [table_of(lambda m, seed, k, nfe, v=value: v + k, ("reflow", "rca"), metric=f"{FD}_{name}")
              for name, value in values.items()]  # fmt: skip
    return Results(pd.concat([distance, *others]))


def test_floors_are_those_that_were_measured():
    assert headline.floors(with_metrics(floor=1.0))[1] == [[headline.FLOORS[f"{FD}_floor"], "3"]]
    everything = headline.floors(with_metrics(floor=1.0, generalizer_floor=2.0, decoder_floor=math.nan, heldout=9.0))
    assert [row[1] for row in everything[1]] == ["3", "4", "missing"] and everything[0] == ["floor", "FD"]


def test_references_are_those_that_were_measured():
    assert headline.references(with_metrics(floor=1.0, generalizer_floor=2.0)) is None
    header, rows = headline.references(with_metrics(floor=0.0, heldout=20.0, heldout_floor=5.0))
    assert header == ["model", "training images", "held-out images"]
    assert rows == [
        ["memoriser (floor)", "2", "7"],
        ["base", "10.0 ± 0.0", "20.0 ± 0.0"],
        ["reflow, k = 4", "14.0 ± 0.0", "24.0 ± 0.0"],
        ["rca, k = 4", "14.0 ± 0.0", "24.0 ± 0.0"],
    ]
    header, rows = headline.references(with_metrics(heldout=20.0, reconstructions=30.0))
    assert header[-1] == "reconstructed training images" and rows[0][1:] == ["missing"] * 3
