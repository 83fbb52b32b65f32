"""Which method trains a network."""

from ...surrogate.network import GridNetwork
from .exact import EventEngine
from .grid import GridEngine


def engine_of(network):
    """Return the engine that runs a Network, or a GridNetwork."""
    return (GridEngine if isinstance(network, GridNetwork) else EventEngine)(network)
