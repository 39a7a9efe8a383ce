"""A launch on a terminal: a line for each task that follows what DVC says."""

import io
import time

import pytest

from reflowbench.cluster.plan import Task
from reflowbench.cluster.schedule import Run
from reflowbench.cluster.view import Log, View

CHAIN = Task("rca-0", ("sources", "pairs", "train", "evaluate"), ("evaluate",), ())
AFTER = Task("rca-1", ("other",), ("other",), ("rca-0",))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "rca-0.log")


def say(tmp_path, text):
    with (tmp_path / "rca-0.log").open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_log_is_read_as_it_grows(tmp_path, log):
    """A stage is through when the next one begins, or by itself if it is of another task; half a line is no line."""
    assert (log.update(CHAIN.stages), log.stage) == (0, "")
    say(tmp_path, "Stage 'data' didn't change, skipping\nRunning stage 'sources':\n> python\nRunning sta")
    assert (log.update(CHAIN.stages), log.stage) == (0, "sources")
    say(tmp_path, "ge 'pairs':\n")
    assert (log.update(CHAIN.stages), log.stage) == (1, "pairs")
    say(tmp_path, "Stage 'train' is cached - skipping run, checking out outputs\nRunning stage 'evaluate':\n")
    assert (log.update(CHAIN.stages), log.stage) == (3, "evaluate")
    say(tmp_path, "Running stage 'report':\n")
    assert log.update(CHAIN.stages) == 4


def test_stages_of_rounds_are_named_without_their_address(tmp_path):
    task = Task("rca-0", ("rca@rca-0-1", "rca@rca-0-2", "evaluate@rca-0-2"), ("evaluate@rca-0-2",), ())
    log = Log(tmp_path / "rca-0.log")
    say(tmp_path, "Stage 'rounds/1/dvc.yaml:rca@rca-0-1' is cached - skipping run, checking out outputs\n")
    say(tmp_path, "Running stage 'rounds/2/dvc.yaml:rca@rca-0-2':\n")
    assert (log.update(task.stages), log.stage) == (1, "rca@rca-0-2")


def test_what_an_earlier_launch_said_does_not_count(tmp_path):
    say(tmp_path, "Running stage 'evaluate':\n")
    log = Log(tmp_path / "rca-0.log")
    assert log.update(CHAIN.stages) == 0
    say(tmp_path, "Running stage 'pairs':\n")
    assert (log.update(CHAIN.stages), log.stage) == (0, "pairs")


def test_the_table_of_a_terminal(tmp_path, log, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    runs = {task.name: Run(task) for task in (CHAIN, AFTER)}
    terminal = Terminal()
    with View(runs, terminal) as view:
        view.logs["rca-0"] = log
        say(tmp_path, "Running stage 'pairs':\n")
        runs["rca-0"].state, runs["rca-0"].tries, runs["rca-0"]._started = "running", 2, time.monotonic() - 65
        runs["rca-1"].state, runs["rca-1"].reason = "skipped", "needs rca-0"
        view.update()
    drawn = [line.split() for line in terminal.getvalue().splitlines()]
    first, second = [words for words in drawn if words[:1] in (["rca-0"], ["rca-1"])][-2:]
    assert first[:7] == ["rca-0", "running", "(try", "2)", "0/4", "pairs", "65"]
    assert second == ["rca-1", "skipped", "0/1", "needs", "rca-0"]


def test_lines_of_what_is_no_terminal():
    """One for each change but the first start, and none for what stays as it is."""
    runs, file = {CHAIN.name: Run(CHAIN)}, io.StringIO()
    with View(runs, file) as view:
        view.update()
        runs["rca-0"].state, runs["rca-0"].tries = "running", 1
        view.update()
        view.update()
        runs["rca-0"].state, runs["rca-0"].reason = "waiting", "killed"
        view.update()
        runs["rca-0"].state, runs["rca-0"].tries = "running", 2
        view.update()
        runs["rca-0"].state, runs["rca-0"].reason, runs["rca-0"].seconds = "done", "", 7.0
    said = [line.partition(" ")[2] for line in file.getvalue().splitlines()]
    assert said == [
        "rca-0: failed, is tried again: killed",
        "rca-0: started again (try 2)",
        "rca-0: done after 7 s",
    ]
