"""Population recursion of the linear autoencoder."""

import numpy as np
import pytest

from reflowbench.theory.dae.recursion import gain_bound, population_gains

SETTINGS = [(s, q, r) for s in (0.1, 1.0, 7.0) for q in (0.02, 0.5, 3.0) for r in (0.003, 0.1, 0.6, 1.0)]


def fixed_point(s, q, r):
    """Gain after infinitely many rounds of `replace` with a share of real data.

    v = r s + (1 - r) v^2 / (v + q) is r v^2 + (q - r s) v - r s q = 0, of whose positive root v it is v / (v + q).
    """
    variance = (r * s - q + np.sqrt((q - r * s) ** 2 + 4 * r**2 * s * q)) / (2 * r)
    return variance / (variance + q)


def test_known_values():
    """s_0 = 1, q = 0.1, worked out by hand in three decimals."""
    expected = [0.909, 0.901, 0.891, 0.880, 0.865, 0.847, 0.825, 0.795, 0.755, 0.700, 0.620, 0.503]
    assert population_gains([1.0], 0.1, 0, 11)[:, 0] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("s", "q"), [(s, q) for s, q, _ in SETTINGS])
def test_without_real_data_the_variance_decays_at_least_geometrically(s, q):
    gains = population_gains([s], q, 0, 60)[:, 0]
    variance = q * gains / (1 - gains)
    assert (variance <= s * gains[0] ** np.arange(61) * (1 + 1e-9)).all()
    assert (gains <= s / q * gains[0] ** np.arange(61) * (1 + 1e-9)).all(), "the bound that the figure shows"
    assert gains[-1] < gains[0]


@pytest.mark.parametrize(("s", "q", "r"), SETTINGS)
def test_with_real_data_no_round_is_below_the_bound(s, q, r):
    for history in ("replace", "accumulate"):
        gains = population_gains([s, s / 3], q, r, 60, history)
        assert (gains >= gain_bound([s, s / 3], q, r) - 1e-12).all()
        assert (np.diff(gains, axis=0) <= 1e-12).all(), "and none is above the one before"


@pytest.mark.parametrize(("s", "q", "r"), SETTINGS)
def test_many_rounds_end_at_the_fixed_point(s, q, r):
    end = population_gains([s], q, r, 20000)[-1]
    assert end == pytest.approx(fixed_point(s, q, r), rel=1e-6)


def test_only_the_ratio_of_data_and_noise_counts():
    for history in ("replace", "accumulate"):
        one = population_gains([1.0, 0.2], 0.1, 0.05, 30, history)
        assert population_gains([10.0, 2.0], 1.0, 0.05, 30, history) == pytest.approx(one)


def test_real_data_only_is_round_0_for_ever():
    for history in ("replace", "accumulate"):
        gains = population_gains([1.0], 0.3, 1, 5, history)
        assert gains == pytest.approx(np.full((6, 1), 1 / 1.3))


def test_keeping_all_rounds_delays_the_decay():
    """It is no longer geometric: late rounds lose less and less of what is left."""
    kept = population_gains([1.0], 0.4, 0, 4000, "accumulate")[:, 0]
    replaced = population_gains([1.0], 0.4, 0, 4000)[:, 0]
    assert (kept[2:] > replaced[2:]).all() and (np.diff(kept) < 0).all()
    ratio = kept[1:] / kept[:-1]
    assert ratio[-1] > 0.999 and (np.diff(ratio[20:]) > 0).all()
