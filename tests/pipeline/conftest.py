import pytest

from tests.pipeline.project import Project


@pytest.fixture(scope="session")
def ran(first):
    """The stages that a first run runs."""
    return first[1]


@pytest.fixture(scope="package")
def project(first, tmp_path_factory):
    """A copy of the pipeline that has run, for the tests of this worker; with an MLflow of its own."""
    copy = Project(tmp_path_factory.mktemp("tiny") / "project").take(first[0])
    copy.repro()
    return copy
