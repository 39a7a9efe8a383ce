"""Typed parameters: one class per group of params.yaml, and the only place that reads that file.

Every stage loads exactly the groups that dvc.yaml declares for it (`load_group`), so that a
parameter that is read is also a parameter that DVC watches; `tests/test_dag.py` compares the two.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reflowbench.core.errors import ReflowbenchError

PARAMS_FILE = Path("params.yaml")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Method = Literal["reflow", "rca", "ocar"]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
FixedSolver = Literal["euler", "heun", "rk4"]


class Group(BaseModel):
    """Base of all parameter groups: unknown keys and silent type changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _integers_are_floats_too(cls, value: Any, info: Any) -> Any:
        """Accept `1` where a float is meant; YAML writers drop the trailing `.0`."""
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value


GroupT = TypeVar("GroupT", bound=Group)


class DataParams(Group):
    """Where the real images come from."""

    source: Literal["digits"]
    n_train: PositiveInt | None = Field(description="use only the first n images (null: all)")
    dequantize: bool = Field(description="spread each pixel uniformly over its grey level")


class FeaturesParams(Group):
    """The digit classifier whose penultimate layer is the feature space of the quality metrics."""

    dim: PositiveInt
    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    seed: Annotated[int, Field(ge=0)]


class NetworkParams(Group):
    """The velocity network."""

    name: Literal["mlp"]
    hidden: PositiveInt
    blocks: PositiveInt
    time_features: Annotated[int, Field(ge=2, multiple_of=2)]


class OptimParams(Group):
    """One run of the training loop. Lengths and periods are in optimizer steps."""

    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    warmup: Annotated[int, Field(ge=0)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(gt=0)]
    loss: Literal["mse", "pseudo_huber"]


class BaseParams(OptimParams):
    """Training of the base model (round 0)."""


class RoundParams(OptimParams):
    """Training of one round, the same for every method: equal budgets by construction."""


class PairsParams(Group):
    """Synthetic and inverted pairs: how many, and the fixed-step solver that makes them."""

    n: PositiveInt = Field(description="synthetic pairs per round")
    solver: FixedSolver
    steps: PositiveInt


class ReflowParams(Group):
    """`reflow` has no parameter of its own: synthetic pairs of the last round only."""


class RcaParams(Group):
    """Reverse collapse-avoiding Reflow (arXiv 2412.08175, section 4)."""

    real_fraction: Fraction = Field(description="lambda: share of inverted real pairs in a batch")
    regenerate_every: Annotated[int, Field(ge=0)] = Field(description="alpha, in steps; 0: never")
    source: Literal["round_start", "raw", "ema"] = Field(description="network of the regeneration")


class OcarParams(Group):
    """Online collapse-avoiding Reflow (arXiv 2412.08175, section 4)."""

    real_fraction: Fraction
    source: Literal["raw", "ema"] = Field(description="network that makes the online pairs")
    solver: FixedSolver
    steps: PositiveInt = Field(description="solver steps of the online pairs")
    replay: PositiveInt = Field(description="times each pair is used; 1: fresh pairs at each step")


class MethodsParams(Group):
    """One block per method, under the method's name."""

    reflow: ReflowParams
    rca: RcaParams
    ocar: OcarParams


class EvaluateParams(Group):
    """What every model is measured with."""

    n_samples: Annotated[int, Field(ge=2)]
    solver: FixedSolver
    nfe: Annotated[list[PositiveInt], Field(min_length=1)]
    adaptive_tolerance: Annotated[float, Field(gt=0)]
    floor_repeats: Annotated[int, Field(ge=2)]
    grid_images: PositiveInt

    @model_validator(mode="after")
    def _whole_steps(self) -> EvaluateParams:
        per_step = {"euler": 1, "heun": 2, "rk4": 4}[self.solver]
        bad = [n for n in self.nfe if n % per_step]
        if bad or len(set(self.nfe)) != len(self.nfe):
            raise ValueError(f"nfe {self.nfe}: want distinct multiples of {per_step} for solver {self.solver}")
        return self


METHOD_STAGES: dict[str, tuple[str, ...]] = {
    "reflow": ("generate_pairs", "reflow"),
    "rca": ("generate_pairs", "rca_regenerate", "rca"),
    "ocar": ("ocar",),
}
"""Stage groups of dvc.yaml that each method passes through in a round."""


def stages_of(methods: list[str]) -> dict[str, list[str]]:
    """Invert METHOD_STAGES for the methods of a grid: DVC's matrix cannot filter, so params.yaml lists them."""
    groups = dict.fromkeys(group for groups in METHOD_STAGES.values() for group in groups)
    return {group: [m for m in methods if group in METHOD_STAGES.get(m, ())] for group in groups}


class Round(Group):
    """One round of the chain and the round it starts from."""

    k: PositiveInt
    prev: Annotated[int, Field(ge=0)]


class GridParams(Group):
    """The cells of the benchmark. dvc.yaml iterates over these lists."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    methods: Annotated[list[Method], Field(min_length=1)]
    stages: dict[str, list[Method]] = Field(description="methods by stage group; follows from methods")
    rounds: Annotated[list[Round], Field(min_length=1)]
    ks: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

    @field_validator("rounds", mode="before")
    @classmethod
    def _a_list_of_rounds(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError("want a list like [{k: 1, prev: 0}, {k: 2, prev: 1}], not a mapping")
        return value

    @model_validator(mode="after")
    def _chained(self) -> GridParams:
        for name in ("seeds", "methods"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} has a duplicate")
        if self.stages != stages_of(list(self.methods)):
            raise ValueError(f"stages must be {stages_of(list(self.methods))} for methods {self.methods}")
        for i, r in enumerate(self.rounds):
            if (r.k, r.prev) != (i + 1, i):
                raise ValueError(f"rounds[{i}] must be {{k: {i + 1}, prev: {i}}}: each round starts from the last")
        if self.ks != [0, *(r.k for r in self.rounds)]:
            raise ValueError(f"ks must be {[0, *(r.k for r in self.rounds)]}: round 0 and every round")
        return self


class Params(Group):
    """The whole of params.yaml."""

    profile: Name
    grid: GridParams
    data: DataParams
    features: FeaturesParams
    network: NetworkParams
    base: BaseParams
    round: RoundParams
    pairs: PairsParams
    methods: MethodsParams
    evaluate: EvaluateParams


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats: PyYAML reads `1e-05`, as DVC writes it, as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with YAML 1.2 floats.

    Args:
        path: The file.

    Returns:
        The mapping.

    Raises:
        ReflowbenchError: If the file is missing, is not YAML, or is not a mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `reflowbench profile digits` writes params.yaml") from None
    except yaml.YAMLError as error:
        raise ReflowbenchError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict):
        raise ReflowbenchError(f"{path}: want a mapping of parameter groups")
    return value


def validate(values: dict[str, Any], source: str = str(PARAMS_FILE)) -> Params:
    """Check a whole parameter tree.

    Args:
        values: The parsed file.
        source: Its name, for error messages.

    Returns:
        The typed parameters.

    Raises:
        ReflowbenchError: One line per fault, each with its path, its value and what is allowed.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
        raise ReflowbenchError("\n".join(f"{source}: {fault}" for fault in faults)) from None


def _describe(fault: Any) -> str:
    """Say one pydantic fault as `path = value: what is allowed`."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        parent: Any = Params
        for part in fault["loc"][:-1]:  # a number is the place in a list of groups
            parent = get_args(parent)[0] if isinstance(part, int) else parent.model_fields[part].annotation
        return f"{path}: unknown parameter; allowed here: {', '.join(sorted(parent.model_fields))}"
    if fault["type"] == "missing":
        return f"{path}: missing; `reflowbench profile NAME` writes a complete params.yaml"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{path} = {fault['input']!r}: {message[:1].lower()}{message[1:]}"


@cache
def _load(path: Path) -> Params:
    return validate(read_yaml(path), str(path))


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of params.yaml."""
    return _load(path)


def load_profile(path: Path = PARAMS_FILE) -> str:
    """Name of the profile that params.yaml was made from; it labels results and selects nothing."""
    return load_params(path).profile


def load_group(kind: type[GroupT], path: Path = PARAMS_FILE) -> GroupT:
    """Read one group; the whole file is checked, so that a typo anywhere stops the first stage.

    Args:
        kind: The group's class, such as `PairsParams`.
        path: The parameter file.

    Returns:
        The group.

    Raises:
        ReflowbenchError: If the file is missing or any parameter in it is wrong.
    """
    params = load_params(path)
    return next(group for group in (*_groups(params), *_groups(params.methods)) if type(group) is kind)


def _groups(node: Group) -> list[Any]:
    return [getattr(node, name) for name in type(node).model_fields]


def group_path(kind: type[Group]) -> str:
    """Give the dotted path of a group in params.yaml, as dvc.yaml declares it (`methods.rca`)."""
    for prefix, parent in (("", Params), ("methods.", MethodsParams)):
        for name, field in parent.model_fields.items():
            if field.annotation is kind:
                return prefix + name
    raise KeyError(kind)
