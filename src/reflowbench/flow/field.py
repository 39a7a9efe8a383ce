"""A network as a velocity field, on its own device and in a precision."""

from __future__ import annotations

import torch
from torch import nn

from reflowbench.core.schemes import Precision
from reflowbench.flow.path import Velocity
from reflowbench.runtime.device import attention, autocast


def device_of(velocity: object, default: torch.device) -> torch.device:
    """Where a field is evaluated.

    Args:
        velocity: A `Field`, a network, or any function, which is evaluated wherever its arguments are.
        default: Where those are.

    Returns:
        The device.
    """
    if isinstance(velocity, Field):
        return device_of(velocity.network, default)
    weights = velocity.parameters() if isinstance(velocity, nn.Module) else iter(())
    return next((weight.device for weight in weights), default)


class Field:
    """A network as a velocity field: in evaluation mode, in a precision, with values on the device of the states.

    Attributes:
        network: The network, or any other velocity field.
        precision: Of its products.
    """

    def __init__(self, network: Velocity, precision: Precision = "float32") -> None:
        """Take in a network; of a `Field`, its own, whose precision is replaced."""
        self.network: Velocity = network.network if isinstance(network, Field) else network
        self.precision = precision

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity at (x, t), see `Velocity`; in the type of x."""
        where, network = device_of(self, x.device), self.network
        switched = network if isinstance(network, nn.Module) and network.training else None
        if switched:
            switched.eval()
        try:
            with autocast(where, self.precision), attention(where):
                value = network(x.to(where), t.to(where))
        finally:
            if switched:
                switched.train()
        return value.to(x)
