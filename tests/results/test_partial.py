"""Tables with absent cells: they get rows that say so."""

import pytest

from reflowbench.results.access import Results
from reflowbench.results.partial import REASON, complete
from tests.results.cells import results_of


@pytest.fixture
def table(evaluations):
    return results_of(evaluations).table


def test_a_whole_table_stays_as_it_is(table):
    assert complete(table) is table


@pytest.mark.parametrize("k", [0, 2])
def test_an_absent_cell_gets_the_rows_that_others_have_there(table, k):
    gone = (table["method"] == "rca") & (table["seed"] == 1) & (table["round"] == k)
    found = complete(table[~gone])
    assert list(found.columns) == list(table.columns) and len(found) == len(table)
    added = found[found["missing"] == REASON]
    assert len(added) == gone.sum() and set(added["metric"]) == set(table[gone]["metric"])
    assert added["value"].isna().all() and set(added["method"]) == {"rca"} and set(added["round"]) == {k}
    results = Results(found)
    assert str(results.over_seeds("rca", k, "frechet_distance", 50)) == "missing"
    assert str(results.over_seeds("reflow", k, "frechet_distance", 50)) != "missing"
