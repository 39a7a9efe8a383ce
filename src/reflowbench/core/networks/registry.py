"""Build, save and load velocity networks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from reflowbench.core.artifacts import read_tensors, write_tensors
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.networks.mlp import MLP
from reflowbench.core.params import NetworkParams
from reflowbench.core.randomness import generator

_NETWORKS = {"mlp": MLP}


def build(params: NetworkParams, dim: int, seed: int) -> nn.Module:
    """Make a freshly initialised network.

    Args:
        params: Which network and how large.
        dim: Values per image.
        seed: Seed of the initial weights.

    Returns:
        The network, mapping (n, dim), (n,) to (n, dim).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "initial weights").initial_seed())
        return _NETWORKS[params.name](dim, params)


def save(path: Path, network: nn.Module, params: NetworkParams, dim: int) -> None:
    """Write weights with all that `load` needs to rebuild the network."""
    write_tensors(path, network.state_dict(), {"network": params.model_dump(), "dim": dim})


def load(path: Path) -> tuple[nn.Module, NetworkParams, int]:
    """Read a network written by `save`.

    Args:
        path: The weights file.

    Returns:
        The network in evaluation mode, its parameters and the number of values per image.

    Raises:
        ReflowbenchError: If the file is missing, damaged, or holds other weights.
    """
    tensors, facts = read_tensors(path)
    try:
        params = NetworkParams.model_validate(facts["network"])
        network = _NETWORKS[params.name](facts["dim"], params)
        network.load_state_dict(tensors)
        if wrong := {name for name, own in network.state_dict().items() if own.dtype != tensors[name].dtype}:
            raise ValueError(f"other types of numbers in {sorted(wrong)}")
        if wrong := {name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()}:
            raise ValueError(f"values that are not finite in {sorted(wrong)}")
    except (KeyError, ValueError, RuntimeError) as error:
        raise ReflowbenchError(f"{path}: not a velocity network ({error}); delete it and run `dvc repro`") from None
    return network.eval(), params, facts["dim"]
