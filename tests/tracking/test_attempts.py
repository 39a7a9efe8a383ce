"""What the sidecar and the journals tell of runs on this machine."""

import fcntl
import json

from reflowbench.tracking.attempts import attempt_at, is_alive, plots_of, read_attempts, read_points

OUTS = {"runs/model": "a" * 32, "runs/plots": "b" * 32}
ENTRY = {"cmd": "x", "outs": [{"path": path, "md5": md5} for path, md5 in (OUTS | {"runs/more": "c" * 32}).items()]}


def sidecar_line(run, stage="s", status=0, outs=OUTS, **more):
    return {"run": run, "stage": stage, "exit": status, "outs": outs, "started": 5.0, "seconds": 2.0} | more


def write(folder, lines, journals=()):
    (folder / "live").mkdir(exist_ok=True)
    (folder / "durations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for run, stage in journals:
        head = {"run": run, "stage": stage, "plots": "runs/plots"}
        (folder / f"live/{run}.jsonl").write_text(json.dumps(head) + "\n")


def test_an_attempt_is_known_by_what_it_made(tmp_path):
    """By the bytes of its outputs: the same command may have run on other parameters."""
    other = {**OUTS, "runs/model": "f" * 32}
    lines = [sidecar_line("1-1", outs=other), sidecar_line("1-2", status=1), sidecar_line("1-3", stage="t")]
    lines += [sidecar_line("1-4", outs={}), sidecar_line("1-5"), sidecar_line("1-6")]
    write(tmp_path, lines)
    attempts = read_attempts(tmp_path)
    assert [attempt.run for attempt in attempts] == [f"1-{i}" for i in range(1, 7)]
    found = attempt_at("s", ENTRY, attempts)
    assert found.run == "1-5" and found.facts["seconds"] == 2.0
    assert attempt_at("s", {"cmd": "x"}, attempts) is None


def test_journals_belong_to_their_attempts(tmp_path):
    write(tmp_path, [sidecar_line("1-1"), sidecar_line("1-3")], [("1-1", "s"), ("1-2", "t")])
    done, killed, plain = read_attempts(tmp_path)
    assert done.journal and done.exit == 0 and done.made("s", ENTRY)
    assert (killed.run, killed.stage, killed.exit, killed.alive) == ("1-2", "t", None, False)
    assert plain.journal is None
    assert plots_of(done.journal).as_posix() == "runs/plots"


def test_a_training_is_alive_as_long_as_it_holds_its_journal(tmp_path):
    write(tmp_path, [], [("1-1", "s")])
    path = tmp_path / "live/1-1.jsonl"
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_alive(path) and read_attempts(tmp_path)[0].alive
    assert not is_alive(path) and not read_attempts(tmp_path)[0].alive


def test_superseded_is_what_a_later_attempt_brought_to_an_end(tmp_path):
    lines = [sidecar_line("1-1", status=1), sidecar_line("1-2"), sidecar_line("1-3", status=1)]
    write(tmp_path, [*lines, sidecar_line("1-4", stage="t")])
    attempts = read_attempts(tmp_path)
    assert [attempt.superseded(attempts) for attempt in attempts] == [True, False, False, False]


def test_damaged_lines_cost_no_others(tmp_path):
    write(tmp_path, [sidecar_line("1-1")], [("1-2", "s")])
    for path in (tmp_path / "durations.jsonl", tmp_path / "live/1-2.jsonl"):
        with path.open("ab") as file:
            file.write(b'{"run": 3}\n[]\n\xff\x00\n{"step": "x", "time": 1, "loss": 2}\n')
            file.write(b'{"step": 3, "time": 7, "loss": 2.5, "note": "text", "system/cpu": 9}\n{"step": 4, "ti')
    (tmp_path / "live/strange.jsonl").write_bytes(b"\x00")
    assert [attempt.run for attempt in read_attempts(tmp_path)] == ["1-1", "1-2"]
    points, end = read_points(tmp_path / "live/1-2.jsonl")
    assert [(p.key, p.value, p.step, p.time) for p in points] == [("live/loss", 2.5, 3, 7), ("system/cpu", 9.0, 3, 7)]
    with (tmp_path / "live/1-2.jsonl").open("ab") as file:
        file.write(b'me": 8, "loss": 1}\n')
    points, last = read_points(tmp_path / "live/1-2.jsonl", end)
    assert [(p.value, p.step) for p in points] == [(1.0, 4)] and last == (tmp_path / "live/1-2.jsonl").stat().st_size
    assert read_points(tmp_path / "live/1-2.jsonl", last) == ([], last)


def test_no_sidecar_is_no_attempts(tmp_path):
    assert read_attempts(tmp_path) == []
