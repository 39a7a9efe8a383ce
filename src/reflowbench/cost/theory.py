"""The cost of the theory stages: small networks on laws in closed form; the linear autoencoder has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from reflowbench.core.params import OptimParams, Params
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.cost.network import VelocityCost
from reflowbench.cost.pairs import Variant, theory_variant
from reflowbench.cost.work import Line, Work


def theory_lines(params: Params, chains: Sequence[Variant]) -> Iterator[Line]:
    """The theory stages.

    Args:
        params: The whole of the parameters, checked.
        chains: Methods of the grid.

    Yields:
        A line per stage group and method. Rows of the linear autoencoder are not counted: it is no network.
    """
    p = params.theory_gaussian
    cells = len(p.targets) * len(p.seeds)
    networks = {dim: VelocityCost(p.network, (1, 1, dim)) for dim in p.dims}
    yield Line("theory_dae", "", len(params.theory_dae.noise))
    yield Line("theory_phase", "", 1)
    base = sum((_trained(params, network, p.base).times(cells) for network in networks.values()), Work())
    weights = cells * sum(network.weight_bytes for network in networks.values())
    yield Line("theory_gaussian_base", "", 1, base, weights)
    for chain in chains:
        own = theory_variant(chain, params)
        work = Work()
        for network in networks.values():
            one = _trained(params, network, p.round) + _pairs(params, own, network)
            work += one.times(cells * p.rounds)
        yield Line("theory_gaussian", chain.name, 1, work)
    yield Line("theory_report", "", 1)


def _trained(params: Params, network: VelocityCost, optim: OptimParams) -> Work:
    """Training of one model, and its samples at every NFE."""
    p = params.theory_gaussian
    return Work(
        updates=optim.steps,
        train=optim.steps * optim.batch,
        looking=p.n_samples * sum(p.nfe),
        train_flops=optim.steps * network.training(optim).flops,
        sample_flops=sum(p.nfe) * network.sampling(p.n_samples).flops,
    )


def _pairs(params: Params, own: Variant, network: VelocityCost) -> Work:
    """Pairs of one round, made before it and within it; a network evaluation costs what it does in a large batch."""
    p = params.theory_gaussian
    spent = replace(own.within(p.points))
    nfe = p.pairs.steps * NFE_PER_STEP[p.pairs.solver]
    spent.forward += p.pairs.n * nfe * ("synthetic" in own.method.stored)
    spent.inversion += p.points * nfe * ("inverted" in own.method.stored)
    flops = (spent.forward + spent.inversion) * network.sampling(p.points).flops // p.points
    return Work(forward=spent.forward, inversion=spent.inversion, sample_flops=flops)
