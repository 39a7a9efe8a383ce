"""A pass of the paper's U-Net on a GPU, without gradients, in several ways one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from statistics import median

import torch
from torch import nn

from benchmarks.gpu.peers import as_torch_comes
from benchmarks.peers.networks import PIXELS, papers, torchcfms
from benchmarks.peers.turns import Settings
from benchmarks.timing import seconds
from reflowbench.networks.base import ImageNetwork
from reflowbench.runtime.device import device

Way = tuple[nn.Module, torch.dtype, Settings, Settings]
"""The network, the type of its images, the context of its products, and the settings of torch."""


def rows(turns: int, images: int = 512, passes: int = 4) -> Iterator[dict[str, object]]:
    """Median seconds of a pass, and how far its result is from ours in float32."""
    where, exact = device(), None
    x, t = torch.randn(images, *PIXELS, device=where), torch.full((1,), 0.5, device=where)
    for what, (network, type_, context, settings) in _ways(where).items():
        work = partial(_passes, network, x.to(type_), t, context, passes)
        with settings():
            made = work().float().flatten(1)
            taken = median(seconds(work) / passes for _ in range(turns))
        exact = made if exact is None else exact
        ours = isinstance(network, ImageNetwork)
        difference = ((made - exact).norm() / exact.norm()).item() if ours else None
        yield {"what": what, "seconds": taken, "images": images, "difference": difference}


def _passes(network: nn.Module, x: torch.Tensor, t: torch.Tensor, context: Settings, passes: int) -> torch.Tensor:
    ours = isinstance(network, ImageNetwork)
    with torch.inference_mode(), context():
        for _ in range(passes):
            value: torch.Tensor = network(x.flatten(1), t) if ours else network(t[0], x)
    return value


def _ways(where: torch.device) -> dict[str, Way]:
    plain, last = papers().to(where).eval(), papers(channels_last=True).to(where).eval()
    last.load_state_dict(plain.state_dict())
    whole, compiled, peer = papers().bfloat16(), papers(compile=True), torchcfms()
    whole.get_submodule("embed").register_forward_pre_hook(lambda _, given: (given[0].bfloat16(),))
    for network in (whole, compiled, peer):
        network.to(where).eval()
    full, half = torch.float32, torch.bfloat16
    tf32 = partial(torch.backends.cudnn.flags, enabled=True, allow_tf32=True)
    bf16, fp16 = (partial(torch.autocast, where.type, type_) for type_ in (half, torch.float16))
    return {
        "float32": (plain, full, nullcontext, nullcontext),
        "float32, TF32 in convolutions": (plain, full, nullcontext, tf32),
        "bf16": (plain, full, bf16, nullcontext),
        "bf16, channels last": (last, full, bf16, nullcontext),
        "fp16": (plain, full, fp16, nullcontext),
        "all in bf16": (whole, half, nullcontext, nullcontext),
        "all in bf16, as torch comes": (whole, half, nullcontext, as_torch_comes),
        "bf16, compiled": (compiled, full, bf16, nullcontext),
        "torchcfm's as torch comes, TF32 in convolutions": (peer, full, nullcontext, as_torch_comes),
        "torchcfm's as torch comes, bf16": (peer, full, bf16, as_torch_comes),
    }
