"""The calendar queue: typed events in a ring of buckets, one per lookahead window and target population.

Two types of event. A synaptic event is one arrival at one neuron; the events of a bucket lie one behind the other in
chunks, so that putting one in is a store and taking a bucket out is a sweep. A row event is the arrival of a whole
dense row at one instant; row events are linked entries. Chunks and entries come from pools and are used again. The
order within a bucket is the order of pushing, which depends on nothing but the network and its spikes.
"""

from typing import NamedTuple

import numpy as np

from .compile import inlined, kernel

CHUNK = 64  # events; a power of two
# ``next``: where the next arrival of the same neuron lies, once a walk asks for it.
EVENT = np.dtype([("time", np.float64), ("weight", np.float64), ("target", np.int32), ("next", np.int32)])
ROW_EVENT = np.dtype(
    [("time", np.float64), ("count", np.float64), ("row", np.int64), ("conn", np.int64), ("next", np.int64)]
)
# Rows of Queue.buckets: first chunk, next free place in the last chunk (0 for none), first and last row event.
FIRST_CHUNK, END, FIRST_ROW, LAST_ROW = range(4)
# Places in Queue.use: heads of the two free lists, first never-used chunk and row event, chunks and rows in flight.
FREE_CHUNK, FREE_ROW, FRESH_CHUNK, FRESH_ROW, LIVE = range(5)


class Queue(NamedTuple):
    """Buckets are numbered slot * n_pops + target population; -1 ends a list."""

    buckets: np.ndarray  # (4, n_buckets)
    use: np.ndarray  # (5,)
    events: np.ndarray  # EVENT, CHUNK to a chunk
    next_chunk: np.ndarray
    rows: np.ndarray  # ROW_EVENT


def make_queue(n_buckets, capacity):
    """An empty queue with room for ``capacity`` chunks and row events before either pool must grow."""
    return Queue(
        np.zeros((4, n_buckets), np.int64),
        np.zeros(5, np.int64),
        np.zeros(capacity * CHUNK, EVENT),
        np.zeros(capacity, np.int64),
        np.zeros(capacity, ROW_EVENT),
    )


@kernel
def clear(queue):
    """Empty the queue."""
    for bucket in range(queue.buckets.shape[1]):
        queue.buckets[FIRST_CHUNK, bucket] = -1
        queue.buckets[END, bucket] = 0
        queue.buckets[FIRST_ROW, bucket] = -1
    queue.use[FREE_CHUNK], queue.use[FREE_ROW] = -1, -1
    queue.use[FRESH_CHUNK], queue.use[FRESH_ROW], queue.use[LIVE] = 0, 0, 0


@kernel
def add_chunk(queue, bucket):
    """Give a bucket one more chunk; returns its first place, or -1 if the pool is empty."""
    chunk = queue.use[FREE_CHUNK]
    if chunk >= 0:
        queue.use[FREE_CHUNK] = queue.next_chunk[chunk]
    else:
        chunk = queue.use[FRESH_CHUNK]
        if chunk == queue.next_chunk.size:
            return -1
        queue.use[FRESH_CHUNK] = chunk + 1
    queue.use[LIVE] += 1
    queue.next_chunk[chunk] = -1
    if queue.buckets[FIRST_CHUNK, bucket] < 0:
        queue.buckets[FIRST_CHUNK, bucket] = chunk
    else:
        queue.next_chunk[queue.buckets[END, bucket] // CHUNK - 1] = chunk
    return chunk * CHUNK


@inlined
def events_in(queue, bucket, chunk):
    """Number of events in a chunk of a bucket: all but the last chunk are full."""
    if queue.next_chunk[chunk] >= 0:
        return CHUNK
    return (queue.buckets[END, bucket] - 1) % CHUNK + 1


@kernel
def release(queue, bucket):
    """Empty a bucket and give its chunks and row events back."""
    chunk = queue.buckets[FIRST_CHUNK, bucket]
    while chunk >= 0:
        following = queue.next_chunk[chunk]
        queue.next_chunk[chunk] = queue.use[FREE_CHUNK]
        queue.use[FREE_CHUNK] = chunk
        queue.use[LIVE] -= 1
        chunk = following
    row = queue.buckets[FIRST_ROW, bucket]
    while row >= 0:
        following = queue.rows[row].next
        queue.rows[row].next = queue.use[FREE_ROW]
        queue.use[FREE_ROW] = row
        queue.use[LIVE] -= 1
        row = following
    queue.buckets[FIRST_CHUNK, bucket], queue.buckets[END, bucket], queue.buckets[FIRST_ROW, bucket] = -1, 0, -1


@kernel
def push_row(queue, bucket, time, count, row, conn):
    """Put a row event into a bucket; returns False if the pool is empty."""
    item = queue.use[FREE_ROW]
    if item >= 0:
        queue.use[FREE_ROW] = queue.rows[item].next
    else:
        item = queue.use[FRESH_ROW]
        if item == queue.rows.size:
            return False
        queue.use[FRESH_ROW] = item + 1
    queue.use[LIVE] += 1
    slot = queue.rows[item]
    slot.time, slot.count, slot.row, slot.conn, slot.next = time, count, row, conn, -1
    if queue.buckets[FIRST_ROW, bucket] < 0:
        queue.buckets[FIRST_ROW, bucket] = item
    else:
        queue.rows[queue.buckets[LAST_ROW, bucket]].next = item
    queue.buckets[LAST_ROW, bucket] = item
    return True


@kernel
def push_synapses(net, queue, pop, row, per_synapse, spike):
    """Put one event per synapse of a row into its bucket; ``spike``: (time, count). Returns False on an empty pool."""
    time, count = spike
    end, events = queue.buckets[END], queue.events
    shared = time + net.row_delay[row]
    # rows are sorted by delay: one window's run of synapses goes to consecutive places, with nothing to look up
    bucket, place, boundary = -1, 0, -1.0
    for s in range(net.row_ptr[row], net.row_ptr[row + 1]):
        arrival = time + net.delay[s] if per_synapse else shared
        if arrival >= boundary:
            if bucket >= 0:
                end[bucket] = place
            if arrival >= net.duration:
                return True
            window = np.int64(arrival / net.h)
            boundary = min((window + 1) * net.h, net.duration)
            bucket = (window & net.ring_mask) * net.n_pops + pop
            place = end[bucket]
        if place & (CHUNK - 1) == 0:
            end[bucket] = place
            place = add_chunk(queue, bucket)
            if place < 0:
                return False
        event = events[place]
        event.time, event.weight, event.target = arrival, net.weight[s] * count, net.target[s]
        place += 1
    if bucket >= 0:
        end[bucket] = place
    return True


@kernel
def activate(net, queue, pop, local, time, count):
    """Send the spike of neuron ``local`` of a population down its rows; returns False if the queue is full."""
    for c in range(net.pops[pop].out_first, net.pops[pop].out_last):
        conn = net.links[c]
        row, target = net.conns[conn].first_row + local, net.conns[conn].target
        per_synapse = net.conns[conn].per_synapse != 0
        if per_synapse or not net.conns[conn].dense:
            done = push_synapses(net, queue, target, row, per_synapse, (time, count))
        else:
            arrival = time + net.row_delay[row]
            bucket = (np.int64(arrival / net.h) & net.ring_mask) * net.n_pops + target
            done = arrival >= net.duration or push_row(queue, bucket, arrival, count, row, conn)
        if not done:
            return False
    return True
