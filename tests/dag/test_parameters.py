"""The DAG as DVC reads it: the parameters that each stage depends on."""

import ast
import importlib

from reflowbench.methods import registry
from reflowbench.runtime.config import group_path
from reflowbench.runtime.params import GridParams
from tests.conftest import ROOT
from tests.dag.resolved import coupling, of_pipeline, option, raw, script_file, script_of
from tests.source import SRC, calls, grid_keys_read, loaded, own_groups, tree_of, uses_of_params

READERS = ("load_params", "load_part", "load_group", "load_chain", "load_entries")
"""What reads parameter files, in runtime/config.py."""


def is_read(stage, group):
    """Whether a stage reads a group that its script names: `pairs` and `monitor` only if there is a use for them."""
    if group == "monitor":
        return option(stage, "plots") is not None
    return script_of(stage) != "train_round" or group != "pairs" or registry.load(coupling(stage)).regenerates


def keys_read(stage):
    """Keys of params.yaml that a stage reads: groups, single keys of the grid, and what its script names in KEYS."""
    script = importlib.import_module(f"stages.{script_of(stage)}")
    if script_of(stage).startswith("theory_"):  # of its own file
        keys = set(uses_of_params(script_file(stage)))
        return keys - {"methods"} | {f"methods.{option(stage, 'name')}"} if option(stage, "name") else keys
    method, chain = option(stage, "method"), option(stage, "chain")
    read = set(getattr(script, "KEYS", ())) & set(raw(stage))
    for kind in script.GROUPS:
        if kind is GridParams:
            read |= grid_keys_read(script_file(stage))
        elif is_read(stage, group_path(kind)):
            read.add(group_path(kind))
    if script_of(stage) == "train_round" and not registry.load(coupling(stage)).stored:
        read.add("pairs.clip")
    if method:
        read.add(f"methods.{method}")
    if chain:
        read.add(f"chains.{chain}")
    return read


def test_declared_parameters_are_those_that_the_script_reads(stages):
    for name, stage in stages.items():
        declared = [(params.def_path, key) for params in stage.params for key in params.params]
        file = option(stage, "params", "params.yaml")
        place = "" if name in of_pipeline(stages) else f"{name.partition('/')[0]}/"
        if place != "controls/":
            assert file == f"{place}params.yaml", name
        read = {(file, key) for key in keys_read(stage)}
        own = {(option(stage, argument), key) for argument, key in own_groups(script_file(stage))}
        assert own == ({("controls/params.yaml", name.removeprefix("controls/"))} if "controls/" in name else set())
        assert set(declared) == read | own, name
        assert len(declared) == len(set(declared)), name


def test_a_training_that_is_watched_says_so_and_keeps_what_is_seen(stages):
    """In the pipeline all are. The ablations' are not, so that no look costs it time."""
    training = {n: stage for n, stage in stages.items() if script_of(stage) in ("train_base", "train_round")}
    watched = training.keys() & of_pipeline(stages)
    assert watched and {n for n, stage in stages.items() if option(stage, "plots")} == watched
    for name in watched:
        stage = training[name]
        assert {out.def_path for out in stage.outs} == {option(stage, "out"), option(stage, "plots")}, name
        [plots] = [out for out in stage.outs if out.def_path == option(stage, "plots")]
        assert plots.use_cache and not plots.persist
        assert plots.def_path.startswith("runs/training/")
        assert "monitor" in keys_read(stage)
    assert not [n for n, stage in stages.items() if n not in watched and "monitor" in keys_read(stage)]
    folders = [option(training[n], "plots") for n in watched]
    assert len(folders) == len(set(folders))


def test_values_in_a_command_are_those_of_the_parameters(stages):
    """A value that the command line holds is watched with the command: it needs no parameter."""
    base = stages["train_base@0"]
    assert option(base, "coupling") == raw(base)["base"]["coupling"]
    chains = {n: stage for n, stage in stages.items() if n.startswith("ablations/chain@")}
    assert set(chains) == {f"ablations/chain@{key}" for key in raw(next(iter(chains.values())))["chains"]}
    for name, stage in chains.items():
        chain = raw(stage)["chains"][option(stage, "chain")]
        assert name == f"ablations/chain@{option(stage, 'chain')}" and option(stage, "method") == chain["method"]
        assert option(stage, "bases") == f"runs/ablations/bases/{chain['base']}"


def test_scripts_read_only_the_groups_they_name():
    """GROUPS and KEYS are what the test above compares: all that is loaded must be in them, and nowhere else."""
    for path in (ROOT / "stages").glob("[a-z]*.py"):
        script = importlib.import_module(f"stages.{path.stem}")
        assert loaded(path) == {kind.__name__ for kind in script.GROUPS}, path.name
        called, text = [name for name, _ in calls(path)], ast.unparse(tree_of(path))
        assert ("registry.load_method_params" in called) == (path.stem in ("train_round", "run_chain"))
        assert called.count("load_theory") == path.stem.startswith("theory_")
        assert text.count("params = load_theory(args.params)\n") == called.count("load_theory"), path.name
        assert all(ast.unparse(call.args[1]) == "args.params" for name, call in calls(path) if name == "load_group")
        keys = getattr(script, "KEYS", ())
        assert called.count("load_part") == bool(keys), path.name
        if keys:
            assert set(uses_of_params(path)) == set(keys), path.name
            assert f"params = load_part({', '.join(map(repr, keys))}, path=args.params)\n" in text, path.name
        assert not {"load_params", "load_chain", "load_entries"} & set(called), path.name
    readers = {"runtime/config.py", "cli.py", "cluster/command.py", "methods/registry.py"}
    for path in SRC.rglob("*.py"):
        if str(path.relative_to(SRC / "reflowbench")) not in readers:
            assert not [name for name in READERS if name in path.read_text()], path
        if path != SRC / "reflowbench/methods/registry.py":
            assert "method_params" not in path.read_text(), path


def test_only_run_chain_reads_what_a_chain_overrides():
    for path in (ROOT / "stages").glob("[a-z]*.py"):
        chain = "args.chain" if path.stem == "run_chain" else "None"
        for name, call in calls(path):
            arguments = [ast.unparse(argument) for argument in call.args]
            if name == "load_group" and arguments[0] in ("RoundParams", "PairsParams"):
                assert (arguments[2:] or ["None"]) == [chain], path
            if name == "registry.load_method_params":
                assert arguments == ["args.method", chain, "args.params"], path
