"""Blocks of windows: what is known of their spikes beforehand, and the buffers for it.

In a block, times and delays are whole numbers, 2^-FIXED_BITS of a window from its first one on: sums of them are exact,
and the window of an arrival is a shift. That of both passes is the same, and a spike is heard in one window only.
"""

import math
from typing import NamedTuple

import numpy as np

from .compile import inlined

FIXED_BITS = 50
# Spikes of one channel that are taken together, and neurons whose sums stand side by side.
GROUP, OCTET = 4, 8
# Of a channel that has fewer spikes than this in a block, on average, they are taken one by one.
FEW_SPIKES = 2
# A spike on its way: its number of units (real, as counts are), and when it was fired, in fixed point.
SENT = np.dtype([("time", np.float64), ("count", np.float64), ("fixed", np.int64)])
# The spikes of a population that may still arrive stand from ``first`` to ``last``; those up to ``next`` were fired by
# the end of the window at hand.
TRAIN = np.dtype([(name, np.int64) for name in ("first", "next", "last")])
# The groups of a connection: ``first`` to ``stop``, with ``size`` spikes in each.
GROUPED = np.dtype([(name, np.int64) for name in ("first", "stop", "size")])


class Shape(NamedTuple):
    """Sizes of the buffers for blocks; all are 0 where every connection has Way.QUEUE."""

    block: int
    reach: int
    n_octets: int
    n_trains: int
    n_conns: int
    n_channels: int  # presynaptic neurons of all connections in COLUMNS, and one more for each of these

    @property
    def lines(self):
        """Windows of a block and of its overhang, and as many more as keep neurons apart in the cache.

        Neurons that are a power of two apart would all fall into the same lines.
        """
        lines = self.block + self.reach
        return lines + (4 if lines and lines % 8 == 0 else 0)


NO_BLOCKS = Shape(0, 0, 0, 0, 0, 0)


class Trains(NamedTuple):
    """The spikes that walks look for arrivals among: one row for each population whose connections need it."""

    near: np.ndarray  # (n_trains, capacity) when they were fired, as in `state.Net.near`; it wraps
    unit: np.ndarray  # (n_trains, capacity) the neuron in its population
    sent: np.ndarray  # (n_trains, capacity) SENT
    ends: np.ndarray  # (n_trains,) TRAIN


class Groups(NamedTuple):
    """The input spikes of a block by channel, for each connection in COLUMNS.

    Room in a group of four is filled with the channel's last spike, which then weighs nothing.
    """

    of: np.ndarray  # (n_conns,) GROUPED
    filled: np.ndarray  # (n_channels,) scratch: where the next spike of a channel goes
    channel: np.ndarray  # (n_groups,)
    fixed: np.ndarray  # (4 n_groups,) when they were fired
    factor: np.ndarray  # (8 n_groups,) count e^{t/tau_mem}, count e^{t/tau_syn}, t from the block's start
    spike: np.ndarray  # (4 n_groups,) the number of the spike in its sample, or -1 for one that weighs nothing


def make_trains(shape, capacity):
    """Room for ``capacity`` spikes of each population."""
    size = (shape.n_trains, capacity)
    return Trains(np.zeros(size, np.uint16), np.zeros(size, np.uint32), np.zeros(size, SENT), np.zeros(size[0], TRAIN))


def make_groups(shape, capacity):
    """Room for ``capacity`` groups."""
    n = capacity if shape.n_channels else 0
    return Groups(
        np.zeros(shape.n_conns, GROUPED), np.zeros(shape.n_channels, np.int64), np.zeros(n, np.uint32),
        np.zeros(GROUP * n, np.int64), np.zeros(2 * GROUP * n), np.zeros(GROUP * n, np.int64),
    )  # fmt: skip


@inlined
def first_of_block(net, window):
    """The first window of the block of a window."""
    return window & -net.block


@inlined
def fixed_time(net, time, first):
    """A time (ms) in fixed point, from the start of window ``first`` on, rounded down."""
    at = time * net.per_ms
    window = math.floor(at)
    # exact: a power of two, and the fraction of a number
    return ((np.int64(window) - first) << FIXED_BITS) + np.int64((at - window) * 2.0**FIXED_BITS)


@inlined
def near_of(net, fixed):
    """A time in fixed point in the units of ``net.near``, rounded down."""
    return np.uint16((fixed >> (FIXED_BITS - net.near_bits)) & 0xFFFF)
