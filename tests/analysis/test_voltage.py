"""Voltages between events are exact: threshold, integral and maximum are those of the recording."""

import numpy as np
import pytest

from eventsnn import plotting
from eventsnn.errors import InvalidInput
from eventsnn.simulation import simulate
from tests.analysis.models import DURATION, make_batch, make_network


@pytest.mark.parametrize(
    "settings",
    [{}, {"tau_syn": 12.0}, {"tau_syn": 30.0}, {"sharing": "neuron"}, {"sharing": "connection", "sparsity": 0.4}],
    ids=str,
)
def test_voltages_meet_the_threshold_at_every_spike_and_nowhere_else(settings):
    network = make_network(**settings)
    parameters, batch = network.initialize(0), make_batch()
    recording = simulate(network, parameters, batch, duration=DURATION, n_threads=1)
    threshold = network.value_of("hidden", "v_threshold", parameters)
    for sample in range(2):
        times, units = recording.spikes("hidden", sample)
        assert times.size > 10
        for neuron in range(4):
            own = times[units == neuron]
            before = plotting.voltages(
                network, parameters, recording, sample, "hidden", [neuron], np.nextafter(own, 0.0)
            )  # fmt: skip
            np.testing.assert_allclose(before[0], threshold[neuron], rtol=1e-9)
            after = plotting.voltages(network, parameters, recording, sample, "hidden", [neuron], own)
            np.testing.assert_allclose(after[0], 0.0, atol=1e-9)
            grid = np.linspace(0.0, DURATION, 4001)
            trace = plotting.voltages(network, parameters, recording, sample, "hidden", [neuron], grid)
            assert trace.max() <= threshold[neuron] * (1 + 1e-9)


def test_readout_voltages_have_the_recorded_integral_and_maximum(model):
    network, parameters, _, recording = model
    grid = np.linspace(0.0, DURATION, 80_001)
    for sample in range(2):
        traces = plotting.voltages(network, parameters, recording, sample, "output", [0, 1], grid)
        integral = ((traces[:, 1:] + traces[:, :-1]) / 2 * np.diff(grid)).sum(axis=1)
        np.testing.assert_allclose(integral, recording.readouts["output"].integral[sample], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            np.maximum(traces.max(axis=1), 0), recording.readouts["output"].maximum[sample], atol=1e-5
        )


def test_voltages_refuse_what_is_not_there(model):
    network, parameters, _, recording = model
    with pytest.raises(InvalidInput, match="population"):
        plotting.voltages(network, parameters, recording, 0, "input", [0], [1.0])
    with pytest.raises(InvalidInput, match="neurons"):
        plotting.voltages(network, parameters, recording, 0, "hidden", [0, 4], [1.0])


@pytest.mark.parametrize("bad", [-1e-9, DURATION * 1.01, np.nan])
def test_voltages_are_those_of_the_time_that_was_recorded(model, bad):
    network, parameters, _, recording = model
    with pytest.raises(InvalidInput, match=r"times\[1\].*0 to 80 ms"):
        plotting.voltages(network, parameters, recording, 0, "hidden", [0], [DURATION, bad])
