"""Which parameters differ, by their dotted paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "(none)"


@dataclass(frozen=True)
class ParameterChange:
    """One parameter that differs.

    Attributes:
        path: Such as `methods.rca.real_fraction`.
        before: Its value as JSON; ABSENT if it is not there.
        after: The same of the other revision.
    """

    path: str
    before: str
    after: str


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ParameterChange]:
    """Compare two parameter trees leaf by leaf; a list is one leaf.

    Args:
        before: A tree.
        after: Another one.

    Returns:
        The leaves that differ, by their order in `before`, then in `after`.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    changes = [ParameterChange(path, _text(old, path), _text(new, path)) for path in dict.fromkeys([*old, *new])]
    return [change for change in changes if change.before != change.after]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        # An empty block is a leaf too: a method without parameters may be new.
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(leaves: Mapping[str, Any], path: str) -> str:
    # default=str: YAML may read an unquoted value as a date.
    return json.dumps(leaves[path], default=str, ensure_ascii=False) if path in leaves else ABSENT
