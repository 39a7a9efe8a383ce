"""A sync: complete, equal to the results, and only adding where something is new."""

import json

import pytest

from reflowbench.runtime.artifacts import write_json
from reflowbench.tracking.lock import read_lock, stage_hash, state_hash
from reflowbench.tracking.sync import sync, sync_if_changed
from tests.pictures import read_png
from tests.tracking.made import (
    CELLS,
    COLUMNS,
    EVALUATED,
    KS,
    METHODS,
    TABLES,
    Content,
    cell_rows,
    digits,
    entries,
    items,
    rows,
    session,
    write_evaluation,
    write_evaluations,
    write_lock,
    write_reports,
)


def test_one_parent_and_a_run_for_each_stage(workspace):
    result = sync()
    content = Content(workspace)
    lock = read_lock(workspace)
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
    run = content.stages["reflow@rca-1-1"]
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
            assert len(expected) == 10 and content.history(content.stages[stage]) == sorted(expected)
    [parent] = content.parents
    summary = expected = [("digits.reflow.slope", 1.25, 0), ("floor", 5.0, 0)]
    assert content.history(content.stages["summarize"]) == summary
    for m, method in enumerate(METHODS):
        expected = expected + [
            (f"frechet_distance/{method}", pytest.approx(50 + 10 * m * k + 1 / 6 + k), k) for k in KS
        ]
    assert content.history(parent) == sorted(expected, key=lambda point: (point[0], point[2]))
    folder = content.folder(parent)
    assert (folder / "reports/paired.csv").is_file()
    for path in (p for p in (workspace / "reports").rglob("*") if p.is_file()):
        assert (folder / path.relative_to(workspace)).read_bytes() == path.read_bytes()
    assert json.loads((folder / "tables/results.json").read_text()) == {"columns": COLUMNS, "data": rows()}
    for name in TABLES:
        table = json.loads((folder / f"tables/{name}.json").read_text())
        assert table == {"columns": ["name", "n", "x"], "data": [["a", 1, None], ["b", 2, 0.5]]}
    stages = json.loads((folder / "stages.json").read_text())
    assert stages["columns"] == ["stage", "hash", "run_id"]
    assert {line[0]: line[2] for line in stages["data"]} == {n: r.info.run_id for n, r in content.stages.items()}
    tables = json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    assert len(tables) == len(TABLES) + 2 and all((folder / table["path"]).is_file() for table in tables)


def test_every_stage_has_what_it_made_to_look_at(workspace):
    """Pictures, curves and pages; samples as a grid. Weights and images stay with DVC."""
    sync()
    content = Content(workspace)
    files = {
        name: {p.relative_to(content.folder(run)).as_posix() for p in content.folder(run).rglob("*") if p.is_file()}
        for name, run in content.stages.items()
    }
    origin = {"lock_entry.json", "lineage.json"}
    assert files["prepare_data"] == origin
    assert files["reflow@rca-1-1"] == origin | {"curves.csv", "samples.png"}
    assert files["evaluate@rca-1-1"] == origin | {"metrics.json", "samples/euler_1.png"}
    assert files["report"] == origin | {"reports/report.md", "reports/figures/collapse.svg"}
    run = content.stages["reflow@rca-1-1"]
    assert content.history(run) == [("loss", 0.5, 6), ("variance_ratio", 0.8, 6), ("variance_ratio", 0.9, 0)]
    assert read_png(content.folder(content.stages["evaluate@rca-1-1"]) / "samples/euler_1.png").shape[2] == 1


def test_lineage_and_datasets_are_those_of_the_lock(workspace):
    sync()
    content = Content(workspace)
    run, space = content.stages["reflow@rca-1-1"], content.stages["encode"].info.run_id
    assert run.data.tags["dvc.parents"] == space and "dvc.parents" not in content.stages["prepare_data"].data.tags
    lineage = json.loads((content.folder(run) / "lineage.json").read_text())
    assert lineage == [{"stage": "encode", "run_id": space}]
    [found] = content.client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("runs/space/train.safetensors", "d" * 32)
    assert json.loads(found.dataset.source)["stage"] == "encode"
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "encode")]
    before = json.loads((content.folder(content.stages["summarize"]) / "lineage.json").read_text())
    assert {parent["stage"] for parent in before} == set(EVALUATED)


@pytest.mark.parametrize("page", [4, 1000])
def test_second_sync_adds_nothing(workspace, monkeypatch, page):
    monkeypatch.setattr(session(), "PAGE", page)
    sync()
    before = Content(workspace).everything()
    assert sync().created == 0
    assert Content(workspace).everything() == before


def test_changed_entry_adds_its_run_and_a_parent(workspace):
    sync()
    before = Content(workspace)
    stages = entries(workspace)
    stages["reflow@rca-0-1"]["params"]["params.yaml"]["round"]["lr"] = 0.002
    write_lock(workspace, stages)
    assert sync().created == 2
    after = Content(workspace)
    new = {r.info.run_id: r for r in after.runs if r.info.run_id not in {b.info.run_id for b in before.runs}}
    parent, stage = sorted(new.values(), key=lambda run: "dvc.stage_hash" in run.data.tags)
    assert stage.info.run_name == "reflow@rca-0-1"
    assert stage.data.params["round.lr"] == "0.002"
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    table = json.loads((after.folder(parent) / "stages.json").read_text())["data"]
    assert len(table) == len(stages)
    assert [line[2] for line in table if line[0] == "prepare_data"] == [before.stages["prepare_data"].info.run_id]


@pytest.mark.parametrize("call", ["create_run", "set_terminated", "log_batch", "log_inputs", "log_artifacts"])
def test_interrupted_sync_is_completed(workspace, monkeypatch, call):
    client = session().MlflowClient
    whole, calls = getattr(client, call), []

    def interrupted(*args, **kwargs):
        calls.append(call)
        if len(calls) == 4:
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
    assert len(content.runs) == len(read_lock(workspace)) + 1
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
    changed = [[method, 1, k] for method in methods]
    table = [[*row[:9], digits(row[9] * 2), *row[10:]] if row[1:4] in changed else row for row in rows()]
    write_evaluation(workspace, table, methods[0], 1, k)
    stages = {
        **entries(workspace),
        **{n: read_lock(workspace)[n] for n in ("summarize", "report")},
    }
    write_lock(workspace, stages)
    assert "results wait" in sync_if_changed()
    content = Content(workspace)
    [waiting] = [run for run in content.runs if run.info.status != "FINISHED"]
    assert waiting.info.run_name.split()[0] == "pipeline" and not waiting.data.metrics
    assert content.stages[name].data.metrics["frechet_distance.euler.50"] == pytest.approx(2 * value)
    before = content.everything()
    assert sync().created == 0
    assert Content(workspace).everything() == before

    # The rest of the repro.
    write_reports(workspace, table)
    write_lock(workspace, entries(workspace))
    result = sync()
    assert result.complete
    assert result.created == 3  # the parent, summarize and report
    assert json.loads((content.folder(newest(workspace)) / "tables/results.json").read_text())["data"] == table


def newest(workspace):
    return max(Content(workspace).parents, key=lambda run: run.info.start_time)


def test_cell_outside_the_grid_is_mirrored_but_is_in_no_result(workspace):
    """Of a larger grid that has shrunk: dvc.lock keeps its entry."""
    write_evaluation(workspace, cell_rows("rca", 0, 9), "rca", 0, 9)
    stages = entries(workspace)
    out = "runs/evaluations/rca/s0/round9"
    stages["evaluate@rca-0-9"] = {"cmd": f"x --seed 0 --out {out}", "outs": items(workspace, out)}
    write_lock(workspace, stages)
    assert sync().complete
    run = Content(workspace).stages["evaluate@rca-0-9"]
    assert run.info.status == "FINISHED" and run.data.metrics["updates"] == 250 * 9


def test_what_is_not_on_this_machine_waits_for_it(workspace):
    """A clone without `dvc pull`: what its stages ran on is logged, their numbers as soon as they are here."""
    (workspace / "runs").rename(workspace / "elsewhere")
    result = sync()
    assert not result.complete and "dvc pull" in str(result)
    content = Content(workspace)
    waiting = {name for name, run in content.stages.items() if run.info.status != "FINISHED"}
    assert waiting == {name for name in content.stages if name.startswith(("reflow", "evaluate"))}
    assert content.stages["evaluate@rca-0-1"].data.params["evaluate.nfe"] == "[1, 50]"
    before = content.everything()
    assert sync().created == 0 and Content(workspace).everything() == before
    (workspace / "elsewhere").rename(workspace / "runs")
    result = sync()
    assert result.complete and result.created == 0
    assert {run.info.status for run in Content(workspace).runs} == {"FINISHED"}


def test_a_missing_value_is_no_metric_and_null_with_its_reason_in_the_table(workspace):
    """The mean over seeds is missing with it: that of the others would be of other models."""
    table = rows()
    for row in table:
        if row[1:6] == ["rca", 1, 1, "euler", 50] and row[8] == "frechet_distance":
            row[9:] = [None, None, "the samples are not finite"]
    write_evaluations(workspace, table)
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


def test_numbers_of_another_version_wait_and_the_rest_is_mirrored(workspace):
    folder = workspace / "runs/evaluations/rca/s1/round1"
    write_json(folder / "metrics.json", {"values": []})
    write_lock(workspace, entries(workspace))
    result = sync()
    assert not result.complete and "1 stages were written by another version" in str(result)
    content = Content(workspace)
    assert {n for n, run in content.stages.items() if run.info.status != "FINISHED"} == {"evaluate@rca-1-1"}
    assert (content.folder(content.stages["evaluate@rca-1-1"]) / "metrics.json").is_file()


@pytest.mark.parametrize("change", ["report", "empty"])
def test_reports_of_other_results_wait(workspace, change):
    stages = entries(workspace)
    if change == "report":
        stages["report"]["deps"] = [{"path": "reports/results.csv", "md5": "0" * 32}]
    else:
        (workspace / "reports/results.csv").write_text(",".join(COLUMNS) + "\n")
        stages = entries(workspace)
    write_lock(workspace, stages)
    assert not sync().complete


def test_the_alias_comes_back_with_its_state(workspace):
    """As on another branch, whose best model is another one."""
    state = sync().state
    content = Content(workspace)
    [parent] = content.parents
    content.client.set_tag(parent.info.run_id, "best.md5", "a" * 32)
    content.client.create_registered_model("reflowbench-tiny")
    for md5 in ("a" * 32, "b" * 32):
        content.client.create_model_version("reflowbench-tiny", str(workspace), tags={"dvc.md5": md5})
    content.client.set_registered_model_alias("reflowbench-tiny", "best", "2")
    assert sync().state == state
    assert str(content.client.get_model_version_by_alias("reflowbench-tiny", "best").version) == "1"
