"""What runs side by side, from the pipeline as DVC resolves it."""

import shutil

import pytest
import yaml
from dvc.repo import Repo

from reflowbench import profiles
from reflowbench.cluster.plan import Node, make_plan, read_nodes
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from tests.conftest import ROOT

GATHERED = {"summarize", "report", "track"}


def written(folder, profile, change=lambda text: text):
    """The pipeline's nodes on a profile, with a dvc.yaml that was changed."""
    (folder / "dvc.yaml").write_text(change((ROOT / "dvc.yaml").read_text()))
    (folder / "params.yaml").write_text(profiles.render(profile))
    if not (folder / ".dvc").exists():
        with Repo.init(str(folder), no_scm=True):
            pass
    return read_nodes(folder)


def every_method(name="digits"):
    profile = profiles.resolve(name, ROOT / "profiles")
    couplings = {name: name for name in registry.names()} | {"rca_fixed": "rca"}
    profile["methods"]["rca_fixed"] = profile["methods"]["rca"]
    profile["grid"] |= {"methods": list(couplings), "stages": registry.stages_of(couplings)}
    return profile


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    return written(tmp_path_factory.mktemp("plan"), every_method())


@pytest.fixture(scope="module")
def plan(nodes):
    return make_plan(nodes)


def test_every_stage_is_in_one_task_or_left_for_the_end(nodes, plan):
    found = [stage for task in plan.tasks for stage in task.stages] + list(plan.final)
    assert sorted(found) == sorted(node.name for node in nodes) and len(found) > 100
    assert set(plan.final) == GATHERED


def test_nothing_comes_before_what_it_needs(nodes, plan):
    """Within a task, between tasks, and at the end; and no task waits for one that it does not need."""
    needs = {node.name: node.needs for node in nodes}
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


def test_the_targets_of_a_task_need_all_of_it_and_no_other_target(nodes, plan):
    needs = {node.name: node.needs for node in nodes}
    for task in plan.tasks:
        reached, todo = set(), list(task.targets)
        while todo:
            stage = todo.pop()
            reached.add(stage)
            todo += needs[stage] & set(task.stages)
        assert reached == set(task.stages)
        assert not set(task.targets) & {n for s in task.stages for n in needs[s]}


def test_a_chain_is_all_of_a_method_and_seed_and_chains_need_no_chain(nodes, plan):
    grid = every_method()["grid"]
    cells = {f"{method}-{seed}" for method in grid["methods"] for seed in grid["seeds"]}
    chains = {task.name: task for task in plan.tasks if len(task.stages) > 1}
    assert set(chains) == cells
    for name, task in chains.items():
        assert {s.partition("@")[2].partition("-after")[0] for s in task.stages if "after" in s} == {name}
        assert not set(task.after) & cells
        entry, _, seed = name.rpartition("-")
        first = {"prepare_data", "encode_latents@train", "train_features", f"train_base@{seed}", f"coupling@{entry}"}
        assert set(task.after) == first
        assert {stage for stage in task.stages if stage.startswith("evaluate@")} == {
            f"evaluate@{name}-{k}" for k in grid["ks"]
        }


def test_a_grid_of_one_cell_has_the_same_parts(tmp_path):
    """Where a matrix has one item, what gathers over it looks like what needs one stage."""
    profile = profiles.resolve("tiny", ROOT / "profiles")
    profile["grid"] |= {"methods": ["ot"], "stages": registry.stages_of({"ot": "ot"})}
    plan = make_plan(written(tmp_path, profile))
    assert set(plan.final) == GATHERED
    assert {"ot-0", "train_base@0", "evaluate_base@0"} <= {task.name for task in plan.tasks}


def test_a_stage_that_is_added_to_the_pipeline_has_its_place(tmp_path):
    added = {
        "probe": {"matrix": {"method": "${grid.methods}", "seed": "${grid.seeds}"}, "cmd": "true ${item.method}",
                  "deps": ["runs/chains/${item.method}/s${item.seed}/round0/model"],
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
    assert set(plan.final) == {*GATHERED, "by_seed@0"}, "it gathers over methods, even if it reads of one"


def test_values_that_have_a_dash_are_not_taken_apart():
    """Names are made of DVC's values, not guessed from the names of stages."""
    item = {"method": "a", "seed": 1, "noise": "1e-05"}
    plan = make_plan([Node("x@a-1-1e-05", frozenset(), item), Node("y@a-1", frozenset({"x@a-1-1e-05"}), item)])
    assert [(task.name, len(task.stages)) for task in plan.tasks] == [("a-1", 2)]


def test_chains_that_need_one_another_are_refused():
    def node(name, *needs):
        return Node(name, frozenset(needs), {"method": name[0], "seed": 0})

    with pytest.raises(ReflowbenchError, match=r"chains of stages need one another \((a-0 -> b-0|b-0 -> a-0)\)"):
        make_plan([node("a1"), node("b1", "a1"), node("a2", "b1")])


def test_a_pipeline_that_dvc_cannot_read_is_named(tmp_path):
    with pytest.raises(ReflowbenchError, match="DVC cannot read the pipeline"):
        read_nodes(tmp_path)
    profile = profiles.resolve("tiny", ROOT / "profiles")
    written(tmp_path, profile)
    (tmp_path / "params.yaml").write_text("grid: {}\n")
    with pytest.raises(ReflowbenchError, match="DVC cannot read the pipeline"):
        read_nodes(tmp_path)
    shutil.rmtree(tmp_path / ".dvc")
