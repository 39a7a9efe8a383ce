"""Methods by name: a method is a file of `couplings/` that defines METHOD. Entries of `methods` name one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reflowbench.core.config import load_params, parse
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import Group, Params, RoundParams, space_of
from reflowbench.couplings.shared import entries
from reflowbench.couplings.shared.base import Coupling
from reflowbench.couplings.shared.entries import names

PairKind = Literal["synthetic", "inverted"]


def _any_batch(params: Any, batch: int) -> str:
    """Of methods whose parameters suit batches of any size (no lambda: a method is handed to other processes)."""
    return ""


@dataclass(frozen=True)
class Method:
    """One method of the grid.

    Attributes:
        params: Its parameter class; `methods.<name>` of params.yaml holds the values.
        coupling: Makes its coupling from the parameters and the round's inputs.
        stored: Kinds of stored pairs that it trains on.
        regenerates: Whether it rebuilds stored pairs within a round, hence reads the `pairs` group.
        batch_fault: Says what is wrong with its parameters for a number of pairs per batch, such as
            `replay = 5: must ...`; empty if nothing is.
    """

    params: type[Any]
    coupling: Callable[..., Coupling]
    stored: frozenset[PairKind] = frozenset()
    regenerates: bool = False
    batch_fault: Callable[[Any, int], str] = _any_batch

    def __post_init__(self) -> None:
        """Refuse a combination of stored pairs that no stage group of dvc.yaml trains on."""
        if self.stored not in _STAGES:
            raise ReflowbenchError(f"stored pairs {set(self.stored)}: no stage group of dvc.yaml trains on just these")

    @property
    def stages(self) -> tuple[str, ...]:
        """Stage groups of dvc.yaml that it passes through in a round."""
        return _STAGES[self.stored]


_STAGES: dict[frozenset[PairKind], tuple[str, ...]] = {
    frozenset(): ("ocar",),
    frozenset({"synthetic"}): ("generate_pairs", "reflow"),
    frozenset({"synthetic", "inverted"}): ("generate_pairs", "rca_regenerate", "rca"),
}
STAGE_GROUPS = ("generate_pairs", "rca_regenerate", "reflow", "rca", "ocar")


def load(name: str) -> Method:
    """Import one method, and no other: a DVC stage depends on the file of the method it trains.

    Args:
        name: The method.

    Returns:
        What its file defines.

    Raises:
        ReflowbenchError: If there is no such method.
    """
    if name not in names():
        raise ReflowbenchError(f"no method {name!r}; there are: {', '.join(names())}")
    method: Method = importlib.import_module(f"reflowbench.couplings.{name}").METHOD
    return method


def load_entry(name: str, path: Path, record: Path | None = None) -> Method:
    """Import the method that an entry of a parameter file names.

    Args:
        name: The entry of `methods`.
        path: The parameter file.
        record: What the stage `coupling` wrote of its code; None if DVC watches the code itself.

    Returns:
        What the method's file defines.

    Raises:
        ReflowbenchError: If there is no such entry, it names no method, or the record is of other code.
    """
    coupling, _ = entries.split(load_params(path).methods, name, str(path))
    if record:
        entries.check_record(record, coupling)
    return load(coupling)


def stages_of(couplings: Mapping[str, str]) -> dict[str, list[str]]:
    """Entries by stage group, for `grid.stages`: DVC's matrix cannot filter, so params.yaml lists them.

    Args:
        couplings: The method of each entry of the grid.

    Returns:
        The names of the entries that pass through each group.
    """
    passes = {name: load(coupling).stages for name, coupling in couplings.items()}
    return {group: [name for name in couplings if group in passes[name]] for group in STAGE_GROUPS}


def check(params: Params, source: str) -> None:
    """Check what depends on the methods: their blocks, the grid's methods and stages, and the chains of the ablations.

    Whether parameters suit the size of a round's batches is checked of the methods and chains that are trained.

    Args:
        params: The whole of params.yaml.
        source: Name of the file, for error messages.

    Raises:
        ReflowbenchError: If a method is unknown or lacks a block, a block is wrong or does not suit the round, or
            `grid.stages` does not follow from `grid.methods`.
    """
    faults = [message for message in _faults(params, source) if message]
    if faults:
        raise ReflowbenchError("\n".join(faults))


def _faults(params: Params, source: str) -> Iterator[str]:
    """Every fault as a message; empty where a check finds none."""
    couplings, right = {}, set()
    common = {group: getattr(params, group).model_dump() for group in ("round", "pairs")}
    trained = () if params.chains else params.grid.methods
    for name, block in params.methods.items():
        if fault := entries.fault(name, block):
            yield f"{source}: {fault}"
            continue
        couplings[name], values = entries.split(params.methods, name, source)
        if fault := _fault(parse, load(couplings[name]).params, values, f"methods.{name}.", source):
            yield fault
            continue
        right.add(name)
        if name in trained:
            yield _batch_fault(couplings[name], values, common["round"], f"methods.{name}.", source)
    for name, chain in params.chains.items():
        if fault := entries.reserved(name):
            yield f"{source}: chains.{name}: {fault}"
        known = [method for method in params.methods if method in names()]  # whose file the ablations' stage depends on
        if chain.method not in known:
            yield f"{source}: chains.{name}.method = {chain.method!r}: input should be one of {known}"
            continue
        if chain.method in right:
            values = entries.split(params.methods, chain.method, source)[1] | chain.params
            prefix = f"chains.{name}.params."
            yield _fault(parse, load(chain.method).params, values, prefix, source)
            yield _batch_fault(chain.method, values, common["round"] | chain.round, prefix, source)
        for group, shared in common.items():
            values = shared | getattr(chain, group)
            yield _fault(parse, type(getattr(params, group)), values, f"chains.{name}.{group}.", source)
    yield from _latents_faults(params, source)
    known = list(params.chains) or list(params.methods)
    unknown = [(index, name) for index, name in enumerate(params.grid.methods) if name not in known]
    for index, name in unknown:
        yield f"{source}: grid.methods.{index} = {name!r}: input should be one of {known}"
    if unknown or not set(params.grid.methods) <= {*couplings, *params.chains}:
        return
    expected = {} if params.chains else stages_of({name: couplings[name] for name in params.grid.methods})
    if params.grid.stages != expected:
        yield (
            f"{source}: grid.stages must be {expected} for methods {params.grid.methods}; "
            "`reflowbench profile` writes it"
        )


def _latents_faults(params: Params, source: str) -> Iterator[str]:
    """What does not go with models that work on latents, or with models that do not."""
    kind, wanted = params.latents.kind, space_of(params.latents.kind)
    if (params.grid.space, list(params.grid.encoded)) != wanted:
        yield (
            f"{source}: grid.space and grid.encoded must be {wanted[0]} and {wanted[1]} for latents.kind = {kind!r}; "
            "`reflowbench profile` writes them"
        )
    if kind == "none":
        return
    clipped = ["pairs"] * params.pairs.clip
    clipped += [f"chains.{name}.pairs" for name, chain in params.chains.items() if chain.pairs.get("clip")]
    for group in clipped:
        yield f"{source}: {group}.clip = True: latents have no bounds; make it false"
    if kind == "pca" and params.network.name != "mlp":
        yield f"{source}: network.name = {params.network.name!r}: principal components have no neighbours; use mlp"
    if params.base.flip:
        yield f"{source}: base.flip = True: latents cannot be mirrored; make it false"
    if kind == "autoencoder" and params.data.dequantize:
        yield f"{source}: data.dequantize = True: an autoencoder wants images as they are; make it false"


def _fault(check_: Callable[..., Any], *arguments: Any) -> str:
    """The message of a check that fails; empty if it does not."""
    try:
        check_(*arguments)
    except ReflowbenchError as error:
        return str(error)
    return ""


def _batch_fault(name: str, values: Any, round_: Mapping[str, Any], prefix: str, source: str) -> str:
    """What is wrong with a method's parameters for a round's batches; empty too where either is wrong by itself."""
    method = load(name)
    try:
        typed, batch = parse(method.params, values, prefix, source), parse(RoundParams, round_, "round.", source).batch
    except ReflowbenchError:
        return ""
    fault = method.batch_fault(typed, batch)
    return fault and f"{source}: {prefix}{fault}"


def method_params(params: Params, name: str, chain: str | None, source: str) -> Group:
    """Parameters of an entry of `methods`, or of a chain of the ablations: its own values over those of its method.

    Args:
        params: The whole of the parameters.
        name: The entry.
        chain: The chain; None outside the ablations.
        source: Name of the file, for error messages.

    Returns:
        The typed block.

    Raises:
        ReflowbenchError: If the entry or the chain is missing, or a value is wrong.
    """
    if chain and (chain not in params.chains or params.chains[chain].method != name):
        raise ReflowbenchError(
            f"{source}: no chain {chain!r} of method {name!r}; there are: {', '.join(params.chains)}"
        )
    coupling, values = entries.split(params.methods, name, source)
    prefix = f"chains.{chain}.params." if chain else f"methods.{name}."
    typed: Group = parse(load(coupling).params, values | (params.chains[chain].params if chain else {}), prefix, source)
    return typed


def load_method_params(name: str, chain: str | None, path: Path) -> Group:
    """`method_params` of a parameter file."""
    return method_params(load_params(path), name, chain, str(path))
