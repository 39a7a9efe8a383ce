"""The README shows the committed results, and its commands exist."""

import re

import pandas as pd
import pytest

from reflowbench.report import markdown
from reflowbench.results.access import Results
from reflowbench.results.table import read_table
from reflowbench.results.verdicts import verdict
from reflowbench.runtime.config import load_params
from tests.conftest import ROOT

FD = "frechet_distance"
CLAIMS = {
    50: {"continued": (-1, -1), "reflow": (0, 0), "rca": (0, -1), "rca_fixed": (-1, -1), "rca_real": (-1, -1),
         "ocar": (1, 1), "ocar_frozen": (-1, -1), "ot": (-1, -1)},
    1: {"continued": (1, 1), "reflow": (0, 0), "rca": (1, 0), "rca_fixed": (0, -1), "rca_real": (-1, -1),
        "ocar": (1, 1), "ocar_frozen": (-1, -1), "ot": (1, 1)},
}  # fmt: skip
"""Signs of the paired differences to Reflow after the first and the last round, by NFE and method."""
WORDS = dict.fromkeys(("reflow", "rca", "rca_fixed", "rca_real", "ocar"), "grows") | dict.fromkeys(
    ("continued", "ocar_frozen", "ot"), "stable"
)
"""The verdicts on the growth since the base."""
README = (ROOT / "README.md").read_text()
FINDINGS = (ROOT / "docs/findings.md").read_text()


STUDY = ROOT / "reports/study"
MANY, FEW = 50, 1


@pytest.fixture(scope="module")
def study():
    return Results(read_table(STUDY / "results.csv"))


@pytest.mark.parametrize(
    ("params", "reports"), [("params.yaml", "reports"), ("reports/study/params.yaml", "reports/study")]
)
def test_the_report_is_that_of_the_committed_table(params, reports):
    found, folder = load_params(ROOT / params), ROOT / reports
    table = Results(read_table(folder / "results.csv"))
    assert table.methods == found.grid.methods and table.rounds == [0, *found.grid.rounds]
    methods = {method: found.methods[method] for method in table.methods}
    settings = markdown.Settings(found.round, found.pairs, found.evaluate, methods, found.latents)
    paired = pd.read_csv(folder / "paired.csv")
    assert (folder / "report.md").read_text() == markdown.render(table, settings, paired)


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]


def test_every_number_in_the_tables_of_readme_and_findings_is_in_its_report(study):
    """Row by row, of the report that the section is about."""
    methods = "|".join(study.methods)
    report = rows((STUDY / "report.md").read_text())
    shown = [line for line in rows(README) if re.match(rf"\| ({methods}) ", line)]
    assert len(shown) == 2 * len(study.methods) and all(row in report for row in shown)
    first, raw, larger = (
        FINDINGS.split("\n## Raw digits", 1)[0],
        *FINDINGS.split("\n## Raw digits", 1)[1].split("\n## ", 1),
    )
    for text, name, least in ((first, "study", 16), (raw, "ablations", 10), (larger, "mnist", 4)):
        report = rows((ROOT / f"reports/{name}/report.md").read_text())
        shown = [line for line in rows(text) if re.match(r"\| [a-z_0-9]+ \|", line)]
        assert len(shown) >= least and all(row in report for row in shown), name


def test_the_floors_in_the_readme_are_those_of_the_table(study):
    for metric in ("frechet_distance_floor", "frechet_distance_generalizer_floor", "frechet_distance_decoder_floor"):
        assert f"{study.mean(metric):.3g}" in README, metric


@pytest.mark.parametrize("nfe", [MANY, FEW])
def test_the_claims_of_readme_and_findings_follow_from_the_table(study, nfe):
    """Signs of paired differences to Reflow after rounds 1 and 4, and words: as the sentences say."""
    found = {(m, k): study.against(m, "reflow", FD, nfe, k).sign for m in study.methods for k in study.ends}
    assert found == {
        (m, k): sign for m, signs in CLAIMS[nfe].items() for k, sign in zip(study.ends, signs, strict=True)
    }
    if nfe == MANY:
        assert {m: verdict(study, m, MANY).word for m in study.methods} == WORDS


def test_what_the_findings_claim_of_raw_and_larger_digits_is_true_of_their_tables():
    """Not by read_table: these pipelines are not run again for every change, so a table may have older columns."""
    raw, larger = (
        Results(pd.read_csv(ROOT / f"reports/{name}/results.csv", keep_default_na=False))
        for name in ("ablations", "mnist")
    )
    assert raw.against("rca_alpha_100", "reflow", FD, MANY).sign == 1
    assert raw.against("rca_lambda_050", "reflow", FD, MANY).sign == 0
    assert all(raw.against(m, "reflow", FD, MANY).sign == -1 for m in ("rca_ot", "neon_weight_01", "ot_dataset_chunk"))
    assert larger.against("rca", "reflow", FD, MANY).sign == 0 and larger.against("ocar", "reflow", FD, MANY).sign == 1
    assert larger.against("ot", "reflow", FD, MANY).sign == -1 and larger.against("ot", "reflow", FD, FEW).sign == 1
    for method, ratio in (("ot", 0.43), ("reflow", 0.12)):
        assert larger.relative_to_base(method, FD, FEW).mean == pytest.approx(ratio, rel=0.05)


def test_what_the_readme_points_to_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
        assert all((page.parent / link).exists() for link in links), page
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in re.findall(r"\bmake ([a-z]+)\b", README))
