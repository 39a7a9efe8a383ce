"""`reflowbench scratch` and `reflowbench verify` on what killed stages, diverged trainings and bad disks leave."""

import argparse
import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA

from reflowbench import cli
from reflowbench.runtime import sidecar
from reflowbench.runtime import workspace as scratch
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.workspace import open_workspace
from reflowbench.training.guard import Step, keep_batch
from tests.test_resume import Sum


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(scratch.VARIABLE, "0")


def interrupted(seed):
    """Work of a stage that was stopped."""
    with pytest.raises(ZeroDivisionError), open_workspace(argparse.Namespace(seed=seed)) as workspace:
        for _ in Resumable(Sum(4), workspace):
            raise ZeroDivisionError


def run(*arguments):
    cli.main(list(arguments))


def test_scratch_is_listed_and_cleaned(capsys, monkeypatch):
    run("scratch")
    assert "nothing" in capsys.readouterr().out
    monkeypatch.setenv("DVC_STAGE", "rounds/1/dvc.yaml:rca@rca-0-1")
    interrupted(1)
    assert "The batch is in .scratch/diverged/" in keep_batch(Step(3, float("nan"), 1.0, 1.0), {"x0": torch.zeros(2)})
    run("scratch")
    listed = capsys.readouterr().out
    assert "saved work of rca@rca-0-1" in listed and "batch at which a training diverged" in listed
    run("scratch", "--clean")
    assert capsys.readouterr().out.count("removed") == 2
    assert not list((sidecar.folder() / scratch.FOLDER).iterdir())
    assert not list((sidecar.folder() / sidecar.DIVERGED).iterdir())


@pytest.mark.parametrize("about", ["whole", "damaged"])
def test_work_in_progress_is_not_cleaned(tmp_path, capsys, about):
    """That of another process; the lock of a process does not keep itself out."""
    code = """
import argparse, sys
from pathlib import Path
from reflowbench.runtime.workspace import open_workspace
with open_workspace(argparse.Namespace(seed=1)) as workspace:
    workspace.part("x").touch()
    print("at work", flush=True)
    sys.stdin.read()
"""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, cwd=tmp_path)
    assert process.stdout.readline() == "at work\n"
    if about == "damaged":
        [path] = tmp_path.glob(f".scratch/resume/*/{scratch.ABOUT}")
        path.write_text("{")
    run("scratch", "--clean")
    run("scratch")
    assert f"process {process.pid}" in capsys.readouterr().out
    assert len(list(tmp_path.glob(".scratch/resume/*/x"))) == 1
    process.communicate("")
    assert not list(tmp_path.glob(".scratch/resume/*")) and process.returncode == 0


@pytest.fixture
def repository(tmp_path):
    """A pipeline with a file and a folder as outputs, run once."""
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  made:\n    cmd: echo 1 > file; mkdir folder; echo 2 > folder/a; echo 3 > folder/b\n"
        "    deps: [source]\n    params: [a]\n    outs: [file, folder]\n"
    )
    (tmp_path / "params.yaml").write_text("a: {b: 1, c: [2, 3]}\n")
    (tmp_path / "source").write_text("1")
    for command in (["git", "init", "-q"], [*DVC, "init", "-q"], [*DVC, "repro", "-q"]):
        subprocess.run(command, check=True, cwd=tmp_path)
    return tmp_path


DVC = [sys.executable, "-m", "dvc"]


def flip(path):
    """Turn a bit and leave the times as they were: DVC sees no change."""
    facts = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    path.chmod(facts.st_mode)


@pytest.mark.parametrize("where", ["workspace", "cache", "both", "listing"])
def test_a_flipped_bit_is_found_and_repaired(repository, where, capsys):
    run("verify")
    assert "all as they were written" in capsys.readouterr().out
    cache = repository / ".dvc/cache/files/md5"
    if where in ("workspace", "both"):
        flip(repository / "folder/a")
    if where in ("cache", "both"):
        [path] = cache.glob("26/ab0db90d72e28ad0ba1e22ee510510")  # of "2\\n"
        flip(path)
    if where == "listing":
        [path] = cache.glob("*/*.dir")
        flip(path)
    with pytest.raises(SystemExit) as stop:
        run("verify")
    found = capsys.readouterr().out
    assert stop.value.code == 1 and ("folder: not" in found) == (where in ("workspace", "both"))
    assert ("(cache)" in found) == (where != "workspace")
    run("verify", "--repair")
    shutil.rmtree(repository / "folder", ignore_errors=True)
    subprocess.run([*DVC, "repro", "-q"], check=True, cwd=repository)
    run("verify")
    assert (repository / "folder/a").read_text() == "2\n"


def test_what_git_keeps_is_named_and_left(repository, capsys):
    more = "  more:\n    cmd: echo 4 > kept\n    outs: [kept: {cache: false}]\n"
    (repository / "dvc.yaml").write_text((repository / "dvc.yaml").read_text() + more)
    subprocess.run([*DVC, "repro", "-q"], check=True, cwd=repository)
    (repository / "kept").write_text("my change")
    for arguments in (["verify"], ["verify", "--repair"]):
        with pytest.raises(SystemExit):
            run(*arguments)
        assert "kept: not what was written (committed; `git checkout kept`" in capsys.readouterr().out
    assert (repository / "kept").read_text() == "my change"
    subprocess.run(["git", "init", "-q"], check=True, cwd=repository)
    (repository / ".gitignore").write_text("kept\n")
    with pytest.raises(SystemExit):
        run("verify")
    assert "kept: not what was written (committed; `dvc repro` makes it anew)" in capsys.readouterr().out


def test_what_no_run_has_recorded_is_no_damage(repository, capsys):
    """Made by a stage whose `dvc` was killed, with parameters that dvc.lock does not know yet."""
    (repository / "folder/a").write_text("of another run")
    with pytest.raises(SystemExit):
        run("verify")
    (repository / "params.yaml").write_text("a: 2\n")
    run("verify", "--repair")
    assert (repository / "folder/a").read_text() == "of another run"
    assert "all as they were written" in capsys.readouterr().out.splitlines()[-1]


def test_nothing_is_recovered_beside_a_dvc_at_work(repository):
    """A file that it is just writing looks as if it were cut."""
    lock = repository / "dvc.lock"
    cut = lock.read_bytes()[:-20]
    lock.write_bytes(cut)
    code = "from dvc.repo import Repo\nwith Repo().lock:\n    print('holds it', flush=True)\n    input()"
    pipe = subprocess.PIPE
    dvc = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, cwd=repository)
    assert dvc.stdout.readline() == "holds it\n"
    with pytest.raises(SystemExit, match="a `dvc` is at work here"):
        run("recover")
    assert lock.read_bytes() == cut
    dvc.communicate("\n")
    run("recover")
    assert not lock.exists(), "no stage was whole in it"


def test_the_locks_of_pipelines_in_folders_are_recovered_too(repository, capsys):
    (repository / "more").mkdir()
    whole = (repository / "dvc.lock").read_bytes()
    (repository / "more/dvc.lock").write_bytes(whole + whole.split(b"stages:\n")[1].replace(b"made:", b"more:")[:-9])
    run("recover")
    assert "more/dvc.lock: was cut short; 1 stages kept" in capsys.readouterr().out
    assert (repository / "more/dvc.lock").read_bytes() == whole


def test_verify_outside_of_a_project_says_so(capsys):
    with pytest.raises(SystemExit, match="not inside of a DVC repository"):
        run("verify")


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_lock_that_was_cut_anywhere_is_read_again_and_nothing_computes(repository, capsys, every):
    """DVC writes it in place: here after every byte, or every third one, that a kill can leave."""
    lock = repository / "dvc.lock"
    whole = lock.read_bytes()
    run("recover")
    assert lock.read_bytes() == whole and capsys.readouterr().out == ""
    two = whole + whole.split(b"stages:\n")[1].replace(b"made:", b"more:")
    for end in range(0, len(two), every):
        lock.write_bytes(two[:end])
        run("recover")
        kept = lock.read_bytes() if lock.exists() else b""
        assert kept in (two[:end], whole, b"")
        if kept:
            COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(kept))
    lock.write_bytes(whole[: whole.rindex(b"md5:")])
    (repository / ".dvc/tmp/rwlock").write_text('{"a": ')
    capsys.readouterr()
    run("recover")
    said = capsys.readouterr().out
    assert "dvc.lock: was cut short; 0 stages kept" in said and "rwlock: was cut short; removed" in said
    result = subprocess.run([*DVC, "repro"], check=True, cwd=repository, capture_output=True, text=True)
    assert lock.read_bytes() == whole and "Running stage" not in result.stdout
