"""The DAG as DVC reads it: stage names, code dependencies and parameters."""

import ast
import importlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.core import config
from reflowbench.core.config import group_path
from reflowbench.core.params import GridParams, Group
from reflowbench.couplings.shared import registry
from reflowbench.couplings.shared.base import Coupling
from tests.conftest import ROOT
from tests.pipeline.project import TINY_STAGES

SRC = ROOT / "src"
COUPLINGS = SRC / "reflowbench/couplings"


def resolved(folder, profile):
    """Stages by address, as DVC resolves them: those of the pipeline on a profile, and those of the study."""
    (folder / "study").mkdir()
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    shutil.copy(ROOT / "study/pipeline.yaml", folder / "study/dvc.yaml")  # as study/run does
    (folder / "params.yaml").write_text(profiles.render(profile))
    profiles.write_profile("study", ROOT / "profiles", folder / "study/params.yaml")
    with Repo.init(str(folder), no_scm=True) as repo:
        files = {"": folder / "dvc.yaml", "study/": folder / "study/dvc.yaml"}
        places = {str(file.resolve()): place for place, file in files.items()}
        return {places[stage.path] + stage.name: stage for stage in repo.index.stages}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Names of the pipeline's stages on the tiny profile."""
    stages = resolved(tmp_path_factory.mktemp("tiny"), profiles.resolve("tiny", ROOT / "profiles"))
    return {name for name in stages if not name.startswith("study/")}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Stages of the pipeline with every method that there is, and of the study."""
    profile = profiles.resolve("tiny", ROOT / "profiles")
    methods = registry.names()
    profile["grid"] |= {"methods": methods, "stages": registry.stages_of(methods)}
    return resolved(tmp_path_factory.mktemp("dag"), profile)


def script_of(stage):
    return stage.cmd.split()[2].removeprefix("stages.")


def script_file(stage):
    return ROOT / "stages" / f"{script_of(stage)}.py"


def option(stage, name, default=None):
    words = stage.cmd.split()
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else default


def test_the_tiny_grid_has_exactly_these_stages(tiny):
    assert sorted(tiny) == sorted(TINY_STAGES)


def listed(*arguments):
    command = [sys.executable, "-m", "dvc", "stage", "list", "--fail", "--name-only", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_dvc_parses_the_committed_files_and_finds_every_cell():
    names = listed("--all")
    grid = profiles.resolve("digits", ROOT / "profiles")["grid"]
    seeds, rounds = grid["seeds"], range(len(grid["rounds"]))
    expected = {f"evaluate@{m}-{s}-{r + 1}" for m in grid["methods"] for s in seeds for r in rounds}
    expected |= {f"{stage}@{s}" for stage in ("train_base", "evaluate_base") for s in seeds}
    expected |= {f"k0@{m}-{s}" for m in grid["methods"] for s in seeds}
    expected |= {
        f"{group}@{m}-{s}-after{r}"
        for m in grid["methods"]
        for group in registry.load(m).stages
        for s in seeds
        for r in rounds
    }
    expected |= {"prepare_data", "train_features", "summarize", "report", "track"}
    assert set(names) == expected and len(names) == len(expected), "and the study is no part of the root pipeline"


def test_the_study_has_a_stage_for_every_chain(stages):
    study = profiles.resolve("study", ROOT / "profiles")
    pairs = [(c, s) for c in ("independent", "ot") for s in study["grid"]["seeds"]]
    expected = {f"{stage}@{c}-{s}" for stage in ("base", "evaluate_base") for c, s in pairs}
    expected |= {f"chain@{chain}" for chain in study["chains"]} | {"summarize", "report"}
    assert {name.removeprefix("study/") for name in stages if name.startswith("study/")} == expected


def test_every_method_has_a_coupling_parameters_and_stages():
    """A file of couplings/ is a method: it has a block in the defaults, and a class of its own for that block."""
    blocks = profiles.resolve("tiny", ROOT / "profiles")["methods"]
    assert sorted(blocks) == registry.names() == sorted(p.stem for p in COUPLINGS.glob("[a-z]*.py"))
    classes = set()
    for name in registry.names():
        method = registry.load(name)
        for kind, base in ((method.params, Group), (method.coupling, Coupling)):
            assert issubclass(kind, base) and kind.__module__ == f"reflowbench.couplings.{name}"
            classes.add(kind)
        assert set(method.stages) <= set(registry.STAGE_GROUPS)
    assert len(classes) == 2 * len(blocks)


def test_a_method_is_in_the_stage_groups_of_the_pairs_that_it_stores(stages):
    """And the training stage of those groups is given what the method stores, and nothing else."""
    for name in registry.names():
        method = registry.load(name)
        *made, trained = method.stages
        assert made == [g for g, kind in (("generate_pairs", "synthetic"), ("rca_regenerate", "inverted"))
                        if kind in method.stored]  # fmt: skip
        stage = stages[f"{trained}@{name}-0-after0"]
        assert {kind for kind in ("synthetic", "inverted") if option(stage, kind)} == method.stored
        assert script_of(stage) == "train_round" and option(stage, "method") == name


def module_file(name):
    """File of a module of ours, or None for other modules."""
    parts = name.split(".")
    base = {"reflowbench": SRC, "stages": ROOT}.get(parts[0])
    if base is None:
        return None
    path = base.joinpath(*parts)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


@cache
def tree_of(path):
    return ast.parse(path.read_text())


@cache
def imports(path):
    """Files of ours that a file imports anywhere, functions included."""
    found = []
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += filter(None, map(module_file, names))
    return found


def packages(path):
    """The __init__ files that Python runs before a file of ours, if they do more than document."""
    for folder in path.parents:
        init = folder / "__init__.py"
        if folder in (SRC, ROOT):
            return
        # The face of the package holds a docstring and the version only.
        if init.exists() and init != SRC / "reflowbench/__init__.py" and len(tree_of(init).body) > 1:
            yield init


@cache
def calls(path):
    """Calls of a file, by the text of what is called."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]


def methods_loaded(path, method):
    """Files of methods that a stage script imports by name: that of its `--method`, or all that it checks."""
    called = {name for name, _ in calls(path) if name.startswith("registry.")}
    loading = {"registry.load", "registry.load_method_params"}
    assert called <= loading | {"registry.check", "registry.names", "registry.build"}  # build: that of the networks
    if "registry.check" in called:
        return [COUPLINGS / f"{name}.py" for name in registry.names()]
    return [COUPLINGS / f"{method}.py"] if called & loading else []


@cache
def reached(path, method):
    found, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += [*imports(current), *packages(current)]
            if current.parent == ROOT / "stages":
                todo += methods_loaded(current, method)
    face = {Path("src/reflowbench/__init__.py"), Path("stages/__init__.py")}
    return {p.relative_to(ROOT) for p in found} - face


def test_methods_are_imported_by_name_in_one_place_only():
    """What `reached` cannot see: importlib is used by the registry alone, on a file that is named to it."""
    for path in (*SRC.rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        text = path.read_text()
        dynamic = "importlib" in text or "__import__" in text
        assert dynamic == (path == COUPLINGS / "shared/registry.py"), path
    # Only stages (see `methods_loaded`) and the command line ask it to: no library code that a stage may import.
    asked = ("registry.load(", "registry.check(", "registry.stages_of(", "method_params(")
    users = {path.name for path in SRC.rglob("*.py") if path.name != "registry.py" and "couplings" in path.read_text()
             and any(name in path.read_text() for name in asked)}  # fmt: skip
    assert users == {"profiles.py", "cli.py"}


def code_deps(stage):
    return {Path(dep.def_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}


def test_each_stage_depends_on_exactly_the_code_it_imports(stages):
    for name, stage in stages.items():
        files = reached(script_file(stage), option(stage, "method"))
        deps = code_deps(stage)
        uncovered = {f for f in files if not any(f == dep or dep in f.parents for dep in deps)}
        assert not uncovered, f"{name} imports {uncovered}, which dvc.yaml does not list"
        unused = {dep for dep in deps if not any(f == dep or dep in f.parents for f in files)}
        assert not unused, f"{name} lists {unused}, which it does not import"


def test_a_method_reruns_no_stage_of_another(stages):
    """Of the training stages, an edited method's own ones; and the check of all parameters."""
    for method in registry.names():
        file = (COUPLINGS / f"{method}.py").relative_to(ROOT)
        assert file.exists()
        touched = {n for n, stage in stages.items() if {file, file.parent} & code_deps(stage)}
        own = {n for n, stage in stages.items() if option(stage, "method") == method}
        base = {n for n, stage in stages.items() if script_of(stage) == "train_base"} if method == "ot" else set()
        assert own and touched == own | base | {"prepare_data"}


def test_every_path_in_a_command_is_a_dependency_or_an_output(stages):
    """A file that a stage reads and DVC does not watch would go stale unseen."""
    for name, stage in stages.items():
        deps = {item.def_path for item in stage.deps} - {str(path) for path in code_deps(stage)} - {"params.yaml"}
        outs = {item.def_path for item in stage.outs}
        paths = {word for word in stage.cmd.split() if "/" in word or word == "reports"}
        if script_of(stage) == "report":  # makes its outputs in one folder
            assert {str(Path(out).parent) for out in outs} == {option(stage, "out")}
            outs = {option(stage, "out")}
        if script_of(stage) == "track":  # finds what it mirrors by itself
            deps = {dep for dep in deps if not dep.startswith("reports/")}
        assert paths == deps | outs, name


def test_no_training_stage_depends_on_reports_or_tracking(stages):
    for name, stage in stages.items():
        if script_of(stage) not in ("report", "track", "summarize"):
            results = {Path("src/reflowbench") / name for name in ("report", "tracking", "results")}
            assert not code_deps(stage) & results


def raw(stage):
    """The parameter file that a stage reads, as plain YAML."""
    return read_yaml(Path(stage.wdir) / option(stage, "params", "params.yaml"))


read_yaml = cache(config.read_yaml)


def grid_keys_read(path):
    """Keys of the grid that a script reads one by one; none if it hands the grid on as a whole."""
    tree = tree_of(path)
    keys, whole = set(), False
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        loads = isinstance(node, ast.Call) and ast.unparse(node).startswith("load_group(GridParams")
        if loads or (isinstance(node, ast.Name) and node.id == "grid" and isinstance(node.ctx, ast.Load)):
            parent = parents[node]
            if isinstance(parent, ast.Attribute):
                keys.add(f"grid.{parent.attr}")
            elif not isinstance(parent, ast.Assign):
                whole = True
    return {"grid"} if whole else keys


def keys_read(stage):
    """Keys of params.yaml that a stage reads: groups, single keys of the grid, and what its script names in KEYS."""
    script = importlib.import_module(f"stages.{script_of(stage)}")
    method, chain = option(stage, "method"), option(stage, "chain")
    read = set(getattr(script, "KEYS", ())) & set(raw(stage))
    for kind in script.GROUPS:
        if kind is GridParams:
            read |= grid_keys_read(script_file(stage))
        elif script_of(stage) != "train_round" or group_path(kind) != "pairs" or registry.load(method).regenerates:
            read.add(group_path(kind))
    if method:
        read.add(f"methods.{method}")
    if chain:
        read.add(f"chains.{chain}")
    return read


def test_declared_parameters_are_those_that_the_script_reads(stages):
    for name, stage in stages.items():
        declared = [(params.def_path, key) for params in stage.params for key in params.params]
        file = option(stage, "params", "params.yaml")
        assert file == ("study/params.yaml" if name.startswith("study/") else "params.yaml"), name
        assert set(declared) == {(file, key) for key in keys_read(stage)}, name
        assert len(declared) == len(set(declared)), name


def test_values_in_a_command_are_those_of_the_parameters(stages):
    """A value that the command line holds is watched with the command: it needs no parameter."""
    base = stages["train_base@0"]
    assert option(base, "coupling") == raw(base)["base"]["coupling"]
    chains = {n: stage for n, stage in stages.items() if n.startswith("study/chain@")}
    assert set(chains) == {f"study/chain@{key}" for key in raw(next(iter(chains.values())))["chains"]}
    for name, stage in chains.items():
        chain = raw(stage)["chains"][option(stage, "chain")]
        assert name == f"study/chain@{option(stage, 'chain')}" and option(stage, "method") == chain["method"]
        assert option(stage, "bases") == f"runs/study/bases/{chain['base']}"


def loaded(path):
    """Classes that a script gives to load_group, by itself or by the scripts that it runs."""
    own = {ast.unparse(call.args[0]) for name, call in calls(path) if name == "load_group"}
    scripts = [
        file for file in imports(path) if file.parent == ROOT / "stages" and file.stem not in ("__init__", path.stem)
    ]
    return own.union(*map(loaded, scripts))


def uses_of_params(path):
    """What a script does with the whole parameter file, which it calls `params`."""
    nodes = list(ast.walk(tree_of(path)))
    uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == "params" and isinstance(n.ctx, ast.Load)]
    attributes = [n.attr for n in nodes if isinstance(n, ast.Attribute) and n.value in uses]
    return attributes + ["the whole"] * (len(uses) - len(attributes))


def test_scripts_read_only_the_groups_they_name():
    """GROUPS and KEYS are what the test above compares: all that is loaded must be in them, and nowhere else."""
    for path in (ROOT / "stages").glob("[a-z]*.py"):
        script = importlib.import_module(f"stages.{path.stem}")
        assert loaded(path) == {kind.__name__ for kind in script.GROUPS}, path.name
        called, text = [name for name, _ in calls(path)], ast.unparse(tree_of(path))
        assert ("registry.load_method_params" in called) == (path.stem == "train_round")
        assert all(ast.unparse(call.args[1]) == "args.params" for name, call in calls(path) if name == "load_group")
        keys = set(getattr(script, "KEYS", ()))
        if keys:
            assert set(uses_of_params(path)) == keys, path.name
            assert text.count("params = load_params(args.params)\n") == called.count("load_params") == 1, path.name
        elif path.stem == "prepare_data":  # checks the whole file and uses nothing of it
            assert text.count("registry.check(load_params(args.params), ") == called.count("load_params") == 1
        else:
            assert "load_params" not in called, path.name
    readers = {"core/config.py", "cli.py", "couplings/shared/registry.py"}
    for path in SRC.rglob("*.py"):
        if str(path.relative_to(SRC / "reflowbench")) not in readers:
            assert "load_group" not in path.read_text() and "load_params" not in path.read_text(), path
        if path != COUPLINGS / "shared/registry.py":
            assert "method_params" not in path.read_text(), path


def test_a_chains_scripts_are_given_its_name():
    """What a study may override is read with the chain's name: by the scripts that run_chain runs, and it alone."""
    for path in (ROOT / "stages").glob("[a-z]*.py"):
        for name, call in calls(path):
            arguments = [ast.unparse(argument) for argument in call.args]
            takes = path.stem in ("train_round", "generate_pairs", "rca_regenerate")
            if name == "load_group" and arguments[0] in ("RoundParams", "PairsParams"):
                assert (arguments[2:] == ["args.chain"]) == takes, path
            if name == "registry.load_method_params":
                assert arguments == ["args.method", "args.chain", "args.params"]


def test_only_git_tracked_reports_are_outside_the_cache(stages):
    uncached = {out.def_path for stage in stages.values() for out in stage.outs if not out.use_cache}
    reports = {"results.csv", "summary.json", "fd_by_round.csv", "report.md", "figures"}
    expected = {f"{folder}/{name}" for folder in ("reports", "reports/study") for name in reports}
    assert uncached == expected | {"runs/track/receipt.json"}
