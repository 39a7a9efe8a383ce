import pytest

from tests.pipeline.project import Project


@pytest.fixture(scope="package")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("tiny"))
