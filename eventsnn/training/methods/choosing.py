"""Which method trains a network: exact gradients, or surrogate gradients on a grid."""

from ...engines.base import Engine
from ...errors import InvalidInput
from ...network.network import Network
from ...surrogate.network import GridNetwork
from .base import Method
from .exact import ExactMethod
from .grid import GridMethod


def method_of(network: Network | GridNetwork, engine: str | Engine = "compiled") -> Method:
    """Return the Method that trains a Network, on that engine, or a GridNetwork, which has none to choose."""
    if isinstance(network, GridNetwork):
        if engine != "compiled":
            raise InvalidInput("engine", None, engine, '"compiled": a GridNetwork has no other')
        return GridMethod(network)
    return ExactMethod(network, engine)
