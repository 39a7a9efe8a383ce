"""Inception-v3, the network of FID, through clean-fid (Parmar et al. 2022, arXiv 2104.11222).

Resizing and networks are clean-fid's own code, so that the numbers are those of its command line on saved
PNG files (a test); only the weights come from a file that the parameters name instead of a download.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.data.images import rgb_bytes
from reflowbench.data.packed import Rows
from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features.base import blockwise
from reflowbench.metrics.features.weights import verify
from reflowbench.runtime.params import InceptionParams

BLOCK = 8
"""Images at a time. Small, because the last block is filled up and 299x299 pixels are costly."""

_TORCHSCRIPT = "inception-2015-12-05.pt"
_STATE_DICT = "pt_inception-2015-12-05-6726825d.pth"
_FILES = {"clean": _TORCHSCRIPT, "legacy_tensorflow": _TORCHSCRIPT, "legacy_pytorch": _STATE_DICT}
_NOT_THIS_NETWORK = (RuntimeError, AttributeError, AssertionError, KeyError, TypeError, ValueError, UnpicklingError)


@dataclass(frozen=True)
class Inception:
    """2048 pooled features by one of clean-fid's three pipelines.

    Attributes:
        mode: The pipeline; FID of different modes are not comparable.
        shape: (channels, height, width) of the images.
        resize: One image of bytes, (height, width, 3), to what the network is given.
        network: (n, 3, height, width) at 0 .. 255, to (n, 2048).
        dim: 2048.
        device: Where the network is.
    """

    mode: str
    shape: tuple[int, int, int]
    resize: Callable[[NDArray[Any]], NDArray[Any]]
    network: Callable[[torch.Tensor], torch.Tensor]
    dim: int = 2048
    device: torch.device | str = "cpu"

    @property
    def name(self) -> str:
        """`inception_` and the mode."""
        return f"inception_{self.mode}"

    def features(self, images: Rows) -> NDArray[np.float64]:
        """Features of what a PNG file of each image would hold, float64 of shape (n, 2048).

        Args:
            images: Flat, at grey levels in [-1, 1], shape (n, channels * height * width).

        Returns:
            Shape (n, 2048).
        """
        return blockwise(self._block, images, BLOCK)

    def _block(self, images: torch.Tensor) -> torch.Tensor:
        resized = torch.from_numpy(np.stack([self.resize(image) for image in rgb_bytes(images, self.shape)]))
        return self.network(resized.to(self.device).permute(0, 3, 1, 2).float().contiguous())


def load_inception(
    params: InceptionParams, shape: tuple[int, int, int], device: torch.device | str = "cpu"
) -> Inception:
    """Load the network that the parameters name; nothing is ever downloaded, and nothing stands in for it.

    Args:
        params: Mode, file and checksum.
        shape: (channels, height, width) of the images; one or three channels.
        device: Where the network goes.

    Returns:
        The network.

    Raises:
        ReflowbenchError: If the file is missing, has another checksum or holds another network.
    """
    from cleanfid.resize import build_resizer

    mode = params.mode
    asked_for = f"evaluate.inception.weights = {params.weights!r} (mode {mode})"
    remedy = (
        f"This mode wants the file that clean-fid calls {_FILES[mode]}: put it there or give its path, with its "
        "checksum in evaluate.inception.sha256, or take inception out of evaluate.features. Nothing is downloaded."
    )
    if params.weights is None or params.sha256 is None:
        raise ReflowbenchError(
            f"{asked_for}: evaluate.features names inception, but weights or sha256 is null. {remedy}"
        )
    path = Path(params.weights)
    verify(path, params.sha256, asked_for, remedy)
    # clean-fid builds some of its resizers with a global warnings.filterwarnings("ignore"), and its network
    # by a deprecated argument of torchvision; neither is the user's business.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            network = _state_dict(path, device) if mode == "legacy_pytorch" else _torchscript(path, mode, device)
        except _NOT_THIS_NETWORK as error:
            raise ReflowbenchError(
                f"{asked_for}: the file has the right SHA-256 but is not the network of this mode ({error}). {remedy}"
            ) from None
        return Inception(mode, shape, build_resizer(mode), network, device=device)


def _torchscript(path: Path, mode: str, device: torch.device | str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The TensorFlow network of 2015 as TorchScript, which resizes by itself in the mode legacy_tensorflow.

    Loading TorchScript runs what is in the file: the checksum, verified before, is the trust.

    Returns:
        What maps images of shape (n, 3, height, width) to features.
    """
    from cleanfid.inception_torchscript import InceptionV3W

    # The class takes a folder and opens the file by clean-fid's name for it.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / _TORCHSCRIPT).symlink_to(path.resolve())
        made = InceptionV3W(folder, download=False, resize_inside=mode == "legacy_tensorflow")
    network: Callable[[torch.Tensor], torch.Tensor] = made.eval().to(device)
    return network


def _state_dict(path: Path, device: torch.device | str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same network ported to torchvision's classes."""
    from cleanfid import inception_pytorch

    state = torch.load(path, map_location="cpu", weights_only=True)
    # The class fetches its weights while it is built; it is given those of the file in their place. It draws
    # initial weights first, which must not move torch's global generator.
    with (
        torch.random.fork_rng(devices=[]),
        mock.patch.object(inception_pytorch, "load_state_dict_from_url", lambda *_, **__: state),
    ):
        network = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False).eval().to(device)

    def features(images: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = network(images / 255)[0]
        return pooled.squeeze(-1).squeeze(-1)

    return features
