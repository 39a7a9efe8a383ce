"""The registered model that draws images. Importing this imports MLflow, which takes 2 s."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc import FLAVOR_NAME, save_model
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

import reflowbench
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import write_json

ALIAS = "best"
MD5_KEY = "dvc.md5"
MODEL_ID_KEY = "model_id"
READY = "READY"

# What `sampler.py`, which MLflow runs as a file, shares with this module.
WEIGHTS = "weights"
DATA = "data"
DECODER = "decoder"
PARAMS: dict[str, Any] = {"nfe": 50, "solver": "euler"}
SAMPLER = Path(__file__).with_name("sampler.py")

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "safetensors", "torch")
"""Packages that drawing images imports."""
_DESCRIPTION = "Draws images from numbered noise: the model of the best cell has the alias `best`"


def register(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    *,
    name: str,
    md5: str,
    model: Path,
    images: Path,
    tags: Mapping[str, str],
    promote: bool = True,
) -> bool:
    """Make a model a version of a registered model, and the one with the alias `best`.

    Done twice, or after it was interrupted anywhere, it leaves one version and one logged model. The alias
    is set last: a version that has it is complete.

    Args:
        client: The open store.
        experiment: Id of the experiment.
        run_id: Run of the stage that made the model.
        name: Name of the registered model.
        md5: Hash of the model folder in dvc.lock: by it a version is known.
        model: The model folder.
        images: What it was trained on; only shape, grey levels and the decoder of latents are kept.
        tags: Tags of the logged model and of the version, beside the hash.
        promote: Whether it gets the alias if another version has it.

    Returns:
        Whether a version was added.

    Raises:
        ReflowbenchError: If the model or the images are missing, damaged or do not belong together.
        MlflowException: If the store fails.
    """
    found = _version(client, name, md5)
    version = found or _create_version(client, experiment, run_id, name, {**tags, MD5_KEY: md5}, model, images)
    holder = client.get_registered_model(name).aliases.get(ALIAS)
    if found is None or (promote and str(holder) != str(version.version)):
        _link(client, version)
    if holder is None or (promote and str(holder) != str(version.version)):
        client.set_registered_model_alias(name, ALIAS, version.version)
    return found is None


def _version(client: MlflowClient, name: str, md5: str) -> ModelVersion | None:
    """Find the newest complete version with a hash."""
    found = client.search_model_versions(f"name = '{name}' AND tags.`{MD5_KEY}` = '{md5}'")
    return max((v for v in found if v.status == READY), key=lambda v: int(v.version), default=None)


def _create_version(
    client: MlflowClient, experiment: str, run_id: str, name: str, tags: dict[str, str], model: Path, images: Path
) -> ModelVersion:
    logged = _logged_model(client, experiment, run_id, name, tags, model, images)
    try:
        client.create_registered_model(name, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # As source, `models:/ID` would be looked up in MLflow's global store, which need not be the client's.
    # The SQL registry keeps no model id, hence the tag.
    return client.create_model_version(
        name, logged.artifact_location, run_id, tags={**tags, MODEL_ID_KEY: logged.model_id}, model_id=logged.model_id
    )


def _link(client: MlflowClient, version: ModelVersion) -> None:
    """Have the logged model's page name the version. MLflow's server does so by itself, its SQL store does not."""
    try:
        client.set_logged_model_tags(
            version.tags[MODEL_ID_KEY],
            {"mlflow.modelVersions": json.dumps([{"name": version.name, "version": version.version}])},
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # the user deleted it
            raise


def _logged_model(
    client: MlflowClient, experiment: str, run_id: str, name: str, tags: dict[str, str], model: Path, images: Path
) -> LoggedModel:
    """Give the run's complete logged model: that of an interrupted call, completed if need be, or a new one."""
    found = client.search_logged_models(
        [experiment], f"source_run_id = '{run_id}' AND tags.`{MD5_KEY}` = '{tags[MD5_KEY]}'"
    )
    complete = next((logged for logged in found if logged.status == READY), None)
    if complete:
        return complete
    data = _read(model, images)  # before anything is made in the store, as it may fail
    logged = found[0] if found else client.create_logged_model(experiment, name, source_run_id=run_id, tags=tags)
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model", model, images, data, run_id, logged.model_id)
        client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    outputs = client.get_run(run_id).outputs
    if logged.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _read(model: Path, images: Path) -> dict[str, Any]:
    """Give what the sampler must know of the images, and the seed of the model's chain."""
    from reflowbench.data.latents import LatentSet, open_data
    from reflowbench.networks.model import load_model

    _, _, shape = load_model(model)
    data = open_data(images)
    if data.shape != shape:
        raise ReflowbenchError(f"{model} makes images of {shape}, {images} has {data.shape}: run `dvc repro`")
    seed = re.search(r"(?:^|/)s(\d+)(?:/|$)", model.as_posix())
    drawn = data.image_shape if isinstance(data, LatentSet) else data.shape
    facts = {"shape": list(drawn), "levels": data.levels, "dequantized": data.dequantized}
    return {**facts, "seed": int(seed[1]) if seed else 0}


def save(path: Path, model: Path, images: Path, data: Mapping[str, Any], run_id: str, model_id: str) -> None:
    """Write an MLflow model: the weights, facts of the images, and the code that draws.

    Args:
        path: The folder to make.
        model: The model folder; what its next round takes over stays behind.
        images: What it was trained on.
        data: Shape, levels and dequantized of the images; seed of the chain.
        run_id: Run of the stage that made the model.
        model_id: Id of the logged model.
    """
    from reflowbench.data.latents import LatentSet, open_data
    from reflowbench.networks.model import FACTS as TRAINING
    from reflowbench.networks.model import WEIGHTS as NETWORK

    described = Model(run_id=run_id, model_uuid=model_id, model_id=model_id)
    with tempfile.TemporaryDirectory() as folder:
        files = {WEIGHTS: Path(folder) / WEIGHTS, DATA: Path(folder) / f"{DATA}.json"}
        files[WEIGHTS].mkdir()
        for name in (NETWORK, TRAINING):
            shutil.copyfile(model / name, files[WEIGHTS] / name)
        write_json(files[DATA], data)
        if isinstance(latents := open_data(images), LatentSet):
            files[DECODER] = Path(folder) / f"{DECODER}.safetensors"
            latents.blank().save(files[DECODER])
        save_model(
            path,
            python_model=SAMPLER,
            artifacts={key: str(file) for key, file in files.items()},
            code_paths=[str(Path(reflowbench.__file__).parent)],
            mlflow_model=described,
            signature=_signature(data),
            input_example=(pd.DataFrame({"noise": range(3)}), PARAMS),
            pip_requirements=requirements(),
        )
    # MLflow notes where the files came from, but reads them by their place in the folder.
    flavor = described.flavors[FLAVOR_NAME]
    flavor["model_code_path"] = SAMPLER.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    described.save(path / MLMODEL_FILE_NAME)


def requirements() -> list[str]:
    """Give the installed versions as pip takes them; of `2.8.0+cpu`, a build that PyPI lacks, the version alone."""
    return [f"{package}=={installed(package).partition('+')[0]}" for package in REQUIREMENTS]


def _signature(data: Mapping[str, Any]) -> ModelSignature:
    channels, height, width = data["shape"]
    params = [
        ParamSpec("nfe", DataType.long, PARAMS["nfe"]),
        ParamSpec("solver", DataType.string, PARAMS["solver"]),
        ParamSpec("seed", DataType.long, data["seed"]),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.long, "noise")]),
        outputs=Schema([TensorSpec(np.dtype("uint8"), (-1, height, width, channels))]),
        params=ParamSchema(params),
    )
