"""The report of the ablations: every chain in one table."""

from reflowbench.report import ablations
from tests.report.made import rows, section, settings
from tests.results.cells import GRID, results_of, write_cells


def test_the_report_of_the_ablations_has_a_row_for_every_chain(tmp_path):
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + 2.5 * k + (k if method == "rca" and nfe == 50 else 0))
    blocks = {"reflow": {"method": "reflow", "round": {}}, "rca": {"method": "rca_ot", "pairs": {"steps": 3}}}
    text = ablations.render(results_of(tmp_path), settings(blocks))
    found = {line.split(" | ")[0][2:]: line.strip("| ").split(" | ")[1:] for line in text.splitlines()[8:14]}
    shared = ["0.8 ± 0.0", found["rca"][5], "0.6 ± 0.0", "3"]
    assert found["reflow"] == ["15.0 ± 0.0", "15.0 ± 0.0", "1.5 ± 0.0", "1.5 ± 0.0", *shared, "0"]
    assert found["rca"] == ["17.0 ± 0.0", "15.0 ± 0.0", "1.7 ± 0.0", "1.5 ± 0.0", *shared, "1.5"]
    assert found["base (independent)"][:2] == ["10.0 ± 0.0", "10.0 ± 0.0"]
    assert "- **rca**: method rca_ot, pairs.steps 3" in text
    assert rows(section(text, "Full steps over the rounds"))["rca"][5:] == [
        "grows",
        "-40 ± 0 %",
        "1.0 ± 0.0",
        "2.0 ± 0.0",
    ]
    assert rows(section(text, "One step"))["rca"][-2:] == ["0.0 ± 0.0"] * 2
    assert text.count("\n| base (independent) |") == 2 and "other references" not in text


def test_the_references_of_the_ablations_are_those_in_its_grid(tmp_path):
    methods = ["reflow", "keep_training", "rca"]
    write_cells(tmp_path, lambda method, seed, k, nfe: 10.0 + k * (method == "rca"), methods=methods)
    chains = GRID.model_copy(update={"methods": methods})
    text = ablations.render(results_of(tmp_path, chains), settings({method: {} for method in methods}))
    found = rows(section(text, "Differences in FD to other references"))
    assert found["rca"] == ["2.0 ± 0.0"] * 2 and found["reflow"] == ["0.0 ± 0.0"] * 2
