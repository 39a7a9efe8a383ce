"""The DAG as DVC reads it: which stages there are, with which paths."""

import subprocess
import sys
from pathlib import Path

import pytest

from reflowbench import profiles
from reflowbench.couplings.shared.base import Coupling
from reflowbench.methods import registry
from reflowbench.runtime.params import Group
from tests.conftest import ROOT
from tests.dag.resolved import CONTROLS, SINGLE, THEORY, VARIANTS, code_deps, option, read_yaml, resolved, script_of
from tests.pipeline.project import TINY_STAGES
from tests.source import COUPLINGS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Names of the pipeline's stages on the tiny profile."""
    stages = resolved(tmp_path_factory.mktemp("tiny"), profiles.resolve("tiny", ROOT / "profiles"))
    return {name for name in stages if "/" not in name}


def test_the_tiny_grid_has_exactly_these_stages(tiny):
    assert sorted(tiny) == sorted(TINY_STAGES)


def listed(*arguments):
    command = [sys.executable, "-m", "dvc", "stage", "list", "--fail", "--name-only", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_dvc_parses_the_committed_files_and_finds_every_cell():
    names = listed()
    params = profiles.resolve("digits", ROOT / "profiles")
    grid = params["grid"]
    seeds, rounds = grid["seeds"], range(len(grid["rounds"]))
    expected = {f"evaluate@{m}-{s}-{k}" for m in grid["methods"] for s in seeds for k in grid["ks"]}
    expected |= {f"{stage}@{s}" for stage in ("train_base", "evaluate_base") for s in seeds}
    expected |= {f"k0@{m}-{s}" for m in grid["methods"] for s in seeds}
    expected |= {f"coupling@{m}" for m in grid["methods"]}
    expected |= {
        f"{group}@{m}-{s}-after{r}"
        for m in grid["methods"]
        for group in registry.load(params["methods"][m]["method"]).stages
        for s in seeds
        for r in rounds
    }
    expected |= {*SINGLE, "encode_latents@train"}
    assert set(names) == expected and len(names) == len(expected), "and no other pipeline is part of it"
    theory = read_yaml(ROOT / "theory/params.yaml")
    others = {f"theory/dvc.yaml:theory_gaussian@{name}" for name in theory["methods"]}
    others |= {f"theory/dvc.yaml:{name}" for name in THEORY} | {"theory/dvc.yaml:theory_dae@0.4"}
    assert set(listed("--all")) == expected | others | {f"controls/dvc.yaml:{name}" for name in CONTROLS}


def test_each_control_is_a_stage_with_a_group_of_its_own(stages):
    """And a script; no stage of the pipeline or the ablations depends on what the controls make."""
    assert {name.removeprefix("controls/") for name in stages if name.startswith("controls/")} == set(CONTROLS)
    assert set(read_yaml(ROOT / "controls/params.yaml")) == set(CONTROLS)
    for name in CONTROLS:
        assert script_of(stages[f"controls/{name}"]) == f"control_{name}"
    for stage in stages.values():
        assert not [dep.def_path for dep in stage.deps if dep.def_path.startswith("reports/controls")]
        assert Path("src/reflowbench/controls") not in code_deps(stage) or script_of(stage).startswith("control_")


def test_the_ablations_have_a_stage_for_every_chain(stages):
    ablations = profiles.resolve("ablations", ROOT / "profiles")
    pairs = [(c, s) for c in ("independent", "ot") for s in ablations["grid"]["seeds"]]
    expected = {f"{stage}@{c}-{s}" for stage in ("base", "evaluate_base") for c, s in pairs}
    expected |= {f"chain@{chain}" for chain in ablations["chains"]} | {"summarize", "report"}
    assert {name.removeprefix("ablations/") for name in stages if name.startswith("ablations/")} == expected


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
    for name, coupling in ({name: name for name in registry.names()} | VARIANTS).items():
        method = registry.load(coupling)
        *made, trained = method.stages
        assert made == [g for g, kind in (("generate_pairs", "synthetic"), ("rca_regenerate", "inverted"))
                        if kind in method.stored]  # fmt: skip
        stage = stages[f"{trained}@{name}-0-after0"]
        assert {kind for kind in ("synthetic", "inverted") if option(stage, kind)} == method.stored
        assert script_of(stage) == "train_round" and option(stage, "method") == name


def test_every_path_in_a_command_is_a_dependency_or_an_output(stages):
    """A file that a stage reads and DVC does not watch would go stale unseen."""
    for name, stage in stages.items():
        deps = {item.def_path for item in stage.deps} - {str(path) for path in code_deps(stage)} - {"params.yaml"}
        outs = {item.def_path for item in stage.outs}
        paths = {word for word in stage.cmd.split() if "/" in word or word == "reports"}
        if script_of(stage) in ("summarize", "report", "theory_report"):  # make their outputs in one folder
            assert {str(Path(out).parent) for out in outs} == {option(stage, "out")}
            outs = {option(stage, "out")}
        if script_of(stage) == "report":  # and reads tables from one; tests/report runs it on these tables alone
            tables = {dep for dep in deps if str(Path(dep).parent) == option(stage, "results")}
            assert len(tables) == (1 if "ablations" in name else 3)
            deps = deps - tables | {option(stage, "results")}
        if script_of(stage) == "track":  # finds what it mirrors by itself
            deps = {dep for dep in deps if not dep.startswith("reports/")}
        assert paths == deps | outs, name


def test_only_git_tracked_reports_are_outside_the_cache(stages):
    uncached = {out.def_path for stage in stages.values() for out in stage.outs if not out.use_cache}
    reports = {"results.csv", "summary.json", "fd_by_round.csv", "report.md", "figures"}
    reports |= {"aspects.csv", "paired.csv", "spectra.csv"}
    expected = {f"{folder}/{name}" for folder in ("reports", "reports/ablations") for name in reports}
    controls = {out.def_path for n, stage in stages.items() if n.startswith("controls/") for out in stage.outs}
    assert controls and all(Path("reports/controls") in Path(out).parents for out in controls)
    theory = {f"reports/theory/{name}" for name in ("dae.csv", "phase.csv", "flows.csv", "report.md", "figures")}
    assert uncached == expected | controls | theory | {"reports/index.html", "runs/track/receipt.json"}
    for stage in stages.values():  # DVC would delete them before a run that may fail
        assert all(out.persist for out in stage.outs if out.def_path.startswith("reports/"))


def test_a_change_of_the_theory_reruns_only_its_own_cells(stages):
    """Each group of parameters, entry of `methods` and noise variance has stages of its own, in a pipeline apart."""
    theory = {name.removeprefix("theory/"): stage for name, stage in stages.items() if name.startswith("theory/")}
    entries = [*registry.names(), "continued"]
    assert set(theory) == {*THEORY, *(f"theory_gaussian@{name}" for name in entries)}
    watched = {n: {(p.def_path, key) for p in stage.params for key in p.params} for n, stage in theory.items()}
    for group, names in (
        ("theory_dae", {"theory_dae@0.1"}),
        ("theory_phase", {"theory_phase"}),
        ("theory_gaussian", {n for n in theory if n.startswith("theory_gaussian")}),
        *((f"methods.{name}", {f"theory_gaussian@{name}"}) for name in entries),
    ):
        key = ("theory/params.yaml", group)
        assert {n for n, keys in watched.items() if key in keys} - {"theory_report"} == names, group
    assert {file for keys in watched.values() for file, _ in keys} == {"theory/params.yaml"}
    for name, stage in stages.items():
        reads = {dep.def_path for dep in stage.deps}
        if name.startswith("theory/"):
            assert all(path.startswith("runs/theory/") for path in reads if path.startswith("runs/")), name
        else:
            assert not [path for path in reads if "theory" in path], name


def test_models_of_latents_are_trained_on_what_is_encoded_and_measured_on_images(tmp_path):
    """One more stage, and another file to train on; without latents neither is there."""
    profile = profiles.resolve("celebahq-latent", ROOT / "profiles")
    without = profile | {"grid": profile["grid"] | {"space": "data", "encoded": []}}
    found = []
    for number, values in enumerate((without, profile)):
        (tmp_path / str(number)).mkdir()
        stages = resolved(tmp_path / str(number), values)
        found.append({name: stage for name, stage in stages.items() if "/" not in name})
    plain, latent = found
    assert set(latent) - set(plain) == {"encode_latents@train"} and set(plain) < set(latent)
    encode = latent["encode_latents@train"]
    assert [out.def_path for out in encode.outs] == ["runs/latents/train.safetensors"]
    assert code_deps(encode) == {Path("stages/encode_latents.py"), Path("src/reflowbench/core")}
    assert [key for dep in encode.params for key in dep.params] == ["latents"]
    for name, stage in latent.items():
        deps = {dep.def_path for dep in stage.deps}
        trains = script_of(stage) in ("train_base", "train_round", "rca_regenerate")
        assert ("runs/latents/train.safetensors" in deps) == trains, name
        if trains:
            assert option(stage, "data") == "runs/latents/train.safetensors"
            assert option(plain[name], "data") == "runs/data/train.safetensors"
            assert "runs/data/train.safetensors" not in deps
        if script_of(stage) == "evaluate":
            assert {"runs/data/train.safetensors", "runs/latents"} <= deps
            assert option(stage, "space") == "runs/latents"
            assert "latents" in [k for d in stage.params for k in d.params]
            assert "runs/data" in {dep.def_path for dep in plain[name].deps}
