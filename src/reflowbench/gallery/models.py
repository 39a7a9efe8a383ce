"""A model folder with the images that it was trained on; what makes it, if it is not there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from reflowbench.core.config import PARAMS_FILE, read_yaml
from reflowbench.core.data.images import ImageSet
from reflowbench.core.data.latents import TRAIN, open_data
from reflowbench.core.device import device
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.networks.model import load_model
from reflowbench.core.params import LatentsParams

DATA, LATENTS = Path("runs/data") / TRAIN, Path("runs/latents") / TRAIN
_MODEL = re.compile(r"runs/(base/s(?P<base>\d+)|chains/(?P<method>\w+)/s(?P<seed>\d+)/k(?P<k>\d+)/model)")
_TRAINING = ("reflow", "rca", "ocar")


@dataclass(frozen=True)
class Model:
    """A model to draw samples from.

    Attributes:
        velocity: Its network, in evaluation mode.
        data: Images that it was trained on: their shape and grey levels are those of its samples.
        seed: Seed of its chain; 0 if its folder does not say.
    """

    velocity: nn.Module
    data: ImageSet
    seed: int


def open_model(folder: Path, data: Path = DATA, latents: LatentsParams | None = None) -> Model:
    """Read a model folder.

    Args:
        folder: Such as `runs/base/s0` or `runs/chains/rca/s0/k4/model`.
        data: The images, or the latents of them that it was trained on.
        latents: The latent space.

    Returns:
        The model.

    Raises:
        ReflowbenchError: If the folder or the images are not there, with the commands that make or restore them;
            or they are damaged or do not belong together.
    """
    if not folder.is_dir():
        raise ReflowbenchError(f"{folder}: no such model folder; {_remedy(folder)}")
    if not data.is_file():
        maker = "encode_latents@train" if data == LATENTS else "prepare_data"
        raise ReflowbenchError(f"{data}: no such file; {_commands(maker, data)}")
    velocity, _, shape = load_model(folder, device())
    images = open_data(data, latents)
    if images.shape != shape:
        raise ReflowbenchError(f"{folder} makes images of {shape}, {data} has {images.shape}: name its own by --data")
    seed = re.search(r"(?:^|/)s(\d+)(?:/|$)", folder.as_posix())
    return Model(velocity, images, int(seed[1]) if seed else 0)


def _remedy(folder: Path) -> str:
    """How to come by a model folder, by its name and the grid of params.yaml."""
    found = _MODEL.fullmatch(folder.as_posix())
    if not found:
        return "want one such as runs/base/s0 or runs/chains/METHOD/sSEED/kROUND/model"
    try:
        grid = read_yaml(PARAMS_FILE)["grid"]
        methods, seeds, last, groups = grid["methods"], grid["seeds"], len(grid["rounds"]), grid["stages"]
    except (ReflowbenchError, KeyError, TypeError):
        return "`dvc repro` makes those of the grid in params.yaml"
    method, seed, k = found["method"], int(found["base"] or found["seed"]), int(found["k"] or 0)
    group = next((name for name in _TRAINING if method in groups.get(name, [])), None)
    stage = None
    if seed in seeds and not method:
        stage = f"train_base@{seed}"
    elif seed in seeds and group and k <= last:
        stage = f"{group}@{method}-{seed}-after{k - 1}" if k else f"k0@{method}-{seed}"
    if stage is None:
        return (
            f"it is not in the grid of {PARAMS_FILE}: methods {', '.join(map(str, methods))}; seeds "
            f"{', '.join(map(str, seeds))}; rounds 0 to {last}"
        )
    return _commands(stage, folder)


def _commands(stage: str, path: Path) -> str:
    return (
        f"`dvc checkout {path}` restores it from DVC's cache, `dvc pull {path}` from a remote, and `dvc repro {stage}` "
        "makes it"
    )
