"""What every metric is expected to make of every damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from reflowbench.metrics import classes
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.pixels import Pixels

Direction = Literal["up", "down", "same"]
Expectation = Literal["up", "down", "same", "any"]
Row = tuple[str, str]
"""A metric and its feature space ("" for none)."""

_DISTANCES = "frechet_distance frechet_distance_infinity kernel_distance"
IN_BOTH = (*_DISTANCES.split(), "precision", "recall", "density", "coverage", "vendi_score")
_PIXELS = ("variance_ratio", "effective_rank", "near_duplicates", "nearest_training_distance", "closer_to_training")
ROWS: tuple[Row, ...] = (
    *((metric, space) for metric in IN_BOTH for space in (Classifier.name, Pixels.name)),
    *((metric, Classifier.name) for metric in classes.METRICS),
    *((metric, "") for metric in _PIXELS),
)
BETTER: Mapping[str, Direction] = {
    **dict.fromkeys(IN_BOTH[:3], "down"),
    **dict.fromkeys(IN_BOTH[3:], "up"),
    **dict.fromkeys(("class_score", "class_entropy", "effective_rank"), "up"),
    **dict.fromkeys(("missing_classes", "near_duplicates", "closer_to_training"), "down"),
}
"""Which way a reader takes for better; the metrics that are not here have a best value in between."""


def _expect(**names: str) -> Mapping[Row, Expectation]:
    """Expectations of every row: a name stands for all spaces, name:space for one; what is not named stays the same."""
    expected: dict[Row, Expectation] = dict.fromkeys(ROWS, "same")
    directions: tuple[Expectation, ...] = ("up", "down", "any")
    for direction in directions:
        for name in names.get(direction, "").split():
            metric, _, space = name.partition(":")
            rows = [row for row in ROWS if row[0] == metric and space in ("", row[1])]
            if not rows or any(expected[row] != "same" for row in rows):
                raise ValueError(f"{name}: no such row, or named twice")
            expected.update(dict.fromkeys(rows, direction))
    return expected


EXPECTED: Mapping[str, Mapping[Row, Expectation]] = {
    "none": _expect(),
    # Quality is untouched, and precision and density rightly say so; so does the distance to the training images.
    "classes_dropped": _expect(
        up=_DISTANCES + " missing_classes",
        down="recall coverage vendi_score class_score class_entropy variance_ratio effective_rank",
        any="near_duplicates",  # the classes that are left are more crowded, by little
    ),
    # No class is gone, so missing_classes is blind; so is recall, as balls grow where samples are few.
    "imbalanced": _expect(
        up=_DISTANCES,
        down="coverage vendi_score class_score class_entropy effective_rank",
        any="recall:pixels variance_ratio near_duplicates",
    ),
    # A hundredth or two of the variance goes: 48 different images have a 48th less than as many others.
    "duplicated": _expect(
        up=_DISTANCES + " near_duplicates",
        down="recall coverage vendi_score effective_rank class_entropy class_score",
        any="variance_ratio",
    ),
    "near_duplicated": _expect(
        up=_DISTANCES + " near_duplicates",
        down="recall coverage vendi_score effective_rank class_entropy class_score",
        any="variance_ratio nearest_training_distance density:pixels",  # the copies' noise, by little
    ),
    # In pixels images move to where balls are many, which passes for quality. The rank does not depend on scale: it
    # would stay but for the rounding to grey levels, which fills the directions that shrank.
    "shrunk": _expect(
        up=_DISTANCES + " near_duplicates precision:pixels density:pixels",
        down="variance_ratio recall vendi_score class_score coverage:classifier density:classifier",
        any="precision:classifier coverage:pixels class_entropy effective_rank nearest_training_distance",
    ),
    # Each digit more typical of its class: passes for quality by every metric of quality.
    "class_means": _expect(
        up=_DISTANCES + " near_duplicates precision density class_score coverage:pixels",
        down="variance_ratio recall vendi_score effective_rank nearest_training_distance coverage:classifier",
    ),
    # In pixels, blurred images too move to where balls are many. The classes can still be told.
    "blurred": _expect(
        up=_DISTANCES + " nearest_training_distance near_duplicates precision:pixels density:pixels",
        down="precision:classifier density:classifier recall coverage variance_ratio effective_rank vendi_score "
        "class_score",
    ),
    # What clipping to the range takes from the variance, noise of this strength gives back.
    "noisy": _expect(
        up=_DISTANCES + " nearest_training_distance effective_rank vendi_score:pixels recall:pixels",
        down="precision density coverage class_score",
        any="recall:classifier near_duplicates vendi_score:classifier",
    ),
    # A copy lies in its own ball and in k - 1 others on average: a density of 1, as real images have.
    "memorised": _expect(
        up="closer_to_training precision recall coverage",
        down=_DISTANCES + " nearest_training_distance",
    ),
}
"""What each metric does, asserted by a test: up, down or same; any where the change is about as large as MARGIN.

Most were written down from what the metric claims to measure before they were measured, some were open until then; a
comment says where a claim did not hold.
"""
