"""The mirror in MLflow: complete, equal to the results, and only added to where something is new."""

import csv
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reflowbench.core.errors import ReflowbenchError
from reflowbench.tracking import records
from reflowbench.tracking.lock import content_hash, read_lock, reports_match, stage_hash, state_hash
from reflowbench.tracking.store import Store
from reflowbench.tracking.sync import ENVIRONMENT, sync, sync_if_changed

METHODS = ("reflow", "rca")
SEEDS = (0, 1)
KS = (0, 1)
CELLS = [(method, seed) for method in METHODS for seed in SEEDS]
EVALUATED = {f"evaluate_base@{seed}": f"base/s{seed}/k0" for seed in SEEDS}
EVALUATED |= {f"evaluate@{method}-{seed}-1": f"{method}/s{seed}/k1" for method, seed in CELLS}
COLUMNS = ["profile", "method", "seed", "round", "solver", "nfe", "features", "n_samples", "metric", "value"]
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
                for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 62 + k)):
                    for metric in ("frechet_distance", "kernel_distance"):
                        small = 1e-13 if metric == "kernel_distance" else 1
                        out.append(
                            [
                                "tiny",
                                method,
                                seed,
                                k,
                                solver,
                                nfe,
                                "classifier",
                                64,
                                metric,
                                (value + nfe) * small,
                            ]
                        )
                out.append(["tiny", method, seed, k, "", 0, "classifier", 64, "frechet_distance_floor", 5.5])
    return out


def write_reports(workspace, table):
    reports = workspace / "reports"
    (reports / "figures").mkdir(parents=True, exist_ok=True)
    with (reports / "results.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *table])
    (reports / "summary.json").write_text(json.dumps(SUMMARY))
    (reports / "report.md").write_text("# Report\n")
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
                f"--out runs/chains/{method}/s{seed}/k1/model",
                "params": {"params.yaml": {"round": {"lr": 0.001, "clip": 1.0}, f"methods.{method}": {}}},
                "outs": [{"path": f"runs/chains/{method}/s{seed}/k1/model", "hash": "md5", "md5": "e" * 32}],
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
        "outs": items(workspace, "reports/results.csv", "reports/summary.json"),
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


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """The schema alone: it takes seconds, so that tests copy it."""
    folder = tmp_path_factory.mktemp("mlflow")
    mirror().make_database(folder / "mlflow.db", folder)
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    return folder / "mlflow.db"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A finished pipeline that is the current folder, and no store."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    workspace = make(tmp_path / "workspace")
    monkeypatch.chdir(workspace)
    return workspace


@pytest.fixture
def workspace(bare, empty_database):
    shutil.copy(empty_database, bare)
    return bare


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


def test_one_parent_and_a_run_for_each_stage(workspace):
    result = sync()
    content = Content(workspace)
    lock = read_lock(workspace / "dvc.lock")
    assert set(content.stages) == set(lock)
    assert len(content.runs) == len(lock) + 1 == result.created
    assert {run.info.status for run in content.runs} == {"FINISHED"}
    [parent] = content.parents
    assert parent.info.run_name == f"pipeline tiny {state_hash(lock)[:8]}"
    for name, run in content.stages.items():
        assert run.data.tags["dvc.stage_hash"] == stage_hash(name, lock[name])
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["profile"] == "tiny"
        assert run.data.params["cmd"] == lock[name]["cmd"]
        assert json.loads((content.folder(run) / "lock_entry.json").read_text()) == {
            "stage": name,
            **lock[name],
        }
    run = content.stages["reflow@rca-1-after0"]
    assert {key: run.data.tags[key] for key in ("dvc.group", "method", "seed", "round")} == {
        "dvc.group": "reflow",
        "method": "rca",
        "seed": "1",
        "round": "1",
    }
    assert run.data.params["round.lr"] == "0.001"
    assert content.stages["prepare_data"].data.params["data.n_images"] == "null"
    run = content.stages["evaluate_base@1"]
    assert {key: run.data.tags[key] for key in ("dvc.group", "method", "seed", "round")} == {
        "dvc.group": "evaluate_base",
        "method": "base",
        "seed": "1",
        "round": "0",
    }


def test_metrics_tables_and_files_equal_the_reports(workspace):
    sync()
    content = Content(workspace)
    for method, seed in CELLS:
        for k, stage in ((0, f"evaluate_base@{seed}"), (1, f"evaluate@{method}-{seed}-1")):
            expected = {("nfe.dopri5", 62.0 + k, k)}
            for row in rows():
                if row[1:4] == [method, seed, k]:
                    solver = {"": "", "euler": f".euler.{row[5]}", "dopri5": ".dopri5"}[row[4]]
                    expected.add((row[8] + solver, row[9], k))
            assert len(expected) == 8 and content.history(content.stages[stage]) == sorted(expected)
    [parent] = content.parents
    expected = [("digits.reflow.slope", 1.25, 0), ("floor", 5.0, 0)]
    for m, method in enumerate(METHODS):
        expected += [(f"frechet_distance/{method}", pytest.approx(50 + 10 * m * k + 1 / 6 + k), k) for k in KS]
    assert content.history(parent) == sorted(expected, key=lambda point: (point[0], point[2]))
    folder = content.folder(parent)
    for path in (p for p in (workspace / "reports").rglob("*") if p.is_file()):
        assert (folder / path.relative_to(workspace)).read_bytes() == path.read_bytes()
    assert json.loads((folder / "tables/results.json").read_text()) == {"columns": COLUMNS, "data": rows()}
    stages = json.loads((folder / "stages.json").read_text())
    assert stages["columns"] == ["stage", "hash", "run_id"]
    assert {line[0]: line[2] for line in stages["data"]} == {n: r.info.run_id for n, r in content.stages.items()}
    tables = json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    assert all((folder / table["path"]).is_file() for table in tables)


@pytest.mark.parametrize("page", [4, 1000])
def test_second_sync_adds_nothing(workspace, monkeypatch, page):
    monkeypatch.setattr(mirror(), "PAGE", page)
    sync()
    before = Content(workspace).everything()
    assert sync().created == 0
    assert Content(workspace).everything() == before


def test_changed_entry_adds_its_run_and_a_parent(workspace):
    sync()
    before = Content(workspace)
    stages = entries(workspace)
    stages["reflow@rca-0-after0"]["params"]["params.yaml"]["round"]["lr"] = 0.002
    write_lock(workspace, stages)
    assert sync().created == 2
    after = Content(workspace)
    new = {r.info.run_id: r for r in after.runs if r.info.run_id not in {b.info.run_id for b in before.runs}}
    parent, stage = sorted(new.values(), key=lambda run: "dvc.stage_hash" in run.data.tags)
    assert stage.info.run_name == "reflow@rca-0-after0"
    assert stage.data.params["round.lr"] == "0.002"
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    table = json.loads((after.folder(parent) / "stages.json").read_text())["data"]
    assert len(table) == len(stages)
    assert [line[2] for line in table if line[0] == "prepare_data"] == [before.stages["prepare_data"].info.run_id]


@pytest.mark.parametrize("call", ["set_terminated", "log_dict", "log_batch", "log_artifacts", "set_tag"])
def test_interrupted_sync_is_completed(workspace, monkeypatch, call):
    client = mirror().MlflowClient
    whole, calls = getattr(client, call), []

    def interrupted(*args, **kwargs):
        calls.append(call)
        if call in ("log_artifacts", "set_tag") or len(calls) == 4:
            whole(*args, **kwargs)
            raise KeyboardInterrupt
        return whole(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(client, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            sync()
    assert Content(workspace).parents[0].info.status == "RUNNING"
    assert sync().complete
    content = Content(workspace)
    assert {run.info.status for run in content.runs} == {"FINISHED"}
    assert len(content.runs) == len(read_lock(workspace / "dvc.lock")) + 1
    for run in content.runs:
        history = content.history(run)
        assert len({(key, step) for key, _, step in history}) == len(history)
    table = json.loads((content.folder(content.parents[0]) / "tables/results.json").read_text())
    assert table["data"] == rows()


@pytest.mark.parametrize(
    ("name", "methods", "k", "value"),
    [("evaluate@rca-1-1", ["rca"], 1, 10 + 1 / 3 + 1 + 50), ("evaluate_base@1", METHODS, 0, 1 / 3 + 50)],
)
def test_half_finished_repro_never_gets_the_old_numbers(workspace, name, methods, k, value):
    sync()
    (workspace / "runs/evaluations" / EVALUATED[name] / "metrics.json").write_text("new weights")
    stages = {
        **entries(workspace),
        **{n: read_lock(workspace / "dvc.lock")[n] for n in ("summarize", "report")},
    }
    write_lock(workspace, stages)
    assert "results wait" in sync_if_changed()
    content = Content(workspace)
    waiting = [run for run in content.runs if run.info.status != "FINISHED"]
    assert sorted(run.info.run_name.split()[0] for run in waiting) == [name, "pipeline"]
    assert not any(run.data.metrics for run in waiting)
    before = content.everything()
    assert sync().created == 0
    assert Content(workspace).everything() == before

    # The rest of the repro: other numbers for the new weights.
    changed = [[method, 1, k] for method in methods]
    table = [[*row[:-1], row[-1] * 2] if row[1:4] in changed else row for row in rows()]
    write_reports(workspace, table)
    write_lock(workspace, entries(workspace))
    result = sync()
    assert result.complete
    assert result.created == 3  # the parent, summarize and report; the evaluation is completed
    [waited] = [run.info.run_id for run in waiting if run.info.run_name == name]
    run = content.client.get_run(waited)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["frechet_distance.euler.50"] == 2 * value


@pytest.mark.parametrize(
    ("name", "cell"),
    [("evaluate@rca-0-9", "rca/s0/k9"), ("evaluate_base@9", "base/s9/k0"), ("evaluate@rca-0-0", "rca/s0/k0")],
)
def test_cell_outside_the_grid_stays_open(workspace, name, cell):
    """Of a larger grid, or of round 0 of a method: that is the base model's."""
    stages = entries(workspace)
    stages[name] = {"cmd": f"python -m stages.evaluate --seed {cell[-4]} --out runs/evaluations/{cell}"}
    write_lock(workspace, stages)
    assert sync().complete
    run = Content(workspace).stages[name]
    assert run.info.status == "SCHEDULED" and not run.data.metrics


def test_clone_without_data_is_mirrored_whole(workspace):
    shutil.rmtree(workspace / "runs")
    assert sync().complete


def test_unchanged_state_is_told_without_mlflow(workspace):
    assert "new runs" in sync_if_changed()
    code = "import sys; from reflowbench.tracking.sync import sync_if_changed as sync; print(sync())"
    code += "; assert 'mlflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MLflow is up to date")
    store, state = Store.locate(workspace), state_hash(read_lock(workspace / "dvc.lock"))
    assert store.holds(state)
    assert not store.holds("other")
    assert not Store("http://127.0.0.1:1", workspace).holds(state)
    (workspace / "mlflow.db").unlink()
    assert not store.holds(state)


def test_stage_writes_the_same_receipt_wherever_it_runs(workspace):
    repository = Path(__file__).parents[1]
    receipt = workspace / "runs/track/receipt.json"
    command = [sys.executable, "-m", "stages.track", "--receipt", str(receipt)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True, text=True, check=True
    )
    assert "INFO" not in done.stdout + done.stderr
    lock = read_lock(workspace / "dvc.lock")
    assert json.loads(receipt.read_text()) == {"stage_runs": len(lock), "state": state_hash(lock)}
    # Inside `dvc repro` the lock has no entry for the stage itself, afterwards it has.
    write_lock(workspace, {**entries(workspace), "track": {"cmd": "python -m stages.track"}})
    assert sync().created == 0


def test_store_is_in_the_repository_when_dvc_runs_in_a_copy(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert Store.locate(bare).uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_hash_is_of_content_only():
    entry = {"cmd": "a", "params": {"params.yaml": {"x": 1, "y": {"b": 2, "a": 3}}}}
    turned = {"params": {"params.yaml": {"y": {"a": 3, "b": 2}, "x": 1}}, "cmd": "a"}
    assert stage_hash("s", entry) == stage_hash("s", turned)
    assert state_hash({"s": entry, "t": turned}) == state_hash({"t": turned, "s": entry})
    assert stage_hash("s", entry) != stage_hash("t", entry)
    assert stage_hash("s", entry) != stage_hash("s", {**entry, "cmd": "b"})


def test_content_hash_is_that_of_dvc(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "b" / "c.txt").write_text("2\n")
    # As in the lock of a `dvc add` of this folder.
    assert content_hash(tmp_path / "a.txt") == "b026324c6904b2a9cb4b88d6d61c81d1"
    assert content_hash(tmp_path) == "7e26dd394c2d6e8c41d34c4521a40424.dir"
    assert content_hash(tmp_path / "none") is None


@pytest.mark.parametrize("change", ["results", "evaluation", "no report"])
def test_reports_that_are_not_of_this_lock(bare, change):
    stages = entries(bare)
    assert reports_match(bare, stages)
    if change == "results":
        (bare / "reports/results.csv").write_text("edited")
    elif change == "evaluation":
        (bare / "runs/evaluations/base/s0/k0/metrics.json").write_text("edited")
    else:
        del stages["report"]
    assert not reports_match(bare, stages)


@pytest.mark.parametrize("text", ["stages: [", "just text", "stages: []", "stages: {a: {deps: []}}", "\x00"])
def test_damaged_lock(bare, text):
    (bare / "dvc.lock").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: damaged.*dvc repro"):
        sync_if_changed()


def test_missing_lock(bare):
    (bare / "dvc.lock").unlink()
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: no such file.*dvc repro"):
        sync_if_changed()


@pytest.mark.parametrize(("old", "new"), [("metric,value", "metric,number"), ("tiny,reflow,0", "tiny,reflow,zero")])
def test_damaged_results(bare, old, new):
    path = bare / "reports/results.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ReflowbenchError, match=r"results\.csv: not a table.*dvc repro"):
        records.read_results(path)


def test_unreachable_server(bare, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    with pytest.raises(ReflowbenchError, match=r"No result is lost.*MLFLOW_TRACKING_URI") as caught:
        sync()
    assert "secret" not in str(caught.value)


def test_silent_server(bare, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(ReflowbenchError, match="No result is lost"):
            sync()


def test_killed_while_the_schema_is_made(bare, monkeypatch):
    def killed(self, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mirror().MlflowClient, "search_experiments", killed)
        with pytest.raises(KeyboardInterrupt):
            sync()
    assert not list(bare.glob("*mlflow.db*"))


def test_deleted_experiment(workspace):
    sync()
    client = Content(workspace).client
    client.delete_experiment(client.get_experiment_by_name("reflowbench").experiment_id)
    with pytest.raises(ReflowbenchError, match="mlflow experiments restore"):
        sync()


def test_two_feature_spaces_are_told_apart():
    entry = {"cmd": "x --out runs/evaluations/rca/s0/k1"}
    both = [records.Row("p", "rca", 0, 1, "euler", 5, f, 9, "frechet_distance", 1.0) for f in ("a", "b")]
    for table, suffixes in ((both[:1], [""]), (both, [".a", ".b"])):
        keys = [point.key for point in records.evaluation_points(entry, table)]
        assert keys == [f"frechet_distance.euler.5{suffix}" for suffix in suffixes]
        assert [p.key for p in records.trend_points(table)] == [f"frechet_distance/rca{s}" for s in suffixes]


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("python -m stages.train_base --seed 2 --out runs/base/s2", {"seed": "2"}),
        (
            "x --seed 1 --round 3 --out runs/chains/rca/s1/k3/inverted",
            {"method": "rca", "seed": "1", "round": "3"},
        ),
        ("x --out runs/chains/ocar/s1/k0/model", {"method": "ocar", "seed": "1", "round": "0"}),
        (
            "x --seed 1 --floor --model runs/base/s1 --out runs/evaluations/base/s1/k0",
            {"method": "base", "seed": "1", "round": "0"},
        ),
        ("python -m stages.report --out reports", {}),
        (["a --seed 1", "b"], {"seed": "1"}),
    ],
)
def test_cell_of_a_command(cmd, expected):
    assert records.cell({"cmd": cmd}) == expected
