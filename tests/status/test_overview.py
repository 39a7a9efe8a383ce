"""What is made of the states: the grid, the groups, times, and what a terminal shows."""

import io
import json

import pytest

from reflowbench.status.durations import Durations, read_durations
from reflowbench.status.overview import as_json, cells, groups
from reflowbench.status.stages import Stage
from reflowbench.status.view import duration, show

STAGES = [
    Stage("prepare_data", ("stages.prepare_data",), "done", ()),
    Stage("train_base@0", ("stages.train_base", "--seed", "0"), "done", ()),
    Stage("train_base@1", ("stages.train_base", "--seed", "1"), "missing", ("never ran",)),
    Stage("generate_pairs@rca_ot-0-1", ("stages.generate_pairs",), "stale", ("pairs.n 1 → 2",)),
    Stage("rca@rca_ot-0-1", ("stages.train_round", "--seed", "0"), "running", ("dvc repro (process 1)",)),
    Stage("rca@rca_ot-0-2", ("stages.train_round", "--seed", "1"), "stale", ("after rca@rca_ot-0-1",)),
    Stage("evaluate@rca_ot-0-1", ("stages.evaluate", "--seed", "0"), "missing", ("never ran",)),
    Stage("evaluate@rca_ot-0-2", ("stages.evaluate", "--seed", "0", "--k", "2"), "done", ()),
]
DURATIONS = Durations(
    {("train_base", "--seed", "0"): 40.0, ("prepare_data",): 2.5}, {"train_base": 40.0, "evaluate": 3.0}
)


def test_a_cell_is_as_far_as_the_stages_that_make_it():
    found = {(cell.method, cell.seed, cell.round): cell.state for cell in cells(STAGES)}
    assert found == {
        ("base", 0, 0): "done",
        ("base", 1, 0): "missing",
        ("rca_ot", 0, 1): "running",
        ("rca_ot", 0, 2): "stale",
    }


def test_groups_count_their_stages_and_sum_their_times():
    found = {group.name: group for group in groups(STAGES, DURATIONS)}
    assert list(found)[:3] == ["prepare_data", "train_base", "generate_pairs"]
    base = found["train_base"]
    assert base.counts == {"done": 1, "running": 0, "stale": 0, "missing": 1}
    assert (base.spent, base.expected, base.untimed) == (40.0, 40.0, 0)
    assert (found["rca"].expected, found["rca"].untimed) == (0, 2)
    assert (found["evaluate"].spent, found["evaluate"].expected) == (0, 3.0)


def test_json_holds_all_of_it():
    whole = json.loads(json.dumps(as_json(STAGES, DURATIONS)))
    assert whole["stages"]["train_base@1"] == {"state": "missing", "reasons": ["never ran"]}
    assert {"method": "rca_ot", "seed": 0, "round": 2, "state": "stale"} in whole["cells"]
    assert whole["groups"]["train_base"]["missing"] == 1
    assert (whole["spent"], whole["expected"], whole["untimed"]) == (42.5, 43.0, 3)


def test_durations_are_medians_of_the_profiles_runs_that_ended_well(tmp_path):
    path = tmp_path / "durations.jsonl"
    run = {"script": "train", "arguments": ["--out", "a"], "peak_bytes": 1, "exit": 0, "profile": "digits"}
    lines = [json.dumps(run | {"seconds": s}) for s in (1, 2, 9)] + [json.dumps(run | {"seconds": 99, "exit": 1})]
    lines += ["", "{", "[]", "null", '{"exit": 0}', json.dumps(run | {"seconds": "x"}), lines[0][:20]]
    others = [json.dumps(run | {"arguments": ["--out", "c"], "seconds": 70, "profile": p}) for p in ("tiny", None)]
    path.write_text("\n".join(lines + others))
    found = read_durations("digits", path)
    assert found.spent(("stages.train", "--out", "a")) == 9 and found.spent(("stages.train", "--out", "b")) is None
    assert found.expected(("stages.train", "--out", "b")) == 2 and found.expected(("stages.other",)) is None
    assert read_durations("digits", tmp_path / "none").typical == {}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(file, stages=STAGES, durations=DURATIONS):
    show(stages, durations, file)
    return file.getvalue()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "150")


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    assert "\x1b[" not in shown(io.StringIO())
    assert "\x1b[32m" in shown(Terminal()), "done is green"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(Terminal())


def test_what_is_shown():
    lines = [line.split() for line in shown(io.StringIO()).splitlines() if line.strip()]
    assert lines[0] == ["method", "seed", "k", "=", "0", "k", "=", "1", "k", "=", "2"]
    assert ["rca_ot", "0", "running", "stale"] in lines and ["base", "1", "missing"] in lines
    assert ["train_base", "1", "1", "40", "s", "40", "s"] in lines
    assert ["rca", "1", "1", "2", "never", "timed"] in lines
    text = " ".join(shown(io.StringIO()).split())
    assert "stale pairs.n 1 → 2 generate_pairs@rca_ot-0-1" in text
    assert "running dvc repro (process 1) rca@rca_ot-0-1" in text
    assert "missing never ran train_base@1, evaluate@rca_ot-0-1" in text
    assert "3 of 8 stages are done; their last runs took 42 s. 2 to run in about 43 s, and 3 that were" in text


def test_what_is_shown_when_all_is_done_or_nothing_is_known():
    done = [stage for stage in STAGES if stage.state == "done"]
    assert "because" not in shown(io.StringIO(), done) and "3 of 3 stages are done" in shown(io.StringIO(), done)
    assert "none of this profile has run here yet" in shown(io.StringIO(), durations=Durations({}, {}))


def test_square_brackets_are_text(monkeypatch):
    stage = Stage("report", ("stages.report",), "stale", ("evaluate.nfe [1, 2] → [bold]x[/bold]",))
    assert "evaluate.nfe [1, 2] → [bold]x[/bold]" in shown(Terminal(), [stage])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_as_text(seconds, text):
    assert duration(seconds) == text
