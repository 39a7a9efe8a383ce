"""The feature networks that the parameters name."""

from __future__ import annotations

import torch

from reflowbench.metrics.features.base import FeatureNetwork
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.runtime.params import EvaluateParams


def load_networks(
    params: EvaluateParams,
    classifier: Classifier,
    shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> list[FeatureNetwork]:
    """Load the networks of `evaluate.features`.

    A network's module is imported only if it is asked for: clean-fid and torchvision take seconds, and
    many short processes evaluate models.

    Args:
        params: Names of the networks, and where their weights are.
        classifier: The data set's own classifier.
        shape: (channels, height, width) of the images.
        device: Where the others go; the classifier stays where it is.

    Returns:
        The networks in the order of `evaluate.features`.

    Raises:
        ReflowbenchError: If the weights of a network are missing or not those of the parameters.
    """

    def load(name: str) -> FeatureNetwork:
        if name == "classifier":
            return classifier
        if name == "pixels":
            from reflowbench.metrics.features.pixels import Pixels

            return Pixels(shape)
        if name == "inception":
            from reflowbench.metrics.features.inception import load_inception

            return load_inception(params.inception, shape, device)
        from reflowbench.metrics.features.efficientnet import load_efficientnet

        return load_efficientnet(shape, device)

    return [load(name) for name in params.features]
