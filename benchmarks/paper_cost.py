"""What the paper's experiments cost, per stage, and how that grows: the tables of docs/scale.md.

    python -m benchmarks.paper_cost [--training 6.43e13] [--sampling 6.94e13]

Counted by `reflowbench cost`'s planner from the profiles cifar10 and celebahq-latent; no data and no GPU is needed. The
hours rest on two throughputs, in FLOPs a second: by default those that `reflowbench cost --profile cifar10 --measure`
gave on an H100.
"""

import argparse
from collections.abc import Callable

from reflowbench import profiles
from reflowbench.cost.measure import Throughput
from reflowbench.cost.plan import Planner
from reflowbench.cost.sizes import sets_of, space_of
from reflowbench.cost.view import short
from reflowbench.cost.work import Line, Work
from reflowbench.networks.base import Shape
from reflowbench.runtime.config import validate
from reflowbench.runtime.params import Params

IMAGES = {"cifar10": (60_000, 3, 32, 32), "celebahq-latent": (30_000, 3, 256, 256)}


def params_of(profile: str, change: Callable[[dict], object] = lambda tree: None) -> Params:
    """The parameters of a profile, changed."""
    tree = profiles.resolve(profile)
    change(tree)
    return validate(tree, profile)


def lines(params: Params, images: tuple[int, ...] | None = None) -> list[Line]:
    """The plan."""
    given = images or (None if params.profile == "cifar10" else IMAGES[params.profile])
    train, heldout, _ = sets_of(params.data, given)
    space: Shape = space_of(params.latents, train.shape)[0]
    return Planner(params, train, heldout, space).lines()


def per_stage(profile: str, throughput: Throughput) -> str:
    """A row for each group of stages and method that has networks to evaluate."""
    rows = ["| stage group | method | stages | FLOPs | disk | hours |", "| --- | --- | --: | --: | --: | --: |"]
    total, disk = Work(), 0
    for line in (plan := lines(params_of(profile))):
        total, disk = total + line.work, disk + line.disk
        if line.work.train_flops + line.work.sample_flops:
            rows.append(row(line.group, line.method, line.stages, line.work, line.disk, throughput))
    rows.append(row("**all**", "", sum(line.stages for line in plan), total, disk, throughput))
    return "\n".join(rows)


def row(group: str, method: str, stages: int, work: Work, disk: int, throughput: Throughput) -> str:
    """One row."""
    hours = throughput.seconds(work.train_flops, work.sample_flops) / 3600
    flops = short(work.train_flops + work.sample_flops)
    return f"| {group} | {method} | {stages} | {flops} | {short(disk)}{'B' if disk else ''} | {hours:.1f} |"


def growth() -> str:
    """How the whole of CIFAR-10's grid grows when one thing is doubled."""

    def rounds(tree: dict) -> None:
        tree["grid"]["rounds"] = list(range(1, 2 * len(tree["grid"]["rounds"]) + 1))

    changes: dict[str, tuple[Callable[[dict], object], tuple[int, ...] | None]] = {
        "pairs (`pairs.n`)": (lambda tree: tree["pairs"].update(n=1_000_000), None),
        "steps of their solver (`pairs.steps`)": (lambda tree: tree["pairs"].update(steps=198), None),
        "rounds (`grid.rounds`)": (rounds, None),
        "seeds (`grid.seeds`)": (lambda tree: tree["grid"].update(seeds=[0, 1]), None),
        "steps of a round (`round.steps`)": (lambda tree: tree["round"].update(steps=100_000), None),
        "real images": (lambda tree: tree["data"].update(heldout=1 / 11), (110_000, 3, 32, 32)),
        "samples of an evaluation (`evaluate.n_samples`)": (
            lambda tree: tree["evaluate"].update(n_samples=100_000), None,
        ),
        "height and width": (lambda tree: tree["data"].update(heldout=1 / 6), (60_000, 3, 64, 64)),
    }  # fmt: skip

    def of(plan: list[Line], value: Callable[[Line], float], *groups: str) -> float:
        return sum(value(line) for line in plan if not groups or line.group in groups)

    def flops(line: Line) -> float:
        return line.work.train_flops + line.work.sample_flops

    pairs, rounds_ = ("generate_pairs", "rca_regenerate"), ("reflow", "rca", "ocar")
    before = lines(params_of("cifar10"))
    rows = ["| doubled | all FLOPs | pairs | rounds | evaluations | disk |", "| --- | --: | --: | --: | --: | --: |"]
    for name, (change, images) in changes.items():
        after = lines(params_of("cifar10", change), images)
        cells = [
            of(after, value, *groups) / of(before, value, *groups)
            for value, groups in ((flops, ()), (flops, pairs), (flops, rounds_), (flops, ("evaluate",)))
        ]
        cells.append(of(after, lambda line: line.disk) / of(before, lambda line: line.disk))
        rows.append(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=float, default=6.43e13, help="FLOPs a second (default: %(default)g)")
    parser.add_argument("--sampling", type=float, default=6.94e13, help="FLOPs a second (default: %(default)g)")
    args = parser.parse_args()
    throughput = Throughput(args.training, args.sampling)
    for profile in IMAGES:
        print(f"{profile}, at {short(args.training)}FLOP/s of training and {short(args.sampling)}FLOP/s of sampling:\n")
        print(per_stage(profile, throughput), "\n")
    print(growth())


if __name__ == "__main__":
    main()
