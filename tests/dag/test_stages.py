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
from tests.dag.resolved import (
    CONTROLS,
    SINGLE,
    THEORY,
    VARIANTS,
    code_deps,
    coupling,
    of_pipeline,
    option,
    read_yaml,
    resolved,
    script_of,
)
from tests.pipeline.project import TINY_STAGES
from tests.source import COUPLINGS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Names of the pipeline's stages on the tiny profile."""
    stages = resolved(tmp_path_factory.mktemp("tiny"), profiles.resolve("tiny", ROOT / "profiles"))
    return [name.rpartition("/")[2] for name in of_pipeline(stages)]


def test_the_tiny_grid_has_exactly_these_stages(tiny):
    assert sorted(tiny) == sorted(TINY_STAGES)


def listed(*arguments):
    command = [sys.executable, "-m", "dvc", "stage", "list", "--fail", "--name-only", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_dvc_parses_the_committed_files_and_finds_every_cell():
    names = listed()
    params = profiles.resolve("digits", ROOT / "profiles")
    methods, seeds, rounds = (params["grid"][axis] for axis in ("methods", "seeds", "rounds"))
    expected = {f"evaluate@{m}-{s}-{r}" for m in methods for s in seeds for r in rounds}
    expected |= {f"{stage}@{s}" for stage in ("train_base", "evaluate_base") for s in seeds}
    expected |= set(SINGLE)
    assert set(names) == expected and len(names) == len(expected), "and no other pipeline is part of it"
    trained = {
        f"rounds/{r}/dvc.yaml:{group}@{m}-{s}-{r}"
        for m in methods
        for group in groups(params["methods"][m]["method"])
        for s in seeds
        for r in range(1, rounds[-1] + 1)
    }
    theory = read_yaml(ROOT / "theory/params.yaml")
    others = {f"theory/dvc.yaml:theory_gaussian@{name}" for name in theory["methods"]}
    others |= {f"theory/dvc.yaml:{name}" for name in THEORY} | {"theory/dvc.yaml:theory_dae@0.4"}
    others |= {f"controls/dvc.yaml:{name}" for name in CONTROLS}
    others |= {f"ablations/dvc.yaml:{name}" for name in ablation_stages()}
    found = listed("--all")
    assert set(found) == expected | trained | others and len(found) == len(set(found))


def groups(coupling):
    """Stage groups of a coupling: those that make the pairs that it stores, and its own, which trains."""
    stored = registry.load(coupling).stored
    made = {"synthetic": "generate_pairs", "inverted": "rca_regenerate"}
    return [*(group for kind, group in made.items() if kind in stored), coupling]


def ablation_stages():
    """Names of the stages of the ablations."""
    ablations = profiles.resolve("ablations", ROOT / "profiles")
    pairs = [(c, s) for c in ("independent", "ot") for s in ablations["grid"]["seeds"]]
    expected = {f"{stage}@{c}-{s}" for stage in ("base", "evaluate_base") for c, s in pairs}
    return expected | {f"chain@{chain}" for chain in ablations["chains"]} | {"summarize", "report"}


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
    assert {name.removeprefix("ablations/") for name in stages if name.startswith("ablations/")} == ablation_stages()


def test_every_method_has_a_coupling_and_parameters():
    """A file of couplings/ is a method: it has a block in the defaults, and a class of its own for that block."""
    blocks = read_yaml(ROOT / "profiles/defaults.yaml")["methods"]
    assert sorted(blocks) == registry.names() == sorted(p.stem for p in COUPLINGS.glob("[a-z]*.py"))
    classes = set()
    for name in registry.names():
        method = registry.load(name)
        for kind, base in ((method.params, Group), (method.coupling, Coupling)):
            assert issubclass(kind, base) and kind.__module__ == f"reflowbench.couplings.{name}"
            classes.add(kind)
    assert len(classes) == 2 * len(blocks)


def test_a_round_has_the_stage_groups_of_every_method(stages):
    """The group of its coupling is given the pairs that it stores and no others; a round starts from the one before."""
    couplings = {name: name for name in registry.names()} | VARIANTS
    expected = {
        f"rounds/{r}/{group}@{m}-0-{r}"
        for m, coupling in couplings.items()
        for group in groups(coupling)
        for r in (1, 2)
    }
    assert {name for name in stages if name.startswith("rounds/")} == expected
    for name in expected:
        stage, (group, _, cell) = stages[name], name.rpartition("/")[2].partition("@")
        method, round_ = cell.split("-0-")
        start = "runs/base/s0" if round_ == "1" else f"runs/chains/{method}/s0/round1/model"
        assert option(stage, "round") == round_ and option(stage, "seed") == "0"
        if group in ("generate_pairs", "rca_regenerate"):
            assert script_of(stage) == group and option(stage, "model") == start
            made = {"generate_pairs": "synthetic", "rca_regenerate": "inverted"}[group]
            assert option(stage, "out") == f"runs/chains/{method}/s0/round{round_}/{made}"
            continue
        assert script_of(stage) == "train_round" and option(stage, "method") == method and coupling(stage) == group
        assert option(stage, "start") == start
        assert option(stage, "out") == f"runs/chains/{method}/s0/round{round_}/model"
        given = {kind for kind in ("synthetic", "inverted") if option(stage, kind)}
        assert given == registry.load(group).stored, name


def test_every_path_in_a_command_is_a_dependency_or_an_output(stages):
    """A file that a stage reads and DVC does not watch would go stale unseen."""
    for name, stage in stages.items():
        deps = {item.def_path for item in stage.deps} - {str(path) for path in code_deps(stage)} - {"params.yaml"}
        outs = {item.def_path for item in stage.outs}
        paths = {word for word in stage.cmd.split() if "/" in word or word in ("reports", "metrics")}
        if script_of(stage) in ("summarize", "report", "theory_report"):  # make their outputs in one folder
            apart = outs & {option(stage, "metrics")}
            assert {str(Path(out).parent) for out in outs - apart} == {option(stage, "out")}
            outs = {option(stage, "out")} | apart
        if script_of(stage) == "report":  # and reads tables from one; tests/report runs it on these tables alone
            tables = {dep for dep in deps if str(Path(dep).parent) == option(stage, "results")}
            assert len(tables) == (1 if "ablations" in name else 3)
            deps = deps - tables | {option(stage, "results")}
        if script_of(stage) == "track":  # finds what it mirrors by itself
            deps = {dep for dep in deps if not dep.startswith("reports/")}
        assert paths == deps | outs, name


def test_every_result_that_a_stage_reads_is_made_by_another(stages):
    """Or holds such results: a path that nobody writes would be waited for in vain."""
    made = {Path(out.def_path) for stage in stages.values() for out in stage.outs}
    made |= {folder for path in made for folder in path.parents}
    for name, stage in stages.items():
        read = {Path(dep.def_path) for dep in stage.deps} - code_deps(stage) - {Path(p.def_path) for p in stage.params}
        assert read <= made, name


def test_only_git_tracked_reports_are_outside_the_cache(stages):
    uncached = {out.def_path for stage in stages.values() for out in stage.outs if not out.use_cache}
    reports = {"results.csv", "summary.json", "fd_by_round.csv", "fd_by_nfe.csv", "report.md", "figures"}
    reports |= {"aspects.csv", "paired.csv", "spectra.csv"}
    expected = {f"{folder}/{name}" for folder in ("reports", "reports/ablations") for name in reports}
    controls = {out.def_path for n, stage in stages.items() if n.startswith("controls/") for out in stage.outs}
    assert controls and all(Path("reports/controls") in Path(out).parents for out in controls)
    theory = {f"reports/theory/{name}" for name in ("dae.csv", "phase.csv", "flows.csv", "report.md", "figures")}
    assert uncached == expected | controls | theory | {"metrics", "reports/index.html", "runs/track/receipt.json"}
    for stage in stages.values():  # DVC would delete them before a run that may fail
        assert all(out.persist for out in stage.outs if out.def_path.startswith(("reports/", "metrics")))


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


def test_models_are_trained_on_what_is_encoded_and_measured_on_images(stages):
    """The same stages for pixels and for latents."""
    pipeline = of_pipeline(stages)
    encode = pipeline["encode"]
    encoded, images = "runs/space/train.safetensors", "runs/data/train.safetensors"
    assert [out.def_path for out in encode.outs] == [encoded] and option(encode, "data") == images
    assert [key for dep in encode.params for key in dep.params] == ["latents"]
    for name, stage in pipeline.items():
        deps = {dep.def_path for dep in stage.deps}
        trains = script_of(stage) in ("train_base", "train_round", "rca_regenerate")
        assert (encoded in deps) == trains, name
        if trains:
            assert option(stage, "data") == encoded and images not in deps
        if script_of(stage) == "evaluate":
            assert {images, "runs/space"} <= deps and option(stage, "data") == images
            assert option(stage, "space") == "runs/space"
