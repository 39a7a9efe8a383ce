"""Gaussian oracle: with the exact velocity field every coupling has a closed form (see tests/oracles.py).

Data N(m, diag(c)), narrow enough that clipping to [-1, 1] does not touch it. The flow's map is
x0 -> m + sqrt(c) x0, so synthetic and inverted pairs alike have Cov(x0, x1) = diag(sqrt(c)).
"""

import pytest
import torch
from scipy import stats

from reflowbench.couplings.shared.base import Inputs, Networks
from reflowbench.data.images import ImageSet
from reflowbench.flow.path import interpolate, target_velocity
from reflowbench.flow.sde import reverse_sde
from reflowbench.flow.solvers import solve
from reflowbench.methods import registry
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.runtime.params import PairsParams
from tests.couplings.methods import make
from tests.oracles import GaussianFlow, StraightGaussianFlow

N = 1500
SOLVER = {"solver": "rk4", "steps": 20}
TOLERANCE = 4 / N**0.5  # four standard errors of a correlation


class Exact(torch.nn.Module):
    """The exact field as a network."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, x, t):
        return self.flow(x, t)


def world(dim):
    mean, variance = torch.linspace(-0.3, 0.3, dim), torch.linspace(0.01, 0.04, dim)
    return GaussianFlow(mean, variance)


@pytest.fixture(params=[1, 4])
def flow(request):
    return world(request.param)


def inputs_for(flow, folder, n=N):
    dim = len(flow.mean)
    x = flow.forward_map(torch.randn(n, dim, generator=torch.Generator().manual_seed(7)))
    images = ImageSet(x, torch.zeros(n, dtype=torch.int64), (1, 1, dim), 17, True)
    pairs = PairsParams(n=n, **SOLVER)
    write_pairs(folder / "synthetic", *synthetic_pairs(flow, pairs, 0, 1, dim))
    write_pairs(folder / "inverted", *inverted_pairs(flow, x, pairs, 0, 1))
    stored = {kind: StoredHalf(folder / kind) for kind in ("synthetic", "inverted")}
    return Inputs(seed=0, round=1, batch=1200, steps=4, images=images, pairs=pairs, scratch=folder, **stored)


def correlation(x0, x1, flow):
    """Per coordinate, of the noise with the image's own standard normal coordinate."""
    z = flow.inverse_map(x1)
    return ((x0 - x0.mean(dim=0)) * (z - z.mean(dim=0))).mean(dim=0) / (x0.std(dim=0) * z.std(dim=0))


def is_standard_normal(x0):
    return stats.kstest(x0.flatten().numpy(), "norm").pvalue > 1e-3


EXPECTED = {  # correlation of x0 with the image's own noise, and how much may be missing from it
    "reflow": (1.0, 1e-3),
    "accumulate": (1.0, 1e-3),
    "neon": (1.0, 1e-3),
    "rca": (1.0, 1e-3),
    "ocar": (1.0, 1e-3),
    "ocar_s": (1.0, 0.02),
    "conic": (1.0, 0.02),
    "fresh": (0.5, TOLERANCE),
    "rca_ot": (1.0, 0.2),  # finite samples: fresh noise lies near, not on, the inverted noise
    "ot": (1.0, 0.2),
}


def test_every_method_has_a_closed_form():
    missing = set(registry.names()) - set(EXPECTED)
    assert not missing, f"{', '.join(sorted(missing))}: add what its pairs are in closed form to EXPECTED in this file"
    assert not set(EXPECTED) - set(registry.names())


@pytest.mark.parametrize("name", EXPECTED)
def test_pairs_are_those_of_the_closed_form(name, flow, tmp_path):
    changes = {"rca_ot": {"real_fraction": 1.0}, "ot": {"assignment": "dataset"}}.get(name, {})
    if "ocar" in name:
        changes = SOLVER | {"replay": 1}
    if name in ("rca", "rca_ot", "conic"):
        changes["regenerate_every"] = 0
    network = Exact(flow)
    coupling = make(name, inputs_for(flow, tmp_path), **changes)
    x0, x1 = coupling.batch(0, Networks(network, network, network))
    standard = flow.inverse_map(x1)
    assert standard.mean(dim=0).abs().max() < TOLERANCE and (standard.var(dim=0) - 1).abs().max() < 2 * TOLERANCE
    assert x0.mean(dim=0).abs().max() < TOLERANCE and (torch.cov(x0.T) - torch.eye(x0.shape[1])).abs().max() < 0.2
    assert is_standard_normal(x0)
    value, slack = EXPECTED[name]
    assert (correlation(x0, x1, flow) - value).abs().max() < slack + (TOLERANCE if value < 1 else 0)


@pytest.mark.parametrize("assignment", ["minibatch", "dataset", "semidiscrete"])
def test_optimal_transport_finds_the_monotone_map_on_the_line(assignment, tmp_path):
    """In one dimension the optimal map is x0 -> m + sqrt(c) x0, that of the flow: every variant must find it."""
    flow = world(1)
    changes = {"potential": {"steps": 600, "batch": 1024, "lr": 0.05}}
    inputs = inputs_for(flow, tmp_path, n=100 if assignment == "semidiscrete" else N)
    x0, x1 = make("ot", inputs, assignment=assignment, **changes).batch(0, Networks(*[Exact(flow)] * 3))
    assert correlation(x0, x1, flow).min() > 0.98
    if assignment != "dataset":  # there the batch is drawn from the assignment of all images
        assert (x1.flatten()[x0.flatten().argsort()].diff() >= 0).all()


def test_one_perfect_reflow_is_straight(flow, tmp_path):
    """The velocity of the new coupling at x_t is x1 - x0 itself: constant along each path, no path crosses another."""
    x0, x1 = make("reflow", inputs_for(flow, tmp_path)).batch(0, Networks(*[Exact(flow)] * 3))
    straight = StraightGaussianFlow(flow.mean, flow.variance)
    for t in (0.0, 0.3, 0.9):
        times = torch.full((len(x0),), t)
        velocity = straight(interpolate(x0, x1, times), times)
        assert torch.allclose(velocity, target_velocity(x0, x1), atol=1e-3)
    assert torch.allclose(solve(straight, x0, "euler", 1), x1, atol=1e-3), "one Euler step is exact"


def test_inversion_of_the_exact_field_gives_standard_noise(flow, tmp_path):
    inputs = inputs_for(flow, tmp_path)
    noise = inputs.inverted.rows(torch.arange(N))
    assert torch.allclose(noise, flow.inverse_map(inputs.images.images), atol=1e-3)
    assert is_standard_normal(noise)


def normals(generator, rows, dim):
    return lambda purpose, _: torch.randn(rows, dim if purpose == "noise" else 1, generator=generator)


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_the_marginal_sde_has_the_marginals_of_the_ode(flow, jitter):
    """Its paths are not the ODE's, but the law of their ends is N(0, I) too."""
    draw = torch.Generator().manual_seed(3)
    dim = len(flow.mean)
    x1 = flow.forward_map(torch.randn(6000, dim, generator=draw))
    ends = reverse_sde(flow, x1, 400, normals(draw, 6000, dim), 1.0, jitter, "marginal")
    assert is_standard_normal(ends)
    assert (ends - flow.inverse_map(x1)).square().mean().sqrt() > 0.1


@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("kind", ["published", "marginal"])
def test_every_path_of_an_sde_ends_at_time_zero(kind, jitter):
    """The field v = 1 makes the state a clock: without noise each row moves by exactly the time it was given."""
    draw, times = torch.Generator().manual_seed(0), []

    def clock(x, t):
        times.append(t)
        return torch.ones_like(x)

    ends = reverse_sde(clock, torch.zeros(50, 2), 20, normals(draw, 50, 2), 0.0, jitter, kind)
    assert torch.allclose(ends, -torch.ones(50, 2), atol=1e-5)
    seen = torch.stack(times)
    assert len(times) == 20 and (seen[0] == 1).all() and (seen >= 0).all() and (seen.diff(dim=0) <= 0).all()
    assert (seen[1].std() > 1e-3) == (jitter > 0), "rows are jittered each by its own"


def test_the_published_sde_adds_noise_of_its_scale():
    """Without drift the end is the start plus s times a Brownian motion over one unit of time."""
    draw = torch.Generator().manual_seed(0)
    ends = reverse_sde(
        lambda x, t: torch.zeros_like(x), torch.zeros(4000, 2), 25, normals(draw, 4000, 2), 0.3, 0.1, "published"
    )
    assert ends.std().item() == pytest.approx(0.3, rel=0.05)
