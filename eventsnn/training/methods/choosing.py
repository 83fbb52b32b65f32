"""Which method trains a network: exact gradients, or surrogate gradients on a grid."""

from typing import cast

from ...checks import check_given
from ...engines.base import Engine, get
from ...errors import Unsupported
from ...network.base import BaseNetwork
from ...network.network import Network
from ...surrogate.network import GridNetwork
from ..identity import ENGINE, engine_name
from .base import Method
from .exact import ExactMethod
from .grid import GridMethod


def check_network(network: object, begins: str) -> None:
    """Refuse what is no network; ``begins``: the first arguments, in their order."""
    check_given(network, "network", BaseNetwork, begins, allowed="a Network or a GridNetwork")


def method_of(network: BaseNetwork, engine: str | Engine = "compiled") -> Method:
    """Return the Method that trains a Network, on that engine, or a GridNetwork, which has none to choose."""
    if network.method == "surrogate":
        if engine_name(engine) != ENGINE:
            raise Unsupported("engine", None, engine, '"compiled": a GridNetwork has no other')
        return GridMethod(cast(GridNetwork, network))
    get(engine)  # which refuses what is none
    return ExactMethod(cast(Network, network), engine)
