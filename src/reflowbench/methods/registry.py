"""Methods by name: a method is a file of `couplings/` that defines METHOD. Entries of `methods` name one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reflowbench.couplings.shared.method import Method
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import entries
from reflowbench.methods.entries import names
from reflowbench.runtime import unchanged
from reflowbench.runtime.config import load_chain, load_entries, parse
from reflowbench.runtime.params import Group, Params, RoundParams


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


def load_entry(name: str, path: Path) -> Method:
    """Import the method that an entry of a parameter file names.

    Args:
        name: The entry of `methods`.
        path: The parameter file.

    Returns:
        What the method's file defines.

    Raises:
        ReflowbenchError: If there is no such entry, or it names no method.
    """
    return load(entries.split(load_entries("methods", path), name, str(path))[0])


def check(params: Params, source: str) -> None:
    """Check what depends on the methods: their blocks, the grid's methods, and the chains of the ablations.

    Whether parameters suit the size of a round's batches is checked of the methods and chains that are trained.

    Args:
        params: The whole of params.yaml.
        source: Name of the file, for error messages.

    Raises:
        ReflowbenchError: If a method is unknown or lacks a block, or a block is wrong or does not suit the round.
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


def _latents_faults(params: Params, source: str) -> Iterator[str]:
    """What does not go with models that work on latents, or with models that do not."""
    kind = params.latents.kind
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


def load_method_params(name: str, chain: str | None, path: Path) -> Group:
    """Read the parameters of an entry of `methods`, or of a chain of the ablations.

    Args:
        name: The entry.
        chain: The chain, whose own values go before those of its method; None outside the ablations.
        path: The parameter file.

    Returns:
        The typed block.

    Raises:
        ReflowbenchError: If the entry or the chain is missing, or a value is wrong.
    """
    own = load_chain(chain, path) if chain else None
    if own and own.method != name:
        raise ReflowbenchError(f"{path}: chains.{chain}.method = {own.method!r}, not {name!r}: run `dvc repro` again")
    coupling, values = entries.split(load_entries("methods", path), name, str(path))
    unchanged.note(path, ("methods", name))
    prefix = f"chains.{chain}.params." if chain else f"methods.{name}."
    typed: Group = parse(load(coupling).params, values | (own.params if own else {}), prefix, str(path))
    return typed
