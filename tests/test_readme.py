"""The README shows the committed results, and its commands exist."""

import re

import pandas as pd
import pytest

from reflowbench.core.config import load_params
from reflowbench.report import markdown
from reflowbench.results.access import Results
from reflowbench.results.table import read_table
from reflowbench.results.verdicts import SHRINKS, aspect
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
FINDINGS = (ROOT / "docs/findings.md").read_text()


def test_the_report_is_that_of_the_committed_table():
    params = load_params(ROOT / "params.yaml")
    table = Results(read_table(ROOT / "reports/results.csv"))
    assert table.methods == params.grid.methods and table.rounds == [0, *params.grid.ks]
    methods = {method: params.methods[method] for method in table.methods}
    settings = markdown.Settings(params.round, params.pairs, params.evaluate, methods, params.latents)
    paired = pd.read_csv(ROOT / "reports/paired.csv")
    assert (ROOT / "reports/report.md").read_text() == markdown.render(table, settings, paired)


def test_every_table_row_in_the_readme_is_in_the_report():
    report = (ROOT / "reports/report.md").read_text().splitlines()
    methods = "|".join(load_params(ROOT / "params.yaml").grid.methods)
    rows = [line for line in README.splitlines() if re.match(rf"\| ({methods}) ", line)]
    assert rows and all(row in report for row in rows)


def test_the_verdicts_in_the_readme_are_those_of_the_report():
    page = (ROOT / "reports/report.md").read_text()
    verdicts = [line for line in page.splitlines() if "FD at NFE" in line]
    assert verdicts and all(line in README for line in verdicts)
    rule = next(line for line in page.splitlines() if line.startswith("Growth a round is"))
    assert " ".join(rule.split()) in " ".join(README.split())


def test_what_the_readme_says_was_lost_is_true_of_the_table():
    results = Results(read_table(ROOT / "reports/results.csv"))

    def word(method, name):
        return aspect(results, method, name, results.nfes[-1], results.last).word

    for method in ("reflow", "rca"):
        assert all(word(method, name) == SHRINKS for name in ("quality", "diversity", "coverage"))
    assert all(word("ot", name) != SHRINKS for name in ("quality", "diversity"))


def test_every_table_row_in_the_findings_is_in_its_report():
    """That of the ablations, and below the heading of MNIST its own, whose verdicts are all there."""
    ablations, mnist = (
        (ROOT / f"reports/{name}/report.md").read_text().splitlines() for name in ("ablations", "mnist")
    )
    variants, _, other = FINDINGS.partition("## On 28x28 images\n")
    larger, _, rest = other.partition("\n## ")
    for text, report, least in ((variants + rest, ablations, 50), (larger, mnist, 12)):
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) >= least and all(row in report for row in rows)
    verdicts = [line for line in mnist if "FD at NFE" in line]
    assert len(verdicts) == 4 and all(line in larger for line in verdicts)


def test_what_the_findings_claim_of_the_best_methods_is_true_of_the_table():
    """The claims that the defaults rest on, from the committed table itself."""
    # Not by read_table: the ablations is not run again for every change, so its table may have older columns.
    results = Results(pd.read_csv(ROOT / "reports/ablations/results.csv", keep_default_na=False))
    fd, many, few = "frechet_distance", results.nfes[-1], results.nfes[0]
    for nfe, limit in ((many, 1.2), (few, 0.1)):
        ratio = results.relative_to_base("ot_dataset_chunk", fd, nfe)
        assert ratio.mean + ratio.half_width <= limit
    assert results.against("rca_ot", "ot_dataset_chunk", fd, many).sign == -1
    assert results.against("rca_ot", "ot_dataset_chunk", fd, few).sign == 1
    assert results.against("neon_weight_01", "ot_dataset_chunk", fd, many).sign == -1
    assert results.against("rca_alpha_100", "reflow", fd, many).sign == 1
    assert results.against("rca_euler_10", "reflow_euler_10", fd, many).sign == -1
    assert results.against("accumulate", "ot_dataset_chunk", fd, few).sign == -1
    assert results.against("reflow_from_ot", "reflow", fd, many).sign == 0


def test_what_the_findings_claim_of_28x28_images_is_true_of_the_table():
    results = Results(read_table(ROOT / "reports/mnist/results.csv"))
    fd, few, some, many = "frechet_distance", *results.nfes
    assert (few, some, many) == (1, 5, 50) and len(results.seeds) == 3
    assert results.against("ocar", "reflow", fd, many).sign == 1
    assert results.against("rca", "reflow", fd, many).sign == 0
    assert all(results.against("ot", "reflow", fd, nfe).sign == -1 for nfe in (some, many))
    assert results.against("ot", "reflow", fd, few).sign == 1
    assert results.relative_to_base("reflow", fd, few).mean == pytest.approx(1 / 8, rel=0.02)
    assert results.relative_to_base("ot", fd, few).mean == pytest.approx(0.43, rel=0.02)


def test_what_the_readme_points_to_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
        assert all((page.parent / link).exists() for link in links), page
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in re.findall(r"\bmake ([a-z]+)\b", README))
