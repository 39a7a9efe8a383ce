"""Measuring undamaged and damaged samples against the same real images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from reflowbench.controls.damage.damages import DAMAGES, DamageParams, Split, split
from reflowbench.controls.damage.expected import EXPECTED, ROWS, Direction, Row
from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.metrics.features.base import FeatureNetwork
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.pixels import Pixels
from reflowbench.metrics.memorization import closer_to_training, nearest_distance
from reflowbench.metrics.reference import Reference
from reflowbench.results.statistics import Interval, interval
from reflowbench.runtime.params import EvaluateParams

MARGIN = 1.0
"""A metric moves if its interval excludes 0 and the change is at least so many standard deviations of the undamaged
value over splits: what is less is less than another draw of real images makes, and could not be seen in one set."""


@dataclass(frozen=True)
class Change:
    """What a damage does to a metric.

    Attributes:
        damage: Key of DAMAGES.
        row: Metric and feature space.
        undamaged: Mean over splits of undamaged samples; NaN if it could not be computed in one.
        spread: Standard deviation over splits of undamaged samples; NaN likewise.
        change: Damaged minus undamaged samples against the same reference: 95 % t interval over splits.
    """

    damage: str
    row: Row
    undamaged: float
    spread: float
    change: Interval

    @property
    def moved(self) -> Direction | Literal["missing"]:
        """`up` or `down` if it moves, see MARGIN; `missing`, and not `same`, if it could not be computed in a split."""
        if math.isnan(self.change.mean):
            return "missing"
        if self.change.sign == 0 or abs(self.change.mean) < MARGIN * self.spread:
            return "same"
        return "up" if self.change.sign > 0 else "down"

    @property
    def verdict(self) -> str:
        """`as expected` or `not as expected`; `not asserted` where nothing is expected."""
        expected = EXPECTED[self.damage][self.row]
        if expected == "any":
            return "not asserted"
        return "as expected" if expected == self.moved else "not as expected"


@dataclass
class DamageControl:
    """Measures undamaged and damaged samples against the same reference, split by split; iterate to run it.

    Splits are drawn independently from the same images, so the interval over them is one for the mean over all
    splits of these images. It says nothing of other data sets, and since splits overlap it is narrower than one over
    fresh images would be.

    Attributes:
        data: All real images. Those that the classifier was trained on and others may be mixed: splits are random.
        classifier: Of their classes.
        evaluate: How models are measured.
        params: Splits and strengths.
        values: By damage ("" for none at all) and row, one value per split. Filled by iterating.
    """

    data: ImageSet
    classifier: Classifier
    evaluate: EvaluateParams
    params: DamageParams
    values: dict[str, dict[Row, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def __len__(self) -> int:
        """Number of measured sets."""
        return self.params.splits * (len(DAMAGES) + 1)

    def __iter__(self) -> Iterator[str]:
        """Measure, yielding the name of each damage that is done.

        Yields:
            Names of damages, as in the parameters.

        Raises:
            ReflowbenchError: If there are too few images.
        """
        networks: list[FeatureNetwork] = [self.classifier, Pixels(self.data.shape)]
        settings = self.evaluate.model_copy(update={"pca": None})
        for number in range(self.params.splits):
            parts = split(self.data, self.params, number)
            reference = Reference(parts.reference, networks, self.classifier, settings)
            x = parts.spare.images[: self.params.n_samples]
            made = {"": x} | {
                name: damage(parts, x, self.params, generator(0, f"damage {name}", step=number))
                for name, damage in DAMAGES.items()
            }
            for name, images in made.items():
                for row, value in _measure(reference, parts, self.data.quantize(images)).items():
                    self.values[name][row].append(value)
                yield name

    def changes(self) -> list[Change]:
        """What was found, damage by damage."""
        found = []
        for name in DAMAGES:
            for row in ROWS:
                before = np.array(self.values[""][row])
                change = interval(np.array(self.values[name][row]) - before)
                found.append(Change(name, row, float(before.mean()), float(before.std(ddof=1)), change))
        return found


def _measure(reference: Reference, parts: Split, images: torch.Tensor) -> dict[Row, float]:
    """Every metric of images at grey levels; NaN where there is no value."""
    found = reference.measure(images, errors=False).measurements
    values = {(m.metric, m.features): math.nan if m.value is None else m.value for m in found}
    values["nearest_training_distance", ""] = nearest_distance(images, parts.reference.real).median().item()
    values["closer_to_training", ""] = closer_to_training(images, parts.reference.real, parts.heldout.real)
    return values


def pooled(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of one source as one."""
    images, labels = torch.cat([first.images[:], second.images[:]]), torch.cat([first.labels, second.labels])
    return replace(first, images=images, labels=labels)
