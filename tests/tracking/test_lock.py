"""What dvc.lock says: hashes, and whether the reports are of it."""

import pytest

from reflowbench.core.errors import ReflowbenchError
from reflowbench.tracking.lock import content_hash, reports_match, stage_hash, state_hash
from reflowbench.tracking.sync import sync_if_changed
from tests.tracking.made import entries


def test_hash_is_of_content_only():
    entry = {"cmd": "a", "params": {"params.yaml": {"x": 1, "y": {"b": 2, "a": 3}}}}
    turned = {"params": {"params.yaml": {"y": {"a": 3, "b": 2}, "x": 1}}, "cmd": "a"}
    assert stage_hash("s", entry) == stage_hash("s", turned)
    assert state_hash({"s": entry, "t": turned}) == state_hash({"t": turned, "s": entry})
    assert stage_hash("s", entry) != stage_hash("t", entry)
    assert stage_hash("s", entry) != stage_hash("s", {**entry, "cmd": "b"})


def test_content_hash_is_that_of_dvc(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "b" / "c.txt").write_text("2\n")
    # As in the lock of a `dvc add` of this folder.
    assert content_hash(tmp_path / "a.txt") == "b026324c6904b2a9cb4b88d6d61c81d1"
    assert content_hash(tmp_path) == "7e26dd394c2d6e8c41d34c4521a40424.dir"
    assert content_hash(tmp_path / "none") is None


@pytest.mark.parametrize("change", ["results", "evaluation", "no report"])
def test_reports_that_are_not_of_this_lock(bare, change):
    stages = entries(bare)
    assert reports_match(bare, stages)
    if change == "results":
        (bare / "reports/results.csv").write_text("edited")
    elif change == "evaluation":
        (bare / "runs/evaluations/base/s0/k0/metrics.json").write_text("edited")
    else:
        del stages["report"]
    assert not reports_match(bare, stages)


@pytest.mark.parametrize("text", ["stages: [", "just text", "stages: []", "stages: {a: {deps: []}}", "\x00"])
def test_damaged_lock(bare, text):
    (bare / "dvc.lock").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: damaged.*dvc repro"):
        sync_if_changed()


def test_missing_lock(bare):
    (bare / "dvc.lock").unlink()
    with pytest.raises(ReflowbenchError, match=r"dvc\.lock: no such file.*dvc repro"):
        sync_if_changed()
