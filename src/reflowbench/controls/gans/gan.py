"""Small GANs on a mixture: the plain one, which loses modes, and four remedies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import softplus

from reflowbench.controls.gans.layers import Discriminator, Generator
from reflowbench.controls.gans.mixtures import Mixture
from reflowbench.controls.gans.params import GanParams, Variant
from reflowbench.core.randomness import generator, noise
from reflowbench.errors import ReflowbenchError


@dataclass(frozen=True)
class GanStep:
    """What one update of the discriminator reports.

    Attributes:
        number: Step, from 0.
        discriminator_loss: Mean over seeds, before the update.
        generator_loss: The same of the generator's last update; 0 before the first.
    """

    number: int
    discriminator_loss: float
    generator_loss: float


@dataclass(frozen=True)
class _Draws:
    """Random numbers of one step; the first dimension is the seed."""

    real: torch.Tensor
    latent: torch.Tensor
    points: torch.Tensor
    mix: torch.Tensor


def gradient_penalty(discriminator: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Mean over points of (||gradient of the critic|| - 1)^2 (Gulrajani et al. 2017, arXiv 1704.00028).

    Args:
        discriminator: Maps (seeds, n, 2) to (seeds, n), point by point.
        x: Where, shape (seeds, n, 2).

    Returns:
        Shape (seeds,), differentiable in the critic's weights.
    """
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    penalty: torch.Tensor = (torch.linalg.vector_norm(slope, dim=2) - 1).square().mean(dim=1)
    return penalty


class GanTrainer:
    """Alternating Adam on the non-saturating losses (Goodfellow et al. 2014, arXiv 1406.2661), several seeds at once.

    The learning rate falls linearly to 0, which a short run needs to come to rest. Iterating trains; afterwards
    `sample` draws from the generators. What a seed draws depends on the seed and the step alone, so its result does
    not depend on the seeds beside it, and variants of a seed see the same points and the same noise. Every variant
    makes the same number of updates of the discriminator:

    - `plain`: one update of the generator for each of them.
    - `noise`: Gaussian noise on all that the discriminator sees, falling linearly to 0 (Arjovsky and Bottou 2017, arXiv
      1701.04862).
    - `wgan_gp`: Wasserstein losses with gradient penalty; the generator is updated every `critic_steps`.
    - `minibatch`: a minibatch discrimination layer (Salimans et al. 2016, arXiv 1606.03498).
    - `packing`: `packing` points are judged together (Lin et al. 2018, arXiv 1712.04086).
    """

    def __init__(self, mixture: Mixture, variant: Variant, params: GanParams, seeds: Sequence[int]) -> None:
        """Prepare a run.

        Args:
            mixture: What to learn.
            variant: Which GAN.
            params: Networks, length and optimizer.
            seeds: One GAN for each.
        """
        self._mixture, self._variant, self._params, self._seeds = mixture, variant, params, list(seeds)
        sizes = params.hidden, params.layers
        minibatch = (params.kernels, params.kernel_dim, params.group) if variant == "minibatch" else None
        packing = params.packing if variant == "packing" else 1
        self.generator = Generator([generator(s, "gan generator") for s in seeds], params.latent, *sizes)
        draws = [generator(s, "gan discriminator") for s in seeds]
        self.discriminator = Discriminator(draws, *sizes, packing=packing, minibatch=minibatch)

    def __len__(self) -> int:
        """Number of updates of the discriminator."""
        return self._params.steps

    def __iter__(self) -> Iterator[GanStep]:
        """Train, yielding after each update of the discriminator.

        Yields:
            The step's report.

        Raises:
            ReflowbenchError: If a loss stops being finite.
        """
        betas = (self._params.beta1, self._params.beta2)
        networks = (self.discriminator, self.generator)
        critic, maker = (torch.optim.Adam(net.parameters(), self._params.lr, betas, fused=True) for net in networks)
        every = self._params.critic_steps if self._variant == "wgan_gp" else 1
        made = 0.0
        for number in range(self._params.steps):
            left = 1 - number / self._params.steps
            for optimizer in (critic, maker):
                optimizer.param_groups[0]["lr"] = self._params.lr * left
            draws = self._draw(number)
            level = self._params.noise * left if self._variant == "noise" else 0.0
            fake = self.generator(draws.latent)
            judged = _update(critic, self._discriminator_loss(draws, fake.detach(), level))
            if (number + 1) % every == 0:
                made = _update(maker, self._generator_loss(draws, fake, level))
            if not math.isfinite(judged + made):
                raise ReflowbenchError(
                    f"GAN {self._variant} on the {self._mixture.name} diverged at step {number}: lower gans.gan.lr"
                )
            yield GanStep(number, judged / len(self._seeds), made / len(self._seeds))

    def _draw(self, number: int) -> _Draws:
        """Points of the mixture, latent noise and, where the variant uses them, noise of points and mixing shares."""
        p, parts = self._params, []
        for seed in self._seeds:
            draw = generator(seed, f"gan on {self._mixture.name}", step=number)
            real = self._mixture.sample(p.batch, draw)[0] / self._mixture.scale
            latent = torch.randn(p.batch, p.latent, generator=draw)
            points = torch.randn(3 * p.batch if self._variant == "noise" else 0, 2, generator=draw)
            mix = torch.rand(p.batch if self._variant == "wgan_gp" else 0, 1, generator=draw)
            parts.append((real, latent, points, mix))
        return _Draws(*(torch.stack(part) for part in zip(*parts, strict=True)))

    def _discriminator_loss(self, draws: _Draws, fake: torch.Tensor, level: float) -> torch.Tensor:
        both = torch.cat([draws.real, fake], dim=1)
        if level:
            both = both + level * draws.points[:, : both.shape[1]]
        real_logits, fake_logits = self.discriminator(both).chunk(2, dim=1)
        if self._variant != "wgan_gp":
            loss: torch.Tensor = (softplus(-real_logits) + softplus(fake_logits)).mean(dim=1)
            return loss
        between = torch.lerp(fake, draws.real, draws.mix)
        distance: torch.Tensor = (fake_logits - real_logits).mean(dim=1)
        return distance + self._params.penalty * gradient_penalty(self.discriminator, between)

    def _generator_loss(self, draws: _Draws, fake: torch.Tensor, level: float) -> torch.Tensor:
        if level:
            fake = fake + level * draws.points[:, -fake.shape[1] :]
        logits = self.discriminator(fake)
        loss: torch.Tensor = -logits if self._variant == "wgan_gp" else softplus(-logits)
        return loss.mean(dim=1)

    @torch.no_grad()
    def sample(self, n: int) -> torch.Tensor:
        """Points of every seed's generator in the mixture's units, shape (seeds, n, 2)."""
        latent = torch.stack([noise(seed, "gan samples", 0, range(n), self._params.latent) for seed in self._seeds])
        points: torch.Tensor = self.generator(latent) * self._mixture.scale
        return points


def _update(optimizer: torch.optim.Adam, loss: torch.Tensor) -> float:
    """One step on the sum over seeds, whose gradient is each seed's own; returns the sum."""
    weights = optimizer.param_groups[0]["params"]
    total = loss.sum()
    # Gradients of these weights only: the other network's would be thrown away.
    for weight, gradient in zip(weights, torch.autograd.grad(total, weights), strict=True):
        weight.grad = gradient
    optimizer.step()
    return total.item()
