"""A model folder: the EMA weights, and beside them the facts of the run that made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from reflowbench.core.artifacts import atomic, read_json, write_json
from reflowbench.core.networks import registry
from reflowbench.core.params import NetworkParams

WEIGHTS = "model.safetensors"
FACTS = "train.json"
CARRIED = "carried"


def save_model(
    folder: Path,
    network: nn.Module,
    params: NetworkParams,
    dim: int,
    facts: Mapping[str, float],
    carry: Callable[[Path], None],
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: Where to.
        network: The EMA network.
        params: How to rebuild it.
        dim: Values per image.
        facts: What the run cost and how it ended.
        carry: Makes a folder for what the next round takes over, or does nothing.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        registry.save(temporary / WEIGHTS, network, params, dim)
        write_json(temporary / FACTS, dict(facts))
        carry(temporary / CARRIED)


def load_model(folder: Path) -> tuple[nn.Module, NetworkParams, int]:
    """Read the network of a model folder.

    Args:
        folder: The folder.

    Returns:
        The network in evaluation mode, its parameters and the number of values per image.

    Raises:
        ReflowbenchError: If the weights are missing or damaged.
    """
    return registry.load(folder / WEIGHTS)


def load_facts(folder: Path) -> dict[str, float]:
    """Read the facts of a model folder.

    Args:
        folder: The folder.

    Returns:
        The facts by name.

    Raises:
        ReflowbenchError: If they are missing or damaged.
    """
    facts: dict[str, float] = read_json(folder / FACTS)
    return facts


def carried(folder: Path) -> Path | None:
    """What the run behind a model folder left for the next round; None if nothing."""
    path = folder / CARRIED
    return path if path.is_dir() else None
