"""GPUs are divided between tasks: nobody has another one's while there are enough."""

import pytest
import torch

from reflowbench.cluster.gpus import VISIBLE, Gpus, visible
from reflowbench.runtime import device


def test_each_task_has_its_own_while_there_are_any():
    gpus = Gpus(["0", "1", "2"], 1)
    assert [gpus.take(task)[VISIBLE] for task in "abc"] == ["0", "1", "2"]
    gpus.give_back("b")
    assert gpus.take("d") == {VISIBLE: "1"}
    assert gpus.take("e") == {VISIBLE: "0"} and gpus.take("f") == {VISIBLE: "1"}, "shared evenly"
    gpus.give_back("unknown")


@pytest.mark.parametrize(("count", "each", "groups"), [(8, 2, ["0,1", "2,3", "4,5", "6,7"]), (5, 2, ["0,1", "2,3"])])
def test_tasks_of_several_processes_get_as_many(count, each, groups):
    gpus = Gpus([str(n) for n in range(count)], each)
    assert [gpus.take(str(n))[VISIBLE] for n in range(gpus.groups)] == groups


@pytest.mark.parametrize("names", [[], ["0"]])
def test_where_there_is_nothing_to_divide_nothing_is_said(names):
    gpus = Gpus(names, 2)
    assert gpus.groups == 0 and gpus.take("a") == {}


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (None, None, ["0", "1"]),
        (None, "cuda:1", []),
        ("4,7", "cuda", ["4", "7"]),
        ("4, 7", "auto", ["4", "7"]),
        ("4, 7", "cpu", []),
    ],
)
def test_the_environment_says_which(monkeypatch, names, asked, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for variable, value in ((VISIBLE, names), (device.VARIABLE, asked)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert visible() == expected


def test_without_gpus_there_are_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert visible() == []
