"""The tiny profile, launched on this machine with two workers: the same bytes as one after the other. In order."""

import os
import signal
import time

import pytest

from reflowbench.cluster.launch import _last_error
from reflowbench.runtime.locks import FOLDER, locked
from tests.cluster.projects import GATHERED, SLOW, Checkout, wait_for
from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long

CHAINS = ("reflow-0", "rca-0", "ocar-0")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("launched") / "project").make()


@pytest.fixture(scope="module")
def serial(first, tmp_path_factory):
    """One stage after the other, at the same number of threads."""
    return Checkout(tmp_path_factory.mktemp("serial") / "project").take(first[0])


def test_a_plan_is_shown_and_nothing_runs(launched):
    said = launched.run("reflowbench", "launch", "--dry-run").stdout
    assert "rca-0" in said and "then, here: summarize, report, track" in said
    assert launched.ran() == [] and not (launched.folder / ".scratch/launch").exists()


def test_the_bytes_are_those_of_a_serial_run_and_only_gathering_runs_here(launched, serial):
    """A change that is not committed, and not in the serial run when it began, is in the clones too."""
    for project in (launched, serial):
        project.set_params(methods__rca__real_fraction=0.25)
    serial.run("dvc", "repro")
    result = launched.run("reflowbench", "launch", "--workers", "2")
    assert launched.lock() == serial.lock() and len(serial.lock()) == len(TINY_STAGES)
    assert Project.stages_that_ran(result.stdout) == GATHERED
    assert launched.clones() == set(), "of tasks that are done"
    for name in ("reports/results.csv", "reports/summary.json", "reports/report.md"):
        assert launched.read(name) == serial.read(name)


def test_no_stage_ran_twice(launched):
    assert sorted(launched.ran()) == sorted(TINY_STAGES)


def test_a_launch_with_nothing_to_do_runs_nothing(launched):
    before = launched.ran()
    said = launched.run("reflowbench", "launch").stdout
    assert said == "nothing has changed since the last run; results are in reports/\n"
    (launched.folder / "src/reflowbench/runtime/locks.py").touch()
    result = launched.run("reflowbench", "launch")
    assert result.stdout.startswith("0 of ") and Project.stages_that_ran(result.stdout) == set()
    assert len(result.stdout.splitlines()) <= 5 and launched.ran() == before


def test_an_edit_during_a_launch_is_named_and_not_gathered(launched, serial):
    """Clones do not see it: what they ran is as the code was, and the next launch runs the rest."""
    launched.set_params(methods__rca__real_fraction=0.375)
    launch = launched.launch("--workers", "2")
    wait_for(lambda: launched.processes_of("rca-0"))
    path = launched.folder / "src/reflowbench/couplings/rca.py"
    before = path.read_text()
    path.write_text(before + "# edited\n")
    said, error = launch.communicate(timeout=300)
    assert launch.returncode == 1, said + error
    assert "changed while this ran: src/reflowbench/couplings/rca.py." in said
    assert Project.stages_that_ran(said) == set()
    path.write_text(before)
    assert Project.stages_that_ran(launched.run("reflowbench", "launch").stdout) == GATHERED
    serial.set_params(methods__rca__real_fraction=0.375)
    serial.run("dvc", "repro")
    assert launched.lock() == serial.lock()


def test_stages_that_the_pipeline_no_longer_has_leave_the_lock(launched):
    """Those of another profile: the mirror in MLflow would wait for their outputs."""
    path = launched.folder / "dvc.lock"
    before = path.read_text()
    path.write_text(before + "  evaluate@gone-0-1:\n    cmd: python -m stages.evaluate --seed 0\n")
    said = launched.run("reflowbench", "launch").stdout  # dvc.lock is another, so it looks
    assert "1 stages that dvc.yaml no longer has are out of dvc.lock" in said
    assert path.read_text() == before


def test_two_launches_in_one_checkout_are_refused(launched):
    launched.slow_down(SLOW)
    first = launched.launch("--workers", "2", "--no-finish")
    wait_for(lambda: [task for task in CHAINS if launched.processes_of(task)])
    second = launched.run("reflowbench", "launch", check=False)
    assert second.returncode == 1
    assert second.stderr.startswith(f"ERROR: process {first.pid} on ") and "reflowbench launch" in second.stderr
    stopped(first, signal.SIGTERM, 143)


def stopped(process, number, status):
    """Asked to stop, a launch leaves no process of its tasks behind."""
    process.send_signal(number)
    said, error = process.communicate(timeout=60)
    assert process.returncode == status, said + error
    assert "stopped; `reflowbench launch` goes on from here" in said and "Traceback" not in said + error
    return said


def test_asked_to_stop_stages_save_and_the_next_launch_goes_on(launched):
    """Their work is found again although other clones come, since it is kept in the checkout."""
    launch = launched.launch("--workers", "2", "--no-finish", REFLOWBENCH_SAVE_SECONDS="3600")
    running = wait_for(lambda: [t for t in CHAINS if launched.at_training(t)])
    time.sleep(0.5)  # the bar is there before the first step
    stopped(launch, signal.SIGINT, 130)
    assert not [task for task in CHAINS if launched.processes_of(task)]
    assert any("saved; the next run goes on from here" in launched.log(task) for task in running)
    assert list((launched.folder / ".scratch/resume").iterdir())
    for clone in launched.clones():
        launched.run("rm", "-rf", f".scratch/launch/clones/{clone}")
    launched.run("reflowbench", "launch", "--workers", "2", "--no-finish")
    assert any("resumes with" in launched.log(task) for task in running)
    assert not list((launched.folder / ".scratch/resume").iterdir())


def test_a_chain_that_is_killed_leaves_the_others_and_the_next_launch_runs_what_is_missing(launched, serial):
    """kill -9 of its dvc and its stage, with no second try."""
    launched.slow_down(SLOW + 1)
    before = launched.ran()
    launch = launched.launch("--workers", "2", "--retry", "0")
    wait_for(lambda: launched.at_training("reflow-0"))
    for process in launched.processes_of("reflow-0"):
        os.kill(process.pid, signal.SIGKILL)
    said, error = launch.communicate(timeout=600)
    assert launch.returncode == 1, said + error
    assert "failed: reflow-0" in said and ".scratch/launch/logs/reflow-0.log" in said
    ran = launched.ran()[len(before) :]
    assert sorted(ran) == ["evaluate@ocar-0-1", "evaluate@rca-0-1", "ocar@ocar-0-1", "rca@rca-0-1"]
    assert launched.clones() == {"reflow-0"}
    result = launched.run("reflowbench", "launch", "--workers", "2")
    missing = launched.ran()[len(before) + len(ran) :]
    assert sorted(missing) == sorted(["evaluate@reflow-0-1", "reflow@reflow-0-1", "summarize", "report", "track"])
    assert Project.stages_that_ran(result.stdout) == {"summarize", "report", "track"}
    serial.slow_down(SLOW + 1)
    serial.run("dvc", "repro")
    assert launched.lock() == serial.lock()


def test_a_chain_that_fails_is_tried_again_and_named_and_the_others_are_done(launched):
    """Another process holds the lock of an output, wherever the clones are: locks are the checkout's too."""
    with locked(launched.folder / ".scratch" / FOLDER, "runs/chains/rca/s0/round1/model"):
        launched.set_params(round__steps=13)
        result = launched.run("reflowbench", "launch", "--workers", "2", "--retry", "1", check=False)
    assert result.returncode == 1
    [failed] = [line for line in result.stdout.splitlines() if line.startswith("failed: ")]
    assert failed.startswith(f"failed: rca-0: process {os.getpid()} on ") and failed.endswith("logs/rca-0.log")
    assert "rca-0: started again (try 2)" in result.stdout
    assert "reflow-0: done" in result.stdout and "ocar-0: done" in result.stdout
    assert "Running stage 'summarize'" not in result.stdout, "it would have to compute what is missing"
    result = launched.run("reflowbench", "launch", "--workers", "2")
    assert Project.stages_that_ran(result.stdout) == GATHERED


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ""),
        (
            "training\nERROR: data/x.zip is no archive\nERROR: failed to reproduce 'prepare_data'\n",
            "data/x.zip is no archive",
        ),
        ("ERROR: failed to reproduce 'base@0': exited with -9\n", "failed to reproduce 'base@0': exited with -9"),
        (  # the first try said why, the second was killed
            "ERROR: a\nERROR: failed to reproduce 'base@0'\nERROR: failed to reproduce 'base@0': -9\n",
            "failed to reproduce 'base@0': -9",
        ),
        ("ERROR: failed to reproduce 'base@0'\nERROR: unable to acquire lock\n", "unable to acquire lock"),
    ],
)
def test_the_error_of_a_task_is_the_stages(log, expected):
    assert _last_error(log) == expected
