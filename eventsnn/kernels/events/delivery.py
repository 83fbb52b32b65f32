"""Spikes on their way: down the rows of their synapses, into the windows in which they arrive."""

import numpy as np

from ..compile import inlined
from ..neurons.base import responses
from ..places import cell_of
from ..queue import (
    NOTHING,
    bucket_of,
    move_modes,
    new_event,
    put,
    reached_before_end,
    release,
    set_modes,
    stretch_of,
    stretch_of_arrival,
    take_all,
    ticks_since,
)
from ..simd import BLOCK, is_set, places_ahead, prefetch, scatter
from ..state import TARGET, Status, Way
from .rings import send_by_ring


@inlined
def ask_for(net, s):
    """Start to load the synapses from s on: a row is visited too seldom for the processor to foresee it."""
    for line in range(s, s + 32, 8):
        prefetch(net.charge, 2 * line)
        prefetch(net.charge, 2 * line + 8)
    for line in range(s, s + 32, 16):
        prefetch(net.tick, line)
        prefetch(net.slot, line)


@inlined
def scatter_responses(net, work, event, first, n, due):
    """As `simd.scatter`, for any targets: what is added is the response of V and I at the window's end."""
    for k in range(due):
        s, where = first + k, work.place[k]
        arrival = event.time + net.delay[s]
        left = min((np.int64(arrival * net.per_ms) + 1) * net.h, net.duration) - arrival
        _, decay_i, response = responses(net, net.slot[s] >> TARGET, left)
        work.modes[where] += net.weight[s] * event.count * response
        work.modes[where + np.uint32(1)] += net.weight[s] * event.count * decay_i
        place = where >> np.uint32(1)
        work.link[n + k] = work.head[place]
        work.head[place] = n + k


@inlined
def places_ahead_exactly(net, place, s, time, stretch, most):
    """`simd.places_ahead` in full precision; ``stretch``: its (begin, end) in ms."""
    begin, end = stretch
    for k in range(min(BLOCK, most)):
        arrival = time + net.delay[s + k]
        if arrival >= end:
            return k
        # exact: the difference of numbers within a factor of two, times a power of two
        place[k] = net.slot[s + k] + np.uint32((arrival - begin) * net.per_ms) * np.uint32(4 * net.neurons.size)
    return min(BLOCK, most)


@inlined
def hand_over(net, work, event, stretch, since):
    """Add an event's arrivals in a stretch to the modes of their windows; returns False for no room.

    ``since``: when the spike was fired, in ticks from the start of the stretch.
    """
    progress, pop, s = work.progress[0], net.conns[event.conn].target, event.at
    begin, modal, block = stretch * net.stretch * net.h, net.pops[pop].modal, progress.n_blocks
    end, stride = begin + net.stretch * net.h, 4 * net.neurons.size
    first = last = work.place[0]
    while True:
        if block == work.blocks.size:
            return False
        due = places_ahead(net, work.place, s, since, event.stop - s)
        if due < 0:
            due = places_ahead_exactly(net, work.place, s, event.time, (begin, end), event.stop - s)
        slot = work.blocks[block]
        slot.time, slot.count, slot.first = event.time, event.count, s
        if modal:
            scatter(net, work, s, BLOCK * block, (event.by_mem, event.by_syn), due)
        else:
            scatter_responses(net, work, event, s, BLOCK * block, due)
        if due > 0:
            if s == event.at:
                first = work.place[0]
            last = work.place[due - 1]
        s += due
        block += due > 0
        if due < BLOCK or s == event.stop:
            break
    if s > event.at:
        for window in range(np.int64(first) // stride, np.int64(last) // stride + 1):
            work.cells[window * net.n_pops + pop].touched = 1
    progress.n_arrivals += s - event.at
    progress.n_blocks, event.at = block, s
    return True


@inlined
def deliver(net, work, item, stretch):
    """Let an event hand over what arrives in this stretch and send it on; returns False for no room.

    A row that arrives as a whole stays linked to its cell until the window is done.
    """
    event = work.queue.events[item]
    if not net.conns[event.conn].per_synapse:
        window = np.int64(event.time * net.per_ms)
        cell = cell_of(net, window, net.conns[event.conn].target)
        event.next, work.cells[cell].first_row = work.cells[cell].first_row, item
        return True
    since = ticks_since(net, event.time, stretch)
    if not hand_over(net, work, event, stretch, since):
        return False
    if event.at < event.stop:
        later = stretch_of_arrival(net, event, event.at, stretch, since)
        move_modes(net, event, stretch, later)
        put(work.queue, bucket_of(net, later, net.conns[event.conn].target), item)
        return True
    release(work.queue, item)
    return True


@inlined
def activate(net, work, pop, local, time, count, stretch):
    """Send the spike of neuron ``local`` of a population down its rows; returns a status."""
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        if net.conns[conn].way != Way.QUEUE:
            if net.conns[conn].way == Way.RING:
                work.progress[0].n_arrivals += send_by_ring(net, work, conn, local, time)
            continue
        row = net.conns[conn].first_row + local
        first, last = net.row_ptr[row], net.row_ptr[row + 1]
        arrival = time + net.row_delay[row]
        if net.conns[conn].per_synapse:
            last = reached_before_end(net, time, first, last)
        if first == last or arrival >= net.duration:
            continue
        item = new_event(work.queue)
        if item == NOTHING:
            return Status.QUEUE_FULL
        event = work.queue.events[item]
        event.time, event.count, event.at, event.stop, event.row, event.conn = time, count, first, last, row, conn
        if net.conns[conn].per_synapse:
            later = stretch_of_arrival(net, event, first, stretch, ticks_since(net, time, stretch))
            set_modes(net, event, later)
        else:
            event.time, later = arrival, stretch_of(net, arrival)
        if later == stretch:
            if not deliver(net, work, item, stretch):
                return Status.ARRIVALS_FULL
        else:
            put(work.queue, bucket_of(net, later, net.conns[conn].target), item)
    return Status.OK


@inlined
def ask_for_rows(net, pop, local):
    """Start to load the synapses of a neuron that is about to send a spike."""
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        if net.conns[conn].per_synapse and net.conns[conn].way != Way.COLUMNS:
            ask_for(net, net.row_ptr[net.conns[conn].first_row + local])


@inlined
def begin_stretch(net, work, stretch):
    """Let every event that has arrivals in a stretch of windows hand them over; returns False for no room."""
    progress = work.progress[0]
    progress.n_arrivals = progress.n_blocks = 0
    for cell in range(work.cells.size):
        work.cells[cell].touched, work.cells[cell].first_row = 0, NOTHING
    for pop in range(net.n_pops):
        item = take_all(work.queue, bucket_of(net, stretch, pop))
        while item >= 0:
            this, item = item, work.queue.events[item].next
            if item >= 0 and net.conns[work.queue.events[item].conn].per_synapse:
                ask_for(net, work.queue.events[item].at)
            if is_set(work.stop) or not deliver(net, work, this, stretch):
                return False
    return True
