"""The backward pass by layers: as the reference engine, and as the windows that it does without.

Hazards: a jump at the instant of an arrival; many jumps of one neuron; arrivals after the last jump, or after the end;
rows in the order of delays, of targets, and sparse ones; counts; populations whose time constants differ; a readout
that is driven over a row of one delay or of many; connections that skip a layer; U that starts or rests elsewhere.
"""

import numpy as np
import pytest

from eventsnn import Constant, Network, Normal, SpikeBatch, Uniform, losses, simulate, value_and_grad
from eventsnn.engines.cpu import ways
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.kernels.events.layers import FEW
from eventsnn.spikes.cotangents import Probe
from eventsnn.testing import compare_engines

DURATION = 40.7  # ms


def layered(network, parameters, duration=DURATION, probes=None):
    """Whether the backward pass goes by layers."""
    return bool(Layout(network, parameters, Run(duration, probes or {})).net.layered)


def case(seed, trained=()):
    """Two layers and a readout: (network, parameters, two samples, some of whose times are equal, labels)."""
    rng = np.random.default_rng([seed, 19])
    network, grid = Network(), float(rng.choice([0.0, 0.5]))
    network.add_input("in", 4)
    network.add_input("other", 2)
    for name, n in (("first", 17), ("second", 9)):
        tau, ratio = float(rng.uniform(6.0, 20.0)), float(rng.choice([0.5, 0.3, 1.7]))
        rest = {"v_rest": 0.2, "v_reset": 0.1} if seed % 3 == 0 else {}
        network.add_lif(name, n, tau_mem=tau, tau_syn=tau * ratio, train=list(trained), **rest)
    network.add_readout("out", 3, tau_mem=15.0, tau_syn=6.0 if seed % 2 else np.array([6.0, 5.0, 7.0]))
    mask = rng.random((17, 9)) < 0.6 if seed % 4 == 1 else None
    longest = float(rng.choice([0.5, 9.0, 60.0]))
    network.connect("in", "first", weight=Normal(1.5, 1.0), delay=Uniform(0.0, longest))
    network.connect("first", "second", weight=Normal(0.3, 0.6), delay=Uniform(0.0, 9.0), mask=mask)
    network.connect("other", "second", weight=Normal(1.0, 1.0), delay=Uniform(0.0, 3.0))
    network.connect("second", "out", weight=Normal(0.2, 0.5), delay=Uniform(0.0, 9.0))
    network.connect("first", "out", weight=Normal(0.2, 0.5), delay=Uniform(0.0, 9.0), delay_per="neuron")
    network.connect("other", "out", weight=Normal(0.2, 0.5))
    parameters = network.initialize(seed)
    samples = {"in": [], "other": []}
    for name, n in (("in", 4), ("other", 2)):
        for size in (25, 0 if seed == 5 else 12):
            times = np.sort(rng.uniform(0.0, DURATION + 4.0, size))
            times = np.floor(times / grid) * grid if grid else times
            times = np.concatenate([times, [1e6][: size % 2]])  # long after the end
            samples[name].append((times, rng.integers(0, n, times.size), rng.integers(1, 4, times.size) * 0.5))
    if grid:
        for name in ("in->first.delay", "first->second.delay", "other->second.delay"):
            parameters[name] = np.round(parameters[name] / grid) * grid
    batch = {name: SpikeBatch.from_lists(trains) for name, trains in samples.items()}
    return network, parameters, batch, rng.integers(0, 3, 2)


LOSSES = [losses.MeanVoltage(), losses.ExponentialMeanVoltage(), losses.FirstSpike(population="second")]


@pytest.mark.filterwarnings("ignore:.*are so long:UserWarning")
@pytest.mark.parametrize("seed", range(18))
def test_gradients_are_those_of_the_reference(seed, monkeypatch):
    network, parameters, batch, labels = case(seed, ["v_threshold", "v_rest", "bias"] if seed % 2 else [])
    monkeypatch.setattr(ways, "ALLOWED", frozenset({ways.Way.RING}) if seed % 3 else frozenset())
    assert layered(network, parameters)
    regularizers = (losses.SpikeCountTarget("first", 4.0, 0.1),) if seed % 5 == 0 else ()
    compare_engines(
        network, parameters, batch, labels, loss=LOSSES[seed % 3], duration=DURATION, regularizers=regularizers,
        gradient_tolerance=1e-9,
    )  # fmt: skip


def test_gradients_are_those_by_windows(monkeypatch):
    network, parameters, batch, labels = case(3)
    settings = {"loss": losses.MeanVoltage(), "duration": DURATION, "return_recording": True}
    _, by_layers, recording = value_and_grad(network, parameters, batch, labels, **settings)
    most = max(recording.spike_counts(name).max() for name in ("first", "second"))
    assert most > 2 * FEW and recording.times.size > 100 and layered(network, parameters)
    monkeypatch.setattr(ways, "LAYERED_PART", 0.0)
    assert not layered(network, parameters)
    by_windows = value_and_grad(network, parameters, batch, labels, **settings)[1]
    for name, gradient in by_windows.items():
        np.testing.assert_allclose(by_layers[name], gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())


def test_an_arrival_at_the_instant_of_a_spike_acted_before_it(monkeypatch):
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", 1, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "a", weight=Constant(9.0), delay=Constant(0.0), delay_per="synapse")
    parameters, settings = network.initialize(0), {"loss": losses.SpikeTimeRegression("a"), "duration": 20.0}
    spike = simulate(network, parameters, SpikeBatch.from_lists([([1.0], [0])]), duration=20.0).times[0]
    batch = SpikeBatch.from_lists([([1.0, spike], [0, 1])])
    assert layered(network, parameters)
    by_layers = value_and_grad(network, parameters, batch, [[2.0]], **settings)[1]
    monkeypatch.setattr(ways, "LAYERED_PART", 0.0)
    by_windows = value_and_grad(network, parameters, batch, [[2.0]], **settings)[1]
    # of two sides, the one on which it holds the spike back
    assert by_windows["in->a.delay"][1, 0] != 0.0
    for name, gradient in by_windows.items():
        np.testing.assert_allclose(by_layers[name], gradient, rtol=1e-13, atol=1e-15)


def small(longest=5.0, duration=DURATION, feedback=False, per="synapse", **settings):
    """Whether a network of one layer goes by layers."""
    network = Network()
    network.add_input("in", settings.pop("n_in", 3))
    network.add_lif("hidden", 4, **{"tau_mem": 10.0, "tau_syn": 5.0} | settings)
    network.add_readout("out", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=1.0, delay=Uniform(0.0, longest), delay_per=per)
    network.connect("hidden", "out", weight=1.0)
    if feedback:
        network.connect("hidden", "hidden", weight=0.1, delay=Uniform(1.0, 5.0))
    return network, network.initialize(0), duration


def test_a_network_without_cycles_goes_by_layers():
    assert layered(*small())


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("a cycle", {"feedback": True}),
        ("columns", {"n_in": 300}),
        ("one delay for a row onto what fires", {"per": "neuron"}),
        ("a trial of more than 60 time constants", {"duration": 301.0}),
        ("time constants that cannot be told apart", {"tau_syn": 9.9}),
        ("time constants of each neuron's own", {"tau_mem": np.array([10.0, 11.0, 12.0, 13.0])}),
        ("trained time constants", {"train": ["tau_mem"]}),
    ],
)
def test_windows_are_taken_where_layers_would_lose_or_be_wrong(why, change):
    assert not layered(*small(**change)), why


def test_windows_are_taken_where_a_maximum_is_asked_for():
    assert not layered(*small(), probes={"out": Probe(maximum=True)})


def test_results_do_not_depend_on_the_batch_or_on_threads():
    network, parameters, batch, labels = case(4)
    settings = {"loss": losses.MeanVoltage(), "duration": DURATION}
    both, more = (value_and_grad(network, parameters, batch, labels, n_threads=n, **settings)[1] for n in (1, 2))
    alone = [
        value_and_grad(network, parameters, {name: b[[k]] for name, b in batch.items()}, labels[[k]], **settings)[1]
        for k in (0, 1)
    ]
    for name, gradient in both.items():
        np.testing.assert_array_equal(gradient, more[name])
        np.testing.assert_allclose(0.5 * alone[0][name] + 0.5 * alone[1][name], gradient, rtol=1e-12, atol=1e-15)
