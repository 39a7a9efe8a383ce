"""What was tried for speed: each lever against the same without it, in turn, those that did not pay too."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional

from benchmarks.peers.networks import PAPERS, PIXELS, digits, fresh, papers, params, trainer_of
from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.core.randomness import noise
from reflowbench.networks import registry
from reflowbench.networks.unet import Attention

LOCK = Path(__file__).parent.parent / "dvc.lock"
BATCH = 16

Work = Callable[[], object]


class _Loader(yaml.CSafeLoader):
    """libyaml's."""


def rows(turns: int) -> Iterator[Comparison]:
    """A row for each; the ratio is the time without the lever over that with it."""
    for what, (lever, without) in _levers().items():
        try:
            taken = in_turn({"without": without, "lever": lever}, turns)
        except RuntimeError as error:  # such as no compiler
            print(f"left out: {what}: {error}", file=sys.stderr)
            continue
        name, _, other = what.partition(" | ")
        yield Comparison(name, other, taken["lever"], taken["without"])


def _levers() -> dict[str, tuple[Work, Work]]:
    python = partial(subprocess.run, check=True, stderr=subprocess.DEVNULL)
    start, plain = "import gc; gc.disable(); import torch, atexit; atexit.register(gc.freeze)", "import torch"
    hole = "import sys, types; sys.modules['torch._meta_registrations'] = types.ModuleType('none'); import torch"
    unet, last = papers().eval(), _variant(channels_last=True)
    half = partial(torch.autocast, "cpu", torch.bfloat16)
    mlp, x = fresh(0).eval(), torch.randn(1024, 64)
    (data, _), base = digits(), params().base
    step = trainer_of(fresh(0), data, base, 0)[1]
    return {
        "no garbage collection of imports | a plain process": (
            lambda: python([sys.executable, "-c", start]),
            lambda: python([sys.executable, "-c", plain]),
        ),
        "importing torch without its meta kernels (a hole in `sys.modules`) | with them": (
            lambda: python([sys.executable, "-c", hole]),
            lambda: python([sys.executable, "-c", plain]),
        ),
        "noise with its angle in single precision, in place | in double precision": (
            lambda: noise(0, "x", 0, range(128), 3072),
            partial(_noise, 128, 3072),
        ),
        "attention on contiguous heads, bf16 | on heads as the convolution leaves them": (
            lambda: _pass(unet, half),
            lambda: _scattered(unet, half),
        ),
        "channels last, float32 | channels first": (lambda: _pass(last), lambda: _pass(unet)),
        "channels last, bf16 | channels first": (lambda: _pass(last, half), lambda: _pass(unet, half)),
        "the whole U-Net in bf16 | autocast": (
            partial(_pass, copy.deepcopy(unet).bfloat16(), None, torch.bfloat16),
            lambda: _pass(unet, half),
        ),
        "U-Net compiled, bf16 | not compiled": (
            partial(_pass, _variant(compile=True), half),
            lambda: _pass(unet, half),
        ),
        "sampling 1024 rows of the default network 128 at a time | 256": (
            partial(_rows, mlp, x, 128),
            partial(_rows, mlp, x, 256),
        ),
        "the same, all at once | 256": (partial(_rows, mlp, x, 1024), partial(_rows, mlp, x, 256)),
        "the same, all at once, one thread | 256": (
            partial(_threads, 1, partial(_rows, mlp, x, 1024)),
            partial(_threads, 1, partial(_rows, mlp, x, 256)),
        ),
        "float32 products in bf16 by oneDNN (`fp32_precision`) | in float32": (
            partial(_onednn, mlp, x),
            partial(_rows, mlp, x, 256),
        ),
        "its matrix products alone, bf16: nothing can take less | the default network, float32": (
            partial(_products, mlp, torch.bfloat16),
            partial(_rows, mlp, x, 256),
        ),
        "two threads in a training step of the default network | one": (
            partial(_threads, 2, partial(step, 20)),
            partial(_threads, 1, partial(step, 20)),
        ),
        "reading and writing dvc.lock by libyaml | by ruamel.yaml, as DVC does after every stage": (_libyaml, _ruamel),
    }


def _variant(**changes: bool) -> nn.Module:
    network = registry.build(PAPERS.model_copy(update=changes), PIXELS, 0)
    network.load_state_dict(papers().state_dict())
    return network.eval()


def _pass(network: nn.Module, context: Callable[[], object] | None = None, kind: torch.dtype = torch.float32) -> None:
    x, t = torch.zeros(BATCH, math.prod(PIXELS), dtype=kind), torch.full((1,), 0.5, dtype=kind)
    with torch.no_grad():
        if context is None:
            network(x, t)
        else:
            with context():
                network(x, t)


def _scattered(network: nn.Module, context: Callable[[], object]) -> None:
    """With the attention as it was."""

    def forward(self: Attention, x: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        split = self.project(self.norm(x)).reshape(n, 3, self._heads, channels // self._heads, height * width)
        seen = functional.scaled_dot_product_attention(*split.transpose(3, 4).unbind(dim=1))
        total: torch.Tensor = x + self.output(seen.transpose(2, 3).reshape(n, channels, height, width))
        return total

    kept, Attention.forward = Attention.forward, forward
    try:
        _pass(network, context)
    finally:
        Attention.forward = kept


def _noise(n: int, dim: int) -> None:
    """Box-Muller in double precision, on a counter as ours."""
    words = np.random.Philox(key=np.zeros(2, dtype=np.uint64)).random_raw(n * dim).reshape(n, dim)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:, : dim // 2])), 2.0 * np.pi * uniform[:, dim // 2 :]
    np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def _rows(network: nn.Module, x: torch.Tensor, at_a_time: int) -> None:
    t = torch.full((1,), 0.5)
    with torch.inference_mode():
        for _ in range(20):
            for part in x.split(at_a_time):
                network(part, t)


def _products(network: nn.Module, kind: torch.dtype) -> None:
    """Those of `_rows`, on zeros; without those of the time, which is one for all rows."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    weights = [layer.weight.detach().to(kind) for name, layer in layers.items() if not name.endswith("time")]
    with torch.inference_mode():
        for weight in weights:
            x = torch.zeros(256, weight.shape[1], dtype=kind)
            for _ in range(20 * 1024 // 256):
                functional.linear(x, weight)


def _onednn(network: nn.Module, x: torch.Tensor) -> None:
    settings = torch.backends.mkldnn.matmul
    before, settings.fp32_precision = settings.fp32_precision, "bf16"
    try:
        _rows(network, x, 256)
    finally:
        settings.fp32_precision = before


def _threads(count: int, work: Work) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    work()
    torch.set_num_threads(before)


def _ruamel() -> None:
    from dvc.utils.serialize import modify_yaml

    _lock().write_text(LOCK.read_text())
    with modify_yaml(str(_lock())):
        pass


def _libyaml() -> None:
    values = yaml.load(LOCK.read_text(), Loader=_Loader)
    _lock().write_text(yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False))


def _lock() -> Path:
    from reflowbench.runtime.artifacts import SCRATCH

    SCRATCH.mkdir(exist_ok=True)
    return SCRATCH / "lock-of-a-benchmark.yaml"
