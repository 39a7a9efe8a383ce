"""What all models of a pipeline are measured with, and how an evaluation is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import nn

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import TRAIN, open_space
from reflowbench.data.space import Space
from reflowbench.flow.field import Field
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.features.classifier import load
from reflowbench.metrics.features.registry import load_networks
from reflowbench.metrics.floor import HELDOUT, RECONSTRUCTIONS, floor, real_spectrum
from reflowbench.metrics.reference import Reference
from reflowbench.runtime.artifacts import atomic, write_json, write_tensors
from reflowbench.runtime.device import device
from reflowbench.runtime.evaluations import METRICS_FILE, SAMPLES_FILE
from reflowbench.runtime.params import EvaluateParams, LatentsParams


class Bench:
    """Real images, feature networks and reference values; made once for any number of models."""

    def __init__(
        self, data: Path, heldout: Path, space: Path, features: Path, params: EvaluateParams, latents: LatentsParams
    ) -> None:
        """Read the files and measure the real images.

        Args:
            data: Images that models are measured against.
            heldout: Images that no model was trained on.
            space: Folder of what models are trained on, images or latents of them.
            features: The classifier.
            params: What to measure.
            latents: The latent space.

        Raises:
            ReflowbenchError: If a file is missing or damaged.
        """
        where = device()
        self._params = params
        self._data, self._heldout = ImageSet.load(data), ImageSet.load(heldout)
        self._classifier, self._accuracy = load(features, where)
        self._networks = load_networks(params, self._classifier, self._data.shape, where)
        self._space = Space(self._data, open_space(space / TRAIN, latents, where))
        self._reconstructions = self._space.reconstructions
        others = {HELDOUT: self._heldout.real}
        if self._reconstructions is not None:
            others[RECONSTRUCTIONS] = self._reconstructions
        self._reference = Reference(self._data, self._networks, self._classifier, params, others)

    def evaluation(self, network: nn.Module, seed: int) -> Evaluation:
        """Prepare the evaluation of a model.

        Args:
            network: The model, in evaluation mode.
            seed: Seed of its chain.

        Returns:
            What measures the model when it is iterated.
        """
        velocity = Field(network, self._params.precision)
        return Evaluation(velocity, self._data, self._heldout, self._reference, self._params, seed, self._space)

    def write(self, folder: Path, evaluation: Evaluation, facts: Mapping[str, float], *, real: bool = False) -> None:
        """Write the numbers and the sample grids of an evaluation that has run.

        Args:
            folder: Where to.
            evaluation: The evaluation.
            facts: What training the model cost and how it ended.
            real: Whether to measure real images against real images too.
        """
        measured = (
            floor(self._data, self._heldout, self._networks, self._classifier, self._params, self._reconstructions)
            if real
            else []
        )
        result = {
            "measurements": [asdict(m) for m in [*evaluation.measurements, *measured]],
            "left_out": evaluation.left_out,
            "spectrum": evaluation.spectrum,
            "real_spectrum": real_spectrum(self._data) if real else [],
            "training": dict(facts),
            "classifier_accuracy": self._accuracy,
        }
        with atomic(folder) as temporary:
            temporary.mkdir()
            write_json(temporary / METRICS_FILE, result)
            write_tensors(temporary / SAMPLES_FILE, evaluation.samples, {"shape": list(self._data.shape)})
