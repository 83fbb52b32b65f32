"""The calendar queue: spikes on their way down a row of synapses, keyed on the stretch of their next arrival.

A row is sorted by delay, so one event stands for all arrivals of a spike on it: due in the stretch of the next synapse,
it hands over the synapses of that stretch and moves on to the stretch of the one after (docs/engine.md). A bucket is a
list of events, the last one put in first; its order depends on nothing but the network and its spikes. The backward
pass walks the same rows from their far end, with the same queue.
"""

from typing import NamedTuple

import numpy as np

from .compile import inlined, kernel

# ``time``: when the spike was fired; for a row that shares one delay, when it arrives. Synapses from ``at`` to the end
# of the row are left (backward: those below ``at``, down to the start of the row), ``stop`` is that end. ``spike``: the
# number of the spike in its sample.
EVENT = np.dtype(
    [("time", np.float64), ("count", np.float64)]
    + [(name, np.int64) for name in ("at", "stop")]
    + [(name, np.int32) for name in ("row", "conn", "spike", "next")]
)
# Places in Queue.use: head of the list of free events, first event never used, events in flight.
FREE, FRESH, LIVE = range(3)
NOTHING = -1


class Queue(NamedTuple):
    """``heads``: the first event of each bucket, numbered slot * n_pops + target population."""

    heads: np.ndarray
    use: np.ndarray  # (3,)
    events: np.ndarray  # EVENT


def make_queue(n_buckets, capacity):
    """An empty queue with room for ``capacity`` events in flight."""
    return Queue(np.full(n_buckets, NOTHING), np.array([NOTHING, 0, 0]), np.zeros(capacity, EVENT))


@kernel
def clear(queue):
    """Empty the queue."""
    queue.heads[:] = NOTHING
    queue.use[FREE], queue.use[FRESH], queue.use[LIVE] = NOTHING, 0, 0


@inlined
def new_event(queue):
    """The number of an event that is free to be filled, or NOTHING if all are in flight."""
    item = queue.use[FREE]
    if item >= 0:
        queue.use[FREE] = queue.events[item].next
    else:
        item = queue.use[FRESH]
        if item == queue.events.size:
            return NOTHING
        queue.use[FRESH] = item + 1
    queue.use[LIVE] += 1
    return item


@inlined
def release(queue, item):
    """Give an event back that has delivered everything."""
    queue.events[item].next = queue.use[FREE]
    queue.use[FREE] = item
    queue.use[LIVE] -= 1


@inlined
def bucket_of(net, time, pop):
    """The bucket of arrivals at ``time`` in a population."""
    return ((np.int64(time * net.per_ms) >> net.shift) & net.ring_mask) * net.n_pops + pop


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
    first = (stretch & net.ring_mask) * net.n_pops
    for bucket in range(first, first + net.n_pops):
        if queue.heads[bucket] >= 0:
            return False
    return True
