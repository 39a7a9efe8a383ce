"""What benchmarks count and show; their times are nobody's test."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks import scaling
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
    assert set(RESULT) == NAMES
    assert render(PAGE.read_text(), RESULT) == PAGE.read_text()


def test_a_table_without_results_says_so():
    page = "a\n<!-- peers.pairs -->\nold\n<!-- end -->\nb\n"
    assert "Not measured yet: `make bench ONLY=peers.pairs`" in render(page, {}) and "old" not in render(page, {})


def test_what_the_page_says_of_replay_is_true_of_its_table():
    """Half of the script's evaluations without it, less than a tenth with it, and no worse a Frechet distance."""
    found = {int(row["what"].rpartition(" ")[2]): row for row in rows("peers.online")}
    distances = {r: numbers(next(v for k, v in row["facts"].items() if k != "unit")) for r, row in found.items()}
    for replay, row in found.items():
        assert row["ratio"]["median"] == 2 * replay
        assert all(fd <= first for fd, first in zip(distances[replay], distances[1], strict=True))


def test_half_precision_is_as_good_in_what_the_page_compares():
    for row in rows("peers.training"):
        if "default network" in row["what"]:
            ours, theirs = map(numbers, row["facts"].values())
            assert sum(ours) / 3 == pytest.approx(sum(theirs) / 3, abs=0.01)
    assert all(row["facts"].get("PSNR, dB", 41) > 40 for row in rows("peers.pairs"))


def rows(name):
    """Those that were measured: the page says what was not."""
    return RESULT.get(name, {"rows": []})["rows"]


def numbers(text):
    return [float(value) for value in text.split(", ")]


@pytest.mark.parametrize(("prepare", "n"), [(scaling.pairs, 256), (scaling.batch, 16), (scaling.pixels, 64),
                                            (scaling.steps, 2), (scaling.frechet, 64)])  # fmt: skip
def test_what_is_scaled_runs_at_a_small_size(prepare, n):
    prepare(n)()
    assert prepare in [case[2] for case in scaling.CASES]


def test_a_benchmark_runs_as_make_bench_runs_it():
    command = [sys.executable, "-m", "benchmarks", "--one", "parts", "--turns", "1", "--commit", "abc"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    result = json.loads(made.splitlines()[-1])
    found = {row["part"]: row for row in result["rows"]}
    assert found["the whole step"]["share"] == 1
    assert len(found) == 6 and all(row["milliseconds"] > 0 for row in found.values())
    assert result["machine"]["commit"] == "abc" and result["machine"]["threads"] == 1
    assert "1 thread" in render("<!-- parts -->\n<!-- end -->\n", {"parts": result})


def test_the_peers_are_pinned_and_no_part_of_the_project():
    pins = (ROOT / "benchmarks/requirements.lock").read_text().splitlines()
    own = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.match(r"[a-z0-9-]+==[0-9a-z.]+( ; .+)?$", pin) for pin in pins)
    assert {"torchcfm", "torchdiffeq", "rectified-flow-pytorch"} <= {pin.partition("==")[0] for pin in pins}
    assert not set(pins) & set(own)
