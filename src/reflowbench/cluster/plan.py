"""What can run side by side, from the stages as DVC resolves them: dvc.yaml's matrices over lists of params.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reflowbench.errors import ReflowbenchError
from reflowbench.status.stages import Stage

_CHAIN = ("method", "seed")
"""Axes of a matrix. Stages that have both are of one chain if both are the same: a round needs the one before it."""


@dataclass(frozen=True)
class Task:
    """Stages that one `dvc repro` runs, in a clone of its own.

    Attributes:
        name: `METHOD-SEED` of a chain; the name of the stage if it is a single one.
        stages: All of them, each after those that it needs.
        targets: Addresses of those that no other one of them needs.
        after: Names of the tasks whose outputs it needs.
    """

    name: str
    stages: tuple[str, ...]
    targets: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The whole pipeline.

    Attributes:
        tasks: Each after those that it needs.
        final: Stages that gather what tasks made; left for a last `dvc repro` in the checkout.
    """

    tasks: tuple[Task, ...]
    final: tuple[str, ...]


def make_plan(stages: Sequence[Stage]) -> Plan:
    """Divide the stages into tasks.

    A stage of no matrix that gathers what a matrix made, and whatever comes after one, is final. Of the others, those
    with one method and one seed make a chain together, and each other one is a task by itself.

    Args:
        stages: The stages.

    Returns:
        The plan.

    Raises:
        ReflowbenchError: If two tasks would wait for one another.
    """
    by_name = {stage.name: stage for stage in stages}
    order = _in_order({stage.name: stage.needs for stage in stages})
    final: set[str] = set()
    for name in order:
        stage = by_name[name]
        if stage.needs & final or any(_gathers(stage, by_name[need]) for need in stage.needs):
            final.add(name)
    members: dict[str, list[str]] = {}
    task_of: dict[str, str] = {}
    for name in order:
        if name not in final:
            task_of[name] = _task_name(by_name[name])
            members.setdefault(task_of[name], []).append(name)
    tasks = {}
    for task, own in members.items():
        needed = frozenset().union(*(by_name[name].needs for name in own))
        after = dict.fromkeys(task_of[name] for name in order if name in needed and task_of[name] != task)
        tasks[task] = Task(
            task, tuple(own), tuple(by_name[name].address or name for name in own if name not in needed), tuple(after)
        )
    ordered = _in_order({name: task.after for name, task in tasks.items()})
    return Plan(tuple(tasks[name] for name in ordered), tuple(name for name in order if name in final))


def _axes(stage: Stage) -> frozenset[str]:
    """Those of the axes of a chain that it has."""
    return frozenset(_CHAIN) & frozenset(stage.item or ())


def _gathers(stage: Stage, need: Stage) -> bool:
    return stage.item is None and need.item is not None


def _task_name(stage: Stage) -> str:
    if stage.item is None or len(_axes(stage)) < len(_CHAIN):
        return stage.name
    return "-".join(str(stage.item[axis]) for axis in _CHAIN)


def _in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Each name after those that it needs, otherwise as they came."""
    import networkx as nx

    graph = nx.DiGraph([(need, name) for name, before in needs.items() for need in before])
    graph.add_nodes_from(needs)
    try:
        return list(nx.lexicographical_topological_sort(graph, key=list(needs).index))
    except nx.NetworkXUnfeasible:
        around = " -> ".join(edge[0] for edge in nx.find_cycle(graph))
        raise ReflowbenchError(
            f"dvc.yaml: chains of stages need one another ({around}), so they cannot run side by side; use `dvc repro`"
        ) from None
