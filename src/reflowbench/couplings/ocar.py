"""OCAR: pairs made online by the network being trained (Zhu et al. 2024, arXiv 2412.08175)."""

from __future__ import annotations

from reflowbench.couplings.shared.method import Method
from reflowbench.couplings.shared.online import Online, OnlineParams, replay_fault


class OcarParams(OnlineParams):
    """The published method has source raw, replay 1 and no reassignment."""


class Ocar(Online):
    """int(lambda * B) real images inverted by the reverse ODE, the rest synthetic by the forward one."""


METHOD = Method(OcarParams, Ocar, batch_fault=replay_fault)
