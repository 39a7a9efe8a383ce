"""States of the stages of a real, small DVC project."""

import copy
import json
import os
import shutil
import subprocess

import pytest
import yaml

from reflowbench.errors import ReflowbenchError
from reflowbench.status import stages as module
from reflowbench.status.locks import writers
from reflowbench.status.overview import cells
from reflowbench.status.stages import read_stages
from tests.status.conftest import PARAMS, PIPELINE


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    target = tmp_path / "copy"
    shutil.copytree(made.folder, target, symlinks=True)
    monkeypatch.chdir(target)
    return target


def states():
    return {stage.name: (stage.state, stage.reasons) for stage in read_stages()}


def not_done():
    return {name: state for name, state in states().items() if state[0] != "done"}


def write_params(folder, **changes):
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | changes))


def test_all_is_done_after_a_run(folder):
    assert not_done() == {} and len(states()) == 9
    assert {cell.state for cell in cells(read_stages())} == {"done"}


def test_of_the_rounds_only_what_an_evaluation_needs_is_there(folder):
    """Files of rounds cover all methods, and there may be more rounds than are evaluated."""
    write_params(folder, evaluated=["rca"], rounds=[1])
    assert [stage.address for stage in read_stages()] == [
        "train_base@0", "rounds/1/dvc.yaml:reflow@rca-0-1", "evaluate@rca-0-1"]  # fmt: skip
    assert not_done() == {}
    write_params(folder, evaluated=["rca"], rounds=[2])
    assert {stage.name for stage in read_stages() if stage.group == "reflow"} == {"reflow@rca-0-1", "reflow@rca-0-2"}


def test_a_changed_parameter_is_named_with_its_values(folder):
    methods = {"reflow": {}, "rca": {"real_fraction": 0.25, "alpha": 1}}
    write_params(folder, methods=methods)
    because = ("methods.rca.real_fraction 0.5 → 0.25",)
    found = not_done()
    assert found["reflow@rca-0-1"] == found["reflow@rca-0-2"] == ("stale", because)
    assert found["evaluate@rca-0-2"] == ("stale", ("after reflow@rca-0-2",))
    assert set(found) == {name for name in states() if "rca" in name}
    grid = {(cell.method, cell.round): cell.state for cell in cells(read_stages())}
    done = {("base", 0): "done", ("reflow", 1): "done", ("reflow", 2): "done"}
    assert grid == done | {("rca", 1): "stale", ("rca", 2): "stale"}


def test_what_dvc_calls_changed_is_not_done(folder):
    """Against DVC's own verdict; what only comes after a changed stage is ours."""
    (folder / "code.txt").write_text("other")
    write_params(folder, methods=PARAMS["methods"] | {"rca": {"alpha": 2}})
    (folder / "measured-reflow-0-1").unlink()
    status = subprocess.run(["dvc", "status", "--json"], capture_output=True, text=True, check=True).stdout
    found = [stage for stage in read_stages() if stage.state != "done" and not stage.reasons[0].startswith("after ")]
    assert {stage.address for stage in found} == set(json.loads(status)) and len(found) == 4


def test_code_command_and_output_are_named(folder):
    (folder / "code.txt").write_text("other code")
    pipeline = copy.deepcopy(PIPELINE)
    pipeline["stages"]["evaluate"]["cmd"] += " "
    pipeline["stages"]["evaluate"]["cmd"] = pipeline["stages"]["evaluate"]["cmd"].replace("cp ", "cp -f ")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (folder / "reflow-0-1").unlink()
    (folder / "reflow-0-1").write_text("edited by hand")
    found = not_done()
    assert found["train_base@0"] == ("stale", ("code.txt modified",))
    assert found["reflow@reflow-0-1"] == ("stale", ("output reflow-0-1 modified",))
    assert "command changed" in found["evaluate@rca-0-1"][1]


def test_a_cell_that_never_ran_is_missing(folder):
    write_params(folder, seeds=[0, 1])
    new = {f"{group}@{m}-1-{k}" for m in ("reflow", "rca") for group in ("reflow", "evaluate") for k in (1, 2)}
    assert not_done() == dict.fromkeys(new | {"train_base@1"}, ("missing", ("never ran",)))
    assert {cell.seed for cell in cells(read_stages()) if cell.state == "missing"} == {1}


def test_outputs_that_are_not_here_are_missing_not_stale(folder):
    """A fresh clone: nothing is here, nothing has changed."""
    shutil.rmtree(folder / ".dvc/cache")
    for path in folder.glob("*-*"):
        path.unlink()
    assert {state for state, _ in states().values()} == {"missing"}
    assert states()["train_base@0"] == ("missing", ("output base-0 not in cache",))


def test_a_stage_whose_outputs_are_being_written_runs(folder):
    """Also by a process that holds DVC's own lock, which stops `dvc status`."""
    lock = folder / ".dvc/tmp/rwlock"
    holder = {"pid": os.getpid(), "cmd": "/some/where/bin/dvc repro rca"}
    gone = {"pid": 2**22 + 1, "cmd": "dvc repro"}
    lock.write_text(json.dumps({
        "write": {str(folder / "rca-0-1"): holder, str(folder / "reflow-0-1"): gone},
        "read": {str(folder / "base-0"): [holder]},
    }))  # fmt: skip
    before = lock.read_text()
    found = not_done()
    assert found.pop("reflow@rca-0-1") == ("running", (f"dvc repro rca (process {os.getpid()})",))
    after = {"evaluate@rca-0-1": "reflow@rca-0-1", "reflow@rca-0-2": "reflow@rca-0-1"}
    after["evaluate@rca-0-2"] = "reflow@rca-0-2"
    assert found == {name: ("stale", (f"after {before}",)) for name, before in after.items()}
    assert lock.read_text() == before, "only looked at"


def test_dvcs_lock_has_the_format_that_is_read(folder):
    """Written by DVC itself, while it holds the outputs of a stage."""
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    with Repo() as repo, rwlock(repo.tmp_dir, repo.fs, "/bin/dvc repro", [], [str(folder / "base-0")], False):
        held = writers(folder / ".dvc/tmp")
    assert held == {str(folder / "base-0"): f"dvc repro (process {os.getpid()})"}
    assert writers(folder / ".dvc/tmp") == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"write": []}', '{"write": {"a": {}}}', '{"write": {"a": {"pid": "x"}}}']
)
def test_a_lock_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "rwlock").write_text(text)
    assert writers(tmp_path) == writers(tmp_path / "nowhere") == {}


def test_a_lock_file_that_is_being_rewritten_is_read_again(folder, monkeypatch):
    whole = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").write_text(whole[: len(whole) // 2] + "\n - : [")
    monkeypatch.setattr(module.time, "sleep", lambda _: (folder / "dvc.lock").write_text(whole))
    assert not_done() == {}


def test_errors_name_the_remedy(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    (folder / "dvc.lock").write_text("- : [")
    with pytest.raises(ReflowbenchError, match=r"^DVC cannot read the pipeline: .*dvc.lock"):
        read_stages()
    (folder / "dvc.lock").unlink()
    (folder / "params.yaml").write_text("seeds: [0]\n")
    with pytest.raises(ReflowbenchError, match=r"^DVC cannot read the pipeline: "):
        read_stages()
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    with pytest.raises(ReflowbenchError, match="run this there"):
        read_stages()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReflowbenchError, match="not a DVC project"):
        read_stages()
