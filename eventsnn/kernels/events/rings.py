"""Spikes that are sent at once: down their whole row, onto the sums of the windows in which they arrive."""

import numpy as np

from ..blocks import OCTET
from ..compile import inlined, kernel
from ..neurons.base import mode_fall
from ..simd_blocks import add_modes, scatter_row
from .arrivals import MODE_SAFETY
from .grouping import in_block


@inlined
def send_by_ring(net, work, conn, local, time):
    """Send a fired spike down its row; returns its arrivals before the end of the simulation."""
    connection, pop = net.conns[conn], net.conns[conn].target
    length = net.pops[pop].stop - net.pops[pop].start
    first, row = work.progress[0].first_window, connection.first + local * length
    fixed, factors = in_block(net, pop, time, 1.0, first)
    scatter_row(net, work, (row, length, OCTET * net.pops[pop].octet), fixed, factors)
    last = time + net.conn_longest[conn]
    work.ring_until[pop] = max(work.ring_until[pop], np.int64(min(last, net.duration) * net.per_ms) + 1)
    if last < net.duration:
        return length
    n = 0
    for s in range(row, row + length):
        n += time + net.delay[s] < net.duration
    return n


@inlined
def effect_factors(net, pop, k):
    """What turns the modes of window k of a block into effects at its end: see `simd_blocks.add_modes`.

    That is (of mem and of syn on V, of syn on I, of mem and of syn on the bound of V), the second of each pair less.
    """
    by_mem, i_syn = mode_fall(net, pop, k + 1)
    v_mem, v_syn = net.pops[pop].psp_scale * by_mem, net.pops[pop].psp_scale * i_syn
    return v_mem, v_syn, i_syn, v_mem + abs(v_mem) * MODE_SAFETY, v_syn - abs(v_syn) * MODE_SAFETY


@inlined
def add_ring(net, work, pop, window):
    """Add what the ring holds for a window to the sums of all neurons of a population, and clear it."""
    if window > work.ring_until[pop]:
        return
    factors, start = effect_factors(net, pop, window - work.progress[0].first_window), net.pops[pop].start
    first = OCTET * ((window & (net.reach - 1)) * net.n_octets + net.pops[pop].octet)
    for place in range(0, net.pops[pop].stop - start, OCTET):
        add_modes(work, start + place, 4 * (first + place), factors)


@kernel
def move_ring(net, work):
    """Count the modes of the ring from the start of the next block on."""
    for pop in range(net.n_pops):
        if net.pops[pop].last_known == net.pops[pop].first_known:
            continue
        by_mem, by_syn = mode_fall(net, pop, net.block)
        n = net.pops[pop].stop - net.pops[pop].start
        for window in range(net.reach):
            first = OCTET * (window * net.n_octets + net.pops[pop].octet)
            modes = work.ring[4 * first : 4 * (first + n)]
            for k in range(2 * n):
                modes[2 * k] *= by_mem
                modes[2 * k + 1] *= by_syn
