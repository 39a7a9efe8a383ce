"""The registered model: the images that the project itself draws, and one version, however often it is asked for."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reflowbench.data.latents import encoded, open_data
from reflowbench.errors import ReflowbenchError
from reflowbench.gallery.draw import samples
from reflowbench.gallery.models import open_model
from reflowbench.networks.model import save_model
from reflowbench.networks.registry import build
from reflowbench.runtime.artifacts import read_json
from reflowbench.runtime.params import LatentsParams
from tests.conftest import NETWORK, ROOT
from tests.tracking.made import session

NAME = "reflowbench-tiny"
TAGS = {"method": "rca", "seed": "3", "round": "1"}
INDEX = [7, 0, 263, 600, 7, 1]
# Calls that write, in their order.
WRITES = ["create_logged_model", "log_model_artifacts", "log_outputs", "finalize_logged_model"]
WRITES += ["create_registered_model", "create_model_version", "set_logged_model_tags", "set_registered_model_alias"]


class Registry:
    """A store with one run, and a model folder of seed 3 to register."""

    def __init__(self, folder, database, images, network):
        shutil.copy(database, folder / "mlflow.db")
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = session().MlflowClient(tracking_uri=self.uri)
        self.experiment = self.client.create_experiment("e", artifact_location=(folder / "mlartifacts").as_uri())
        self.run = self.client.create_run(self.experiment).info.run_id
        self.data = folder / "runs/data/train.safetensors"
        self.model = folder / "runs/chains/rca/s3/round1/model"
        images.save(self.data)
        save_model(self.model, network, NETWORK, images.shape, {"steps": 8}, lambda path: path.mkdir())
        (self.model / "carried/pairs.safetensors").write_text("of the next round")

    def register(self, md5="1.dir", model=None, run=None):
        from reflowbench.tracking.models import register

        places = {"model": model or self.model, "images": self.data}
        return register(self.client, self.experiment, run or self.run, name=NAME, md5=md5, tags=TAGS, **places)

    def versions(self):
        return self.client.search_model_versions(f"name = '{NAME}'")

    def logged(self):
        return self.client.search_logged_models([self.experiment])

    def files(self):
        [logged] = self.logged()
        return Path(logged.artifact_location.removeprefix("file://"))

    def drawn(self, index, nfe=50, solver="euler", seed=3):
        """What `reflowbench sample` draws."""
        return samples(open_model(self.model, self.data), index, nfe, solver, seed)


@pytest.fixture
def registry(tmp_path, empty_database, images, network, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # a store there would be MLflow's own choice
    monkeypatch.setattr(sys, "path", list(sys.path))  # MLflow adds the code of what it loads
    return Registry(tmp_path, empty_database, images, network)


@pytest.fixture
def loaded(registry, monkeypatch):
    import mlflow

    assert registry.register()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    return mlflow.pyfunc.load_model(f"models:/{NAME}@best")


def table(index):
    return pd.DataFrame({"noise": index})


def test_images_are_those_of_the_command_line(registry, loaded):
    expected = registry.drawn(INDEX)
    found = loaded.predict(table(INDEX))
    assert found.dtype == np.uint8 and found.shape == (6, 4, 4, 1)
    assert np.array_equal(found, expected) and len(np.unique(found)) > 4
    params = {"nfe": 6, "solver": "heun", "seed": 4}
    assert np.array_equal(loaded.predict(table(INDEX), params=params), registry.drawn(INDEX, **params))
    assert not np.array_equal(loaded.predict(table(INDEX), params={"seed": 4}), expected)
    assert np.array_equal(loaded.predict(table(INDEX[::-1])), expected[::-1])
    assert len(loaded.predict(table(INDEX[:0]).astype("int64"))) == 0


def test_a_process_without_the_project_draws_the_same_images(registry, tmp_path):
    """The code that it runs is the model's, and needs no package that the model does not name."""
    registry.register()
    code = """
import sys, mlflow, numpy, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save("images.npy", model.predict(pandas.DataFrame({"noise": [int(i) for i in sys.argv[2:]]})))
print(*(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "reflowbench"), sep="\\n")
"""
    for name in ("mlflow.db", "runs"):  # nothing of the workspace is needed
        (tmp_path / name).rename(tmp_path / f"gone-{name}")
    # -I: neither PYTHONPATH nor the current folder; an installed reflowbench comes after the model's own.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(registry_files(tmp_path)), *map(str, INDEX)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    used = [Path(line) for line in done.stdout.split("\n") if line]
    assert len(used) > 10 and all(registry_files(tmp_path) / "code" in path.parents for path in used)
    (tmp_path / "gone-runs").rename(tmp_path / "runs")
    assert np.array_equal(np.load("images.npy"), registry.drawn(INDEX))

    imported = set()
    for path in used:
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.split(".")[0] for name in names}
    named = (registry_files(tmp_path) / "requirements.txt").read_text().replace("pyyaml", "yaml")
    required = {line.partition("==")[0] for line in named.split()}
    assert imported - sys.stdlib_module_names - {"reflowbench"} <= required


def registry_files(folder):
    [files] = folder.glob("mlartifacts/models/*/artifacts")
    return files


def test_a_model_of_principal_components_draws_decoded_images(tmp_path, empty_database, images, monkeypatch):
    """The decoder is kept, and no image that it was fitted to."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    space = LatentsParams(kind="pca", components=3, encode="mean", scale=1.0, batch=4)
    latents = encoded(images, space)
    network = build(NETWORK, latents.shape, seed=3)
    torch.nn.init.normal_(network.output.weight, 0, 0.3, generator=torch.Generator().manual_seed(1))
    registry = Registry(tmp_path, empty_database, latents, network)
    registry.register()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@best")
    expected = registry.drawn(INDEX)
    assert expected.shape == (6, 4, 4, 1) and np.array_equal(loaded.predict(table(INDEX)), expected)
    kept = open_data(registry.files() / "artifacts/decoder.safetensors")
    assert len(kept) == 1 and not kept.images.any()


def test_files_hold_no_pickle_no_place_of_this_machine_and_nothing_of_the_next_round(registry):
    registry.register()
    folder = registry.files()
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix() for path in files}
    assert {"MLmodel", "sampler.py", "code/reflowbench/gallery/draw.py", "artifacts/data.json"} <= names
    assert {n for n in names if n.startswith("artifacts/weights")} == {
        f"artifacts/weights/{name}" for name in ("model.safetensors", "train.json")
    }
    unwanted = (".pkl", ".pyc", "__pycache__", ".egg-info")
    assert not [name for name in names if any(part in name for part in unwanted)]
    places = [str(place).encode() for place in (ROOT, Path.home(), tempfile.gettempdir(), sys.prefix)]
    made = [folder / name for name in names if not name.startswith("code/")]
    assert not [path for path in made if any(place in path.read_bytes() for place in places)]
    assert read_json(folder / "artifacts/data.json") == {
        "shape": [1, 4, 4],
        "levels": 17,
        "dequantized": True,
        "seed": 3,
    }
    required = (folder / "requirements.txt").read_text().split()
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in required)
    assert {"mlflow", "torch"} < {line.partition("==")[0] for line in required}


def test_what_does_not_fit_the_signature_is_refused(loaded):
    from mlflow.exceptions import MlflowException

    for wrong in (pd.DataFrame({"index": [0]}), pd.DataFrame({"noise": [0.5]}), pd.DataFrame({"noise": ["0"]})):
        with pytest.raises(MlflowException, match="noise"):
            loaded.predict(wrong)
    with pytest.raises(MlflowException, match="nfe"):
        loaded.predict(table([0]), params={"nfe": "many"})


@pytest.mark.parametrize(
    ("index", "params", "message"),
    [
        ([0], {"nfe": 0}, "NFE 0: euler makes 1 evaluations a step"),
        ([0], {"nfe": -2, "solver": "heun"}, "want a positive multiple"),
        ([0], {"nfe": 5, "solver": "heun"}, "NFE 5: heun makes 2 evaluations a step"),
        ([0], {"solver": "dopri5"}, "solver dopri5: want one of euler, heun, rk4"),
        ([3, -1], {}, "noise -1: samples are numbered from 0"),
    ],
)
def test_parameters_that_make_no_sense(loaded, index, params, message):
    with pytest.raises(ReflowbenchError, match=message):
        loaded.predict(table(index), params=params)


def test_the_version_says_what_it_is(registry):
    assert registry.register()
    [version], [logged] = registry.versions(), registry.logged()
    assert version.tags == {**TAGS, "dvc.md5": "1.dir", "model_id": logged.model_id}
    assert version.run_id == logged.source_run_id == registry.run
    assert logged.status == "READY" and logged.tags.items() >= {**TAGS, "dvc.md5": "1.dir"}.items()
    [output] = registry.client.get_run(registry.run).outputs.model_outputs
    assert output.model_id == logged.model_id
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": version.version}]


def test_nothing_but_the_client_is_used(registry, tmp_path):
    """Another store, which is MLflow's own idea of where to write, and the active run stay as they were."""
    import mlflow

    before = mlflow.get_tracking_uri()
    assert before != registry.uri
    registry.register()
    assert mlflow.get_tracking_uri() == before and mlflow.active_run() is None
    assert not list((tmp_path / "elsewhere").iterdir())


def snapshot(registry):
    client = registry.client
    files = {p: p.stat().st_mtime_ns for p in registry.files().parent.parent.rglob("*")}
    return [dict(v) for v in registry.versions()], [m.to_dictionary() for m in registry.logged()], dict(
        client.get_registered_model(NAME)
    ), files  # fmt: skip


def test_a_second_time_nothing_is_written(registry, monkeypatch):
    registry.register()
    before = snapshot(registry)
    for name in WRITES:
        monkeypatch.delattr(type(registry.client), name)
    assert registry.register() is False
    assert snapshot(registry) == before


@pytest.mark.parametrize("call", WRITES)
def test_interrupted_at_any_call_it_is_completed(registry, monkeypatch, call):
    whole = getattr(type(registry.client), call)

    def interrupted(*args, **kwargs):
        if call == "log_model_artifacts":
            (Path(args[2]) / "artifacts/weights/model.safetensors").write_bytes(b"half of it")
            whole(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(registry.client), call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.register()
    made = bool(registry.versions())
    assert registry.register() is not made
    test_a_second_time_nothing_is_written(registry, monkeypatch)
    [version], [logged] = registry.versions(), registry.logged()
    assert logged.status == "READY" and version.tags["model_id"] == logged.model_id
    assert "mlflow.modelVersions" in logged.tags
    assert len(registry.client.get_run(registry.run).outputs.model_outputs) == 1
    assert registry.client.get_model_version_by_alias(NAME, "best").version == version.version
    assert (registry.files() / "artifacts/weights/model.safetensors").read_bytes() == (
        registry.model / "model.safetensors"
    ).read_bytes()


def test_the_alias_follows_the_best_model(registry):
    def best():
        return registry.client.get_model_version_by_alias(NAME, "best").tags["dvc.md5"]

    assert registry.register("1.dir") and best() == "1.dir"
    other = registry.client.create_run(registry.experiment).info.run_id
    assert registry.register("2.dir", run=other) and best() == "2.dir"
    assert registry.register("1.dir") is False and best() == "1.dir"
    assert len(registry.versions()) == len(registry.logged()) == 2


def test_a_deleted_version_is_made_again_from_the_logged_model(registry):
    registry.register()
    registry.client.delete_model_version(NAME, "1")
    assert registry.register()
    [version], [logged] = registry.versions(), registry.logged()
    assert version.version != "1" and version.tags["model_id"] == logged.model_id
    assert registry.client.get_model_version_by_alias(NAME, "best").version == version.version


def test_a_model_that_is_not_there_leaves_nothing(registry, images, tmp_path):
    with pytest.raises(ReflowbenchError, match="no such file"):
        registry.register(model=tmp_path / "runs/chains/rca/s3/round9/model")
    type(images)(images.images[:, :4], images.labels, (1, 2, 2), 17, dequantized=True).save(registry.data)
    with pytest.raises(ReflowbenchError, match=r"makes images of \(1, 4, 4\), .* has \(1, 2, 2\)"):
        registry.register()
    registry.data.unlink()
    with pytest.raises(ReflowbenchError, match="no such file"):
        registry.register()
    assert not registry.logged() and not registry.versions()
