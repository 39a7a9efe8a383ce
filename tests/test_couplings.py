from dataclasses import replace

import pytest
import torch

from reflowbench.core.config import OcarParams, RcaParams, ReflowParams
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.solvers import solve
from reflowbench.couplings.base import Networks
from reflowbench.couplings.independent import Independent
from reflowbench.couplings.ocar import Ocar
from reflowbench.couplings.rca import Rca
from reflowbench.couplings.reflow import Reflow
from reflowbench.couplings.registry import METHODS
from reflowbench.pairs.store import synthetic_noise
from tests.conftest import PAIRS


def rca(round_, **changes):
    return Rca(RcaParams(**({"real_fraction": 0.5, "regenerate_every": 0, "source": "raw"} | changes)), round_)


def ocar(round_, **changes):
    values = {"real_fraction": 0.5, "source": "raw", "solver": "euler", "steps": 2, "replay": 1}
    return Ocar(OcarParams(**(values | changes)), round_)


MAKERS = {
    "independent": Independent,
    "reflow": lambda round_: Reflow(ReflowParams(), round_),
    "rca": rca,
    "rca regenerating": lambda round_: rca(round_, regenerate_every=2),
    "ocar": ocar,
    "ocar with replay": lambda round_: ocar(round_, replay=4),
}


@pytest.fixture
def networks(network):
    return Networks(network, network)


def real_rows(x1, images):
    """Which rows of x1 are real images."""
    return (x1[:, None] == images.images[None]).all(dim=2).any(dim=1)


def test_every_registered_method_is_covered_here():
    assert set(METHODS) <= set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_batches_have_the_right_shape_and_are_reproducible(name, round_, networks):
    first, again = MAKERS[name](round_), MAKERS[name](round_)
    for step in range(5):
        (x0, x1), (y0, y1) = first.batch(step, networks), again.batch(step, networks)
        assert x0.shape == x1.shape == (24, 16)
        assert torch.equal(x0, y0) and torch.equal(x1, y1)
        assert torch.isfinite(x0).all() and x1.abs().max() <= 1
    assert first.evaluations == again.evaluations


@pytest.mark.parametrize("name", MAKERS)
def test_steps_draw_different_pairs(name, round_, networks):
    coupling = MAKERS[name](round_)
    assert not torch.equal(coupling.batch(0, networks)[0], coupling.batch(1, networks)[0])


def test_independent_pairs_noise_with_real_images(round_, images, networks):
    x0, x1 = Independent(round_).batch(0, networks)
    assert real_rows(x1, images).all()
    assert abs(torch.corrcoef(torch.stack([x0.flatten(), x1.flatten()]))[0, 1]) < 0.2


def synthetic_index(x0):
    """Which synthetic pair each row of x0 belongs to; fails if it belongs to none."""
    every = synthetic_noise(5, 2, range(PAIRS.n), 16)
    return (x0[:, None] == every[None]).all(dim=2).int().argmax(dim=1), every


def test_reflow_keeps_pairs_together(round_, networks):
    x0, x1 = MAKERS["reflow"](round_).batch(3, networks)
    index, every = synthetic_index(x0)
    assert torch.equal(x0, every[index])
    assert torch.equal(x1, round_.synthetic.rows(index))


@pytest.mark.parametrize(("fraction", "n_real"), [(0.0, 0), (0.25, 6), (0.49, 11), (0.5, 12), (1.0, 24)])
@pytest.mark.parametrize("make", [rca, ocar, lambda r, **c: ocar(r, replay=4, **c)])
def test_a_batch_is_composed_of_int_lambda_b_real_pairs(round_, images, networks, make, fraction, n_real):
    coupling = make(round_, real_fraction=fraction)
    for step in range(6):
        assert real_rows(coupling.batch(step, networks)[1], images).sum() == n_real


def test_rca_pairs_each_image_with_its_own_inverted_noise(round_, images, networks):
    x0, x1 = rca(round_).batch(1, networks)
    real = real_rows(x1, images)
    index = (x1[real][:, None] == images.images[None]).all(dim=2).int().argmax(dim=1)
    assert torch.equal(x0[real], round_.inverted.rows(index))
    index, every = synthetic_index(x0[~real])
    assert torch.equal(x0[~real], every[index]) and torch.equal(x1[~real], round_.synthetic.rows(index))


def test_rca_without_real_pairs_draws_what_reflow_draws(round_, networks):
    for step in range(4):
        ours, theirs = (
            rca(round_, real_fraction=0.0).batch(step, networks),
            MAKERS["reflow"](round_).batch(step, networks),
        )
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


class Constant(torch.nn.Module):
    """The field v = c, whose inversion is x - c."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x, t):
        assert not self.training, "pairs are made in evaluation mode"
        return torch.full_like(x, self.c)


@pytest.mark.parametrize(("source", "c"), [("round_start", None), ("raw", 0.5), ("ema", -0.25)])
def test_rca_regenerates_on_time_from_the_chosen_network(round_, images, source, c):
    networks = Networks(Constant(0.5).train(), Constant(-0.25))
    coupling = rca(round_, real_fraction=1.0, regenerate_every=3, source=source)
    for step in range(7):
        x0, x1 = coupling.batch(step, networks)
        index = (x1[:, None] == images.images[None]).all(dim=2).int().argmax(dim=1)
        stored = c is None or step < 3  # before the first regeneration, or from the same weights again
        assert torch.allclose(x0, round_.inverted.rows(index) if stored else x1 - c, atol=1e-5)
        assert coupling.evaluations == len(images) * PAIRS.steps * (step // 3)
    assert networks.raw.training, "the network goes on training afterwards"


def test_rca_never_touches_the_stored_pairs(round_, networks):
    before = round_.inverted.rows(torch.arange(40)).clone()
    coupling = rca(round_, regenerate_every=1)
    for step in range(3):
        coupling.batch(step, Networks(Constant(1.0), Constant(1.0)))
    assert torch.equal(round_.inverted.rows(torch.arange(40)), before)


@pytest.mark.parametrize("source", ["raw", "ema"])
def test_ocar_pairs_follow_the_chosen_network(round_, images, source):
    c = {"raw": 0.5, "ema": -0.25}[source]
    x0, x1 = ocar(round_, source=source).batch(0, Networks(Constant(0.5), Constant(-0.25)))
    real = real_rows(x1, images)
    assert torch.allclose(x0[real], x1[real] - c, atol=1e-5)
    assert torch.allclose(x1[~real], (x0[~real] + c).clamp(-1, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 6}, "synthetic pairs are of seed 5"), ({"round": 1}, "this is seed 5, round 1")],
)
def test_pairs_of_another_chain_are_refused(round_, change, message):
    with pytest.raises(ReflowbenchError, match=message):
        replace(round_, **change)


def test_missing_pairs_name_the_option(round_, networks):
    with pytest.raises(ReflowbenchError, match="--inverted"):
        rca(replace(round_, inverted=None))
    with pytest.raises(ReflowbenchError, match="--synthetic"):
        MAKERS["reflow"](replace(round_, synthetic=None)).batch(0, networks)


def test_inverted_pairs_of_another_image_set_are_refused(round_, images):
    fewer = replace(images, images=images.images[:30], labels=images.labels[:30])
    with pytest.raises(ReflowbenchError, match="40 inverted pairs for 30 real images"):
        replace(round_, images=fewer)


def test_ocar_solves_as_accurately_as_asked(round_, network):
    networks = Networks(network, network)
    x0, x1 = ocar(round_, solver="heun", steps=50, real_fraction=0.0).batch(0, networks)
    assert torch.allclose(x1, solve(network, x0, "rk4", 50).clamp(-1, 1), atol=1e-2)


@pytest.mark.parametrize("replay", [1, 2, 3, 8])
def test_replay_uses_each_pair_r_times_and_costs_a_share(round_, networks, replay):
    coupling = ocar(round_, replay=replay, real_fraction=0.0)  # noise never repeats, an image may
    batches = [coupling.batch(step, networks)[0] for step in range(4 * replay)]
    seen = torch.cat(batches)
    uses = (seen[:, None] == seen[None]).all(dim=2).sum(dim=1)[24 * replay : -24 * replay]
    assert (uses == replay).all()
    assert coupling.evaluations == 2 * (24 + (4 * replay - 1) * 24 // replay)


def test_replay_must_divide_the_batch(round_):
    with pytest.raises(ReflowbenchError, match="methods.ocar.replay = 5: must divide round.batch = 24"):
        ocar(round_, replay=5)
