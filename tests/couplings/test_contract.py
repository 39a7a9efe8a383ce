"""What every registered method must do. A new method is tested here as soon as its file and its block exist."""

from dataclasses import asdict, replace

import pytest
import torch

from reflowbench.couplings.shared.base import Networks
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.pairs.store import synthetic_noise
from reflowbench.runtime.config import parse
from tests.conftest import PAIRS
from tests.couplings.methods import DEFAULTS, VARIANTS, Constant, make, params, real_rows

STEPS = 8


@pytest.fixture(params=VARIANTS)
def maker(request):
    name, changes = VARIANTS[request.param]
    return lambda inputs: make(name, inputs, **changes)


@pytest.fixture
def networks(network):
    return Networks(network, network, network)


def test_every_method_has_a_block_of_defaults_and_no_block_lacks_a_method():
    assert set(registry.names()) == set(DEFAULTS)


def test_shapes(maker, inputs, networks):
    coupling = maker(inputs)
    for step in range(STEPS):
        x0, x1 = coupling.batch(step, networks)
        assert x0.shape == x1.shape == (24, 16) and x0.dtype == x1.dtype == torch.float32
        assert torch.isfinite(x0).all() and x1.abs().max() <= 1
        assert not x0.requires_grad and not x0.is_inference() and not x1.is_inference()


def test_equal_inputs_give_equal_batches_and_another_seed_does_not(maker, inputs, networks):
    first, again = maker(inputs), maker(inputs)
    seen = []
    for step in range(STEPS):
        ours, theirs = first.batch(step, networks), again.batch(step, networks)
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
        seen.append(ours[0])
    assert first.spent == again.spent
    assert not torch.equal(seen[0], seen[1]), "steps draw different pairs"
    other = replace(inputs, seed=6, synthetic=None, inverted=None)
    for kind in ("synthetic", "inverted"):
        half = getattr(inputs, kind)
        moved = type(half)(half.folder)
        moved.manifest = replace(half.manifest, seed=6)
        other = replace(other, **{kind: moved})
    assert not torch.equal(maker(other).batch(0, networks)[0], seen[0])


def test_every_pair_is_synthetic_or_has_a_real_image(maker, inputs, images):
    """Integrity: a row is a stored synthetic pair whose halves belong together, or made online, or real."""
    coupling = maker(inputs)
    every = synthetic_noise(5, 2, range(PAIRS.n), 16)
    c = 0.1
    for step in range(STEPS):
        x0, x1 = coupling.batch(step, Networks(*[Constant(c)] * 3))
        synthetic = ~real_rows(x1, images)
        stored = (x0[:, None] == every[None]).all(dim=2)
        if coupling.spent.forward:  # made online: the flow of the network leads from x0 to x1
            assert not stored.any()
            assert torch.allclose(x1[synthetic], (x0[synthetic] + c).clamp(-1, 1), atol=1e-5)
        elif synthetic.any():
            assert stored[synthetic].any(dim=1).all()
            index = stored[synthetic].int().argmax(dim=1)
            assert torch.equal(x1[synthetic], inputs.synthetic.rows(index))
        assert not stored[~synthetic].any(), "a real image is never given a synthetic pair's noise"


def test_batch_composition_is_int_lambda_b(inputs, images, networks):
    for name in registry.names():
        if name == "conic" or "real_fraction" not in DEFAULTS[name]:
            continue
        for fraction, n_real in ((0.0, 0), (0.25, 6), (0.49, 11), (0.5, 12), (1.0, 24)):
            coupling = make(name, inputs, real_fraction=fraction)
            for step in range(4):
                assert real_rows(coupling.batch(step, networks)[1], images).sum() == n_real, (name, fraction)


def test_the_budget_is_what_the_network_was_asked_for(maker, inputs):
    """Evaluations for pairs, counted by the network itself (blocks of inversion are padded to one size)."""
    network = Constant(0.1)
    coupling = maker(inputs)
    for step in range(STEPS):
        coupling.batch(step, Networks(network, network, network))
    spent = coupling.spent.forward + coupling.spent.inversion
    padded = coupling.spent.inversion * 256 // 40 if hasattr(coupling, "_inverted") else spent
    assert network.asked == padded


def test_a_restored_coupling_goes_on_with_the_same_batches(maker, inputs, network, tmp_path):
    def networks(step):
        return Networks(Constant(0.01 * step), Constant(-0.01 * step), network)

    whole, first = maker(inputs), maker(inputs)
    expected = [whole.batch(step, networks(step)) for step in range(2 * STEPS)]
    for step in range(STEPS):
        first.batch(step, networks(step))
    state = {name: value.clone() for name, value in first.state().items()}
    (tmp_path / "other").mkdir()
    second = maker(replace(inputs, scratch=tmp_path / "other"))
    second.restore(state)
    for step in range(STEPS, 2 * STEPS):
        x0, x1 = second.batch(step, networks(step))
        assert torch.equal(x0, expected[step][0]) and torch.equal(x1, expected[step][1])
    assert asdict(second.spent) == asdict(whole.spent)


@pytest.mark.parametrize("name", registry.names())
def test_bad_parameters_are_named(name):
    block, kind = DEFAULTS[name], registry.load(name).params
    with pytest.raises(ReflowbenchError, match=f"methods.{name}.lamda: unknown parameter; allowed here: "):
        parse(kind, block | {"lamda": 1}, f"methods.{name}.")
    for key in block:
        with pytest.raises(ReflowbenchError, match=rf"methods\.{name}\.{key} = \['bad'\]: "):
            parse(kind, block | {key: ["bad"]}, f"methods.{name}.")
        with pytest.raises(ReflowbenchError, match=f"methods.{name}.{key}: missing"):
            parse(kind, {k: v for k, v in block.items() if k != key}, f"methods.{name}.")


@pytest.mark.parametrize("name", registry.names())
def test_a_method_that_needs_stored_pairs_says_which(name, inputs, networks):
    method = registry.load(name)
    changes = {"real_fraction": 0.5} if "real_fraction" in DEFAULTS[name] else {}
    for kind in ("synthetic", "inverted"):
        without = replace(inputs, **{kind: None})
        run = lambda: [make(name, without, **changes).batch(s, networks) for s in range(2)]  # noqa: E731, B023
        if kind in method.stored:
            with pytest.raises(ReflowbenchError, match=f"name their folder by --{kind}"):
                run()
        else:
            run()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 6}, "synthetic pairs are of seed 5"), ({"round": 1}, "this is seed 5, round 1")],
)
def test_pairs_of_another_chain_are_refused(inputs, change, message):
    with pytest.raises(ReflowbenchError, match=message):
        replace(inputs, **change)


def test_inverted_pairs_of_another_image_set_are_refused(inputs, images):
    fewer = replace(images, images=images.images[:30], labels=images.labels[:30])
    with pytest.raises(ReflowbenchError, match="40 inverted pairs for 30 real images"):
        replace(inputs, images=fewer)


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ReflowbenchError, match=f"^no method 'rac'; there are: {', '.join(registry.names())}$"):
        registry.load("rac")


def test_parameters_are_typed():
    assert params("rca", real_fraction=1).real_fraction == 1.0
