"""Nothing to do is found from the sizes and times of files."""

import os
from pathlib import Path

import pytest

from reflowbench.cluster.uptodate import is_up_to_date, remember

ROOT, OTHER = Path("dvc.yaml"), Path("theory/dvc.yaml")
FILES = (
    "dvc.yaml",
    "dvc.lock",
    "params.yaml",
    "rounds/1/dvc.lock",
    "src/a.py",
    "stages/b.py",
    "runs/c/d",
    "reports/e.csv",
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*FILES, "theory/dvc.yaml", "theory/params.yaml", "theory/dvc.lock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1, 1))


def test_only_what_was_remembered_is_up_to_date(files):
    assert not is_up_to_date(ROOT)
    remember(ROOT)
    assert is_up_to_date(ROOT) and not is_up_to_date(OTHER)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_edited_touched_removed_or_new_is_seen(files, name):
    remember(ROOT)
    os.utime(name, (2, 2))
    assert not is_up_to_date(ROOT)
    os.utime(name, (1, 1))
    assert is_up_to_date(ROOT)
    Path(name).write_text("other")
    os.utime(name, (1, 1))
    assert not is_up_to_date(ROOT), "of another size"
    Path(name).unlink()
    assert not is_up_to_date(ROOT)
    Path(name).write_text(name)
    os.utime(name, (1, 1))
    Path(name).with_name("new").write_text("")
    assert is_up_to_date(ROOT) == ("/" not in name), "at the root, other files do not count"


def test_byte_code_scratch_space_and_other_files_are_of_no_concern(files):
    remember(ROOT)
    for name in ("src/__pycache__/a.pyc", "runs/.scratch/x", "notes.md", "tests/t.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    assert is_up_to_date(ROOT)


def test_a_mirror_that_is_gone_is_seen_and_one_that_is_written_is_not(files):
    Path("mlflow.db").write_text("a")
    remember(ROOT)
    Path("mlflow.db").write_text("ab")
    assert is_up_to_date(ROOT)
    Path("mlflow.db").unlink()
    assert not is_up_to_date(ROOT)


def test_another_pipeline_has_files_of_its_own_and_those_of_the_root(files):
    remember(OTHER)
    assert is_up_to_date(OTHER)
    for name in ("theory/params.yaml", "theory/dvc.lock", "params.yaml", "src/a.py"):
        os.utime(name, (2, 2))
        assert not is_up_to_date(OTHER)
        os.utime(name, (1, 1))
    assert is_up_to_date(OTHER)
