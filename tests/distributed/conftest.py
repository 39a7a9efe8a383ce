import time

import pytest

from reflowbench.runtime.artifacts import read_tensors
from tests.pipeline.project import Project

DATA = ("--data", "runs/data/train.safetensors")
HELDOUT = ("--heldout", "runs/data/heldout.safetensors")
UNET = {"name": "unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4], "head_channels": 4}
SIZES = {
    "data__n_images": None,  # all: more than two blocks of real images
    "network": UNET | {"dropout": 0.0},
    "base__steps": 20,
    "base__batch": 30,
    "round__steps": 12,
    "round__batch": 30,
    "pairs__n": 700,
    "methods__rca__regenerate_every": 5,
    "methods__ocar__replay": 2,
    "evaluate__n_samples": 1300,  # six blocks, and two of the adaptive solver's
    "evaluate__nfe": [1, 4],
}


class Spread(Project):
    """A project whose stages are run in several processes, of one thread each."""

    def stage(self, name, *arguments, processes=1, check=True, **environment):
        """Run a stage's script."""
        asked = {"REFLOWBENCH_PROCESSES": str(processes), "REFLOWBENCH_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return self.run("python", "-m", f"stages.{name}", *arguments, check=check, **asked | environment)

    def saving(self, name, *arguments, **environment):
        """Start a stage that saves whenever it can, and wait until it has."""
        asked = {"REFLOWBENCH_THREADS": "1", "OMP_NUM_THREADS": "1", "REFLOWBENCH_SAVE_SECONDS": "0"}
        before = self._saved_at()
        run = self.start("python", "-m", f"stages.{name}", *arguments, **asked | environment)
        end = time.monotonic() + 120
        while self._saved_at() <= before:
            assert run.poll() is None and time.monotonic() < end, run.communicate()
            time.sleep(0.05)
        return run

    def _saved_at(self):
        times = (path.stat().st_mtime_ns for path in (self.folder / ".scratch/resume").glob("*/state.safetensors"))
        return max(times, default=0)


def weights(folder):
    """Those of a model, by name."""
    tensors, _ = read_tensors(folder / "model.safetensors")
    return {name: tensor.numpy() for name, tensor in tensors.items()}


@pytest.fixture(scope="session")
def spread(tmp_path_factory):
    """A project with data, a base model, and pairs that one process made."""
    project = Spread(tmp_path_factory.mktemp("spread") / "project")
    project.make()
    project.set_params(**SIZES)
    project.stage("prepare_data", "--out", DATA[1], "--heldout", HELDOUT[1])
    project.stage("train_features", *DATA, *HELDOUT, "--out", "classifier.safetensors")
    project.stage("train_base", *DATA, "--seed", "0", "--coupling", "independent", "--out", "base1")
    project.stage("generate_pairs", *SYNTHETIC, "--out", "synthetic1")
    project.stage("rca_regenerate", *INVERTED, "--out", "inverted1")
    return project


SYNTHETIC = ("--seed", "0", "--round", "1", "--model", "base1")
INVERTED = (*SYNTHETIC, *DATA)
EVALUATION = (
    "--seed",
    "0",
    *DATA,
    *HELDOUT,
    "--space",
    "runs/data",
    "--features",
    "classifier.safetensors",
    "--model",
    "base1",
    "--floor",
)
