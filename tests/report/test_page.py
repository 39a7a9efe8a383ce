"""The report says what the intervals say, and nothing more."""

import math

import pytest
from scipy import stats

from reflowbench.report.collapse import METRICS, paired_table, percent
from reflowbench.report.markdown import render
from reflowbench.results.statistics import Interval, interval
from tests.report.made import page_of, paired_of, rows, section, settings
from tests.results.cells import FD, SEEDS, edit, grid, results_of, write_cells


@pytest.mark.parametrize(
    ("at_the_end", "sentence"),
    [
        (lambda seed: -5 + 0.1 * seed, "It ends with lower FD than reflow"),
        (lambda seed: 5 + 0.1 * seed, "It does **not** help here: it ends with higher FD than reflow"),
        (lambda seed: seed - 1, "It does **not** certainly differ from reflow"),
    ],
)
def test_the_report_says_what_the_intervals_say(tmp_path, at_the_end, sentence):
    write_cells(
        tmp_path,
        lambda method, seed, k, nfe: 10 + 5 * k + 0.1 * seed * k + (at_the_end(seed) * k / 2 if method == "rca" else 0),
    )
    text = page_of(tmp_path)
    difference = interval([at_the_end(seed) for seed in SEEDS])
    assert f"{sentence}" in text and f"(paired difference after round 2: {difference})" in text
    floors = "Real against real: 2 (50 training images drawn with replacement, against all)."
    assert floors in text and "Held-out images lie at a median distance of 2 from" in text
    assert "| rca | 10 | 1 | 3 | 1.5 |" in text and "| reflow | 10 | 1 | 3 | 0 |" in text
    assert "| rca, k = 2 | 3.2 ± 0.0 | 0.6 ± 0.0 |" in text
    assert "| rca, k = 2 | 0.1 ± 0.0 |" in text and "25 real training images and as many samples" in text
    assert "correlation between coordinates (root mean square) 0.2." in text
    assert "Missing values" not in text and "missing |" not in text


@pytest.mark.parametrize(
    ("factor", "sentence"),
    [
        (1.5, "- **reflow** **collapses**: FD x 1.5 (1.5 to 1.5) a round."),
        (1.0, "- **reflow** **holds**: FD x 1 (1 to 1) a round."),
        (0.5, "- **reflow** **improves**: FD x 0.5 (0.5 to 0.5) a round."),
    ],
)
def test_verdicts_are_in_words_with_what_they_follow_from(tmp_path, factor, sentence):
    """By the highest NFE; the lowest one is stated beside it."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 16 * (factor**k if nfe == 50 else 0.25**k))
    text = page_of(tmp_path).split("![")[0]
    assert sentence in text and "95 % interval over 3 seeds" in text
    assert "Quality kept (+0 ± 0 %), diversity lost (-25 ± 0 %), coverage kept (+0 ± 0 %)." in text
    assert "FD at NFE 1 goes from 16.0 ± 0.0 to 1.0 ± 0.0." in text


def test_seeds_that_disagree_are_undecided_in_words(tmp_path):
    factors = (1.5, 0.7, 1.0)
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 * factors[seed] ** k)
    low, high = (math.exp(bound) for bound in interval([math.log(f) for f in factors]).bounds)
    assert f"- **reflow** is **undecided**: FD x 1.02 ({low:.3g} to {high:.3g}) a round." in page_of(tmp_path)


def test_a_single_seed_claims_nothing(tmp_path):
    write_cells(tmp_path)
    text = page_of(tmp_path, grid(seeds=[0]))
    verdicts = text.split("Conditions")[0]
    assert "±" not in verdicts and "One seed has no interval, so nothing is certain." in verdicts
    assert verdicts.count("is **undecided**") == 2 and "diversity undecided (-25 %)" in verdicts
    assert not any(word in verdicts.split("\n", 4)[4] for word in ("lost", "gained", "kept", "lower", "higher"))
    assert "1 seed;" in text
    assert rows(section(text, "How sure differences"))["rca - reflow"][:2] == ["50", "0"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Interval(-0.388, 0.0213, 3), "-39 ± 2.1 %"),
        (Interval(0.01, None, 1), "+1 %"),
        (Interval(math.nan, None, 3), "missing"),
    ],
)
def test_percent(change, text):
    assert percent(change) == text


def test_the_tables_of_all_metrics_have_real_images_the_base_and_the_last_models(evaluations):
    text = page_of(evaluations)
    for nfe in (1, 50):
        found = rows(section(text, f"All metrics at NFE {nfe}\n"))
        assert list(found) == ["real images", "base", "reflow, k = 2", "rca, k = 2"]
        assert all(len(cells) == len(METRICS) for cells in found.values())
        assert set(found["real images"]) == {"2"}
        columns = list(METRICS)
        assert found["base"][columns.index(FD)] == "10.0 ± 0.0"
        assert found["rca, k = 2"][columns.index("variance_ratio")] == "0.8 ± 0.0"
        assert found["rca, k = 2"][columns.index("recall")] == "1.0 ± 0.0"


def test_the_table_of_aspects_is_of_many_steps_and_of_few(tmp_path):
    """Precision falls in one step only."""
    write_cells(tmp_path)

    def worse(cell):
        for row in cell["measurements"]:
            if row["metric"] == "precision" and row["nfe"] == 1:
                row["value"] = 0.5

    for seed in SEEDS:
        edit(tmp_path, "rca", seed, 2, worse)
    text = section(page_of(tmp_path), "What was lost")
    found, words = (rows(part) for part in text.split("Of every model"))
    assert found["rca"] == [
        "kept (+0 ± 0 %)", "lost (-25 ± 0 %)", "kept (+0 ± 0 %)",
        "lost (-50 ± 0 %)", "lost (-25 ± 0 %)", "kept (+0 ± 0 %)"]  # fmt: skip
    assert found["reflow"][3] == "kept (+0 ± 0 %)"
    assert words == {"reflow": ["kept, lost, kept"] * 2, "rca": ["kept, lost, kept"] * 2}, "in many steps, by round"


def differences_of(table, folder):
    lines = paired_table(table, results_of(folder)).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_differences_has_both_errors(tmp_path):
    """Over seeds (Student t) and within each seed (jackknife): errors 2, 2/3 and 0 for differences of 3, 1 and -1."""
    write_cells(tmp_path, lambda method, seed, k, nfe: (3 - 2 * seed) * (method == "rca" and nfe == 50) + 20.0)
    for seed, last in ((0, 4.0), (1, 2.0), (2, 1.0)):
        groups = [1.0, 1.0, 1.0 + last]
        edit(tmp_path, "rca", seed, 2, lambda cell, g=groups: cell["left_out"]["classifier"].update(euler_50=g))
    table = paired_of(tmp_path)
    errors = [2.0, 2 / 3, 0.0]  # left out, the differences are 0, 0, and 3, 1, 0
    assert table[table["nfe"] == 50]["error"].tolist() == pytest.approx(errors)
    p = stats.ttest_rel([23, 21, 19], [20, 20, 20]).pvalue
    root = (sum(e * e for e in errors) / 3) ** 0.5
    found = differences_of(table, tmp_path)
    assert found == [
        ["rca - reflow", "1", "0.0 ± 0.0", "", "0", "0 of 3"],
        ["rca - reflow", "50", str(interval([3, 1, -1])), f"{p:.2g}", f"{root:.2g}", "1 of 3"],
    ]
    table.loc[table["nfe"] == 1, "error"] = math.nan
    assert differences_of(table, tmp_path)[0] == ["rca - reflow", "1", "0.0 ± 0.0", "", "missing", "missing"]


def test_a_grid_without_references_has_an_empty_table_of_differences(evaluations):
    one = grid(methods=["rca"])
    text = page_of(evaluations, one)
    assert rows(section(text, "How sure differences")) == {} and "paired difference" not in text.split("![")[0]


def test_the_report_states_the_settings_of_its_methods_only(evaluations):
    rca = {"method": "rca_ot", "real_fraction": 0.5, "potential": {"steps": 3, "lr": 0.5}}
    blocks = {"reflow": {"method": "reflow"}, "rca": rca, "ot": {"noises": 7}}
    text = render(results_of(evaluations), settings(blocks), paired_of(evaluations))
    assert "- **reflow**: no parameters\n- **rca**: method rca_ot, real_fraction 0.5, potential.steps 3, " in text
    assert "noises" not in text
    assert (
        "Stored pairs: 3072 synthetic ones a round, and the noise of every real image, by heun with 12 steps." in text
    )
