"""Verdicts: closed cases of the rule with its borders, then tables whose course is known."""

import math

import numpy as np
import pandas as pd
import pytest

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval, interval
from reflowbench.results.verdicts import ASPECTS, GROWS, INCONCLUSIVE, SHRINKS, STABLE, aspect, aspects, verdict, word
from tests.results.cells import results_of, table_of, write_cells


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.0, 0.0, STABLE),
        (0.03, 0.01, STABLE),  # the interval excludes 0, and lies within the margin
        (-0.03, 0.01, STABLE),
        (0.04, 0.02, GROWS),  # excludes 0, and reaches beyond the margin
        (-0.04, 0.02, SHRINKS),
        (0.05, 0.0, GROWS),  # the margin itself counts as a change
        (-0.05, 0.0, SHRINKS),
        (0.3, 0.29, GROWS),
        (0.3, 0.3, INCONCLUSIVE),  # touches 0
        (-0.3, 0.3, INCONCLUSIVE),
        (0.0, 0.05, INCONCLUSIVE),  # reaches the margin
        (0.0, 0.0499, STABLE),
        (0.04, 0.05, INCONCLUSIVE),
        (-0.2, 0.5, INCONCLUSIVE),
        (0.3, None, INCONCLUSIVE),  # a single seed
        (0.0, None, INCONCLUSIVE),
        (math.nan, None, INCONCLUSIVE),
        (math.nan, 0.1, INCONCLUSIVE),
    ],
)
def test_the_rule(mean, half_width, expected):
    assert word(Interval(mean, half_width, 3), 0.05) == expected


def test_the_rule_has_no_preferred_direction():
    draw = np.random.default_rng(0)
    changes = [interval(draw.normal(draw.normal(0, 0.1), 0.05, 3)) for _ in range(300)]
    found = [word(change, 0.1) for change in changes]
    turned = [word(Interval(-change.mean, change.half_width, 3), 0.1) for change in changes]
    assert [{GROWS: SHRINKS, SHRINKS: GROWS}.get(f, f) for f in found] == turned
    assert set(found) == {STABLE, GROWS, SHRINKS, INCONCLUSIVE}


def course(factor, noise=1e-3, seed=0):
    """FD that changes by a factor a round, with a little noise."""
    draw = np.random.default_rng(seed)
    table = {}

    def fd(method, seed, k, nfe):
        return table.setdefault((seed, k), 10 * factor**k * math.exp(noise * draw.normal()))

    return Results(table_of(fd, nfes=(50,)))


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.5, GROWS), (1.06, GROWS), (1.04, STABLE), (1.0, STABLE), (0.97, STABLE), (0.94, SHRINKS), (0.5, SHRINKS)],
)
def test_growth_beyond_the_margin_grows_or_shrinks(factor, expected):
    """A margin of 5 % a round: of the factor, not of FD itself."""
    found = verdict(course(factor), "reflow", 50)
    assert found.word == expected
    assert found.change.mean == pytest.approx(math.log(factor), abs=2e-3)
    assert 0 < found.change.half_width < 5e-3
    exact = verdict(course(factor, noise=0), "reflow", 50)
    assert exact.word == expected and exact.change.mean == pytest.approx(math.log(factor), abs=1e-12)


def test_seeds_that_disagree_are_inconclusive():
    factors = (1.5, 0.7, 1.0)
    results = Results(table_of(lambda method, seed, k, nfe: factors[seed] ** k))
    found = verdict(results, "reflow", 50)
    assert found.word == INCONCLUSIVE
    assert found.change.bounds == pytest.approx(interval(np.log(factors)).bounds)


def test_one_seed_or_a_missing_value_is_inconclusive():
    table = course(2.0).table
    assert verdict(Results(table), "reflow", 50).word == GROWS
    alone = verdict(Results(table[table["seed"] == 1]), "reflow", 50)
    assert alone.word == INCONCLUSIVE and alone.change.mean == pytest.approx(math.log(2), abs=2e-3)
    lost = table.copy()
    lost.loc[(lost["seed"] == 2) & (lost["round"] == 4), "value"] = math.nan
    assert verdict(Results(lost), "reflow", 50).word == INCONCLUSIVE


def test_the_order_of_seeds_and_rows_does_not_matter():
    table = course(1.06, noise=0.01).table
    found = verdict(Results(table), "reflow", 50)
    for order in ([1, 2, 0], [2, 1, 0]):
        renamed = table.assign(seed=[order[seed] for seed in table["seed"]])
        for turned in (renamed, renamed.iloc[::-1], renamed.sample(frac=1, random_state=0)):
            other = verdict(Results(turned), "reflow", 50)
            assert other.word == found.word and other.change.bounds == pytest.approx(found.change.bounds)


def test_a_round_in_between_does_not_count():
    results = Results(table_of(lambda method, seed, k, nfe: 10 * (100 if k == 2 else 1) * (1 + 1e-4 * seed * k)))
    assert verdict(results, "reflow", 50).word == STABLE


def test_a_first_round_that_improves_the_base_leaves_the_growth_after_it():
    results = Results(table_of(lambda method, seed, k, nfe: 100.0 if k == 0 else 10 * 1.2**k, rounds=(0, 1, 2, 4)))
    assert [verdict(results, "reflow", 50, since).word for since in (0, 1)] == [SHRINKS, GROWS]


def test_a_verdict_is_on_the_nfe_that_is_asked_for():
    results = Results(table_of(lambda method, seed, k, nfe: 2.0**k if nfe == 50 else 2.0**-k))
    assert [verdict(results, "reflow", nfe).word for nfe in (1, 50)] == [SHRINKS, GROWS]


@pytest.mark.parametrize("name", ASPECTS)
@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ((0.8, 0.8, 0.8), SHRINKS),
        ((1.2, 1.21, 1.22), GROWS),
        ((1.0, 1.01, 1.02), STABLE),
        ((0.97, 0.97, 0.97), STABLE),
        ((0.5, 1.0, 1.5), INCONCLUSIVE),
        ((0.8, 0.8, None), INCONCLUSIVE),
    ],
)
def test_an_aspect_is_judged_relative_to_the_base_of_its_seed(name, relative, expected):
    """Bases (1, 2, 3) by seed: absolute changes would differ by as much."""

    def value(method, seed, k, nfe):
        base = 1.0 + seed
        return base if k == 0 else None if relative[seed] is None else base * relative[seed]

    frechet = table_of(lambda method, seed, k, nfe: 1.0)
    results = Results(pd.concat([frechet, table_of(value, metric=ASPECTS[name])]))
    found = aspect(results, "reflow", name, 50, 4)
    assert found.word == expected
    change = interval([math.nan if r is None else r - 1 for r in relative])
    assert found.change.mean == pytest.approx(change.mean, nan_ok=True)
    assert found.change.half_width == pytest.approx(change.half_width)


def test_an_aspect_of_one_seed_or_a_base_of_zero_is_inconclusive():
    table = pd.concat([table_of(lambda *cell: 1.0), table_of(lambda m, seed, k, nfe: 2.0**-k, metric="precision")])
    assert aspect(Results(table), "reflow", "quality", 50, 1).word == SHRINKS
    assert aspect(Results(table[table["seed"] == 0]), "reflow", "quality", 50, 1).word == INCONCLUSIVE
    zero = table.assign(value=table["value"].where((table["round"] > 0) | (table["metric"] != "precision"), 0.0))
    assert aspect(Results(zero), "reflow", "quality", 50, 1).word == INCONCLUSIVE


def test_the_table_of_aspects_has_every_one_of_them(tmp_path):
    write_cells(tmp_path)
    found = aspects(results_of(tmp_path))
    keys = found[["method", "round", "nfe", "aspect"]]
    assert len(found) == 2 * 2 * 2 * 3 and not keys.duplicated().any()
    assert set(found["method"]) == {"reflow", "rca"} and set(found["round"]) == {1, 2} and set(found["nfe"]) == {1, 50}
    rows = found[(found["method"] == "rca") & (found["nfe"] == 50)].set_index(["round", "aspect"])
    assert rows["metric"].to_dict() == {(k, name): metric for k in (1, 2) for name, metric in ASPECTS.items()}
    assert rows["verdict"].to_dict() == {(k, name): SHRINKS if name == "diversity" else STABLE
                                         for k in (1, 2) for name in ASPECTS}  # fmt: skip
    assert rows["relative_change"][2, "diversity"] == pytest.approx(-0.25)
    assert rows["relative_change"][1, "diversity"] == pytest.approx(-0.125)
    assert (rows["half_width"] == 0).all()


def test_a_single_nfe_is_in_the_table_of_aspects_once():
    tables = [table_of(lambda *cell: 1.0, nfes=(5,), metric=m) for m in ("frechet_distance", *ASPECTS.values())]
    found = aspects(Results(pd.concat(tables)))
    assert len(found) == 4 * 3 and set(found["nfe"]) == {5}
