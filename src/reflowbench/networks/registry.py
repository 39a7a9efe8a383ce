"""Build, save and load velocity networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from reflowbench.core.randomness import generator
from reflowbench.errors import ReflowbenchError
from reflowbench.networks.base import Shape
from reflowbench.networks.mlp import MLP
from reflowbench.networks.unet import UNet
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import Network, NetworkParams

_NETWORKS: dict[str, Callable[[Shape, Any], nn.Module]] = {"mlp": MLP, "unet": UNet}
_PARAMS: TypeAdapter[NetworkParams] = TypeAdapter(Network)


def build(params: NetworkParams, shape: Shape, seed: int) -> nn.Module:
    """Make a freshly initialised network.

    Args:
        params: Which network and how large.
        shape: (channels, height, width) of the images.
        seed: Seed of the initial weights.

    Returns:
        The network, mapping (n, channels * height * width), (n,) to the shape of the former.

    Raises:
        ReflowbenchError: If the parameters do not suit the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "initial weights").initial_seed())
        return _NETWORKS[params.name](shape, params)


def save(path: Path, network: nn.Module, params: NetworkParams, shape: Shape) -> None:
    """Write weights with all that `load` needs to rebuild the network."""
    write_tensors(path, network.state_dict(), {"network": params.model_dump(), "shape": list(shape)})


def load(path: Path) -> tuple[nn.Module, NetworkParams, Shape]:
    """Read a network written by `save`.

    Args:
        path: The weights file.

    Returns:
        The network in evaluation mode, its parameters and the (channels, height, width) of its images.

    Raises:
        ReflowbenchError: If the file is missing, damaged, or holds other weights.
    """
    tensors, facts = read_tensors(path)
    try:
        params = _PARAMS.validate_python(facts["network"])
        channels, height, width = facts["shape"]
        shape = (int(channels), int(height), int(width))
        network = _NETWORKS[params.name](shape, params)
        network.load_state_dict(tensors)
        if wrong := {name for name, own in network.state_dict().items() if own.dtype != tensors[name].dtype}:
            raise ValueError(f"other types of numbers in {sorted(wrong)}")
        if wrong := {name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()}:
            raise ValueError(f"values that are not finite in {sorted(wrong)}")
    except (KeyError, TypeError, ValueError, RuntimeError, ReflowbenchError) as error:
        raise ReflowbenchError(f"{path}: not a velocity network ({error}); delete it and run `dvc repro`") from None
    return network.eval(), params, shape
