"""What stages leave beside their outputs: one line each of what they took."""

import argparse
import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.pairs.store import Manifest, write_pairs
from reflowbench.runtime import sidecar, stage
from reflowbench.runtime.artifacts import atomic, require_space, scratch_folder
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/evaluate.py"])
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
    assert (line["script"], line["arguments"], line["exit"]) == ("evaluate", ["--seed", "3"], 0)
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


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        (None, None),
        ("profile: tiny\n", "tiny"),
        ("# no\ngrid: {}\nprofile: celebahq-latent\n", "celebahq-latent"),
        ("x", None),
    ],
)
def test_a_run_is_recorded_with_its_profile(text, profile, tmp_path):
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    run(lambda args: None)
    assert [line["profile"] for line in lines()] == [profile]


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
        list(pool.map(lambda i: sidecar.record("evaluate", [str(i)] * 200, (), 0), range(200)))
    assert sorted(int(line["arguments"][0]) for line in lines()) == list(range(200))


def run_with_output(main, out="made/out"):
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    stage.run_stage(main, parser, ["--out", out])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("inside", [True, False])
def test_a_disk_that_takes_nothing_is_a_message(number, inside, tmp_path):
    """Whether a file of an output or something else meets it; and what was there stays."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made/out").write_text("before")

    def main(args):
        with atomic(args.out) if inside else contextlib.nullcontext(Path("x")) as draft:
            draft.write_text("half")
            raise OSError(number, os.strerror(number), None if inside else "some/file")

    with pytest.raises(SystemExit) as stop:
        run_with_output(main)
    said = str(stop.value.code)
    assert said.startswith("ERROR: made/out" if inside else "ERROR: some/file") and os.strerror(number) in said
    assert "then run `dvc repro` again" in said and (tmp_path / "made/out").read_text() == "before"
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out"]


def test_a_bug_that_is_an_os_error_keeps_its_traceback():
    def main(args):
        raise FileNotFoundError(errno.ENOENT, "x")

    with pytest.raises(FileNotFoundError):
        run_with_output(main)


def test_no_two_processes_make_one_output(tmp_path):
    """The second one does not begin, and leaves what the first one has half-written."""
    code = """
import argparse, sys
from pathlib import Path
from reflowbench.runtime.artifacts import atomic
from reflowbench.runtime.stage import run_stage
def main(args):
    with atomic(args.out) as draft:
        draft.write_text("half")
        print("at work", flush=True)
        sys.stdin.read()
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
run_stage(main, parser, ["--out", "made/out"])
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    first = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=env, cwd=tmp_path, text=True)
    assert first.stdout.readline() == "at work\n"
    with pytest.raises(SystemExit, match=f"ERROR: process {first.pid} on .* still works on made/out"):
        run_with_output(lambda args: pytest.fail("it began"))
    first.communicate("")
    assert first.returncode == 0 and (tmp_path / "made/out").read_text() == "half"
    run_with_output(lambda args: None)


def test_drafts_of_killed_stages_are_removed(tmp_path):
    """Those of this output alone, and those in it."""
    made = tmp_path / "made"
    for name in (".out.123.tmp", ".out.124.old.tmp", ".other.125.tmp", "out/.curves.csv.126.tmp", "out/x.tmp"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).mkdir()
        (made / name / "file").touch()
    run_with_output(lambda args: None)
    assert {p.relative_to(made).as_posix() for p in made.rglob("*.tmp")} == {".other.125.tmp", "out/x.tmp"}


def test_space_is_asked_for_before_much_is_written(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path / "not/there/yet", free // 2, "pairs")
    with pytest.raises(ReflowbenchError, match=r"not/there/yet: pairs take .* MB and only .* are free on this disk"):
        require_space(tmp_path / "not/there/yet", 2 * free, "pairs")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: argparse.Namespace(free=1000))
    rows = torch.zeros(256, 8)
    made = []
    with pytest.raises(ReflowbenchError, match="inverted pairs take"):
        write_pairs(tmp_path / "p", Manifest("inverted", 0, 1, 256, 8, 0), lambda start: made.append(1) or [rows])
    assert not made and not (tmp_path / "p").exists()


def test_scratch_of_killed_processes_is_removed(tmp_path):
    """And that of others is not: here that of a process which lives, this one."""
    with scratch_folder() as own:
        dead = own.with_name(own.name.replace(str(os.getpid()), "4194305"))  # beyond the largest number of Linux
        dead.mkdir()
        with scratch_folder() as second:
            assert own.is_dir() and second.is_dir() and not dead.exists()
    assert not list((tmp_path / ".scratch/temporary").iterdir())


def process(*command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


COUNTS = "import numpy, torch, threadpoolctl; print({p['num_threads'] for p in threadpoolctl.threadpool_info()})"


def test_a_stage_has_as_many_threads_in_all_libraries_as_it_is_told(tmp_path):
    """Also in NumPy's: its results differ in the last digit, and two stages side by side would wait for each other."""
    (tmp_path / "counts.py").write_text(COUNTS)
    start = "import sys; sys.argv[0] = '-m'; import runpy, stages; runpy.run_path(sys.argv[1])"
    environment = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "REFLOWBENCH_THREADS": "1"}
    told = process("-c", start, str(tmp_path / "counts.py"), **environment)
    assert told.stdout.strip() == "{1}", told.stderr
    other = process("-c", start.replace("'-m'", "'pytest'"), str(tmp_path / "counts.py"), **environment)
    assert other.stdout.strip() != "{1}", "only a stage's own process is changed"


def test_garbage_is_collected_again_when_a_stage_runs(tmp_path):
    script = (
        "import sys, gc; sys.argv[0] = '-m'; import stages, argparse; from reflowbench.runtime.stage import run_stage\n"
        "print(gc.isenabled())\n"
        "run_stage(lambda args: print(gc.isenabled(), gc.get_freeze_count() > 1000), argparse.ArgumentParser(), [])"
    )
    assert process("-c", script).stdout.split() == ["False", "True", "True"]
