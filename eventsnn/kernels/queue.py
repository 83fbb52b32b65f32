"""The calendar queue: a ring of buckets, one per lookahead window and connection.

An entry is one spike on its way down one row: its time, the row and how far down the row it has been delivered. An
entry waits in the bucket of its next arrival; delivery moves it to the bucket of the one after. So the queue holds one
entry per spike in flight and connection, never one per synapse. Entries live in a pool and are linked into
first-in-first-out lists; freed ones are used again.
"""

from typing import NamedTuple

import numpy as np

from .compile import kernel

# slots of Queue.use
FREE, FRESH, LIVE = 0, 1, 2


class Queue(NamedTuple):
    """``head``/``tail`` per bucket, ``next`` and the payload per entry; -1 ends a list."""

    head: np.ndarray
    tail: np.ndarray
    use: np.ndarray  # head of the free list, first never-used entry, number of live entries
    next: np.ndarray
    row: np.ndarray
    cursor: np.ndarray
    time: np.ndarray
    count: np.ndarray


@kernel
def make_queue(n_buckets, capacity):
    """An empty queue with room for ``capacity`` entries before it grows."""
    return Queue(
        np.full(n_buckets, -1, np.int32),
        np.full(n_buckets, -1, np.int32),
        np.array([-1, 0, 0], np.int64),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
        np.empty(capacity),
        np.empty(capacity),
    )


@kernel
def clear(queue):
    """Empty the queue."""
    queue.head[:] = -1
    queue.tail[:] = -1
    queue.use[0], queue.use[1], queue.use[2] = -1, 0, 0


@kernel
def larger(array, capacity):
    """A copy of ``array`` with room for ``capacity`` elements."""
    copy = np.empty(capacity, array.dtype)
    copy[: array.size] = array
    return copy


@kernel
def append(queue, bucket, entry):
    """Link an entry to the end of a bucket."""
    queue.next[entry] = -1
    if queue.head[bucket] < 0:
        queue.head[bucket] = entry
    else:
        queue.next[queue.tail[bucket]] = entry
    queue.tail[bucket] = entry


@kernel
def release(queue, entry):
    """Give an entry back to the pool."""
    queue.next[entry] = queue.use[FREE]
    queue.use[FREE] = entry
    queue.use[LIVE] -= 1


@kernel
def push(queue, bucket, time, row, cursor, count):
    """Put a spike into a bucket; returns the queue, which is a larger copy if it was full."""
    entry = queue.use[FREE]
    if entry >= 0:
        queue.use[FREE] = queue.next[entry]
    else:
        entry = queue.use[FRESH]
        queue.use[FRESH] = entry + 1
        if entry == queue.time.size:
            room = 2 * entry
            queue = Queue(
                queue.head,
                queue.tail,
                queue.use,
                larger(queue.next, room),
                larger(queue.row, room),
                larger(queue.cursor, room),
                larger(queue.time, room),
                larger(queue.count, room),
            )
    queue.use[LIVE] += 1
    queue.time[entry], queue.row[entry], queue.cursor[entry], queue.count[entry] = time, row, cursor, count
    append(queue, bucket, entry)
    return queue


@kernel
def activate(net, queue, conn, local, time, count):
    """Send the spike of neuron ``local`` down its row of connection ``conn``; returns the queue."""
    row = net.first_row[conn] + local
    cursor = net.row_ptr[row]
    if cursor == net.row_ptr[row + 1]:
        return queue
    arrival = time + (net.delay[cursor] if net.per_synapse[conn] else net.row_delay[row])
    if arrival >= net.duration:
        return queue
    window = np.int64(arrival / net.h) & net.ring_mask
    return push(queue, window * net.first_row.size + conn, time, row, cursor, count)
