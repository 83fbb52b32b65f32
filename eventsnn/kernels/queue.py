"""The calendar queue: spikes on their way down a row of synapses, keyed on the stretch of their next arrival.

A row is sorted by delay, so one event stands for all arrivals of a spike on it: due in the stretch of the next synapse,
it hands over the synapses of that stretch and moves on to the stretch of the one after (docs/engine.md). A bucket is a
list of events, the last one put in first; its order depends on nothing but the network and its spikes. The backward
pass walks the same rows from their far end, with the same queue.
"""

import math
from typing import NamedTuple

import numpy as np

from .compile import inlined, kernel

# ``time``: when the spike was fired; for a row that shares one delay, when it arrives. Synapses from ``at`` to the end
# of the row are left (backward: those below ``at``, down to the start of the row), ``stop`` is that end. ``spike``: the
# number of the spike in its sample. ``by_mem``, ``by_syn``: on the way to a modal population, what is left of the count
# by the end of the stretch that the event waits for, at the rate of each mode. An event fills a line of the cache.
EVENT = np.dtype(
    [(name, np.float64) for name in ("time", "count", "by_mem", "by_syn")]
    + [(name, np.int64) for name in ("at", "stop")]
    + [(name, np.int32) for name in ("row", "conn", "spike", "next")]
)
# Head of the list of free events, first event never used, events in flight.
USE = np.dtype([(name, np.int64) for name in ("free", "fresh", "live")])
NOTHING = -1
# The modes of an event are products of one factor for each stretch; in every so many stretches they are computed anew,
# so that roundings do not add up along a row.
STRETCHES_A_PRODUCT = 32


class Queue(NamedTuple):
    """``heads``: the first event of each bucket, numbered slot * n_pops + target population."""

    heads: np.ndarray
    use: np.ndarray  # (1,) USE
    events: np.ndarray  # EVENT


def make_queue(n_buckets, capacity):
    """An empty queue with room for ``capacity`` events in flight."""
    return Queue(np.full(n_buckets, NOTHING), np.array([(NOTHING, 0, 0)], USE), np.zeros(capacity, EVENT))


@kernel
def clear(queue):
    """Empty the queue."""
    queue.heads[:] = NOTHING
    queue.use[0].free, queue.use[0].fresh, queue.use[0].live = NOTHING, 0, 0


@inlined
def new_event(queue):
    """The number of an event that is free to be filled, or NOTHING if all are in flight."""
    item = queue.use[0].free
    if item >= 0:
        queue.use[0].free = queue.events[item].next
    else:
        item = queue.use[0].fresh
        if item == queue.events.size:
            return NOTHING
        queue.use[0].fresh = item + 1
    queue.use[0].live += 1
    return item


@inlined
def release(queue, item):
    """Give an event back that has delivered everything."""
    queue.events[item].next = queue.use[0].free
    queue.use[0].free = item
    queue.use[0].live -= 1


@inlined
def stretch_of(net, time):
    """The stretch of windows that a time lies in."""
    return np.int64(time * net.per_ms) >> net.shift


@inlined
def reached_before_end(net, time, first, stop):
    """The end of those synapses of a row, first..stop, that a spike at ``time`` reaches before the simulation ends."""
    if time + net.longest < net.duration:
        return stop
    while first < stop:
        middle = (first + stop) >> 1
        if time + net.delay[middle] >= net.duration:
            stop = middle
        else:
            first = middle + 1
    return stop


@inlined
def ticks_since(net, time, stretch):
    """The time from the start of a stretch to ``time`` in whole ticks, 2^net.bits to a window."""
    return np.int64(math.floor((time - stretch * net.stretch * net.h) * net.per_ms * (1 << net.bits)))


@inlined
def stretch_of_arrival(net, event, s, stretch, since):
    """The stretch in which an event reaches synapse s; ``since``: as `ticks_since` says for ``stretch``."""
    ticks = since + np.int64(net.tick[s])
    # see simd._write_places: where ticks are too coarse the sum of times decides
    if (ticks + 3) & ((1 << net.bits) - 1) < 4:
        return stretch_of(net, min(event.time + net.delay[s], net.duration))
    return stretch + (ticks >> (net.bits + net.shift))


@inlined
def bucket_of(net, stretch, pop):
    """The bucket of arrivals at a population in a stretch."""
    return (stretch & net.ring_mask) * net.n_pops + pop


@inlined
def set_modes(net, event, stretch):
    """Set what is left of an event's modes by the end of ``stretch``."""
    pop = net.conns[event.conn].target
    if net.pops[pop].modal:
        neuron, x = net.neurons[net.pops[pop].start], (stretch + 1) * net.stretch * net.h - event.time
        event.by_mem, event.by_syn = (
            event.count * math.exp(-x / neuron.tau_mem),
            event.count * math.exp(-x / neuron.tau_syn),
        )


@inlined
def move_modes(net, event, stretch, to):
    """Carry an event's modes from the end of one stretch to that of another."""
    pop = net.conns[event.conn].target
    if not net.pops[pop].modal:
        return
    # not in the first stretches: a short run computes none anew
    afresh = to & (STRETCHES_A_PRODUCT - 1) == STRETCHES_A_PRODUCT - 1
    if to - stretch == 1 and not afresh:
        event.by_mem *= net.pops[pop].decay_mem
        event.by_syn *= net.pops[pop].decay_syn
    elif stretch - to == 1 and not afresh:
        event.by_mem *= net.pops[pop].growth_mem
        event.by_syn *= net.pops[pop].growth_syn
    else:
        set_modes(net, event, to)


@inlined
def put(queue, bucket, item):
    """Put an event into a bucket."""
    queue.events[item].next = queue.heads[bucket]
    queue.heads[bucket] = item


@inlined
def take_all(queue, bucket):
    """Empty a bucket; returns its first event, or NOTHING."""
    item = queue.heads[bucket]
    queue.heads[bucket] = NOTHING
    return item


@inlined
def is_empty(net, queue, stretch):
    """True when nothing waits in any bucket of a stretch."""
    first = bucket_of(net, stretch, 0)
    for bucket in range(first, first + net.n_pops):
        if queue.heads[bucket] >= 0:
            return False
    return True
