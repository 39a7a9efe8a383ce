"""Verdicts: closed cases of the rule, then tables whose course is known."""

import math

import numpy as np
import pandas as pd
import pytest

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval, interval
from reflowbench.results.verdicts import ASPECTS, aspect, aspects, judge, verdict
from tests.results.cells import results_of, table_of, write_cells


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.0, 0.0, 0),
        (0.03, 0.01, 0),  # certainly above zero, and certainly too little to count
        (-0.03, 0.01, 0),
        (0.04, 0.02, 1),  # above zero, and not certainly small
        (-0.04, 0.02, -1),
        (0.05, 0.0, 1),  # the margin itself counts
        (-0.05, 0.0, -1),
        (0.3, 0.29, 1),
        (0.3, 0.3, None),  # touches zero
        (0.0, 0.05, None),  # reaches the margin
        (0.04, 0.05, None),
        (-0.2, 0.5, None),
        (0.3, None, None),  # a single seed
        (0.0, None, None),
        (math.nan, None, None),
        (math.nan, 0.1, None),
    ],
)
def test_the_rule(mean, half_width, expected):
    assert judge(Interval(mean, half_width, 3), 0.05) == expected


def test_the_rule_has_no_preferred_direction():
    draw = np.random.default_rng(0)
    changes = [interval(draw.normal(draw.normal(0, 0.1), 0.05, 3)) for _ in range(300)]
    found = [judge(change, 0.1) for change in changes]
    turned = [judge(Interval(-change.mean, change.half_width, 3), 0.1) for change in changes]
    assert [None if f is None else -f for f in found] == turned
    assert set(found) == {0, 1, -1, None}


def course(factor, noise=1e-3, seed=0):
    """FD that changes by a factor a round, with a little noise."""
    draw = np.random.default_rng(seed)
    table = {}

    def fd(method, seed, k, nfe):
        return table.setdefault((seed, k), 10 * factor**k * math.exp(noise * draw.normal()))

    return Results(table_of(fd, nfes=(50,)))


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (1.5, "collapses"),
        (1.06, "collapses"),
        (1.04, "holds"),
        (1.0, "holds"),
        (0.97, "holds"),
        (0.94, "improves"),
        (0.5, "improves"),
    ],
)
def test_growth_collapses_decay_improves_and_little_of_either_holds(factor, word):
    """A margin of 5 % a round: of the factor, not of FD itself."""
    found = verdict(course(factor), "reflow", 50)
    assert found.word == word
    assert found.change.mean == pytest.approx(math.log(factor), abs=2e-3)
    assert 0 < found.change.half_width < 5e-3
    exact = verdict(course(factor, noise=0), "reflow", 50)
    assert exact.word == word and exact.change.mean == pytest.approx(math.log(factor), abs=1e-12)


def test_seeds_that_disagree_are_undecided():
    factors = (1.5, 0.7, 1.0)
    results = Results(table_of(lambda method, seed, k, nfe: factors[seed] ** k))
    found = verdict(results, "reflow", 50)
    assert found.word == "undecided"
    assert found.change.bounds == pytest.approx(interval(np.log(factors)).bounds)


def test_one_seed_or_a_missing_value_decides_nothing():
    table = course(2.0).table
    assert verdict(Results(table), "reflow", 50).word == "collapses"
    alone = verdict(Results(table[table["seed"] == 1]), "reflow", 50)
    assert alone.word == "undecided" and alone.change.mean == pytest.approx(math.log(2), abs=2e-3)
    lost = table.copy()
    lost.loc[(lost["seed"] == 2) & (lost["round"] == 3), "value"] = math.nan
    assert verdict(Results(lost), "reflow", 50).word == "undecided"


def test_the_order_of_seeds_and_rows_does_not_matter():
    table = course(1.06, noise=0.01).table
    found = verdict(Results(table), "reflow", 50)
    for order in ([1, 2, 0], [2, 1, 0]):
        renamed = table.assign(seed=[order[seed] for seed in table["seed"]])
        for turned in (renamed, renamed.iloc[::-1], renamed.sample(frac=1, random_state=0)):
            other = verdict(Results(turned), "reflow", 50)
            assert other.word == found.word and other.change.bounds == pytest.approx(found.change.bounds)


@pytest.mark.parametrize("at", range(5))
def test_a_single_bad_round_is_no_collapse(at):
    """FD of one round a hundred times too high, in every seed."""
    results = Results(table_of(lambda method, seed, k, nfe: 10 * (100 if k == at else 1) * (1 + 1e-4 * seed * k)))
    assert verdict(results, "reflow", 50).word == "holds"


def test_a_verdict_is_on_the_nfe_that_is_asked_for():
    results = Results(table_of(lambda method, seed, k, nfe: 2.0**k if nfe == 50 else 2.0**-k))
    assert [verdict(results, "reflow", nfe).word for nfe in (1, 50)] == ["improves", "collapses"]


@pytest.mark.parametrize("name", ASPECTS)
@pytest.mark.parametrize(
    ("relative", "word"),
    [
        ((0.8, 0.8, 0.8), "lost"),
        ((1.2, 1.21, 1.22), "gained"),
        ((1.0, 1.01, 1.02), "kept"),
        ((0.97, 0.97, 0.97), "kept"),
        ((0.5, 1.0, 1.5), "undecided"),
        ((0.8, 0.8, None), "undecided"),
    ],
)
def test_an_aspect_is_judged_relative_to_the_base_of_its_seed(name, relative, word):
    """Bases (1, 2, 3) by seed: absolute changes would differ by as much."""

    def value(method, seed, k, nfe):
        base = 1.0 + seed
        return base if k == 0 else None if relative[seed] is None else base * relative[seed]

    frechet = table_of(lambda method, seed, k, nfe: 1.0)
    results = Results(pd.concat([frechet, table_of(value, metric=ASPECTS[name])]))
    found = aspect(results, "reflow", name, 50, 4)
    assert found.word == word
    expected = interval([math.nan if r is None else r - 1 for r in relative])
    assert found.change.mean == pytest.approx(expected.mean, nan_ok=True)
    assert found.change.half_width == pytest.approx(expected.half_width)


def test_an_aspect_has_one_seed_or_a_base_of_zero_undecided():
    table = pd.concat([table_of(lambda *cell: 1.0), table_of(lambda m, seed, k, nfe: 2.0**-k, metric="precision")])
    assert aspect(Results(table), "reflow", "quality", 50, 1).word == "lost"
    assert aspect(Results(table[table["seed"] == 0]), "reflow", "quality", 50, 1).word == "undecided"
    zero = table.assign(value=table["value"].where((table["round"] > 0) | (table["metric"] != "precision"), 0.0))
    assert aspect(Results(zero), "reflow", "quality", 50, 1).word == "undecided"


def test_the_table_of_aspects_has_every_one_of_them(tmp_path):
    write_cells(tmp_path)
    found = aspects(results_of(tmp_path))
    keys = found[["method", "round", "nfe", "aspect"]]
    assert len(found) == 2 * 2 * 2 * 3 and not keys.duplicated().any()
    assert set(found["method"]) == {"reflow", "rca"} and set(found["round"]) == {1, 2} and set(found["nfe"]) == {1, 50}
    rows = found[(found["method"] == "rca") & (found["nfe"] == 50)].set_index(["round", "aspect"])
    assert rows["metric"].to_dict() == {(k, name): metric for k in (1, 2) for name, metric in ASPECTS.items()}
    assert rows["verdict"].to_dict() == {(k, name): "lost" if name == "diversity" else "kept"
                                         for k in (1, 2) for name in ASPECTS}  # fmt: skip
    assert rows["relative_change"][2, "diversity"] == pytest.approx(-0.25)
    assert rows["relative_change"][1, "diversity"] == pytest.approx(-0.125)
    assert (rows["half_width"] == 0).all()


def test_a_single_nfe_is_in_the_table_of_aspects_once():
    tables = [table_of(lambda *cell: 1.0, nfes=(5,), metric=m) for m in ("frechet_distance", *ASPECTS.values())]
    found = aspects(Results(pd.concat(tables)))
    assert len(found) == 4 * 3 and set(found["nfe"]) == {5}
