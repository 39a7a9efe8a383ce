"""dvc exp run, its queue and its table, and a merge of two branches, on the tiny profile."""

import csv
import json
import time

import pytest

from tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.long]

QUARTER = ("-S", "methods.rca.real_fraction=0.25", "-S", "grid.methods=[reflow,rca]")
PATHS = "(runs|src|stages|reports)/"
"""Columns that docs/comparing.md drops from `dvc exp show`: hashes of dependencies."""
PLOTS = {"fd_by_round", "fd_by_nfe", "reports/figures/samples.png", "reports/figures/diversity.png"}


@pytest.fixture(scope="module")
def committed(first, tmp_path_factory):
    """A project whose first run is committed."""
    project = Project(tmp_path_factory.mktemp("experiments") / "project").take(first[0])
    for key, value in (("user.name", "A"), ("user.email", "a@b")):
        project.run("git", "config", key, value)
    project.repro()
    project.commit("first run")
    return project


@pytest.fixture
def project(committed, tmp_path):
    """A copy of it."""
    copy = Project(tmp_path / "project").take(committed)
    copy.repro()
    copy.commit("here")
    return copy


def table(project):
    """The rows of `dvc exp show`, by experiment; the commit's has no name."""
    shown = project.run("dvc", "exp", "show", "--hide-workspace", "--only-changed", "--drop", PATHS, "--csv").stdout
    return {row["Experiment"]: row for row in csv.DictReader(shown.splitlines())}


def fd(project, method="rca"):
    return json.loads(project.read(f"metrics/{method}.json"))["fd"]


def test_an_experiment_changes_two_lines_and_shows_few_columns(project):
    ran = project.stages_that_ran(project.run("dvc", "exp", "run", "--name", "quarter", *QUARTER).stdout)
    assert ran == {"rca@rca-0-1", "evaluate@rca-0-1", "summarize", "report", "track"}
    changed = project.run("git", "diff", "--unified=0", "params.yaml").stdout.splitlines()
    lines = [line for line in changed if line[0] in "+-" and not line.startswith(("+++", "---"))]
    assert lines == ["-  - ocar", "-    real_fraction: 0.5", "+    real_fraction: 0.25"]
    rows = table(project)
    assert float(rows["quarter"]["metrics/rca.json:fd"]) == pytest.approx(fd(project), abs=0.1)
    assert rows["quarter"]["metrics/rca.json:fd"] != rows[""]["metrics/rca.json:fd"]
    assert rows["quarter"]["metrics/ocar.json:fd"] == "" and "metrics/reflow.json:fd" not in rows[""]
    parameters = {"grid.methods", "methods.rca.real_fraction"}
    assert parameters < set(rows[""]) and len(set(rows[""]) - parameters) <= 15
    project.run("git", "checkout", "--force", "--", ".")
    project.run("dvc", "exp", "branch", "quarter", "a-quarter")
    assert project.run("git", "show", "a-quarter:metrics/rca.json").stdout.encode() != project.read("metrics/rca.json")


def test_two_queued_experiments_run_at_once_with_the_code_of_their_own_copies(project):
    """The code is edited and broken after they were queued: what was queued runs."""
    source = project.folder / "src/reflowbench/couplings/rca.py"
    text = source.read_text()
    for name, share in (("more", "0.75"), ("less", "0.25")):
        project.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"methods.rca.real_fraction={share}")
    source.write_text("raise RuntimeError('not the code that was queued')\n")
    project.run("dvc", "queue", "start", "--jobs", "2")
    until = time.monotonic() + 900
    while "Success" not in (row := states(project)).get("more", "") or "Success" not in row.get("less", ""):
        assert "Failed" not in row.values(), project.run("dvc", "queue", "logs", "more", check=False).stdout
        assert time.monotonic() < until, row
        time.sleep(2)
    source.write_text(text)
    rows = table(project)
    found = {rows[name]["metrics/rca.json:fd"] for name in ("", "more", "less")}
    assert len(found) == 3 and "" not in found
    project.run("dvc", "exp", "run", "-S", "methods.rca.real_fraction=0.75")
    assert float(rows["more"]["metrics/rca.json:fd"]) == pytest.approx(fd(project), abs=0.1)


def states(project):
    """The state of each task of the queue, by name."""
    lines = [line.split() for line in project.run("dvc", "queue", "status").stdout.splitlines()]
    return {words[1]: words[-1] for words in lines[1:] if len(words) >= 4 and words[0] != "Worker"}


def test_branches_that_ran_other_cells_merge_without_computing_them_again(project):
    """By the commands of docs/comparing.md."""
    start = project.run("git", "branch", "--show-current").stdout.strip()
    for branch, key in (("one", "methods__rca__real_fraction"), ("other", "methods__ocar__real_fraction")):
        project.run("git", "checkout", "--quiet", "-b", branch, start)
        project.run("dvc", "checkout")
        project.set_params(**{key: 0.25})
        project.repro()
        project.commit(branch)
    expected = {"rca": project.run("git", "show", "one:metrics/rca.json").stdout.encode(),
                "ocar": project.read("metrics/ocar.json")}  # fmt: skip
    merged = project.run("git", "merge", "one", check=False)
    conflicts = {line.rpartition(" in ")[2] for line in merged.stdout.splitlines() if line.startswith("CONFLICT")}
    assert "dvc.lock" in conflicts and "params.yaml" not in conflicts
    project.run("git", "checkout", "HEAD", "--", "dvc.lock", "rounds/*/dvc.lock", "reports", "metrics")
    assert project.repro() == {"summarize", "report", "track"}
    assert {method: project.read(f"metrics/{method}.json") for method in expected} == expected
    project.commit("merged")
    assert "up to date" in project.run("dvc", "status").stdout


def test_a_clone_without_a_cache_shows_metrics_and_plots(committed, tmp_path):
    committed.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    (clone.folder / "metrics/rca.json").write_text('{"fd": 1.0}')
    shown = clone.run("dvc", "metrics", "show")
    assert shown.stderr == "" and len(shown.stdout.splitlines()) == 4
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "metrics/rca.json" in clone.run("dvc", "metrics", "diff").stdout
    for command in (("show",), ("diff", "HEAD")):
        plots = json.loads(clone.run("dvc", "plots", *command, "--json").stdout)
        assert set(plots) == {"data"} and set(plots["data"]) == PLOTS, "and no errors"
    assert "ERROR" not in clone.run("dvc", "plots", "show").stderr
