"""The cost of the theory stages, against what they record of themselves."""

import pytest

from reflowbench import profiles
from reflowbench.core.config import validate
from reflowbench.core.networks import registry as networks
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.cost.pairs import theory_variant, variants
from reflowbench.cost.theory import theory_lines
from reflowbench.couplings.shared import registry
from reflowbench.theory.gaussian.flows import COSTS, BaseJob, ChainJob, cells, run_base, run_chain
from tests.conftest import ROOT

FIELDS = dict(zip(COSTS, ("updates", "train", "forward", "inversion"), strict=True))


def of_method(name):
    values = profiles.resolve("tiny", ROOT / "profiles")
    values["grid"] |= {"methods": [name], "stages": registry.stages_of({name: name})}
    values["theory_gaussian"] |= {"targets": ["gaussian"]}
    return validate(values)


@pytest.mark.parametrize("name", registry.names())
def test_planned_is_what_the_rounds_record(name, tmp_path):
    params = of_method(name)
    p = params.theory_gaussian
    lines = {line.group: line for line in theory_lines(params, variants(params))}
    variant = theory_variant(variants(params)[0], params)
    method, unused, own = registry.load(name), variant.unused(), variant.params
    [cell] = cells(p)
    base = run_base(BaseJob(cell, p, tmp_path))
    chain = run_chain(ChainJob(cell, p, tmp_path, name, own), method)
    for group, rows in (("theory_gaussian_base", base.rows), ("theory_gaussian", chain.rows)):
        for metric, field in FIELDS.items():
            recorded = sum(row.value for row in rows if row.metric == metric)
            if group == "theory_gaussian" and metric == "forward_evaluations" and "synthetic" in unused:
                recorded += p.rounds * p.pairs.n * p.pairs.steps * NFE_PER_STEP[p.pairs.solver]  # made all the same
            assert getattr(lines[group].work, field) == recorded, (group, metric)
    weights = networks.load(tmp_path / cell.weights)[0].parameters()
    assert lines["theory_gaussian_base"].disk == sum(4 * w.numel() for w in weights)
