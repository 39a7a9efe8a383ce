"""Linear denoising autoencoders that are trained on their own outputs, round after round, many repetitions at once.

Rows are float32, repetitions are the first axis; the matrices that come of them are float64. The real data are
N(0, diag(spectrum, 0, ...)): a linear autoencoder and Gaussian noise know no other basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from reflowbench.core.randomness import generator
from reflowbench.theory.dae.recursion import History
from reflowbench.theory.params import FitParams

ROUNDING = 1e-6
"""Relative size of eigenvalues of float32 moments that are rounding."""

NOTHING = 1e-18
"""What has collapsed to less than this is 0: a few rounds later it would be denormal, which is 30 times slower."""

Fit = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(rows x, noisy rows y, both (seeds, n, d); matrices of the round before, (seeds, d, d)) -> matrices W."""


@dataclass(frozen=True)
class Setting:
    """What one autoencoder and its data are.

    Attributes:
        spectrum: Eigenvalues of the real data's covariance, descending.
        dim: Dimension d of the data.
        noise: q, variance of the noise.
        real: r, share of real rows from round 1 on.
        history: Whether synthetic rows are of the last round or of all rounds.
        samples: n, rows a round.
        seeds: Repetitions.
    """

    spectrum: tuple[float, ...]
    dim: int
    noise: float
    real: float
    history: History
    samples: int
    seeds: int

    @property
    def deviations(self) -> torch.Tensor:
        """Standard deviations of the coordinates, shape (d,)."""
        values = torch.zeros(self.dim)
        values[: len(self.spectrum)] = torch.tensor(self.spectrum).sqrt()
        return values


@dataclass(frozen=True)
class Measured:
    """One round of one kind of fit, each of shape (seeds,) or (seeds, number).

    Attributes:
        operator_norm: Largest singular value of W.
        gains: W_ii for the directions i in which the data vary, (seeds, k).
        singular_values: Of W, descending, (seeds, d).
        subspace_angle: Largest principal angle, in radians, between the k directions that W listens to most (right
            singular vectors) and those in which the real data vary; NaN where W listens to fewer than k.
        generation_error: Squared 2-Wasserstein distance between the Gaussians with the second moments of
            W (x + e') and of the real data, divided by the real variance.
    """

    operator_norm: torch.Tensor
    gains: torch.Tensor
    singular_values: torch.Tensor
    subspace_angle: torch.Tensor
    generation_error: torch.Tensor


def least_squares(x: torch.Tensor, y: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """The exact solution, X^T Y (Y^T Y)^(-1); the one of least norm if there are fewer rows than dimensions."""
    crossed, own = ((rows.transpose(1, 2) @ y).double() for rows in (x, y))
    solution: torch.Tensor = crossed @ torch.linalg.pinv(own, hermitian=True, rtol=ROUNDING)
    return solution


def gradient_descent(params: FitParams) -> Fit:
    """Stochastic gradient descent that goes on from the round before, averaged over its second half.

    Averaging makes it as accurate as least squares (Polyak and Juditsky 1992). Batches are taken in order: rows
    are independent draws already.

    Args:
        params: Steps, batch, and the learning rate relative to 1 / mean |y|^2.

    Returns:
        The fit.
    """

    def fit(x: torch.Tensor, y: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        weight, total = _without_denormals(start.float()), torch.zeros_like(start)
        batch, n, half = min(params.batch, x.shape[1]), x.shape[1], params.steps // 2
        rate = params.lr * n / y.reshape(len(y), -1).norm(dim=1).square()[:, None, None]
        for step in range(params.steps):
            first = step * batch % (n - batch + 1)
            given, wanted = y[:, first : first + batch], x[:, first : first + batch]
            residual = torch.baddbmm(wanted, given, weight.transpose(1, 2), alpha=-1)
            # Minus half the gradient of the mean of |residual|^2: autograd takes twice the time of so small a matrix.
            weight = torch.baddbmm(weight, residual.transpose(1, 2), given * (rate / batch))
            if step >= half:
                total += weight
        return total / (params.steps - half)

    return fit


def train_rounds(setting: Setting, fits: Mapping[str, Fit], rounds: int) -> Iterator[dict[str, Measured]]:
    """Train on real rows, then on the model's own outputs mixed with fresh real rows.

    Every kind of fit has its own chain; all get the same noise and the same real rows, so that they can be compared.

    Args:
        setting: Data and shares.
        fits: Kinds of fit by name.
        rounds: How many rounds follow round 0.

    Yields:
        For each round, what was measured, by name of the fit.
    """
    s, n, d = setting, setting.samples, setting.dim
    draw = generator(0, f"linear autoencoder {setting}")
    deviations = s.deviations

    def normal(count: int) -> torch.Tensor:
        return torch.randn(s.seeds, count, d, generator=draw)

    def chosen(count: int) -> torch.Tensor:
        """Row numbers of the flattened data, `count` for each repetition; own ones, or repetitions would correlate."""
        return torch.cat([torch.randperm(n, generator=draw)[:count] + i * n for i in range(s.seeds)])

    first = normal(n) * deviations
    data = {name: first.clone() for name in fits}
    pools = {name: first.clone() for name in fits}
    weights = {name: torch.zeros(s.seeds, d, d, dtype=torch.float64) for name in fits}
    for j in range(rounds + 1):
        noise, fresh = normal(n), normal(n)
        measured = {}
        n_real, n_new = round(s.real * n), round(n / (j + 2))
        real, real_rows = normal(n_real) * deviations, chosen(n_real)
        new_rows = chosen(n_new) if s.history == "accumulate" else None
        for name, fit in fits.items():
            x = data[name]
            weights[name] = fit(x, torch.add(x, noise, alpha=math.sqrt(s.noise)), weights[name])
            noisy = torch.add(x, fresh, alpha=math.sqrt(s.noise))
            made = _without_denormals(noisy @ weights[name].float().transpose(1, 2))
            measured[name] = _measure(setting, weights[name], made)
            if new_rows is not None:  # rows of all rounds in equal parts: the pool keeps the size of a round
                _replace(pools[name], new_rows, made.reshape(-1, d)[new_rows])
                made = pools[name].clone()
            _replace(made, real_rows, real)
            data[name] = made
        yield measured


def _without_denormals(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.hardshrink(values, NOTHING)


def _replace(rows: torch.Tensor, which: torch.Tensor, by: torch.Tensor) -> None:
    rows.view(-1, rows.shape[-1])[which] = by.reshape(-1, rows.shape[-1])


def _measure(setting: Setting, weight: torch.Tensor, made: torch.Tensor) -> Measured:
    k = len(setting.spectrum)
    _, values, right = torch.linalg.svd(weight)
    outside = torch.linalg.svdvals(right[:, :k, k:])[:, 0] if k < setting.dim else torch.zeros(len(weight))
    moments = (made.transpose(1, 2) @ made).double() / setting.samples
    root = setting.deviations.double()
    shared = torch.linalg.eigvalsh(root[:, None] * moments * root).clamp(min=0).sqrt().sum(dim=1)
    total = root.square().sum()
    error = moments.diagonal(dim1=1, dim2=2).sum(dim=1) + total - 2 * shared
    return Measured(
        operator_norm=values[:, 0],
        gains=weight.diagonal(dim1=1, dim2=2)[:, :k],
        singular_values=values,
        subspace_angle=outside.clamp(max=1).asin().where(values[:, k - 1] > NOTHING, math.nan),
        generation_error=error.clamp(min=0) / total,
    )
