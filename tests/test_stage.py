"""What stages leave beside their outputs: one line each of what they took."""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from reflowbench.core import sidecar, stage
from reflowbench.core.errors import ReflowbenchError


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/k0.py"])
    monkeypatch.setattr(stage.signal, "signal", lambda *_: None)


def run(main, *arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    stage.run_stage(main, parser, arguments)


def lines():
    return [json.loads(line) for line in (sidecar.folder() / sidecar.RUNS).read_text().splitlines()]


def test_a_stage_leaves_a_line_of_what_it_took():
    run(lambda args: None, "--seed", "3")
    [line] = lines()
    assert (line["script"], line["arguments"], line["exit"]) == ("k0", ["--seed", "3"], 0)
    assert 0 < line["seconds"] < 1e5 and 2**20 < line["peak_bytes"] < 2**40


@pytest.mark.parametrize(
    ("raised", "left", "recorded"),
    [
        (ReflowbenchError("no such file"), "ERROR: no such file", 1),
        (KeyboardInterrupt(), 130, 130),
        (SystemExit(143), 143, 143),
        (SystemExit("a message"), "a message", 1),
    ],
)
def test_a_stage_that_fails_leaves_its_status(raised, left, recorded):
    def main(args):
        raise raised

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == left and [line["exit"] for line in lines()] == [recorded]


def test_a_bug_in_a_stage_keeps_its_traceback():
    def main(args):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)
    assert [line["exit"] for line in lines()] == [1]


def test_a_line_that_cannot_be_written_fails_no_stage(tmp_path):
    (tmp_path / ".scratch").write_text("a file where the folder should be")
    run(lambda args: None)


def test_stages_that_end_together_do_not_mix():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: sidecar.record("k0", [str(i)] * 200, (), 0), range(200)))
    assert sorted(int(line["arguments"][0]) for line in lines()) == list(range(200))
