"""What benchmarks count and show; their times are nobody's test."""

import json
import re

import pytest

from benchmarks.peers.turns import Comparison, in_turn
from benchmarks.scaling import Growth
from benchmarks.tables import PAGE, RESULTS, render
from tests.conftest import ROOT

RESULT = json.loads(RESULTS.read_text())
NAMES = set(re.findall(r"<!-- ([a-z.]+) -->\n", PAGE.read_text())) - {"end"}


def test_all_take_part_in_every_turn_and_the_first_turns_are_not_counted():
    order = []
    taken = in_turn({"peer": lambda: order.append("p"), "ours": lambda: order.append("o")}, turns=3, warm=2)
    assert "".join(order) == "po" * 5
    assert {name: len(values) for name, values in taken.items()} == {"peer": 3, "ours": 3}


def test_a_ratio_above_one_means_that_ours_is_faster():
    row = Comparison("a", "b", ours=[1.0, 2.0, 1.0], theirs=[3.0, 2.0, 8.0]).written()
    assert row["ratio"] == {"min": 1.0, "median": 3.0, "max": 8.0}


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_growth_is_the_power_of_a_power_law(power):
    sizes = [10, 20, 40, 80]
    row = Growth("a", "n", sizes, [3 * n**power for n in sizes], [2**24 * n for n in sizes]).written()
    assert row["time_exponent"] == pytest.approx(power) and row["memory_exponent"] == pytest.approx(1)
    assert Growth("a", "n", sizes, [1.0] * 4, [0, 0, 5, 9]).written()["memory_exponent"] is None


def test_the_page_shows_the_committed_results_and_all_of_them():
    assert NAMES and set(RESULT) == NAMES
    assert render(PAGE.read_text(), RESULT) == PAGE.read_text()


def test_a_table_without_results_stays_as_it_is():
    page = "a\n<!-- peers.pairs -->\nold\n<!-- end -->\nb\n"
    assert render(page, {}) == page


def rows(name):
    return {(row["what"], row["peer"]): row for row in RESULT[name]["rows"]}


def test_what_the_page_says_of_replay_is_true_of_its_table():
    """Half of the script's evaluations without it, less than a tenth with it, and no worse a Frechet distance."""
    by_replay = {int(what.rpartition(" ")[2]): row for (what, _), row in rows("peers.online").items()}
    distances = {
        replay: [float(value) for value in row["facts"]["FD after a round, by seed"].split(", ")]
        for replay, row in by_replay.items()
    }
    assert by_replay[1]["ratio"]["median"] == 2
    for replay in set(by_replay) - {1}:
        assert by_replay[replay]["ratio"]["median"] >= 10
        assert all(fd < first for fd, first in zip(distances[replay], distances[1], strict=True))


def test_half_precision_is_as_good_in_what_the_page_compares():
    trained = [row for (what, _), row in rows("peers.training").items() if "default network" in what]
    for row in trained:
        ours, theirs = ([float(v) for v in row["facts"][k].split(", ")] for k in ("final loss, by seed", "the peer's"))
        assert abs(sum(ours) - sum(theirs)) / 3 < max(theirs) - min(theirs) + max(ours) - min(ours)
    images = [row["facts"]["PSNR, dB"] for row in RESULT["peers.pairs"]["rows"] if "PSNR, dB" in row["facts"]]
    assert len(images) == 2 and min(images) > 40


def test_parts_of_a_step_are_measured():
    from benchmarks import parts

    found = {row["part"]: row for row in parts.rows(1)}
    assert found["the whole step"]["share"] == 1
    assert len(found) == 6 and all(row["milliseconds"] > 0 for row in found.values())


def test_the_peers_are_pinned_and_no_part_of_the_project():
    pins = (ROOT / "benchmarks/requirements.lock").read_text().splitlines()
    own = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.match(r"[a-z0-9-]+==[0-9a-z.]+( ; .+)?$", pin) for pin in pins)
    assert {"torchcfm", "torchdiffeq", "rectified-flow-pytorch"} <= {pin.partition("==")[0] for pin in pins}
    assert not set(pins) & set(own)
