"""The theory's own pipeline at the size of tests: run, repeated, changed. In order, on one copy."""

import csv
import io

import pytest

from tests.pipeline.project import Project

pytestmark = pytest.mark.slow

ENTRIES = ("reflow", "rca", "ocar", "continued")
OCAR = {"real_fraction": 0.5, "source": "raw", "solver": "rk4", "steps": 2, "reassign": False}
STAGES = {"theory_dae@0.1", "theory_phase", "theory_gaussian_base", "theory_report"}
STAGES |= {f"theory_gaussian@{name}" for name in ENTRIES}


@pytest.fixture(scope="module")
def theory(tmp_path_factory):
    """A copy in which nothing has run."""
    return Project(tmp_path_factory.mktemp("theory") / "project").make().with_theory()


def test_a_first_run_runs_every_stage_and_nothing_of_the_images(theory):
    assert theory.repro("theory/dvc.yaml") == STAGES == set(theory.lock("theory/dvc.lock"))
    assert not (theory.folder / "dvc.lock").exists() and not (theory.folder / "runs/data").exists()
    rows = list(csv.DictReader(io.StringIO(theory.read("reports/theory/flows.csv").decode())))
    assert {row["method"] for row in rows} == {*ENTRIES, "base", "real", "exact"}
    spent = {"forward_evaluations", "inversion_evaluations"}
    found = {float(row["value"]) for row in rows if row["method"] == "continued" and row["metric"] in spent}
    assert found == {0}, "the control trains on no sample of a model"
    report = theory.read("reports/theory/report.md").decode()
    figures = {path.name for path in (theory.folder / "reports/theory/figures").iterdir()}
    assert "continued |" in report and {f"trajectories_{law}.png" for law in ("gaussian", "mixture")} <= figures
    assert theory.repro("theory/dvc.yaml") == set()


def test_an_entry_of_the_methods_reruns_its_own_cells_only(theory):
    theory.set_params("theory/params.yaml", methods__rca__params__real_fraction=0.0)
    assert theory.repro("theory/dvc.yaml") == {"theory_gaussian@rca", "theory_report"}
    tables = [theory.read(f"runs/theory/flows/{name}/scores.csv") for name in ("reflow", "rca")]
    scores = [[line for line in text.splitlines() if b"evaluations" not in line] for text in tables]
    assert scores[0] == [line.replace(b",rca,", b",reflow,") for line in scores[1]], "lambda = 0 is Reflow"
    theory.set_params("theory/params.yaml", methods__slow={"method": "fresh", "params": {"real_fraction": 0.5}})
    assert theory.repro("theory/dvc.yaml") == {"theory_gaussian@slow", "theory_report"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"method": "fresh", "params": {}}, "theory/params.yaml: methods.slow.params.real_fraction: missing"),
        ({"method": "ocar_", "params": {}}, "couplings/ocar_.py"),
        ({"method": "ocar", "parms": {}}, "theory/params.yaml: methods.slow.params: missing"),
        (
            {"method": "ocar", "params": OCAR | {"replay": 5}},
            "methods.slow.params.replay = 5: must divide round.batch = 32",
        ),
    ],
)
def test_a_wrong_entry_is_named(theory, entry, message):
    theory.set_params("theory/params.yaml", methods__slow=entry)
    result = theory.run("dvc", "repro", "theory/dvc.yaml", check=False)
    assert result.returncode and message in result.stdout + result.stderr
