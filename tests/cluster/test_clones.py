"""Clones hold the state of the checkout when the launch began, whatever Git's commits hold."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from reflowbench.cluster.clones import Clones
from reflowbench.errors import ReflowbenchError


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@b")
    command = ("git", *identity, *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / ".gitignore").write_text("/.scratch/\n/runs/\n/pictures/\n")
    (root / "params.yaml").write_text("data: {path: pictures, source: images}\nprofile: src\n")
    (root / "src").mkdir()
    for name in ("kept", "changed", "removed", "moved"):
        (root / f"src/{name}.py").write_text(name)
    with Repo.init(str(root)):
        pass
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    (root / "src/changed.py").write_text("other")
    (root / "src/removed.py").unlink()
    git(root, "mv", "src/moved.py", "src/new name.py")
    (root / "src/untracked.sh").write_text("echo\n")
    (root / "src/untracked.sh").chmod(0o755)
    (root / "link").symlink_to("src/kept.py")
    for folder in ("runs", "pictures"):
        (root / folder).mkdir()
        (root / folder / "file").write_text(folder)
    return root


def clones(root):
    return Clones(root, root / ".scratch/launch/clones")


def content(folder):
    """Files by name, without what Git and DVC keep for themselves."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.parts[0] in (".git", ".scratch", "runs", "pictures") or name.parts[:2] in ((".dvc", "tmp"),):
            continue
        if path.is_symlink():
            found[str(name)] = str(path.readlink())
        elif path.is_file() and name.name != "config.local":
            found[str(name)] = path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns
    return found


def test_a_clone_has_what_the_checkout_has_and_git_does_not_ignore(checkout):
    clone = clones(checkout).prepare("a")
    assert content(clone) == content(checkout)
    assert not (clone / "runs").exists()
    assert git(clone, "rev-parse", "HEAD") == git(checkout, "rev-parse", "HEAD")


def test_dvc_uses_the_checkouts_cache_there_and_its_own_settings(checkout):
    (checkout / ".dvc/config.local").write_text("[core]\n    remote = mine\n['remote \"mine\"']\n    url = /there\n")
    clone = clones(checkout).prepare("a")
    with Repo(str(clone)) as there, Repo(str(checkout)) as here:
        assert Path(there.cache.local.path).resolve() == Path(here.cache.local.path).resolve()
        assert there.config["core"]["remote"] == "mine" and there.root_dir == str(clone)


def test_scratch_space_is_the_checkouts(checkout):
    """What a killed stage saved, journals and durations are found there, whichever clone comes next."""
    clone = clones(checkout).prepare("a")
    (clone / ".scratch/resume").mkdir()
    assert (checkout / ".scratch/resume").is_dir()
    assert ".scratch" not in git(clone, "status", "--porcelain")


def test_an_input_that_git_ignores_is_linked(checkout):
    """`data.path` in params.yaml; a value that is the name of a folder of the clone's own is none."""
    clone = clones(checkout).prepare("a")
    assert (clone / "pictures").is_symlink() and (clone / "pictures/file").read_text() == "pictures"
    assert not (clone / "src").is_symlink()


def test_edits_after_the_beginning_reach_no_clone(checkout):
    made = clones(checkout)
    before = content(checkout)
    (checkout / "src/kept.py").write_text("edited later")
    (checkout / "src/later.py").write_text("later")
    git(checkout, "commit", "--quiet", "--all", "--message", "second")
    assert content(made.prepare("a")) == before


def test_a_clone_that_was_left_is_brought_to_the_present_state(checkout):
    clone = clones(checkout).prepare("a")
    (clone / "runs").mkdir()
    (clone / "runs/made").write_text("an output")
    (clone / "dvc.lock").write_text("of an earlier run")
    (clone / "src/kept.py").write_text("damaged")
    (clone / "src/stranger.py").write_text("not of the checkout")
    (checkout / "src/changed.py").write_text("once more")
    (checkout / "src/untracked.sh").unlink()
    git(checkout, "commit", "--quiet", "--all", "--message", "second")
    assert clones(checkout).prepare("a") == clone
    assert content(clone) == content(checkout)
    assert (clone / "runs/made").read_text() == "an output", "DVC need not bring it again"


def test_files_and_folders_take_each_others_place(checkout):
    (checkout / "a").write_text("file")
    (checkout / "b").mkdir()
    (checkout / "b/c").write_text("in a folder")
    clones(checkout).prepare("a")
    (checkout / "a").unlink()
    shutil.rmtree(checkout / "b")
    (checkout / "a").mkdir()
    (checkout / "a/c").write_text("in a folder")
    (checkout / "b").write_text("file")
    assert content(clones(checkout).prepare("a")) == content(checkout)


def test_a_clone_that_git_cannot_use_is_made_anew(checkout):
    clone = clones(checkout).prepare("a")
    shutil.rmtree(clone / ".git/refs")
    (clone / ".git/HEAD").unlink()
    assert content(clones(checkout).prepare("a")) == content(checkout)


def test_a_checkout_without_a_commit_can_be_cloned(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / ".gitignore").write_text("/.scratch/\n")
    with Repo.init(str(tmp_path)):
        pass
    assert content(clones(tmp_path).prepare("a")) == content(tmp_path)


def test_removing_a_clone_leaves_what_it_links_to(checkout):
    made = clones(checkout)
    made.prepare("a")
    (checkout / ".scratch/kept").touch()
    made.remove("a")
    assert not (made.folder / "a").exists()
    assert (checkout / ".scratch/kept").exists() and (checkout / "pictures/file").exists()


def test_what_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ReflowbenchError, match=str(tmp_path)):
        clones(tmp_path)


def test_clones_of_another_checkout_are_left_alone(checkout, tmp_path):
    folder = tmp_path / "elsewhere/clones"
    Clones(checkout, folder)
    Clones(checkout, folder)
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(checkout), str(other))
    with pytest.raises(ReflowbenchError, match=f"elsewhere has clones of {checkout}: .*--folder"):
        Clones(other, folder)


def test_what_stages_read_and_has_changed_since_is_named(checkout):
    (checkout / "src/reflowbench/runtime").mkdir(parents=True)
    (checkout / "src/reflowbench/runtime/locks.py").write_text("")
    (checkout / "notes.md").write_text("")
    made = clones(checkout)
    assert made.changed() == []
    (checkout / "src/reflowbench/runtime/locks.py").write_text("# no stage depends on it")
    (checkout / "notes.md").write_text("nor on this")
    assert made.changed() == []
    (checkout / "params.yaml").write_text("profile: other\n")
    (checkout / "src/kept.py").unlink()
    assert made.changed() == ["params.yaml", "src/kept.py"]
