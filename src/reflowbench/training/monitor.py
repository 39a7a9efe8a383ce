"""Looks at a model while it trains: a short metric and a grid of samples, so that collapse is seen as it happens."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reflowbench.core.gaussians import squared_wasserstein
from reflowbench.core.randomness import noise
from reflowbench.data.blocks import in_blocks
from reflowbench.data.images import ImageSet
from reflowbench.data.png import tile, write_png
from reflowbench.data.streamed import fit_pixels
from reflowbench.flow.solvers import solve
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import MonitorParams
from reflowbench.runtime.workspace import State
from reflowbench.training.guard import Step
from reflowbench.training.loop import Trainer

CURVES = "curves.csv"
SAMPLES = "samples.png"
_COLUMNS = ("step", "loss", "gradient_norm", "frechet_distance_pixels", "variance_ratio")
_SIDE = 32
"""Images in the grid are enlarged to about so many pixels."""


class Monitor:
    """A training run that is watched: iterate in place of the trainer.

    After every `every` steps, and before the first, samples of the EMA weights are drawn from the same
    noise, whatever the method and the round. Both files are written at once and then rewritten, so they
    can be looked at while the run goes on:

    - curves.csv: mean loss and gradient norm since the last look; Frechet distance in raw pixels, on few
      samples and hence biased, for trends only; variance relative to that of the real images.
    - samples.png: a row per look, from before training (top) to the last; a column per noise.
    """

    def __init__(self, trainer: Trainer, data: ImageSet, params: MonitorParams, seed: int, folder: Path) -> None:
        """Prepare.

        Args:
            trainer: The run.
            data: Real images.
            params: How often, and on how many samples.
            seed: Seed of the chain.
            folder: Where the files go; what was there is removed.
        """
        self._trainer, self._data, self._params, self._folder = trainer, data, params, folder
        self._noise = noise(seed, "monitor", 0, range(params.n_samples), data.dim)
        self._real = fit_pixels(data.real, data.shape)
        self._looks = world().first  # one of several processes is enough
        self._rows: list[str] = []
        self._grids: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._trainer)

    @property
    def done(self) -> int:
        """Steps that were taken."""
        return self._trainer.done

    def __iter__(self) -> Iterator[Step]:
        """Train, yielding after each step."""
        if not self._looks:
            yield from self._trainer
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._rows:
            self._write()
        else:
            self._look(0)
        for step in self._trainer:
            while int(self._rows[-1].partition(",")[0]) > step.number:  # the training went back; these lead nowhere
                self._rows.pop(), self._grids.pop()
            if (step.number + 1) % self._params.every == 0 or step.number + 1 == len(self):
                self._look(step.number + 1)
            yield step

    def state(self) -> State:
        """That of the run, and what was seen."""
        tensors, facts = self._trainer.state()
        grids = torch.from_numpy(np.stack(self._grids))
        return tensors | {"looks": grids}, facts | {"rows": self._rows}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._rows, self._grids = facts["rows"], list(tensors["looks"].numpy())
        self._trainer.restore(tensors, facts)

    def _look(self, number: int) -> None:
        since = self._trainer.steps[(number - 1) // self._params.every * self._params.every : number] if number else ()
        samples = self._sample()
        finite = torch.isfinite(samples)  # of the raw ones: quantized, infinities would pass for black and white
        images = self._data.quantize(samples).where(finite, -1)
        facts = [math.nan, math.nan]
        if finite.all():
            found = fit_pixels(images, self._data.shape)
            ratio = np.trace(found.covariance) / np.trace(self._real.covariance)
            facts = [squared_wasserstein(self._real, found), float(ratio)]
        means = [float(np.mean([getattr(step, name) for step in since])) for name in ("loss", "gradient_norm") if since]
        values = [*(means or [math.nan, math.nan]), *facts]
        self._rows.append(",".join([str(number), *("" if math.isnan(v) else f"{v:.9g}" for v in values)]))
        self._grids.append(self._data.to_bytes(images[: self._params.grid_images]))
        self._write()

    def _write(self) -> None:
        write_text(self._folder / CURVES, "\n".join([",".join(_COLUMNS), *self._rows]) + "\n")
        grid = np.concatenate(self._grids)
        scale = max(1, _SIDE // grid.shape[1])  # of decoded images, also where models work on latents
        write_png(self._folder / SAMPLES, tile(grid, len(self._grids[0]), scale, gap=scale))

    def _sample(self) -> torch.Tensor:
        ends = [solve(self._trainer.ema, block, "euler", self._params.nfe)[:n] for block, n in in_blocks(self._noise)]
        return torch.cat(ends)
