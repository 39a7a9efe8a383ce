"""The real DAG on the tiny profile: run, repeated, restored. One copy serves all tests, in order."""

import json
import shutil
import sqlite3
import sys

import pytest
import yaml

from reflowbench.runtime.artifacts import read_json
from tests.pipeline.project import TINY_STAGES, address

pytestmark = pytest.mark.slow

TABLES = {"results.csv", "fd_by_round.csv", "fd_by_nfe.csv", "aspects.csv", "paired.csv", "spectra.csv"}


def finished_runs(project):
    """Names of MLflow's runs, read from the database itself."""
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        return sorted(name for (name,) in database.execute("SELECT name FROM runs WHERE status = 'FINISHED'"))


def stage_runs(project):
    return [name for name in finished_runs(project) if not name.startswith("pipeline ")]


def names(project, folder):
    """What there is in a folder, apart from what tells Git to ignore it."""
    return {path.name for path in (project.folder / folder).iterdir() if path.name != ".gitignore"}


def test_a_first_run_runs_every_stage(project, ran):
    assert ran == set(TINY_STAGES)
    summary = json.loads(project.read("reports/summary.json"))
    assert summary["profile"] == "tiny" and {"reflow", "rca", "ocar"} <= set(summary)
    assert b"![" in project.read("reports/report.md")
    assert names(project, "reports/figures") == {
        "diversity.png", "fd_by_nfe.png", "fd_by_round.png", "samples.png", "spectrum.png"}  # fmt: skip
    assert names(project, "reports") == {"report.md", "index.html", "summary.json", "figures", *TABLES}
    assert not list((project.folder / ".scratch").glob("tmp*")), "scratch space is removed"


def test_mlflow_holds_a_run_for_every_stage_and_one_parent(project):
    assert stage_runs(project) == sorted(set(TINY_STAGES) - {"track"})
    assert len(finished_runs(project)) == len(TINY_STAGES)


def test_every_training_has_shown_its_course(project):
    """Every sixth step of 40, and of 12; the last one too. DVC keeps the files as plots."""
    steps = {"base/s0": [0, 6, 12, 18, 24, 30, 36, 40]}
    steps |= {f"{method}/s0/round1": [0, 6, 12] for method in ("reflow", "rca", "ocar")}
    for run, expected in steps.items():
        folder = f"runs/training/{run}"
        assert names(project, folder) == {"curves.csv", "samples.png"}
        lines = project.read(f"{folder}/curves.csv").decode().splitlines()
        assert [int(line.split(",")[0]) for line in lines[1:]] == expected
        assert all(float(value) > 0 for line in lines[2:] for value in line.split(","))
    first = {project.read(f"runs/training/{m}/s0/round1/curves.csv").splitlines()[1] for m in ("reflow", "rca", "ocar")}
    assert len(first) == 1, "the same model before the first step, on the same noise"
    kept = {out["path"] for entry in project.lock().values() for out in entry["outs"]}
    assert {path for path in kept if path.startswith("runs/training/")} == {f"runs/training/{run}" for run in steps}


def test_evaluations_have_errors_reasons_spectra_and_left_out_values(project):
    base, last = (
        json.loads(project.read(f"runs/evaluations/{m}/metrics.json")) for m in ("base/s0/round0", "rca/s0/round1")
    )
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
    shown = metrics[""]["data"]
    assert set(shown) == {f"metrics/{method}.json" for method in ("reflow", "rca", "ocar")}
    assert shown["metrics/rca.json"]["data"]["fd"] > 0
    assert len(shown["metrics/rca.json"]["data"]) == 4
    plots = json.loads(project.run("dvc", "plots", "show", "--json").stdout)
    assert {name.rpartition("::")[2] for name in plots["data"]} == {
        "fd_by_round", "fd_by_nfe", "reports/figures/samples.png", "reports/figures/diversity.png"}  # fmt: skip


def test_a_second_run_runs_nothing_and_adds_nothing(project):
    before = finished_runs(project), project.locks()
    assert project.repro() == set()
    assert "up to date" in project.run("dvc", "status").stdout
    project.run("reflowbench", "track")
    assert (finished_runs(project), project.locks()) == before


@pytest.mark.long
def test_outputs_are_the_same_bytes_when_made_again(project):
    """What trainings show of themselves included, and the tables and figures that Git holds."""
    before = project.lock()
    wanted = ["prepare_data", "encode", "train_features", "train_base@0", "generate_pairs@reflow-0-1", "summarize"]
    wanted += ["rca_regenerate@rca-0-1", "rca@rca-0-1", "ocar@ocar-0-1", "evaluate@ocar-0-1"]
    wanted += ["report"]
    assert project.repro("--force", "--single-item", *map(address, wanted)) == set(wanted)
    assert project.lock() == before
    again = [out["path"] for name in wanted for out in before[name]["outs"]]
    assert {"runs/training/base/s0", "runs/training/rca/s0/round1", "reports/paired.csv"} <= set(again)


def test_an_ablations_chain_gives_the_pipelines_own_numbers(project):
    params = yaml.safe_load(project.read("params.yaml"))
    params["chains"] = {
        name: {"method": "rca", "base": "independent", "params": {}, "round": {}, "pairs": pairs}
        for name, pairs in (("same", {}), ("other", {"steps": 2}))
    }
    params["grid"] |= {"methods": ["same", "other"]}
    ablations = project.folder / "ablations.yaml"
    ablations.write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "stages.run_chain", "--params", "ablations.yaml", "--method", "rca"]
    command += ["--bases", "runs/base", "--space", "runs/space", "--features", "runs/features/classifier.safetensors"]
    command += ["--data", "runs/data/train.safetensors", "--heldout", "runs/data/heldout.safetensors"]
    found = {}
    for chain in ("same", "other"):
        project.run(*command, "--chain", chain, "--out", f"made/{chain}")
        found[chain] = read_json(project.folder / f"made/{chain}/s0/round1/metrics.json")
    assert found["same"] == read_json(project.folder / "runs/evaluations/rca/s0/round1/metrics.json")
    assert found["other"] != found["same"]
    shutil.rmtree(project.folder / "made")
    ablations.unlink()


@pytest.mark.long
def test_restored_from_the_cache_nothing_runs_but_the_mirror_is_whole(project):
    reports = project.read("reports/results.csv"), project.read("reports/report.md")
    for name in ("runs", "mlartifacts", ".scratch"):
        shutil.rmtree(project.folder / name)
    (project.folder / "mlflow.db").unlink()
    assert project.repro() == {"track"}
    assert stage_runs(project) == sorted(set(TINY_STAGES) - {"track"})
    assert (project.read("reports/results.csv"), project.read("reports/report.md")) == reports
