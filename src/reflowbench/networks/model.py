"""A model folder: the EMA weights, and beside them the facts of the run that made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from reflowbench.networks import registry
from reflowbench.networks.base import Shape
from reflowbench.runtime.artifacts import atomic, read_json, write_json
from reflowbench.runtime.params import NetworkParams

WEIGHTS = "model.safetensors"
FACTS = "train.json"
CARRIED = "carried"


def save_model(
    folder: Path,
    network: nn.Module,
    params: NetworkParams,
    shape: Shape,
    facts: Mapping[str, float],
    carry: Callable[[Path], None],
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: Where to.
        network: The EMA network.
        params: How to rebuild it.
        shape: (channels, height, width) of the images.
        facts: What the run cost and how it ended.
        carry: Makes a folder for what the next round takes over, or does nothing.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        registry.save(temporary / WEIGHTS, network, params, shape)
        write_json(temporary / FACTS, dict(facts))
        carry(temporary / CARRIED)


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, NetworkParams, Shape]:
    """Read the network of a model folder.

    Args:
        folder: The folder.
        device: Where the weights go.

    Returns:
        The network in evaluation mode, its parameters and the (channels, height, width) of its images.

    Raises:
        ReflowbenchError: If the weights are missing or damaged.
    """
    network, params, shape = registry.load(folder / WEIGHTS)
    return network.to(device), params, shape


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
