"""Reading params.yaml: the only place that does.

A stage loads and checks exactly the groups that dvc.yaml declares for it (`load_group`), so that a parameter that is
read is also a parameter that DVC watches; `tests/dag` compares the two. `reflowbench check` checks the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError, create_model

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import unchanged
from reflowbench.runtime.params import Chain, Group, Params

PARAMS_FILE = Path("params.yaml")

GroupT = TypeVar("GroupT", bound=Group)

_DEPTH = 32
_INT64 = 2**63
_SHOWN = 200
_FAULTS = 20


class _Loader(yaml.SafeLoader):
    """Plain YAML 1.2, as DVC reads it; what is wrong is named by its key.

    By itself PyYAML reads YAML 1.1, in which `010` is 8, `1:30` is 90 and `yes` is true, where DVC hands other values
    to stages. Here all that the two read differently stays text, which no number and no switch accepts.
    """

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self._source = source
        self._path: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one value, or the key of one (`index` is None), unless parameters do not need what is written."""
        # A key that is not text has no name. It is refused once its mapping is read.
        name = index if isinstance(index, int) else getattr(index, "value", None)
        self._path.append(str(name) if isinstance(name, int | str) else "[key]")
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):  # could expand without end, or into itself
            self._refuse(event, f"*{event.anchor} stands for what is written elsewhere; write it out here")
        elif event.tag is not None:
            self._refuse(event, f"has the tag {event.tag}; write the value without it")
        if len(self._path) > _DEPTH:
            self._refuse(event, f"nested more than {_DEPTH} deep")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        elif isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int":
            digits = node.value.replace("_", "")
            if len(digits) > len(str(_INT64)) + 1 or not -_INT64 <= int(digits) < _INT64:
                self._refuse(node, f"= {node.value}: want a number between -2^63 and 2^63")
        self._path.pop()
        return node

    def _check_keys(self, mapping: yaml.MappingNode) -> None:
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            if key.tag != "tag:yaml.org,2002:str":
                self._refuse(key, f"a key here is not text: {key.value if isinstance(key, yaml.ScalarNode) else '?'}")
            if key.value in lines:  # PyYAML takes the last one
                self._path.append(key.value)
                self._refuse(key, f"given twice, in line {lines[key.value]} too; delete one of them")
            lines[key.value] = _line(key)

    def _refuse(self, where: yaml.Event | yaml.Node, what: str) -> NoReturn:
        path = shortened(".".join(self._path[1:])) or "top level"
        raise ReflowbenchError(f"{self._source}: {path} (line {_line(where)}): {shortened(what)}")


def _line(where: yaml.Event | yaml.Node) -> int:
    return int(where.start_mark.line) + 1  # type: ignore[union-attr]


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", [*"-+0123456789"]),
    (
        "float",
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF|nan|NaN|NAN))$",
        [*"-+.0123456789"],
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _first)


def shortened(text: str, length: int = _SHOWN) -> str:
    """What was found in a file, as one line that a terminal can show.

    Args:
        text: Any text.
        length: Characters of it that are enough to recognize it.

    Returns:
        The text, with escapes for what is not printable, and its beginning only if it is long.
    """
    cut = text if len(text) <= length else f"{text[:length]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of named values: text, numbers, true, false, null, lists and mappings.

    Args:
        path: The file.

    Returns:
        The mapping.

    Raises:
        ReflowbenchError: If the file cannot be read, is not YAML or not a mapping, names a value twice, or holds what
            YAML has beyond these: aliases, tags, keys that are not text, numbers of more than 64 bits.
    """
    try:
        value = _Loader(path.read_text(encoding="utf-8"), str(path)).get_single_data()
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `reflowbench profile digits` writes params.yaml") from None
    except OSError as error:
        raise ReflowbenchError(f"{path}: cannot be read ({error.strerror}); want a parameter file") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # not UTF-8; or escapes of characters there are not
        raise ReflowbenchError(f"{path}: not valid YAML ({shortened(' '.join(str(error).split()))})") from None
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
        found = error.errors()
        faults = [_describe(kind, fault, prefix) for fault in found[:_FAULTS]]
        faults += [f"and {len(found) - _FAULTS} more"] if len(found) > _FAULTS else []
        raise ReflowbenchError("\n".join(f"{source}: {fault}" for fault in faults)) from None


def _describe(kind: type[BaseModel], fault: Any, prefix: str) -> str:
    """Say one pydantic fault as `path = value: what is allowed`."""
    keys, group = _place(kind, fault["loc"])
    path = shortened(prefix + ".".join(map(str, keys)))
    if fault["type"] == "extra_forbidden":
        allowed = sorted(group.model_fields)
        perhaps = "".join(f"; is it {near}?" for near in _near(keys[-1], allowed))
        return f"{path}: unknown parameter; allowed here: {', '.join(allowed) or 'none'}{perhaps}"
    found, message = fault["input"], fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "union_tag_invalid":  # of a group whose kind is named by one of its keys
        path, found = f"{path}.name", found["name"]
        message = f"input should be one of {fault['ctx']['expected_tags']}"
    elif fault["type"] == "union_tag_not_found":
        path = f"{path}.name"
    if fault["type"] in ("missing", "union_tag_not_found"):
        unknown = [key for key in found if key not in group.model_fields] if isinstance(found, dict) else []
        for near in _near(keys[-1], unknown):
            return f"{path}: missing; is it {near}, by a slip?"
        return f"{path}: missing; `reflowbench profile NAME` writes a complete params.yaml"
    return f"{path} = {shortened(repr(found))}: {shortened(message[:1].lower() + message[1:], 5 * _SHOWN)}"


def _near(key: Any, others: Iterable[Any]) -> list[str]:
    """The one of them that is most like a key, if any is."""
    return get_close_matches(shortened(str(key)), [shortened(str(other)) for other in others], n=1)


def _place(kind: Any, location: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """Keys of a place as the file has them, and the class of the group that the last one is in.

    Of groups of several kinds pydantic's location also names the kind. Lists and dicts of groups give their values'
    class.

    Returns:
        The keys, and the class.
    """
    keys: list[Any] = []
    group = kind
    for part in location:
        if kinds := _kinds(kind):
            kind = group = kinds[part]
            continue
        keys.append(part)
        fields = getattr(kind, "model_fields", None)
        if fields is None:
            kind = (None, *get_args(kind))[-1]
        else:
            group, kind = kind, fields[part].annotation if part in fields else None
    return keys, group


def _kinds(annotation: Any) -> dict[str, Any]:
    """Classes of groups that are told apart by their `name`, by it; empty of any other annotation."""
    members = [m for m in get_args(annotation) if isinstance(m, type) and issubclass(m, Group)]
    tagged = len(members) > 1 and len(members) == len(get_args(annotation))
    return {get_args(member.model_fields["name"].annotation)[0]: member for member in members} if tagged else {}


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of params.yaml, apart from the methods' own blocks."""
    return validate(read_yaml(path), str(path))


def load_part(*names: str, path: Path = PARAMS_FILE) -> Any:
    """Read some top-level keys of a parameter file; the others may be wrong or missing.

    Args:
        *names: The keys.
        path: The parameter file.

    Returns:
        The typed values, as attributes of those names.

    Raises:
        ReflowbenchError: If the file is missing, or one of these keys is missing or wrong.
    """
    values = _read(path)
    unchanged.note(path, *((name,) for name in names))
    return parse(_part(names), {name: values[name] for name in names if name in values}, "", str(path))


@cache
def _read(path: Path) -> dict[str, Any]:
    return read_yaml(path)


@cache
def _part(names: tuple[str, ...]) -> type[Group]:
    fields: dict[str, Any] = {name: (Params.model_fields[name].annotation, Params.model_fields[name]) for name in names}
    return create_model("Part", __base__=Group, **fields)


def load_group(kind: type[GroupT], path: Path = PARAMS_FILE, chain: str | None = None) -> GroupT:
    """Read one group.

    Args:
        kind: The group's class, such as `PairsParams`.
        path: The parameter file.
        chain: A chain of the ablations, whose own values for `round` and `pairs` go before; None outside the ablations.

    Returns:
        The group.

    Raises:
        ReflowbenchError: If the file or the group is missing, a value of it is wrong, or there is no such chain.
    """
    name = group_path(kind)
    group: GroupT = getattr(load_part(name, path=path), name)
    if not chain or name not in ("round", "pairs"):
        return group
    own = getattr(load_chain(chain, path), name)
    return parse(kind, group.model_dump() | own, f"chains.{chain}.{name}.", str(path)) if own else group


def load_chain(name: str, path: Path) -> Chain:
    """Read one chain of the ablations.

    Args:
        name: The chain.
        path: The parameter file.

    Returns:
        The chain.

    Raises:
        ReflowbenchError: If there is no such chain, or a value of it is wrong.
    """
    chains = load_entries("chains", path)
    if name not in chains:
        raise ReflowbenchError(f"{path}: no chain {name!r}; there are: {', '.join(chains)}")
    unchanged.note(path, ("chains", name))
    return parse(Chain, chains[name], f"chains.{name}.", str(path))


def load_entries(name: str, path: Path) -> dict[str, Any]:
    """Read a top-level mapping whose entries are checked one by one: `methods` or `chains`."""
    found = _read(path).get(name, {})
    if not isinstance(found, dict):
        raise ReflowbenchError(f"{path}: {name} = {shortened(repr(found))}: want a mapping")
    return found


def group_path(kind: type[Group]) -> str:
    """Name of a group in params.yaml, as dvc.yaml declares it."""
    for name, field in Params.model_fields.items():
        kinds = _kinds(field.annotation).values()
        if field.annotation is kind or (kinds and all(issubclass(member, kind) for member in kinds)):
            return name
    raise ValueError(f"{kind.__name__} is no group of params.yaml")
