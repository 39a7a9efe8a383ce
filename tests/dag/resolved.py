"""The stages as DVC resolves them, and what their definitions say."""

import shutil
from functools import cache
from pathlib import Path

import yaml
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.methods import entries
from reflowbench.runtime import config
from tests.conftest import ROOT
from tests.source import COUPLINGS

SINGLE = ("prepare_data", "train_features", "summarize", "report", "track")
"""Stages of the pipeline that are no matrix over methods and seeds."""
VARIANTS = {"rca_fixed": "rca", "ot_small": "ot"}
"""Entries of `methods` that are variants, and their methods."""
CONTROLS = ("gans", "damage")
"""Optional stages, in controls/dvc.yaml: `dvc repro` of the root does not run them."""
THEORY = ("theory_dae@0.1", "theory_phase", "theory_gaussian_base", "theory_report")
"""Those of theory/dvc.yaml at the size of tests, without a stage per entry of `methods`."""


def resolved(folder, profile):
    """Stages by address, as DVC resolves them: of a profile's pipeline, the ablations, the controls and the theory."""
    (folder / "ablations").mkdir()
    (folder / "theory").mkdir()
    shutil.copytree(ROOT / "controls", folder / "controls", ignore=shutil.ignore_patterns("*.lock"))
    shutil.copy(ROOT / "theory/dvc.yaml", folder / "theory")
    (folder / "theory/params.yaml").write_text(yaml.safe_dump(theory_of_every_method()))
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    shutil.copy(ROOT / "ablations/pipeline.yaml", folder / "ablations/dvc.yaml")  # as ablations/run does
    (folder / "params.yaml").write_text(profiles.render(profile))
    profiles.write_profile("ablations", ROOT / "profiles", folder / "ablations/params.yaml")
    with Repo.init(str(folder), no_scm=True) as repo:
        files = {place: folder / place / "dvc.yaml" for place in ("", "ablations/", "controls/", "theory/")}
        places = {str(file.resolve()): place for place, file in files.items()}
        return {places[stage.path] + stage.name: stage for stage in repo.index.stages}


def theory_of_every_method():
    """Parameters of the theory at the size of tests, with an entry for each method that there is."""
    blocks = read_yaml(ROOT / "profiles/defaults.yaml")["methods"]
    methods = {name: {"method": name, "params": blocks[name]} for name in entries.names()}
    values = dict(read_yaml(ROOT / "tests/theory/tiny.yaml"))
    return values | {"methods": methods | {"continued": {"method": "fresh", "params": {"real_fraction": 1.0}}}}


def script_of(stage):
    return stage.cmd.split()[2].removeprefix("stages.")


def script_file(stage):
    return ROOT / "stages" / f"{script_of(stage)}.py"


def option(stage, name, default=None):
    words = stage.cmd.split()
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else default


def coupling(stage):
    """Name of the coupling that a stage runs, by its entry of `methods`; None if it runs none."""
    entry = option(stage, "method")
    return entry and raw(stage)["methods"][entry]["method"]


def recorded(stage, stages):
    """Code whose hashes are in a dependency of a stage: what its stage `coupling` writes, which watches all of it."""
    outs = {out.def_path: other for other in stages.values() if script_of(other) == "coupling" for out in other.outs}
    owners = [outs[dep.def_path] for dep in stage.deps if dep.def_path in outs]
    assert all(COUPLINGS.relative_to(ROOT) in code_deps(owner) for owner in owners)
    files = {file for owner in owners for file in entries.record(coupling(owner))["sha256"]}
    return {COUPLINGS.relative_to(ROOT) / file for file in files}


def code_deps(stage):
    return {Path(dep.def_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}


def raw(stage):
    """The parameter file that a stage reads, as plain YAML."""
    return read_yaml(Path(stage.wdir) / option(stage, "params", "params.yaml"))


read_yaml = cache(config.read_yaml)
