"""Resume: a run that is stopped anywhere and started again gives what one gives that was never stopped."""

import argparse
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import resume, sidecar
from reflowbench.runtime import workspace as scratch
from reflowbench.runtime.distributed import World
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.workspace import STATE, fingerprint, open_workspace, publish
from tests.conftest import PAIRS, round_params


class Sum:
    """Adds 0, 1, 2, ...; some parts send this process a signal."""

    def __init__(self, parts, signals=()):
        self.parts, self.signals, self.done, self.total = parts, dict(signals), 0, torch.zeros(())

    def __len__(self):
        return self.parts

    def __iter__(self):
        while self.done < self.parts:
            if number := self.signals.get(self.done):
                os.kill(os.getpid(), number)
            self.total = self.total + self.done
            self.done += 1
            yield self.done

    def state(self):
        return {"total": self.total}, {"done": self.done}

    def restore(self, tensors, facts):
        self.total, self.done = tensors["total"], facts["done"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(scratch.VARIABLE, "0")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    yield
    signal.signal(signal.SIGINT, before)


def left():
    return [path.name for path in (sidecar.folder() / scratch.FOLDER).glob("*/*")]


ARGS = argparse.Namespace(seed=3, out="x")


def test_what_a_failed_run_saved_is_taken_up_and_what_succeeds_leaves_nothing():
    with pytest.raises(ZeroDivisionError), open_workspace(ARGS) as workspace:
        for part in Resumable(Sum(10), workspace):
            if part == 6:
                raise ZeroDivisionError
    assert STATE in left()
    with open_workspace(ARGS) as workspace:
        work = Resumable(second := Sum(10), workspace)
        assert work.done == 6
        assert list(work) == [7, 8, 9, 10] and second.total == 45
    assert left() == []
    with open_workspace(ARGS) as workspace:
        assert Resumable(Sum(10), workspace).done == 0


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_saves_after_the_part_that_is_being_done(number, raised, monkeypatch, capsys):
    monkeypatch.setenv(scratch.VARIABLE, "1000")
    before = signal.getsignal(number)
    with pytest.raises(raised) as stop, open_workspace(ARGS) as workspace:
        list(Resumable(Sum(10, {4: number}), workspace))
    assert raised is KeyboardInterrupt or stop.value.code == 143
    assert signal.getsignal(number) == before and "the next run goes on from here" in capsys.readouterr().err
    with open_workspace(ARGS) as workspace:
        assert Resumable(work := Sum(10), workspace).done == 5 and work.total == 10


def test_a_signal_after_the_last_part_still_stops_what_would_come():
    class Late(Sum):
        def __iter__(self):
            yield from super().__iter__()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), open_workspace(ARGS) as workspace:
        for _ in Resumable(Late(3), workspace):
            pass
        pytest.fail("the stage goes on")


def test_a_second_signal_stops_at_once():
    """Here within the part that the first one came in, which never ends."""

    class Endless(Sum):
        def __iter__(self):
            yield 0
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), open_workspace(ARGS) as workspace:
        list(Resumable(Endless(3), workspace))


def test_saves_take_a_fiftieth_of_the_time_however_long_one_takes(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(scratch.time, "monotonic", lambda: clock[0])
    monkeypatch.setenv(scratch.VARIABLE, "60")

    def slow(*args):
        clock[0] += 10

    with open_workspace(ARGS) as workspace:
        monkeypatch.setattr(scratch, "write_tensors", lambda path, *state: (slow(), path.touch()))
        saving = 0
        for _ in range(20_000):
            clock[0] += 1
            if workspace.due():
                workspace.save(lambda: ({}, {}))
                saving += 10
        assert 0.01 < saving / clock[0] <= 0.02
        monkeypatch.setattr(scratch, "write_tensors", lambda path, *state: path.touch())
        workspace.save(lambda: ({}, {}))
        clock[0] += 59
        assert not workspace.due()
        clock[0] += 1
        assert workspace.due()


def test_a_clock_that_is_set_changes_nothing(monkeypatch):
    monkeypatch.setattr(scratch.time, "time", lambda: pytest.fail("the date was asked for"))
    with open_workspace(ARGS) as workspace:
        assert len(list(Resumable(Sum(10), workspace))) == 10


def test_a_damaged_state_costs_the_work_and_nothing_else(capsys):
    with pytest.raises(ZeroDivisionError), open_workspace(ARGS) as workspace:
        for _ in Resumable(Sum(4), workspace):
            raise ZeroDivisionError
    [path] = (sidecar.folder() / scratch.FOLDER).glob(f"*/{STATE}")
    path.write_bytes(path.read_bytes()[:-1])
    with open_workspace(ARGS) as workspace:
        assert list(Resumable(Sum(4), workspace)) == [1, 2, 3, 4]
    assert "the stage starts from its beginning" in capsys.readouterr().err


def test_a_disk_that_is_full_ends_no_run(monkeypatch, capsys):
    def full(*args):
        raise ReflowbenchError("x: cannot be written (No space left on device); nothing is left: free some")

    monkeypatch.setattr(scratch, "write_tensors", full)
    with open_workspace(ARGS) as workspace:
        assert len(list(Resumable(Sum(3), workspace))) == 3
    assert "No space left on device): not saved" in capsys.readouterr().err


def test_other_threads_are_warned_of(capsys):
    with pytest.raises(ZeroDivisionError), open_workspace(ARGS) as workspace:
        for _ in Resumable(Sum(4), workspace):
            raise ZeroDivisionError
    count = torch.get_num_threads()
    torch.set_num_threads(count + 1)
    try:
        with open_workspace(ARGS) as workspace:
            list(Resumable(Sum(4), workspace))
    finally:
        torch.set_num_threads(count)
    assert f"saved by a run with {count} threads, resumed with {count + 1}" in capsys.readouterr().err


def test_the_fingerprint_is_of_arguments_inputs_parameters_and_code(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.write_text("1")
    groups = (round_params(), PAIRS)

    def key(script="a", groups=groups, **inputs):
        return fingerprint(script, {"seed": 0, "data": data} | inputs, groups)

    same = key()
    others = [key("b"), key(seed=1), key(groups=(round_params(lr=0.5), PAIRS)), key(groups=groups[:1])]
    copy = tmp_path / "elsewhere"
    copy.write_text("1")
    assert key(data=copy) == same, "where an input lies is no part of it"
    copy.write_text("2")
    others.append(key(data=copy))
    code = tmp_path / "networks/code.py"
    code.parent.mkdir()
    code.write_text("")
    monkeypatch.setattr(sys.modules["reflowbench.networks.registry"], "__file__", str(code))
    others.append(key())
    code.write_text("#")
    others.append(key())
    (code.parent / "imported_later.py").write_text("")
    others.append(key())
    script = tmp_path / "script/train.py"
    script.parent.mkdir()
    for text in ("", "#"):
        script.write_text(text)
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
        others.append(key())
    monkeypatch.setattr(scratch, "version", lambda name: "0")
    others.append(key())
    assert len({same, *others}) == 1 + len(others)


def test_outputs_and_the_name_of_the_parameter_file_are_no_part_of_it():
    with open_workspace(ARGS) as one:
        pass
    with open_workspace(argparse.Namespace(seed=3, out="y", plots="z", params="w")) as two:
        assert one.folder == two.folder
    with open_workspace(argparse.Namespace(seed=4, out="x")) as three:
        assert three.folder != one.folder


def test_scratch_of_an_experiment_is_in_the_repository(tmp_path, monkeypatch):
    """DVC runs it in a folder that is removed afterwards."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    (tmp_path / "repository").mkdir()
    with open_workspace(ARGS) as workspace:
        assert workspace.part("x").parent.parent == tmp_path / "repository/.scratch/resume"


HOLDER = """
import argparse, sys
from reflowbench.runtime.workspace import open_workspace
with open_workspace(argparse.Namespace(seed=3)) as workspace:
    workspace.part("mine").touch()
    print(workspace.folder.name, flush=True)
    sys.stdin.read()
"""


def test_what_another_checkout_works_on_is_left_to_it(tmp_path, monkeypatch):
    """Two experiments at once: the same work, and scratch space in one repository."""
    (tmp_path / "stage.py").write_text(HOLDER)
    pipe, env = subprocess.PIPE, os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "stage.py"]
    processes = []
    for _ in range(2):
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env, cwd=tmp_path, text=True)
        processes.append((process, process.stdout.readline().strip()))
    (first, key), (second, other) = processes
    assert other == f"{key}-{second.pid}"
    second.communicate("")
    assert left() == ["about.json", "mine"] or left() == ["mine", "about.json"]
    assert first.communicate("") and not left() and (first.returncode, second.returncode) == (0, 0)


ORPHAN = """
import argparse, time, sys
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.workspace import open_workspace
from tests.test_resume import Sum
with open_workspace(argparse.Namespace(seed=3)) as workspace:
    work = Sum(3)
    for part in Resumable(work, workspace):
        if part == 2:
            print("half", flush=True)
            time.sleep(1)
"""


@pytest.mark.parametrize("killed", [True, False])
def test_work_whose_dvc_was_killed_is_kept_for_the_next(killed, monkeypatch, tmp_path):
    """It goes on to its end, but nobody records its outputs: the stage will have to run again."""
    (tmp_path / "stage.py").write_text(ORPHAN)
    starter = "import subprocess, sys; subprocess.run(['sh', '-c', sys.executable + ' stage.py; true'])"
    env = os.environ | {
        "DVC_STAGE": "train_base@0",
        "PYTHONPATH": os.pathsep.join([*sys.path]),
        scratch.VARIABLE: "99",
    }
    dvc = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, env=env, cwd=tmp_path, text=True)
    assert dvc.stdout.readline() == "half\n"
    if killed:
        dvc.kill()
    dvc.wait()
    deadline = time.monotonic() + 30
    while list((tmp_path / ".scratch/locks").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (STATE in left()) == killed
    if killed:
        [folder] = (tmp_path / ".scratch/resume").iterdir()
        tensors, facts = scratch.read_tensors(folder / STATE)
        assert tensors["total"] == 3 and facts["done"] == 3


@pytest.mark.parametrize("value", ["-1", "soon", "nan", "inf", ""])
def test_a_bad_interval_is_refused(value, monkeypatch):
    monkeypatch.setenv(scratch.VARIABLE, value)
    with pytest.raises(ReflowbenchError, match="REFLOWBENCH_SAVE_SECONDS = .*: want seconds"), open_workspace(ARGS):
        pass


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_becomes_an_output_whole(tmp_path, links, monkeypatch):
    if not links:
        monkeypatch.setattr(scratch.os, "link", lambda *_: (_ for _ in ()).throw(OSError()))
    (tmp_path / "made/below").mkdir(parents=True)
    (tmp_path / "made/below/a").write_text("1")
    for _ in range(2):
        publish(tmp_path / "made", tmp_path / "out")
    (tmp_path / "made/below/.b.123.tmp").write_text("half")
    publish(tmp_path / "made", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/below").iterdir()] == ["a"], "no draft of a killed process"
    assert (tmp_path / "out/below/a").read_text() == "1" and (tmp_path / "made/below/a").exists()
    assert (tmp_path / "out/below/a").samefile(tmp_path / "made/below/a") == links


class Second(World):
    """The second of two processes; the other one has done as much, unless the test says what."""

    def __init__(self, done=None):
        super().__init__(1, 2)
        self.other = done

    def gathered(self, values):
        return [values if self.other is None else torch.tensor(self.other), values]

    def said(self, text):
        return [text, text]

    def agreed(self, number):
        return number


def test_of_several_processes_the_first_alone_saves(monkeypatch):
    """When nobody is left to record the outputs too: two would write one file."""
    for module in (resume, scratch):
        monkeypatch.setattr(module, "world", Second)
    with open_workspace(ARGS) as workspace:
        monkeypatch.setattr(workspace, "is_abandoned", lambda: True)
        assert len(list(Resumable(Sum(4), workspace))) == 4
    assert left() == []


def test_processes_that_see_different_disks_are_told(monkeypatch):
    for module in (resume, scratch):
        monkeypatch.setattr(module, "world", lambda: Second(done=3))
    saw = pytest.raises(ReflowbenchError, match=r"do not see the same saved work \(\[0, 3\] parts are done\)")
    with open_workspace(ARGS) as workspace, saw:
        Resumable(Sum(4), workspace)
    monkeypatch.setattr(Second, "said", lambda _, text: ["0" * 24, text])
    saw = pytest.raises(ReflowbenchError, match="do not see the same code, parameters or inputs")
    with saw, open_workspace(ARGS):
        pass
