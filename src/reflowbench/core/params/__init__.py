"""Typed parameters: one class per group of params.yaml. A method's own parameters stand in its coupling's file."""

from reflowbench.core.params.data import SOURCES_TO_DOWNLOAD, SOURCES_WITHOUT_PATH, DataParams, LatentsParams, space_of
from reflowbench.core.params.group import (
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
from reflowbench.core.params.measures import EvaluateParams, FeaturesParams, InceptionParams
from reflowbench.core.params.network import ConvParams, MLPParams, Network, NetworkParams, UNetParams
from reflowbench.core.params.pipeline import Chain, GridParams, GridRound, Params
from reflowbench.core.params.training import (
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
    "GridRound",
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
    "space_of",
]
