"""The DAG as DVC reads it: the stages that an edit of each file of the code makes stale.

A stage group is a name such as `evaluate`; those of the rounds have no folder, those of other pipelines have theirs.
"""

from pathlib import Path

import pytest

from reflowbench.methods import registry
from tests.conftest import ROOT
from tests.dag.resolved import code_deps, coupling, of_pipeline, script_of

METHODS = set(registry.names())
"""Each has a training group of its own in every round."""
PAIRS = {"generate_pairs", "rca_regenerate"}
TRAINING = {"train_base", *METHODS}
EVALUATION = {"evaluate", "evaluate_base"}
ABLATIONS = {"ablations/base", "ablations/evaluate_base", "ablations/chain"}
ABLATIONS_TABLES = {"ablations/summarize", "ablations/report"}
CONTROLS = {"controls/gans", "controls/damage"}
DAE = {"theory/theory_dae", "theory/theory_phase"}
FLOWS = {"theory/theory_gaussian_base", "theory/theory_gaussian"}
THEORY_REPORT = {"theory/theory_report"}
START = {"prepare_data", "encode"}
CHAINS = {"ablations/base", "ablations/chain", "controls/gans", *FLOWS}
"""What trains outside the root pipeline."""
MEASURED = {*EVALUATION, "ablations/evaluate_base", "ablations/chain", "controls/damage"}
"""What measures models or images by all metrics."""

CODE = {
    # No number depends on it, nor on what only reads results.
    "": set(),  # cli.py, profiles.py, errors.py
    "runtime": set(),
    "methods": set(),
    "cluster": set(),
    "compare": set(),
    "cost": set(),
    "gallery": set(),
    "status": set(),
    "upkeep": set(),
    # Numerics.
    "core": {*START, "train_features", *TRAINING, *PAIRS, *EVALUATION, "summarize", "report", "track"}
    | {*ABLATIONS, *ABLATIONS_TABLES, *CONTROLS, *DAE, *FLOWS, *THEORY_REPORT},
    "sources": {"prepare_data"},
    "data": {*START, "train_features", *TRAINING, *PAIRS, *EVALUATION, "report", "track"}
    | {*ABLATIONS, "ablations/report", *CONTROLS, *FLOWS, *THEORY_REPORT},
    "flow": {*TRAINING, *PAIRS, *EVALUATION, *ABLATIONS, "controls/gans", *FLOWS},
    "networks": {*TRAINING, *PAIRS, *EVALUATION, "track", *ABLATIONS, "controls/gans", *FLOWS},
    "pairs": {*TRAINING, *PAIRS, *CHAINS},
    "training": {*TRAINING, *CHAINS},
    "couplings": set(),  # no code; files of methods: see below
    "couplings/shared": {*TRAINING, *CHAINS},
    "metrics": MEASURED,
    "metrics/features": {*MEASURED, "train_features"},
    "metrics/measurement.py": {*MEASURED, *FLOWS},
    "metrics/straightness.py": {*MEASURED, *FLOWS},
    # Tables, pages and MLflow.
    "results": {"summarize", "report", *ABLATIONS_TABLES, *CONTROLS, *THEORY_REPORT},
    "report": {"report", "ablations/report"},
    "report/drawing.py": {"report", "ablations/report", *THEORY_REPORT},
    "tracking": {"track"},
    "git.py": {"track"},
    # Controls and theory.
    "controls": set(),
    "controls/damage": {"controls/damage"},
    "controls/gans": {"controls/gans"},
    "theory": THEORY_REPORT,
    "theory/dae": {*DAE, *THEORY_REPORT},
    "theory/gaussian": {*FLOWS, *THEORY_REPORT},
    "theory/params.py": {*DAE, *FLOWS, *THEORY_REPORT},
}
"""Folders and files of src/reflowbench; a file goes by the longest that it is in."""

SCRIPTS = {
    "prepare_data": {"prepare_data"},
    "encode": {"encode"},
    "train_features": {"train_features"},
    "train_base": {"train_base", "ablations/base"},
    "generate_pairs": {"generate_pairs"},
    "rca_regenerate": {"rca_regenerate"},
    "train_round": METHODS,
    "evaluate": {*EVALUATION, "ablations/evaluate_base"},
    "summarize": {"summarize", "ablations/summarize"},
    "report": {"report", "ablations/report"},
    "track": {"track"},
    "run_chain": {"ablations/chain"},
    "control_damage": {"controls/damage"},
    "control_gans": {"controls/gans"},
    "theory_dae": {"theory/theory_dae"},
    "theory_phase": {"theory/theory_phase"},
    "theory_gaussian_base": {"theory/theory_gaussian_base"},
    "theory_gaussian": {"theory/theory_gaussian"},
    "theory_report": THEORY_REPORT,
    "__init__": set(),
}
"""Files of stages/."""


def group(name):
    """The group of a stage by its address: `rounds/2/rca@rca-0-2` is of `rca`."""
    place, _, own = name.partition("@")[0].rpartition("/")
    return own if place in ("", "rounds/1", "rounds/2") else f"{place}/{own}"


def stale(file, stages):
    """Names of stages that have a file of the repository, or a folder that it is in, among their dependencies."""
    return {name for name, stage in stages.items() if {file, *file.parents} & code_deps(stage)}


def files(folder):
    """Files of the code, as paths in the repository."""
    found = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts and ".egg-info" not in str(path)]


def test_each_file_makes_stale_exactly_these_stage_groups(stages):
    rows = {Path("src/reflowbench") / place: groups for place, groups in CODE.items()}
    rows |= {Path(f"stages/{name}.py"): groups for name, groups in SCRIPTS.items()}
    methods = {Path(f"src/reflowbench/couplings/{name}.py") for name in METHODS}
    used = set()
    for file in {*files("src/reflowbench"), *files("stages")} - methods:
        row = next(place for place in (file, *file.parents) if place in rows)
        used.add(row)
        assert {group(name) for name in stale(file, stages)} == rows[row], file
    assert used == set(rows)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_file_of_a_method_makes_stale_only_stages_that_train_by_it(stages, name):
    """Of the pipeline its own group; the base models may be of `ot`, and Reflow runs beside the GANs."""
    found = stale(Path(f"src/reflowbench/couplings/{name}.py"), stages)
    own = {stage for stage in stages if coupling(stages[stage]) == name}
    trained = {stage for stage in of_pipeline(stages) if group(stage) == name}
    assert trained and trained <= own
    others = {"ot": {"train_base", "ablations/base"}, "reflow": {"controls/gans"}}.get(name, set())
    assert found == own | {stage for stage in stages if group(stage) in others}
    assert {group(stage) for stage in own} <= {name, "ablations/chain", "theory/theory_gaussian"}


def test_each_group_is_in_a_row(stages):
    assert {group(name) for name in stages} == set().union(*SCRIPTS.values())
    assert all(group(name) == coupling(stage) for name, stage in stages.items()
               if name.startswith("rounds/") and script_of(stage) == "train_round")  # fmt: skip
