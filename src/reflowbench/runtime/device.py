"""Where networks are evaluated, and in what precision they compute.

The device comes from the environment and is no parameter, like the number of threads: results are the same bytes on
the same machine. What is drawn does not depend on it, since randomness stays by counter on the CPU.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from reflowbench.core.schemes import Precision
from reflowbench.errors import ReflowbenchError

VARIABLE = "REFLOWBENCH_DEVICE"
_TYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device() -> torch.device:
    """The device that REFLOWBENCH_DEVICE asks for: `auto` (default: a GPU if there is one), `cpu`, `cuda` or `cuda:1`.

    Asking for a GPU also makes torch choose the kernels there that give the same bytes in every run, where it has any.

    Returns:
        The device; with several processes on a machine, this one's.

    Raises:
        ReflowbenchError: If the variable is something else, or there is no such device.
    """
    value = os.environ.get(VARIABLE, "auto")
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value):
        raise ReflowbenchError(f"environment variable {VARIABLE} = {value!r}: want auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if value != "cpu" and torch.cuda.is_available() else 0
    if value == "cpu" or (value == "auto" and not count):
        return torch.device("cpu")
    here, beside = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    index = int(value.partition(":")[2] or here)
    if beside > 1 and (beside > count or ":" in value):
        raise ReflowbenchError(
            f"{beside} processes on this machine want a GPU each, and {VARIABLE} = {value!r} gives them "
            f"{1 if ':' in value else count}: start fewer processes, or choose auto, cuda or cpu"
        )
    if index >= count:
        raise ReflowbenchError(
            f"environment variable {VARIABLE} = {value!r}: torch finds {count} CUDA devices here; choose cpu, or "
            "install a torch for your GPU and its driver"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS sums in one order with this alone
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # float32 is what a precision of that name says
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling takes a tenth of a pass, and nobody reads what was not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # The gradients of these are summed in whatever order comes first, where torch only warns. See `attention`.
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device("cuda", index)


def attention(where: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Context in which attention on a GPU takes the fast kernels, unless gradients are wanted: those want an order."""
    if where.type == "cpu" or torch.is_grad_enabled():
        return contextlib.nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def autocast(where: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Context in which networks compute their matrix products and convolutions in a precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(where.type, _TYPES[precision])
