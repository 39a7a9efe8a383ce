"""The tiny profile in MLflow: just what DVC holds, however it came there. Uses a copy of the project."""

import csv
import json
import re
import shutil
import sqlite3
import sys

import numpy as np
import pytest
import yaml

from reflowbench.runtime.artifacts import content_hash
from reflowbench.tracking.lock import read_lock
from tests.conftest import ROOT
from tests.pictures import read_png
from tests.pipeline.project import Project, address
from tests.tracking.made import session

pytestmark = pytest.mark.long

VOLATILE = ("live/", "run/")
PASSWORD = "open-sesame-7"
TABLES = ("runs", "metrics", "params", "tags", "inputs", "input_tags", "datasets", "logged_models", "model_versions")


class Tracked:
    """What a SQLite store holds."""

    def __init__(self, path):
        self.path = path
        self.client = session().MlflowClient(tracking_uri=f"sqlite:///{path}")
        experiment = self.client.get_experiment_by_name("reflowbench")
        self.runs = list(self.client.search_runs([experiment.experiment_id]))
        self.stages = {run.info.run_name: run for run in self.runs if "dvc.stage_hash" in run.data.tags}
        self.parents = [run for run in self.runs if "dvc.state_hash" in run.data.tags]

    def history(self, run, volatile=False):
        points = [p for key in run.data.metrics for p in self.client.get_metric_history(run.info.run_id, key)]
        return sorted((p.key, p.step, p.value) for p in points if volatile == p.key.startswith(VOLATILE))

    def files(self, run):
        folder = session().Path(run.info.artifact_uri.removeprefix("file://"))
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def counts(self):
        with sqlite3.connect(self.path) as database:
            rows = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}
        return rows | {"files": sum(1 for p in (self.path.parent / "mlartifacts").rglob("*") if p.is_file())}


@pytest.fixture(scope="module")
def whole(first, tmp_path_factory):
    """The pipeline that has run, committed and mirrored: a copy of its own, since other tests change `project`."""
    project = Project(tmp_path_factory.mktemp("tracked") / "project").take(first[0])
    project.repro()
    project.commit("results")
    project.run("reflowbench", "track")
    return project


def cells(project):
    """Values of results.csv by stage, metric's name and round; text as it is there."""
    found = {}
    rows = list(csv.DictReader(project.read("reports/results.csv").decode().splitlines()))
    several = len({row["features"] for row in rows} - {""}) > 1
    for row in rows:
        k, solver = int(row["round"]), row["solver"]
        stage = f"evaluate@{row['method']}-{row['seed']}-{k}" if k else f"evaluate_base@{row['seed']}"
        name = ".".join(filter(None, (row["metric"], solver, "" if solver in ("", "dopri5") else row["nfe"])))
        name += f".{row['features']}" if several and row["features"] else ""
        if row["value"]:
            found[stage, name, k] = float(row["value"])
        if solver == "dopri5" and row["nfe"] != "0":
            found[stage, "nfe.dopri5", k] = float(row["nfe"])
    return found


def test_the_runs_are_the_stages(whole):
    found = Tracked(whole.folder / "mlflow.db")
    assert set(found.stages) >= set(read_lock(whole.folder))
    assert {run.info.status for run in found.runs} == {"FINISHED"}
    keys = [run.data.tags.get("dvc.stage_hash", run.data.tags.get("dvc.state_hash")) for run in found.runs]
    assert len(set(keys)) == len(keys)


def test_every_value_of_the_results_is_in_mlflow_and_no_other(whole):
    found = Tracked(whole.folder / "mlflow.db")
    expected = cells(whole)
    state = current(found, whole)
    tracked = {
        (name, key, step): value
        for name, run in state.items()
        if name.startswith("evaluate")
        for key, step, value in found.history(run)
    }
    assert tracked == expected and len(expected) > 100


def current(found, project):
    """Runs of the stages of the present state."""
    parent = next(run for run in found.parents if run.data.tags["dvc.state_hash"] == state_of(project))
    table = json.loads(found.files(parent)["stages.json"])["data"]
    return {name: found.client.get_run(run_id) for name, _, run_id in table}


def state_of(project):
    return json.loads(project.read("runs/track/receipt.json"))["state"]


def test_trainings_have_their_course_and_what_they_took(whole):
    found = Tracked(whole.folder / "mlflow.db")
    for name, run in current(found, whole).items():
        if not name.startswith(("train_base", "reflow", "rca@", "ocar")):
            continue
        steps = 40 if name.startswith("train_base") else 12
        points = found.history(run, volatile=True)
        for key in ("live/loss", "live/gradient_norm", "live/learning_rate"):
            assert [step for k, step, _ in points if k == key] == list(range(1, steps + 1)), name
        assert run.data.metrics["run/seconds"] > 0 and run.data.metrics["run/peak_bytes"] > 2**20
        assert json.loads(run.data.tags["run.hardware"])["torch"]
        course = [row for row in found.history(run) if row[0] == "loss"]
        assert course and {key for key, *_ in found.history(run)} == {
            "loss", "gradient_norm", "frechet_distance_pixels", "variance_ratio"}  # fmt: skip


def test_the_examples_of_the_docs_work(whole):
    """The table, and images from the registered model: those that `reflowbench sample` draws."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tracking.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    said = [whole.run(sys.executable, "-c", block.replace("-digits@", "-tiny@")).stdout for block in blocks]
    assert "rca" in said[0] and said[1] == "(64, 8, 8, 1) uint8\n"
    found = Tracked(whole.folder / "mlflow.db")
    version = found.client.get_model_version_by_alias("reflowbench-tiny", "best")
    model = f"runs/chains/{version.tags['method']}/s{version.tags['seed']}/round{version.tags['round']}/model"
    assert version.tags["dvc.md5"] == content_hash(whole.folder / model)
    method = version.tags["method"]
    assert found.client.get_run(version.run_id).data.tags["dvc.stage"] == f"{method}@{method}-0-1"
    code = "import mlflow, numpy, pandas, sys; mlflow.set_tracking_uri('sqlite:///mlflow.db')"
    code += "; model = mlflow.pyfunc.load_model('models:/reflowbench-tiny@best')"
    code += "; numpy.save('images.npy', model.predict(pandas.DataFrame({'noise': [0]}), params={'nfe': 1}))"
    whole.run(sys.executable, "-c", code)
    whole.run("reflowbench", "sample", model, "--out", "sample.png", "--n", "1", "--nfe", "1")
    images, picture = np.load(whole.folder / "images.npy"), read_png(whole.folder / "sample.png")
    scale = picture.shape[0] // 8
    assert np.array_equal(images[0].repeat(scale, axis=0).repeat(scale, axis=1), picture)


def test_a_second_sync_adds_nothing(whole):
    before = Tracked(whole.folder / "mlflow.db").counts()
    (whole.folder / ".scratch/track.json").unlink()
    assert "MLflow: 0 new runs" in whole.run("reflowbench", "track").stdout
    assert Tracked(whole.folder / "mlflow.db").counts() == before


def test_a_clone_that_restores_all_from_a_shared_cache_has_the_same_content(whole, tmp_path):
    clone = clone_of(whole, tmp_path)
    clone.run("dvc", "checkout")
    assert "MLflow" in clone.run("reflowbench", "track").stdout
    ours, theirs = Tracked(whole.folder / "mlflow.db"), Tracked(clone.folder / "mlflow.db")
    first, second = current(ours, whole), {name: run for name, run in theirs.stages.items()}
    assert set(first) == set(second)
    for name, run in first.items():
        assert content(ours, run) == content(theirs, second[name]), name
    parent = next(run for run in ours.parents if run.data.tags["dvc.state_hash"] == state_of(whole))
    (other,) = theirs.parents
    # A state keeps the commit that it was first seen in, which may be one of the tests before.
    commits = [run.data.tags.pop("git.commit") for run in (parent, other)]
    files = ("dvc.lock", "rounds/1/dvc.lock")
    locks = [[whole.run("git", "rev-parse", f"{commit}:{file}").stdout for file in files] for commit in commits]
    assert locks[0] == locks[1] and content(ours, parent) == content(theirs, other)


def clone_of(project, folder):
    """A clone without data that uses the same cache, as on a team's machine."""
    project.run("git", "clone", "--quiet", str(project.folder), str(folder / "clone"))
    clone = Project(folder / "clone")
    clone.run("dvc", "cache", "dir", "--local", str(project.folder / ".dvc/cache"))
    (clone.folder / "runs/track").mkdir(parents=True)
    shutil.copy(project.folder / "runs/track/receipt.json", clone.folder / "runs/track")
    return clone


def content(tracked, run):
    """All of a run but what only the machine knows that ran it, and ids of other runs."""
    tags = {k: v for k, v in run.data.tags.items() if not k.startswith(("run.", "live.", "mlflow.", "dvc.parents"))}
    files = tracked.files(run)
    lineage = [parent["stage"] for parent in json.loads(files.pop("lineage.json", "[]"))]
    stages = [row[:2] for row in json.loads(files.pop("stages.json", '{"data": []}'))["data"]]
    inputs = tracked.client.get_run(run.info.run_id).inputs.dataset_inputs
    datasets = sorted((i.dataset.name, i.dataset.digest, i.dataset.source) for i in inputs)
    return run.data.params, tags, tracked.history(run), files, lineage, stages, datasets


def test_two_branches_share_the_runs_of_the_stages_that_they_share(whole, tmp_path):
    whole.run("git", "branch", "--force", "first")
    before = read_lock(whole.folder)
    whole.set_params(methods__rca__real_fraction=0.25)
    try:
        whole.run("dvc", "repro")
        after = read_lock(whole.folder)
        whole.commit("another share of real images")
        whole.run("git", "branch", "--force", "second")
        shared = f"sqlite:///{tmp_path}/shared.db"
        for branch in ("first", "second", "first"):
            whole.run("reflowbench", "track", branch, MLFLOW_TRACKING_URI=shared)
        found = Tracked(tmp_path / "shared.db")
        common = sum(before[name] == after[name] for name in before)
        assert 0 < common < len(before)
        assert len(found.runs) == len(before) + len(after) - common + 2
        assert sorted(run.data.tags["git.branch"] for run in found.parents) == ["first", "second"]
    finally:
        whole.run("git", "checkout", "--quiet", "first")
        whole.run("dvc", "checkout")
        whole.run("git", "checkout", "--quiet", "-B", "main")


def test_a_server_that_is_away_costs_neither_a_run_nor_a_row(whole):
    """And its password is nowhere."""
    trained = ["train_base@0", "rca@rca-0-1"]
    away = f"http://someone:{PASSWORD}@127.0.0.1:9"
    command = ["dvc", "repro", "--force", "--single-item", *map(address, trained), "track"]
    result = whole.run(*command, MLFLOW_TRACKING_URI=away, REFLOWBENCH_LIVE="0")
    said = result.stdout + result.stderr
    assert "WARNING: MLflow store http://127.0.0.1:9 failed" in said and PASSWORD not in said
    result = whole.run("reflowbench", "track", check=False, MLFLOW_TRACKING_URI=away)
    assert result.returncode == 1 and result.stderr.startswith("ERROR: MLflow store http://127.0.0.1:9 failed")
    assert PASSWORD not in result.stdout + result.stderr
    files = [path for path in whole.folder.rglob("*") if path.is_file()]
    assert len(files) > 100 and not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    (whole.folder / "mlflow.db").unlink()
    shutil.rmtree(whole.folder / "mlartifacts")
    whole.run("reflowbench", "track")
    found = Tracked(whole.folder / "mlflow.db")
    for name in trained:
        steps = yaml.safe_load(whole.read("params.yaml"))["base" if "base" in name else "round"]["steps"]
        assert len([row for row in found.history(found.stages[name], volatile=True) if row[0] == "live/loss"]) == steps
