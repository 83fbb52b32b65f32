"""Where windows and jumps lie in the buffers of the backward pass."""

import numpy as np

from .adjoint_workspace import NO_SPIKE, Lambda
from .compile import inlined


@inlined
def window_end(net, window):
    """End (ms) of a window; the last one ends with the simulation."""
    return min((window + 1) * net.h, net.duration)


@inlined
def place_of(net, window):
    """Where in ``states`` a window begins."""
    return (window & (net.stretch - 1)) * net.neurons.size


@inlined
def cell_of(net, window, pop):
    """The number of the cell of a window and a population."""
    return (window & (net.stretch - 1)) * net.n_pops + pop


@inlined
def jump_after(net, adjoint, jumps, j, time, window):
    """The first jump of neuron j at or after ``time`` in ``window``, or NO_SPIKE; and its last jump before, likewise.

    An arrival at the instant of a spike acted before the spike, so it belongs to the state before the jump.
    """
    e = adjoint.first[place_of(net, window) + j]
    if e == NO_SPIKE:
        return NO_SPIKE, NO_SPIKE
    return jump_from(net, jumps, e, j, time, window)


@inlined
def jump_from(net, jumps, e, j, time, window):
    """`jump_after` where entry e is the first jump of neuron j in the window."""
    end = window_end(net, window)
    # strides that double, then halve: of a neuron that jumps many times in the window not all are looked at
    stride, before = 1, e - 1
    while _is_before(jumps, before + stride, j, time, end):
        before += stride
        stride *= 2
    while stride > 1:
        stride >>= 1
        if _is_before(jumps, before + stride, j, time, end):
            before += stride
    after, before = before + 1, before if before >= e else NO_SPIKE
    there = after < jumps.size and jumps[after].neuron == j and jumps[after].time < end
    return after if there else NO_SPIKE, before


@inlined
def _is_before(jumps, e, j, time, end):
    """True where entry e, at or after the first one of neuron j in a window, is one of its jumps before ``time``."""
    return e < jumps.size and jumps[e].neuron == j and jumps[e].time < min(time, end)


@inlined
def state_at_end(net, adjoint, j, window, last):
    """(lambda_V, lambda_I) of neuron j at the end of a window; ``last``: its last jump inside, or NO_SPIKE."""
    if last != NO_SPIKE:
        return adjoint.jump_ends[Lambda.V, last], adjoint.jump_ends[Lambda.I, last]
    at = place_of(net, window) + j
    return adjoint.states[Lambda.V, at], adjoint.states[Lambda.I, at]


@inlined
def window_at(net, entries, at):
    """The window of entry ``at`` of a table with times, or -1 before its start."""
    return np.int64(entries[at].time * net.per_ms) if at >= 0 else -1


@inlined
def stretch_at(net, entries, at):
    """The stretch of entry ``at`` of a table with times, or -1 before its start."""
    return window_at(net, entries, at) >> net.shift
