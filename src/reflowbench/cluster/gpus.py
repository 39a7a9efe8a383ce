"""GPUs of this machine, divided between the tasks that run at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible() -> list[str]:
    """Names of the GPUs that stages may use, as CUDA_VISIBLE_DEVICES wants them."""
    from reflowbench.runtime import device

    if os.environ.get(device.VARIABLE, "auto") not in ("auto", "cuda"):  # the CPU, or one GPU for all
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return names[:count] if names else [str(index) for index in range(count)]


class Gpus:
    """Hands out groups of GPUs, the least used one first.

    Attributes:
        groups: How many there are; none where there are no GPUs, or fewer than a task needs.
    """

    def __init__(self, names: Sequence[str], each: int) -> None:
        """Make the groups.

        Args:
            names: Of the GPUs.
            each: GPUs of a task.
        """
        self._groups = [",".join(names[at : at + each]) for at in range(0, len(names) - each + 1, each)]
        self._taken: dict[str, int] = {}
        self.groups = len(self._groups)

    def take(self, task: str) -> dict[str, str]:
        """Variables of the environment of a task; empty where there is nothing to divide."""
        if not self._groups:
            return {}
        users = list(self._taken.values())
        self._taken[task] = min(range(self.groups), key=users.count)
        return {VISIBLE: self._groups[self._taken[task]]}

    def give_back(self, task: str) -> None:
        """Take back what a task had."""
        self._taken.pop(task, None)
