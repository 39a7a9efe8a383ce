"""Typed parameters: one class per group of params.yaml. A method's own parameters stand in its coupling's file."""

from reflowbench.runtime.params.data import (
    SOURCES_TO_DOWNLOAD,
    SOURCES_WITHOUT_PATH,
    DataParams,
    LatentsParams,
)
from reflowbench.runtime.params.group import (
    FileName,
    Fraction,
    Group,
    Name,
    PositiveInt,
    ProfileName,
    Sha256,
    Storage,
    check_whole_steps,
    distinct,
)
from reflowbench.runtime.params.measures import EvaluateParams, FeaturesParams, InceptionParams
from reflowbench.runtime.params.network import ConvParams, MLPParams, Network, NetworkParams, UNetParams
from reflowbench.runtime.params.pipeline import Chain, GridParams, Params
from reflowbench.runtime.params.training import (
    BaseParams,
    GuardParams,
    MonitorParams,
    OptimParams,
    PairsParams,
    PotentialParams,
    RoundParams,
)

__all__ = [
    "SOURCES_TO_DOWNLOAD",
    "SOURCES_WITHOUT_PATH",
    "BaseParams",
    "Chain",
    "ConvParams",
    "DataParams",
    "EvaluateParams",
    "FeaturesParams",
    "FileName",
    "Fraction",
    "GridParams",
    "Group",
    "GuardParams",
    "InceptionParams",
    "LatentsParams",
    "MLPParams",
    "MonitorParams",
    "Name",
    "Network",
    "NetworkParams",
    "OptimParams",
    "PairsParams",
    "Params",
    "PositiveInt",
    "PotentialParams",
    "ProfileName",
    "RoundParams",
    "Sha256",
    "Storage",
    "UNetParams",
    "check_whole_steps",
    "distinct",
]
