"""The tiny profile as jobs of a real SLURM, which the tests start. In order."""

import os
import signal
import stat
import time

import pytest

from tests.cluster.projects import GATHERED, SLOW, Checkout, wait_for
from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long

CHAINS = ("reflow-0", "rca-0", "ocar-0")


class Submitting(Checkout):
    """A copy whose commands find the cluster."""

    def __init__(self, folder, node):
        self.node = node
        super().__init__(folder)

    def _environment(self):
        return super()._environment() | self.node.environment

    def jobs(self):
        """State of each job by its number, with the name that it was given."""
        said = self.node.run("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,JobName%80,State")
        return {job: (name, state) for job, name, state in (line.split("|") for line in said.stdout.splitlines())}

    def queued(self):
        return self.node.run("squeue", "--noheader", "--format=%i %j").stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def project(slurm, tmp_path_factory):
    return Submitting(tmp_path_factory.mktemp("slurm") / "project", slurm).make()


def test_the_bytes_are_those_of_a_serial_run_and_each_task_was_one_job(project, first):
    result = project.run("reflowbench", "launch", "--slurm", "--time", "30", "--slurm-arg", "comment=of a test")
    assert project.lock() == first[0].lock()
    assert Project.stages_that_ran(result.stdout) == GATHERED
    tasks = {line.split()[1].rstrip(":") for line in result.stdout.splitlines() if ": done after " in line}
    jobs = project.jobs()
    assert sorted(name for name, _ in jobs.values()) == sorted(f"reflowbench-{task}" for task in tasks)
    assert {state for _, state in jobs.values()} == {"COMPLETED"} and set(CHAINS) < tasks
    assert sorted(project.ran()) == sorted(TINY_STAGES)


def test_its_files_are_closed_to_others_and_no_variable_is_in_them(project):
    """submitit keeps what a job runs as a pickle, for the job to read."""
    folder = project.folder / ".scratch/launch/slurm"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    pickles = list(folder.rglob("*_submitted.pkl"))
    assert len(pickles) == len(project.jobs()) and not [path for path in pickles if b"SLURM_CONF" in path.read_bytes()]


def test_a_job_that_is_cancelled_is_submitted_again_and_goes_on(project):
    """By somebody else, or by SLURM whose time is up: the stage has saved what it did."""
    project.slow_down(SLOW)
    before = len(project.ran())
    launch = project.launch("--slurm", "--no-finish", REFLOWBENCH_SAVE_SECONDS="3600")
    [task, *_] = wait_for(lambda: [t for t in CHAINS if project.at_training(t)])
    time.sleep(0.5)
    job = (project.folder / f".scratch/launch/slurm/{task}.job").read_text().strip()
    project.node.run("scancel", job)
    said, error = launch.communicate(timeout=600)
    assert launch.returncode == 0, said + error
    assert f"{task}: started again (try 2)" in said
    assert "saved; the next run goes on from here" in project.log(task) and "resumes with" in project.log(task)
    chains = {name for name in TINY_STAGES if name.startswith(("reflow@", "rca@", "ocar@", "evaluate@"))}
    assert sorted(project.ran()[before:]) == sorted({"train_base@0", *chains}), "each came to its end once"


def test_asked_to_stop_it_leaves_no_job(project):
    project.slow_down(SLOW + 1)
    launch = project.launch("--slurm", "--no-finish")
    wait_for(lambda: [task for task in CHAINS if project.at_training(task)])
    launch.send_signal(signal.SIGINT)
    said, error = launch.communicate(timeout=120)
    assert launch.returncode == 130, said + error
    wait_for(lambda: not project.queued(), 60)
    assert not [task for task in CHAINS if project.processes_of(task)]


def test_jobs_of_a_launch_that_was_killed_are_found(project):
    """They run on; a second launch says so, and then brings what they made from the cache."""
    launch = project.launch("--slurm", "--no-finish")
    wait_for(lambda: [task for task in CHAINS if project.at_training(task)])
    os.kill(launch.pid, signal.SIGKILL)
    launch.communicate()
    second = project.run("reflowbench", "launch", "--slurm", check=False)
    assert second.returncode == 1 and "jobs of a launch that was killed are still there" in second.stderr
    assert "`scancel " in second.stderr
    wait_for(lambda: not project.queued())
    result = project.run("reflowbench", "launch", "--slurm")
    assert Project.stages_that_ran(result.stdout) == {"summarize", "report", "track"}


def test_what_slurm_refuses_is_named(project):
    project.set_params(round__steps=12)
    result = project.run("reflowbench", "launch", "--slurm", "--partition", "nowhere", "--retry", "0", check=False)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "SLURM refused" in result.stdout and "partition" in result.stdout
