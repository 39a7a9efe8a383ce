"""What a stage compares before it publishes: in a made-up package, whose modules count as imported."""

from types import SimpleNamespace

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import unchanged
from reflowbench.runtime.config import load_group, load_part, read_yaml
from reflowbench.runtime.params import MonitorParams

FILES = (
    "reflowbench/errors.py",
    "reflowbench/git.py",
    "reflowbench/cli.py",
    "reflowbench/core/__init__.py",
    "reflowbench/core/randomness.py",
    "reflowbench/core/schemes.py",
    "reflowbench/couplings/__init__.py",
    "reflowbench/couplings/ot.py",
    "reflowbench/couplings/rca.py",
    "reflowbench/couplings/shared/base.py",
    "reflowbench/couplings/shared/mixed.py",
    "reflowbench/methods/registry.py",
    "reflowbench/runtime/locks.py",
    "reflowbench/runtime/unchanged.py",
    "stages/evaluate.py",
    "stages/train_round.py",
    "torch/nn.py",
)
IMPORTED = (
    "reflowbench.errors",
    "reflowbench.git",
    "reflowbench.core.randomness",
    "reflowbench.couplings.shared.base",
    "reflowbench.methods.registry",
    "reflowbench.runtime.locks",
    "stages.train_round",
    "torch.nn",
)
WATCHED = {
    "reflowbench/git.py",
    "reflowbench/core/__init__.py",
    "reflowbench/core/randomness.py",
    "reflowbench/core/schemes.py",
    "reflowbench/couplings/shared/base.py",
    "reflowbench/couplings/shared/mixed.py",
    "stages/train_round.py",
}
"""Couplings and scripts count one by one; other folders as a whole, since some files are imported only when needed."""
PARAMS = """\
profile: tiny
monitor:
  every: 6
  n_samples: 64
  nfe: 2
  grid_images: 16
round:
  steps: 12
"""


class House:
    """The package, in the working folder."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = {"__main__": self.module("stages.train_round"), "sys": SimpleNamespace()}
        for name in FILES:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {name}\n")
        (folder / "params.yaml").write_text(PARAMS)
        for name in IMPORTED:
            self.load(name)

    def module(self, name):
        return SimpleNamespace(__file__=f"{self.folder}/{name.replace('.', '/')}.py")

    def load(self, name):
        self.modules[name] = self.module(name)

    def edit(self, name, text="# another\n"):
        (self.folder / name).write_text(text)

    def snapshot(self, *inputs):
        return unchanged.Snapshot([self.folder / name for name in inputs], self.folder / "params.yaml", read_yaml)


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    house = House(tmp_path)
    monkeypatch.setattr(unchanged, "sys", SimpleNamespace(modules=house.modules))
    monkeypatch.setattr(unchanged, "__file__", f"{tmp_path}/reflowbench/runtime/unchanged.py")
    monkeypatch.setattr(unchanged, "_parameters", {})
    return house


def named(snapshot):
    """What the message names."""
    with pytest.raises(ReflowbenchError) as caught:
        snapshot.check()
    names, rest = str(caught.value).split(" changed while this stage ran, so nothing is recorded; run `dvc repro`", 1)
    assert "If you undo the change first, it resumes from its last checkpoint" in rest
    return names


def test_code_is_what_numbers_may_depend_on(house):
    found = {path.relative_to(house.folder).as_posix() for path in unchanged.code().values()}
    assert found == WATCHED


def test_a_process_without_a_script_has_code_too(house):
    """Such as `python -c`, whose __main__ has no file."""
    house.modules["__main__"] = SimpleNamespace()
    assert {path.relative_to(house.folder).as_posix() for path in unchanged.code().values()} == WATCHED


@pytest.mark.parametrize("name", sorted(WATCHED))
def test_an_edit_of_the_code_is_named(house, name):
    snapshot = house.snapshot()
    house.edit(name)
    assert named(snapshot) == name
    house.edit(name, f"# {name}\n")
    snapshot.check()


def test_a_file_that_is_gone_is_named(house):
    snapshot = house.snapshot()
    (house.folder / "stages/train_round.py").unlink()
    assert named(snapshot) == "stages/train_round.py"


@pytest.mark.parametrize("name", sorted(set(FILES) - WATCHED))
def test_an_edit_of_other_files_is_not_seen(house, name):
    snapshot = house.snapshot()
    house.edit(name)
    snapshot.check()


def test_a_coupling_that_is_imported_later_is_compared_with_the_start(house):
    snapshot = house.snapshot()
    house.edit("reflowbench/couplings/rca.py")
    house.load("reflowbench.couplings.rca")
    assert named(snapshot) == "reflowbench/couplings/rca.py"


def test_noted_parameters_alone_are_compared(house):
    path = house.folder / "params.yaml"
    unchanged.note(path, ("monitor", "every"), ("round",))
    snapshot = house.snapshot()
    house.edit("params.yaml", PARAMS.replace("nfe: 2", "nfe: 3").replace("tiny", "other") + "more: 1\n")
    snapshot.check()
    house.edit("params.yaml", PARAMS.replace("every: 6", "every: 7"))
    assert named(snapshot) == "params.yaml: monitor.every"
    house.edit("params.yaml", PARAMS.replace("every: 6", "every: 7").replace("steps: 12", "steps: 13"))
    assert named(snapshot) == "params.yaml: monitor.every, params.yaml: round"
    house.edit("params.yaml", "profile: tiny\n")
    assert named(snapshot) == "params.yaml: monitor.every, params.yaml: round"


def test_without_a_noted_parameter_the_whole_file_is_compared(house):
    snapshot = house.snapshot()
    house.edit("params.yaml", PARAMS + "\n# a comment\n")
    snapshot.check()
    house.edit("params.yaml", PARAMS.replace("tiny", "other"))
    assert named(snapshot) == "params.yaml"


@pytest.mark.parametrize("text", ["monitor: [", ""])
@pytest.mark.parametrize("noted", [(), (("monitor",),)])
def test_a_parameter_file_that_cannot_be_read_any_more_has_changed(house, text, noted):
    unchanged.note(house.folder / "params.yaml", *noted)
    snapshot = house.snapshot()
    house.edit("params.yaml", text)
    assert named(snapshot).startswith("params.yaml")


def test_reading_a_group_notes_it(house):
    path = house.folder / "params.yaml"
    load_group(MonitorParams, path)
    assert unchanged._parameters == {path: {("monitor",)}}
    load_part("profile", path=path)
    assert unchanged._parameters == {path: {("monitor",), ("profile",)}}


def test_inputs_are_compared_by_size_and_time(house):
    house.edit("data.safetensors", "abc")
    (house.folder / "pairs").mkdir()
    house.edit("pairs/shard-0", "abc")
    snapshot = house.snapshot("data.safetensors", "pairs", "not-there")
    house.edit("not-there")
    snapshot.check()
    house.edit("pairs/shard-1", "abc")
    assert named(snapshot) == "pairs"
    house.edit("data.safetensors", "abcd")
    assert named(snapshot) == "data.safetensors, pairs"


def test_many_changes_are_counted(house):
    snapshot = house.snapshot()
    for name in WATCHED:
        house.edit(name)
    assert named(snapshot).endswith(" and 4 more")
