"""When a training counts as diverged, and what is kept of it for a look at the cause."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import sidecar
from reflowbench.runtime.artifacts import write_tensors
from reflowbench.runtime.params import GuardParams

STOP = GuardParams(explosion=1000.0, restarts=0, every=50, lr_factor=0.5)
"""The guard where no parameters ask for another: no restart."""
_WINDOW, _FEWEST = 100, 10
"""Norms are compared with the median of so many before, once there are so many."""


@dataclass(frozen=True)
class Step:
    """What one optimizer step reports.

    Attributes:
        number: Step, from 0.
        loss: Batch loss before the update.
        gradient_norm: Norm of the gradient before clipping.
        learning_rate: Of the update.
    """

    number: int
    loss: float
    gradient_norm: float
    learning_rate: float


def fault(step: Step, before: Sequence[Step], params: GuardParams) -> str:
    """What shows that a step must not be taken.

    Args:
        step: The step, before its update.
        before: The steps that were taken.
        params: What counts as an explosion.

    Returns:
        The fault with its numbers; empty if there is none.
    """
    found = f"loss {step.loss:.6g}, gradient norm {step.gradient_norm:.6g}"
    if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
        return found
    recent = [taken.gradient_norm for taken in before[-_WINDOW:]]
    if len(recent) < _FEWEST:
        return ""
    usual = statistics.median(recent)
    if step.gradient_norm <= params.explosion * usual:
        return ""
    return f"{found}, more than guard.explosion = {params.explosion:g} times the usual {usual:.6g}"


def keep_batch(step: Step, batch: Mapping[str, torch.Tensor]) -> str:
    """Keep the batch of a fault beside the outputs.

    Args:
        step: The step.
        batch: Its tensors by name.

    Returns:
        A sentence that names the file; empty if it could not be written, which must not hide the fault.
    """
    path = sidecar.folder() / sidecar.DIVERGED / f"{sidecar.RUN}-step{step.number}.safetensors"
    facts = {name: str(value) for name, value in asdict(step).items()}  # may be infinite
    with contextlib.suppress(ReflowbenchError, OSError):
        write_tensors(path, batch, {"stage": sidecar.stage_name(), **facts})
        return f" The batch is in {_shown(path)}."
    return ""


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
