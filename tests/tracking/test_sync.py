"""A sync: complete, equal to the results, and only adding where something is new."""

import json
import shutil

import pytest

from reflowbench.tracking.lock import read_lock, stage_hash, state_hash
from reflowbench.tracking.sync import sync, sync_if_changed
from tests.tracking.made import (
    CELLS,
    COLUMNS,
    EVALUATED,
    KS,
    METHODS,
    Content,
    entries,
    mirror,
    rows,
    write_lock,
    write_reports,
)


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
    assert (folder / "reports/paired.csv").is_file()
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
    table = [[*row[:9], row[9] * 2, *row[10:]] if row[1:4] in changed else row for row in rows()]
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


def test_a_missing_value_is_no_metric_and_null_with_its_reason_in_the_table(workspace):
    """The mean over seeds is missing with it: that of the others would be of other models."""
    table = rows()
    for row in table:
        if row[1:6] == ["rca", 1, 1, "euler", 50] and row[8] == "frechet_distance":
            row[9:] = [None, None, "the samples are not finite"]
    write_reports(workspace, table)
    write_lock(workspace, entries(workspace))
    assert sync().complete
    content = Content(workspace)
    keys = set(content.stages["evaluate@rca-1-1"].data.metrics)
    assert "frechet_distance.euler.50" not in keys and {"frechet_distance.euler.1", "kernel_distance.euler.50"} <= keys
    [parent] = content.parents
    trend = {(key, step) for key, _, step in content.history(parent) if key.startswith("frechet_distance/")}
    assert trend == {("frechet_distance/reflow", 0), ("frechet_distance/reflow", 1), ("frechet_distance/rca", 0)}
    assert json.loads((content.folder(parent) / "tables/results.json").read_text())["data"] == table
