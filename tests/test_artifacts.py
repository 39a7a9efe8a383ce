from pathlib import Path

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import (
    atomic,
    content_hash,
    is_whole,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)


def test_tensors_round_trip_and_equal_content_means_equal_bytes(tmp_path):
    tensors = {"b": torch.arange(6).reshape(2, 3), "a": torch.ones(2)}
    write_tensors(tmp_path / "x", tensors, {"z": [1, 2], "a": "é"})
    write_tensors(tmp_path / "y", dict(reversed(tensors.items())), {"a": "é", "z": [1, 2]})
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    loaded, facts = read_tensors(tmp_path / "x")
    assert facts == {"z": [1, 2], "a": "é"}
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_named_with_the_remedy(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ReflowbenchError, match=r"x.safetensors: damaged.*; run `reflowbench verify --repair`, then"):
        read_tensors(path)


def test_missing_files_name_the_remedy(tmp_path):
    for read in (read_json, read_tensors):
        with pytest.raises(ReflowbenchError, match="nothing: no such file; `dvc repro` makes it"):
            read(tmp_path / "nothing")


def test_damaged_json(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ReflowbenchError, match="x.json: damaged JSON"):
        read_json(tmp_path / "x.json")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    for names in (["a", "b"], ["c"]):
        with atomic(tmp_path / "out") as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["c"]
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "out") as temporary:
        temporary.mkdir()
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_was_there_stays_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """A folder has to go before the new one comes; here a signal arrives in between."""
    with atomic(tmp_path / "out") as temporary:
        temporary.mkdir()
        (temporary / "old").touch()
    rename = Path.replace

    def interrupted(source, target):
        if source.name.endswith(".tmp") and Path(target) == tmp_path / "out" and not calls:
            calls.append(source)
            raise SystemExit(143)
        return rename(source, target)

    calls = []
    with pytest.raises(SystemExit), atomic(tmp_path / "out") as temporary:
        temporary.mkdir()
        monkeypatch.setattr(Path, "replace", interrupted)
    assert calls and [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["out", "out/old"]


def test_a_folder_with_a_damaged_artifact_is_not_whole(tmp_path):
    write_json(tmp_path / "a/b.json", {"x": 1})
    write_tensors(tmp_path / "a/c.safetensors", {"x": torch.ones(2)}, {})
    (tmp_path / "a/.d.json.1.tmp").touch()
    assert is_whole(tmp_path)
    for name in ("b.json", "c.safetensors"):
        path = tmp_path / "a" / name
        data = path.read_bytes()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        assert not is_whole(tmp_path)
        path.write_bytes(data)


def test_content_hash_is_that_of_dvc(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "b" / "c.txt").write_text("2\n")
    # As in the lock of a `dvc add` of this folder.
    assert content_hash(tmp_path / "a.txt") == "b026324c6904b2a9cb4b88d6d61c81d1"
    assert content_hash(tmp_path) == "7e26dd394c2d6e8c41d34c4521a40424.dir"
    assert content_hash(tmp_path / "none") is None
