import shutil

import pytest

from tests.tracking.made import make, session


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """The schema alone: it takes seconds, so that tests copy it."""
    folder = tmp_path_factory.mktemp("mlflow")
    session().make_database(folder / "mlflow.db")
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
