"""The store: where it is, what is known of it without MLflow, and what is said when it fails."""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from urllib.parse import quote, unquote

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.lock import read_lock, state_hash
from reflowbench.tracking.store import Store
from reflowbench.tracking.sync import sync, sync_if_changed
from tests.conftest import ROOT
from tests.tracking.made import Content, entries, session, write_lock


def test_unchanged_state_is_told_without_mlflow(workspace):
    assert "new runs" in sync_if_changed()
    code = "import sys; from reflowbench.tracking.sync import sync_if_changed as sync; print(sync())"
    code += "; assert 'mlflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MLflow is up to date")
    (workspace / "mlflow.db").unlink()
    assert "new runs" in sync_if_changed(), "the store itself is gone"


def test_what_was_mirrored_is_remembered_for_one_file(workspace):
    store, mark = Store.locate(workspace), {"state": sync().state, "git": {"git.dirty": "false"}}
    store.remember(mark)
    assert store.holds(mark) and not store.holds({**mark, "state": "b"}) and not store.holds({**mark, "git": {}})
    assert not Store("http://127.0.0.1:1", workspace).holds(mark)
    with contextlib.closing(sqlite3.connect(workspace / "mlflow.db")) as database:
        database.execute("DELETE FROM tags")
        database.commit()
    assert not store.holds(mark), "wiped, or another file under the name"


def test_a_file_is_in_the_repository_wherever_the_command_runs(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    (bare / "runs").joinpath("deep").mkdir()
    monkeypatch.chdir(bare / "runs/deep")
    assert Store.locate(bare).database == bare / "mine.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert Store.locate(bare).database == tmp_path / "other.db"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////proc/nowhere/m.db",
        "mysql://u:secret@127.0.0.1:1/db",
        "postgresql://u:secret@a..b/db",
        "unknown://u:secret@host/db",
        "postgresql+psycopg2://u:sec\u2100ret@127.0.0.1/db",
        "http://127.0.0.1:1/?api_key=secret",
    ],
)
def test_no_store_fails_the_stage(bare, uri):
    """Whatever is wrong with it: a warning, and the receipt."""
    command = [sys.executable, "-m", "stages.track", "--receipt", "runs/track/receipt.json"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING: MLflow store" in done.stderr and "Traceback" not in done.stderr
    assert "secret" not in done.stderr + done.stdout and "sec\u2100ret" not in done.stderr + done.stdout
    assert (bare / "runs/track/receipt.json").is_file()


def test_a_database_that_refuses_is_not_asked_for_minutes(bare, monkeypatch):
    """It answers and hangs up, as one that wants another password does."""
    calls = []

    def serve(server):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                calls.append(1)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        uri = f"postgresql+psycopg2://u:secret@127.0.0.1:{server.getsockname()[1]}/db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ReflowbenchError, match="No result is lost") as caught:
            sync()
    assert "secret" not in str(caught.value) and len(calls) <= 4


@pytest.mark.parametrize(
    ("uri", "name", "login"),
    [
        ("http://127.0.0.1:1/team@x", "http://127.0.0.1:1/team@x", None),
        ("http://host/a@b?key=value@c", "http://host/a@b", None),
        ("https://u:p/w@host:5/x", "https://host:5/x", ("u", "p/w")),
        ("http://u:SECRET@host:1/?token=a@b", "http://host:1/", ("u", "SECRET")),
    ],
)
def test_what_is_a_login_and_what_is_not(bare, monkeypatch, uri, name, login):
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert Store.locate(bare).name == name
    found = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    assert found == (login or (None, None))


def test_stage_writes_the_same_receipt_wherever_it_runs(workspace):
    receipt = workspace / "runs/track/receipt.json"
    command = [sys.executable, "-m", "stages.track", "--receipt", str(receipt)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert "INFO" not in done.stdout + done.stderr
    lock = read_lock(workspace)
    assert json.loads(receipt.read_text()) == {"stage_runs": len(lock), "state": state_hash(lock)}
    # Inside `dvc repro` the lock has no entry for the stage itself, afterwards it has.
    write_lock(workspace, {**entries(workspace), "track": {"cmd": "python -m stages.track"}})
    assert sync().created == 0


def test_store_is_in_the_repository_when_dvc_runs_in_a_copy(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert Store.locate(bare).uri == f"sqlite:///{tmp_path}/mlflow.db"


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
        patch.setattr(session().MlflowClient, "search_experiments", killed)
        with pytest.raises(KeyboardInterrupt):
            sync()
    assert [path.name for path in bare.glob("*mlflow.db*")] == ["mlflow.db-lock"]


def test_deleted_experiment(workspace):
    sync()
    client = Content(workspace).client
    client.delete_experiment(client.get_experiment_by_name("reflowbench").experiment_id)
    with pytest.raises(ReflowbenchError, match="mlflow experiments restore"):
        sync()


@pytest.mark.parametrize("written", ["se#c/r?et", "sec%7Cret%2F", "sec|ret", "a:b@c", "p%40ss"])
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_password_is_nowhere_in_an_error(bare, monkeypatch, capfd, scheme, written):
    """Nor in how libraries spell it."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://user:{written}@127.0.0.1:1/mlflow?password=hidden")
    store = Store.locate(bare)
    assert store.name == f"{scheme}://127.0.0.1:1/mlflow"
    spelled = [written, unquote(written), quote(unquote(written)), quote(unquote(written), safe=""), "hidden"]
    quoted = store.failure(OSError(" ".join(f"for {scheme}://user:{s}@127.0.0.1:1: refused {s}" for s in spelled)))
    for text in (store.name, str(quoted)):
        assert not [s for s in spelled if s in text]
    with pytest.raises(ReflowbenchError, match="No result is lost") as caught:
        sync()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    said = str(caught.value) + "".join(capfd.readouterr())
    assert not [s for s in spelled if s in said]
    if scheme == "http":
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "user"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == unquote(written)
        assert store.uri == "http://127.0.0.1:1/mlflow?password=hidden"


def test_a_login_that_is_given_by_its_variables_goes_before(bare, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://other:theirs@server/path")
    assert Store.locate(bare).uri == "https://server/path"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("me", "mine")
