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
from tests.source import (
    COUPLINGS,
    SRC,
    calls,
    grid_keys_read,
    loaded,
    own_groups,
    reached,
    tree_of,
    uses_of_params,
)

CONTROLS = ("gans", "damage")
"""Optional stages, in controls/dvc.yaml: `dvc repro` of the root does not run them."""


def resolved(folder, profile):
    """Stages by address, as DVC resolves them: of the pipeline on a profile, of the study, and of the controls."""
    (folder / "study").mkdir()
    shutil.copytree(ROOT / "controls", folder / "controls", ignore=shutil.ignore_patterns("*.lock"))
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    shutil.copy(ROOT / "study/pipeline.yaml", folder / "study/dvc.yaml")  # as study/run does
    (folder / "params.yaml").write_text(profiles.render(profile))
    profiles.write_profile("study", ROOT / "profiles", folder / "study/params.yaml")
    with Repo.init(str(folder), no_scm=True) as repo:
        files = {place: folder / place / "dvc.yaml" for place in ("", "study/", "controls/")}
        places = {str(file.resolve()): place for place, file in files.items()}
        return {places[stage.path] + stage.name: stage for stage in repo.index.stages}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Names of the pipeline's stages on the tiny profile."""
    stages = resolved(tmp_path_factory.mktemp("tiny"), profiles.resolve("tiny", ROOT / "profiles"))
    return {name for name in stages if "/" not in name}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Stages of the pipeline with every method that there is, of the study and of the controls."""
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
    names = listed()
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
    assert set(names) == expected and len(names) == len(expected), "and neither study nor controls are part of it"
    assert set(listed("--all")) == expected | {f"controls/dvc.yaml:{name}" for name in CONTROLS}


def test_each_control_is_a_stage_with_a_group_of_its_own(stages):
    """And a script; no stage of the pipeline or the study depends on what the controls make."""
    assert {name.removeprefix("controls/") for name in stages if name.startswith("controls/")} == set(CONTROLS)
    assert set(read_yaml(ROOT / "controls/params.yaml")) == set(CONTROLS)
    for name in CONTROLS:
        assert script_of(stages[f"controls/{name}"]) == f"control_{name}"
    for stage in stages.values():
        assert not [dep.def_path for dep in stage.deps if dep.def_path.startswith("reports/controls")]
        assert Path("src/reflowbench/controls") not in code_deps(stage) or script_of(stage).startswith("control_")


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


def test_methods_are_imported_by_name_in_one_place_only():
    """What `reached` cannot see: importlib is used by the registry alone, on a file that is named to it."""
    other = SRC / "reflowbench/metrics/features/efficientnet.py"  # a package of others, if it is installed
    for path in (*SRC.rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        text = path.read_text()
        dynamic = "importlib" in text or "__import__" in text
        assert dynamic == (path in (COUPLINGS / "shared/registry.py", other)), path
    imported = [ast.unparse(call) for name, call in calls(other) if name.startswith("importlib")]
    assert imported == ["importlib.import_module(_PACKAGE.replace('-', '_'))"]
    assert importlib.import_module("reflowbench.metrics.features.efficientnet")._PACKAGE.startswith("efficientnet")
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
        control = {"controls/gans"} if method == "reflow" else set()  # runs Reflow beside the GANs
        assert own and touched == own | base | control | {"prepare_data"}


def test_every_path_in_a_command_is_a_dependency_or_an_output(stages):
    """A file that a stage reads and DVC does not watch would go stale unseen."""
    for name, stage in stages.items():
        deps = {item.def_path for item in stage.deps} - {str(path) for path in code_deps(stage)} - {"params.yaml"}
        outs = {item.def_path for item in stage.outs}
        paths = {word for word in stage.cmd.split() if "/" in word or word == "reports"}
        if script_of(stage) in ("summarize", "report"):  # make their outputs in one folder
            assert {str(Path(out).parent) for out in outs} == {option(stage, "out")}
            outs = {option(stage, "out")}
        if script_of(stage) == "report":  # and reads tables from one; tests/report runs it on these tables alone
            tables = {dep for dep in deps if str(Path(dep).parent) == option(stage, "results")}
            assert len(tables) == (1 if "study" in name else 3)
            deps = deps - tables | {option(stage, "results")}
        if script_of(stage) == "track":  # finds what it mirrors by itself
            deps = {dep for dep in deps if not dep.startswith("reports/")}
        assert paths == deps | outs, name


def test_no_training_stage_depends_on_reports_or_tracking(stages):
    for name, stage in stages.items():
        if script_of(stage) not in ("report", "track", "summarize") and not name.startswith("controls/"):
            results = {Path("src/reflowbench") / name for name in ("report", "tracking", "results")}
            assert not code_deps(stage) & results


def raw(stage):
    """The parameter file that a stage reads, as plain YAML."""
    return read_yaml(Path(stage.wdir) / option(stage, "params", "params.yaml"))


read_yaml = cache(config.read_yaml)


def is_read(stage, group):
    """Whether a stage reads a group that its script names: `pairs` and `monitor` only if there is a use for them."""
    if group == "monitor":
        return option(stage, "plots") is not None
    return script_of(stage) != "train_round" or group != "pairs" or registry.load(option(stage, "method")).regenerates


def keys_read(stage):
    """Keys of params.yaml that a stage reads: groups, single keys of the grid, and what its script names in KEYS."""
    script = importlib.import_module(f"stages.{script_of(stage)}")
    method, chain = option(stage, "method"), option(stage, "chain")
    read = set(getattr(script, "KEYS", ())) & set(raw(stage))
    for kind in script.GROUPS:
        if kind is GridParams:
            read |= grid_keys_read(script_file(stage))
        elif is_read(stage, group_path(kind)):
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
        if not name.startswith("controls/"):
            assert file == ("study/params.yaml" if name.startswith("study/") else "params.yaml"), name
        read = {(file, key) for key in keys_read(stage)}
        own = {(option(stage, argument), key) for argument, key in own_groups(script_file(stage))}
        assert own == ({("controls/params.yaml", name.removeprefix("controls/"))} if "controls/" in name else set())
        assert set(declared) == read | own, name
        assert len(declared) == len(set(declared)), name


def test_a_training_that_is_watched_says_so_and_keeps_what_is_seen(stages):
    """In the pipeline all are: `dvc plots` shows it. The study's are not, so that no look costs it time."""
    training = {n: stage for n, stage in stages.items() if script_of(stage) in ("train_base", "train_round")}
    watched = {n for n in training if "/" not in n}
    assert watched and {n for n, stage in stages.items() if option(stage, "plots")} == watched
    for name in watched:
        stage = training[name]
        assert {out.def_path for out in stage.outs} == {option(stage, "out"), option(stage, "plots")}, name
        [plots] = [out for out in stage.outs if out.plot]
        assert plots.def_path == option(stage, "plots") and plots.use_cache and not plots.persist
        assert plots.def_path.startswith("runs/training/")
        assert "monitor" in keys_read(stage)
    assert not [n for n, stage in stages.items() if n not in watched and "monitor" in keys_read(stage)]
    folders = [option(training[n], "plots") for n in watched]
    assert len(folders) == len(set(folders))


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
    reports |= {"aspects.csv", "paired.csv", "spectra.csv"}
    expected = {f"{folder}/{name}" for folder in ("reports", "reports/study") for name in reports}
    controls = {out.def_path for n, stage in stages.items() if n.startswith("controls/") for out in stage.outs}
    assert controls and all(Path("reports/controls") in Path(out).parents for out in controls)
    assert uncached == expected | controls | {"reports/index.html", "runs/track/receipt.json"}
    for stage in stages.values():  # DVC would delete them before a run that may fail
        assert all(out.persist for out in stage.outs if out.def_path.startswith("reports/"))
