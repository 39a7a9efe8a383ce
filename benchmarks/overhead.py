"""What training and pair generation take beyond the network's own passes, at the paper's scale on this machine.

    python -m benchmarks.overhead                     # the profile cifar10
    python -m benchmarks.overhead --profile mnist --steps 50

In turn: bare forward and backward passes on a batch that stays where it is, and the pipeline's training steps with all
that belongs to them (draws on the CPU, moved to the device; clipping, optimizer, average, checks); bare forward passes,
and a block of the pipeline's pairs. Images are random, as large and as many as CIFAR-10's.
"""

import argparse
from statistics import median

import torch

from benchmarks.peers.turns import in_turn
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.data.blocks import BLOCK
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.networks import registry
from reflowbench.pairs.generate import synthetic_pairs
from reflowbench.profiles import resolve
from reflowbench.runtime.config import validate
from reflowbench.runtime.device import autocast, device
from reflowbench.runtime.params import Params
from reflowbench.runtime.stage import set_threads
from reflowbench.training.loop import Trainer

SHAPES = {"cifar10": (3, 32, 32), "mnist": (1, 28, 28), "fashion": (1, 28, 28)}


def training(params: Params, data: ImageSet, turns: int, steps: int) -> dict[str, list[float]]:
    """Seconds of so many steps, in each turn."""
    where, base = device(), params.base.model_copy(update={"steps": steps * (turns + 1)})
    network = registry.build(params.network, data.shape, 0).to(where).train()
    x, t = torch.randn(base.batch, data.dim, device=where), torch.rand(base.batch, device=where)

    def bare() -> None:
        for _ in range(steps):
            network.zero_grad()
            with autocast(where, base.precision):
                loss = (network(x, t) - x).square().mean()
            loss.backward()

    other = registry.build(params.network, data.shape, 0).to(where)
    coupling = Independent(Inputs(0, 0, base.batch, base.steps, data), base.flip)
    run = iter(Trainer(other, coupling, base, 0, 0, path="base"))
    return in_turn({"bare": bare, "ours": lambda: [next(run) for _ in range(steps)]}, turns)


def pairs(params: Params, data: ImageSet, turns: int) -> dict[str, list[float]]:
    """Seconds of a block, in each turn."""
    where, few = device(), params.pairs.model_copy(update={"n": BLOCK})
    network = registry.build(params.network, data.shape, 0).to(where).eval()
    x, t = torch.randn(BLOCK, data.dim, device=where), torch.rand(BLOCK, device=where)

    def bare() -> None:
        with torch.inference_mode(), autocast(where, few.precision):
            for _ in range(few.steps * NFE_PER_STEP[few.solver]):
                network(x, t)

    return in_turn({"bare": bare, "ours": lambda: list(synthetic_pairs(network, few, 0, 1, data.dim)[1](0))}, turns)


def main(args: argparse.Namespace) -> None:
    """Print a row for each."""
    set_threads()
    params, shape = validate(resolve(args.profile), f"profiles/{args.profile}.yaml"), SHAPES[args.profile]
    levels = torch.randint(0, 256, (50_000, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(len(levels), dtype=torch.long)
    data = ImageSet(PackedImages(levels.flatten(1), 256), labels, shape, levels=256, dequantized=False)
    name = torch.cuda.get_device_name() if device().type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{args.profile} on {name}, torch {torch.__version__}\n")
    print("| | passes alone, s | the pipeline, s | ratio |\n| --- | --: | --: | --: |")
    for what, taken in {
        f"{args.steps} training steps of {params.base.batch} images": training(params, data, args.turns, args.steps),
        f"{BLOCK} pairs at NFE {params.pairs.steps * NFE_PER_STEP[params.pairs.solver]}": pairs(
            params, data, args.turns
        ),
    }.items():
        bare, ours = (median(taken[name]) for name in ("bare", "ours"))
        print(f"| {what} | {bare:.4g} | {ours:.4g} | {ours / bare:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=SHAPES, default="cifar10")
    parser.add_argument("--steps", type=int, default=20, help="training steps in a turn")
    parser.add_argument("--turns", type=int, default=3)
    main(parser.parse_args())
