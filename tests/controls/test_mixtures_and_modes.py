import math

import pytest
import torch

from reflowbench.controls.gans.mixtures import MIXTURES, mixture
from reflowbench.controls.gans.modes import EXPECTED_SHARE, histogram, mode_scores, uniform_divergence


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=sorted(MIXTURES))
def truth(request):
    return mixture(request.param)


def test_the_conventions():
    ring, grid = mixture("ring"), mixture("grid")
    assert torch.allclose(ring.centres.norm(dim=1), torch.full((8,), 2.0))
    gaps = torch.cdist(ring.centres, ring.centres).fill_diagonal_(9).min(dim=1).values
    assert torch.allclose(gaps, torch.full((8,), 4 * math.sin(math.pi / 8)), atol=1e-6)
    assert {tuple(c) for c in grid.centres.tolist()} == {(2.0 * i, 2.0 * j) for i in range(-2, 3) for j in range(-2, 3)}
    assert (ring.std, grid.std) == (0.02, 0.05)


def test_points_follow_the_law(truth):
    n = 40_000
    x, mode = truth.sample(n, draws())
    residual = (x - truth.centres[mode]) / truth.std
    assert residual.mean().abs() < 5 / math.sqrt(2 * n) and abs(residual.var() - 1) < 5 * math.sqrt(2 / (2 * n))
    share = histogram(mode, len(truth))
    assert (share - 1 / len(truth)).abs().max() < 5 / math.sqrt(n * len(truth))
    assert (x / truth.scale).abs().max() < 1, "pairs are clipped to [-1, 1]"


def test_a_blob_has_the_mixtures_moments(truth):
    x, blob = truth.sample(40_000, draws())[0], truth.blob(40_000, draws(1))
    assert torch.allclose(x.var(dim=0), blob.var(dim=0), rtol=0.05)
    assert mode_scores(blob, truth).high_quality < 0.1


def test_the_mixture_itself_covers_all_with_the_chi_square_share(truth):
    n = 20_000
    scores = mode_scores(truth.sample(n, draws())[0], truth)
    assert pytest.approx(0.98889, abs=1e-5) == EXPECTED_SHARE
    assert scores.covered == len(truth)
    assert abs(scores.high_quality - EXPECTED_SHARE) < 4 * math.sqrt(EXPECTED_SHARE * (1 - EXPECTED_SHARE) / n)
    assert scores.mode_kl < 3 * (len(truth) - 1) / (2 * n)  # its expectation is (modes - 1) / (2 n)


def test_centres_in_equal_numbers_score_perfectly(truth):
    scores = mode_scores(truth.centres.repeat(7, 1), truth)
    assert (scores.covered, scores.high_quality) == (len(truth), 1.0) and scores.mode_kl == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("left", [1, 2, 5, 7])
def test_dropped_modes_have_their_closed_form(truth, left):
    scores = mode_scores(truth.centres[:left].repeat(9, 1), truth)
    assert scores.covered == left and scores.high_quality == 1.0
    assert scores.mode_kl == pytest.approx(math.log(len(truth) / left))


def test_unequal_shares_have_their_closed_form():
    share = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    expected = 0.5 * math.log(2)  # the shares of 1/4 add nothing
    assert uniform_divergence(share) == pytest.approx(expected)


def test_quality_ends_at_three_standard_deviations_and_bad_samples_cover_nothing(truth):
    offset = torch.tensor([1.0, 0.0]) * truth.std
    near, far = truth.centres + 2.99 * offset, truth.centres + 3.01 * offset
    assert mode_scores(near, truth).high_quality == 1.0
    scores = mode_scores(far, truth)
    assert (scores.covered, scores.high_quality) == (0, 0.0)
    assert scores.mode_kl == pytest.approx(0, abs=1e-12), "samples of low quality count in the histogram"
    assert mode_scores(torch.cat([near[:1], far]), truth).covered == 1


def test_order_does_not_matter(truth):
    x = torch.cat([truth.sample(500, draws())[0], truth.blob(500, draws(1))])
    shuffled = x[torch.randperm(len(x), generator=draws(2))]
    renamed = type(truth)(truth.name, truth.centres.flip(0), truth.std, truth.scale)
    a, b, c = mode_scores(x, truth), mode_scores(shuffled, truth), mode_scores(x, renamed)
    for other in (b, c):
        assert (a.covered, a.high_quality) == (other.covered, other.high_quality)
        assert a.mode_kl == pytest.approx(other.mode_kl, abs=1e-12)


def test_moving_and_scaling_everything_changes_nothing(truth):
    x = truth.blob(800, draws())
    moved = type(truth)(truth.name, truth.centres * 4 + 1, truth.std * 4, truth.scale * 4)
    assert mode_scores(x * 4 + 1, moved) == mode_scores(x, truth)
