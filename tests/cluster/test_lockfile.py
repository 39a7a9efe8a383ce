"""Parts of dvc.lock are carried from one to another as DVC wrote them."""

import pytest
import yaml

from reflowbench.cluster.lockfile import entries, keep, merge
from tests.conftest import ROOT

LOCKS = [ROOT / "dvc.lock", ROOT / "ablations/dvc.lock"]


def stages(path):
    return yaml.safe_load(path.read_text())["stages"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_the_parts_are_the_whole_and_each_is_its_stage(path):
    found = entries(path)
    assert "schema: '2.0'\nstages:\n" + "".join(found.values()) == path.read_text()
    assert list(found) == list(stages(path)) and len(found) > 50
    for name in list(found)[::40]:
        assert yaml.safe_load(found[name]) == {name: stages(path)[name]}


def test_what_is_kept_is_as_it_was(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text(LOCKS[0].read_text())
    names = set(list(stages(path))[10:100:7])
    assert keep(path, names | {"unknown"}) == len(stages(LOCKS[0])) - len(names)
    assert stages(path) == {name: entry for name, entry in stages(LOCKS[0]).items() if name in names}
    keep(path, set())
    assert not path.exists(), "DVC refuses an empty one"


def test_parts_that_are_merged_in_any_order_give_the_whole(tmp_path):
    found = entries(LOCKS[0])
    path, names = tmp_path / "dvc.lock", list(found)
    for some in (names[1::2], names[::2]):
        merge(path, {name: found[name] for name in some})
    assert stages(path) == stages(LOCKS[0])


def test_a_stage_that_is_there_is_replaced_in_its_place(tmp_path):
    path, found = tmp_path / "dvc.lock", entries(LOCKS[0])
    path.write_text(LOCKS[0].read_text())
    first, second = list(found)[3:5]
    other = found[first].replace("cmd: python", "cmd: python3", 1)
    merge(path, {first: other})
    assert path.read_text() == LOCKS[0].read_text().replace(found[first], other)
    assert entries(path)[second] == found[second]


@pytest.mark.parametrize(
    "text",
    ["", "stages:\n  a:\n    cmd: x\n", "schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets: []\n", "<<<<<<< HEAD\n"],
)
def test_what_dvc_did_not_lay_out_so_is_left_alone(tmp_path, text):
    path = tmp_path / "dvc.lock"
    path.write_text(text)
    assert entries(path) == {}
    keep(path, {"a"})
    merge(path, {"b": "  b:\n    cmd: y\n"})
    assert path.read_text() == text


def test_a_file_that_is_not_there_is_made(tmp_path):
    keep(tmp_path / "dvc.lock", {"a"})
    assert entries(tmp_path / "dvc.lock") == {}
    merge(tmp_path / "dvc.lock", {"b": "  b:\n    cmd: y\n"})
    assert stages(tmp_path / "dvc.lock") == {"b": {"cmd": "y"}}
