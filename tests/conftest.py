import fcntl
import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from reflowbench import profiles
from reflowbench.couplings.shared.base import Inputs
from reflowbench.data.images import ImageSet
from reflowbench.networks import registry
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.runtime.params import MLPParams, PairsParams, RoundParams

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items):
    """The longest file first, so that no worker is left alone with it while the others have nothing to do."""
    items.sort(key=lambda item: item.path.name != "test_tiny.py")


@pytest.fixture(scope="session")
def first(tmp_path_factory, worker_id):
    """A project after its first run with one thread, and the stages that ran: one for all workers, who copy it."""
    from tests.pipeline.project import Project

    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    with (folder / "first-run").open("a+") as record:
        fcntl.lockf(record, fcntl.LOCK_EX)  # the worker that comes first makes it, the others wait
        record.seek(0)
        project = Project(folder / "first")
        if text := record.read():
            return project, set(json.loads(text))
        ran = project.stages_that_ran(project.make().run("dvc", "repro", REFLOWBENCH_THREADS="1").stdout)
        record.write(json.dumps(sorted(ran)))
        return project, ran


NETWORK = MLPParams(name="mlp", hidden=16, blocks=1, time_features=4)
SHAPE = (1, 4, 4)
PAIRS = PairsParams(n=300, solver="euler", steps=3)


def on_pixels():
    """The parameters of profiles/defaults.yaml, which is no profile by itself: on pixels, three seeds, four rounds."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "profiles", folder, dirs_exist_ok=True)
        (Path(folder) / "plain.yaml").write_text("grid: {rounds: [1, 2, 3, 4], seeds: [0, 1, 2]}")
        return profiles.resolve("plain", Path(folder))


def round_params(**changes):
    values = {
        "steps": 8,
        "batch": 24,
        "lr": 1e-2,
        "schedule": "constant",
        "warmup": 0,
        "ema": 0.5,
        "clip": 1.0,
    }
    return RoundParams(**(values | {"loss": "mse", "times": "uniform"} | changes))


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.rand(40, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return ImageSet(pixels, torch.arange(40) % 4, SHAPE, levels=17, dequantized=True)


@pytest.fixture
def network(images):
    net = registry.build(NETWORK, images.shape, seed=3)
    with torch.no_grad():  # the field starts at zero; give it something to say
        net.output.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return net.eval()


@pytest.fixture
def inputs(tmp_path, images, network):
    """A round 2 of seed 5 with stored pairs of both kinds."""
    write_pairs(tmp_path / "synthetic", *synthetic_pairs(network, PAIRS, 5, 2, images.dim))
    write_pairs(tmp_path / "inverted", *inverted_pairs(network, images.images, PAIRS, 5, 2))
    return Inputs(
        seed=5,
        round=2,
        batch=24,
        steps=8,
        images=images,
        pairs=PAIRS,
        synthetic=StoredHalf(tmp_path / "synthetic"),
        inverted=StoredHalf(tmp_path / "inverted"),
        scratch=tmp_path,
    )
