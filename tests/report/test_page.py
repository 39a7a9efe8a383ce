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
        (lambda seed: -5 + 0.1 * seed, "After round 2, FD is lower than that of reflow"),
        (lambda seed: 5 + 0.1 * seed, "After round 2, FD is higher than that of reflow"),
        (lambda seed: seed - 1, "After round 2, FD does not differ significantly from that of reflow"),
    ],
)
def test_the_report_says_what_the_intervals_say(tmp_path, at_the_end, sentence):
    write_cells(
        tmp_path,
        lambda method, seed, k, nfe: 10 + 5 * k + 0.1 * seed * k + (at_the_end(seed) * k / 2 if method == "rca" else 0),
    )
    text = page_of(tmp_path)
    difference = interval([at_the_end(seed) for seed in SEEDS])
    assert f"{sentence} (paired difference {difference})." in text
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
        (1.5, "- **reflow**: FD **grows**, x 1.5 (1.5 to 1.5) a round since the base."),
        (1.0, "- **reflow**: FD is **stable**, x 1 (1 to 1) a round since the base."),
        (0.5, "- **reflow**: FD **shrinks**, x 0.5 (0.5 to 0.5) a round since the base."),
    ],
)
def test_verdicts_are_in_words_with_what_they_follow_from(tmp_path, factor, sentence):
    """By the highest NFE; the lowest one is stated beside it."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 16 * (factor**k if nfe == 50 else 0.25**k))
    text = page_of(tmp_path).split("![")[0]
    assert sentence in text and text.count("the 95 % interval excludes 0") == 1 and "over 3 seeds" in text
    assert "Quality stable (+0 ± 0 %), diversity shrinks (-25 ± 0 %), coverage stable (+0 ± 0 %)." in text
    assert "FD at NFE 1 goes from 16.0 ± 0.0 to 1.0 ± 0.0." in text


def test_seeds_that_disagree_are_inconclusive_in_words(tmp_path):
    factors = (1.5, 0.7, 1.0)
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 * factors[seed] ** k)
    low, high = (math.exp(bound) for bound in interval([math.log(f) for f in factors]).bounds)
    shown = f"the growth of FD is **inconclusive**, x 1.02 ({low:.3g} to {high:.3g}) a round"
    assert f"- **reflow**: {shown}" in page_of(tmp_path)


def test_a_single_seed_claims_nothing(tmp_path):
    write_cells(tmp_path)
    text = page_of(tmp_path, grid(seeds=[0]))
    verdicts = text.split("Conditions")[0]
    assert "±" not in verdicts and "One seed has no interval, so every verdict is inconclusive." in verdicts
    assert verdicts.count("is **inconclusive**") == 2 and "diversity inconclusive (-25 %)" in verdicts
    words = section(text, "Each method in words")
    assert not any(
        word in words.split("![")[0] for word in ("stable", "grows", "shrinks", "lower", "higher", "significant")
    )
    assert "After round 2, the paired difference to reflow is 0." in words
    assert "1 seed;" in text
    assert rows(section(text, "Paired differences in FD"))["rca - reflow"][:2] == ["0", ""]


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
    text = section(page_of(tmp_path), "Quality, diversity and coverage since")
    found, words = (rows(part) for part in text.split("Of every model"))
    assert found["rca"] == [
        "stable (+0 ± 0 %)", "shrinks (-25 ± 0 %)", "stable (+0 ± 0 %)",
        "shrinks (-50 ± 0 %)", "shrinks (-25 ± 0 %)", "stable (+0 ± 0 %)"]  # fmt: skip
    assert found["reflow"][3] == "stable (+0 ± 0 %)"
    assert words == {"reflow": ["stable, shrinks, stable"] * 2, "rca": ["stable, shrinks, stable"] * 2}, (
        "in many steps, by round"
    )


def test_the_tables_of_differences_have_both_errors(tmp_path):
    """Over seeds (Student t) and within each seed (jackknife): errors 2, 2/3 and 0 for differences of 3, 1 and -1."""

    def fd(method, seed, k, nfe):
        return (3 - 2 * seed) * (method == "rca" and nfe == 50 and k == 2) + 20.0

    write_cells(tmp_path, fd)
    for seed, last in ((0, 4.0), (1, 2.0), (2, 1.0)):
        groups = [1.0, 1.0, 1.0 + last]
        edit(tmp_path, "rca", seed, 2, lambda cell, g=groups: cell["left_out"]["classifier"].update(euler_50=g))
    table = paired_of(tmp_path)
    errors = [2.0, 2 / 3, 0.0]  # left out, the differences are 0, 0, and 3, 1, 0
    assert table[(table["nfe"] == 50) & (table["round"] == 2)]["error"].tolist() == pytest.approx(errors)
    p = stats.ttest_rel([23, 21, 19], [20, 20, 20]).pvalue
    root = (sum(e * e for e in errors) / 3) ** 0.5
    same = ["0.0 ± 0.0", "", "0", "0 of 3"]
    assert rows(paired_table(table, 1)) == {"rca - reflow": [*same, *same]}
    changed = [str(interval([3, 1, -1])), f"{p:.2g}", f"{root:.2g}", "1 of 3"]
    assert rows(paired_table(table, 50)) == {"rca - reflow": [*same, *changed]}, "after round 1 and after round 2"
    table.loc[table["nfe"] == 1, "error"] = math.nan
    assert rows(paired_table(table, 1))["rca - reflow"][:4] == ["0.0 ± 0.0", "", "missing", "missing"]
    last = table[table["round"] == 2]
    assert rows(paired_table(last, 50)) == {"rca - reflow": changed}, "a table of an older version has one round"


def test_a_grid_without_references_has_an_empty_table_of_differences(evaluations):
    one = grid(methods=["rca"])
    text = page_of(evaluations, one)
    assert "rca - " not in section(text, "Paired differences in FD") and "paired difference" not in text.split("![")[0]


def test_the_report_states_the_settings_of_its_methods_only(evaluations):
    rca = {"method": "rca_ot", "real_fraction": 0.5, "potential": {"steps": 3, "lr": 0.5}}
    blocks = {"reflow": {"method": "reflow"}, "rca": rca, "ot": {"noises": 7}}
    text = render(results_of(evaluations), settings(blocks), paired_of(evaluations))
    assert "- **reflow**: no parameters\n- **rca**: method rca_ot, real_fraction 0.5, potential.steps 3, " in text
    assert "noises" not in text
    assert (
        "Stored pairs: 3072 synthetic ones a round, and the noise of every real image, by heun with 12 steps." in text
    )
