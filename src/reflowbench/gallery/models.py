"""A model folder with the images that it was trained on; what makes it, if it is not there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import TRAIN, open_data
from reflowbench.errors import ReflowbenchError
from reflowbench.networks.model import load_model
from reflowbench.runtime.config import PARAMS_FILE, read_yaml
from reflowbench.runtime.device import device
from reflowbench.runtime.params import LatentsParams

DATA = Path("runs/space") / TRAIN
_MODEL = re.compile(r"runs/(base/s(?P<base>\d+)|chains/(?P<method>\w+)/s(?P<seed>\d+)/round(?P<round>\d+)/model)")


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
        folder: Such as `runs/base/s0` or `runs/chains/rca/s0/round4/model`.
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
        raise ReflowbenchError(f"{data}: no such file; {_commands('encode' if data == DATA else 'prepare_data', data)}")
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
        return "want one such as runs/base/s0 or runs/chains/METHOD/sSEED/roundROUND/model"
    try:
        params = read_yaml(PARAMS_FILE)
        methods, seeds, last = params["grid"]["methods"], params["grid"]["seeds"], max(params["grid"]["rounds"])
        couplings = {name: params["methods"][name]["method"] for name in methods}
    except (ReflowbenchError, KeyError, TypeError):
        return "`dvc repro` makes those of the grid in params.yaml"
    method, seed, round_ = found["method"], int(found["base"] or found["seed"]), int(found["round"] or 0)
    stage = None
    if seed in seeds and not method:
        stage = f"train_base@{seed}"
    elif seed in seeds and method in couplings and 0 < round_ <= last:
        stage = f"rounds/{round_}/dvc.yaml:{couplings[method]}@{method}-{seed}-{round_}"
    if stage is None:
        return (
            f"it is not in the grid of {PARAMS_FILE}: methods {', '.join(map(str, methods))}; seeds "
            f"{', '.join(map(str, seeds))}; rounds 1 to {last}"
        )
    return _commands(stage, folder)


def _commands(stage: str, path: Path) -> str:
    return (
        f"`dvc checkout {path}` restores it from DVC's cache, `dvc pull {path}` from a remote, and `dvc repro {stage}` "
        "makes it"
    )
