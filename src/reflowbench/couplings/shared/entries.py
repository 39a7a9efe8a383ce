"""Entries of `methods` in params.yaml: the coupling that each names, and the code of that coupling.

Imports no torch, so that the stage `coupling` takes a fraction of a second.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reflowbench.core.artifacts import read_json
from reflowbench.core.config import shortened
from reflowbench.core.errors import ReflowbenchError

FOLDER = Path(__file__).parents[1]
_PACKAGE = "reflowbench.couplings"
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


def record(coupling: str) -> dict[str, Any]:
    """Describe the code of a coupling; what it imports of other folders, `couplings/shared` too, is not part of it.

    Args:
        coupling: Its name.

    Returns:
        The name, and the SHA-256 of its file and of those beside it that it imports, by file name.
    """
    found: dict[str, str] = {}
    todo = {coupling}
    while todo:
        file = FOLDER / f"{todo.pop()}.py"
        code = file.read_bytes()
        found[file.name] = hashlib.sha256(code).hexdigest()
        todo |= {name for name in _imported(code) if f"{name}.py" not in found} & set(names())
    return {"coupling": coupling, "sha256": dict(sorted(found.items()))}


def check_record(path: Path, coupling: str) -> None:
    """Check that a record is of the code as it is now: a stage must not run code that DVC did not see.

    Args:
        path: What the stage `coupling` wrote.
        coupling: The coupling that is about to run.

    Raises:
        ReflowbenchError: If the record cannot be read, or is of other code.
    """
    if read_json(path) != record(coupling):
        raise ReflowbenchError(f"{path}: the code of {coupling} in {FOLDER} has changed since; run `dvc repro` again")


def _imported(code: bytes) -> Iterator[str]:
    """Names of what a file of `couplings/` imports from that folder."""
    for node in ast.walk(ast.parse(code)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, (_PACKAGE if node.level else "", node.module)))
            modules = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for module in modules:
            if module.startswith(f"{_PACKAGE}."):
                yield module.removeprefix(f"{_PACKAGE}.").partition(".")[0]
