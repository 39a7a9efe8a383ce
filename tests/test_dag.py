"""The DAG as DVC reads it: stage names, code dependencies and parameters."""

import ast
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.core.config import METHOD_STAGES, group_path
from reflowbench.couplings.registry import METHODS
from tests.conftest import ROOT
from tests.pipeline.project import TINY_STAGES

SRC = ROOT / "src"


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Stages of the tiny profile by name, as DVC resolves them."""
    folder = tmp_path_factory.mktemp("dag")
    shutil.copy(ROOT / "dvc.yaml", folder)
    profiles.write_profile("tiny", ROOT / "profiles", folder / "params.yaml")
    with Repo.init(str(folder), no_scm=True) as repo:
        return {stage.name: stage for stage in repo.index.stages}


def script_of(stage):
    return stage.cmd.split()[2].removeprefix("stages.")


def option(stage, name):
    words = stage.cmd.split()
    return words[words.index(f"--{name}") + 1]


def test_the_tiny_grid_has_exactly_these_stages(stages):
    assert sorted(stages) == sorted(TINY_STAGES)


def test_dvc_parses_the_committed_files_and_finds_every_cell():
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--all", "--fail", "--name-only"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = listed.stdout.split()
    grid = profiles.resolve("digits", ROOT / "profiles")["grid"]
    seeds, rounds = grid["seeds"], range(len(grid["rounds"]))
    expected = {f"evaluate@{m}-{s}-{k}" for m in grid["methods"] for s in seeds for k in grid["ks"]}
    expected |= {f"train_base@{s}" for s in seeds} | {f"k0@{m}-{s}" for m in grid["methods"] for s in seeds}
    expected |= {
        f"{group}@{m}-{s}-after{r}"
        for m in grid["methods"]
        for group in METHOD_STAGES[m]
        for s in seeds
        for r in rounds
    }
    expected |= {"prepare_data", "train_features", "summarize", "report", "track"}
    assert set(names) == expected and len(names) == len(expected)


def test_every_method_has_a_coupling_parameters_and_stages():
    assert set(METHODS) == set(METHOD_STAGES)
    assert all(group_path(method.params) == f"methods.{name}" for name, method in METHODS.items())


def module_file(name):
    """File of a module of ours, or None for other modules."""
    parts = name.split(".")
    base = {"reflowbench": SRC, "stages": ROOT}.get(parts[0])
    if base is None:
        return None
    path = base.joinpath(*parts)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def imports(path):
    """Files of ours that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from filter(None, map(module_file, names))


def reached(path):
    found, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += imports(current)
    # The face of the package holds a docstring and the version only.
    return {p.relative_to(ROOT) for p in found} - {Path("src/reflowbench/__init__.py"), Path("stages/__init__.py")}


def code_deps(stage):
    return {Path(dep.def_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}


def test_each_stage_depends_on_exactly_the_code_it_imports(stages):
    for name, stage in stages.items():
        files = reached(ROOT / "stages" / f"{script_of(stage)}.py")
        deps = code_deps(stage)
        uncovered = {f for f in files if not any(f == dep or dep in f.parents for dep in deps)}
        assert not uncovered, f"{name} imports {uncovered}, which dvc.yaml does not list"
        unused = {dep for dep in deps if not any(f == dep or dep in f.parents for f in files)}
        assert not unused, f"{name} lists {unused}, which it does not import"


def test_no_training_stage_depends_on_reports_or_tracking(stages):
    for name, stage in stages.items():
        if name not in ("report", "track", "summarize"):
            results = {Path("src/reflowbench") / name for name in ("report", "tracking", "results")}
            assert not code_deps(stage) & results


def groups_read(stage):
    script = importlib.import_module(f"stages.{script_of(stage)}")
    groups = script.groups(option(stage, "method")) if hasattr(script, "groups") else script.GROUPS
    return {group_path(kind) for kind in groups}


def test_declared_parameters_are_those_that_the_script_reads(stages):
    for name, stage in stages.items():
        declared = {key for params in stage.params for key in params.params}
        read = groups_read(stage)
        if "load_profile()" in Path(ROOT / "stages" / f"{script_of(stage)}.py").read_text():
            read.add("profile")
        assert declared == read, name


def test_scripts_read_only_the_groups_they_name():
    """GROUPS is what the test above compares, so the calls of load_group must be in it, and nowhere else."""
    for path in (ROOT / "stages").glob("*.py"):
        tree = ast.parse(path.read_text())
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "load_group"]
        loaded = {ast.unparse(call.args[0]) for call in calls}
        script = importlib.import_module(f"stages.{path.stem}")
        if path.stem == "train_round":
            assert loaded == {"RoundParams", "PairsParams", "method.params"}
        elif path.stem != "__init__":
            assert loaded == {kind.__name__ for kind in script.GROUPS}, path.name
    for path in SRC.rglob("*.py"):
        if path.name not in ("config.py", "cli.py"):
            assert "load_group" not in path.read_text() and "load_params" not in path.read_text(), path


def test_only_git_tracked_reports_are_outside_the_cache(stages):
    uncached = {out.def_path for stage in stages.values() for out in stage.outs if not out.use_cache}
    reports = {"results.csv", "summary.json", "fd_by_round.csv", "report.md", "figures"}
    assert uncached == {f"reports/{name}" for name in reports} | {"runs/track/receipt.json"}
