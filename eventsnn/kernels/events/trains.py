"""The spikes that may still arrive, by population: among them walks find the arrivals of their neuron."""

import numpy as np

from ..blocks import FIXED_BITS, fixed_time, synapse_of, tick_of
from ..compile import inlined, kernel
from ..simd import prefetch
from ..simd_blocks import scan


@inlined
def append_to_train(net, work, pop, unit, time, count, window):
    """Note a spike of a population for the walks of later windows; False for no room."""
    row = net.pops[pop].train
    ends = work.trains.ends[row]
    if ends.last == work.trains.tick.shape[1]:
        return False
    sent = work.trains.sent[row, ends.last]
    sent.time, sent.count, sent.fixed = time, count, fixed_time(net, time, window)
    work.trains.tick[row, ends.last], work.trains.unit[row, ends.last] = tick_of(net, sent.fixed), unit
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
                trains.tick[row, n], trains.unit[row, n] = tick_of(net, fixed), trains.unit[row, k]
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


@kernel
def find_in_trains(net, work, pop, window):
    """List, for each suspect and connection, the spikes that may arrive in a window; False for no room.

    Asks for their synapses, of which each is in another line.
    """
    _advance_trains(net, work, window)
    begin, n = (window - work.progress[0].first_window) << net.bits, 0
    first, last = net.pops[pop].first_known, net.pops[pop].last_known
    for number in range(work.progress[0].n_suspects):
        place = work.suspects[number] - net.pops[pop].start
        for k in range(first, last):
            conn = net.known[k]
            row, was = net.pops[net.conns[conn].source].train, n
            span = (work.trains.ends[row].first, work.trains.ends[row].next)
            if n + span[1] - span[0] > work.scanned.size:
                return False
            near = net.conns[conn].first + place * net.conns[conn].n_pre
            n = scan(net, work.trains, row, near, span, begin, work.scanned, n)
            for m in range(was, n):
                s = synapse_of(net, conn, np.int64(work.trains.unit[row, work.scanned[m]]), place)
                prefetch(net.fixed, s)
                prefetch(net.delay, s)
                prefetch(net.weight, s)
            work.scanned_until[number * (last - first) + k - first] = n
    return True


@inlined
def arrival_by_train(net, work, conn, place, k, window):
    """(time, charge) of a spike listed at a suspect, or (NaN, 0) where it arrives in another window or after the end.

    ``k``: its place in its train.
    """
    row = net.pops[net.conns[conn].source].train
    sent = work.trains.sent[row, k]
    s = synapse_of(net, conn, np.int64(work.trains.unit[row, k]), place)
    time = sent.time + net.delay[s]
    there = (sent.fixed + net.fixed[s]) >> FIXED_BITS == window - work.progress[0].first_window
    if there and time < net.duration:
        return time, sent.count * net.weight[s]
    return np.nan, 0.0
