"""The live view: what a training shows of itself while it goes on, and what becomes of that afterwards."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from reflowbench.runtime.artifacts import content_hash
from reflowbench.tracking import live
from reflowbench.tracking.live import Uploader, settle
from reflowbench.tracking.store import Store
from reflowbench.tracking.sync import sync
from tests.tracking.made import Content

STAGE = "reflow@rca-1-1"
PLOTS = "runs/training/rca/s1/round1"
HEAD = {"stage": STAGE, "plots": PLOTS}
EXPECTED = sorted(
    [("live/gradient_norm", 2.0 * i, i) for i in range(1, 4)] + [("live/loss", 1 / i, i) for i in (1, 2, 3)]
)


def row(i, run):
    return {"step": i, "time": int(run.split("-")[0]) + i, "loss": 1 / i, "gradient_norm": 2.0 * i}


def journal(workspace, run, steps=3):
    path = workspace / f".scratch/live/{run}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [HEAD | {"run": run, "plots": str(workspace / PLOTS)}, *(row(i + 1, run) for i in range(steps))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def ended(workspace, run, status=0):
    """The line of the sidecar: what it made are the outputs that dvc.lock names."""
    outs = {PLOTS: content_hash(workspace / PLOTS)} if status == 0 else {}
    line = {"run": run, "stage": STAGE, "exit": status, "outs": outs, "started": 1.7e9, "seconds": 12.5}
    line |= {"peak_bytes": 7, "host": "here", "hardware": {"cpus": 2}}
    with (workspace / ".scratch/durations.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def shown(workspace):
    """The runs that are no stage's and no state's."""
    return [r for r in Content(workspace).runs if not {"dvc.stage_hash", "dvc.state_hash"} & set(r.data.tags)]


def live_history(content, run):
    return [point for point in content.history(run) if point[0].startswith("live/")]


def test_a_training_that_was_shown_becomes_the_run_of_its_stage(workspace):
    path = journal(workspace, "1700000000000-1")
    Uploader(path, Store.locate(workspace)).run()
    [run] = shown(workspace)
    content = Content(workspace)
    assert run.info.run_name == STAGE and run.info.status == "RUNNING" and content.history(run) == EXPECTED
    assert (content.folder(run) / "samples.png").read_bytes() == b"a picture"
    ended(workspace, "1700000000000-1")
    assert sync().created == len(Content(workspace).stages)  # with the parent, and without this one
    assert shown(workspace) == []
    content = Content(workspace)
    adopted = content.stages[STAGE]
    assert adopted.info.run_id == run.info.run_id and adopted.info.status == "FINISHED"
    assert live_history(content, adopted) == EXPECTED
    assert adopted.data.metrics["run/seconds"] == 12.5 and adopted.data.metrics["run/peak_bytes"] == 7
    assert adopted.data.tags["run.host"] == "here" and json.loads(adopted.data.tags["run.hardware"]) == {"cpus": 2}
    before = content.everything()
    (workspace / ".scratch/track.json").unlink()
    assert sync().created == 0 and Content(workspace).everything() == before


def test_what_was_not_shown_is_sent_by_the_next_sync(workspace):
    """A short training; or the store was away all the time, or came back too late."""
    journal(workspace, "1700000000000-1")
    ended(workspace, "1700000000000-1")
    assert sync().complete
    content = Content(workspace)
    run = content.stages[STAGE]
    assert live_history(content, run) == EXPECTED
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_012_500)


@pytest.mark.parametrize("live", [True, False])
def test_what_this_machine_knows_is_added_to_what_another_one_mirrored(workspace, live):
    """A colleague, or CI, was faster: its sync has the stage, and nothing of its training."""
    (workspace / ".scratch").mkdir(exist_ok=True)
    assert sync().complete
    path = journal(workspace, "1700000000000-1")
    if live:
        Uploader(path, Store.locate(workspace)).run()
    ended(workspace, "1700000000000-1")
    assert sync().created == 0 and shown(workspace) == []
    content = Content(workspace)
    assert live_history(content, content.stages[STAGE]) == EXPECTED
    assert content.stages[STAGE].data.metrics["run/seconds"] == 12.5
    before = content.everything()
    sync()
    assert Content(workspace).everything() == before


def test_whatever_the_store_raises_is_one_warning(workspace, capsys):
    client = Content(workspace).client
    client.delete_experiment(client.create_experiment("reflowbench"))
    Uploader(journal(workspace, "1700000000000-1"), Store.locate(workspace)).run()
    assert capsys.readouterr().err.count("WARNING: no live view for now") == 1


def test_a_sync_after_half_a_live_view_sends_the_rest_once(workspace):
    path = journal(workspace, "1700000000000-1", steps=2)
    Uploader(path, Store.locate(workspace)).run()
    journal(workspace, "1700000000000-1", steps=3)
    ended(workspace, "1700000000000-1")
    sync()
    content = Content(workspace)
    assert live_history(content, content.stages[STAGE]) == EXPECTED


@pytest.mark.parametrize(("status", "expected"), [(1, "FAILED"), (143, "KILLED"), (None, "KILLED")])
@pytest.mark.parametrize("live", [True, False])
def test_a_training_that_failed_is_there_until_it_succeeds(workspace, status, expected, live):
    path = journal(workspace, "1700000000000-1")
    if live:
        Uploader(path, Store.locate(workspace)).run()
    if status is not None:
        ended(workspace, "1700000000000-1", status)
    for _ in range(2):
        assert sync().complete
        [run] = shown(workspace)
        content = Content(workspace)
        assert (run.info.run_name, run.info.status) == (STAGE, expected)
        assert live_history(content, run) == EXPECTED
    journal(workspace, "1700000000001-2")
    ended(workspace, "1700000000001-2")
    sync()
    assert shown(workspace) == []


def test_a_training_that_goes_on_is_left_alone(workspace):
    path = journal(workspace, "1700000000000-1")
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sync()
        assert shown(workspace) == []


def test_made_again_to_the_same_bytes_is_shown_once(workspace):
    """`dvc repro --force`: one entry of dvc.lock is one run."""
    for name in ("1700000000000-1", "1700000000001-2"):
        Uploader(journal(workspace, name), Store.locate(workspace)).run()
        ended(workspace, name)
    sync()
    content = Content(workspace)
    assert shown(workspace) == [] and content.stages[STAGE].data.tags["live.run"] == "1700000000000-1"
    assert live_history(content, content.stages[STAGE]) == EXPECTED


def test_a_store_that_is_away_is_told_once_and_costs_no_row(workspace, monkeypatch, capsys):
    """It fails, fails again, and is back for the last look."""
    path = journal(workspace, "1700000000000-1")
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    whole, calls = Store.reach_or_fail, []

    def away(store):
        calls.append(1)
        if len(calls) == 3:
            writer.close()
        if len(calls) < 4:
            raise store.failure(OSError("refused"))
        whole(store)

    monkeypatch.setattr(Store, "reach_or_fail", away)
    writer = path.open("ab")
    fcntl.flock(writer, fcntl.LOCK_EX)
    Uploader(path, Store.locate(workspace)).run()
    assert len(calls) == 4 and capsys.readouterr().err.count("WARNING: no live view for now") == 1
    [run] = shown(workspace)
    assert Content(workspace).history(run) == EXPECTED


def start(path):
    return subprocess.Popen([sys.executable, "-m", "reflowbench.tracking.live", str(path)], stderr=subprocess.PIPE)


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_rows_arrive_while_the_training_writes_them(workspace):
    path = journal(workspace, "1700000000000-1", steps=0)
    with path.open("ab", buffering=0) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        process = start(path)
        for i in (1, 2, 3):
            writer.write((json.dumps(row(i, "1700000000000-1")) + "\n").encode())
            wait_for(lambda i=i: [r for r in shown(workspace) if len(Content(workspace).history(r)) == 2 * i])
        assert process.poll() is None
    assert process.wait(60) == 0 and process.stderr.read() == b""
    assert not path.with_suffix(".upload").exists()


def test_a_sync_waits_for_no_stuck_live_view(workspace, monkeypatch):
    """It is ended; what it did not send, the sync sends."""
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.1)
    path = journal(workspace, "1700000000000-1")
    code = "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
    code += "f.write(str(os.getpid())); f.flush(); print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(path.with_suffix(".upload"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stuck:
        stuck.stdout.readline()
        settle(path.parent)
        assert stuck.wait(10) == -15


@pytest.mark.long
def test_six_processes_on_an_empty_store(bare, tmp_path, monkeypatch):
    """Live views and syncs of several checkouts that share a file, all at once."""
    paths = [journal(bare, f"170000000000{i}-{i}") for i in range(6)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'shared.db'}"}
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "reflowbench.tracking.live"]
        started = [
            stack.enter_context(subprocess.Popen([*command, str(path)], env=environment, stderr=subprocess.PIPE))
            for path in paths
        ]
        assert [(process.wait(120), process.stderr.read()) for process in started] == [(0, b"")] * 6
    monkeypatch.setenv("MLFLOW_TRACKING_URI", environment["MLFLOW_TRACKING_URI"])
    content = Content(bare)
    assert sorted(run.data.tags["live.run"] for run in content.runs) == [path.stem for path in paths]
    assert [content.history(run) for run in content.runs] == [EXPECTED] * 6
