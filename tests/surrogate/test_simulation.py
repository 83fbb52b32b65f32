"""What users call: binning, recordings in the words of events, losses on steps, batches as training has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import InvalidInput, SpikeBatch, losses, simulate, surrogate
from eventsnn.spikes import Cotangents
from eventsnn.surrogate.binning import bin_spikes, n_steps
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.recording import GridRecording


def small(dt=2.0, **lif):
    network = GridNetwork(dt)
    network.add_input("in", 2)
    network.add_lif("hidden", 3, tau_mem=8.0, **lif)
    network.add_readout("out", 2, tau_mem=8.0)
    network.connect("in", "hidden", weight=np.full((2, 3), 0.8))
    network.connect("hidden", "out", weight=np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    return network


BATCH = SpikeBatch.from_lists([([0.0, 1.0, 3.9, 9.0], [0, 1, 0, 1]), ([5.0], [1]), ([], [])])


@pytest.mark.parametrize(("duration", "dt", "steps"), [(1200, 10, 120), (1, 0.1, 10), (0.3, 0.1, 3), (11, 2, 6)])
def test_a_last_step_that_is_begun_counts(duration, dt, steps):
    assert n_steps(duration, dt) == steps


def test_spikes_are_counted_where_they_fall_and_none_twice():
    counted = bin_spikes(BATCH, 2, dt=2.0, duration=9.0)
    assert counted.shape == (3, 5, 2) and counted.sum() == 4  # that at 9 ms is at the end, and does not count
    np.testing.assert_array_equal(counted[0, :2], [[1, 1], [1, 0]])
    assert counted[1, 2, 1] == 1


@given(st.lists(st.tuples(st.floats(0, 19.99), st.integers(0, 3), st.integers(1, 5)), max_size=30))
def test_counts_add_up(spikes):
    times, units, counts = (np.array(column) for column in zip(*spikes, strict=True)) if spikes else ([], [], [])
    batch = SpikeBatch.from_lists([(times, units, counts)])
    assert bin_spikes(batch, 4, dt=0.7, duration=20.0).sum() == np.sum(counts)


@pytest.mark.parametrize("dt", [0.1, 0.2, 0.7, 1.0, 1.1, 5.6, 10.0])
def test_a_time_on_the_grid_is_in_its_own_step(dt):
    steps = np.arange(3000)
    for times in (dt * steps, np.array([float(f"{step * dt:.10g}") for step in steps])):
        counted = bin_spikes(SpikeBatch.from_lists([(times, 0 * steps)]), 1, dt=dt, duration=3000 * dt, dtype=float)
        np.testing.assert_array_equal(counted[0, : times.size, 0], 1.0)


@pytest.mark.parametrize("samples", [[0], [0, 1, -1], [0.0, 1.0, 2.0]])
def test_places_in_the_training_set_are_one_for_each_sample(samples):
    network = small(dropout=0.5)
    with pytest.raises(InvalidInput, match="3 places >= 0, one for each sample"):
        surrogate.value_and_grad(
            network, network.initialize(), BATCH, np.zeros(3, int), loss=losses.SummedSoftmax(), duration=10.0,
            samples=samples,
        )  # fmt: skip


def test_units_that_the_input_lacks_are_named():
    with pytest.raises(InvalidInput, match=r"units\[2\] is 1; allowed: units below 1"):
        bin_spikes(SpikeBatch.from_lists([([0.0, 1.0, 3.9], [0, 0, 1])]), 1, dt=1.0, duration=10.0)


def test_a_recording_speaks_as_that_of_events_does():
    network = small()
    recording = surrogate.simulate(network, network.initialize(), BATCH, duration=10.0)
    assert recording.n_samples == 3 and recording.slices == {"hidden": (0, 3)} and recording.outputs == ("hidden",)
    times, units = recording.spikes("hidden", 0)
    assert set(times) <= {0.0, 2.0, 4.0, 6.0, 8.0} and times.size == recording.spike_counts("hidden")[0].sum() > 0
    assert recording.spike_totals().sum() == recording.spike_counts("hidden").sum()
    np.testing.assert_array_equal(recording.spikes("in", 0)[0], [0.0, 1.0, 3.9, 9.0])
    with pytest.raises(InvalidInput, match="population is 'out'"):
        recording.spike_counts("out")


@pytest.mark.parametrize(
    "loss",
    [
        losses.SummedSoftmax(), losses.SummedVoltage(), losses.MeanVoltage(), losses.MaxVoltage(),
        losses.ExponentialMeanVoltage(), losses.ExponentialMeanVoltage(tau_window=7.0),
    ],
    ids=str,
)  # fmt: skip
def test_gradients_of_losses_by_the_voltages_of_steps(loss):
    generator, labels = np.random.default_rng(0), np.array([1, 0, 2])
    network = GridNetwork(2.0)
    network.add_input("in", 1)
    network.add_readout("out", 3)
    probes = loss.probes(network, 12.0)
    voltages, along = generator.normal(size=(2, 3, 6, 3))

    def value(size):
        moved = GridRecording(12.0, 2.0, voltages={"out": voltages + size * along}, probes=probes)
        return loss(moved, labels)

    values, cotangents = value(0.0)
    recording = GridRecording(12.0, 2.0, voltages={"out": voltages}, probes=probes)
    slope = np.sum(recording.by_step(cotangents)[0]["out"] * along)
    ahead, back = (value(size)[0].sum() for size in (1e-6, -1e-6))
    assert values.shape == (3,)
    np.testing.assert_allclose((ahead - back) / 2e-6, slope, rtol=1e-7, atol=1e-8)
    assert loss.predict(recording).shape == (3,)


def test_mean_squared_error_leaves_out_what_has_no_target():
    loss, voltages = losses.MeanSquaredError(), np.array([[[1.0], [2.0], [4.0]]])
    targets = np.array([[[0.0], [np.nan], [1.0]]])
    recording = GridRecording(3.0, 1.0, voltages={"out": voltages})
    values, cotangents = loss(recording, targets)
    assert values == [5.0]
    np.testing.assert_array_equal(cotangents.voltages["out"][0, :, 0], [1.0, 0.0, 3.0])
    with pytest.raises(InvalidInput, match="targets of shape"):
        loss(recording, targets[:, :2])


def test_losses_that_ask_for_what_the_other_kind_has_are_refused():
    network = small()
    with pytest.raises(InvalidInput, match="no times to move"):
        surrogate.value_and_grad(
            network, network.initialize(), BATCH, np.zeros(3, int), loss=losses.FirstSpike(), duration=10.0
        )
    from eventsnn import Network

    events = Network()
    events.add_input("in", 2)
    events.add_readout("out", 2)
    events.connect("in", "out", weight=1.0)
    recording = simulate(events, events.initialize(), BATCH, duration=10.0)
    with pytest.raises(InvalidInput, match="a loss on the voltages of steps"):
        losses.SummedSoftmax()(recording, np.zeros(3, int))


def test_a_batch_in_training_says_what_follows_of_its_statistics():
    network = small(batch_norm=True, dropout=0.5)
    parameters = network.initialize()
    settings = {"loss": losses.SummedSoftmax(), "duration": 10.0, "return_recording": True}
    value, gradients, recording = surrogate.value_and_grad(network, parameters, BATCH, np.array([0, 1, 0]), **settings)
    assert set(gradients) == set(network.trainable) and np.isfinite(value)
    assert set(recording.statistics) == {"hidden.running_mean", "hidden.running_variance"}
    again = surrogate.value_and_grad(network, parameters, BATCH, np.array([0, 1, 0]), **settings)
    np.testing.assert_array_equal(again[1]["in->hidden.weight"], gradients["in->hidden.weight"])
    other = surrogate.value_and_grad(network, parameters, BATCH, np.array([0, 1, 0]), epoch=1, **settings)
    assert not np.array_equal(other[1]["hidden->out.weight"], gradients["hidden->out.weight"])


def test_samples_draw_their_dropout_by_their_place_in_the_training_set():
    network = small(dropout=0.5)
    parameters, labels = network.initialize(), np.array([0, 1, 0])
    settings = {"loss": losses.SummedSoftmax(), "duration": 10.0, "samples": np.array([5, 2, 9])}
    first = surrogate.value_and_grad(network, parameters, BATCH, labels, **settings)
    order = np.array([2, 0, 1])
    settings["samples"] = settings["samples"][order]
    second = surrogate.value_and_grad(network, parameters, BATCH[order], labels[order], **settings)
    np.testing.assert_allclose(second[0], first[0], rtol=1e-6)
    for name, gradient in first[1].items():
        np.testing.assert_allclose(second[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_the_pull_of_a_count_reaches_the_spikes_of_all_steps():
    recording = GridRecording(6.0, 2.0, voltages={"out": np.zeros((1, 3, 2))}, counts={"a": np.ones((1, 4), int)})
    _, by_spike = recording.by_step(Cotangents(counts={"a": np.arange(4.0)[None]}))
    np.testing.assert_array_equal(by_spike["a"][0], [np.arange(4.0)])


@pytest.mark.parametrize("batch", [np.zeros((2, 5, 2)), [([0.0], [0])]])
def test_what_is_no_batch_is_refused(batch):
    network = small()
    with pytest.raises(InvalidInput, match="SpikeBatch"):
        surrogate.simulate(network, network.initialize(), batch, duration=10.0)


def test_a_grid_that_no_memory_holds_is_refused_in_words():
    with pytest.raises(InvalidInput, match="duration is .*fits into memory"):
        bin_spikes(BATCH, 2, dt=1.0, duration=1e17)
