"""Which task runs when, with tasks that only count."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflowbench.cluster.launch import _UNKNOWN, _expected
from reflowbench.cluster.plan import Plan, Task
from reflowbench.cluster.schedule import ENDED, Schedule
from reflowbench.errors import ReflowbenchError
from reflowbench.status.stages import Stage


class Fake:
    """A job that ends after so many looks at it, and remembers how it was ended."""

    def __init__(self, looks, status):
        self.looks, self.status, self.sent = looks, status, []

    def poll(self):
        self.looks -= 1
        return self.status if self.looks < 0 else None

    def stop(self):
        self.sent.append("stop")
        self.looks, self.status = 1, 143

    def kill(self):
        self.sent.append("kill")
        self.looks, self.status = 0, -9


class Bench:
    """Tasks on fake jobs; notes what was started and checks, at each start, that it might be."""

    def __init__(self, needs, workers=2, retries=0, fails=None, looks=None, seconds=None, done=()):
        self.fails, self.looks, self.workers = dict(fails or {}), looks or {}, workers
        self.started, self.jobs = [], {}
        tasks = [Task(name, (name,), (name,), tuple(after)) for name, after in needs.items()]
        self.schedule = Schedule(
            tasks, done, self.start, workers=workers, retries=retries, seconds=seconds or dict.fromkeys(needs, 1.0)
        )

    def start(self, run):
        states = {name: r.state for name, r in self.schedule.runs.items()}
        assert all(states[need] == "done" for need in run.task.after)
        assert sum(state == "running" for state in states.values()) <= self.workers
        name = run.task.name
        self.started.append(name)
        left = self.fails.get(name, 0)
        self.fails[name] = left - 1
        self.jobs[name] = Fake(self.looks.get(name, 1), 1 if left > 0 else 0)
        return self.jobs[name]

    def finish(self, most=10_000):
        for _ in range(most):
            if not self.schedule.step():
                return self
        raise AssertionError("does not end")

    def states(self):
        return {name: run.state for name, run in self.schedule.runs.items()}


@st.composite
def graphs(draw):
    """Tasks t0, t1, ... that need some of those before."""
    size = draw(st.integers(1, 8))
    needs = {f"t{i}": draw(st.sets(st.sampled_from([f"t{j}" for j in range(i)]))) if i else set() for i in range(size)}
    fails = {name: draw(st.integers(0, 3)) for name in needs}
    looks = {name: draw(st.integers(0, 4)) for name in needs}
    return needs, fails, looks


@given(graphs(), st.integers(1, 4), st.integers(0, 2))
def test_all_that_can_be_done_is_done_and_nothing_else_is_tried(graph, workers, retries):
    needs, fails, looks = graph
    bench = Bench(needs, workers, retries, fails, looks).finish()
    states = bench.states()
    for name, after in needs.items():
        if any(states[need] != "done" for need in after):
            assert states[name] == "skipped" and name not in bench.started
        else:
            assert states[name] == ("failed" if fails[name] > retries else "done")
            assert bench.started.count(name) == min(fails[name], retries) + 1


def test_as_many_run_as_there_are_workers():
    bench = Bench({name: () for name in "abcde"}, workers=3, looks=dict.fromkeys("abcde", 5))
    bench.schedule.step()
    assert sum(state == "running" for state in bench.states().values()) == 3
    bench.finish()
    assert sorted(bench.started) == list("abcde")


def test_the_longest_way_to_the_end_starts_first():
    """`b` is short, but the longest task waits for it."""
    needs = {"a": (), "b": (), "c": (), "last": ("b",)}
    bench = Bench(needs, workers=1, seconds={"a": 5.0, "b": 1.0, "c": 7.0, "last": 9.0}).finish()
    assert bench.started == ["b", "last", "c", "a"]


def test_a_failed_one_does_not_hold_up_the_others():
    bench = Bench({"a": (), "b": (), "c": ("a",), "d": ("b",)}, retries=1, fails={"a": 9}).finish()
    assert bench.states() == {"a": "failed", "b": "done", "c": "skipped", "d": "done"}
    assert bench.started.count("a") == 2
    assert bench.schedule.runs["c"].reason == "needs a"


def test_what_is_done_is_not_started():
    bench = Bench({"a": (), "b": ("a",)}, done=["a"]).finish()
    assert bench.started == ["b"] and set(bench.states().values()) == {"done"}


@pytest.mark.parametrize("error", [ReflowbenchError("no clone"), OSError("no space")])
def test_what_cannot_be_started_has_failed_and_says_why(error):
    bench = Bench({"a": (), "b": ()}, retries=1)
    real = bench.schedule._start

    def start(run):
        if run.task.name == "a":
            raise error
        return real(run)

    bench.schedule._start = start
    bench.finish()
    assert bench.states() == {"a": "failed", "b": "done"}
    assert bench.schedule.runs["a"].tries == 2 and bench.schedule.runs["a"].reason == str(error)


def test_asked_to_stop_it_starts_no_more_and_waits_for_what_runs():
    bench = Bench({"a": (), "b": (), "c": ()}, looks={"a": 99, "b": 99}, retries=5)
    bench.schedule.step()
    bench.schedule.stop()
    assert bench.schedule.step(), "they are saving"
    bench.finish()
    assert bench.states() == {"a": "stopped", "b": "stopped", "c": "stopped"}
    assert sorted(bench.started) == ["a", "b"] and all(job.sent == ["stop"] for job in bench.jobs.values())


def test_one_that_ends_well_while_it_is_stopped_is_done():
    bench = Bench({"a": (), "b": ("a",)}, looks={"a": 1})
    bench.schedule.step()
    bench.jobs["a"].stop = lambda: None
    bench.schedule.stop()
    bench.finish()
    assert bench.states() == {"a": "done", "b": "stopped"}


def test_killed_all_have_ended():
    bench = Bench({"a": (), "b": ()}, looks={"a": 99, "b": 99})
    bench.schedule.step()
    bench.schedule.stop()
    bench.schedule.kill()
    bench.finish()
    assert all(job.sent == ["stop", "kill"] for job in bench.jobs.values())
    assert all(run.state in ENDED for run in bench.schedule.runs.values())


def test_tasks_take_what_runs_of_the_profile_took(tmp_path, monkeypatch):
    """Those of another profile count for nothing; where there is none, all stages are alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".scratch").mkdir()
    (tmp_path / "params.yaml").write_text("profile: digits\n")
    run = {"arguments": [], "exit": 0}
    lines = [
        run | {"script": "long", "seconds": 50, "profile": "digits"},
        run | {"script": "long", "seconds": 1, "profile": "tiny"},
    ]
    (tmp_path / ".scratch/durations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stages = [Stage("a", ("stages.long",), "missing", ()), Stage("b", ("stages.new",), "missing", ())]
    plan = Plan((Task("one", ("a",), ("a",), ()), Task("both", ("a", "b"), ("b",), ())), ())
    assert _expected(plan, stages) == {"one": 50, "both": 50 + _UNKNOWN}
