"""Where the evaluation of a model lies, for those who write it and those who read it."""

from __future__ import annotations

from pathlib import Path

METRICS_FILE = "metrics.json"
SAMPLES_FILE = "samples.safetensors"
BASE = "base"
"""Folder of the base models, beside those of the methods."""


def cell_folder(evaluations: Path, method: str, seed: int, round_: int) -> Path:
    """Folder of one evaluated model."""
    return evaluations / method / f"s{seed}" / f"round{round_}"


def distance_name(features: str) -> str:
    """How a Frechet distance in a feature space may be called: FID only with Inception features.

    Args:
        features: Name of a feature network.

    Returns:
        "FID (inception_clean)", since the modes of FID are not comparable, or "FD (classifier features)".
    """
    return f"FID ({features})" if features.startswith("inception") else f"FD ({features} features)"
