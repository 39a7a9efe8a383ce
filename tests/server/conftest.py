import os

import pytest

from tests.server import postgres
from tests.server.server import Server
from tests.tracking.made import make


@pytest.fixture(scope="session")
def machinery(tmp_path_factory):
    """The server that all tests of a process share: starting it takes seconds."""
    if reason := postgres.missing():
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("server")
    cluster = postgres.Cluster(folder / "postgres.log")
    try:
        server = Server(cluster, folder)
        try:
            yield server
        finally:
            server.kill()
    finally:
        cluster.stop()


@pytest.fixture
def server(machinery):
    """A running server that holds nothing yet."""
    machinery.empty()
    machinery.start()
    return machinery


@pytest.fixture
def workspace(server, tmp_path, monkeypatch):
    """A finished pipeline that is the current folder, and whose store is the server."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.login)
    workspace = make(tmp_path / "workspace")
    monkeypatch.chdir(workspace)
    return workspace


@pytest.fixture(autouse=True)
def no_secret_gets_out(machinery, capfd, caplog, tmp_path):
    """Of each test: neither password is in what was printed, logged or kept anywhere."""
    yield
    printed = "".join(capfd.readouterr())
    texts = {"printed": printed, "logged": caplog.text, "server's log": machinery.log}
    texts |= {f"table {name}": "\n".join(rows) for name, rows in machinery.tables().items()}
    texts |= {
        str(path): path.read_bytes().decode("latin-1")
        for folder in (tmp_path, machinery.artifacts)
        for path in folder.rglob("*")
        if path.is_file()
    }
    found = [(place, secret) for secret in machinery.secrets() for place, text in texts.items() if secret in text]
    assert found == [] and len(texts) > 10
