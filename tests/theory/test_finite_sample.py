"""Finite-sample theory of the linear autoencoder."""

import numpy as np
import pytest

from reflowbench.theory.dae.autoencoder import Setting, least_squares, train_rounds
from reflowbench.theory.dae.finite_sample import finite_sample
from reflowbench.theory.dae.recursion import population_gains

SPECTRUM = (1.0, 0.4)


def test_round_0_is_linear_regression():
    """Gaussian rows: least squares is unbiased, with variance s q / (n (s + q)^2)."""
    law = finite_sample([2.0], 3, 0.5, 0.1, 0, 50)
    assert law.mean[0, 0] == pytest.approx(0.8, abs=1e-12)
    assert law.std[0, 0] ** 2 == pytest.approx(2.0 * 0.5 / (50 * 2.5**2))


@pytest.mark.parametrize("real", [0.0, 0.05, 0.5])
def test_it_ends_in_the_population_recursion(real):
    """Shifts are of order 1 / n, standard deviations of order n^(-1/2)."""
    population = population_gains(SPECTRUM, 0.1, real, 6)
    small, large = (finite_sample(SPECTRUM, 4, 0.1, real, 6, n) for n in (10**6, 10**8))
    assert large.mean == pytest.approx(population, abs=1e-6)
    shift = small.mean[1:] - population[1:]
    assert 100 * (large.mean[1:] - population[1:]) == pytest.approx(shift, rel=1e-2, abs=1e-10)
    assert 10 * large.std == pytest.approx(small.std, rel=1e-3)
    assert large.valid.all()


def test_real_data_only_has_no_history():
    law = finite_sample(SPECTRUM, 4, 0.1, 1.0, 5, 100)
    assert law.mean == pytest.approx(np.tile(law.mean[0], (6, 1)))
    assert law.std == pytest.approx(np.tile(law.std[0], (6, 1)))


def test_it_says_where_it_does_not_hold():
    """Without real data the fluctuations outgrow what is left; once it has failed, it has failed."""
    valid = finite_sample([1.0], 6, 0.1, 0, 50, 100).valid[:, 0]
    assert valid[0] and not valid[-1] and (np.diff(valid.astype(int)) <= 0).all()


@pytest.mark.parametrize(("noise", "real"), [(0.1, 0.1), (0.4, 0.0), (0.4, 0.5)])
def test_simulated_rounds_have_its_mean_and_spread(noise, real):
    """Of many repetitions, within what they let one see."""
    seeds, n, rounds = 3000, 600, 3
    setting = Setting(SPECTRUM, 3, noise, real, "replace", n, seeds)
    law = finite_sample(SPECTRUM, 3, noise, real, rounds, n)
    for j, measured in enumerate(train_rounds(setting, {"exact": least_squares}, rounds)):
        gains = measured["exact"].gains
        error = law.std[j] / seeds**0.5
        assert (np.abs(gains.mean(dim=0).numpy() - law.mean[j]) < 4 * error).all()
        assert gains.std(dim=0).numpy() == pytest.approx(law.std[j], rel=0.08)


def test_the_noise_of_many_directions_is_fitted_and_slows_the_decay():
    """20 directions, 200 rows: the population is further away than the theory by far."""
    seeds, rounds = 1000, 2
    law = finite_sample([1.0], 20, 0.4, 0, rounds, 200)
    *_, last = train_rounds(Setting((1.0,), 20, 0.4, 0, "replace", 200, seeds), {"exact": least_squares}, rounds)
    found = last["exact"].gains.mean().item()
    shift = found - population_gains([1.0], 0.4, 0, rounds)[-1, 0]
    assert shift > 10 * law.std[-1, 0] / seeds**0.5
    assert found - law.mean[-1, 0] == pytest.approx(0, abs=0.2 * shift)
