"""Spikes, contacts with the threshold and voltages in closed form and extended precision, of both engines."""

import math

import mpmath
import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, engines, simulate
from eventsnn.spikes import Probe

ENGINES = engines.names()


@pytest.mark.parametrize("engine", ENGINES)
def test_first_spike_of_one_synapse_is_the_root_of_a_quadratic(engine):
    # tau_mem = 2 tau_syn: with y = e^{-t/tau_mem}, V = w (y - y^2), and V = 1 where y is the larger root
    weight = 5.0
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=weight, delay=2.5)
    batch = SpikeBatch.from_lists([([4.0], [0])])
    recording = simulate(network, network.initialize(), batch, duration=14.0, engine=engine, n_threads=1)
    y = 0.5 * (1 + math.sqrt(1 - 4 / weight))
    assert recording.times.tolist() == [pytest.approx(6.5 - 20.0 * math.log(y), abs=1e-12)]
    # tau_mem dV/dt = I - V with I = w y^2
    assert recording.slopes[0] == pytest.approx(weight * y**2 - 1.0, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_current_survives_the_reset(engine):
    weight, tau_mem, tau_syn = 9.0, 20.0, 10.0
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=tau_mem, tau_syn=tau_syn)
    network.connect("in", "hidden", weight=weight)
    batch = SpikeBatch.from_lists([([0.0], [0])])
    times = simulate(network, network.initialize(), batch, duration=100.0, engine=engine, n_threads=1).times
    expected, current, now = [], weight, 0.0
    while current > 4.0:  # the response to a unit jump peaks at 1/4
        y = 0.5 * (1 + math.sqrt(1 - 4 / current))
        now -= tau_mem * math.log(y)
        current *= y**2
        expected.append(now)
    assert len(expected) >= 2
    np.testing.assert_allclose(times, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("taus", [(20.0, 10.0, 4.0), (10.0, 20.0, 2.0), (30.0, 15.0, 4.0), (5.0, 2.5, 4.0)])
@pytest.mark.parametrize("delay", [0.0, 0.3, 2.7])
def test_a_peak_that_equals_the_threshold_fires_in_neither_engine(taus, delay):
    # tau_mem = 2 tau_syn: the response to a unit peaks at 1/4; tau_syn = 2 tau_mem: at 1/2
    tau_mem, tau_syn, weight = taus
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=tau_mem, tau_syn=tau_syn)
    network.connect("in", "hidden", weight=weight, delay=delay)
    batch = SpikeBatch.from_lists([([time], [0]) for time in (0.0, 0.1, 1.0, 2.5, 7.3, 100.0)])
    for engine in ENGINES:
        recording = simulate(network, network.initialize(), batch, duration=250.0, engine=engine, n_threads=1)
        assert recording.times.size == 0 and np.all(recording.counters.grazing == 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("start", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("later", [2.0, 3.0, 6.3])  # the second is on the edge of a window
def test_an_arrival_at_the_instant_of_a_crossing_acts_first(engine, start, later):
    weight, tau_mem, tau_syn = 4.0, 20.0, 10.0
    with mpmath.workdps(40):
        x = mpmath.mpf(start + later) - mpmath.mpf(start)
        threshold = float(weight * (mpmath.exp(-x / tau_mem) - mpmath.exp(-x / tau_syn)))
    for second, fires in ((-5.0, False), (-0.01, True), (1.0, True)):
        network = Network()
        network.add_input("in", 2)
        network.add_lif("hidden", 1, tau_mem=tau_mem, tau_syn=tau_syn, v_threshold=threshold)
        network.connect("in", "hidden", weight=np.array([[weight], [second]]))
        batch = SpikeBatch.from_lists([([start, start + later], [0, 1])])
        times = simulate(network, network.initialize(), batch, duration=start + 8.0, engine=engine, n_threads=1).times
        assert (times.size > 0) == fires
        np.testing.assert_allclose(times[:1], start + later, rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tau_mem", "tau_syn", "highest"), [(20.0, 10.0, 0.25), (10.0, 20.0, 0.5)])
@pytest.mark.parametrize("before", [0.0, 1e-8, 1e-7, 3e-7])  # ms
def test_an_arrival_just_before_a_contact_does_not_turn_it_into_a_spike(engine, tau_mem, tau_syn, highest, before):
    # V stands at the threshold, to rounding, and the current exceeds it, but V climbs no further
    peak = 20.0 * math.log(2.0)
    for below, fires in ((0.0, False), (3e-15, False), (1e-13, True)):
        network = Network()
        network.add_input("in", 2)
        network.add_lif("hidden", 1, tau_mem=tau_mem, tau_syn=tau_syn, v_threshold=highest * (1 - below))
        network.connect("in", "hidden", weight=np.array([[1.0], [0.0]]))
        batch = SpikeBatch.from_lists([([0.0, peak - before], [0, 1])])
        found = simulate(network, network.initialize(), batch, duration=30.0, engine=engine, n_threads=1)
        assert (found.times.size > 0) == fires


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("taus", [(20.0, 5.0), (10.0, 10.0), (5.0, 12.0), (10.0, 10.0 * (1 + 1e-9))])
def test_readout_integral_and_maximum_in_extended_precision(engine, taus):
    tau_mem, tau_syn = taus
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 1, tau_mem=tau_mem, tau_syn=tau_syn)
    network.connect("in", "out", weight=1.5, delay=3.0)
    batch = SpikeBatch.from_lists([([1.0, 9.0], [0, 0], [1.0, 2.0])])
    probes = {"out": Probe(decay_rate=0.02, maximum=True)}
    recording = simulate(network, network.initialize(), batch, duration=50.0, engine=engine, n_threads=1, probes=probes)
    with mpmath.workdps(40):
        a, b = mpmath.mpf(tau_mem), mpmath.mpf(tau_syn)

        def psp(t):
            if t <= 0:
                return mpmath.mpf(0)
            return t / a * mpmath.exp(-t / a) if a == b else b / (a - b) * (mpmath.exp(-t / a) - mpmath.exp(-t / b))

        def voltage(t):
            return mpmath.mpf(1.5) * (psp(t - 4) + 2 * psp(t - 12))

        integral = mpmath.quad(lambda t: voltage(t) * mpmath.exp(-mpmath.mpf(0.02) * t), [0, 4, 12, 20, 30, 50])
        when = mpmath.findroot(lambda t: mpmath.diff(voltage, t), 12 + min(tau_mem, tau_syn) * 0.8)
        highest = voltage(when)
    readout = recording.readouts["out"]
    assert readout.integral[0, 0] == pytest.approx(float(integral), rel=1e-13)
    assert readout.maximum[0, 0] == pytest.approx(float(highest), rel=1e-14)
    assert readout.maximum_time[0, 0] == pytest.approx(float(when), abs=1e-6)
