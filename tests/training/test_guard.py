"""The guard: what counts as divergence, what is kept of it, and how a run goes back."""

import math

import pytest
import torch

from reflowbench.couplings.shared.base import Coupling
from reflowbench.errors import ReflowbenchError
from reflowbench.networks import registry
from reflowbench.runtime import sidecar
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import GuardParams
from reflowbench.training.guard import Step, fault
from reflowbench.training.loop import Trainer
from tests.conftest import NETWORK, SHAPE, round_params
from tests.couplings.methods import make


def guard(**changes):
    return GuardParams(**({"explosion": 100.0, "restarts": 0, "every": 2, "lr_factor": 0.5} | changes))


def steps(norms):
    return [Step(i, 1.0, norm, 0.1) for i, norm in enumerate(norms)]


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_not_finite_is_a_fault(loss, norm):
    assert fault(Step(0, loss, norm, 0.1), [], guard()).startswith("loss ")


def test_a_norm_far_above_the_usual_is_a_fault():
    usual = steps([1.0, 3.0] * 10)
    assert fault(Step(20, 1.0, 200.0, 0.1), usual, guard()) == ""
    assert "more than guard.explosion = 100 times the usual 2" in fault(Step(20, 1.0, 200.1, 0.1), usual, guard())
    assert fault(Step(9, 1.0, 1e9, 0.1), usual[:9], guard()) == "", "too few to know what is usual"
    assert fault(Step(300, 1.0, 200.1, 0.1), steps([1.0] * 200 + [50.0] * 100), guard()) == "", "of late"


class Bursts(Coupling):
    """Pairs that are far apart at one step, as long as the network moves fast."""

    def __init__(self, at, how=1e6, times=1):
        super().__init__()
        self.at, self.how, self.left, self.asked = at, how, times, []

    def batch(self, step, networks):
        self.asked.append(step)
        x = torch.randn(24, 16, generator=torch.Generator().manual_seed(step))
        if step == self.at and self.left:
            self.left -= 1
            return x, x * self.how
        return x, x + 0.5


def trained(network, coupling, guard_, **changes):
    fresh = registry.build(NETWORK, SHAPE, seed=0)
    fresh.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    values = {"steps": 30} | changes
    return Trainer(fresh, coupling, round_params(**values), 5, 2, path="round", guard=guard_)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.mark.parametrize("how", [1e6, math.nan])
def test_a_run_that_diverges_stops_before_the_step_and_keeps_its_batch(network, how):
    run = trained(network, Bursts(20, how), guard())
    with pytest.raises(ReflowbenchError, match=r"diverged in round 2 at step 20.*lower round.lr.*guard.restarts"):
        list(run)
    assert run.done == 20 and all(torch.isfinite(p).all() for p in run.ema.parameters())
    [path] = (sidecar.folder() / sidecar.DIVERGED).iterdir()
    tensors, facts = read_tensors(path)
    x0, x1 = Bursts(20, how).batch(20, None)
    assert torch.equal(tensors["x0"], x0) and torch.equal(tensors["x1"], x1.nan_to_num()) == (how == 1e6)
    assert tensors["t"].shape == (24,) and facts["number"] == "20"


def test_going_back_is_at_a_lower_rate_and_recorded(network, capsys):
    coupling = Bursts(20)
    run = trained(network, coupling, guard(restarts=1, every=8))
    rates = [step.learning_rate for step in run]
    assert coupling.asked == [*range(21), *range(16, 30)]
    assert [step.number for step in run.steps] == list(range(30)) and run.done == 30
    assert {step.learning_rate for step in run.steps[:16]} == {0.01} and {*rates[20:]} == {0.005}
    facts = run.facts()
    assert (facts["restarts"], facts["lr_scale"], facts["updates"]) == (1, 0.5, 30)
    assert "goes on from step 16 at 0.5 times the learning rate" in capsys.readouterr().err
    quiet = trained(network, Bursts(99), guard(restarts=1))
    list(quiet)
    assert "restarts" not in quiet.facts()


def test_it_goes_back_so_often_and_no_oftener(network):
    run = trained(network, Bursts(20, times=3), guard(restarts=2))
    with pytest.raises(ReflowbenchError, match="diverged in round 2 at step 20"):
        list(run)
    run = trained(network, Bursts(20, times=2), guard(restarts=2))
    list(run)
    assert run.facts()["lr_scale"] == 0.25


def test_a_guard_that_never_acts_changes_no_byte(network, inputs):
    plain, watched = (trained(network, make("reflow", inputs), g) for g in (guard(), guard(restarts=3)))
    list(plain), list(watched)
    assert all(torch.equal(a, b) for a, b in zip(plain.ema.parameters(), watched.ema.parameters(), strict=True))


@pytest.mark.parametrize("parts", [19, 20, 24])
def test_a_run_that_goes_back_resumes_to_the_same_bytes(network, tmp_path, parts):
    """Killed before and after it went back."""
    whole = trained(network, Bursts(20), guard(restarts=1, every=8))
    list(whole)
    first = trained(network, Bursts(20), guard(restarts=1, every=8))
    iterator = iter(first)
    for _ in range(parts):
        next(iterator)
    write_tensors(tmp_path / "state", *first.state())
    second = trained(network, Bursts(20, times=first._coupling.left), guard(restarts=1, every=8))
    second.restore(*read_tensors(tmp_path / "state"))
    list(second)
    assert second.steps == whole.steps and second.facts() == whole.facts()
    assert all(torch.equal(a, b) for a, b in zip(second.ema.parameters(), whole.ema.parameters(), strict=True))


@pytest.mark.parametrize("name", ["rca", "ocar"])
def test_going_back_undoes_what_the_coupling_has_made(network, inputs, name):
    """To before anything was rebuilt or replayed."""
    own = {"regenerate_every": 3} if name == "rca" else {}
    coupling = make(name, inputs, **own)
    run = trained(network, coupling, guard(restarts=1), steps=8)
    fresh = run._state()
    list(run)
    assert coupling.state()
    run._restore({key: value.clone() for key, value in fresh[0].items()}, fresh[1])
    assert not coupling.state() and (coupling.spent.forward, coupling.spent.inversion) == (0, 0)
