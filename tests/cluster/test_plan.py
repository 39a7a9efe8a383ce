"""What runs side by side, from the pipeline as DVC resolves it."""

import contextlib
import shutil

import pytest
import yaml
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.cluster.plan import make_plan
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry, rounds
from reflowbench.runtime.config import validate
from reflowbench.status.stages import Stage, read_stages
from tests.conftest import ROOT
from tests.couplings.methods import params

GATHERED = {"summarize", "report", "track"}


def written(folder, profile, change=lambda text: text):
    """The pipeline's stages on a profile, with a dvc.yaml that was changed."""
    (folder / "dvc.yaml").write_text(change((ROOT / "dvc.yaml").read_text()))
    (folder / "params.yaml").write_text(profiles.render(profile))
    (folder / rounds.FOLDER).mkdir()
    shutil.copy(ROOT / rounds.FOLDER / rounds.TEMPLATE, folder / rounds.FOLDER)
    rounds.write(validate(profile), folder)
    with Repo.init(str(folder), no_scm=True):
        pass
    with contextlib.chdir(folder):
        return read_stages()


def every_method(name="digits"):
    profile = profiles.resolve(name, ROOT / "profiles")
    blocks = {name: {"method": name, **params(name).model_dump()} for name in registry.names()}
    profile["methods"] = blocks | {"rca_fixed": blocks["rca"]}
    profile["grid"]["methods"] = list(profile["methods"])
    return profile


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return written(tmp_path_factory.mktemp("plan"), every_method())


@pytest.fixture(scope="module")
def plan(stages):
    return make_plan(stages)


def test_every_stage_is_in_one_task_or_left_for_the_end(stages, plan):
    found = [stage for task in plan.tasks for stage in task.stages] + list(plan.final)
    assert sorted(found) == sorted(stage.name for stage in stages) and len(found) > 100
    assert set(plan.final) == GATHERED


def test_nothing_comes_before_what_it_needs(stages, plan):
    """Within a task, between tasks, and at the end; and no task waits for one that it does not need."""
    needs = {stage.name: stage.needs for stage in stages}
    task_of = {stage: task.name for task in plan.tasks for stage in task.stages}
    seen = set()
    for task in plan.tasks:
        assert set(task.after) <= {task_of[stage] for stage in seen}, task
        assert set(task.after) == {task_of[n] for s in task.stages for n in needs[s]} - {task.name}
        for stage in task.stages:
            assert needs[stage] <= seen
            seen.add(stage)
    for stage in plan.final:
        assert needs[stage] <= seen
        seen.add(stage)


def test_the_targets_of_a_task_need_all_of_it_and_no_other_target(stages, plan):
    needs = {stage.name: stage.needs for stage in stages}
    names = {stage.address: stage.name for stage in stages}
    for task in plan.tasks:
        targets = [names[address] for address in task.targets]
        reached, todo = set(), list(targets)
        while todo:
            stage = todo.pop()
            reached.add(stage)
            todo += needs[stage] & set(task.stages)
        assert reached == set(task.stages)
        assert not set(targets) & {n for s in task.stages for n in needs[s]}


def test_a_chain_is_all_of_a_method_and_seed_and_chains_need_no_chain(stages, plan):
    grid = every_method()["grid"]
    cells = {f"{method}-{seed}" for method in grid["methods"] for seed in grid["seeds"]}
    chains = {task.name: task for task in plan.tasks if len(task.stages) > 1}
    assert set(chains) == cells
    for name, task in chains.items():
        assert {stage.partition("@")[2].rpartition("-")[0] for stage in task.stages} == {name}
        seed = name.rpartition("-")[2]
        assert set(task.after) == {"prepare_data", "encode", "train_features", f"train_base@{seed}"}
        assert {stage for stage in task.stages if stage.startswith("evaluate@")} == {
            f"evaluate@{name}-{k}" for k in grid["rounds"]
        }


def test_a_grid_of_one_cell_has_the_same_parts(tmp_path):
    """Where a matrix has one item, what gathers over it looks like what needs one stage."""
    profile = profiles.resolve("tiny", ROOT / "profiles")
    profile["methods"] = {"ot": {"method": "ot", **params("ot").model_dump()}}
    profile["grid"]["methods"] = ["ot"]
    plan = make_plan(written(tmp_path, profile))
    assert set(plan.final) == GATHERED
    assert {"ot-0", "train_base@0", "evaluate_base@0"} <= {task.name for task in plan.tasks}


def test_a_stage_that_is_added_to_the_pipeline_has_its_place(tmp_path):
    added = {
        "probe": {"matrix": {"method": "${grid.methods}", "seed": "${grid.seeds}"}, "cmd": "true ${item.method}",
                  "deps": ["runs/chains/${item.method}/s${item.seed}/round1/model"],
                  "outs": ["runs/probes/${item.method}-${item.seed}"]},
        "by_seed": {"matrix": {"seed": "${grid.seeds}"}, "cmd": "true ${item.seed}",
                    "deps": ["runs/probes/reflow-${item.seed}"], "outs": ["runs/by_seed/${item.seed}"]},
        "alone": {"cmd": "true", "outs": ["runs/alone"]},
    }  # fmt: skip

    def change(text):
        pipeline = yaml.safe_load(text)
        pipeline["stages"] |= added
        return yaml.safe_dump(pipeline, sort_keys=False)

    profile = profiles.resolve("tiny", ROOT / "profiles")
    plan = make_plan(written(tmp_path, profile, change))
    tasks = {task.name: task for task in plan.tasks}
    assert "probe@rca-0" in tasks["rca-0"].stages and "probe@rca-0" in tasks["rca-0"].targets
    assert tasks["alone"].after == () and "alone" not in plan.final
    assert tasks["by_seed@0"].after == ("reflow-0",) and set(plan.final) == GATHERED


def stage(name, item, *needs):
    return Stage(name, (), "missing", (), frozenset(needs), item)


def test_values_that_have_a_dash_are_not_taken_apart():
    """Names are made of DVC's values, not guessed from the names of stages."""
    item = {"method": "a", "seed": 1, "noise": "1e-05"}
    plan = make_plan([stage("x@a-1-1e-05", item), stage("y@a-1", item, "x@a-1-1e-05")])
    assert [(task.name, len(task.stages)) for task in plan.tasks] == [("a-1", 2)]


def test_chains_that_need_one_another_are_refused():
    def of(name, *needs):
        return stage(name, {"method": name[0], "seed": 0}, *needs)

    with pytest.raises(ReflowbenchError, match=r"chains of stages need one another \((a-0 -> b-0|b-0 -> a-0)\)"):
        make_plan([of("a1"), of("b1", "a1"), of("a2", "b1")])
