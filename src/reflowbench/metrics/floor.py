"""What real images score against real images: the value that a perfect model would have."""

from __future__ import annotations

import numpy as np
import torch

from reflowbench.core.data.images import ImageSet
from reflowbench.core.params import EvaluateParams
from reflowbench.core.randomness import generator
from reflowbench.metrics.classifier import Classifier
from reflowbench.metrics.frechet import frechet_distance
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.measurement import FEATURES, Measurement
from reflowbench.metrics.memorization import nearest_distance


def floor(data: ImageSet, heldout: ImageSet, classifier: Classifier, params: EvaluateParams) -> list[Measurement]:
    """Measure real images against real images.

    Frechet distance: `n_samples` training images drawn with replacement, against all of them. The
    kernel distance is unbiased, but not if both sets share images: two random halves. Distance to the
    nearest training image: of the held-out images.

    Args:
        data: The images that models are trained on and measured against.
        heldout: Images that no model is trained on.
        classifier: Feature network.
        params: Sample count and repeats.

    Returns:
        One measurement per metric, its name ending in `_floor`.
    """
    real, scores, half = classifier.features(data.real), [], len(data) // 2
    for repeat in range(params.floor_repeats):
        draw = generator(0, "floor", step=repeat)
        rows = torch.randint(len(real), (params.n_samples,), generator=draw).numpy()
        order = torch.randperm(len(real), generator=draw).numpy()
        kernel = KernelDistance(real[order[half:]])(real[order[:half]])
        scores.append((frechet_distance(real[rows], real), kernel))
    frechet, kernel = (float(value) for value in np.mean(scores, axis=0))
    nearest = nearest_distance(heldout.real, data.real).median().item()
    return [
        Measurement("frechet_distance_floor", frechet, features=FEATURES, n_samples=params.n_samples),
        Measurement("kernel_distance_floor", kernel, features=FEATURES, n_samples=half),
        Measurement("nearest_training_distance_floor", nearest, n_samples=len(heldout)),
    ]
