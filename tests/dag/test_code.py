"""The DAG as DVC reads it: the code that each stage depends on."""

import ast
import importlib
from pathlib import Path

from tests.conftest import ROOT
from tests.dag.resolved import code_deps, coupling, script_file, script_of
from tests.source import SRC, UNWATCHED, calls, imports, is_unwatched, reached


def test_methods_are_imported_by_name_in_one_place_only():
    """What `reached` cannot see: importlib is used by the registry alone, on a file that is named to it."""
    other = SRC / "reflowbench/metrics/features/efficientnet.py"  # a package of others, if it is installed
    for path in (*SRC.rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        text = path.read_text()
        dynamic = "importlib" in text.replace("importlib.metadata", "") or "__import__" in text
        assert dynamic == (path in (SRC / "reflowbench/methods/registry.py", other)), path
    imported = [ast.unparse(call) for name, call in calls(other) if name.startswith("importlib")]
    assert imported == ["importlib.import_module(_PACKAGE.replace('-', '_'))"]
    assert importlib.import_module("reflowbench.metrics.features.efficientnet")._PACKAGE.startswith("efficientnet")
    # Only stages (see `methods_loaded`) and what no stage imports ask it to; the test below would not find it there.
    users = {path for path in SRC.rglob("*.py") if SRC / "reflowbench/methods/registry.py" in imports(path)}
    assert users == {
        SRC / "reflowbench" / name
        for name in ("profiles.py", "cli.py", "cluster/command.py", "cost/pairs.py", "methods/rounds.py")
    }
    for script in (ROOT / "stages").glob("*.py"):
        assert not users & {ROOT / file for file in reached(script, "reflow")}, script


def test_no_stage_depends_on_what_no_number_depends_on(stages):
    assert all((ROOT / place).exists() for place in UNWATCHED)
    for name, stage in stages.items():
        assert not [dep for dep in code_deps(stage) if is_unwatched(dep)], name


def test_each_stage_depends_on_exactly_the_code_it_imports(stages):
    for name, stage in stages.items():
        files = reached(script_file(stage), coupling(stage))
        deps = code_deps(stage)
        uncovered = {f for f in files if not any(f == dep or dep in f.parents for dep in deps)}
        assert not uncovered, f"{name} imports {uncovered}, which dvc.yaml does not list"
        unused = {dep for dep in deps if not any(f == dep or dep in f.parents for f in files)}
        assert not unused, f"{name} lists {unused}, which it does not import"


def test_no_training_stage_depends_on_reports_or_tracking(stages):
    for name, stage in stages.items():
        if script_of(stage) not in ("report", "track", "summarize", "theory_report") and not name.startswith(
            "controls/"
        ):
            results = {Path("src/reflowbench") / name for name in ("report", "tracking", "results")}
            assert not code_deps(stage) & results
