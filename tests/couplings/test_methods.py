"""What distinguishes each method, by construction."""

import math
from dataclasses import replace

import pytest
import torch

from reflowbench.core.randomness import noise
from reflowbench.couplings.conic import slerp
from reflowbench.couplings.shared.base import Networks
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve
from reflowbench.pairs.generate import synthetic_pairs
from reflowbench.pairs.store import StoredHalf, synthetic_noise, write_pairs
from tests.conftest import PAIRS
from tests.couplings.methods import Constant, image_index, make, real_rows


@pytest.fixture
def networks(network):
    return Networks(network, network, network)


def same(a, b):
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_independent_pairs_noise_with_real_images(inputs, images, networks):
    x0, x1 = make("independent", inputs).batch(0, networks)
    assert real_rows(x1, images).all()
    assert abs(torch.corrcoef(torch.stack([x0.flatten(), x1.flatten()]))[0, 1]) < 0.2


def test_rca_pairs_each_image_with_its_own_inverted_noise(inputs, images, networks):
    x0, x1 = make("rca", inputs).batch(1, networks)
    real = real_rows(x1, images)
    assert torch.equal(x0[real], inputs.inverted.rows(image_index(x1[real], images)))


@pytest.mark.parametrize("name", ["rca", "rca_ot", "fresh"])
def test_without_real_pairs_a_mixture_is_reflow(inputs, networks, name):
    mixture, reflow = make(name, inputs, real_fraction=0.0), make("reflow", inputs)
    assert all(same(mixture.batch(step, networks), reflow.batch(step, networks)) for step in range(4))


def test_with_real_pairs_only_no_synthetic_pair_is_drawn(inputs, networks):
    class Untouchable(StoredHalf):
        def rows(self, index):
            raise AssertionError("a synthetic pair was drawn")

    guarded = replace(inputs, synthetic=Untouchable(inputs.synthetic.folder))
    for name in ("rca", "rca_ot", "fresh"):
        make(name, guarded, real_fraction=1.0).batch(0, networks)
        with pytest.raises(AssertionError, match="was drawn"):
            make(name, guarded, real_fraction=0.5).batch(0, networks)


@pytest.mark.parametrize(("source", "c"), [("round_start", 2.0), ("raw", 0.5), ("ema", -0.25)])
def test_rca_regenerates_at_the_steps_it_says_from_the_chosen_network(inputs, images, source, c):
    raw, ema, start = Constant(0.5).train(), Constant(-0.25), Constant(2.0)
    coupling = make("rca", inputs, real_fraction=1.0, regenerate_every=3, source=source)
    for step in range(7):
        x0, x1 = coupling.batch(step, Networks(raw, ema, start))
        stored = inputs.inverted.rows(image_index(x1, images))
        assert torch.allclose(x0, stored if step < 3 else x1 - c, atol=1e-5)
        assert coupling.spent.inversion == len(images) * PAIRS.steps * (step // 3)
        assert coupling.spent.forward == 0
    assert raw.training, "the network goes on training afterwards"


def test_rca_never_touches_the_stored_pairs(inputs):
    before = inputs.inverted.rows(torch.arange(40)).clone()
    coupling = make("rca", inputs, regenerate_every=1)
    for step in range(3):
        coupling.batch(step, Networks(*[Constant(1.0)] * 3))
    assert torch.equal(inputs.inverted.rows(torch.arange(40)), before)


def test_rebuilt_pairs_are_counted_and_a_coupling_can_go_back_to_before_them(inputs):
    coupling = make("rca", inputs, regenerate_every=2)
    before = coupling.state()
    states = []
    for step in range(5):
        coupling.batch(step, Networks(*[Constant(0.1 * step)] * 3))
        states.append(coupling.state())
    assert before == states[1] == {} and [int(state["rebuilt"]) for state in states[2:]] == [1, 1, 2]
    other = make("rca", inputs, regenerate_every=2)
    other.restore(states[2])
    other.batch(4, Networks(*[Constant(0.4)] * 3))
    assert all(torch.equal(value, states[4][name]) for name, value in other.state().items())
    other.restore(before)
    assert other.state() == {} and other.spent.inversion == 0
    assert same(other.batch(1, Networks(*[Constant(9.0)] * 3)), make("rca", inputs).batch(1, None))


@pytest.mark.parametrize("missing", ["pairs", "scratch"])
def test_pairs_are_rebuilt_only_with_a_solver_and_scratch_space(inputs, networks, missing):
    coupling = make("rca", replace(inputs, **{missing: None}), regenerate_every=2)
    coupling.batch(0, networks)
    with pytest.raises(ReflowbenchError, match="^regeneration needs the solver of the pairs and scratch space$"):
        coupling.batch(2, networks)
    if missing == "scratch":
        with pytest.raises(ReflowbenchError, match="^pairs that were rebuilt within a round need scratch space$"):
            coupling.restore({"inverted": torch.zeros(40, 16)})


def test_whitened_noise_has_mean_zero_and_covariance_one(inputs, images, networks):
    coupling = make("rca", inputs, real_fraction=1.0, whiten="full", regenerate_every=0)
    noise = coupling._inverted._noise.double()
    assert torch.allclose(noise.mean(dim=0), torch.zeros(16, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(noise.T @ noise / 40, torch.eye(16, dtype=torch.float64), atol=1e-5)
    each = make("rca", inputs, real_fraction=1.0, whiten="coordinates", regenerate_every=0)._inverted._noise
    assert torch.allclose(each.var(dim=0, correction=0), torch.ones(16), atol=1e-5)
    x0, x1 = coupling.batch(0, networks)
    assert torch.equal(x0, coupling._inverted._noise[image_index(x1, images)])


def test_rca_ot_gives_each_image_fresh_noise_near_its_inverted_noise(inputs, images, networks):
    x0, x1 = make("rca_ot", inputs, real_fraction=1.0, regenerate_every=0).batch(0, networks)
    index = image_index(x1, images)
    inverted = inputs.inverted.rows(index)
    assert not (x0[:, None] == inverted[None]).all(dim=2).any(), "not the inverted noise itself"
    near, far = (x0 - inverted).square().sum(dim=1).mean(), (x0 - inverted.roll(1, 0)).square().sum(dim=1).mean()
    assert near < 0.8 * far
    assert all(len(torch.unique(x0[index == i], dim=0)) == 1 for i in index), "one noise for each image"


def test_rca_ot_with_several_noises_uses_them(inputs, images, networks):
    coupling = make("rca_ot", inputs, real_fraction=1.0, regenerate_every=0, noises=4)
    x0, x1 = (torch.cat(parts) for parts in zip(*(coupling.batch(step, networks) for step in range(40)), strict=True))
    counts = [len(torch.unique(x0[image_index(x1, images) == i], dim=0)) for i in range(40)]
    assert max(counts) == 4 and min(counts) >= 3


def test_semidiscrete_rca_ot_draws_no_inverted_pair_that_it_would_replace(inputs, images, networks, monkeypatch):
    coupling = make("rca_ot", inputs, assignment="semidiscrete", real_fraction=0.5)
    monkeypatch.setattr(coupling._inverted, "draw", None)
    for step in range(3):  # also where they are rebuilt
        x0, x1 = coupling.batch(step, networks)
        assert torch.equal(x0[12:], noise(5, "rca_ot noise", 2, range(step * 24, step * 24 + 12), 16))
        assert real_rows(x1, images).tolist() == [False] * 12 + [True] * 12


@pytest.mark.parametrize("assignment", ["minibatch", "dataset", "semidiscrete"])
def test_ot_pairs_are_closer_than_independent_ones_and_their_noise_is_normal(inputs, images, networks, assignment):
    coupling = make("ot", inputs, assignment=assignment, noises=8)
    x0, x1 = (torch.cat(parts) for parts in zip(*(coupling.batch(step, networks) for step in range(50)), strict=True))
    assert real_rows(x1, images).all()
    assert (x0 - x1).square().sum() < 0.95 * (x0 - x1.roll(1, 0)).square().sum()
    assert abs(x0.mean()) < 0.05 and abs(x0.var() - 1) < 0.05
    uses = torch.bincount(image_index(x1, images), minlength=40)
    assert uses.min() > 0, "every image takes part"
    assert coupling.spent.forward == coupling.spent.inversion == 0


def test_semidiscrete_ot_never_uses_a_noise_twice_and_carries_its_potential(inputs, networks, tmp_path):
    coupling = make("ot", inputs, assignment="semidiscrete")
    x0 = torch.cat([coupling.batch(step, networks)[0] for step in range(20)])
    assert len(torch.unique(x0, dim=0)) == len(x0)
    coupling.carry(tmp_path / "carried")
    third = replace(inputs, round=3, synthetic=None, inverted=None, carried=tmp_path / "carried")
    later = make("ot", third, assignment="semidiscrete")
    assert torch.equal(later._potential.dual, coupling._potential.dual)
    assert not torch.equal(later.batch(0, networks)[0], x0[:24]), "the noise of another round is another"


def test_accumulate_draws_from_all_rounds_and_passes_them_on(inputs, network, networks, tmp_path):
    carried, halves = None, {}
    for k in (1, 2, 3):
        write_pairs(tmp_path / f"r{k}", *synthetic_pairs(network, PAIRS, 5, k, 16))
        halves[k] = StoredHalf(tmp_path / f"r{k}")
        here = replace(inputs, round=k, synthetic=halves[k], inverted=None, carried=carried)
        coupling, carried = make("accumulate", here), tmp_path / f"carried-{k}"
        coupling.carry(carried)
    x0, x1 = (torch.cat(parts) for parts in zip(*(coupling.batch(step, networks) for step in range(40)), strict=True))
    count = {}
    for k, half in halves.items():
        match = (x0[:, None] == synthetic_noise(5, k, range(PAIRS.n), 16)[None]).all(dim=2)
        rows = match.any(dim=1)
        count[k] = int(rows.sum())
        assert torch.equal(x1[rows], half.rows(match[rows].int().argmax(dim=1)))
    assert sum(count.values()) == len(x0)
    assert all(abs(n - len(x0) / 3) < 4 * math.sqrt(len(x0) / 3) for n in count.values())
    assert sorted(p.name for p in carried.iterdir()) == ["round-001", "round-002", "round-003"]


def test_conic_alternates_in_the_first_half_and_turns_the_noise_a_little(inputs, images, networks):
    coupling = make("conic", inputs, regenerate_every=0, zeta_max=0.13)
    for step in range(8):
        x0, x1 = coupling.batch(step, networks)
        real = real_rows(x1, images)
        assert real.all() if step in (1, 3) else not real.any()
        if real.all():
            inverted = inputs.inverted.rows(image_index(x1, images))
            assert not torch.equal(x0, inverted)
            cosine = torch.nn.functional.cosine_similarity(x0, inverted)
            assert (cosine > math.cos(0.13 * math.pi)).all()
    straight = make("conic", inputs, regenerate_every=0, zeta_max=0.0)
    straight.batch(0, networks)
    x0, x1 = straight.batch(1, networks)
    assert torch.allclose(x0, inputs.inverted.rows(image_index(x1, images)), atol=1e-5)


@pytest.mark.parametrize("alpha", [2, 3])
def test_conic_regenerates_at_the_steps_it_says_also_where_the_batch_is_synthetic(inputs, images, networks, alpha):
    coupling = make("conic", inputs, regenerate_every=alpha)
    for step in range(8):
        coupling.batch(step, networks)
        assert coupling.spent.inversion == len(images) * PAIRS.steps * (step // alpha)


def test_stored_pairs_that_are_never_drawn_are_said_to_be_unused(inputs):
    for name in ("rca", "rca_ot", "fresh"):
        assert make(name, inputs, real_fraction=1.0).unused == {"synthetic"}
        assert make(name, inputs, real_fraction=0.5).unused == set()
    assert make("rca", inputs, real_fraction=0.0).unused == {"inverted"}
    assert make("reflow", inputs).unused == set()


def test_noise_that_is_not_finite_is_an_error(inputs):
    with pytest.raises(ReflowbenchError, match="non-finite noise in round 2 at step 0"):
        make("ocar", inputs, reassign=True).batch(0, Networks(*[Constant(float("nan"))] * 3))


def test_slerp_keeps_the_norm_of_the_sphere():
    a, b = torch.randn(20, 8).double(), torch.randn(20, 8).double()
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    for fraction in (0.0, 0.3, 1.0):
        point = slerp(a, b, torch.full((20, 1), fraction, dtype=torch.float64))
        assert torch.allclose(point.norm(dim=1), torch.ones(20, dtype=torch.float64))
        angle = torch.arccos((a * point).sum(dim=1).clamp(-1, 1))
        assert torch.allclose(angle, fraction * torch.arccos((a * b).sum(dim=1)), atol=1e-6)


def test_neon_extrapolates_away_from_what_it_learned(inputs):
    before, after = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    expected = 1.5 * before.weight - 0.5 * after.weight
    make("neon", inputs, weight=0.5).finish(Networks(after, after, before))
    assert torch.allclose(after.weight, expected)
    make("neon", inputs, weight=0.0).finish(Networks(after, after, before))
    assert torch.equal(after.weight, before.weight)


@pytest.mark.parametrize("name", ["ocar", "ocar_s"])
@pytest.mark.parametrize(("source", "c"), [("raw", 0.5), ("ema", -0.25), ("round_start", 0.1)])
def test_online_pairs_follow_the_chosen_network(inputs, images, name, source, c):
    coupling = make(name, inputs, source=source, replay=1)
    x0, x1 = coupling.batch(0, Networks(Constant(0.5), Constant(-0.25), Constant(0.1)))
    real = real_rows(x1, images)
    assert torch.allclose(x0[real], x1[real] - c, atol=1e-5 if name == "ocar" else 0.01)  # s = 0.001
    assert torch.allclose(x1[~real], (x0[~real] + c).clamp(-1, 1), atol=1e-5)


@pytest.mark.parametrize("name", ["ocar", "ocar_s"])
def test_online_latents_are_not_clipped(inputs, images, name):
    """Pixels are (above); latents may have any size."""
    coupling = make(name, replace(inputs, clip=False), source="raw", replay=1)
    x0, x1 = coupling.batch(0, Networks(*[Constant(3.0)] * 3))
    real = real_rows(x1, images)
    assert torch.allclose(x1[~real], x0[~real] + 3, atol=1e-4 if name == "ocar" else 0.02)
    assert x1[~real].abs().max() > 3


@pytest.mark.parametrize(("solver", "per_step"), [("euler", 1), ("heun", 2)])
@pytest.mark.parametrize("name", ["ocar", "ocar_s"])
def test_ocar_draws_only_the_pairs_it_uses(inputs, networks, name, solver, per_step):
    coupling = make(name, inputs, replay=1, solver=solver, steps=3, real_fraction=0.25)
    for step in range(1, 5):
        coupling.batch(step - 1, networks)
        assert coupling.spent.forward + coupling.spent.inversion == step * 24 * 3 * per_step
        assert coupling.spent.inversion == step * 6 * 3 * per_step


@pytest.mark.parametrize("replay", [1, 2, 3, 8])
def test_replay_uses_each_pair_r_times_and_costs_a_share(inputs, networks, replay):
    coupling = make("ocar", inputs, replay=replay, real_fraction=0.0, solver="euler")  # noise never repeats
    batches = [coupling.batch(step, networks)[0] for step in range(4 * replay)]
    seen = torch.cat(batches)
    uses = (seen[:, None] == seen[None]).all(dim=2).sum(dim=1)[24 * replay : -24 * replay]
    assert (uses == replay).all()
    assert coupling.spent.forward == 2 * (24 + (4 * replay - 1) * 24 // replay)


@pytest.mark.parametrize("name", ["ocar", "ocar_s"])
def test_replay_must_divide_the_batch(inputs, name):
    with pytest.raises(ReflowbenchError, match=f"methods.{name}.replay = 5: must divide round.batch = 24"):
        make(name, inputs, replay=5)


def test_ocar_solves_as_accurately_as_asked(inputs, network, networks):
    x0, x1 = make("ocar", inputs, solver="heun", steps=50, real_fraction=0.0, replay=1).batch(0, networks)
    assert torch.allclose(x1, solve(network, x0, "rk4", 50).clamp(-1, 1), atol=1e-2)


def test_reassigned_online_noise_is_fresh_and_near(inputs, images, networks):
    plain, near = (make("ocar", inputs, reassign=r, real_fraction=1.0, replay=1) for r in (False, True))
    inverted, x1 = plain.batch(0, networks)
    x0, again = near.batch(0, networks)
    assert torch.equal(x1, again) and not torch.equal(x0, inverted)
    assert (x0 - inverted).square().sum() < 0.9 * (x0 - inverted.roll(1, 0)).square().sum()


def test_ocar_s_without_noise_is_ocar_by_euler(inputs, networks):
    stochastic = make("ocar_s", inputs, noise_scale=0.0, jitter=0.0, solver="euler", steps=5)
    ode = make("ocar", inputs, solver="euler", steps=5)
    for step in range(3):
        ours, theirs = stochastic.batch(step, networks), ode.batch(step, networks)
        assert torch.allclose(ours[0], theirs[0], atol=1e-5) and torch.allclose(ours[1], theirs[1], atol=1e-5)


def test_ocar_s_inverts_by_the_sde_that_its_parameters_say(inputs, monkeypatch):
    seen = []

    def sde(velocity, images, steps, normals, scale, jitter, kind):
        seen.append((steps, scale, jitter, kind))
        assert normals("noise", 1).shape == (len(images), 16) and normals("jitter", 1).shape == (len(images), 1)
        assert not torch.equal(normals("noise", 1), normals("noise", 2))
        return images

    monkeypatch.setattr("reflowbench.couplings.ocar_s.reverse_sde", sde)
    chosen = {"sde": "marginal", "noise_scale": 0.3, "jitter": 0.2, "solver": "heun", "steps": 4, "replay": 1}
    make("ocar_s", inputs, **chosen).batch(0, Networks(*[Constant(0.1)] * 3))
    assert seen == [(8, 0.3, 0.2, "marginal")], "a step of Heun's method is two evaluations"
