"""All figures of the theory stages, in one folder that is whole or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from reflowbench.report.drawing import canvas
from reflowbench.theory.params import TheoryPhaseParams
from reflowbench.theory.report import phase, round_figures
from reflowbench.theory.report.flows import NAMES, Flows, has, rounds_figure, trajectories_figure
from reflowbench.theory.report.rounds import Chain


def write_figures(
    folder: Path,
    found: Sequence[Chain],
    phase_lines: pd.DataFrame,
    phases: TheoryPhaseParams,
    flows: Flows,
    paths: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """Draw all figures.

    Args:
        folder: Where to.
        found: Rounds of the linear autoencoder.
        phase_lines: Lines of `theory_phase`.
        phases: What it was run with.
        flows: Scores of the flows.
        paths: By method, and `base`: trajectories by law, shape (rounds, steps + 1, n, 2).
    """
    with canvas(folder) as temporary:
        round_figures.rounds_figure(found, temporary / "dae_rounds.png")
        round_figures.samples_figure(found, temporary / "dae_samples.png")
        round_figures.errors_figure(found, temporary / "dae_errors.png")
        phase.noise_figure(phase_lines, phases, temporary / "phase_noise.png")
        phase.samples_figure(phase_lines, phases, temporary / "phase_samples.png")
        for metric in NAMES:
            if any(has(flows, target, metric) for target in flows.params.targets):
                rounds_figure(flows, metric, temporary / f"flow_{metric}.png")
        for target, base in paths["base"].items():
            drawn = {method: paths[method][target] for method in flows.methods if target in paths[method]}
            trajectories_figure(flows, drawn, base, target, temporary / f"trajectories_{target}.png")
