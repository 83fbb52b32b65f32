"""The bridge to events: as the steps of a grid become short, the network of events does what the grid does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn import InvalidInput, Network, SpikeBatch, Trainer, Uniform, simulate, surrogate
from eventsnn.data.dataset import Dataset
from eventsnn.losses import MaxVoltage, MeanVoltage
from eventsnn.optimizers import Adam
from eventsnn.surrogate.bridge import to_events, with_clock
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.spread import Spread

# Spikes come when biases have come up: on a grid with synapses a bias comes through them, in events at once.
QUIET, DURATION = 80.0, 140.0


def data(seed, n_samples=3):
    """Spikes at the beginnings of steps of 4 ms, and so of all shorter ones."""
    generator = np.random.default_rng(seed)
    trains = [(QUIET + 4.0 * generator.integers(0, 9, 12), generator.integers(0, 3, 12)) for _ in range(n_samples)]
    return Dataset(SpikeBatch.from_lists(trains), np.zeros(n_samples, int), 3, 2, DURATION)


def network(dt, *, normalised=True, recurrent=True, count=1, tau_syn=5.0, **lif):
    made = GridNetwork(dt)
    made.add_input("in", 3)
    made.add_lif("a", 5, tau_mem=15.0, tau_syn=tau_syn, batch_norm=normalised, bias=normalised, **lif)
    made.add_lif("b", 4, tau_mem=Uniform(9.0, 14.0), tau_syn=tau_syn, bias=normalised, **lif)
    made.add_readout("out", 2, tau_mem=12.0, tau_syn=tau_syn, bias=normalised)
    made.connect("in", "a", weight=1.0, delay=Uniform(0.0, 9.0), count=count, spread=Spread("triangle", 2.0))
    made.connect("a", "b", weight=1.0, delay=Uniform(0.0, 9.0), delay_per="neuron", sparsity=0.3)
    if recurrent:
        made.connect("b", "b", weight=1.0, delay=12.0, delay_per="connection")
    made.connect("b", "out", weight=1.0)
    return made


def drawn(made, seed, size):
    """Parameters that bring the same whatever dt is; delays are whole numbers of 4 ms."""
    parameters, generator = made.initialize(seed), np.random.default_rng(seed)
    for name, values in parameters.items():
        kind = name.rpartition(".")[2]
        if kind == "delay":
            parameters[name] = 4.0 * np.rint(values / 4.0)
        if kind == "weight":
            parameters[name] = size * made.dt * generator.normal(0.4, 1.0, np.shape(values))
        if kind in ("bias", "offset", "running_mean"):
            parameters[name] = 0.03 * size * made.dt**2 * generator.normal(0.4, 1.0, np.shape(values))
        if kind == "running_variance":
            parameters[name] = generator.uniform(0.5, 2.0, np.shape(values))
    return parameters


def both(made, parameters, dataset):
    """(GridRecording, Recording) of one data set in the grid and in the events that it stands for."""
    grid = surrogate.simulate(made, parameters, dataset.spikes, duration=DURATION, delays="fractional")
    events, found = to_events(made, parameters)
    return grid, simulate(
        events, found, dataset.spikes, duration=DURATION, probes=MaxVoltage().probes(events, DURATION)
    )


@given(st.integers(0, 1000), st.booleans(), st.sampled_from((1, 2)))
@settings(max_examples=10)
def test_voltages_below_threshold_converge_with_the_step(seed, normalised, count):
    """Half the step, half the distance: of the largest voltages, where nothing fires and so nothing can jump."""
    distances = []
    for dt in (1.0, 0.5, 0.25):
        made = network(dt, normalised=normalised, recurrent=False, count=count, v_threshold=1e9)
        made.connect("in", "out", weight=1.0, delay=Uniform(0.0, 9.0))
        parameters, dataset = drawn(made, seed, 0.3), data(seed)
        grid, events = both(made, parameters, dataset)
        found = grid.readouts["out"].maximum, events.readouts["out"].maximum
        distances.append(np.abs(found[0] - found[1]).max() / np.abs(found[1]).max())
    assert distances[2] < 0.1 and distances[2] < 0.7 * distances[0]


def test_spikes_come_where_the_grid_has_them():
    """Through delays of every kind, recurrence, masks, biases and batch normalisation; near misses are few."""
    fired, differ = {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for seed in range(12):
        made = network(0.1)
        grid, events = both(made, drawn(made, seed, 0.08), data(seed))
        for population in ("a", "b"):
            counts = grid.spike_counts(population), events.spike_counts(population)
            fired[population] += counts[1].sum()
            differ[population] += np.abs(counts[0] - counts[1]).sum()
        times, units = events.spikes("a", 0)
        near, which = grid.spikes("a", 0)
        for unit in range(5):
            if np.count_nonzero(units == unit) == np.count_nonzero(which == unit):
                np.testing.assert_allclose(np.sort(near[which == unit]), np.sort(times[units == unit]), atol=1.5)
    assert all(fired[name] > 15 and differ[name] <= 0.05 * fired[name] for name in fired), (fired, differ)


@pytest.mark.parametrize("count", [1, 2])
def test_the_exact_engine_trains_further_what_it_gets(count):
    made = network(1.0, count=count, recurrent=False)  # with it, what was made for a grid bursts in continuous time
    events, found = to_events(made, drawn(made, 3, 0.3))
    assert {"in->a.weight", "in->a.delay", "a.bias", "b.bias", "out.bias"} <= set(events.trainable)
    assert "a->b.delay" not in events.trainable  # it was not spread, and so not trained on the grid
    dataset = replace(data(0, n_samples=8), labels=np.arange(8) % 2)
    trainer = Trainer(events, found, loss=MaxVoltage(), optimizer=Adam(1e-2), batch_size=4)
    before = trainer.evaluate(dataset).loss
    trainer.fit(dataset, epochs=3)
    assert trainer.evaluate(dataset).loss < before


def test_no_bias_is_added_where_nothing_needs_one():
    made = network(1.0, normalised=False)
    events, found = to_events(made, made.initialize(0))
    assert events.populations["in"].n == 3 and not any(name.endswith("bias") for name in found)


def test_what_cannot_be_carried_over_is_said():
    made = network(1.0, tau_syn=None)
    with pytest.raises(InvalidInput, match="'a' has no synaptic time constant"):
        to_events(made, made.initialize(0))
    events, _ = to_events(made, made.initialize(0), tau_syn=2.0)
    assert set(events.value_of("a", "tau_syn", {})) == {2.0}
    single = GridNetwork(10.0)
    single.add_input("in", 1)
    single.add_readout("out", 1, tau_mem=10.0)
    single.connect("in", "out", weight=1.0)
    with pytest.raises(InvalidInput, match="no voltage lasts"):
        to_events(single, single.initialize(0), tau_syn=2.0)


@pytest.mark.filterwarnings("ignore:networks of to_events:DeprecationWarning")
def test_a_clock_beside_too_few_channels_is_refused():
    made = GridNetwork(2.0)
    made.add_input("in", 5)
    made.add_readout("out", 2, tau_mem=10.0)
    made.connect("in", "out", weight=1.0)
    with pytest.raises(InvalidInput, match=r"dataset.n_units is \d+; allowed: 5, as input 'in' has. add_input"):
        with_clock(data(0), made)
    made = GridNetwork(2.0)
    made.add_input("in", 3)
    with pytest.raises(InvalidInput, match="dataset.n_units is 4; allowed: 3.* Perhaps they have their clock already"):
        with_clock(with_clock(data(0), made), made)
    with pytest.raises(InvalidInput, match="dataset is 'SpikeBatch'; allowed: a Dataset"):
        with_clock(data(0).spikes, made)
    with pytest.raises(InvalidInput, match="network is 'Network'; allowed: a GridNetwork"):
        to_events(Network(), {})
    with pytest.raises(InvalidInput, match="network is 'float'; allowed: the GridNetwork"):
        with_clock(data(0), 2.0)


def test_data_for_a_clock_of_release_0_1_0_are_made_with_a_warning():
    made = network(1.0)
    with pytest.warns(DeprecationWarning, match="give the data as they are") as caught:
        clocked = with_clock(data(0), made)
    assert caught[0].filename == __file__
    assert clocked.n_units == 4 and np.count_nonzero(clocked.spikes[0].units == 3) == 140
    old = Network()
    old.add_input("in", 4)
    old.add_readout("out", 2)
    old.connect("in", "out", weight=0.1)
    trainer = Trainer(old, old.initialize(), loss=MeanVoltage(), optimizer=Adam(1e-3), progress=False)
    for run in (trainer.evaluate, lambda dataset: trainer.fit(dataset, epochs=1)):
        with pytest.raises(InvalidInput, match=r"n_units is 3; allowed: 4, the channels.*with_clock"):
            run(data(0))
    assert trainer.evaluate(clocked).n == 3
