"""Pickle files read as data: what their instructions build is built of plain values, and nothing is ever called.

`pickle.load` runs whatever a file names. An Unpickler with a list of allowed names still calls these, sets attributes
of what they return, and reserves the memory that a file asks for. Here a name or a call is only noted down, as a value;
whoever reads the file looks at the notes and takes what has the form that is known.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOST = 1_000_000
"""Instructions. A batch of CIFAR-10 has about 40,000."""


@dataclass
class Name:
    """Something that the file would import: `module name`."""

    path: str


@dataclass
class Call:
    """Something that the file would call, and the state that it would then set."""

    function: Any
    arguments: Any
    state: Any = field(default=None)


class _Mark:
    """Where a group of values begins on the stack."""


_MARK = _Mark()
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINFLOAT",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = {"PROTO", "FRAME"}


def read_pickle(data: bytes) -> Any:
    """Build what a pickle describes of dicts, lists, tuples, text, bytes and numbers, with notes for all else.

    Args:
        data: The content. Strings of Python 2 are read as Latin-1.

    Returns:
        The value.

    Raises:
        ValueError: If it is no pickle, uses an instruction that data need not have, or too many.
    """
    machine = _Machine()
    for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
        if count == MOST:
            raise ValueError(f"more than {MOST} instructions")
        if operation.name == "STOP":
            return machine.pop()
        machine.run(operation.name, argument)
    raise ValueError("it does not end")


class _Machine:
    """The stack of values, and the memo of those that are used again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """The last value."""
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("a value is missing")
        return self.stack.pop()

    def group(self) -> list[Any]:
        """The values since the last mark, which goes with them."""
        found: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return found[::-1]
            found.append(value)
        raise ValueError("a mark is missing")

    def run(self, name: str, argument: Any) -> None:
        """Do one instruction."""
        if name in _NOTHING:
            return
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self.pop() for _ in range(_TUPLES[name]))[::-1])
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            raise ValueError(f"the instruction {name}, which no data need")

    def append(self, values: list[Any]) -> None:
        """Add values to the list below them."""
        if not self.stack or not isinstance(self.stack[-1], list):
            raise ValueError("values for a list that is not there")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Add pairs of key and value to the dict below them."""
        if not self.stack or not isinstance(self.stack[-1], dict) or len(values) % 2:
            raise ValueError("pairs for a dict that is not there")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bytes):  # of nested tuples a hash takes forever
                raise ValueError("a key that is not text")
            self.stack[-1][key] = value

    def note_call(self) -> None:
        """Note a call down; it is not made."""
        arguments, function = self.pop(), self.pop()
        self.stack.append(Call(function, arguments))

    def note_state(self) -> None:
        """Note down what state a call's result would get."""
        state = self.pop()
        if not self.stack or not isinstance(self.stack[-1], Call):
            raise ValueError("a state of what is not made")
        self.stack[-1].state = state

    def note_name(self) -> None:
        """Note down a name that stands on the stack in two parts."""
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is not text")
        self.stack.append(Name(f"{module} {name}"))

    def keep(self, number: int | None) -> None:
        """Remember the last value."""
        value = self.pop()
        self.memo[len(self.memo) if number is None else number] = value
        self.stack.append(value)

    def recall(self, number: int) -> None:
        """Use a value again."""
        if number not in self.memo:
            raise ValueError("a value that was not kept")
        self.stack.append(self.memo[number])


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.group())),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.group()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "GLOBAL": lambda machine, argument: machine.stack.append(Name(str(argument))),
    "STACK_GLOBAL": lambda machine, _: machine.note_name(),
    "REDUCE": lambda machine, _: machine.note_call(),
    "BUILD": lambda machine, _: machine.note_state(),
    "PUT": lambda machine, argument: machine.keep(argument),
    "BINPUT": lambda machine, argument: machine.keep(argument),
    "LONG_BINPUT": lambda machine, argument: machine.keep(argument),
    "MEMOIZE": lambda machine, _: machine.keep(None),
    "GET": lambda machine, argument: machine.recall(argument),
    "BINGET": lambda machine, argument: machine.recall(argument),
    "LONG_BINGET": lambda machine, argument: machine.recall(argument),
}
