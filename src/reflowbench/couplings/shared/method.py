"""What the file of a method defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from reflowbench.couplings.shared.base import Coupling

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
