"""What tasks made comes into the checkout's dvc.lock files: that of the root, and those of the rounds."""

import shutil
import subprocess

import pytest
import yaml

from reflowbench.cluster import lockfile
from reflowbench.cluster.launch import Options, _Crew
from reflowbench.cluster.plan import make_plan
from reflowbench.cluster.schedule import Run
from reflowbench.status.stages import read_stages
from reflowbench.tracking.lock import lock_files
from tests.status.conftest import Pipeline


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small pipeline that has run, with two methods in two rounds."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    subprocess.run(["git", "init", "--quiet"], check=True)
    return Pipeline(folder).folder


def locks(folder):
    return {path.relative_to(folder): yaml.safe_load(path.read_text()) for path in lock_files(folder)}


def test_each_stage_is_recorded_beside_its_pipeline_file_and_strangers_go(folder):
    before, plan = locks(folder), make_plan(read_stages())
    assert {str(path) for path in before} == {"dvc.lock", "rounds/1/dvc.lock", "rounds/2/dvc.lock"}
    launch = folder / ".scratch/launch"
    crew = _Crew(Options(), plan, folder, launch)
    for task in plan.tasks:
        for path in before:
            (launch / "clones" / task.name / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, launch / "clones" / task.name / path)
    lockfile.keep(folder / "dvc.lock", {"train_base@0"})
    (folder / "rounds/1/dvc.lock").unlink()
    lockfile.merge(folder / "rounds/2/dvc.lock", {"reflow@gone-0-2": "  reflow@gone-0-2:\n    cmd: x\n"})
    for task in plan.tasks:
        crew._note(Run(task))
    crew.record()
    assert locks(folder) == before
