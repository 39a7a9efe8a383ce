"""States of other revisions, and their data: by hash, out of Git and DVC's cache."""

import io
import json
import shutil
import subprocess
import zipfile

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.contents import Contents
from reflowbench.tracking.lock import read_lock
from reflowbench.tracking.state import _write, open_state
from reflowbench.tracking.sync import sync, sync_if_changed
from tests.tracking.made import (
    Content,
    cell_rows,
    digits,
    entries,
    items,
    rows,
    write_evaluations,
    write_lock,
    write_reports,
)


def git(*command):
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *command], check=True, capture_output=True)


def commit(message):
    git("add", "--all")
    git("commit", "--quiet", "--message", message)
    return subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def cache(workspace):
    """Put all outputs of the lock into DVC's cache, as `dvc repro` does."""
    for entry in read_lock(workspace).values():
        for out in entry["outs"]:
            path = workspace / out["path"]
            if not path.exists() or out["path"].startswith("reports"):
                continue
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else []
            listing = []
            for file in files:
                [item] = items(workspace, file.relative_to(workspace).as_posix())
                listing.append({"md5": item["md5"], "relpath": file.relative_to(path).as_posix()})
                store(workspace, item["md5"], file.read_bytes())
            store(workspace, out["md5"], json.dumps(listing).encode() if files else path.read_bytes())


def store(workspace, md5, content):
    target = workspace / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


@pytest.fixture
def repository(workspace):
    """Two branches: the evaluations of `other` are twice as bad; the working tree has none of their files."""
    (workspace / ".gitignore").write_text("/runs/\n/mlflow.db*\n/mlartifacts/\n/.scratch/\n")
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], check=True)
    subprocess.run(["dvc", "init", "--quiet"], check=True)
    cache(workspace)
    commit("results")
    git("checkout", "--quiet", "-b", "other")
    doubled = [[*row[:9], digits(row[9] * 2), *row[10:]] if row[3] == 1 else row for row in rows()]
    write_evaluations(workspace, doubled)
    write_reports(workspace, doubled)
    write_lock(workspace, entries(workspace))
    cache(workspace)
    commit("worse results")
    git("checkout", "--quiet", "main")
    shutil.rmtree(workspace / "runs")
    return workspace


def test_two_branches_share_the_runs_of_the_stages_that_they_share(repository):
    first = sync(revision="main")
    second = sync(revision="other")
    assert first.complete and second.complete
    content = Content(repository)
    with open_state(repository, "main") as a, open_state(repository, "other") as b:
        shared = [name for name in a.entries if a.entries[name] == b.entries[name]]
        assert sum("reflow@" in name for name in shared) == 4
        assert second.created == len(b.entries) - len(shared) + 1
        assert len(content.runs) == len(a.entries) + len(b.entries) - len(shared) + 2
    by_branch = {run.data.tags["git.branch"]: run for run in content.parents}
    tables = {
        branch: json.loads((content.folder(run) / "tables/results.json").read_text())["data"]
        for branch, run in by_branch.items()
    }
    assert tables["main"] == rows() != tables["other"]
    assert all(run.data.tags["git.dirty"] == "false" for run in content.parents)
    assert sync(revision="main").created == sync(revision="other").created == 0


def test_a_revision_by_commit_and_its_page_are_those_of_git(repository):
    (repository / "reports/report.md").write_text("# Edited since\n")
    head = commit("an edited page")
    assert sync(revision="main~1").complete
    assert "new runs" in sync_if_changed(head)
    content = Content(repository)
    before = next(run for run in content.parents if run.info.status == "FINISHED")
    assert (content.folder(before) / "reports/report.md").read_text() == "# Report\n"
    assert before.data.tags["git.branch"] == "unknown" and before.data.tags["git.commit"] != head


def test_an_experiment_of_dvc_is_found_by_its_name(repository):
    git("update-ref", "refs/exps/ab/cdef/quick-otter", "other")
    assert sync(revision="quick-otter").complete
    [parent] = Content(repository).parents
    assert parent.data.tags["dvc.experiment"] == "quick-otter"


def test_what_was_mirrored_before_it_was_committed_gets_its_commit(repository):
    git("checkout", "--quiet", "other")
    (repository / "reports/report.md").write_text("# New\n")
    assert "results wait" in sync_if_changed(), "the page is not that of dvc.lock"
    write_lock(repository, {**read_lock(repository), "report": entries_of_report(repository)})
    assert sync().complete
    state = sync().state
    new = commit("a new page")
    assert sync().created == 0
    tags = [run.data.tags for run in Content(repository).parents if run.data.tags["dvc.state_hash"] == state]
    assert [(t["git.commit"], t["git.dirty"], t["git.branch"]) for t in tags] == [(new, "false", "other")]


def entries_of_report(workspace):
    entry = read_lock(workspace)["report"]
    return {**entry, "outs": items(workspace, "reports/report.md", "reports/figures")}


@pytest.mark.parametrize("revision", ["none", "--all", "main:reports"])
def test_no_such_revision(repository, revision):
    with pytest.raises(ReflowbenchError, match="no such revision"):
        sync(revision=revision)


def test_a_revision_without_results(repository):
    git("rm", "--quiet", "dvc.lock")
    commit("no lock")
    with pytest.raises(ReflowbenchError, match=r"main: has no dvc\.lock.*dvc repro"):
        sync(revision="main")


def test_data_of_another_hash_is_never_given(repository):
    """Neither of the workspace nor of the cache."""
    item = read_lock(repository)["evaluate@rca-1-1"]["outs"][0]
    contents = Contents(repository, [repository])
    assert set(contents.files(item)) == {"metrics.json", "samples.safetensors"}
    assert contents.files({**item, "md5": "0" * 32 + ".dir"}) is None
    own = contents.files(item, lambda name: name == "metrics.json")["metrics.json"]
    assert own.is_relative_to(repository / ".dvc/cache")
    own.chmod(0o644)
    own.write_text("damaged")
    assert Contents(repository, [repository]).files(item) is None
    write_evaluations(repository, cell_rows("rca", 1, 1, number=3))
    assert Contents(repository, [repository]).files(item) is None


def test_files_of_a_revision_stay_in_their_folder(tmp_path):
    """Of a tree that Git itself would not check out, too."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.mkdir("reports")
        for name in ("reports/a/b.csv", "reports/../../out.csv", f"{tmp_path}/absolute.csv"):
            archive.writestr(name, "x")
    folder = tmp_path / "in/here"
    folder.mkdir(parents=True)
    _write(packed.getvalue(), folder)
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()] == [
        "in/here/reports/a/b.csv"
    ]
