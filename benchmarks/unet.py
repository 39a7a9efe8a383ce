r"""The paper's U-Net, ours and that of two libraries in turn: parameters, a training step and sampling, here.

    python -m pip install --no-deps --target .scratch/peers \
        diffusers huggingface_hub regex httpx httpcore h11 anyio sniffio
    python -m benchmarks.unet --peers .scratch/peers

`make bench` installs torchcfm there. Both are configured as for CIFAR-10 in the papers that use them. A training step
is a forward and a backward pass with dropout, without the optimizer. Only torchcfm's network is imported, not its
package, which wants POT and torchdyn.
"""

import argparse
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import nn

from benchmarks.peers.networks import PAPERS, PIXELS, Call, torchcfms
from benchmarks.timing import seconds, take_torchs_settings
from reflowbench.networks import registry
from reflowbench.runtime.device import autocast, device


def ours(**changes: bool) -> tuple[nn.Module, Call]:
    """Ours."""
    network = registry.build(PAPERS.model_copy(update=changes), PIXELS, 0)
    return network, lambda x, t: network(x.flatten(1), t).reshape_as(x)


def torchcfm() -> tuple[nn.Module, Call]:
    """The network of torchcfm's CIFAR-10 example, which is that of guided-diffusion."""
    found = importlib.util.find_spec("torchcfm")
    if found is None:
        raise ModuleNotFoundError("torchcfm")
    package = types.ModuleType("torchcfm")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules["torchcfm"] = package
    network = torchcfms()
    return network, lambda x, t: network(t, x)


def diffusers() -> tuple[nn.Module, Call]:
    """UNet2DModel of diffusers, with the same levels."""
    network = importlib.import_module("diffusers.models.unets.unet_2d").UNet2DModel(
        sample_size=32, in_channels=3, out_channels=3, block_out_channels=(128, 256, 256, 256), layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=64, dropout=0.1,
    )  # fmt: skip
    return network, lambda x, t: network(x, t).sample


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Call]]] = {
    "ours": ours,
    "ours, channels last": lambda: ours(channels_last=True),
    "ours, compiled": lambda: ours(compile=True),
    "torchcfm": torchcfm,
    "diffusers": diffusers,
}


def made(compiled: bool) -> dict[str, tuple[nn.Module, Call]]:
    """The networks that are installed, on the device."""
    found = {}
    for name, make in NETWORKS.items():
        if name == "ours, compiled" and not compiled:
            continue
        try:
            network, call = make()
        except ImportError as error:
            print(f"{name}: not here ({error})", file=sys.stderr)
        else:
            found[name] = network.to(device()), call
    return found


def main(args: argparse.Namespace) -> None:
    """Print a row for each network and precision."""
    if args.peers:
        sys.path.append(str(args.peers))
    networks, where = made(args.compile), device()
    if args.torch_defaults:
        take_torchs_settings()
        torch.backends.cudnn.benchmark = True
    x, t = torch.randn(args.batch, *PIXELS, device=where), torch.rand(args.batch, device=where)
    taken: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for turn in range(args.turns + 1):  # the first is not counted
        for precision in args.precisions:
            for name, (network, call) in networks.items():

                def step(network: nn.Module = network, call: Call = call, precision: str = precision) -> None:
                    network.train().zero_grad()
                    with autocast(where, precision):
                        loss = (call(x, t) - x).square().mean()
                    loss.backward()

                def sample(network: nn.Module = network, call: Call = call, precision: str = precision) -> None:
                    network.eval()
                    with torch.inference_mode(), autocast(where, precision):
                        call(x, t)

                times = seconds(step), seconds(sample)
                if turn:
                    for values, value in zip(taken.setdefault((name, precision), ([], [])), times, strict=True):
                        values.append(value / args.batch)
    found = []
    print("| network | parameters | precision | training step, s per image | its / ours | sampling | its / ours |")
    print("| --- | --: | --- | --: | --: | --: | --: |")
    for (name, precision), (steps, samples) in taken.items():
        parameters = sum(weight.numel() for weight in networks[name][0].parameters())
        ratios = [
            median(its) / median(ours) for ours, its in zip(taken["ours", precision], (steps, samples), strict=True)
        ]
        print(f"| {name} | {parameters:,} | {precision} | {median(steps):.4g} | {ratios[0]:.2f} "
              f"| {median(samples):.4g} | {ratios[1]:.2f} |")  # fmt: skip
        found.append(
            {"network": name, "precision": precision, "parameters": parameters, "training": steps, "sampling": samples}
        )
    if args.out:
        about = {
            "batch": args.batch,
            "threads": torch.get_num_threads(),
            "device": where.type,
            "torch": torch.__version__,
        }
        args.out.write_text(json.dumps(about | {"seconds_per_image": found}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with the other libraries, if they are not installed")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--compile", action="store_true", help="ours by torch.compile too; minutes on a CPU")
    parser.add_argument(
        "--torch-defaults", action="store_true", help="on a GPU: any kernels, in whatever order they sum"
    )
    parser.add_argument("--out", type=Path, help="JSON file for all times")
    main(parser.parse_args())
