import fcntl
import json
import shutil

import pytest

from tests.pipeline.project import Project


@pytest.fixture(scope="session")
def first(tmp_path_factory, worker_id):
    """A project after its first run, and the stages that ran: one for all workers, who copy it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    with (folder / "first-run").open("a+") as record:
        fcntl.lockf(record, fcntl.LOCK_EX)  # the worker that comes first makes it, the others wait
        record.seek(0)
        project = Project(folder / "first")
        if text := record.read():
            return project, set(json.loads(text))
        ran = project.make().repro()
        record.write(json.dumps(sorted(ran)))
        return project, ran


@pytest.fixture(scope="session")
def ran(first):
    """The stages that a first run runs."""
    return first[1]


@pytest.fixture(scope="package")
def project(first, tmp_path_factory):
    """A copy of the pipeline that has run, for the tests of this worker; with an MLflow of its own."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    elsewhere = shutil.ignore_patterns("mlflow.db*", "mlartifacts", "track", "track.json")  # it has absolute paths
    shutil.copytree(first[0].folder, folder, ignore=elsewhere)
    copy = Project(folder)
    copy.repro()
    return copy
