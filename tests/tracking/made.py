"""A workspace in which the pipeline has run to its end, made up; and what a store holds."""

import csv
import importlib
import json
import os
from pathlib import Path

import yaml

from reflowbench.core.artifacts import content_hash
from reflowbench.tracking.store import Store
from reflowbench.tracking.sync import ENVIRONMENT

METHODS = ("reflow", "rca")
SEEDS = (0, 1)
KS = (0, 1)
CELLS = [(method, seed) for method in METHODS for seed in SEEDS]
EVALUATED = {f"evaluate_base@{seed}": f"base/s{seed}/k0" for seed in SEEDS}
EVALUATED |= {f"evaluate@{method}-{seed}-1": f"{method}/s{seed}/k1" for method, seed in CELLS}
COLUMNS = ["profile", "method", "seed", "round", "solver", "nfe", "features", "n_samples", "metric"]
COLUMNS += ["value", "error", "missing"]
TABLES = ("fd_by_round", "aspects", "paired", "spectra")
SUMMARY = {
    "digits": {"reflow": {"slope": 1.25, "ok": True, "note": "text"}, "rca": {"slope": None}},
    "floor": 5,
}


def rows():
    """Results with awkward numbers: many digits, a tiny one, an adaptive solver's NFE; round 0 is the base model's."""
    out = []
    for m, method in enumerate(METHODS):
        for seed in SEEDS:
            for k in KS:
                value = 10 * m * k + seed / 3 + k
                cell = ["tiny", method, seed, k]
                for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 62 + k)):
                    shared = [*cell, solver, nfe, "classifier", 64]
                    out.append([*shared, "frechet_distance", value + nfe, 1 / 3, ""])
                    out.append([*shared, "kernel_distance", (value + nfe) * 1e-13, None, ""])
                out.append([*cell, "", 0, "classifier", 64, "frechet_distance_floor", 5.5, 0.25, ""])
    return out


def write_reports(workspace, table):
    reports = workspace / "reports"
    (reports / "figures").mkdir(parents=True, exist_ok=True)
    with (reports / "results.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *table])
    (reports / "summary.json").write_text(json.dumps(SUMMARY))
    (reports / "report.md").write_text("# Report\n")
    for name in TABLES:
        (reports / f"{name}.csv").write_text(f"{name}\n1\n")
    (reports / "figures" / "collapse.svg").write_text("<svg/>")


def items(workspace, *paths):
    return [{"path": p, "hash": "md5", "md5": content_hash(workspace / p)} for p in paths]


def entries(workspace):
    """A lock of all kinds of stages, true to the files in the workspace."""
    stages = {
        "prepare_data": {
            "cmd": "python -m stages.prepare_data --out runs/data/train.safetensors",
            "params": {"params.yaml": {"data": {"source": "digits", "n_images": None, "dequantize": True}}},
            "outs": [{"path": "runs/data/train.safetensors", "hash": "md5", "md5": "d" * 32}],
        }
    }
    for method in METHODS:
        for seed in SEEDS:
            stages[f"reflow@{method}-{seed}-after0"] = {
                "cmd": f"python -m stages.train_round --method {method} --seed {seed} --round 1 "
                f"--plots runs/training/{method}/s{seed}/k1 --out runs/chains/{method}/s{seed}/k1/model",
                "params": {"params.yaml": {"round": {"lr": 0.001, "clip": 1.0}, f"methods.{method}": {}}},
                "outs": [
                    {"path": f"runs/chains/{method}/s{seed}/k1/model", "hash": "md5", "md5": "e" * 32},
                    {"path": f"runs/training/{method}/s{seed}/k1", "hash": "md5", "md5": "f" * 32},
                ],
            }
    for name, cell in EVALUATED.items():
        floor = " --floor" if cell.startswith("base") else ""
        stages[name] = {
            "cmd": f"python -m stages.evaluate --seed {cell[-4]}{floor} --out runs/evaluations/{cell}",
            "params": {"params.yaml": {"evaluate": {"nfe": [1, 50]}}},
            "outs": items(workspace, f"runs/evaluations/{cell}"),
        }
    stages["summarize"] = {
        "cmd": "python -m stages.summarize",
        "deps": items(workspace, "runs/evaluations"),
        "params": {"params.yaml": {"profile": "tiny"}},
        "outs": items(workspace, "reports/results.csv", "reports/summary.json", *(f"reports/{t}.csv" for t in TABLES)),
    }
    stages["report"] = {
        "cmd": "python -m stages.report",
        "deps": items(workspace, "reports/results.csv", "runs/evaluations"),
        "outs": items(workspace, "reports/report.md", "reports/figures"),
    }
    return stages


def write_lock(workspace, stages):
    (workspace / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))


def make(workspace):
    """A workspace in which the pipeline has run to its end."""
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    for cell in EVALUATED.values():
        folder = workspace / "runs/evaluations" / cell
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(cell)
    write_reports(workspace, rows())
    write_lock(workspace, entries(workspace))
    return workspace


def mirror():
    """The module that imports MLflow, which reads its environment when it is imported."""
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    return importlib.import_module("reflowbench.tracking.mirror")


class Content:
    """What a store holds."""

    def __init__(self, workspace):
        self.client = mirror().MlflowClient(tracking_uri=Store.locate(workspace).uri)
        experiment = self.client.get_experiment_by_name("reflowbench")
        self.runs = list(self.client.search_runs([experiment.experiment_id])) if experiment else []
        self.parents = [r for r in self.runs if "dvc.state_hash" in r.data.tags]
        self.stages = {r.info.run_name: r for r in self.runs if "dvc.stage_hash" in r.data.tags}

    def history(self, run):
        """All points of a run, as (key, value, step)."""
        points = [p for key in run.data.metrics for p in self.client.get_metric_history(run.info.run_id, key)]
        return sorted((p.key, p.value, p.step) for p in points)

    def folder(self, run):
        return Path(run.info.artifact_uri.removeprefix("file://"))

    def everything(self):
        """All that a second sync must leave as it is, times of files included."""
        files = {p: p.stat().st_mtime_ns for r in self.runs for p in self.folder(r).rglob("*") if p.is_file()}
        return {r.info.run_id: (r.to_dictionary(), self.history(r)) for r in self.runs}, files
