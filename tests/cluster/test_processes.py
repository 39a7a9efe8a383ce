"""Commands and what they start, ended together."""

import os
import signal
import subprocess
import sys
import time

import pytest

from reflowbench.cluster.processes import Process, members


def started(tmp_path, script, log="log"):
    return Process(["sh", "-c", script], tmp_path, os.environ, tmp_path / log)


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def ended(process):
    wait_for(lambda: process.poll() is not None)
    return process.poll()


def test_its_status_folder_variables_and_what_it_says(tmp_path):
    (tmp_path / "log").write_text("before\n")
    process = Process(
        ["sh", "-c", 'pwd; echo "$WHO" >&2; exit 3'], tmp_path, {**os.environ, "WHO": "me"}, tmp_path / "log"
    )
    assert ended(process) == 3
    assert (tmp_path / "log").read_text() == f"before\n{tmp_path.resolve()}\nme\n"


def test_it_runs_as_long_as_what_it_started(tmp_path):
    """As a stage outlives its dvc that was killed."""
    process = started(tmp_path, "sh -c 'while [ ! -e go ]; do sleep 0.05; done; echo late' & echo $! > child; wait")
    wait_for((tmp_path / "child").exists)
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.3)
    assert process.poll() is None and members(process.pid)
    (tmp_path / "go").touch()
    assert ended(process) == -signal.SIGKILL
    assert (tmp_path / "log").read_text() == "late\n"


def test_asked_to_stop_all_of_it_is_asked(tmp_path):
    child = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    process = started(tmp_path, f'sh -c "{child}"; true')
    wait_for(lambda: "ready" in (tmp_path / "log").read_text())
    process.stop()
    assert ended(process) == -signal.SIGTERM
    assert "saved" in (tmp_path / "log").read_text()


def test_what_does_not_stop_can_be_killed(tmp_path):
    process = started(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for(lambda: "ready" in (tmp_path / "log").read_text())
    process.stop()
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    assert ended(process) == -signal.SIGKILL


def test_it_is_out_of_reach_of_the_terminals_ctrl_c(tmp_path):
    process = started(tmp_path, "sleep 60")
    assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    process.kill()
    ended(process)


def test_stopping_what_has_ended_does_nothing(tmp_path):
    process = started(tmp_path, "true")
    ended(process)
    process.stop()
    process.kill()
    assert process.poll() == 0


def test_zombies_are_no_members(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    wait_for(lambda: not members(child.pid))
    assert child.returncode is None, "nobody has reaped it"
    assert child.wait() == 0


def test_a_command_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Process(["/nowhere/dvc"], tmp_path, os.environ, tmp_path / "log")
