"""A training that is shown on a real MLflow server, which dies in the middle of it."""

import json
import time

import pytest

from tests.pipeline.project import Project

pytestmark = [pytest.mark.server, pytest.mark.long]

STAGE = "train_base@0"
STEPS = 8000


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project").make()
    project.set_params(base__steps=STEPS, monitor__every=STEPS)
    project.run("dvc", "repro", "prepare_data")
    return project


def wait_for(condition, process):
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < until, "the training was over before it was shown"
        time.sleep(0.1)


def test_a_server_that_dies_while_a_training_runs_costs_nothing(project, server):
    def points():
        return sorted(server.sql("SELECT key, step, value FROM metrics WHERE key LIKE 'live/%'"))

    environment = {"MLFLOW_TRACKING_URI": server.login, "REFLOWBENCH_LIVE": "0", "REFLOWBENCH_THREADS": "1"}
    training = project.start("dvc", "repro", STAGE, **environment)
    wait_for(points, training)
    [(shown, status)] = server.sql("SELECT run_uuid, status FROM runs")
    assert status == "RUNNING"
    server.kill()
    assert training.poll() is None
    said = "".join(training.communicate(timeout=300))
    assert training.returncode == 0 and said.count("WARNING: no live view for now, training goes on") == 1
    before = points()
    server.start()
    project.run("reflowbench", "track", **environment)
    [path] = (project.folder / ".scratch/live").glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    expected = [(f"live/{k}", row["step"], v) for row in rows for k, v in row.items() if k not in ("step", "time")]
    assert set(before) < set(expected), "some came before the server died, not all"
    assert points() == sorted(expected) and max(step for _, step, _ in expected) == STEPS
    assert server.sql(f"SELECT name, status FROM runs WHERE run_uuid = '{shown}'") == [(STAGE, "FINISHED")]
    assert len(server.sql(f"SELECT 1 FROM runs WHERE name = '{STAGE}'")) == 1
    counts = server.counts(), server.files()
    (project.folder / ".scratch/track.json").unlink(missing_ok=True)
    project.run("reflowbench", "track", **environment)
    assert (server.counts(), server.files()) == counts
