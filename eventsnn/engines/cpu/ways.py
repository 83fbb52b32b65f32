"""Which way arrivals with a delay per synapse take to their targets, and the blocks of windows that some ways need.

The choice follows from the network and its parameters alone, so that the results for a sample depend on nothing else
(docs/engine.md).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...aliases import Array, Floats, Milliseconds
from ...kernels.blocks import FIXED_BITS, NO_BLOCKS, Shape
from ...kernels.state import Net, Way
from ...network.parts import Connection
from ..problem import Run
from .skeleton import Skeleton, has_own_delays

# The ways that may be chosen; a connection that none of them suits takes the queue.
ALLOWED = frozenset({Way.COLUMNS, Way.RING})
# A walk looks through all spikes within the longest delay of a connection: it may be so many windows long.
MOST_REACH = 256
# A synapse is taken to bring an arrival every so many ms. With fewer arrivals than this at a neuron in a window it
# costs more to write down what each window brings than to hand over each arrival.
ARRIVAL_TIME, LEAST_ARRIVALS = 40.0, 2.0
# Numbers in a ring, which should stay in a cache.
MOST_IN_RING = 2**20
# The sums and adjoints of a block should stay below so many bytes, of so many for each neuron and window; but a block
# is not worth its while in fewer windows than the one, and not longer than the other.
BLOCK_BYTES, BYTES_A_WINDOW, LEAST_BLOCK, MOST_BLOCK = 2**23, 40, 64, 2048
# Parts of the longest delay that modes allow (`Laying.modal_until`) that a delay and a block may take: factors of
# spikes and of synapses are multiplied, and must not overflow.
DELAY_PART, BLOCK_PART = 0.25, 0.5
# The backward pass takes a network without cycles layer by layer where the whole trial is no longer than this part.
LAYERED_PART = 0.2


class Ways(NamedTuple):
    """The way of each connection, by name, and the sizes of blocks."""

    ways: dict[str, Way]
    block: int
    reach: int


def choose_ways(
    skeleton: Skeleton, h: Milliseconds, run: Run, spans: Mapping[str, tuple[Milliseconds, Milliseconds]],
    until: Mapping[str, Milliseconds],
) -> Ways:  # fmt: skip
    """Choose; ``spans``: (shortest, longest) delay by connection, ``until``: the longest one that modes allow, by
    population, below 0 for one whose arrivals are not summed by modes.
    """
    longest = {name: min(span[1], run.duration) for name, span in spans.items()}
    ways = {c.name: _way(c, h, longest, until) for c in skeleton.connections}
    known = [c for c in skeleton.connections if ways[c.name] != Way.QUEUE]
    if not known:
        return Ways(ways, 0, 0)
    reach = _reach(max(longest[c.name] for c in known), h)
    n_neurons = sum(p.n for p in skeleton.neurons if any(c.post == p.name for c in known))
    by_exponentials = BLOCK_PART * min(until[c.post] for c in known) / h
    by_memory = max(BLOCK_BYTES / (BYTES_A_WINDOW * n_neurons), LEAST_BLOCK)
    most = 2 ** math.floor(math.log2(min(by_exponentials, by_memory, MOST_BLOCK)))
    return Ways(ways, max(min(most, _power_above(run.duration / h)), reach), reach)


def is_layered(skeleton: Skeleton, run: Run, ways: Mapping[str, Way], until: Mapping[str, Milliseconds]) -> bool:
    """Return whether the backward pass goes layer by layer; ``until``: as of `choose_ways`.

    There must be no cycle, and modes at all that fires; columns are faster where there are any, and a maximum would be
    one more jump.
    """
    if not skeleton.is_acyclic or Way.COLUMNS in ways.values() or any(p.maximum for p in run.probes.values()):
        return False
    firing = {p.name for p in skeleton.neurons if p.fires}
    if any(c.post in firing and not has_own_delays(c) for c in skeleton.connections):
        return False
    return all(run.duration <= LAYERED_PART * until[name] for name in firing)


def _way(c: Connection, h: Milliseconds, longest: Mapping[str, Milliseconds], until: Mapping[str, Milliseconds]) -> Way:
    if c.indptr is not None or not has_own_delays(c) or not c.n_synapses:
        return Way.QUEUE
    if longest[c.name] > DELAY_PART * until[c.post] or _reach(longest[c.name], h) > MOST_REACH:
        return Way.QUEUE
    way = Way.RING if c.pre in until else Way.COLUMNS
    if way == Way.COLUMNS and c.n_pre * h < LEAST_ARRIVALS * ARRIVAL_TIME:
        return Way.QUEUE
    if way == Way.RING and 4 * c.n_post * _reach(longest[c.name], h) > MOST_IN_RING:
        return Way.QUEUE
    return way if way in ALLOWED else Way.QUEUE


def _reach(longest: Milliseconds, h: Milliseconds) -> int:
    """The power of two of windows within which everything arrives that has at most this delay."""
    return _power_above(math.floor(min(longest / h, 2.0**30)) + 2.0)


def _power_above(value: float) -> int:
    """The smallest power of two >= value, and >= 1."""
    return int(2.0 ** max(0, math.ceil(math.log2(value))))


def shape_of(net: Net) -> Shape:
    """The sizes of the buffers for blocks."""
    if net.block == 0:
        return NO_BLOCKS
    columns = net.conns[net.conns["way"] == Way.COLUMNS]
    n_channels = int((columns["n_pre"] + 1).sum())
    return Shape(net.block, net.reach, net.n_octets, net.n_trains, net.conns.size, n_channels)


def fixed_delays(delay: Floats, h: Milliseconds) -> Array:
    """Delays in fixed point, rounded down."""
    return (delay * (2.0**FIXED_BITS / h)).astype(np.int64)
