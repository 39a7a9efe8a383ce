"""The real DAG on the tiny profile: run, repeated, changed, damaged. One copy serves all tests, in order."""

import json
import re
import shutil
import sqlite3
import sys

import pytest
import yaml

from reflowbench.core.artifacts import read_json
from tests.conftest import ROOT
from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.slow

TABLES = {"results.csv", "fd_by_round.csv", "aspects.csv", "paired.csv", "spectra.csv"}


def lock(project):
    return yaml.safe_load(project.read("dvc.lock"))["stages"]


def finished_runs(project):
    """Names of MLflow's runs, read from the database itself."""
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        return sorted(name for (name,) in database.execute("SELECT name FROM runs WHERE status = 'FINISHED'"))


def stage_runs(project):
    return [name for name in finished_runs(project) if not name.startswith("pipeline ")]


def names(project, folder):
    """What there is in a folder, apart from what tells Git to ignore it."""
    return {path.name for path in (project.folder / folder).iterdir() if path.name != ".gitignore"}


def test_a_first_run_runs_every_stage(project):
    assert project.repro() == set(TINY_STAGES)
    summary = json.loads(project.read("reports/summary.json"))
    assert summary["profile"] == "tiny" and {"reflow", "rca", "ocar"} <= set(summary)
    assert b"![" in project.read("reports/report.md")
    assert names(project, "reports/figures") == {
        "diversity.png", "fd_by_nfe.png", "fd_by_round.png", "samples.png", "spectrum.png"}  # fmt: skip
    assert names(project, "reports") == {"report.md", "index.html", "summary.json", "figures", "theory", *TABLES}
    assert not list((project.folder / ".scratch").glob("tmp*")), "scratch space is removed"


def test_mlflow_holds_a_run_for_every_stage_and_one_parent(project):
    assert stage_runs(project) == sorted(set(TINY_STAGES) - {"track"})
    assert len(finished_runs(project)) == len(TINY_STAGES)


def test_every_training_has_shown_its_course(project):
    """Every sixth step of 40, and of 12; the last one too. DVC keeps the files as plots."""
    steps = {"base/s0": [0, 6, 12, 18, 24, 30, 36, 40]}
    steps |= {f"{method}/s0/k1": [0, 6, 12] for method in ("reflow", "rca", "ocar")}
    for run, expected in steps.items():
        folder = f"runs/training/{run}"
        assert names(project, folder) == {"curves.csv", "samples.png"}
        lines = project.read(f"{folder}/curves.csv").decode().splitlines()
        assert [int(line.split(",")[0]) for line in lines[1:]] == expected
        assert all(float(value) > 0 for line in lines[2:] for value in line.split(","))
    first = {project.read(f"runs/training/{m}/s0/k1/curves.csv").splitlines()[1] for m in ("reflow", "rca", "ocar")}
    assert len(first) == 1, "the same model before the first step, on the same noise"
    kept = {out["path"] for entry in lock(project).values() for out in entry["outs"]}
    assert {path for path in kept if path.startswith("runs/training/")} == {f"runs/training/{run}" for run in steps}


def test_evaluations_have_errors_reasons_spectra_and_left_out_values(project):
    base, last = (json.loads(project.read(f"runs/evaluations/{m}/metrics.json")) for m in ("base/s0/k0", "rca/s0/k1"))
    for cell in (base, last):
        assert all((row["value"] is None) == bool(row["missing"]) for row in cell["measurements"])
        assert len(cell["spectrum"]) == 64 and cell["spectrum"] == sorted(cell["spectrum"], reverse=True)
        assert {name: len(groups) for name, groups in cell["left_out"]["classifier"].items()} == dict.fromkeys(
            ("euler_1", "euler_5", "dopri5"), 4
        )
        assert any(row["error"] for row in cell["measurements"] if row["metric"] == "frechet_distance")
    assert len(base["real_spectrum"]) == 64 and last["real_spectrum"] == []


def test_dvc_shows_metrics_and_plots(project):
    metrics = json.loads(project.run("dvc", "metrics", "show", "--json").stdout)
    assert metrics[""]["data"]["reports/summary.json"]["data"]["rca"]["frechet_distance"]["mean"] > 0
    plots = project.run("dvc", "plots", "show", "--json").stdout
    assert "fd_by_round" in plots
    for run in ("base/s0", "reflow/s0/k1", "rca/s0/k1", "ocar/s0/k1"):
        assert f"runs/training/{run}/curves.csv" in plots and f"runs/training/{run}/samples.png" in plots


def test_a_second_run_runs_nothing_and_adds_nothing(project):
    before = finished_runs(project), project.read("dvc.lock")
    assert project.repro() == set()
    assert "up to date" in project.run("dvc", "status").stdout
    project.run("reflowbench", "track")
    assert (finished_runs(project), project.read("dvc.lock")) == before


def test_outputs_are_the_same_bytes_when_made_again(project):
    """What trainings show of themselves included, and the tables and figures that Git holds."""
    before = lock(project)
    wanted = ["prepare_data", "train_features", "train_base@0", "generate_pairs@reflow-0-after0", "summarize"]
    wanted += ["rca_regenerate@rca-0-after0", "rca@rca-0-after0", "ocar@ocar-0-after0", "evaluate@ocar-0-1"]
    wanted += ["report"]
    assert project.repro("--force", "--single-item", *wanted) == set(wanted)
    assert lock(project) == before
    again = [out["path"] for name in wanted for out in before[name]["outs"]]
    assert {"runs/training/base/s0", "runs/training/rca/s0/k1", "reports/paired.csv"} <= set(again)


def test_round_zero_is_the_base_model(project):
    stages = lock(project)
    base = stages["train_base@0"]["outs"][0]["md5"]
    assert {stages[f"k0@{method}-0"]["outs"][0]["md5"] for method in ("reflow", "rca", "ocar")} == {base}


def test_a_studys_chain_gives_the_pipelines_own_numbers(project):
    params = yaml.safe_load(project.read("params.yaml"))
    params["chains"] = {
        name: {"method": "rca", "base": "independent", "params": {}, "round": {}, "pairs": pairs}
        for name, pairs in (("same", {}), ("other", {"steps": 2}))
    }
    params["grid"] |= {"methods": ["same", "other"], "stages": {}}
    study = project.folder / "study.yaml"
    study.write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "stages.run_chain", "--params", "study.yaml", "--method", "rca"]
    command += ["--bases", "runs/base", "--features", "runs/features/classifier.safetensors"]
    command += ["--data", "runs/data/train.safetensors", "--heldout", "runs/data/heldout.safetensors"]
    found = {}
    for chain in ("same", "other"):
        project.run(*command, "--chain", chain, "--out", f"made/{chain}")
        found[chain] = read_json(project.folder / f"made/{chain}/s0/k1/metrics.json")
    assert found["same"] == read_json(project.folder / "runs/evaluations/rca/s0/k1/metrics.json")
    assert found["other"] != found["same"]
    shutil.rmtree(project.folder / "made")
    study.unlink()


def test_restored_from_the_cache_nothing_runs_but_the_mirror_is_whole(project):
    reports = project.read("reports/results.csv"), project.read("reports/report.md")
    for name in ("runs", "mlartifacts", ".scratch"):
        shutil.rmtree(project.folder / name)
    (project.folder / "mlflow.db").unlink()
    assert project.repro() == {"track"}
    assert stage_runs(project) == sorted(set(TINY_STAGES) - {"track"})
    assert (project.read("reports/results.csv"), project.read("reports/report.md")) == reports


def test_report_code_reruns_the_report_only(project):
    path = project.folder / "src/reflowbench/report/markdown.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert project.repro() == {"report"}


def test_what_trainings_show_reruns_the_trainings_and_changes_no_model(project):
    """They declare it. No weight depends on it, so nothing after them runs."""
    before = lock(project)
    project.set_params(monitor__every=5)
    trainings = {"train_base@0", "reflow@reflow-0-after0", "rca@rca-0-after0", "ocar@ocar-0-after0"}
    assert project.repro() == trainings
    assert b"\n10," in project.read("runs/training/rca/s0/k1/curves.csv")

    def models(stages):
        return {n: [out for out in stages[n]["outs"] if "/training/" not in out["path"]] for n in trainings}

    assert models(lock(project)) == models(before) and lock(project) != before
    project.set_params(monitor__every=6)
    assert project.repro() == set(), "from DVC's run cache"
    assert lock(project) == before


def test_a_parameter_of_rca_reruns_rcas_chain_only(project):
    project.set_params(methods__rca__real_fraction=0.0)
    chain = {name for name in TINY_STAGES if "@rca-0" in name}
    unchanged = {"k0@rca-0", "generate_pairs@rca-0-after0", "rca_regenerate@rca-0-after0"}
    theory = {"theory_gaussian@rca", "theory_report"}
    assert project.repro() == chain - unchanged | theory | {"summarize", "report", "track"}
    # lambda = 0 is Reflow, to the byte
    chains = project.folder / "runs/chains"
    weights = [(chains / method / "s0/k1/model/model.safetensors").read_bytes() for method in ("reflow", "rca")]
    assert weights[0] == weights[1]


def test_another_round_runs_that_round_only(project):
    rounds = [{"k": k, "prev": k - 1} for k in (1, 2)]
    project.set_params(grid__rounds=rounds, grid__ks=[1, 2])
    trained = {f"{name}-0-after1" for name in ("generate_pairs@reflow", "generate_pairs@rca", "rca_regenerate@rca")}
    trained |= {"reflow@reflow-0-after1", "rca@rca-0-after1", "ocar@ocar-0-after1"}
    evaluated = {f"evaluate@{method}-0-2" for method in ("reflow", "rca", "ocar")}
    assert project.repro() == trained | evaluated | {"summarize", "report", "track"}


def test_a_smaller_grid_ignores_and_names_what_is_left_over(project):
    project.set_params(grid__rounds=[{"k": 1, "prev": 0}], grid__ks=[1])
    result = project.run("dvc", "repro")
    assert Project.stages_that_ran(result.stdout) == {"summarize", "report", "track"}
    assert "ignored: runs/evaluations/rca/s0/k2 is not a cell of the grid" in result.stderr
    assert b",2,euler" not in project.read("reports/results.csv")


def test_a_method_added_as_the_docs_say_runs_its_own_cells_only(project):
    code, block = re.findall(r"```(?:python|yaml)\n(.*?)```", (ROOT / "docs/adding-a-method.md").read_text(), re.DOTALL)
    (project.folder / "src/reflowbench/couplings/anneal.py").write_text(code)
    for name, old in (("defaults", "methods:\n"), ("tiny", "methods: [")):
        path = project.folder / f"profiles/{name}.yaml"
        path.write_text(path.read_text().replace(old, old + (block if name == "defaults" else "anneal, "), 1))
    params = project.read("params.yaml")
    project.run("reflowbench", "profile", "tiny")
    project.set_params(methods__rca__real_fraction=yaml.safe_load(params)["methods"]["rca"]["real_fraction"])
    project.run("reflowbench", "check")
    cells = {"k0@anneal-0", "generate_pairs@anneal-0-after0", "reflow@anneal-0-after0", "evaluate@anneal-0-1"}
    cells |= {"theory_gaussian@anneal", "theory_report"}
    assert project.repro() == cells | {"prepare_data", "summarize", "report", "track"}
    assert b"anneal" in project.read("reports/report.md")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods__rca__real_fractoin": 0.5}, "methods.rca.real_fractoin: unknown parameter; allowed here"),
        ({"methods__rca__real_fraction": 1.5}, "methods.rca.real_fraction = 1.5"),
        ({"round__steps": "many"}, "round.steps = 'many'"),
        ({"grid__rounds": {1: {"k": 1, "prev": 0}}}, "grid.rounds"),
        ({"grid__seeds": []}, "grid.seeds = []: list should have at least 1 item"),
    ],
)
def test_bad_parameters_stop_the_run_with_their_name(project, change, message):
    params, results = project.read("params.yaml"), project.read("reports/results.csv")
    try:
        project.set_params(**change)
        for command in (["reflowbench", "check"], ["dvc", "repro"], ["dvc", "repro", "--force", "prepare_data"]):
            result = project.run(*command, check=False)
            assert result.returncode != 0
            assert message in result.stdout + result.stderr and "Traceback" not in result.stderr
        assert project.read("reports/results.csv") == results
    finally:
        (project.folder / "params.yaml").write_bytes(params)
        project.run("dvc", "checkout")
