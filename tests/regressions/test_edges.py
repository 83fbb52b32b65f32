"""Faults that were found once, each at an edge that no drawn test had reached."""

import numpy as np
import pytest

from eventsnn import (
    Cotangents,
    EventStorm,
    InvalidInput,
    Network,
    NetworkError,
    Probe,
    SpikeBatch,
    losses,
    simulate,
    value_and_grad,
)
from eventsnn.engines.cpu.memory import _idle, release_memory
from eventsnn.testing import compare_engines


def recurrent(delay, min_delay=0.1):
    network = Network(min_delay=min_delay)
    network.add_input("in", 1)
    network.add_lif("h", 2, tau_mem=200.0, tau_syn=100.0)
    network.connect("in", "h", weight=8.0)
    network.connect("h", "h", weight=0.5, delay=delay)
    return network


@pytest.mark.parametrize("exponent", [-4, -3, -2, -1, 0, 1, 2, 3, 4])
def test_a_delay_just_below_a_power_of_two_gives_a_window_that_fits(exponent):
    # a rounded log2 gave a window longer than the delay, and ordering the populations never ended
    network = recurrent(float(np.nextafter(2.0**exponent, 0)))
    batch, parameters = SpikeBatch.from_lists([([1.0], [0])]), network.initialize()
    spikes = [
        simulate(network, parameters, batch, duration=60.0, engine=engine, n_threads=1).spikes("h", 0)
        for engine in ("compiled", "reference")
    ]
    assert spikes[0][0].size and spikes[0][1].tolist() == spikes[1][1].tolist()
    np.testing.assert_allclose(spikes[0][0], spikes[1][0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", [7.73583140854908e-05, 1e-6, 3.3e-3, 0.4, 5.1])
def test_a_maximum_at_an_early_arrival_moves_with_that_arrival(time):
    # in the first window "end - left" is rounded by more than a relative nudge of so early a time
    network = Network()
    network.add_input("in", 2)
    network.add_readout("out", 2, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "out", weight=np.array([[1.0, 0.5], [-3.0, -3.0]]))
    batch = SpikeBatch.from_lists([([0.0, time], [0, 1])])
    times = [
        value_and_grad(
            network, network.initialize(), batch, np.array([0]), loss=losses.MaxVoltage(), duration=30.0,
            engine=engine, n_threads=1, input_times=True,
        )[2]["in"]
        for engine in ("compiled", "reference")
    ]  # fmt: skip
    assert times[1][1] < -0.005
    np.testing.assert_allclose(times[0], times[1], rtol=1e-9)


def test_settings_may_come_in_any_order():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("out", 2, tau_mem=15.0, tau_syn=4.0, v_threshold=0.9, train=True)
    network.connect("in", "out", weight=np.array([[3.0, 4.0]]))
    description = network.to_dict()
    for population in description["populations"]:
        population["settings"] = dict(reversed(population["settings"].items()))
    batch, loss = SpikeBatch.from_lists([([0.0, 2.0], [0, 0])]), losses.FirstSpike(tau=2.0)
    results = [
        value_and_grad(n, n.initialize(), batch, np.array([0]), loss=loss, duration=30.0, engine=engine, n_threads=1)
        for n in (network, Network.from_dict(description))
        for engine in ("compiled", "reference")
    ]
    for value, gradients in results[1:]:
        assert value == pytest.approx(results[0][0], rel=1e-12)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, results[0][1][name], rtol=1e-9, atol=1e-14)


def test_silent_neurons_do_not_raise_weights_that_are_not_trained():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("h", 2)
    network.connect("in", "h", weight=0.1, train=False)
    parameters = network.initialize()
    raised = losses.SilentNeuronRaise("h", 0.5)(network, parameters, np.zeros(2))
    assert np.array_equal(raised["in->h.weight"], parameters["in->h.weight"])


def test_adding_cotangents_leaves_both_as_they_were():
    one, other = (
        Cotangents(counts={"h": np.ones((1, 2))}),
        Cotangents(counts={"h": np.ones((1, 2)), "g": np.ones((1, 1))}),
    )
    total = one.plus(other)
    assert total.counts["h"].tolist() == [[2.0, 2.0]] and set(total.counts) == {"h", "g"}
    assert set(one.counts) == {"h"} and one.counts["h"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("rate", [-0.2, np.nan, np.inf])
def test_a_decay_rate_must_decay(rate):
    with pytest.raises(InvalidInput, match="decay_rate"):
        Probe(decay_rate=rate)


@pytest.mark.parametrize("engine", ["compiled"])
@pytest.mark.parametrize(("tau", "delay", "duration"), [(20.0, 5.0, 1e25), (1e-310, 5.0, 30.0), (20.0, 1e-310, 30.0)])
def test_absurd_scales_are_refused_in_words(engine, tau, delay, duration):
    # a bare OverflowError came from deep inside
    network = Network(min_delay=1e-320)
    network.add_input("in", 1)
    network.add_lif("h", 2, tau_mem=tau, tau_syn=10.0)
    network.connect("in", "h", weight=8.0)
    network.connect("h", "h", weight=0.5, delay=delay)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    with pytest.raises(NetworkError, match="too many windows"):
        simulate(network, network.initialize(), batch, duration=duration, engine=engine)


def test_a_ring_too_large_for_memory_is_refused():
    network = Network(min_delay=1e-6)
    network.add_input("in", 1)
    network.add_lif("h", 2)
    network.connect("in", "h", weight=8.0, delay=3e3)
    network.connect("h", "h", weight=0.5, delay=1e-6)
    with pytest.raises(NetworkError, match="shorten the delays"):
        simulate(network, network.initialize(), SpikeBatch.from_lists([([1.0], [0])]), duration=2e3)


@pytest.mark.parametrize(("indices", "indptr"), [([0, 5], [0, 1, 2]), ([0, -1], [0, 1, 2]), ([0, 1], [0, 2, 1])])
def test_a_description_with_impossible_synapses_is_refused(indices, indptr):
    # the kernels would have written outside their arrays
    network = Network()
    network.add_input("in", 2)
    network.add_lif("h", 2)
    network.connect("in", "h", weight=1.0, mask=np.eye(2, dtype=bool))
    description = network.to_dict()
    assert Network.from_dict(description).to_dict() == description
    description["connections"][0].update(indices=indices, indptr=indptr)
    with pytest.raises(InvalidInput) as caught:
        Network.from_dict(description)
    assert caught.value.array == "in->h.indices"


def test_rows_far_longer_and_shorter_than_a_block_of_synapses():
    rng = np.random.default_rng(0)
    network = Network()
    network.add_input("in", 5)
    network.add_lif("h", 70, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", 3, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "h", weight=rng.normal(2.0, 1.0, (5, 70)), delay=rng.choice([0.0, 2.0, 2.25, 7.0], (5, 70)))
    network.connect("h", "h", weight=rng.normal(0, 0.1, (70, 70)), delay=rng.uniform(1.0, 3.0, (70, 70)))
    network.connect("h", "out", weight=rng.normal(0, 0.3, (70, 3)), delay=rng.uniform(0.0, 20.0, (70, 3)))
    batch = SpikeBatch.from_lists([(np.sort(rng.uniform(0, 25, 12)), rng.integers(0, 5, 12)) for _ in range(2)])
    comparison = compare_engines(
        network, network.initialize(), batch, np.array([0, 2]), loss=losses.ExponentialMeanVoltage(), duration=30.0
    )
    assert comparison.n_spikes > 100


def test_a_small_wide_connection_does_not_enlarge_the_room_of_all():
    # 400 sparse rows at one instant, written down in each of 32 windows and 5 populations, took 5 GB
    from eventsnn.engines.cpu import engine as compiled
    from eventsnn.engines.problem import Problem, Run

    rng = np.random.default_rng(0)
    network = Network()
    network.add_input("in", 400)
    network.add_input("in2", 2)
    network.add_lif("h", 3000)
    network.add_readout("out", 3)
    network.connect("in", "h", weight=0.001, mask=rng.random((400, 3000)) < 0.5, delay=1.0, delay_per="neuron")
    network.connect("h", "out", weight=0.1)
    network.connect("in2", "out", weight=1.0, delay=np.array([[0.0, 200.0, 300.0], [0.0, 100.0, 300.0]]))
    inputs = {
        "in": SpikeBatch.from_lists([(np.linspace(1.0, 1.1, 400), np.arange(400))]),
        "in2": SpikeBatch.from_lists([([1.0], [0])]),
    }
    release_memory()
    _, (layout, _) = compiled.forward(Problem(network, network.initialize(), inputs, Run(350.0, {}, 1)))
    assert layout.net.stretch == 32
    ((_, kept),) = [pair for kind, pair in _idle.items() if kind == "forward"]
    arrays = [*kept[0], *kept[0].queue]
    assert sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) < 100e6
    release_memory()


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_maximum_at_the_start_moves_nothing(engine):
    # the reference let spikes given at time 0 feel the pull on a readout whose voltage only falls from there
    network = Network()
    network.add_input("in", 2)
    network.add_readout("out", 2)
    network.connect("in", "out", weight=np.array([[-1.0, -0.5], [-0.7, -0.2]]))
    batch = SpikeBatch.from_lists([([0.0, 0.0, 3.0], [0, 1, 0])])
    _, gradients, times = value_and_grad(
        network, network.initialize(), batch, [0], loss=losses.MaxVoltage(), duration=30.0, engine=engine,
        input_times=True,
    )  # fmt: skip
    assert not gradients["in->out.weight"].any() and not times["in"].any()


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(("weight", "count"), [(1.7e308, 1.0), (-1.7e308, 1.0), (10.0, 1e308), (1e31, 1.0)])
def test_what_would_overflow_is_refused_before_a_time_is_no_number(weight, count, engine):
    # sums of such weights were infinite, their spike times not a number, and a kernel that met one never ended
    network = Network()
    network.add_input("in", 1)
    network.add_lif("h", 1)
    network.add_lif("o", 1)
    network.connect("in", "h", weight=weight)
    network.connect("h", "o", weight=1.0)
    with pytest.raises(InvalidInput, match="1e.30"):
        batch = SpikeBatch.from_lists([([1.0, 2.0, 3.0], [0, 0, 0], [count] * 3)])
        simulate(network, network.initialize(), batch, duration=40.0, engine=engine)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_the_largest_weights_and_counts_are_simulated(engine):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("h", 1)
    network.add_readout("out", 2)
    network.connect("in", "h", weight=1e30)
    network.connect("in", "out", weight=1e30)
    batch = SpikeBatch.from_lists([([1.0], [0], [1e30])])
    with pytest.raises(EventStorm) as caught:
        simulate(network, network.initialize(), batch, duration=40.0, engine=engine, max_spikes=100)
    assert np.isfinite(caught.value.time) and caught.value.count == 100
