"""Independent jobs in processes of their own."""

import os

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.parallel import in_parallel


def square(x):
    return x * x


def where(_):
    return os.getpid(), torch.get_num_threads()


def refuse_three(x):
    if x == 3:
        raise ReflowbenchError("three: want another number")
    return x


def test_results_come_in_the_order_of_the_jobs(monkeypatch):
    for workers in ("1", "3"):
        monkeypatch.setenv("REFLOWBENCH_THREADS", workers)
        assert list(in_parallel(square, range(20))) == [x * x for x in range(20)]


def test_every_job_has_one_thread_and_none_runs_here(monkeypatch):
    monkeypatch.setenv("REFLOWBENCH_THREADS", "2")
    found = list(in_parallel(where, range(8)))
    assert {threads for _, threads in found} == {1}
    processes = {process for process, _ in found}
    assert os.getpid() not in processes and len(processes) <= 2


def test_there_are_as_many_processes_as_cores_that_may_be_used(monkeypatch):
    monkeypatch.delenv("REFLOWBENCH_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert len({process for process, _ in in_parallel(where, range(8))}) == 1


def test_a_fault_reaches_the_caller_as_it_is():
    results = in_parallel(refuse_three, [1, 2, 3, 4])
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ReflowbenchError, match="three: want another number"):
        next(results)


def test_what_cannot_be_handed_over_is_an_error_at_once():
    with pytest.raises(Exception, match="pickle|local object"):
        next(in_parallel(square, [lambda: 0]))
