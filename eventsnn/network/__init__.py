"""Networks: populations, connections, how their parameters are drawn and checked."""

from .. import renamed
from .initializers import Constant, Given, HalfNormal, Initializer, Kaiming, Normal, Orthogonal, Uniform
from .network import Network
from .parts import Connection, Population

__all__ = [
    "Connection",
    "Constant",
    "Given",
    "HalfNormal",
    "Initializer",
    "Kaiming",
    "Network",
    "Normal",
    "Orthogonal",
    "Population",
    "Uniform",
]


def __getattr__(name: str) -> object:
    return renamed.find("network", name)
