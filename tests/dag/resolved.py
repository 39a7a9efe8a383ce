"""The stages as DVC resolves them, and what their definitions say."""

import shutil
from functools import cache
from pathlib import Path

import yaml
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.methods import entries, rounds
from reflowbench.runtime import config
from tests.conftest import ROOT

SINGLE = ("prepare_data", "encode", "train_features", "summarize", "report", "track")
"""Stages of the pipeline that are no matrix over methods and seeds."""
VARIANTS = {"rca_fixed": "rca", "ot_small": "ot"}
"""Entries of `methods` that are variants, and their methods."""
CONTROLS = ("gans", "damage")
"""Optional stages, in controls/dvc.yaml: `dvc repro` of the root does not run them."""
THEORY = ("theory_dae@0.1", "theory_phase", "theory_gaussian_base", "theory_report")
"""Those of theory/dvc.yaml at the size of tests, without a stage per entry of `methods`."""
APART = ("ablations/", "controls/", "theory/")
"""Pipelines that `dvc repro` of the root does not run."""


def resolved(folder, values):
    """Stages as DVC resolves them, by folder and name: of the pipeline for a tree of parameters, and of those apart."""
    ignored = shutil.ignore_patterns("*.lock", "params.yaml")
    for place in APART:
        shutil.copytree(ROOT / place, folder / place, ignore=ignored)
    (folder / "rounds").mkdir()
    for name in ("dvc.yaml", "rounds/dvc.yaml.j2", "controls/params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "theory/params.yaml").write_text(yaml.safe_dump(theory_of_every_method()))
    (folder / "params.yaml").write_text(profiles.render(values))
    profiles.write_profile("ablations", ROOT / "profiles", folder / "ablations/params.yaml")
    rounds.write(config.validate(values), folder)
    with Repo.init(str(folder), no_scm=True) as repo:
        where = {stage: Path(stage.path).parent.relative_to(folder.resolve()).as_posix() for stage in repo.index.stages}
        return {f"{place}/{stage.name}".removeprefix("./"): stage for stage, place in where.items()}


def of_pipeline(stages):
    """The stages that `dvc repro` of the root may run."""
    return {name: stage for name, stage in stages.items() if not name.startswith(APART)}


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


def code_deps(stage):
    return {Path(dep.def_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}


def raw(stage):
    """The parameter file that a stage reads, as plain YAML."""
    return read_yaml(Path(stage.wdir) / option(stage, "params", "params.yaml"))


read_yaml = cache(config.read_yaml)
