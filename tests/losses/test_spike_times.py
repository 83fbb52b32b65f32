"""Losses on spike times: values in closed form, cotangents against complex steps."""

import numpy as np
import pytest

from eventsnn import SpikeBatch
from eventsnn.errors import InvalidInput
from eventsnn.losses import FirstSpike, RelativeFirstSpike, SpikeTimeRegression
from tests.losses.recordings import LABELS, NEURONS, OFFSETS, TIMES, H, network, recording


def test_of_equal_times_the_first_on_the_tape_counts():
    # as in Recording.spike_indices, so that a gradient goes to the same spike
    made = recording([3.0, 1.0, 1.0, 1.0, 2.0, 1.0], [0, 0, 0, 1, 1, 0], (0, 6, 6))
    assert made.first_spikes("lif").tolist() == [[1, 3, -1], [-1, -1, -1]]
    assert made.spike_indices("lif", 0)[0] == 1


TARGETS = np.array([[3.0, 9.0, np.nan], [2.0, 5.0, 5.0]])


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (FirstSpike(tau=3.0), LABELS),
        (RelativeFirstSpike(delta=2.0), LABELS),
        (SpikeTimeRegression(), TARGETS),
        (SpikeTimeRegression("lif"), TARGETS),
    ],
)
def test_cotangents_of_spike_times(loss, labels):
    expected = np.zeros(TIMES.size)
    for k in range(TIMES.size):
        moved = TIMES.astype(complex)
        moved[k] += 1j * H
        expected[k] = np.imag(np.sum(loss(recording(moved, NEURONS, OFFSETS), labels)[0])) / H
    values, cotangents = loss(recording(TIMES, NEURONS, OFFSETS), labels)
    np.testing.assert_allclose(cotangents.spike_times, expected, rtol=1e-12, atol=1e-15)
    assert values.shape == (2,) and np.all(np.isfinite(values))
    assert cotangents.spike_times[2] == 0.0  # a second spike counts for nothing


def test_first_spike_in_closed_form():
    values, _ = FirstSpike(tau=3.0)(recording(TIMES, NEURONS, OFFSETS), LABELS)
    # sample 0: neuron 0 at 4.5, 1 at 3, 2 silent, which counts as the duration
    weights = np.exp(-np.array([4.5, 3.0, 50.0]) / 3.0)
    assert values[0] == pytest.approx(-np.log(weights[1] / weights.sum()), rel=1e-13)


def test_relative_first_spike_in_closed_form():
    values, _ = RelativeFirstSpike(delta=2.0)(recording(TIMES, NEURONS, OFFSETS), LABELS)
    assert values[0] == pytest.approx(0.5 * ((4.5 - 3 - 2) ** 2 + (50 - 3 - 2) ** 2))
    # sample 1, label 2: neuron 2 at 1, neuron 0 at 2, neuron 1 at 9
    assert values[1] == pytest.approx(0.5 * ((2 - 1 - 2) ** 2 + (9 - 1 - 2) ** 2))


def test_regression_in_closed_form():
    values, _ = SpikeTimeRegression()(recording(TIMES, NEURONS, OFFSETS), TARGETS)
    assert values.tolist() == pytest.approx([0.5 * (1.5**2 + 6**2), 0.5 * (0**2 + 4**2 + 4**2)])


@pytest.mark.parametrize("loss", [FirstSpike(), RelativeFirstSpike()])
def test_silence_is_a_value_without_gradient(loss):
    values, cotangents = loss(recording(offsets=(0, 0, 0)), LABELS)
    assert np.all(np.isfinite(values)) and cotangents.spike_times.size == 0
    assert loss.predict(recording(offsets=(0, 0, 0))).tolist() == [0, 0]


@pytest.mark.parametrize("kind", [FirstSpike, RelativeFirstSpike, SpikeTimeRegression])
def test_a_spike_time_loss_does_not_take_hidden_neurons_for_the_classes_of_a_readout(kind):
    with pytest.raises(InvalidInput, match=r"one of the LIF populations \['lif'\].*readout, 'out'.*MeanVoltage"):
        kind().probes(network(), 20.0)
    with pytest.raises(InvalidInput, match=r"population is 'out'; allowed: one of the LIF populations \['lif'\]"):
        kind(population="out").probes(network(), 20.0)


def test_missing_first_sample_does_not_matter():
    batch = SpikeBatch.from_lists([([], []), ([1.0], [0])])
    assert len(batch) == 2
    made = recording(TIMES[:3], NEURONS[:3], (0, 0, 3))
    values, cotangents = FirstSpike()(made, LABELS)
    assert values[0] == pytest.approx(np.log(3)) and np.any(cotangents.spike_times != 0)
