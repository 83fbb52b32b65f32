"""The spikes that may still arrive, by population: among them walks find the arrivals of their neuron."""

import numpy as np

from ..blocks import FIXED_BITS, fixed_time, near_of
from ..compile import inlined, kernel
from ..simd import prefetch
from ..simd_blocks import scan
from ..state import Way


@inlined
def append_to_train(net, work, pop, unit, time, count, window):
    """Note a spike of a population for the walks of later windows; False for no room."""
    row = net.pops[pop].train
    ends = work.trains.ends[row]
    if ends.last == work.trains.near.shape[1]:
        return False
    sent = work.trains.sent[row, ends.last]
    sent.time, sent.count, sent.fixed = time, count, fixed_time(net, time, window)
    work.trains.near[row, ends.last], work.trains.unit[row, ends.last] = near_of(net, sent.fixed), unit
    ends.last += 1
    return True


@kernel
def move_trains(net, work):
    """Forget what has arrived, and count the times of the others from the next block on."""
    trains = work.trains
    for row in range(net.n_trains):
        ends, n = trains.ends[row], 0
        for k in range(ends.first, ends.last):
            sent, to = trains.sent[row, k], trains.sent[row, n]
            fixed = sent.fixed - (np.int64(net.block) << FIXED_BITS)
            if fixed + (np.int64(net.reach) << FIXED_BITS) >= 0:
                to.time, to.count, to.fixed = sent.time, sent.count, fixed
                trains.near[row, n], trains.unit[row, n] = near_of(net, fixed), trains.unit[row, k]
                n += 1
        ends.first, ends.next, ends.last = 0, 0, n


@inlined
def _advance_trains(net, work, window):
    """Let a walk in a window look only at the spikes that may arrive in it."""
    oldest = (window - work.progress[0].first_window - net.reach) << FIXED_BITS
    newest = (window - work.progress[0].first_window + 1) << FIXED_BITS
    for row in range(net.n_trains):
        ends = work.trains.ends[row]
        while ends.first < ends.last and work.trains.sent[row, ends.first].fixed < oldest:
            ends.first += 1
        while ends.next < ends.last and work.trains.sent[row, ends.next].fixed < newest:
            ends.next += 1


@inlined
def synapses_at(net, conn, place):
    """(first, step) of the synapses onto neuron number ``place`` of its target, for COLUMNS or RING."""
    connection = net.conns[conn]
    if connection.way == Way.COLUMNS:
        return connection.first + place * connection.n_pre, 1
    return connection.first + place, net.pops[connection.target].stop - net.pops[connection.target].start


@kernel
def find_in_trains(net, work, pop, window):
    """List, for each suspect and connection, the spikes that may arrive in a window; False for no room.

    Asks for their synapses, of which each is in another line.
    """
    _advance_trains(net, work, window)
    begin, n = (window - work.progress[0].first_window) << net.near_bits, 0
    first, last = net.pops[pop].first_known, net.pops[pop].last_known
    for number in range(work.progress[0].n_suspects):
        place = work.suspects[number] - net.pops[pop].start
        for k in range(first, last):
            conn = net.known[k]
            row, was, (s, step) = net.pops[net.conns[conn].source].train, n, synapses_at(net, conn, place)
            span, units = (row, work.trains.ends[row].first, work.trains.ends[row].next), work.trains.unit[row]
            if n + span[2] - span[1] > work.scanned.size:
                return False
            near = net.conns[conn].first + place * net.conns[conn].n_pre
            n = scan(net, work.trains, span, near, begin, work.scanned, n)
            for m in range(was, n):
                at = s + step * np.int64(units[work.scanned[m]])
                prefetch(net.fixed, at)
                prefetch(net.delay, at)
                prefetch(net.weight, at)
            work.scanned_until[number * (last - first) + k - first] = n
    return True


@kernel
def list_arrivals(found, units, sent, synapses, span, arrays, rows, n):
    """Append the arrivals in a window of the spikes listed in ``found`` to two rows, unsorted; returns the next place.

    ``synapses``: as of `synapses_at`; ``span``: (window in the block, its end in ms, its length);
    ``arrays``: fixed, delay and weight of all synapses; ``rows``: time left in the window, and weight.
    """
    (first, step), (window, end, length), (fixed, delay, weight) = synapses, span, arrays
    left, charge = rows
    for k in found:
        s = first + step * np.int64(units[k])
        time = sent[k].time + delay[s]
        # rounded in another way than windows are counted, it may lie on their edge; after the end it does nothing
        left[n], charge[n] = min(max(end - time, 0.0), length), sent[k].count * weight[s]
        n += (sent[k].fixed + fixed[s]) >> FIXED_BITS == window
    return n
