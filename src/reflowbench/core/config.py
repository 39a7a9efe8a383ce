"""Reading params.yaml: the only place that does.

Every stage loads exactly the groups that dvc.yaml declares for it (`load_group`), so that a
parameter that is read is also a parameter that DVC watches; `tests/dag` compares the two.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import Group, Params

PARAMS_FILE = Path("params.yaml")

GroupT = TypeVar("GroupT", bound=Group)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats: PyYAML reads `1e-05`, as DVC writes it, as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with YAML 1.2 floats.

    Args:
        path: The file.

    Returns:
        The mapping.

    Raises:
        ReflowbenchError: If the file is missing, is not YAML, or is not a mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `reflowbench profile digits` writes params.yaml") from None
    except yaml.YAMLError as error:
        raise ReflowbenchError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict):
        raise ReflowbenchError(f"{path}: want a mapping of parameter groups")
    return value


def validate(values: dict[str, Any], source: str = str(PARAMS_FILE)) -> Params:
    """Check a whole parameter tree, apart from the methods' own blocks (`parse` does those).

    Args:
        values: The parsed file.
        source: Its name, for error messages.

    Returns:
        The typed parameters.

    Raises:
        ReflowbenchError: One line per fault, each with its path, its value and what is allowed.
    """
    return parse(Params, values, "", source)


def parse(kind: type[GroupT], values: Any, prefix: str, source: str = str(PARAMS_FILE)) -> GroupT:
    """Check one group.

    Args:
        kind: Its class.
        values: The parsed YAML.
        prefix: Where it stands in the file, such as `methods.rca.`; empty for the whole file.
        source: Name of the file, for error messages.

    Returns:
        The typed group.

    Raises:
        ReflowbenchError: One line per fault, each with its path, its value and what is allowed.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [_describe(kind, fault, prefix) for fault in error.errors()]
        raise ReflowbenchError("\n".join(f"{source}: {fault}" for fault in faults)) from None


def _describe(kind: type[BaseModel], fault: Any, prefix: str) -> str:
    """Say one pydantic fault as `path = value: what is allowed`."""
    path = prefix + ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        allowed = sorted(_parent(kind, fault["loc"][:-1]).model_fields)
        return f"{path}: unknown parameter; allowed here: {', '.join(allowed) or 'none'}"
    if fault["type"] == "missing":
        return f"{path}: missing; `reflowbench profile NAME` writes a complete params.yaml"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{path} = {fault['input']!r}: {message[:1].lower()}{message[1:]}"


def _parent(kind: Any, location: tuple[Any, ...]) -> Any:
    """The class of the group at a place in the tree; lists and dicts of groups give their values' class."""
    for part in location:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields else get_args(kind)[-1]
    return kind


@cache
def _load(path: Path) -> Params:
    return validate(read_yaml(path), str(path))


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of params.yaml."""
    return _load(path)


def load_group(kind: type[GroupT], path: Path = PARAMS_FILE, chain: str | None = None) -> GroupT:
    """Read one group; the whole file is checked, apart from the methods' blocks (`prepare_data` checks those first).

    Args:
        kind: The group's class, such as `PairsParams`.
        path: The parameter file.
        chain: A study's chain, whose own values for `round` and `pairs` go before; None outside a study.

    Returns:
        The group.

    Raises:
        ReflowbenchError: If the file is missing, any parameter in it is wrong, or there is no such chain.
    """
    params, name = load_params(path), group_path(kind)
    group: GroupT = getattr(params, name)
    if chain and chain not in params.chains:
        raise ReflowbenchError(f"{path}: no chain {chain!r}; there are: {', '.join(params.chains)}")
    own = getattr(params.chains[chain], name) if chain and name in ("round", "pairs") else {}
    return parse(kind, group.model_dump() | own, f"chains.{chain}.{name}.", str(path)) if own else group


def group_path(kind: type[Group]) -> str:
    """Name of a group in params.yaml, as dvc.yaml declares it."""
    return next(name for name, field in Params.model_fields.items() if field.annotation is kind)
