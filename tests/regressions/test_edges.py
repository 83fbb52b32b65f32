"""Faults that were found once, each at an edge that no drawn test had reached."""

import numpy as np
import pytest

from eventsnn import Cotangents, InvalidInput, Network, Probe, SpikeBatch, losses, simulate, value_and_grad


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
