"""Locks: one process at a time, and none after it, however it ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.locks import holder, locked
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from reflowbench.runtime.locks import locked
with locked(Path("locks"), "runs/base/s0"):
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def start(seconds=60):
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-c", HOLD, str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    started = []
    yield start
    for process in started:
        process.kill()
        process.wait()


def test_another_process_is_named_with_what_to_do(hold, tmp_path):
    process = hold()
    with pytest.raises(ReflowbenchError) as refused, locked(tmp_path / "locks", "runs/base/s0"):
        pass
    for part in (f"process {process.pid} on ", "still works on runs/base/s0", f"`kill {process.pid}`", "`dvc repro`"):
        assert part in str(refused.value)
    assert holder(tmp_path / "locks", "runs/base/s0").startswith(f"{process.pid} ")
    with locked(tmp_path / "locks", "runs/base/s1"):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_no_lock(hold, tmp_path, number):
    process = hold()
    process.send_signal(number)
    process.wait()
    assert holder(tmp_path / "locks", "runs/base/s0") == ""
    with locked(tmp_path / "locks", "runs/base/s0"):
        pass
    assert list((tmp_path / "locks").iterdir()) == []


def test_children_do_not_keep_it(tmp_path):
    """A worker that outlives its killed stage must not stop the next run."""
    with locked(tmp_path / "locks", "x"):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        with locked(tmp_path / "locks", "x"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_processes_that_take_turns_are_never_two(tmp_path):
    """The file of a lock is removed with it: who has opened the old one must not believe to hold the new one."""
    code = """
import sys, time
from pathlib import Path
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.locks import locked
taken = 0
while taken < 200:
    try:
        with locked(Path("locks"), "x"):
            Path("inside").touch(exist_ok=False)
            Path("inside").unlink()
            taken += 1
    except ReflowbenchError:
        pass
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=env, cwd=tmp_path) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
