"""The DAG as DVC reads it: the code that each stage depends on."""

import ast
import importlib
from pathlib import Path

from reflowbench.methods import registry
from tests.conftest import ROOT
from tests.dag.resolved import VARIANTS, code_deps, coupling, recorded, script_file, script_of
from tests.source import COUPLINGS, SRC, calls, reached


def test_methods_are_imported_by_name_in_one_place_only():
    """What `reached` cannot see: importlib is used by the registry alone, on a file that is named to it."""
    other = SRC / "reflowbench/metrics/features/efficientnet.py"  # a package of others, if it is installed
    for path in (*SRC.rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        text = path.read_text()
        dynamic = "importlib" in text.replace("importlib.metadata", "") or "__import__" in text
        assert dynamic == (path in (COUPLINGS / "shared/registry.py", other)), path
    imported = [ast.unparse(call) for name, call in calls(other) if name.startswith("importlib")]
    assert imported == ["importlib.import_module(_PACKAGE.replace('-', '_'))"]
    assert importlib.import_module("reflowbench.metrics.features.efficientnet")._PACKAGE.startswith("efficientnet")
    # Only stages (see `methods_loaded`) and the command line with what it alone uses ask it to: nothing that a stage
    # imports, which the test below would find in no dependency.
    asked = ("registry.load(", "registry.check(", "registry.stages_of(", "method_params(", "load_entry(")
    users = {path for path in SRC.rglob("*.py") if path.name != "registry.py" and "couplings" in path.read_text()
             and any(name in path.read_text() for name in asked)}  # fmt: skip
    assert users == {
        SRC / "reflowbench" / name for name in ("profiles.py", "cli.py", "cluster/command.py", "cost/pairs.py")
    }
    for script in (ROOT / "stages").glob("*.py"):
        assert not users & {ROOT / file for file in reached(script, "reflow")}, script


def test_each_stage_depends_on_exactly_the_code_it_imports(stages):
    for name, stage in stages.items():
        files = reached(script_file(stage), coupling(stage))
        deps = code_deps(stage) | recorded(stage, stages)
        uncovered = {f for f in files if not any(f == dep or dep in f.parents for dep in deps)}
        assert not uncovered, f"{name} imports {uncovered}, which dvc.yaml does not list"
        unused = {dep for dep in deps if not any(f == dep or dep in f.parents for f in files)}
        assert not unused, f"{name} lists {unused}, which it does not import"


def test_a_method_reruns_no_stage_of_another(stages):
    """Of the training stages, an edited method's own ones; and the check of all parameters and the hashes of code."""
    records = {n for n, stage in stages.items() if script_of(stage) == "coupling"}
    assert records == {f"coupling@{name}" for name in (*registry.names(), *VARIANTS)}
    for method in registry.names():
        file = (COUPLINGS / f"{method}.py").relative_to(ROOT)
        assert file.exists()
        deps = {n: code_deps(stage) | recorded(stage, stages) for n, stage in stages.items()}
        touched = {n for n in stages if {file, file.parent} & deps[n]}
        own = {n for n, stage in stages.items() if coupling(stage) == method}
        base = {n for n, stage in stages.items() if script_of(stage) == "train_base"} if method == "ot" else set()
        control = {"controls/gans"} if method == "reflow" else set()  # runs Reflow beside the GANs
        assert own - records and touched == own | base | control | records | {"prepare_data"}


def test_no_training_stage_depends_on_reports_or_tracking(stages):
    for name, stage in stages.items():
        if script_of(stage) not in ("report", "track", "summarize", "theory_report") and not name.startswith(
            "controls/"
        ):
            results = {Path("src/reflowbench") / name for name in ("report", "tracking", "results")}
            assert not code_deps(stage) & results
