"""The backward pass: a gradient in closed form, and a time that does not grow with the number of time constants."""

import math

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, engines, value_and_grad
from eventsnn.engines.reference import lif as reference
from eventsnn.losses import MeanVoltage, SpikeTimeRegression

ENGINES = engines.names()


def test_a_backward_pass_does_not_grow_with_the_number_of_time_constants(monkeypatch):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 2, tau_syn=0.001, train=("tau_mem", "tau_syn"))
    network.add_readout("out", 1, tau_syn=0.001, train=("tau_mem", "tau_syn"))
    network.connect("in", "hidden", weight=6e4, delay=1.0)
    network.connect("hidden", "out", weight=1.0, delay=1.0)
    batch, labels = SpikeBatch.from_lists([([1.0, 5.0], [0, 0])]), np.array([[2.5, 3.5]])
    calls, flow = [], reference.flow
    monkeypatch.setattr(reference, "flow", lambda *arguments: calls.append(1) or flow(*arguments))
    arguments = {"loss": SpikeTimeRegression(population="hidden"), "duration": 1000.0, "n_threads": 1}
    gradients = [
        value_and_grad(network, network.initialize(), batch, labels, engine=engine, **arguments)[1]
        for engine in ENGINES
    ]
    # a thousand milliseconds are a million time constants
    assert len(calls) < 100_000
    for name in ("hidden.tau_mem", "hidden.tau_syn"):
        np.testing.assert_allclose(gradients[0][name], gradients[1][name], rtol=1e-10)
        assert np.all(gradients[0][name] != 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradient_of_one_synapse_in_closed_form(engine):
    # V = w (y - y^2) with y = e^{-(t - s)/tau_mem}; the readout's integral over the whole future would be a weight, and
    # its mean voltage moves with the spike only through the end of the simulation
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 2, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "out", weight=np.array([[1.0, 0.5]]), delay=3.0)
    batch, duration = SpikeBatch.from_lists([([2.0], [0])]), 45.0
    arguments = {"loss": MeanVoltage(), "duration": duration, "engine": engine, "n_threads": 1, "input_times": True}
    value, gradients, times = value_and_grad(network, network.initialize(), batch, np.array([0]), **arguments)
    left = duration - 5.0
    y = math.exp(-left / 20.0)
    unit = (20.0 * (1 - y) - 10.0 * (1 - y**2)) / duration  # the mean of y - y^2
    p = 1 / (1 + math.exp(0.5 * unit))  # of the wrong class
    assert value == pytest.approx(-math.log(1 - p), rel=1e-13)
    np.testing.assert_allclose(gradients["in->out.weight"], [[-p * unit, p * unit]], rtol=1e-12)
    pull = -(y - y**2) / duration  # d unit / d arrival
    np.testing.assert_allclose(gradients["in->out.delay"], [[-p * pull, p * 0.5 * pull]], rtol=1e-11)
    np.testing.assert_allclose(times["in"], [-0.5 * p * pull], rtol=1e-11)
