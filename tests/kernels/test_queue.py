"""The calendar queue against plain lists: nothing is lost, nothing leaks, and rows arrive synapse by synapse."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Network, SpikeBatch, Uniform
from eventsnn.engines.cpu.buffers import in_flight
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.kernels import queue as kernels
from eventsnn.kernels.events import forward as forward_kernels
from eventsnn.kernels.queue import NOTHING, make_queue
from eventsnn.kernels.state import BLOCK, JUMP, Jumps, Status
from eventsnn.kernels.workspace import NONE, make_workspace

clear = numba.njit(lambda queue: kernels.clear(queue))
new_event = numba.njit(lambda queue: kernels.new_event(queue))
put = numba.njit(lambda queue, bucket, item: kernels.put(queue, bucket, item))
take_all = numba.njit(lambda queue, bucket: kernels.take_all(queue, bucket))
release = numba.njit(lambda queue, item: kernels.release(queue, item))
activate = numba.njit(
    lambda net, work, pop, local, time, count, stretch: forward_kernels.activate(
        net, work, pop, local, time, count, stretch
    )
)
begin_stretch = numba.njit(lambda net, work, stretch: forward_kernels.begin_stretch(net, work, stretch))


def taken(queue, bucket):
    """The numbers of a bucket's events, which leave it."""
    item, found = take_all(queue, bucket), []
    while item >= 0:
        found.append(int(item))
        item = queue.events[item]["next"]
    return found


@given(st.lists(st.tuples(st.sampled_from(["put"] * 4 + ["move", "free"]), st.integers(0, 3)), max_size=200))
def test_a_queue_is_four_lists(steps):
    queue, lists = make_queue(4, 40), [[] for _ in range(4)]
    for step, bucket in steps:
        if step == "put":
            item = new_event(queue)
            assert (item == NOTHING) == (sum(map(len, lists)) == 40)
            if item != NOTHING:
                assert item not in sum(lists, [])
                put(queue, bucket, item)
                lists[bucket].insert(0, item)
            continue
        assert taken(queue, bucket) == lists[bucket]
        moved, lists[bucket] = lists[bucket], []
        for item in moved:
            if step == "free":
                release(queue, item)
            else:
                put(queue, (bucket + 1) % 4, item)
                lists[(bucket + 1) % 4].insert(0, item)
    assert queue.use["live"][0] == sum(map(len, lists))
    assert [taken(queue, bucket) for bucket in range(4)] == lists


def test_released_room_is_used_again_for_ever():
    queue = make_queue(1, 2)
    for _ in range(1000):
        one, two = new_event(queue), new_event(queue)
        assert {one, two} == {0, 1} and new_event(queue) == NOTHING
        release(queue, one)
        release(queue, two)
    assert queue.use["live"][0] == 0


def test_clear_forgets_everything():
    queue = make_queue(2, 2)
    put(queue, 1, new_event(queue))
    clear(queue)
    assert queue.use["live"][0] == 0 and taken(queue, 1) == []
    assert new_event(queue) == 0


def layout_of(delay, delay_per="synapse", mask=None, duration=100.0, n_post=3):
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", n_post)
    weight = np.arange(2.0 * n_post).reshape(2, n_post) + 1.0
    weight[:, 1::5] *= -1.0
    weight = weight if mask is None else weight[mask]
    network.connect("in", "a", weight=weight, delay=delay, delay_per=delay_per, mask=mask)
    return Layout(network, network.initialize(), Run(duration, {}))


def buffers(net, capacity=600):
    return make_workspace(net.neurons.size, net.n_pops, net.stretch, (net.ring_mask + 1) * net.n_pops, capacity)


def listed(net, work, window):
    """The arrivals that a window's lists hold: (time, weight, target), each list from its end."""
    first = window % net.stretch * net.neurons.size
    for j in range(net.neurons.size):
        for sign in range(2):
            chain, n = [], work.head[2 * (first + j) + sign]
            while n != NONE:
                block = work.blocks[n // BLOCK]
                s = block["first"] + n % BLOCK
                assert net.slot[s] == 4 * j + 2 * sign and sign == (net.weight[s] < 0)
                chain.append((float(block["time"] + net.delay[s]), float(block["count"] * net.weight[s]), j))
                n = work.link[n]
            yield from reversed(chain)


def assert_modes(net, work, window, found):
    """The modes of a window are what its arrivals add up to, at the end of its stretch."""
    first = window % net.stretch * net.neurons.size
    finish = ((window >> net.shift) + 1) * net.stretch * net.h
    expected = np.zeros((net.neurons.size, 2, 2))
    for when, charge, j in found:
        for k, key in enumerate(("tau_mem", "tau_syn")):
            expected[j, int(charge < 0), k] += charge * np.exp(-(finish - when) / net.neurons[key][j])
    modes = work.modes[4 * first : 4 * (first + net.neurons.size)]
    np.testing.assert_allclose(modes, expected.reshape(-1), rtol=1e-13)


def delivered(net, spikes):
    """What some spikes (local, time, count) deliver, window by window: arrivals (time, weight, target), and whole rows
    (time, first synapse)."""
    work = buffers(net)
    queue = work.queue
    arrivals, rows, waiting = [], [], list(spikes)
    for window in range(net.n_windows):
        end, stretch = min((window + 1) * net.h, net.duration), window >> net.shift
        if window % net.stretch == 0:
            assert begin_stretch(net, work, stretch)
        while waiting and waiting[0][1] < end:
            assert activate(net, work, 1, *waiting.pop(0), stretch) == Status.OK
        cell = window % net.stretch * net.n_pops
        found = list(listed(net, work, window))
        assert all(window * net.h <= when < end for when, _, _ in found)
        assert work.cells[cell]["touched"] or not found
        assert_modes(net, work, window, found)
        arrivals += sorted(found)
        first = window % net.stretch * net.neurons.size
        work.head[2 * first : 2 * (first + net.neurons.size)] = NONE
        work.modes[4 * first : 4 * (first + net.neurons.size)] = 0.0
        item = work.cells[cell]["first_row"]
        while item >= 0:
            rows.append((float(queue.events[item]["time"]), int(queue.events[item]["at"])))
            item = queue.events[item]["next"]
    assert queue.use["live"][0] == len(rows)
    return arrivals, rows


@pytest.mark.parametrize("count", [1.0, 3.0])
def test_a_spike_arrives_once_at_each_synapse_in_its_window(count):
    delays = np.array([[1.0, 20.0, 5.5], [0.0, 0.0, 0.0]])
    arrivals, rows = delivered(layout_of(delays).net, [(0, 7.25, count)])
    assert arrivals == [(8.25, count, 0), (12.75, 3.0 * count, 2), (27.25, -2.0 * count, 1)] and rows == []


@pytest.mark.parametrize("n_post", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3])
@pytest.mark.parametrize("spread", [0.0, 0.4, 30.0])
def test_rows_longer_than_a_block(n_post, spread):
    delays = np.random.default_rng(n_post).uniform(2.0, 2.0 + spread, (2, n_post))
    net = layout_of(delays, n_post=n_post).net
    spikes = [(0, 3.0, 1.0), (1, 3.125, 2.0), (0, 40.0, 1.0)]
    arrivals, _ = delivered(net, spikes)
    assert len(arrivals) == 3 * n_post
    expected = [
        (time + delays[local, j], (local * n_post + j + 1.0) * count * (-1.0 if j % 5 == 1 else 1.0), j)
        for local, time, count in spikes
        for j in range(n_post)
    ]
    for one, two in zip(sorted(arrivals), sorted(expected), strict=True):
        assert one == pytest.approx(two, abs=1e-13)


@given(
    st.floats(0.0, 50.0),
    st.lists(
        st.tuples(st.integers(1, 24), st.sampled_from([0.0, 1e-16, 1e-15, 1e-9, 1e-6, 1e-5, 3e-5, 1e-4, 0.3])),
        min_size=1,
    ),
    st.sampled_from([-1.0, 1.0]),
)
def test_arrivals_beside_the_edge_of_a_window_are_found_in_theirs(time, offsets, side):
    """Delays counted in ticks cannot tell windows apart to the last digit."""
    h = layout_of(np.full((2, 200), 1.0), n_post=200).net.h
    edges = (np.floor(time / h) + np.array([n for n, _ in offsets])) * h
    delays = np.abs(edges * (1.0 + side * np.array([shift for _, shift in offsets])) - time)
    net = layout_of(np.resize(delays, (2, 200)), n_post=200).net
    arrivals, _ = delivered(net, [(0, time, 1.0)])
    expected = time + np.resize(delays, (2, 200))[0]
    assert sorted(when for when, _, _ in arrivals) == sorted(expected[expected < net.duration])


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
    arrivals, _ = delivered(net, [(0, 8.0, 1.0)])
    assert arrivals == [(pytest.approx(9.0, abs=1e-14), 1.0, 0)]


@pytest.mark.parametrize("delay_per", ["neuron", "connection"])
def test_a_dense_shared_delay_is_one_whole_row(delay_per):
    delay = np.array([2.0, 4.0]) if delay_per == "neuron" else 2.0
    net = layout_of(delay, delay_per).net
    arrivals, rows = delivered(net, [(1, 3.0, 2.0)])
    assert arrivals == [] and rows == [(7.0 if delay_per == "neuron" else 5.0, net.row_ptr[1])]


def test_a_sparse_shared_delay_is_a_whole_row_too():
    mask = np.array([[True, False, True], [False, True, False]])
    net = layout_of(2.0, "connection", mask).net
    arrivals, rows = delivered(net, [(0, 3.0, 2.0), (1, 4.0, 1.0)])
    assert arrivals == [] and sorted(rows) == [(5.0, net.row_ptr[0]), (6.0, net.row_ptr[1])]


def test_a_spike_that_finds_no_room_says_so():
    net = layout_of(np.array([[300.0, 600.0, 900.0], [300.0, 600.0, 900.0]]), duration=1000.0).net
    work = buffers(net)._replace(queue=buffers(net, 1).queue)
    assert begin_stretch(net, work, 0)
    assert activate(net, work, 1, 0, 0.0, 1.0, 0) == Status.OK
    assert activate(net, work, 1, 1, 0.0, 1.0, 0) == Status.QUEUE_FULL


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_arrivals_that_find_no_room_say_so(spread):
    delays = np.full((2, 300), 0.25) + np.linspace(0.0, spread, 600).reshape(2, 300)
    net = layout_of(delays, n_post=300).net
    work = buffers(net, 1)
    assert begin_stretch(net, work, 0)
    assert activate(net, work, 1, 0, 0.0, 1.0, 0) == Status.ARRIVALS_FULL


@pytest.mark.parametrize(
    ("delays", "n_post", "stretch"),
    [(Uniform(0, 1), 40, 2), (Uniform(0, 20), 40, 8), (Uniform(0, 90), 40, 32), (Uniform(0, 90), 400, 4)],
)
def test_the_fewer_synapses_in_a_window_the_longer_the_stretch(delays, n_post, stretch):
    net = layout_of(delays, n_post=n_post).net
    assert net.stretch == 1 << net.shift and net.stretch == stretch


@pytest.mark.parametrize(("n_in", "h", "doublings"), [(2, 4.0, 3), (20, 2.0, 2), (100, 0.5, 0)])
def test_the_fewer_synapses_the_longer_the_windows(n_in, h, doublings):
    network = Network()
    network.add_input("in", n_in)
    network.add_lif("a", 3, tau_mem=20.0, tau_syn=5.0)
    network.connect("in", "a", weight=1.0)
    net = Layout(network, network.initialize(), Run(100.0, {})).net
    assert (net.h, net.model.doublings, net.model.part) == (h, doublings, 0.5**doublings)


@pytest.mark.parametrize("widest", [1.0, 30.0])
def test_the_backward_queue_holds_exactly_what_is_said(widest):
    """Every spike that the walk has within reach is in flight at once when all their rows reach to the end."""
    network = Network()
    network.add_input("in", 40)
    network.add_readout("out", 2)
    network.connect("in", "out", weight=1.0, delay=np.tile([0.0, widest], (40, 1)))
    layout = Layout(network, network.initialize(), Run(64.0, {}))
    times = np.linspace(0.0, 63.0, 40)
    spikes = layout.gather_inputs({"in": SpikeBatch.from_lists([(times, np.arange(40))])})
    jumps = Jumps(np.zeros(0, JUMP), np.zeros(2, np.int64))
    stretch = (times * layout.net.per_ms).astype(int) >> layout.net.shift
    within = [int(np.sum((stretch <= s) & (stretch >= s - layout.net.ring_mask))) for s in range(stretch.max() + 1)]
    assert in_flight(layout.net, spikes, jumps) == max(within)
