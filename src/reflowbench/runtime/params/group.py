"""What all groups of parameters share: names, numbers, and the strictness of their base class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reflowbench.core.schemes import NFE_PER_STEP, FixedSolver

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
"""Becomes part of paths, names of stages and command lines."""
ProfileName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)]
FileName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]
Storage = Literal["float32", "float16"]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Group(BaseModel):
    """Base of all parameter groups: unknown keys and silent type changes are errors.

    A whole number is accepted where a float is meant; YAML writers drop the trailing `.0`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def distinct(name: str, values: list[Any]) -> None:
    """Refuse a list with a duplicate.

    Raises:
        ValueError: If it has one.
    """
    if any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"{name} has a duplicate")


def check_whole_steps(nfe: list[int], solver: FixedSolver) -> None:
    """Refuse NFE that are not distinct multiples of what one step of the solver takes.

    Raises:
        ValueError: If they are not.
    """
    per_step = NFE_PER_STEP[solver]
    if any(n % per_step for n in nfe) or len(set(nfe)) != len(nfe):
        raise ValueError(f"nfe {nfe}: want distinct multiples of {per_step} for solver {solver}")
