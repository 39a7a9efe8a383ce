"""The state of every stage, from dvc.lock and the workspace, also while DVC runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from reflowbench.compare.parameters import changed_parameters
from reflowbench.errors import ReflowbenchError
from reflowbench.status.locks import writers

State = Literal["done", "stale", "missing", "running"]
STATES: tuple[State, ...] = ("done", "running", "stale", "missing")
PIPELINE = Path("dvc.yaml")
_ABSENT = ("deleted", "not in cache")
_TRIES = 5


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        name: Such as `rca@rca-0-2`.
        command: Its script and the script's arguments.
        state: `done`; `stale`: what it ran on has changed, or a stage before it is stale; `missing`: it never
            ran, or its outputs are not here; `running`.
        reasons: Why it is not done.
        needs: Names of the stages whose outputs it reads.
        item: Its value on every axis of its group's matrix; None if its group is no matrix.
        address: How DVC knows it from the root: its name, after the path of its dvc.yaml if that is another one.
    """

    name: str
    command: tuple[str, ...]
    state: State
    reasons: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    item: Mapping[str, Any] | None = None
    address: str = ""

    @property
    def group(self) -> str:
        """Name of its group in dvc.yaml."""
        return self.name.partition("@")[0]


def read_stages(pipeline: Path = PIPELINE) -> list[Stage]:
    """Read the state of every stage of a dvc.yaml, and of those of the root and its rounds that these need.

    DVC's own status asks for the locks of all stages and fails while one runs; its dependencies and
    outputs are asked one by one here, each once, although many stages share them. Takes about 2 s.

    Args:
        pipeline: The dvc.yaml, from the working folder, which is the root.

    Returns:
        The stages in the order of the file, each of the others before those that need it.

    Raises:
        ReflowbenchError: If this is no DVC project, or dvc.yaml, dvc.lock or params.yaml cannot be read.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    for tries_left in reversed(range(_TRIES)):
        try:
            with Repo() as repo:
                if not Path(repo.root_dir).samefile(Path.cwd()):
                    raise ReflowbenchError(f"{Path.cwd()}: the pipeline is in {repo.root_dir}; run this there")
                stages, graph = _needed(repo, pipeline)
                held = writers(Path(repo.tmp_dir))
                known: dict[Any, dict[str, Any]] = {}
                states = {stage: _state(stage, held, known) for stage in stages}
                return list(_follow(states, graph))
        except NotDvcRepoError:
            raise ReflowbenchError(f"{Path.cwd()}: not a DVC project; run this in a clone of the project") from None
        except DvcException as error:
            # DVC rewrites dvc.lock in place after every stage: half of it may be what was read.
            if not tries_left:
                raise ReflowbenchError(f"DVC cannot read the pipeline: {error}") from None
            time.sleep(0.2)
    raise AssertionError("the last try returns or raises")


def _needed(repo: Any, pipeline: Path) -> tuple[list[Any], Any]:
    """The stages of a dvc.yaml with those of the root and its rounds that they need, and DVC's graph of them."""
    import networkx as nx
    from dvc.repo.graph import build_graph

    own = list(repo.stage.load_all(str(pipeline)))
    files = [path for path in (PIPELINE, *round_files()) if path != pipeline]
    others = [stage for path in files for stage in repo.stage.load_all(str(path))]
    graph = build_graph(own + others)  # edges lead to what a stage depends on
    needed = {stage: nx.descendants(graph, stage) for stage in own}
    all_needed = set().union(*needed.values())
    chosen = [stage for stage in others if stage in all_needed]
    behind = [stage for stage in own if needed[stage] & set(chosen)]
    stages = [stage for stage in own if stage not in behind] + chosen + behind
    return stages, graph.subgraph(stages)


def round_files(root: Path = Path()) -> list[Path]:
    """The dvc.yaml of each round, in their order."""
    found = [path for path in root.glob("rounds/*/dvc.yaml") if path.parent.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.parent.name))


def _item(stage: Any) -> Mapping[str, Any] | None:
    """A stage's own values of the axes, from DVC's resolver, so that no name has to be taken apart."""
    group, at, key = stage.name.partition("@")
    return dict(stage.dvcfile.resolver.definitions[group].normalized_iterable[key]) if at else None


def _state(stage: Any, held: dict[str, str], known: dict[Any, dict[str, Any]]) -> Stage:
    """State of a stage by itself, without what is before it."""
    command = tuple(shlex.split(stage.cmd))[2:]  # after `python -m`
    holder = next((held[out.fs_path] for out in stage.outs if out.fs_path in held), None)
    if holder is not None:
        return Stage(stage.name, command, "running", (holder,))
    if not any(out.hash_info for out in stage.outs):
        return Stage(stage.name, command, "missing", ("never ran",))
    stale = ["command changed"] if stage.changed_stage() else []
    stale += [f"{what} {how}" for what, how in _changes(stage.deps, known) if how not in _ABSENT]
    outs = list(_changes(stage.outs, known))
    stale += [f"output {what} {how}" for what, how in outs if how not in _ABSENT]
    if stale:
        return Stage(stage.name, command, "stale", tuple(stale))
    absent = tuple(f"output {what} {how}" for what, how in outs)
    return Stage(stage.name, command, "missing" if absent else "done", absent)


def _changes(items: Iterable[Any], known: dict[Any, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What changed of dependencies or outputs, and how."""
    for item in items:
        key = (type(item), item.fs_path, str(item.hash_info), str(getattr(item, "params", "")))
        if key not in known:
            known[key] = item.status()
        for path, how in known[key].items():
            yield from _parameters(item) if isinstance(how, dict) else [(path, how)]


def _parameters(item: Any) -> Iterator[tuple[str, str]]:
    """Parameters that changed, each by itself: DVC names the declared one only, which may be a whole block."""
    now = item.read_params()
    then = {name: value for name, value in item.hash_info.value.items() if name in item.params}
    for change in changed_parameters(then, now):
        yield change.path, f"{change.before} → {change.after}"


def _follow(states: dict[Any, Stage], graph: Any) -> Iterator[Stage]:
    """Stages that are done so far, but come after one that has to run: they may have to run as well."""
    import networkx as nx

    found: dict[Any, Stage] = {}
    for stage in reversed(list(nx.topological_sort(graph))):  # edges lead to what a stage depends on
        state = states[stage]
        before = sorted(found[s].name for s in graph.successors(stage) if found[s].state in ("stale", "running"))
        if state.state == "done" and before:
            more = f" and {len(before) - 1} more" if len(before) > 1 else ""
            state = replace(state, state="stale", reasons=(f"after {before[0]}{more}",))
        needs = frozenset(other.name for other in graph.successors(stage))
        found[stage] = replace(state, needs=needs, item=_item(stage), address=stage.addressing)
    return (found[stage] for stage in states)
