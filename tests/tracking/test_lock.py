"""What dvc.lock says: hashes, and which stages come before which."""

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.lock import lock_files, producers, read_lock, stage_hash, state_hash
from reflowbench.tracking.sync import sync_if_changed


def test_hash_is_of_content_only():
    entry = {"cmd": "a", "params": {"params.yaml": {"x": 1, "y": {"b": 2, "a": 3}}}}
    turned = {"params": {"params.yaml": {"y": {"a": 3, "b": 2}, "x": 1}}, "cmd": "a"}
    assert stage_hash("s", entry) == stage_hash("s", turned)
    assert state_hash({"s": entry, "t": turned}) == state_hash({"t": turned, "s": entry})
    assert stage_hash("s", entry) != stage_hash("t", entry)
    assert stage_hash("s", entry) != stage_hash("s", {**entry, "cmd": "b"})


def test_stages_are_ordered_by_what_they_read():
    """Also through a parent folder of outputs, and through a file in one; code is made by no stage."""
    stages = {
        "a": {"cmd": "a", "outs": [{"path": "runs/x/a"}, {"path": "runs/model"}]},
        "b": {"cmd": "b", "deps": [{"path": "src/code"}], "outs": [{"path": "runs/x/b"}]},
        "c": {"cmd": "c", "deps": [{"path": "runs/x"}], "outs": [{"path": "runs/xy"}]},
        "d": {
            "cmd": "d",
            "deps": [{"path": "runs/model/weights"}, {"path": "runs/xy"}],
            "outs": [{"path": "src/made"}],
        },
        "e": {"cmd": "e"},
    }
    assert producers(stages) == {"a": [], "b": [], "c": ["a", "b"], "d": ["a", "c"], "e": []}


def test_the_stages_of_rounds_are_read_with_the_others(tmp_path):
    """In the order of the rounds; a folder that is no round is left out."""
    paths = ["dvc.lock", "rounds/2/dvc.lock", "rounds/10/dvc.lock"]
    for name, path in zip("abc", paths, strict=True):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"stages:\n  {name}: {{cmd: x}}\n")
    (tmp_path / "rounds/other").mkdir()
    (tmp_path / "rounds/other/dvc.lock").write_text("stages: {d: {cmd: x}}\n")
    assert [path.relative_to(tmp_path).as_posix() for path in lock_files(tmp_path)] == paths
    assert read_lock(tmp_path) == {name: {"cmd": "x"} for name in "abc"}
    (tmp_path / paths[-1]).write_text("stages: [")
    with pytest.raises(ReflowbenchError, match=r"rounds/10/dvc\.lock: damaged"):
        read_lock(tmp_path)


@pytest.mark.parametrize("text", ["stages: [", "just text", "stages: []", "stages: {a: {deps: []}}", "\x00"])
def test_damaged_lock(bare, text):
    (bare / "dvc.lock").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: damaged.*dvc repro"):
        sync_if_changed()


def test_missing_lock(bare):
    (bare / "dvc.lock").unlink()
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: no such file.*dvc repro"):
        sync_if_changed()
