"""The ways in which arrivals come to their targets: each must give what the reference engine gives, and which is taken.

Hazards: an arrival in the wrong window or block, or in two; spikes under way from block to block, in a ring that comes
round, or after the end; a silence between them; a neuron that jumps in the window of an arrival; pulls on input spikes;
groups of four spikes and single ones; buffers that run full; a stream that stops within a block.
"""

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from eventsnn import EventStorm, Network, Normal, SpikeBatch, Uniform, losses, simulate, stream, value_and_grad
from eventsnn.engines.checking import checked
from eventsnn.engines.cpu import ways
from eventsnn.engines.cpu.engine import forward
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.kernels.state import Way
from eventsnn.testing import Case, EngineMismatch, compare_engines

DURATION = 60.3  # ms: the last window is cut short
FORCED = {
    "queue": frozenset(),
    "columns": frozenset({Way.COLUMNS}),
    "ring": frozenset({Way.RING}),
    "all": frozenset({Way.COLUMNS, Way.RING}),
}


@pytest.fixture(params=["short", "long"])
def blocks(request, monkeypatch):
    """Blocks as short as the longest delay allows, or as long as the trial."""
    if request.param == "short":
        monkeypatch.setattr(ways, "MOST_BLOCK", 1)


@pytest.fixture(params=FORCED)
def forced(request, monkeypatch):
    """Every connection that can takes one of these ways, however small it is, and the way back too."""
    monkeypatch.setattr(ways, "LAYERED_PART", 0.0)
    monkeypatch.setattr(ways, "ALLOWED", FORCED[request.param])
    monkeypatch.setattr(ways, "LEAST_ARRIVALS", 0.0)
    return request.param


def chosen(network, parameters, duration=DURATION):
    """{connection: its way}."""
    return Layout(network, parameters, Run(duration, {}))._chosen.ways


def spike_trains(rng, n, grid):
    """Two samples of spikes with ties, counts and silences; many on one channel, or few."""
    samples = []
    for _ in range(2):
        centres = rng.uniform(0.0, DURATION, 3)
        times = np.abs(rng.choice(centres, int(rng.choice([0, 6, 40]))) + rng.normal(0.0, 2.0, 1) * rng.random())
        times = np.where(grid > 0, np.round(times / max(grid, 0.1)) * grid, times + rng.uniform(0.0, 3.0, times.size))
        samples.append((np.sort(times), rng.integers(0, n, times.size)))
    return SpikeBatch.from_lists(samples)


def calmed(network, parameters, batch, most=150):
    """The parameters with weights so small that no sample fires more spikes than this."""
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of delays that are too long
                simulate(network, parameters, batch, duration=DURATION, max_spikes=most)
            return parameters
        except EventStorm:
            parameters = {name: value * (0.7 if "weight" in name else 1.0) for name, value in parameters.items()}


def case_of(seed):
    """A problem whose neurons share time constants that can be told apart, with delays of all kinds."""
    rng = np.random.default_rng([seed, 77])
    grid, network = float(rng.choice([0.0, 0.0, 0.5])), Network(min_delay=0.5)
    inputs = {f"input{k}": int(rng.integers(1, 6)) for k in range(rng.integers(1, 3))}
    for name, n in inputs.items():
        network.add_input(name, n)
    layers = [f"layer{k}" for k in range(rng.integers(1, 4))]
    for name in layers:
        tau = float(rng.uniform(4.0, 20.0))
        network.add_lif(name, int(rng.integers(1, 20)), tau_mem=tau, tau_syn=tau * float(rng.choice([0.5, 0.3, 1.8])))
    network.add_readout("out", 2, tau_mem=15.0, tau_syn=6.0)

    def connect(pre, post, low=0.0):
        n_post, n_pre = network.populations[post].n, network.populations[pre].n
        longest = low + float(rng.choice([0.0, 3.0, 12.0, 25.0, 80.0]))
        mask = rng.random((n_pre, n_post)) < 0.6 if rng.random() < 0.15 else None
        own = rng.random() < 0.85
        scale = float(rng.uniform(0.7, 2.5)) if low == 0.0 else 0.5
        network.connect(
            pre, post, weight=Normal(scale / max(n_pre, 1) ** 0.5, scale), delay=Uniform(low, longest), mask=mask,
            delay_per="synapse" if own else "neuron",
        )  # fmt: skip

    for name in inputs:
        connect(name, layers[0])
    for pre, post in pairwise([*layers, "out"]):
        connect(pre, post)
    if rng.random() < 0.6:
        connect(layers[-1], layers[0], 0.5)
    if len(layers) > 1 and rng.random() < 0.4:
        connect(list(inputs)[-1], layers[-1])
    parameters = network.initialize(seed)
    if grid > 0:
        for name in [name for name in parameters if name.endswith(".delay")]:
            parameters[name] = np.maximum(np.round(parameters[name] / grid) * grid, min(parameters[name].min(), grid))
    batch = {name: spike_trains(rng, n, grid) for name, n in inputs.items()}
    parameters = calmed(network, parameters, batch)
    loss = losses.MaxVoltage("out") if rng.random() < 0.5 else losses.ExponentialMeanVoltage("out")
    return Case(network, parameters, batch, rng.integers(0, 2, 2), loss, DURATION)


@pytest.mark.filterwarnings("ignore:.*are so long:UserWarning")
@pytest.mark.parametrize("seed", range(24))
def test_every_way_agrees_with_the_reference(seed, forced, blocks):
    case = case_of(seed)
    try:
        compare_engines(case.network, case.parameters, case.batch, case.labels, loss=case.loss, duration=case.duration)
    except EngineMismatch as mismatch:
        if not mismatch.comparison.ill_conditioned:
            raise


def dense(n_in=3, n_hidden=20, duration=DURATION, longest=20.0, **settings):
    """A recurrent network whose connections with delays of their own are dense, and two samples for it."""
    network = Network()
    network.add_input("in", n_in)
    network.add_lif("hidden", n_hidden, **{"tau_mem": 10.0, "tau_syn": 5.0} | settings)
    network.add_readout("out", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Normal(1.0, 0.5), delay=Uniform(0.0, longest))
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.2), delay=Uniform(1.0, longest))
    network.connect("hidden", "out", weight=Normal(0.0, 0.5))
    rng = np.random.default_rng(0)
    trains = [(np.sort(rng.uniform(0.0, duration, 30)), rng.integers(0, n_in, 30)) for _ in range(2)]
    return network, network.initialize(0), SpikeBatch.from_lists(trains)


def test_given_connections_take_columns_and_fed_back_ones_the_ring():
    network, parameters, _ = dense(n_in=300)
    right = {"in->hidden": Way.COLUMNS, "hidden->hidden": Way.RING, "hidden->out": Way.QUEUE}
    assert chosen(network, parameters) == right


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("few arrivals in a window", {"n_in": 3}),
        ("too many windows to look through", {"n_in": 300, "longest": 300.0, "duration": 1000.0}),
        ("time constants that cannot be told apart", {"n_in": 300, "tau_syn": 9.9}),
        ("trained time constants", {"n_in": 300, "train": ["tau_mem"]}),
    ],
)
def test_the_queue_is_taken_where_others_would_lose_or_be_wrong(why, change):
    network, parameters, _ = dense(**change)
    way = chosen(network, parameters, change.get("duration", DURATION))["in->hidden"]
    assert way == Way.QUEUE, why


@pytest.mark.filterwarnings("ignore:.*are so long:UserWarning")
def test_delays_beyond_the_end_do_not_count(forced):
    network, parameters, batch = dense(longest=5000.0)
    same = parameters | {"in->hidden.delay": np.minimum(parameters["in->hidden.delay"], 2 * DURATION)}
    first, second = (simulate(network, p, batch, duration=DURATION) for p in (parameters, same))
    np.testing.assert_array_equal(first.times, second.times)


def test_results_do_not_depend_on_how_large_buffers_were(forced, blocks):
    network, parameters, batch = dense()
    whole = simulate(network, parameters, batch, duration=DURATION)
    assert whole.times.size > 50
    problem = checked(network, parameters, batch, DURATION, 1, None, {})
    small = replace(problem, run=Run(DURATION, {}, capacity=1))
    np.testing.assert_array_equal(forward(small)[0].times, whole.times)


@pytest.mark.parametrize("every", [1.0, 7.3, 100.0])
def test_a_stream_stops_within_a_block_and_goes_on(forced, blocks, every):
    network, parameters, batch = dense()
    one = batch[[0]]
    whole = simulate(network, parameters, one, duration=DURATION)
    parts = list(stream(network, parameters, one, duration=DURATION, every=every))
    # within a window, the spikes of a recording are in the order of their neurons
    np.testing.assert_array_equal(np.sort(np.concatenate([part.times for part in parts])), np.sort(whole.times))
    assert sum(part.counters.events.sum() for part in parts) == whole.counters.events.sum()


def test_results_do_not_depend_on_the_batch_or_on_threads(forced):
    network, parameters, batch = dense()
    labels, settings = np.array([0, 1]), {"loss": losses.ExponentialMeanVoltage("out"), "duration": DURATION}
    both, more = (value_and_grad(network, parameters, batch, labels, n_threads=n, **settings)[1] for n in (1, 2))
    alone = [value_and_grad(network, parameters, batch[[k]], labels[[k]], n_threads=1, **settings)[1] for k in (0, 1)]
    for name, gradient in both.items():
        np.testing.assert_array_equal(gradient, more[name])
        np.testing.assert_allclose(0.5 * alone[0][name] + 0.5 * alone[1][name], gradient, rtol=1e-12, atol=1e-15)


def test_a_long_silence_is_crossed_at_any_place_in_a_block(forced, blocks):
    network, parameters, _ = dense(duration=3000.0)
    parameters["in->hidden.weight"] *= 8.0
    spikes = SpikeBatch.from_lists([([1.0, 2.0, 1500.2, 1501.0, 2990.0], [0, 1, 2, 0, 1])])
    recording = simulate(network, parameters, spikes, duration=3000.0)
    reference = simulate(network, parameters, spikes, duration=3000.0, engine="reference")
    np.testing.assert_allclose(np.sort(recording.times), reference.times, rtol=0, atol=1e-9)
    assert recording.counters.events.sum() == reference.counters.events.sum() and recording.times.size > 10


def test_a_spike_reaches_the_very_last_window_that_it_may(forced, blocks):
    # delays that are whole windows, fired on the edge of one: arrivals on edges of windows and of blocks
    network = Network()
    network.add_input("in", 2)
    network.add_lif("hidden", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Uniform(6.0, 6.0), delay=Uniform(0.0, 16.0))
    network.connect("hidden", "hidden", weight=Uniform(4.0, 4.0), delay=Uniform(16.0, 16.0))
    parameters = network.initialize(0)
    parameters["in->hidden.delay"] = np.array([[0.0, 16.0], [8.0, 15.0]])
    spikes = SpikeBatch.from_lists([([0.0, 1.0, 15.0, 16.0, 31.0, 32.0, 47.0], [0, 1, 0, 1, 0, 1, 0])])
    recording, reference = (
        simulate(network, parameters, spikes, duration=64.0, engine=engine) for engine in ("compiled", "reference")
    )
    np.testing.assert_allclose(np.sort(recording.times), reference.times, rtol=0, atol=1e-10)
    assert recording.counters.events.sum() == reference.counters.events.sum()
