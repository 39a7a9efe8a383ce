import math

import numpy as np
import pytest
import torch

from reflowbench.core.gaussians import Gaussian
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.theory.gaussian import scores as s
from reflowbench.theory.gaussian.targets import target

GAUSSIAN, MIXTURE = target("gaussian", 10), target("mixture", 2)


def shifted(law, shift, scale=1.0):
    """The law's moments, moved and scaled."""
    return Gaussian(law.moments.mean + shift, law.moments.covariance * scale**2)


def at_quantiles(law, shift=0.0, n=500):
    """Points on a line whose projection to it has exactly the law's quantiles."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return law.quantiles(torch.eye(law.dim, dtype=torch.float64)[:1], levels) + shift


@pytest.mark.parametrize("law", [GAUSSIAN, MIXTURE])
def test_the_truth_has_no_distance(law):
    exact = law.moments
    assert s.bures(exact, law) == pytest.approx(0, abs=1e-7)
    assert (s.mean_error(exact, law), s.covariance_error(exact, law)) == (0, 0)
    assert s.variance_ratio(exact, law) == 1


@pytest.mark.parametrize("law", [GAUSSIAN, MIXTURE])
def test_bures_of_moved_and_scaled_gaussians(law):
    """|shift| for a shift; for standard deviations times a: |a - 1| sqrt(tr C)."""
    trace = np.trace(law.moments.covariance)
    shift = np.linspace(-0.3, 0.5, law.dim)
    assert s.bures(shifted(law, shift), law) == pytest.approx(np.linalg.norm(shift))
    assert s.bures(shifted(law, 0, 0.5), law) == pytest.approx(0.5 * math.sqrt(trace))
    both = math.hypot(np.linalg.norm(shift), math.sqrt(trace))
    assert s.bures(shifted(law, shift, 2), law) == pytest.approx(both)
    assert s.bures(shifted(law, 0, 0), law) == pytest.approx(math.sqrt(trace)), "to a point, it is the spread"


def test_relative_errors_of_moved_and_scaled_gaussians():
    shift = np.linspace(-0.3, 0.5, 10)
    trace = np.trace(GAUSSIAN.moments.covariance)
    found = shifted(GAUSSIAN, shift, 0.5)
    assert s.mean_error(found, GAUSSIAN) == pytest.approx(np.linalg.norm(shift) / math.sqrt(trace))
    assert s.covariance_error(found, GAUSSIAN) == pytest.approx(0.75)
    assert s.variance_ratio(found, GAUSSIAN) == pytest.approx(0.25)


def test_directions_are_unit_vectors_that_do_not_change():
    first = s.directions(10, 64)
    assert torch.equal(first, s.directions(10, 64)) and torch.equal(first[:20], s.directions(10, 20))
    assert torch.allclose(first.norm(dim=1), torch.ones(64).double())
    assert first.mean(dim=0).abs().max() < 5 / 640**0.5


@pytest.mark.parametrize("law", [GAUSSIAN, MIXTURE])
def test_sliced_distance_of_a_shift_is_its_projection(law, monkeypatch):
    """Along one direction, and with the law's own quantiles for samples, the distance is the projected shift."""
    monkeypatch.setattr(s, "directions", lambda dim, projections: torch.eye(dim, dtype=torch.float64)[:projections])
    s._quantiles.cache_clear()
    points = torch.zeros(500, law.dim, dtype=torch.float64)
    points[:, :1] = at_quantiles(law)
    permuted = points[torch.randperm(500, generator=torch.Generator().manual_seed(0))]
    assert s.sliced_wasserstein(permuted, law, 1) == pytest.approx(0, abs=1e-9)
    points[:, 1] = 7.0  # not seen along the first axis
    points[:, 0] += 0.25
    assert s.sliced_wasserstein(points, law, 1) == pytest.approx(0.25)
    s._quantiles.cache_clear()


def test_sliced_distance_of_a_shifted_gaussian():
    """Of samples moved by d: sqrt(mean over directions of (u d)^2), up to their floor."""
    x = GAUSSIAN.sample(5000, torch.Generator().manual_seed(0))[0]
    shift = torch.linspace(-0.3, 0.5, 10)
    floor = s.sliced_wasserstein(x, GAUSSIAN, 64)
    expected = (s.directions(10, 64) @ shift.double()).square().mean().sqrt().item()
    assert floor < 0.01
    assert s.sliced_wasserstein(x + shift, GAUSSIAN, 64) == pytest.approx(expected, abs=2 * floor)


def test_bures_is_blind_to_modes_and_the_sliced_distance_is_not():
    x = torch.from_numpy(np.random.default_rng(0).multivariate_normal(
        MIXTURE.moments.mean, MIXTURE.moments.covariance, 4000))  # fmt: skip
    values = s.scores(x, MIXTURE, 8)
    assert values["bures"] < 0.03 and values["sliced_wasserstein"] > 0.1


def test_mode_weights():
    centres = MIXTURE.centres
    assert s.mode_weight_error(centres.repeat_interleave(torch.tensor([4, 3, 2, 1]), dim=0), MIXTURE) < 1e-12
    assert s.mode_weight_error(centres, MIXTURE) == pytest.approx(0.2), "equal shares: (0.15 + 0.05 + 0.05 + 0.15) / 2"
    assert s.mode_weight_error(centres[3:].expand(5, 2), MIXTURE) == pytest.approx(0.9), "all at the rarest"
    assert "mode_weight_error" not in s.scores(torch.randn(20, 10), GAUSSIAN, 4)


@pytest.mark.parametrize("law", [GAUSSIAN, MIXTURE])
def test_samples_of_the_law_score_their_floor(law):
    values = s.scores(law.sample(2000, torch.Generator().manual_seed(3))[0], law, 16)
    assert list(values) == s.names(law)
    assert values.pop("variance_ratio") == pytest.approx(1, abs=0.05)
    assert all(0 <= value < 0.08 for value in values.values())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_have_no_score(bad):
    x = torch.zeros(30, 2)
    x[4, 1] = x[5, 0] = bad
    with pytest.raises(UndefinedError, match="2 of 30 samples are not finite: the model has diverged"):
        s.scores(x, MIXTURE, 4)


def test_huge_samples_have_finite_scores():
    values = s.scores(torch.randn(50, 2) * 1e30, MIXTURE, 4)
    assert all(math.isfinite(value) for value in values.values())
