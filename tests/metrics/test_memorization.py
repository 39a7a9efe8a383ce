import numpy as np
import pytest
import torch

from reflowbench.metrics.memorization import closer_to_training, nearest_distance


def normal(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_distance_is_the_smallest():
    samples, references = normal(20, 5), normal(30, 5, seed=1)
    every = np.linalg.norm(samples.numpy()[:, None] - references.numpy()[None], axis=2)
    assert nearest_distance(samples, references).numpy() == pytest.approx(every.min(axis=1))
    assert nearest_distance(references[3:9].float(), references.float()).abs().max() < 1e-6


def test_copies_of_training_or_held_out_images_are_recognised():
    """Positive controls, and the value between them for fresh draws of the law that both are drawn from."""
    training, heldout, fresh = normal(100, 8), normal(100, 8, seed=1), normal(1000, 8, seed=2)
    assert closer_to_training(training, training, heldout) == 1
    assert closer_to_training(heldout, training, heldout) == 0
    assert closer_to_training(fresh, training, heldout) == pytest.approx(0.5, abs=0.06)
    assert nearest_distance(training, training).max() < 1e-6
    # neither closer to one nor to the other
    assert closer_to_training(torch.zeros(7, 8), training.abs(), training.abs()) == pytest.approx(0.5)


def test_fewer_held_out_images_do_not_favour_training_ones():
    """Equal numbers are compared, so a model that treats both alike scores a half, and a copy counts when drawn.

    A subset holds a share h / m of the training images: copies of all of them score 1 there and 1/2 elsewhere.
    """
    training, heldout, fresh = normal(400, 8), normal(100, 8, seed=1), normal(1000, 8, seed=2)
    assert closer_to_training(fresh, training, heldout) == pytest.approx(0.5, abs=0.06)
    assert closer_to_training(heldout, training, heldout) == 0
    assert closer_to_training(training, training, heldout) == pytest.approx((1 + 100 / 400) / 2, abs=0.06)


def test_the_subsets_are_the_same_for_every_model():
    training, heldout, fresh = normal(50, 4), normal(20, 4, seed=1), normal(30, 4, seed=2)
    state = torch.get_rng_state()
    first = closer_to_training(fresh, training, heldout)
    assert first == closer_to_training(fresh.flip(0), training, heldout) and 0 < first < 1
    assert torch.equal(torch.get_rng_state(), state)


def test_large_images_are_averaged_down_on_both_sides():
    """A checkerboard that averages to nothing: fine detail is no distance."""
    shape, n = (1, 128, 128), 6
    coarse = normal(2 * n, 16, seed=5).reshape(-1, 4, 4).repeat_interleave(32, 1).repeat_interleave(32, 2).flatten(1)
    fine = torch.ones(128, 128)
    fine[::2, 1::2] = fine[1::2, ::2] = -1
    training, heldout = coarse[:n], coarse[n:]
    assert nearest_distance(training + fine.flatten(), training, shape).max() < 1e-4
    assert nearest_distance(training + fine.flatten(), training).min() > 60
    assert closer_to_training(heldout, training, heldout + fine.flatten(), shape) == 0
    assert closer_to_training(training, training + fine.flatten(), heldout, shape) == 1
