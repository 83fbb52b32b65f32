"""Arrivals of one neuron in one window: any number in any order is sorted, in n log n steps, and stays stable."""

import numba
import numpy as np
import pytest

from eventsnn import EventStorm, Network, Normal, SpikeBatch, Uniform, losses, simulate, value_and_grad
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.problem import Problem, Run
from eventsnn.kernels.events.arrivals import insert, merge_runs
from eventsnn.kernels.workspace import RUN, Arrival, make_workspace
from eventsnn.testing import compare_engines


@numba.njit
def sort(work, left, weight):
    """Insert all arrivals as the walk does; returns False for no room."""
    for n in range(left.size):
        if not insert(work, n, left[n], weight[n]):
            return False
    merge_runs(work.sorted, work.spare, left.size)
    return True


def sorted_arrivals(left, capacity=None):
    """(left, weight) as sorted by the kernel; the weights are the numbers of the arrivals."""
    work = make_workspace(1, 1, 1, 1, capacity or max(4, left.size))
    assert sort(work, left, np.arange(float(left.size)))
    return work.sorted[Arrival.LEFT, : left.size], work.sorted[Arrival.WEIGHT, : left.size]


@pytest.mark.parametrize("n", (0, 1, 2, RUN - 1, RUN, RUN + 1, 2 * RUN, 2 * RUN + 1, 3 * RUN, 5 * RUN + 7, 1000))
@pytest.mark.parametrize("order", ("random", "ascending", "descending", "ties", "all equal"))
def test_arrivals_are_sorted_and_equal_ones_stay_in_order(n, order):
    rng = np.random.default_rng(n)
    left = {
        "random": rng.random(n),
        "ascending": np.arange(float(n)),
        "descending": np.arange(float(n))[::-1],
        "ties": rng.integers(0, 7, n).astype(float),
        "all equal": np.ones(n),
    }[order]
    expected = np.argsort(left, kind="stable")
    mine, weight = sorted_arrivals(left)
    np.testing.assert_array_equal(weight, expected)
    np.testing.assert_array_equal(mine, left[expected])


def test_a_full_buffer_is_told():
    work = make_workspace(1, 1, 1, 1, 8)
    assert not sort(work, np.arange(9.0), np.ones(9))


def test_two_million_arrivals_in_the_worst_order_do_not_hang():
    # by insertion alone this would be 2e12 moves: half an hour
    left = np.arange(2e6)[::-1]
    mine, _ = sorted_arrivals(left)
    np.testing.assert_array_equal(mine, left[::-1])


def test_a_burst_within_one_window_in_both_engines():
    network = Network()
    network.add_input("in", 20)
    network.add_lif("burst", 3, tau_mem=20.0, tau_syn=5.0)
    network.add_lif("out", 2, tau_mem=20.0, tau_syn=5.0)
    network.connect("in", "burst", weight=Normal(3.0, 3.0), delay=Uniform(0.0, 0.9))
    network.connect("burst", "out", weight=Normal(0.3, 0.2), delay=Uniform(0.0, 2.0))
    rng = np.random.default_rng(0)
    batch = SpikeBatch.from_lists([(rng.uniform(0.0, 1.0, 200), rng.integers(0, 20, 200))])
    parameters = network.initialize(0)
    recording = simulate(network, parameters, batch, duration=16.0)
    start, stop = recording.slices["burst"]
    bursts = np.histogram(recording.times[(recording.neurons >= start) & (recording.neurons < stop)], np.arange(17))[0]
    assert bursts.max() > 60  # some thirty a neuron and ms, out of 200 arrivals
    loss, labels = losses.FirstSpike(), np.array([0])
    assert (
        compare_engines(network, parameters, batch, labels, loss=loss, duration=16.0).n_spikes == recording.times.size
    )


def test_a_storm_ends_at_its_budget_whatever_its_arrivals():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 100)
    network.connect("in", "hidden", weight=3.0, delay=1.0)
    network.connect("hidden", "hidden", weight=1.0, delay=1.0)
    batch = SpikeBatch.from_lists([([1.0, 1.5, 2.0, 2.5], [0, 0, 0, 0])])
    # sorting by insertion, this takes minutes
    with pytest.raises(EventStorm) as caught:
        simulate(network, network.initialize(0), batch, duration=1000.0, max_spikes=160_000)
    assert caught.value.count == 160_000


@pytest.mark.filterwarnings("ignore:.*delays of 'hidden->hidden' are so long")
def test_a_spike_just_before_the_end_is_found_wherever_the_end_cuts_its_window():
    # arrivals summed as modes are carried back from the end of a whole window to where the last one is cut
    network, rng = Network(), np.random.default_rng(1)
    network.add_input("in", 30)
    network.add_lif("hidden", 40, tau_mem=20.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Normal(0.5, 0.3), delay=Uniform(0.0, 12.0))
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.1), delay=Uniform(1.0, 12.0))
    batch = SpikeBatch.from_lists([(rng.uniform(0.0, 60.0, 400), rng.integers(0, 30, 400))])
    parameters = network.initialize(0)
    times = np.sort(simulate(network, parameters, batch, duration=60.0).times)
    assert times.size > 200
    for k in range(0, times.size, 20):
        end = times[k] + 1e-9
        found = simulate(network, parameters, batch, duration=end, n_threads=1)
        assert found.times.size == np.count_nonzero(times < end)


def edge_case(seed, spread):
    """A readout on a grid of whole ms, where arrivals come on the edges of windows: (network, parameters, batch)."""
    rng = np.random.default_rng(seed)
    network = Network()
    network.add_input("in", 4)
    tau_mem, tau_syn = ((20.0, 5.0), (8.0, 4.0))[seed % 2]
    network.add_readout("out", 3, tau_mem=tau_mem, tau_syn=tau_syn)
    delay = rng.integers(0, 4, (4, 3)).astype(float)
    network.connect("in", "out", weight=rng.normal(0.0, 1.0, (4, 3)), delay=delay)
    times = np.sort(rng.integers(0, spread, 12)).astype(float)
    batch = SpikeBatch.from_lists([(times, rng.integers(0, 4, 12))])
    return network, network.initialize(0), batch


# The state between windows is rounded in another way than the walk within one.
@pytest.mark.parametrize("spread", (40, 200))
def test_arrivals_on_the_edges_of_windows_that_end_a_maximum_get_their_share(spread):
    n_ended = 0
    for seed in range(60):
        network, parameters, batch = edge_case(seed, spread)
        found, expected = (
            value_and_grad(
                network, parameters, batch, [0], loss=losses.MaxVoltage(), duration=spread + 20.0, engine=engine,
                return_recording=True,
            )
            for engine in ("compiled", "reference")
        )  # fmt: skip
        mine, right = found[2].readouts["out"], expected[2].readouts["out"]
        above = right.maximum > 0.0
        np.testing.assert_allclose(
            mine.maximum_share[above], right.maximum_share[above], rtol=0, atol=1e-9, err_msg=str(seed)
        )
        np.testing.assert_allclose(mine.maximum, right.maximum, rtol=1e-13)
        for name, gradient in expected[1].items():
            atol = 1e-14 + 1e-10 * np.abs(gradient).max()
            np.testing.assert_allclose(found[1][name], gradient, rtol=0, atol=atol, err_msg=f"{seed} {name}")
        n_ended += np.count_nonzero(right.maximum_share[above] != 1.0)
    assert n_ended > 15


def test_an_arrival_on_the_edge_that_a_leap_ends_at_gets_its_share_of_a_maximum():
    rng = np.random.default_rng(0)
    network = Network(min_delay=0.25)
    network.add_input("in", 2)
    network.add_lif("cycle", 1)
    network.add_readout("out", 1, tau_mem=20.0, tau_syn=5.0)
    network.connect("cycle", "cycle", weight=1.0, delay=0.25)  # short windows, so that a silence has many
    network.connect("in", "out", weight=np.array([[1.0], [-1.0]]))
    counts = rng.uniform(0.5, 1.0, 100)
    batch = SpikeBatch.from_lists([([0.0, 4.0 + k % 5], [0, 1], [count, 5.0]) for k, count in enumerate(counts)])
    mine, right = (
        simulate(network, network.initialize(0), batch, duration=40.0, engine=engine).readouts["out"]
        for engine in ("compiled", "reference")
    )
    assert np.all(right.maximum_share != 1.0)
    np.testing.assert_allclose(mine.maximum_share, right.maximum_share, rtol=0, atol=1e-9)


def shared_case(seed):
    """Rows that share a delay, dense and not, onto populations of one pair of time constants; spikes that count."""
    rng = np.random.default_rng([seed, 60])
    network, per = Network(), ("neuron", "connection", "neuron")[seed % 3]
    network.add_input("in", 5)
    # more neurons than lanes, in no multiple of them
    n = 19 + 16 * (seed % 2)
    network.add_lif("hidden", n, tau_mem=18.0, tau_syn=6.0)
    network.add_readout("out", 3, tau_mem=15.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Normal(0.5, 0.4), delay=Uniform(0.0, 9.0), delay_per=per)
    mask = rng.random((n, n)) < 0.7 if seed > 2 else None
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.3), delay=Uniform(1.0, 4.0), delay_per=per, mask=mask)
    network.connect("hidden", "out", weight=Normal(0.2, 0.5), delay=Uniform(0.0, 3.0), delay_per=per)
    network.connect("in", "out", weight=Normal(0.2, 0.5))
    trains = [(rng.uniform(0, 35, 30), rng.integers(0, 5, 30), rng.integers(1, 5, 30) * 0.5) for _ in range(2)]
    return network, network.initialize(seed), SpikeBatch.from_lists(trains), rng.integers(0, 3, 2)


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_share_a_delay_count_their_spikes(seed):
    """Many a neuron fires in the very window in which a row arrives there: it must be collected once, not twice."""
    loss = losses.MaxVoltage() if seed % 2 else losses.MeanVoltage()
    case = shared_case(seed)
    assert simulate(*case[:3], duration=40.0).times.size > 100
    assert compare_engines(*case, loss=loss, duration=40.0).gradient_error < 1e-9


@pytest.mark.parametrize(("n", "n_inputs", "n_spikes"), [(40, 30, 60), (400, 4, 6)])
@pytest.mark.parametrize("delay", [None, 2.5])
def test_sparse_whole_rows_are_looked_through_or_searched_for_suspects(n, n_inputs, n_spikes, delay):
    # many suspects and short rows; few suspects and long rows; a dense row and a second sparse one beside them
    network = Network()
    network.add_input("in", n_inputs)
    network.add_lif("hidden", n, tau_mem=20.0, tau_syn=10.0)
    network.add_lif("out", 3, tau_mem=20.0, tau_syn=8.0)
    rng = np.random.default_rng(n)
    strong = rng.normal(0.2, 0.4, (n_inputs, n))
    strong[:, :6] = 3.0
    network.connect("in", "hidden", weight=strong, delay=delay, delay_per="connection", sparsity=0.3)
    network.connect("in", "hidden", weight=Normal(0.1, 0.2), sparsity=0.5, name="again")
    network.connect("in", "hidden", weight=Normal(0.1, 0.1), name="dense")
    network.connect("hidden", "out", weight=Normal(1.0, 1.0), sparsity=0.5)
    parameters = network.initialize(0)
    times = np.sort(np.round(rng.uniform(0, 30.0, n_spikes) * 4) / 4)
    batch = SpikeBatch.from_lists([(times, rng.integers(0, n_inputs, n_spikes))])
    assert compare_engines(network, parameters, batch, [0], loss=losses.FirstSpike(), duration=40.0).n_spikes > 6
    runs = []
    for capacity in (1, 4096):
        problem = Problem(network, parameters, {"in": batch}, Run(40.0, {}, capacity=capacity))
        runs.append(compiled.forward(problem)[0])
    assert np.array_equal(runs[0].times, runs[1].times) and np.array_equal(runs[0].neurons, runs[1].neurons)
