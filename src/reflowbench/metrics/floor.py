"""What real images score against real images: the value that a perfect model would have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from reflowbench.core.jackknife import Rows
from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import Rows as Images
from reflowbench.data.packed import select
from reflowbench.data.streamed import fit_pixels
from reflowbench.metrics import diversity, families, neighbours
from reflowbench.metrics.families import Family
from reflowbench.metrics.features.base import FeatureNetwork
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.frechet import Array, FrechetDistance
from reflowbench.metrics.measurement import Measurement
from reflowbench.metrics.memorization import nearest_distance
from reflowbench.metrics.reference import FRECHET, Reference
from reflowbench.runtime.params import EvaluateParams

RECONSTRUCTIONS, HELDOUT = "reconstructions", "heldout"
"""Further sets that samples are compared with: what the decoder makes of the training images, and held-out images."""
_BIASED = (FRECHET, f"{FRECHET}_infinity")
_DISJOINT = ("kernel_distance", *neighbours.METRICS)


def floor(
    data: ImageSet,
    heldout: ImageSet,
    networks: Sequence[FeatureNetwork],
    classifier: Classifier,
    params: EvaluateParams,
    reconstructions: Images | None = None,
) -> list[Measurement]:
    """Measure real images against real images, over and over with other ones.

    Frechet distances: `n_samples` training images drawn with replacement, against all of them, so that
    their bias is that of the models' distances. Kernel distance and neighbours must not share images
    with the reference: two random parts, in the proportion of samples to training images, which
    coverage depends on. What needs no reference: `n_samples` different images, or all
    if there are fewer. Distance to the nearest training image: of the held-out images.

    The rows above are those of a model that has memorised the training images. `frechet_distance_generalizer_floor`
    is that of one that has learned their law: held-out images against training images, with the bias of `n_samples`
    images. `frechet_distance_decoder_floor` is what the latent space alone costs: reconstructions against originals.

    Args:
        data: The images that models are trained on and measured against.
        heldout: Images that no model is trained on.
        networks: Feature spaces.
        classifier: Classifier of the images' own classes.
        params: Sample count and repeats.
        reconstructions: Training images as the decoder of the latent space makes them; None without one.

    Returns:
        One measurement per metric and feature space, its name ending in `_floor`: the mean over repeats, and
        its standard error; of the two further floors of the Frechet distance the generaliser's has one over held-out
        images (jackknife), the decoder's none.
    """
    whole = Reference(data, networks, classifier, params, {HELDOUT: heldout.real})
    decoded = None
    if reconstructions is not None:
        decoded = Reference(data, networks, classifier, params, {RECONSTRUCTIONS: reconstructions})
    found: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for repeat in range(params.floor_repeats):
        draw = generator(0, "floor", step=repeat)
        drawn = torch.randint(len(data), (params.n_samples,), generator=draw)
        order = torch.randperm(len(data), generator=draw)
        share = params.n_samples / (params.n_samples + len(data))
        first, second = (_rows(data, part) for part in order.tensor_split([round(share * len(data))]))
        rest = Reference(second, networks, classifier, params)
        for wanted, reference, images in (
            (lambda m: m.startswith(_BIASED), whole, select(data.real, drawn)),
            (lambda m: m in _DISJOINT, rest, first.real),
            (lambda m: not m.startswith(_BIASED + _DISJOINT), whole, select(data.real, order[: params.n_samples])),
        ):
            for m in reference.measure(images, errors=False, wanted=wanted).measurements:
                found[m.metric, m.features].append(m)
        if decoded is not None and reconstructions is not None:
            again = select(reconstructions, drawn)
            for m in decoded.measure(again, errors=False, wanted=f"{FRECHET}_{RECONSTRUCTIONS}".__eq__).measurements:
                found[m.metric, m.features].append(m)
    few = select(heldout.real, slice(neighbours.MOST))
    nearest = nearest_distance(few, data.real, data.shape).median().item()
    return [
        *map(_mean, found.values()),
        *_further(data, heldout, networks, params, reconstructions),
        Measurement("nearest_training_distance_floor", nearest, n_samples=len(few)),
    ]


def _further(
    data: ImageSet,
    heldout: ImageSet,
    networks: Sequence[FeatureNetwork],
    params: EvaluateParams,
    reconstructions: Images | None,
) -> Iterator[Measurement]:
    """The floors of a model that generalises perfectly, and of the decoder."""
    n = params.n_samples
    for network in networks:
        real, unseen = network.features(data.real), network.features(heldout.real)

        def generalizer(rows: Rows, real: Array = real, unseen: Array = unseen) -> Sequence[float]:
            return (FrechetDistance(real).at(unseen[rows], n),)

        family = Family((f"{FRECHET}_generalizer_floor",), generalizer, len(unseen), network.name)
        yield from (replace(m, n_samples=n) for m in families.measure(family, params.groups)[0])
        if reconstructions is not None:
            made = network.features(reconstructions)

            def decoder(rows: Rows, real: Array = real, made: Array = made) -> Sequence[float]:
                return (FrechetDistance(real)(made[rows]),)

            family = Family((f"{FRECHET}_decoder_floor",), decoder, len(made), network.name, errors=False)
            yield from families.measure(family, 0)[0]


def real_spectrum(data: ImageSet) -> list[float]:
    """Eigenvalues of the real images' covariance, descending."""
    return list(map(float, diversity.spectrum(fit_pixels(data.real, data.shape))))


def _rows(data: ImageSet, rows: torch.Tensor) -> ImageSet:
    return replace(data, images=select(data.images, rows), labels=data.labels[rows])


def _mean(repeats: Sequence[Measurement]) -> Measurement:
    first = repeats[0]
    name = f"{first.metric}_floor"
    if any(m.value is None for m in repeats):
        return replace(first, metric=name, value=None, missing=next(m.missing for m in repeats if m.value is None))
    values = np.array([m.value for m in repeats], dtype=np.float64)
    error = float(values.std(ddof=1) / len(values) ** 0.5)
    return replace(first, metric=name, value=float(values.mean()), error=error)
