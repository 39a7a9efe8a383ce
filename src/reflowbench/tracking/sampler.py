"""Code of the registered model: MLflow runs this file, once to save the model and whenever it is loaded.

A model as code needs no pickle, which would run whatever its bytes say, and only with the same versions.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import open_data
from reflowbench.data.png import Bytes
from reflowbench.gallery.draw import samples
from reflowbench.gallery.models import Model
from reflowbench.networks.model import load_model
from reflowbench.runtime.artifacts import read_json
from reflowbench.runtime.device import device
from reflowbench.runtime.stage import set_threads
from reflowbench.tracking.models import DATA, DECODER, PARAMS, WEIGHTS


class Sampler(PythonModel):
    """Draws the images that `reflowbench sample` and the evaluation draw from the same noise."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the network, and the shape and grey levels of its images.

        Args:
            context: Says where MLflow put the files.

        Raises:
            ReflowbenchError: If a file is missing or damaged.
        """
        set_threads()
        velocity, _, shape = load_model(Path(context.artifacts[WEIGHTS]), device())
        facts = read_json(Path(context.artifacts[DATA]))
        # Of the images that it was trained on, nothing but their format is needed.
        none, labels = torch.empty(0, math.prod(shape)), torch.empty(0, dtype=torch.int64)
        data = ImageSet(none, labels, tuple(facts["shape"]), facts["levels"], facts["dequantized"])
        if DECODER in context.artifacts:
            data = open_data(Path(context.artifacts[DECODER]))
        self._model = Model(velocity, data, facts["seed"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Bytes:
        """Draw images.

        Args:
            context: Not used.
            model_input: Column `noise`: numbers of the samples, n of them. Sample i is that of row i of the
                evaluation's noise.
            params: `nfe` (network evaluations per sample), `solver` and `seed` (of the noise; by default that of the
                model's chain).

        Returns:
            Shape (n, height, width, channels), uint8. An image does not depend on the others of the call.

        Raises:
            ReflowbenchError: If there is no such noise or solver, the solver cannot spend so many evaluations, or the
                samples are not finite.
        """
        chosen = {**PARAMS, "seed": self._model.seed, **(params or {})}
        index = [int(i) for i in model_input["noise"]]
        return samples(self._model, index, int(chosen["nfe"]), chosen["solver"], int(chosen["seed"]))


set_model(Sampler())
