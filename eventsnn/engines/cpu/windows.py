"""How long windows may be: the lookahead of a network, and an order of its populations that suits it.

The window length is the lookahead of a conservative discrete-event simulation: a connection with a delay of at least
one window cannot act in the window in which its spike is fired, and the others must form no cycle. So the lookahead is
the largest d such that the connections with a smallest delay below d form none (docs/engine.md).
"""

import math
from collections.abc import Mapping, Sequence

from ...aliases import Milliseconds
from ...errors import NetworkError
from ...network.graph import find_cycle
from ...network.network import Network
from ...network.parts import Population


def power_of_two_below(limit: float) -> float:
    """The largest power of two <= limit, exactly: a rounded logarithm could return the one above."""
    _, exponent = math.frexp(limit)
    return math.ldexp(1.0, exponent - 1)


def lookahead(network: Network, shortest: Mapping[str, Milliseconds]) -> Milliseconds:
    """The largest d such that connections with a smallest delay below d form no cycle (checked parameters: d > 0)."""
    edges = []
    for delay, name in sorted((delay, name) for name, delay in shortest.items() if delay < math.inf):
        edges.append((network.connections[name].pre, network.connections[name].post))
        if find_cycle(edges[-1:] + edges[:-1]):
            return delay
    return math.inf


def in_order(
    populations: Sequence[Population], network: Network, shortest: Mapping[str, Milliseconds], h: Milliseconds
) -> list[Population]:
    """The populations so that each connection with a smallest delay below h points forward."""
    edges = [(c.pre, c.post) for name, c in network.connections.items() if shortest[name] < h]
    ordered: list[Population] = []
    left = list(populations)
    names = {p.name for p in populations}
    while left:
        waiting = {post for pre, post in edges if pre in names}
        ready = [p for p in left if p.name not in waiting]
        if not ready:
            raise NetworkError(f"no order of {sorted(names)} suits windows of {h} ms")
        ordered += ready
        left = [p for p in left if p.name in waiting]
        names -= {p.name for p in ready}
    return ordered
