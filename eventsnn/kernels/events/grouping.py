"""The input spikes of a block by channel: what a connection in COLUMNS reads, in both passes."""

import math

import numpy as np

from ..blocks import FEW_SPIKES, GROUP, fixed_time
from ..compile import inlined, kernel
from ..neurons.base import mode_rise


@inlined
def in_block(net, pop, time, count, window):
    """A spike as modal targets in ``pop`` see it in the block from ``window`` on: (time in fixed point, its pair)."""
    at = time * net.per_ms
    whole = np.int64(math.floor(at))
    by_mem, by_syn = mode_rise(net, pop, whole - window, (at - whole) * net.h)
    return fixed_time(net, time, window), (count * by_mem, count * by_syn)


@inlined
def first_at(events, time):
    """The number of the first input spike at or after a time."""
    low, high = 0, events.size
    while low < high:
        middle = (low + high) >> 1
        if events[middle].time < time:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _is_from(net, conn, event):
    return net.sources[event.source].pop == net.conns[conn].source


@kernel
def _count(net, groups, conn, events, span):
    """Count the spikes of each channel into ``groups.filled``; returns their number."""
    first, n = net.conns[conn].channels, 0
    groups.filled[first : first + net.conns[conn].n_pre + 1] = 0
    for k in range(span[0], span[1]):
        if _is_from(net, conn, events[k]):
            groups.filled[first + net.sources[events[k].source].local] += 1
            n += 1
    return n


@inlined
def place_of_group(first, group, size):
    """Where the spikes of a group begin, of a connection whose first group is ``first``."""
    return GROUP * first + size * (group - first)


@kernel
def _open_groups(net, groups, conn, at, size):
    """Turn the counts of channels into places of their first spikes, from group ``at`` on; returns the last group.

    -1: there is no room.
    """
    first, begin = net.conns[conn].channels, at
    for i in range(net.conns[conn].n_pre):
        n = (groups.filled[first + i] + size - 1) // size
        if at + n > groups.channel.size:
            return -1
        groups.filled[first + i] = place_of_group(begin, at, size)
        for group in range(at, at + n):
            groups.channel[group] = i
        at += n
    return at


@inlined
def _write(groups, p, fixed, factor, spike):
    groups.fixed[p], groups.spike[p] = fixed, spike
    groups.factor[2 * p], groups.factor[2 * p + 1] = factor


@kernel
def group_spikes(net, groups, conn, events, span, window):
    """Group the input spikes ``span`` (first, last) of the block from ``window`` on by channel; False for no room.

    Connections are taken in the order of their numbers, and each has its groups behind those of the one before.
    """
    of, pop, channels = groups.of[conn], net.conns[conn].target, net.conns[conn].channels
    n = _count(net, groups, conn, events, span)
    of.size = GROUP if n >= FEW_SPIKES * net.conns[conn].n_pre else 1
    of.stop = _open_groups(net, groups, conn, of.first, of.size)
    if of.stop < 0:
        return False
    for k in range(span[0], span[1]):
        if not _is_from(net, conn, events[k]):
            continue
        channel = channels + net.sources[events[k].source].local
        fixed, factor = in_block(net, pop, events[k].time, events[k].count, window)
        _write(groups, groups.filled[channel], fixed, factor, k)
        groups.filled[channel] += 1
    for i in range(net.conns[conn].n_pre if of.size == GROUP else 0):
        p = groups.filled[channels + i]
        while p & (GROUP - 1) != 0:
            _write(groups, p, groups.fixed[p - 1], (0.0, 0.0), -1)
            p += 1
    return True
