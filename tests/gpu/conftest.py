from pathlib import Path

import pytest
import torch

from reflowbench.profiles import write_profile
from reflowbench.sources.archive import digest
from tests.data.made import cifar_files
from tests.distributed.conftest import Spread

SIZES = {
    "features__steps": 20,
    "base__steps": 12,
    "base__warmup": 2,
    "round__steps": 8,
    "round__warmup": 2,
    "monitor__every": 4,
    "monitor__n_samples": 8,
    "monitor__nfe": 2,
    "monitor__grid_images": 4,
    "pairs__n": 300,  # more than a block
    "pairs__steps": 5,
    "methods__rca__regenerate_every": 4,
    "methods__ocar__steps": 5,
    "evaluate__features": ["classifier"],
    "evaluate__n_samples": 300,
    "evaluate__nfe": [1, 2],
    "evaluate__groups": 2,
    "evaluate__grid_images": 4,
    "evaluate__adaptive_tolerance": 0.01,
    "evaluate__floor_repeats": 2,
    "evaluate__inversion_images": 8,
    "evaluate__inversion_steps": 2,
}
"""Over the profile cifar10: few steps and images. The network, its numerics and the batches stay."""


@pytest.fixture(scope="session", autouse=True)
def _gpu():
    if not torch.cuda.is_available():
        pytest.skip("wants a GPU that torch can use")


class Stages(Spread):
    """Stages on a GPU, one by one and without DVC, which needs none."""

    def make(self):
        self.copy_code()
        write_profile("cifar10", self.folder / "profiles", self.folder / "params.yaml")
        files = cifar_files(per_batch=40)
        self.set_params(**SIZES, data__sha256=digest({Path(name).name: data for name, data in files[:-1]}))
        for name, data in files:
            (self.folder / "data/cifar10" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "data/cifar10" / name).write_bytes(data)
        return self

    def stage(self, name, *arguments, device="cuda", **options):
        """Run a stage's script on a device. What torch cannot do in one order there, it warns of."""
        said = super().stage(name, *arguments, REFLOWBENCH_DEVICE=device, REFLOWBENCH_THREADS="2", **options)
        assert "deterministic implementation" not in said.stderr, said.stderr
        return said


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A project with data, and a base model of the paper's network."""
    project = Stages(tmp_path_factory.mktemp("gpu") / "project").make()
    project.stage("prepare_data", "--out", DATA[1], "--heldout", HELDOUT[1])
    project.stage("train_features", *DATA, *HELDOUT, "--out", "classifier.safetensors")
    project.stage("train_base", *BASE, "--out", "base")
    return project


@pytest.fixture
def stages(made):
    """It, whose parameters a test may change."""
    before = (made.folder / "params.yaml").read_text()
    yield made
    (made.folder / "params.yaml").write_text(before)


DATA = ("--data", "data/train.safetensors")
HELDOUT = ("--heldout", "data/heldout.safetensors")
BASE = (*DATA, "--seed", "0", "--coupling", "independent")
