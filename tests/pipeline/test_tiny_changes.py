"""The real DAG on the tiny profile when something changes: what runs again, and nothing else. In order, on one copy."""

import re

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long


def test_report_code_reruns_the_report_only(project):
    path = project.folder / "src/reflowbench/report/markdown.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert project.repro() == {"report"}


def test_what_trainings_show_reruns_the_trainings_and_changes_no_model(project):
    """They declare it. No weight depends on it, so nothing after them runs."""
    before = project.lock()
    project.set_params(monitor__every=5)
    trainings = {"train_base@0", "reflow@reflow-0-1", "rca@rca-0-1", "ocar@ocar-0-1"}
    assert project.repro() == trainings
    assert b"\n10," in project.read("runs/training/rca/s0/round1/curves.csv")

    def models(stages):
        return {n: [out for out in stages[n]["outs"] if "/training/" not in out["path"]] for n in trainings}

    assert models(project.lock()) == models(before) and project.lock() != before
    project.set_params(monitor__every=6)
    assert project.repro() == set(), "from DVC's run cache"
    assert project.lock() == before


def test_a_parameter_of_rca_reruns_rcas_chain_only(project):
    project.set_params(methods__rca__real_fraction=0.0)
    chain = {name for name in TINY_STAGES if "@rca-0" in name}
    unchanged = {"generate_pairs@rca-0-1", "rca_regenerate@rca-0-1"}
    assert project.repro() == chain - unchanged | {"summarize", "report", "track"}
    # lambda = 0 is Reflow, to the byte
    chains = project.folder / "runs/chains"
    weights = [(chains / method / "s0/round1/model/model.safetensors").read_bytes() for method in ("reflow", "rca")]
    assert weights[0] == weights[1]


def test_another_round_runs_that_round_only(project):
    project.set_params(grid__rounds=[1, 2])
    project.run("reflowbench", "rounds")
    trained = {f"{name}-0-2" for name in ("generate_pairs@reflow", "generate_pairs@rca", "rca_regenerate@rca")}
    trained |= {"reflow@reflow-0-2", "rca@rca-0-2", "ocar@ocar-0-2"}
    evaluated = {f"evaluate@{method}-0-2" for method in ("reflow", "rca", "ocar")}
    assert project.repro() == trained | evaluated | {"summarize", "report", "track"}


def test_a_smaller_grid_ignores_and_names_what_is_left_over(project):
    project.set_params(grid__rounds=[1])
    result = project.run("dvc", "repro")
    assert Project.stages_that_ran(result.stdout) == {"summarize", "report", "track"}
    assert "ignored: runs/evaluations/rca/s0/round2 is not a cell of the grid" in result.stderr
    assert b",2,euler" not in project.read("reports/results.csv")


def test_a_method_added_as_the_docs_say_runs_its_own_cells_only(project):
    code, block, _ = re.findall(
        r"```(?:python|yaml)\n(.*?)```", (ROOT / "docs/adding-a-method.md").read_text(), re.DOTALL
    )
    (project.folder / "src/reflowbench/couplings/anneal.py").write_text(code)
    for name, old in (("defaults", "methods:\n"), ("tiny", "methods: [")):
        path = project.folder / f"profiles/{name}.yaml"
        path.write_text(path.read_text().replace(old, old + (block if name == "defaults" else "anneal, "), 1))
    params = project.read("params.yaml")
    project.run("reflowbench", "profile", "tiny")
    project.set_params(methods__rca__real_fraction=yaml.safe_load(params)["methods"]["rca"]["real_fraction"])
    project.run("reflowbench", "check")
    cells = {"generate_pairs@anneal-0-1", "anneal@anneal-0-1", "evaluate@anneal-0-1"}
    assert project.repro() == cells | {"summarize", "report", "track"}
    assert b"anneal" in project.read("reports/report.md")
