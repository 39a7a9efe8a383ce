"""What dvc.lock says: hashes, and which stages come before which."""

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.lock import producers, stage_hash, state_hash
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


@pytest.mark.parametrize("text", ["stages: [", "just text", "stages: []", "stages: {a: {deps: []}}", "\x00"])
def test_damaged_lock(bare, text):
    (bare / "dvc.lock").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: damaged.*dvc repro"):
        sync_if_changed()


def test_missing_lock(bare):
    (bare / "dvc.lock").unlink()
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: no such file.*dvc repro"):
        sync_if_changed()
