import pytest

from tests.compare.made import Repository


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A Git repository with results of the branch `main`, which the test is in."""
    made = Repository(tmp_path / "clone")
    monkeypatch.chdir(made.folder)
    made.commit()
    return made
