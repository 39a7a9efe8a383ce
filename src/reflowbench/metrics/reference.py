"""The real images as what samples are measured against: every metric of a set of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.core.gaussians import Gaussian
from reflowbench.core.jackknife import Rows, groups_of
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.data.packed import Rows as Images
from reflowbench.data.streamed import fit_pixels, pixels
from reflowbench.metrics import classes, diversity, families, neighbours
from reflowbench.metrics.families import Family
from reflowbench.metrics.features.base import FeatureNetwork
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.frechet import FrechetDistance, Projection
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.measurement import Measurement, UndefinedError
from reflowbench.metrics.neighbours import Neighbourhood, PrecisionRecall
from reflowbench.runtime.params import EvaluateParams

Array = NDArray[np.float64]
FRECHET = "frechet_distance"


@dataclass
class Scores:
    """What `Reference.measure` finds.

    Attributes:
        measurements: One per metric and feature space.
        left_out: By feature space, Frechet distances without each group of samples, shape (groups,): what
            a comparison of two models on the same noise needs.
    """

    measurements: list[Measurement] = field(default_factory=list)
    left_out: dict[str, list[float]] = field(default_factory=dict)


class Reference:
    """Measures sets of images against the real ones."""

    def __init__(
        self,
        real: ImageSet,
        networks: Sequence[FeatureNetwork],
        classifier: Classifier,
        params: EvaluateParams,
        others: Mapping[str, Images] | None = None,
    ) -> None:
        """Take in the real images.

        Args:
            real: Images to measure against.
            networks: Feature spaces.
            classifier: Classifier of the images' own classes.
            params: Numbers of neighbours, groups and components.
            others: Further sets by name, to which the Frechet distance is measured too: `frechet_distance_NAME`.
        """
        self._classifier, self._params = classifier, params
        self._spaces = [_Space(network, real.real, params, others or {}) for network in networks]
        self._real, self._shape = real.real, real.shape
        # As the classifier sees them: its mistakes on real images are no missing classes of a model.
        self._shares = classes.histogram(classifier.probabilities(real.real))

    def measure(
        self,
        images: Images,
        *,
        errors: bool = True,
        failure: str = "",
        wanted: Callable[[str], bool] = lambda metric: True,
    ) -> Scores:
        """Measure images.

        Args:
            images: At grey levels in [-1, 1], shape (n, dim); many of them are best packed (`ImageSet.pack`).
            errors: Compute standard errors over samples too.
            failure: Why there are no images, if there are none worth the name.
            wanted: Which metrics to compute, by name. It must take all or none of those computed together.

        Returns:
            Every metric that is wanted, its value missing, with the reason, where it cannot be computed.
        """
        scores = Scores()
        if isinstance(images, torch.Tensor) and not (failure or torch.isfinite(images).all()):
            failure = "the samples are not finite"
        # A set that cannot be measured still has a row for every metric.
        for family in self._families(_blank(images) if failure else images):
            if not wanted(family.names[0]):
                continue
            if failure:
                scores.measurements += families.missing(family, failure)
                continue
            found, left_out = families.measure(family, self._params.groups if errors else 0)
            scores.measurements += found
            if FRECHET in left_out:
                scores.left_out[family.features] = left_out[FRECHET].tolist()
        return scores

    @cached_property
    def _gaussian(self) -> Gaussian:
        return self._fitted(self._real, np.arange(len(self._real)))

    def _fitted(self, images: Images, rows: Rows) -> Gaussian:
        if len(rows) < 2:
            raise UndefinedError(f"a covariance needs at least 2 images, not {len(rows)}")
        return fit_pixels(images, self._shape, rows)

    @cached_property
    def _threshold(self) -> float:
        within = neighbours.distances_within(pixels(self._real[: neighbours.MOST], self._shape))
        return diversity.duplicate_threshold(Neighbourhood(within))

    def _families(self, images: Images) -> Iterator[Family]:
        """The metrics of given images; those of all features first."""
        for space in self._spaces:
            yield from space.families(images)
        n = len(images)

        # What only some metrics need is computed when the first of them is: not all are always wanted.
        @cache
        def probabilities() -> Array:
            return self._classifier.probabilities(images)

        def class_metrics(rows: Rows) -> Sequence[float]:
            return classes.class_metrics(probabilities()[rows], self._shares)

        yield Family(classes.METRICS, class_metrics, n, self._classifier.name)

        def variance_ratio(rows: Rows) -> Sequence[float]:
            return (diversity.variance_ratio(self._fitted(images, rows), self._gaussian),)

        few = min(n, neighbours.MOST)  # a covariance of pixels, once more for each group that is left out
        yield Family(("variance_ratio",), variance_ratio, few)

        def effective_rank(rows: Rows) -> Sequence[float]:
            return (diversity.effective_rank(diversity.spectrum(self._fitted(images, rows))),)

        yield Family(("effective_rank",), effective_rank, few)

        @cache
        def near() -> Neighbourhood:
            return Neighbourhood(neighbours.distances_within(pixels(images[:few], self._shape)))

        def near_duplicates(rows: Rows) -> Sequence[float]:
            return (diversity.near_duplicates(near(), self._threshold),)

        def without(groups: int) -> Array:
            parts = groups_of(few, groups)
            return np.array([[diversity.near_duplicates(near(), self._threshold, part) for part in parts]])

        yield Family(("near_duplicates",), near_duplicates, few, left_out=without)


def _blank(images: Images) -> Images:
    """As many images, all alike: they have no values worth the name, but say which metrics there are."""
    if isinstance(images, PackedImages):
        return PackedImages(torch.zeros_like(images.levels), images.count)
    return torch.zeros_like(images)


class _Space:
    """The real images in one feature space. What cannot be computed of them fails when it is asked for."""

    def __init__(
        self, network: FeatureNetwork, real: Images, params: EvaluateParams, others: Mapping[str, Images]
    ) -> None:
        self._network, self._params = network, params
        self._real = network.features(real)
        self._others = {name: network.features(images) for name, images in others.items()}

    @cached_property
    def _frechet(self) -> FrechetDistance:
        return FrechetDistance(self._real)

    @cached_property
    def _to_others(self) -> dict[str, FrechetDistance]:
        return {name: FrechetDistance(features) for name, features in self._others.items()}

    @cached_property
    def _projected(self) -> tuple[Projection, FrechetDistance]:
        projection = Projection(self._real, self._params.pca or 1)
        return projection, FrechetDistance(projection(self._real))

    @cached_property
    def _kernel(self) -> KernelDistance:
        return KernelDistance(self._real[: neighbours.MOST])  # its time is quadratic

    @cached_property
    def _radii(self) -> Array:
        within = neighbours.distances_within(self._real[: neighbours.MOST])
        return Neighbourhood(within).radii(self._params.neighbours)

    def families(self, images: Images) -> Iterator[Family]:
        """The metrics of given images in this space."""
        features = self._network.features(images)
        finite = np.isfinite(features).all() and np.isfinite(self._real).all()
        for family in self._of(features):
            yield family if finite else replace(family, over=_not_finite, left_out=None)

    def _of(self, features: Array) -> Iterator[Family]:
        name, n = self._network.name, len(features)
        yield Family((FRECHET,), lambda rows: (self._frechet(features[rows]),), n, name)
        yield Family(
            (f"{FRECHET}_infinity",), lambda rows: (self._frechet.at_infinity(features[rows]),), n, name, errors=False
        )
        for other in self._others:

            def to_other(rows: Rows, other: str = other) -> Sequence[float]:
                return (self._to_others[other](features[rows]),)

            yield Family((f"{FRECHET}_{other}",), to_other, n, name, errors=False)
        if self._params.pca:

            def projected(rows: Rows) -> Sequence[float]:
                projection, distance = self._projected
                return (distance(projection(features[rows])),)

            yield Family((FRECHET,), projected, n, f"{name}_pca{self._params.pca}")

        few = min(n, neighbours.MOST)
        yield Family(
            ("kernel_distance",),
            lambda rows: (self._kernel(features[:few]),),
            few,
            name,
            left_out=lambda groups: self._kernel.leaving_out(features[:few], groups)[1][None],
        )

        @cache
        def balls() -> PrecisionRecall:
            real = self._real[: neighbours.MOST]
            return PrecisionRecall(real, self._radii, features[:few], self._params.neighbours)

        yield Family(
            neighbours.METRICS,
            lambda rows: balls().values(),
            few,
            name,
            left_out=lambda groups: balls().left_out(groups),
        )
        yield Family(("vendi_score",), lambda rows: (diversity.vendi_score(features[rows]),), n, name)


def _not_finite(rows: Rows) -> Sequence[float]:
    raise UndefinedError("the features are not finite")
