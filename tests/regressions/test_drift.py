"""Errors must not grow with the number of windows: slow neurons beside fast ones, and long runs, against mpmath."""

from functools import cache

import mpmath
import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, losses, simulate, value_and_grad
from eventsnn.engines.problem import Run
from eventsnn.engines.reference import simulation as reference
from eventsnn.engines.reference.arithmetic import mpmath_arithmetic
from eventsnn.engines.reference.lif import Constants

EPS = np.finfo(float).eps
TAU_MEM, TAU_SYN, THRESHOLD = 3.0, 500.0, 0.3
# A spike time may be off by this many roundings of itself and of the threshold over the slope.
ROUNDINGS = 8
# What must not matter: an unconnected part whose time constants or delays make windows short.
PARTS = {
    "nothing": {},
    "short time constants": {"tau_mem": 0.1, "tau_syn": 0.05},
    "a million times shorter time constants": {"tau_mem": 5e-4, "tau_syn": 2.5e-4},
    "a short cycle": {"tau_mem": 20.0, "tau_syn": 5.0, "cycle": 0.1},
}


def slow_network(tau_mem=None, tau_syn=None, cycle=None, train=()):
    """One neuron with a long memory and a readout, beside a part with these time constants (ms) and cycle delay."""
    network = Network(min_delay=0.05)
    network.add_input("in", 1)
    network.add_lif("slow", 1, tau_mem=TAU_MEM, tau_syn=TAU_SYN, v_threshold=THRESHOLD, train=train)
    network.add_readout("out", 2, tau_mem=200.0, tau_syn=5.0)
    network.connect("in", "slow", weight=0.6, delay=0.7)
    network.connect("slow", "out", weight=np.array([[0.1, -0.2]]), delay=1.3)
    if tau_mem is not None:
        network.add_input("other", 1)
        network.add_lif("fast", 2, tau_mem=tau_mem, tau_syn=tau_syn)
        network.connect("other", "fast", weight=0.1, delay=0.2)
    if cycle is not None:
        network.connect("fast", "fast", weight=0.01, delay=cycle)
    return network


def inputs(network, times, duration):
    """The spikes of the slow neuron's input, and others every half millisecond, so that no window is leapt over."""
    batch = {"in": SpikeBatch.from_lists([(times, np.zeros(len(times), int))])}
    if "other" in network.populations:
        other = np.arange(0.05, min(duration, 2000.0), 0.5)
        batch["other"] = SpikeBatch.from_lists([(other, np.zeros(len(other), int))])
    return batch


def input_times(duration, n):
    return np.sort(np.random.default_rng(1).uniform(0, 0.9 * duration, n))


@cache
def exact_spikes(duration, n):
    """(times, bars in ms) of the slow neuron's spikes, by the reference engine at 40 digits."""
    network = slow_network()
    with mpmath.workdps(40):
        exact = np.vectorize(lambda x: mpmath.mpf(float(x)), otypes=[object])
        parameters = {name: exact(value) for name, value in network.initialize(0).items()}
        simulation = reference.Simulation(network, parameters, Run(duration, {}, 1, 10**6), mpmath_arithmetic())
        for neuron in simulation.neurons.values():
            exactly = (None if c is None else mpmath.mpf(float(c)) for c in neuron.constants)
            neuron.constants = Constants(*exactly)
            neuron.state, neuron.time = (mpmath.mpf(0), mpmath.mpf(0)), mpmath.mpf(0)
        times = input_times(duration, n)
        simulation.run({"in": (exact(times), np.zeros(n, int), np.ones(n))})
        slopes = np.array([float(slope) / TAU_MEM for _, _, slope in simulation.spikes])
        spikes = [time for time, _, _ in simulation.spikes]
    return spikes, ROUNDINGS * EPS * (np.array(spikes, float) + THRESHOLD / slopes)


def errors_in_bars(part, duration, n):
    network, (exact, bars) = slow_network(**PARTS[part]), exact_spikes(duration, n)
    batch = inputs(network, input_times(duration, n), duration)
    recording = simulate(network, network.initialize(0), batch, duration=duration)
    start, stop = recording.slices["slow"]
    times = recording.times[(recording.neurons >= start) & (recording.neurons < stop)]
    assert len(times) == len(exact) > 100
    with mpmath.workdps(40):
        errors = [float(abs(mpmath.mpf(float(time)) - right)) for time, right in zip(times, exact, strict=True)]
    return np.max(errors / bars)


@pytest.mark.parametrize("part", PARTS)
def test_spike_times_do_not_depend_on_how_many_windows_other_parts_make(part):
    assert errors_in_bars(part, 500.0, 4) <= 1.0


@pytest.mark.parametrize("part", ("nothing", "short time constants", "a short cycle"))
def test_spike_times_of_a_million_milliseconds(part):
    assert errors_in_bars(part, 1e6, 5) <= 1.0


@pytest.mark.parametrize("train", ((), ("tau_mem", "tau_syn", "v_threshold")), ids=("weights", "time constants too"))
@pytest.mark.parametrize("part", PARTS)
def test_gradients_do_not_depend_on_how_many_windows_other_parts_make(part, train):
    duration, times = 500.0, input_times(500.0, 4)

    def gradients(engine, **other):
        network = slow_network(**other, train=train)
        batch = inputs(network, times, duration)
        return value_and_grad(
            network, network.initialize(0), batch, np.array([0]), loss=losses.MeanVoltage(), duration=duration,
            engine=engine,
        )  # fmt: skip

    (value, right), (found, mine) = gradients("reference"), gradients("compiled", **PARTS[part])
    assert found == pytest.approx(value, rel=1e-14)
    for name, gradient in right.items():
        np.testing.assert_allclose(mine[name], gradient, rtol=1e-12, atol=1e-12 * np.abs(gradient).max(), err_msg=name)
