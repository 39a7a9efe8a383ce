"""Which network for 28x28 images on a CPU: the same minutes of training for each, and how good the base model is.

    python -m benchmarks.small_networks                     # about 4 minutes for each network on 2 cores
    python -m benchmarks.small_networks --minutes 10 unet16/2

All train with the base parameters of the profile mnist but for the number of steps, which fills the minutes; an MLP
has a batch of 256 and a learning rate of 0.001. No rate is the best that there is for its network. Distances are those
of the pipeline's classifier to the training images, of as many samples as there are held-out images, whose own distance
is that of real ones.
"""

import argparse
import time
from collections.abc import Iterator

import torch

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.data.images import ImageSet
from reflowbench.flow.solvers import solve
from reflowbench.metrics.features.classifier import Classifier, ClassifierTraining
from reflowbench.metrics.frechet import FrechetDistance
from reflowbench.networks import registry
from reflowbench.profiles import resolve
from reflowbench.runtime.config import validate
from reflowbench.runtime.params import BaseParams, MLPParams, Network, Params
from reflowbench.runtime.stage import set_threads
from reflowbench.sources.load import load_images
from reflowbench.training.loop import Trainer

PROBE = 20


def networks(params: Params) -> Iterator[tuple[str, Network, BaseParams]]:
    """Name, network and training of each candidate."""
    for hidden in (512, 1024):
        network = MLPParams(name="mlp", hidden=hidden, blocks=3, time_features=64)
        yield f"mlp{hidden}", network, params.base.model_copy(update={"batch": 256, "lr": 0.001})
    for channels, patch, multipliers in ((8, 1, [1, 2, 2]), (8, 2, [1, 2]), (16, 2, [1, 2]), (32, 4, [1])):
        changes = {"channels": channels, "patch": patch, "multipliers": multipliers}
        yield f"unet{channels}/{patch}", params.network.model_copy(update=changes), params.base


def trained(network: Network, base: BaseParams, data: ImageSet, minutes: float) -> tuple[Trainer, float]:
    """Train for so many minutes; give the seconds of a step too."""

    def trainer(steps: int) -> Trainer:
        params = base.model_copy(update={"steps": steps, "warmup": min(base.warmup, steps // 10)})
        coupling = Independent(Inputs(0, 0, params.batch, steps, data))
        return Trainer(registry.build(network, data.shape, 0), coupling, params, 0, 0, path="base")

    started = time.perf_counter()
    list(trainer(PROBE))
    step = (time.perf_counter() - started) / PROBE
    run = trainer(max(PROBE, round(minutes * 60 / step)))
    started = time.perf_counter()
    list(run)
    return run, (time.perf_counter() - started) / len(run)


def main(args: argparse.Namespace) -> None:
    """Print a row for each network."""
    set_threads()
    params = validate(resolve("mnist"), "profiles/mnist.yaml")
    data, heldout = load_images(params.data)
    training = ClassifierTraining(data, params.features)
    list(training)
    classifier: Classifier = training.network.eval()
    distance = FrechetDistance(classifier.features(data.real))
    real = distance(classifier.features(heldout.real))
    print(f"Threads: {torch.get_num_threads()}. {len(heldout)} held-out images: {real:.2f}\n")
    print("| network / patch | parameters | batch | steps | minutes | a step | 1000 evaluations | NFE 10 | NFE 50 |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for name, network, base in networks(params):
        if args.names and name not in args.names:
            continue
        run, step = trained(network, base, data, args.minutes)
        size = sum(weight.numel() for weight in run.ema.parameters())
        x0, found = noise(0, "samples", 0, range(len(heldout)), data.dim), []
        with torch.inference_mode():
            for nfe in (10, 50):
                started = time.perf_counter()
                samples = solve(run.ema, x0, "euler", nfe)
                spent = (time.perf_counter() - started) / nfe / len(heldout) * 1000
                found.append(distance(classifier.features(data.quantize(samples))))
        print(
            f"| {name} | {size / 1e6:.2f}M | {base.batch} | {len(run)} | {step * len(run) / 60:.1f} "
            f"| {step * 1e3:.0f} ms | {spent:.2f} s | {found[0]:.2f} | {found[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as mlp1024 or unet16/2 (default: all)")
    parser.add_argument("--minutes", type=float, default=3, help="of training of each (default: %(default)s)")
    main(parser.parse_args())
