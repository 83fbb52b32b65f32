"""The calendar queue against a plain list: what goes in comes out, in order, whatever the chunks; nothing leaks."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Network
from eventsnn.kernels import queue as kernels
from eventsnn.kernels.queue import CHUNK, FIRST_CHUNK, FIRST_ROW, LIVE, make_queue
from eventsnn.layout import Layout
from eventsnn.spikes import Run

clear = numba.njit(lambda queue: kernels.clear(queue))
release = numba.njit(lambda queue, bucket: kernels.release(queue, bucket))
push_row = numba.njit(lambda queue, bucket, time, row: kernels.push_row(queue, bucket, time, 1.0, row, 0))
activate = numba.njit(lambda net, queue, pop, local, time, count: kernels.activate(net, queue, pop, local, time, count))


@numba.njit
def push_event(queue, bucket, time, weight, target):
    """One synaptic event, as push_synapses does it."""
    place = queue.buckets[kernels.END, bucket]
    if place % CHUNK == 0:
        place = kernels.add_chunk(queue, bucket)
        if place < 0:
            return False
    queue.events[place].time, queue.events[place].weight, queue.events[place].target = time, weight, target
    queue.buckets[kernels.END, bucket] = place + 1
    return True


@numba.njit
def read_bucket(queue, bucket, times):
    """Write the times of a bucket's events in order; returns their number."""
    chunk, n = queue.buckets[FIRST_CHUNK, bucket], 0
    while chunk >= 0:
        for place in range(chunk * CHUNK, chunk * CHUNK + kernels.events_in(queue, bucket, chunk)):
            times[n] = queue.events[place].time
            n += 1
        chunk = queue.next_chunk[chunk]
    return n


def contents(queue, bucket):
    times = np.zeros(queue.events.size)
    return times[: read_bucket(queue, bucket, times)].tolist()


def rows_of(queue, bucket):
    item, found = queue.buckets[FIRST_ROW, bucket], []
    while item >= 0:
        found.append((float(queue.rows[item]["time"]), int(queue.rows[item]["row"])))
        item = queue.rows[item]["next"]
    return found


def new_queue(n_buckets, capacity):
    queue = make_queue(n_buckets, capacity)
    clear(queue)
    return queue


@given(st.lists(st.tuples(st.sampled_from(["event"] * 6 + ["row", "empty"]), st.integers(0, 3)), max_size=400))
def test_a_queue_is_four_lists(steps):
    queue, events, rows = new_queue(4, 64), [[] for _ in range(4)], [[] for _ in range(4)]
    for k, (step, bucket) in enumerate(steps):
        if step == "event":
            # several at a time, so that buckets take more than one chunk
            for part in range(40):
                assert push_event(queue, bucket, k + part / 64, 1.0, 0)
                events[bucket].append(k + part / 64)
            if sum(-(-len(times) // CHUNK) for times in events) > 50:
                for number in range(4):
                    release(queue, number)
                    events[number].clear()
                    rows[number].clear()
        elif step == "row" and sum(map(len, rows)) < 60:
            assert push_row(queue, bucket, float(k), k)
            rows[bucket].append((float(k), k))
        elif step == "empty":
            release(queue, bucket)
            events[bucket].clear()
            rows[bucket].clear()
    for bucket in range(4):
        assert contents(queue, bucket) == events[bucket]
        assert rows_of(queue, bucket) == rows[bucket]
    live = sum(-(-len(times) // CHUNK) for times in events) + sum(map(len, rows))
    assert queue.use[LIVE] == live


def test_a_full_pool_says_so_and_loses_nothing():
    queue = new_queue(2, 2)
    for k in range(2 * CHUNK):
        assert push_event(queue, 0, float(k), 1.0, 0)
    assert not push_event(queue, 0, -1.0, 1.0, 0) and not push_event(queue, 1, -1.0, 1.0, 0)
    assert contents(queue, 0) == [float(k) for k in range(2 * CHUNK)]
    assert push_row(queue, 1, 0.0, 0) and push_row(queue, 1, 1.0, 1) and not push_row(queue, 1, 2.0, 2)
    assert rows_of(queue, 1) == [(0.0, 0), (1.0, 1)]


@pytest.mark.parametrize("n", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_chunk_boundaries(n):
    queue = new_queue(1, 4)
    for _ in range(5):
        for k in range(n):
            assert push_event(queue, 0, float(k), 1.0, 0)
        assert contents(queue, 0) == [float(k) for k in range(n)]
        release(queue, 0)
        assert contents(queue, 0) == [] and queue.use[LIVE] == 0


def test_released_room_is_used_again_for_ever():
    queue = new_queue(3, 3)
    for k in range(1000):
        bucket = k % 3
        assert push_event(queue, bucket, float(k), 1.0, 0) and push_row(queue, bucket, float(k), k)
        if k >= 2:
            release(queue, (k - 2) % 3)
    assert queue.use[LIVE] == 4


def test_clear_forgets_everything():
    queue = new_queue(2, 2)
    push_event(queue, 0, 1.0, 1.0, 0)
    push_row(queue, 1, 1.0, 0)
    clear(queue)
    assert queue.use[LIVE] == 0 and contents(queue, 0) == [] and rows_of(queue, 1) == []


def layout_of(delay, delay_per="synapse", mask=None, duration=100.0):
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", 3)
    weight = np.arange(6.0).reshape(2, 3) + 1.0
    weight = weight if mask is None else weight[mask]
    network.connect("in", "a", weight=weight, delay=delay, delay_per=delay_per, mask=mask)
    return Layout(network, network.initialize(), Run(duration, {}))


def all_events(net, queue):
    """{bucket: [(time, weight, target)]} of the synaptic events."""
    found = {}
    for bucket in range(queue.buckets.shape[1]):
        chunk = queue.buckets[FIRST_CHUNK, bucket]
        while chunk >= 0:
            following = queue.next_chunk[chunk]
            n = CHUNK if following >= 0 else (queue.buckets[kernels.END, bucket] - 1) % CHUNK + 1
            for event in queue.events[chunk * CHUNK : chunk * CHUNK + n]:
                entry = (float(event["time"]), float(event["weight"]), int(event["target"]))
                found.setdefault(bucket, []).append(entry)
            chunk = following
    return found


@pytest.mark.parametrize("count", [1.0, 3.0])
def test_a_spike_becomes_one_event_per_synapse_in_its_window(count):
    delays = np.array([[1.0, 20.0, 5.5], [0.0, 0.0, 0.0]])
    net = layout_of(delays).net
    queue = new_queue((net.ring_mask + 1) * net.n_pops, 16)
    assert activate(net, queue, 1, 0, 7.25, count)
    found = all_events(net, queue)
    expected = {(7.25 + d, w * count, j) for j, (d, w) in enumerate(zip(delays[0], (1.0, 2.0, 3.0), strict=True))}
    assert {entry for entries in found.values() for entry in entries} == expected
    for bucket, entries in found.items():
        for when, _, _ in entries:
            assert (int(when // net.h) & net.ring_mask) * net.n_pops == bucket


@pytest.mark.parametrize(
    ("delays", "duration"),
    [
        ((1.0, 3.0, 2.0), 10.0),
        ((1.0, 1.15, 3.0), 9.1),  # the end lies within a window, and two arrivals on either side of it
        ((1.0, 1.1, 1.2), 9.1),
    ],
)
def test_arrivals_at_the_end_are_left_out(delays, duration):
    net = layout_of(np.array([delays, (0.0, 0.0, 0.0)]), duration=duration).net
    queue = new_queue((net.ring_mask + 1) * net.n_pops, 16)
    assert activate(net, queue, 1, 0, 8.0, 1.0)
    entries = [entry for part in all_events(net, queue).values() for entry in part]
    assert entries == [(9.0, 1.0, 0)]


@pytest.mark.parametrize("delay_per", ["neuron", "connection"])
def test_a_dense_shared_delay_is_one_row_event(delay_per):
    delay = np.array([2.0, 4.0]) if delay_per == "neuron" else 2.0
    net = layout_of(delay, delay_per).net
    queue = new_queue((net.ring_mask + 1) * net.n_pops, 16)
    assert activate(net, queue, 1, 1, 3.0, 2.0)
    assert all_events(net, queue) == {}
    when = 7.0 if delay_per == "neuron" else 5.0
    bucket = (int(when // net.h) & net.ring_mask) * net.n_pops
    assert rows_of(queue, bucket) == [(when, 1)]


def test_a_sparse_shared_delay_is_events():
    mask = np.array([[True, False, True], [False, True, False]])
    net = layout_of(2.0, "connection", mask).net
    queue = new_queue((net.ring_mask + 1) * net.n_pops, 16)
    assert activate(net, queue, 1, 0, 3.0, 1.0)
    entries = [entry for part in all_events(net, queue).values() for entry in part]
    assert entries == [(5.0, 1.0, 0), (5.0, 3.0, 2)]


def test_a_spike_that_finds_no_room_says_so():
    net = layout_of(np.array([[1.0, 20.0, 50.0], [0.0, 0.0, 0.0]])).net
    queue = new_queue((net.ring_mask + 1) * net.n_pops, 2)
    assert not activate(net, queue, 1, 0, 0.0, 1.0)
