"""Where the couplings take their randomness from: streams of this seed and round, one for each purpose and step."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reflowbench.core import randomness
from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Networks
from reflowbench.couplings.shared.independent import Independent, mirrored
from reflowbench.flow.sde import reverse_sde
from reflowbench.flow.times import draw_times
from tests.couplings.methods import VARIANTS, Constant, image_index, make, real_rows

STEPS = 6
NAME = r"5/[a-z_]+(?: (?:[a-z_]+|\d+))*/2"
FIELD = Networks(*[Constant(0.1)] * 3)


@pytest.fixture
def asked(monkeypatch):
    """Names of all streams that are opened from now on, in order."""
    keys, real = [], randomness.hashlib.blake2b

    def blake2b(key, **options):
        keys.append(key.decode())
        return real(key, **options)

    monkeypatch.setattr(randomness, "hashlib", SimpleNamespace(blake2b=blake2b))
    return keys


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_stream_is_of_this_seed_round_and_step_and_has_a_name(inputs, asked, variant):
    name, changes = VARIANTS[variant]
    coupling = make(name, inputs, **changes)
    for key in asked:  # of what is prepared once: the potential's steps are its own
        assert re.fullmatch(NAME + r"(/\d+)?", key), key
    for step in range(STEPS):
        asked.clear()
        coupling.batch(step, FIELD)
        for key in asked:
            found = re.fullmatch(NAME + r"(?:/(\d+))?", key)
            assert found, key
            assert found[1] in {None, str(step)} or " chunks/" in key, key  # chunks are numbered, not steps
    assert asked


@pytest.mark.parametrize("variant", [v for v in VARIANTS if VARIANTS[v][0] in {"independent", "ocar", "ocar_s"}])
def test_no_noise_is_used_for_two_pairs(inputs, images, variant):
    name, changes = VARIANTS[variant]
    coupling = make(name, inputs, **changes | ({} if name == "independent" else {"replay": 1}))
    batches = [coupling.batch(step, FIELD) for step in range(20)]
    drawn = torch.cat([x0 if name == "independent" else x0[~real_rows(x1, images)] for x0, x1 in batches])
    assert len(torch.unique(drawn, dim=0)) == len(drawn) >= 240


def test_groups_of_a_replayed_batch_begin_with_noise_of_their_own(inputs, images):
    coupling = make("ocar", inputs, replay=4, real_fraction=0.0)
    batches = torch.cat([coupling.batch(step, FIELD)[0] for step in range(9)])
    assert len(torch.unique(batches, dim=0)) == 24 + 8 * 6
    every = noise(5, "online noise", 2, range(9 * 24), 16)
    assert (batches[:, None] == every[None]).all(dim=2).any(dim=1).all()


def test_a_mirrored_image_is_that_or_itself_by_a_coin_of_each_row(inputs, images):
    pairs = [Independent(inputs, flip=True).batch(step, FIELD) for step in range(40)]
    plain = [Independent(inputs).batch(step, FIELD) for step in range(40)]
    turned = []
    for (x0, x1), (noise0, image) in zip(pairs, plain, strict=True):
        assert torch.equal(x0, noise0)
        other = mirrored(image, images.shape)
        here = (x1 == other).all(dim=1)
        assert torch.equal(x1, torch.where(here[:, None], other, image))
        turned.append(here)
    turned = torch.stack(turned)
    assert len(torch.unique(turned, dim=0)) == 40, "each step has its own"
    assert abs(turned.float().mean() - 0.5) < 3 * 0.5 / turned.numel() ** 0.5
    assert torch.equal(mirrored(torch.arange(12.0)[None], (2, 2, 3))[0], torch.tensor(
        [2.0, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]))  # fmt: skip


def test_the_cone_is_turned_by_its_published_law(inputs, images):
    """Zeta = zeta_max 2 r^2 / (1 + r^2), r uniform: its mean is 2 - pi/2 and its mean square 4 (5/4 - 3 pi / 8)."""
    coupling = make("conic", replace(inputs, steps=200), zeta_max=0.5, real_fraction=1.0, regenerate_every=0)
    turns = []
    for step in range(100):
        x0, x1 = coupling.batch(step, FIELD)
        start = inputs.inverted.rows(image_index(x1, images))
        end = noise(5, "conic noise", 2, range(step * 24, (step + 1) * 24), 16)
        turns.append(share(x0, start, end) / 0.5)
    turns = torch.stack(turns).double()
    assert turns.min() > -1e-5 and turns.max() < 1 + 1e-5
    assert turns.mean().item() == pytest.approx(2 - torch.pi / 2, abs=0.02)
    assert turns.square().mean().item() == pytest.approx(5 - 1.5 * torch.pi, abs=0.02)
    assert turns.std(dim=1).min() > 0.1, "each pair by its own"


def share(x, start, end):
    """By how much of the angle between them x is turned from `start` to `end`, which may have other lengths."""
    ends = torch.stack([start, end], dim=2).double()
    theta = torch.arccos(torch.nn.functional.cosine_similarity(ends[..., 0], ends[..., 1], dim=1))
    _, weight = torch.linalg.lstsq(ends, x.double()[..., None]).solution[..., 0].unbind(dim=1)
    return torch.arcsin(weight * torch.sin(theta)) / theta


def test_real_batches_of_the_cone_are_those_of_the_first_half(inputs, images):
    for steps, share, expected in ((8, 1.0, 4), (9, 1.0, 4), (8, 0.5, 2), (16, 0.25, 2)):
        coupling = make("conic", replace(inputs, steps=steps), real_fraction=share, regenerate_every=0)
        kinds = [bool(real_rows(coupling.batch(step, FIELD)[1], images).all()) for step in range(steps)]
        assert sum(kinds) == expected and not any(kinds[steps // 2 :])


def test_dataset_transport_uses_each_noise_again_and_minibatches_their_own(inputs):
    dataset = make("ot", inputs, assignment="dataset", noises=2)
    x0 = torch.cat([dataset.batch(step, FIELD)[0] for step in range(40)])
    assert len(torch.unique(x0, dim=0)) == 80, "two for each of 40 images"
    batch = make("ot", inputs, assignment="minibatch").batch(3, FIELD)[0]
    assert torch.equal(batch.sort(dim=0).values, noise(5, "ot noise", 2, range(72, 96), 16).sort(dim=0).values)


def test_semidiscrete_transport_matches_by_its_potential(inputs, images):
    coupling = make("ot", inputs, assignment="semidiscrete")
    x0, x1 = coupling.batch(3, FIELD)
    assert torch.equal(x0, noise(5, "ot noise", 2, range(72, 96), 16))
    assert torch.equal(x1, images.images[coupling._potential.match(x0)])


@pytest.mark.parametrize("kind", ["published", "marginal"])
@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_an_sde_takes_the_steps_of_its_formula(kind, jitter):
    """In double precision against the recursion, with normal numbers that name their purpose and step."""
    asked, s, steps = [], 0.7, 5

    def normals(purpose, step):
        asked.append((purpose, step))
        return torch.full(
            (3, 2 if purpose == "noise" else 1), 0.1 * (step + 1) + (purpose == "noise"), dtype=torch.double
        )

    x = torch.tensor([[0.3, -1.0], [2.0, 0.5], [0.0, 0.1]], dtype=torch.double)
    seen = []

    def field(state, t):
        assert state.dtype == t.dtype == torch.double
        seen.append(t)
        return torch.sin(state) + t[:, None]

    end = reverse_sde(field, x, steps, normals, s, jitter, kind)
    t = 1.0
    for step in range(steps):
        dt = min(t, (1 + jitter * 0.1 * (step + 1)) / steps) if step < steps - 1 else t
        assert torch.allclose(seen[step], torch.tensor(t, dtype=torch.double))
        v, sigma = torch.sin(x) + t, s
        if kind == "marginal":
            sigma = s * (t * (1 - t)) ** 0.5
            v = v - s**2 * t * (t * v - x) / 2
        x = x - dt * v + sigma * dt**0.5 * (0.1 * (step + 1) + 1)
        t -= dt
    assert torch.allclose(end, x, atol=1e-12)
    jitters = [("jitter", step) for step in range(steps - 1)] if jitter else []
    assert sorted(asked) == sorted([*jitters, *[("noise", step) for step in range(steps)]])


@pytest.mark.parametrize("law", ["uniform", "u_shaped", "logit_normal"])
def test_times_come_from_the_generator_that_is_given(law):
    one, same, other = (draw_times(law, 50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
