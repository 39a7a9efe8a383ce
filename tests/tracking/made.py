"""A workspace in which the pipeline has run to its end, made up; and what a store holds."""

import csv
import importlib
import json
from pathlib import Path

import torch
import yaml

from reflowbench.runtime.artifacts import content_hash, write_json, write_tensors
from reflowbench.tracking.store import Store, set_environment

METHODS = ("reflow", "rca")
SEEDS = (0, 1)
KS = (0, 1)
CELLS = [(method, seed) for method in METHODS for seed in SEEDS]
EVALUATED = {f"evaluate_base@{seed}": f"base/s{seed}/round0" for seed in SEEDS}
EVALUATED |= {f"evaluate@{method}-{seed}-1": f"{method}/s{seed}/round1" for method, seed in CELLS}
COLUMNS = ["profile", "method", "seed", "round", "solver", "nfe", "features", "n_samples", "metric"]
COLUMNS += ["value", "error", "missing"]
TABLES = ("fd_by_round", "aspects", "paired", "spectra")
SUMMARY = {
    "digits": {"reflow": {"slope": 1.25, "ok": True, "note": "text"}, "rca": {"slope": None}},
    "floor": 5,
}


def digits(value):
    """A number as results.csv spells it."""
    return float(f"{value:.9g}")


def cell_rows(method, seed, k, number=0):
    """Rows of one model with awkward numbers: many digits, a tiny one, an adaptive solver's NFE."""
    value = 10 * number * k + seed / 3 + k
    cell = ["tiny", method, seed, k]
    out = []
    for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 62 + k)):
        shared = [*cell, solver, nfe, "classifier", 64]
        out.append([*shared, "frechet_distance", digits(value + nfe), digits(1 / 3), ""])
        out.append([*shared, "kernel_distance", digits((value + nfe) * 1e-13), None, ""])
    out.append([*cell, "", 0, "classifier", 64, "frechet_distance_floor", 5.5, 0.25, ""])
    out.append([*cell, "", 0, "", 0, "updates", 250.0 * k, None, ""])
    out.append([*cell, "", 0, "", 0, "classifier_accuracy", 0.9375, None, ""])
    return out


def rows():
    """Results of all cells; round 0 is the base model's."""
    return [
        row
        for m, method in enumerate(METHODS)
        for seed in SEEDS
        for k in KS
        for row in cell_rows(method, seed, k, number=m)
    ]


def write_evaluation(workspace, table, method, seed, k):
    """What the stage writes: full digits, and what the table says of the cell."""
    folder = workspace / "runs/evaluations" / f"{method if k else 'base'}/s{seed}/round{k}"
    folder.mkdir(parents=True, exist_ok=True)
    own = [dict(zip(COLUMNS, row, strict=True)) for row in table if row[1:4] == [method, seed, k]]
    facts = {row["metric"]: row["value"] for row in own if row["metric"] in ("updates", "classifier_accuracy")}
    measured = [{name: row[name] for name in COLUMNS[4:]} for row in own if row["metric"] not in facts]
    accuracy = facts.pop("classifier_accuracy", 0.9375)
    content = {"measurements": measured, "training": facts, "classifier_accuracy": accuracy}
    write_json(folder / "metrics.json", content)
    tensors = {"euler_1": torch.zeros(4, 16)}
    write_tensors(folder / "samples.safetensors", tensors, {"shape": [1, 4, 4]})


def write_evaluations(workspace, table):
    for method, seed in CELLS:
        for k in KS:
            write_evaluation(workspace, table, method, seed, k)


def write_reports(workspace, table):
    reports = workspace / "reports"
    (reports / "figures").mkdir(parents=True, exist_ok=True)
    with (reports / "results.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *table])
    (reports / "summary.json").write_text(json.dumps(SUMMARY))
    (reports / "report.md").write_text("# Report\n")
    for name in TABLES:
        (reports / f"{name}.csv").write_text("name,n,x\na,1,\nb,2,0.5\n")
    (reports / "figures" / "collapse.svg").write_text("<svg/>")


def items(workspace, *paths):
    return [{"path": p, "hash": "md5", "md5": content_hash(workspace / p)} for p in paths]


def entries(workspace):
    """A lock of all kinds of stages, true to the files in the workspace."""
    data, space = "runs/data/train.safetensors", "runs/space/train.safetensors"
    stages = {
        "prepare_data": {
            "cmd": f"python -m stages.prepare_data --out {data}",
            "params": {"params.yaml": {"data": {"source": "digits", "n_images": None, "dequantize": True}}},
            "outs": [{"path": data, "hash": "md5", "md5": "d" * 32}],
        },
        "encode": {
            "cmd": f"python -m stages.encode --data {data} --out {space}",
            "deps": [{"path": data, "hash": "md5", "md5": "d" * 32, "size": 5}],
            "params": {"params.yaml": {"latents": {"kind": "none"}}},
            "outs": [{"path": space, "hash": "md5", "md5": "d" * 32}],
        },
    }
    for method in METHODS:
        for seed in SEEDS:
            curves = f"runs/training/{method}/s{seed}/round1"
            stages[f"reflow@{method}-{seed}-1"] = {
                "cmd": f"python -m stages.train_round --method {method} --seed {seed} --round 1 "
                f"--plots {curves} --out runs/chains/{method}/s{seed}/round1/model",
                "deps": [{"path": space, "hash": "md5", "md5": "d" * 32, "size": 5}],
                "params": {"params.yaml": {"round": {"lr": 0.001, "clip": 1.0}, f"methods.{method}": {}}},
                "outs": items(workspace, curves),
            }
    for name, cell in EVALUATED.items():
        floor, seed = " --floor" if cell.startswith("base") else "", cell.split("/")[1][1:]
        stages[name] = {
            "cmd": f"python -m stages.evaluate --seed {seed}{floor} --out runs/evaluations/{cell}",
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
    """The root's dvc.lock, and that of round 1, which holds its trainings."""
    own = {name: entry for name, entry in stages.items() if not name.startswith("reflow@")}
    for path, part in (("dvc.lock", own), ("rounds/1/dvc.lock", {n: stages[n] for n in stages if n not in own})):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(yaml.safe_dump({"schema": "2.0", "stages": part}, sort_keys=False))


def make(workspace):
    """A workspace in which the pipeline has run to its end."""
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    for method, seed in CELLS:
        curves = workspace / f"runs/training/{method}/s{seed}/round1"
        curves.mkdir(parents=True)
        (curves / "curves.csv").write_text("step,loss,variance_ratio\n0,,0.9\n6,0.5,0.8\n")
        (curves / "samples.png").write_bytes(b"a picture")
    write_evaluations(workspace, rows())
    write_reports(workspace, rows())
    write_lock(workspace, entries(workspace))
    return workspace


def session():
    """The module that imports MLflow, which reads its environment when it is imported."""
    set_environment()
    return importlib.import_module("reflowbench.tracking.session")


class Content:
    """What a store holds."""

    def __init__(self, workspace):
        self.client = session().MlflowClient(tracking_uri=Store.locate(workspace).uri)
        experiment = self.client.get_experiment_by_name("reflowbench")
        self.runs = list(self.client.search_runs([experiment.experiment_id])) if experiment else []
        self.parents = [r for r in self.runs if "dvc.state_hash" in r.data.tags]
        newest_last = sorted(self.runs, key=lambda run: run.info.start_time)
        self.stages = {r.info.run_name: r for r in newest_last if "dvc.stage_hash" in r.data.tags}

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
