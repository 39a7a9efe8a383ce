"""The stages as DVC resolves them, and what their definitions say."""

import shutil
from functools import cache
from pathlib import Path

from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.core import config
from tests.conftest import ROOT

SINGLE = ("prepare_data", "train_features", "summarize", "report", "track")
THEORY = ("theory_phase", "theory_gaussian_base", "theory_report")
"""Stages of the pipeline that are no matrix over methods and seeds."""
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


def script_of(stage):
    return stage.cmd.split()[2].removeprefix("stages.")


def script_file(stage):
    return ROOT / "stages" / f"{script_of(stage)}.py"


def option(stage, name, default=None):
    words = stage.cmd.split()
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else default


def code_deps(stage):
    return {Path(dep.def_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}


def raw(stage):
    """The parameter file that a stage reads, as plain YAML."""
    return read_yaml(Path(stage.wdir) / option(stage, "params", "params.yaml"))


read_yaml = cache(config.read_yaml)
