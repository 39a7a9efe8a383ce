"""The journal of a training: every step is in it once, whatever ends the training, and writing it changes nothing."""

import contextlib
import json
import math

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import journal, sidecar
from reflowbench.runtime.journal import Journal
from reflowbench.training.guard import Step


class Run:
    """A training of so many steps, which may fail at one."""

    done = 0

    def __init__(self, steps, fails_at=None, error=None):
        self.steps, self.fails_at, self.error = steps, fails_at, error

    def __len__(self):
        return self.steps

    def __iter__(self):
        for i in range(self.steps):
            if i == self.fails_at:
                raise self.error
            yield Step(i, float(i), 2.0 * i, 1 / (1 + i))


@pytest.fixture(autouse=True)
def inside_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sidecar, "RUN", "1700000000000-1")
    monkeypatch.setenv("DVC_STAGE", "rounds/1/dvc.yaml:rca@rca-0-1")
    for name in ("DVC_ROOT", journal.VARIABLE, journal.SYSTEM_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(journal, "_HELD", [])  # a process writes one journal; here each run lets go of its own


def lines(folder="."):
    found = (sidecar.Path(folder) / ".scratch/live/1700000000000-1.jsonl").read_text().splitlines()
    return [json.loads(line) for line in found]


def losses():
    return [line for line in lines() if "loss" in line]


def test_every_step_of_a_short_run_is_a_row(tmp_path):
    steps = list(Journal(Run(5), tmp_path / "plots"))
    assert steps == list(Run(5))
    head, *_ = lines()
    assert head == {"run": sidecar.RUN, "stage": "rca@rca-0-1", "plots": (tmp_path / "plots").as_posix()}
    assert [(row["step"], row["loss"], row["gradient_norm"]) for row in losses()] == [
        (i + 1, float(i), 2.0 * i) for i in range(5)
    ]
    assert [row["learning_rate"] for row in losses()] == [1 / (1 + i) for i in range(5)]


@pytest.mark.parametrize("steps", [1, 499, 500, 501, 1234])
def test_a_long_run_has_few_rows_with_means(steps):
    assert len(Journal(Run(steps), None)) == steps
    list(Journal(Run(steps), None))
    found = losses()
    length = math.ceil(steps / journal.ROWS)
    assert len(found) == math.ceil(steps / length) <= journal.ROWS and found[-1]["step"] == steps
    begin = 0
    for row in found:
        assert row["loss"] == (begin + row["step"] - 1) / 2  # mean of begin .. step - 1
        begin = row["step"]


@pytest.mark.parametrize("error", [ReflowbenchError("diverged"), KeyboardInterrupt(), SystemExit(143)])
def test_what_ends_a_run_costs_no_row(error):
    """1234 steps are rows of three: the last has what there was."""
    with contextlib.suppress(type(error)):
        list(Journal(Run(1234, fails_at=7, error=error), None))
    assert [(row["step"], row["loss"]) for row in losses()] == [(3, 1.0), (6, 4.0), (7, 6.0)]


def test_outside_dvc_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    assert len(list(Journal(Run(5), None))) == 5
    assert not (tmp_path / ".scratch").exists()


def test_an_experiment_of_dvc_writes_to_the_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    list(Journal(Run(2), None))
    assert len(lines(tmp_path / "repository")) == 3


def test_a_journal_that_cannot_be_written_ends_no_run(tmp_path, capsys):
    (tmp_path / ".scratch").write_text("a file where the folder should be")
    assert list(Journal(Run(5), None)) == list(Run(5))
    assert capsys.readouterr().err.startswith("WARNING: .scratch/live/1700000000000-1.jsonl cannot be written")


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("2.5", 2.5), ("off", math.inf), (None, 30)])
def test_when_the_live_view_begins(monkeypatch, value, seconds):
    if value is not None:
        monkeypatch.setenv(journal.VARIABLE, value)
    assert journal.live_after() == seconds


@pytest.mark.parametrize("value", ["soon", "-1", "nan", ""])
def test_a_wrong_time_is_named(monkeypatch, value):
    monkeypatch.setenv(journal.VARIABLE, value)
    with pytest.raises(ReflowbenchError, match="REFLOWBENCH_LIVE"):
        Journal(Run(1), None)


def test_the_live_view_begins_once_and_only_after_its_time(monkeypatch):
    started = []
    monkeypatch.setattr(journal, "_show", started.append)
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr(journal.time, "monotonic", lambda: float(next(clock)))
    list(Journal(Run(5), None))
    assert started == [], "ten seconds"
    journal._HELD.clear()
    list(Journal(Run(40), None))
    assert len(started) == 1
    assert all(row["steps_per_second"] == 0.5 for row in lines() if "steps_per_second" in row)


def test_load_of_the_machine_is_written_if_it_is_asked_for(monkeypatch):
    clock = iter(range(0, 10**6, 3))
    monkeypatch.setattr(journal.time, "monotonic", lambda: float(next(clock)))
    list(Journal(Run(4), None))
    assert not any(key.startswith("system/") for line in lines() for key in line)
    journal._HELD.clear()
    monkeypatch.setenv(journal.SYSTEM_VARIABLE, "1")
    list(Journal(Run(4), None))
    found = [line for line in lines() if "system/cpu_utilization_percentage" in line]
    assert [line["step"] for line in found] == [2, 4], "every five seconds at most"
    assert all(0 <= line["system/system_memory_usage_percentage"] <= 100 for line in found)
    assert all(1 < line["system/process_memory_usage_megabytes"] < 1e6 for line in found)
