"""A sync to a real MLflow server on PostgreSQL: complete, once, and so again after the server was killed in it."""

import itertools
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import requests

from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.lock import read_lock
from reflowbench.tracking.store import Store
from reflowbench.tracking.sync import sync
from tests.conftest import ROOT
from tests.tracking.made import EVALUATED, Content, entries, make, rows, session, write_lock

pytestmark = [pytest.mark.server, pytest.mark.long]

SYNC = """
from tests.tracking.made import session
session()
from reflowbench.tracking.sync import sync
print("ready", flush=True)
input()
print(sync())
"""


@pytest.fixture(scope="module")
def whole(machinery, tmp_path_factory):
    """What a sync that nothing happens to leaves on the server, and how many requests it takes."""
    machinery.empty()
    machinery.start()
    count, request = itertools.count(), requests.Session.request
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", machinery.login)
        patch.setattr(requests.Session, "request", lambda *a, **k: (next(count), request(*a, **k))[1])
        sync(make(tmp_path_factory.mktemp("whole") / "workspace"))
    return SimpleNamespace(picture=machinery.picture(), requests=next(count))


def test_everything_is_on_the_server(workspace, server):
    result = sync()
    assert result.complete
    lock = read_lock(workspace)
    names = [name for (name,) in server.sql("SELECT name FROM runs WHERE status = 'FINISHED'")]
    assert set(lock) < set(names) and len(names) == len(lock) + 1 == result.created == server.counts()["runs"]
    assert sorted(value for (value,) in server.sql("SELECT value FROM params WHERE key = 'cmd'")) == sorted(
        entry["cmd"] for entry in lock.values()
    )
    assert {
        (name, value)
        for name, value in server.sql(
            "SELECT name, value FROM runs JOIN metrics USING (run_uuid) WHERE key = 'frechet_distance.euler.50'"
        )
    } == {
        (name, row[9])
        for name, cell in EVALUATED.items()
        for row in rows()
        if row[4:6] == ["euler", 50] and row[8] == "frechet_distance"
        if row[2:4] == [int(number) for number in re.findall(r"\d+", cell)]
        if row[1] == cell.partition("/")[0] or row[3] == 0
    }


def test_artifacts_come_back_through_the_server(workspace, server, tmp_path):
    sync()
    content = Content(workspace)
    [parent] = content.parents
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:"), "which no client needs a folder of the server for"
    folder = tmp_path / "downloaded"
    folder.mkdir()
    content.client.download_artifacts(parent.info.run_id, "reports", str(folder))
    for path in (p for p in (workspace / "reports").rglob("*") if p.is_file()):
        assert (folder / path.relative_to(workspace)).read_bytes() == path.read_bytes()


def test_second_sync_adds_nothing(workspace, server):
    sync()
    before = server.tables(), server.files()
    assert sync().created == 0
    assert (server.tables(), server.files()) == before


def kill_at(monkeypatch, server, request, answered):
    """Have the server killed at a request: before it arrives, or when it is done but its answer has not arrived."""
    count, whole = itertools.count(1), requests.Session.request

    def accident(*args, **kwargs):
        now = next(count) == request
        if now and not answered:
            server.kill()
        answer = whole(*args, **kwargs)
        if now and answered:
            server.kill()
            raise requests.ConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(requests.Session, "request", accident)


@pytest.mark.parametrize(
    ("part", "answered"),
    [(0.02, True), (0.15, False), (0.3, True), (0.5, False), (0.7, True), (0.9, False), (1, True)],
)
def test_sync_goes_on_after_the_server_was_killed(workspace, server, whole, monkeypatch, part, answered):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # as before with the default, and sooner
    with monkeypatch.context() as patch:
        kill_at(patch, server, round(part * whole.requests), answered)
        with pytest.raises(ReflowbenchError, match="No result is lost") as caught:
            sync()
    assert not any(secret in str(caught.value) for secret in server.secrets())
    before = server.tables()
    server.start()
    assert server.tables() == before
    assert sync().complete
    assert server.picture() == whole.picture
    assert sync().created == 0


def test_killed_while_it_works(workspace, server, whole, monkeypatch):
    """At no chosen request, and with the retries that users have, though without the time between them."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    over = threading.Event()

    def kill_among_the_runs():
        while not over.is_set() and server.sql("SELECT count(*) FROM runs") < [(4,)]:
            pass
        server.kill()

    killer = threading.Thread(target=kill_among_the_runs)
    killer.start()
    try:
        with pytest.raises(ReflowbenchError, match="No result is lost"):
            sync()
    finally:
        over.set()
        killer.join()
    assert 4 <= server.counts()["runs"] < len(whole.picture)
    server.start()
    assert sync().complete
    assert server.picture() == whole.picture


@pytest.fixture
def other(tmp_path):
    """The finished pipeline of somebody else, which differs in one stage."""
    workspace = make(tmp_path / "other")
    stages = entries(workspace)
    stages["reflow@rca-0-1"]["params"]["params.yaml"]["round"]["lr"] = 0.002
    write_lock(workspace, stages)
    return workspace


def test_two_syncs_at_once(server, workspace, other):
    """Each finishes its own, whoever logs what they share."""
    Content(workspace).client.create_experiment("reflowbench")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SYNC],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in (workspace, other)
    ]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate()[0] for process in both]
    print(*printed)  # for the search for secrets
    assert [process.returncode for process in both] == [0, 0], printed
    names = [name for (name,) in server.sql("SELECT name FROM runs WHERE status = 'FINISHED'")]
    assert len([name for name in names if name.startswith("pipeline")]) == 2
    assert set(names) > set(read_lock(other))
    assert [sync(folder).created for folder in (workspace, other)] == [0, 0]
    before = server.tables()
    assert [sync(folder).created for folder in (workspace, other)] == [0, 0]
    assert server.tables() == before
    query = "SELECT value, count(*) FROM tags JOIN runs USING (run_uuid) WHERE lifecycle_stage = 'active' "
    assert not server.sql(query + "AND key LIKE 'dvc.%_hash' GROUP BY value HAVING count(*) > 1")


def test_the_same_data_set_logged_at_once(workspace, server):
    """MLflow looks whether it has it, and then adds it: the slower of two would fail."""
    tracking, store, meet = session(), Store.locate(workspace), threading.Barrier(2)
    from mlflow.entities import Dataset, DatasetInput

    def log(number):
        with tracking.open_store(store, alone=False) as opened:
            run = opened.client.create_run(opened.experiment).info.run_id
            for i in range(40):
                meet.wait(60)
                opened.log_inputs(run, [DatasetInput(Dataset(f"runs/{i}", "0" * 32, "dvc", "{}"), [])])
        return number

    Content(workspace).client.create_experiment("reflowbench")
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(log, range(2))) == [0, 1]
    assert server.sql("SELECT count(*) FROM datasets") == [(40,)]
    assert server.sql("SELECT count(*) FROM inputs WHERE destination_type = 'RUN'") == [(80,)]


@pytest.mark.parametrize("call", ["experiments/create", "runs/create"])
def test_another_sync_comes_in_between(server, workspace, other, monkeypatch, call):
    """Just before the first request of a kind; what they share is there once."""
    whole, todo = requests.Session.request, [other]

    def interfered(self, method, url, **kwargs):
        if url.endswith(call) and todo:
            sync(todo.pop())
        return whole(self, method, url, **kwargs)

    monkeypatch.setattr(requests.Session, "request", interfered)
    assert sync(workspace).complete and not todo
    names = [name for (name,) in server.sql("SELECT name FROM runs WHERE lifecycle_stage = 'active' ORDER BY name")]
    twice = {name for name in names if names.count(name) > 1}
    assert twice == {"reflow@rca-0-1"}, "the one that differs"
