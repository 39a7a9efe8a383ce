"""Methods by name: a method is a file of `couplings/` that defines METHOD."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reflowbench.core.config import load_params, parse
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import Group, Params, RoundParams, space_of
from reflowbench.couplings.shared.base import Coupling

FOLDER = Path(__file__).parents[1]
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


def names() -> list[str]:
    """Methods that there are: the files of `couplings/`."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


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


def stages_of(methods: list[str]) -> dict[str, list[str]]:
    """Methods by stage group, for `grid.stages`: DVC's matrix cannot filter, so params.yaml lists them."""
    passes = {method: load(method).stages for method in methods}
    return {group: [m for m in methods if group in passes[m]] for group in STAGE_GROUPS}


def check(params: Params, source: str) -> None:
    """Check what depends on the methods: their blocks, the grid's methods and stages, and the chains of a study.

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
    bad = set()
    common = {group: getattr(params, group).model_dump() for group in ("round", "pairs")}
    trained = () if params.chains else params.grid.methods
    for name, block in params.methods.items():
        if name not in names():
            yield f"{source}: methods.{name}: no such method; there are: {', '.join(names())}"
        elif fault := _fault(parse, load(name).params, block, f"methods.{name}.", source):
            bad.add(name)
            yield fault
        elif name in trained:
            yield _batch_fault(name, block, common["round"], f"methods.{name}.", source)
    for name, chain in params.chains.items():
        if chain.method not in params.methods:
            yield f"{source}: chains.{name}.method = {chain.method!r}: input should be one of {list(params.methods)}"
            continue
        if chain.method in names() and chain.method not in bad:
            values, prefix = params.methods[chain.method] | chain.params, f"chains.{name}.params."
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
    if unknown or not set(params.grid.methods) <= {*names(), *params.chains}:
        return
    expected = {} if params.chains else stages_of(list(params.grid.methods))
    if params.grid.stages != expected:
        yield (
            f"{source}: grid.stages must be {expected} for methods {params.grid.methods}; "
            "`reflowbench profile` writes it"
        )


def _latents_faults(params: Params, source: str) -> Iterator[str]:
    """What does not go with models that work on latents, or with models that do not."""
    path, wanted = params.latents.path, space_of(params.latents.path)
    if (params.grid.space, list(params.grid.encoded)) != wanted:
        yield (
            f"{source}: grid.space and grid.encoded must be {wanted[0]} and {wanted[1]} for latents.path = {path!r}; "
            "`reflowbench profile` writes them"
        )
    if path and params.base.flip:
        yield f"{source}: base.flip = True: latents cannot be mirrored; make it false"
    if path and params.data.dequantize:
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
    """Parameters of a method, or of a study's chain: its own values over those of its method.

    Args:
        params: The whole of the parameters.
        name: The method.
        chain: The chain; None outside a study.
        source: Name of the file, for error messages.

    Returns:
        The typed block.

    Raises:
        ReflowbenchError: If the block or the chain is missing, or a value is wrong.
    """
    if chain and (chain not in params.chains or params.chains[chain].method != name):
        raise ReflowbenchError(
            f"{source}: no chain {chain!r} of method {name!r}; there are: {', '.join(params.chains)}"
        )
    if name not in params.methods:
        raise ReflowbenchError(f"{source}: methods.{name}: missing; profiles/defaults.yaml holds a block per method")
    values = params.methods[name] | (params.chains[chain].params if chain else {})
    prefix = f"chains.{chain}.params." if chain else f"methods.{name}."
    typed: Group = parse(load(name).params, values, prefix, source)
    return typed


def load_method_params(name: str, chain: str | None, path: Path) -> Group:
    """`method_params` of a parameter file."""
    return method_params(load_params(path), name, chain, str(path))
