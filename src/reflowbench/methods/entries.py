"""Entries of `methods` in params.yaml, and the coupling that each names. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import shortened

FOLDER = Path(__file__).parents[1] / "couplings"
_KEY = "method"
_RESERVED = ("base", "conditions", "exact", "floor", "profile", "real", "round")
"""Names in tables and summaries of what is no method."""


def names() -> list[str]:
    """Methods that there are: the files of `couplings/`."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def reserved(name: str) -> str:
    """Say that a name has another meaning in tables and summaries; empty if it has not."""
    shown = f"{', '.join(_RESERVED[:-1])} or {_RESERVED[-1]}"
    return f"a chain cannot be named {shown}" if name in _RESERVED else ""


def fault(name: str, block: Mapping[str, Any]) -> str:
    """Say what is wrong with the name of an entry, or with the method that it names; empty if nothing is.

    Args:
        name: The entry.
        block: Its values.

    Returns:
        Such as `methods.rca_real.method = 'rac': ...`.
    """
    if wrong := reserved(name):
        return f"methods.{name}: {wrong}"
    path, known, own = f"methods.{name}.{_KEY}", names(), name in names()
    if _KEY not in block:
        return f"{path}: missing; " + (
            f"want {name}" if own else f"{name} is no method: name one of {', '.join(known)}"
        )
    value = block[_KEY]
    if own and value != name:
        shown = shortened(repr(value))
        return f"{path} = {shown}: want {name}, the method of that name; give a variant of {shown} another name"
    return "" if value in known else f"{path} = {shortened(repr(value))}: input should be one of {', '.join(known)}"


def split(methods: Mapping[str, Mapping[str, Any]], name: str, source: str) -> tuple[str, dict[str, Any]]:
    """Split an entry into the coupling that it names and the coupling's parameters.

    Args:
        methods: The group `methods`.
        name: The entry.
        source: Name of the file, for error messages.

    Returns:
        The name of the coupling, and the values.

    Raises:
        ReflowbenchError: If there is no such entry, or it names no coupling.
    """
    if name not in methods:
        raise ReflowbenchError(f"{source}: methods.{name}: missing; `reflowbench profile NAME` writes it")
    if wrong := fault(name, methods[name]):
        raise ReflowbenchError(f"{source}: {wrong}")
    return methods[name][_KEY], {key: value for key, value in methods[name].items() if key != _KEY}
