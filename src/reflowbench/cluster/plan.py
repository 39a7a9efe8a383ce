"""What can run side by side, from the stages as DVC resolves them: dvc.yaml's matrices over lists of params.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reflowbench.core.errors import ReflowbenchError

_CHAIN = ("method", "seed")
"""Axes of a matrix. Stages that have both are of one chain if both are the same: a round needs the one before it."""


@dataclass(frozen=True)
class Task:
    """Stages that one `dvc repro` runs, in a clone of its own.

    Attributes:
        name: `METHOD-SEED` of a chain; the name of the stage if it is a single one.
        stages: All of them, each after those that it needs.
        targets: Those that no other one of them needs.
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


@dataclass(frozen=True)
class Node:
    """A stage and where it stands in the matrix of its group.

    Attributes:
        name: Its name.
        needs: Names of the stages whose outputs it reads.
        item: Its value on every axis; None if its group is no matrix.
    """

    name: str
    needs: frozenset[str]
    item: Mapping[str, Any] | None

    @property
    def axes(self) -> frozenset[str]:
        """Those of the axes of a chain that it has."""
        return frozenset(_CHAIN) & frozenset(self.item or ())


def read_nodes(root: Path = Path()) -> list[Node]:
    """Read the stages of the folder's dvc.yaml.

    Args:
        root: The folder.

    Returns:
        The stages, in the order of dvc.yaml.

    Raises:
        ReflowbenchError: If it is no DVC project, or DVC cannot read it.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.graph import build_graph

    try:
        with Repo(str(root)) as repo:
            stages = list(repo.stage.load_all(str(root / "dvc.yaml")))
            graph = build_graph(stages)  # edges lead to what a stage depends on
            return [Node(s.name, frozenset(n.name for n in graph.successors(s)), _item(s)) for s in stages]
    except DvcException as error:
        raise ReflowbenchError(f"DVC cannot read the pipeline of {root.absolute()}: {error}") from None


def _item(stage: Any) -> Mapping[str, Any] | None:
    """A stage's own values of the axes, from DVC's resolver, so that no name has to be taken apart."""
    group, at, key = stage.name.partition("@")
    return dict(stage.dvcfile.resolver.definitions[group].normalized_iterable[key]) if at else None


def make_plan(nodes: list[Node]) -> Plan:
    """Divide the stages into tasks.

    A stage that gathers over methods, seeds or a whole matrix, and whatever comes after one, is final. Of the others,
    those with one method and one seed make a chain together, and each other one is a task by itself.

    Args:
        nodes: The stages.

    Returns:
        The plan.

    Raises:
        ReflowbenchError: If two tasks would wait for one another.
    """
    by_name = {node.name: node for node in nodes}
    order = _in_order({node.name: node.needs for node in nodes})
    final: set[str] = set()
    for name in order:
        node = by_name[name]
        if node.needs & final or any(_gathers(node, by_name[need]) for need in node.needs):
            final.add(name)
    members: dict[str, list[str]] = {}
    task_of: dict[str, str] = {}
    for name in order:
        if name not in final:
            task_of[name] = _task_name(by_name[name])
            members.setdefault(task_of[name], []).append(name)
    tasks = {}
    for task, stages in members.items():
        needed = frozenset().union(*(by_name[stage].needs for stage in stages))
        after = dict.fromkeys(task_of[name] for name in order if name in needed and task_of[name] != task)
        tasks[task] = Task(task, tuple(stages), tuple(s for s in stages if s not in needed), tuple(after))
    ordered = _in_order({name: task.after for name, task in tasks.items()})
    return Plan(tuple(tasks[name] for name in ordered), tuple(name for name in order if name in final))


def _gathers(node: Node, need: Node) -> bool:
    return bool(need.axes - node.axes) or (node.item is None and need.item is not None)


def _task_name(node: Node) -> str:
    if node.item is None or len(node.axes) < len(_CHAIN):
        return node.name
    return "-".join(str(node.item[axis]) for axis in _CHAIN)


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
