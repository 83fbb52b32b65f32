"""A recording hands out spikes, counts and first spikes of each population and sample."""

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, simulate
from eventsnn.errors import InvalidInput


@pytest.fixture(scope="module", params=["compiled", "reference"])
def recording(request):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 2)
    network.add_lif("b", 1)
    network.connect("in", "a", weight=np.array([[30.0, 20.0]]))
    network.connect("in", "b", weight=25.0)
    batch = SpikeBatch.from_lists([([1.0], [0]), ([], []), ([2.0, 30.0], [0, 0])])
    return simulate(network, network.initialize(), batch, duration=60.0, engine=request.param, n_threads=1)


def test_spikes_are_sorted_and_belong_to_their_population(recording):
    total = 0
    for sample in range(3):
        for name, n in (("a", 2), ("b", 1)):
            times, units = recording.spikes(name, sample)
            assert np.all(np.diff(times) >= 0) and np.all((units >= 0) & (units < n))
            assert recording.slopes_of(name, sample).size == times.size
            total += times.size
    assert total == recording.times.size > 6
    assert recording.spikes("a", 1)[0].size == 0
    assert recording.spikes("in", 2)[0].tolist() == [2.0, 30.0]
    assert recording.spikes("a", -1)[0].tolist() == recording.spikes("a", 2)[0].tolist()


def test_counts_and_first_spikes_agree_with_the_spikes(recording):
    counts, first = recording.spike_counts("a"), recording.first_spikes("a")
    assert counts.shape == first.shape == (3, 2) and counts.dtype == np.int64
    for sample in range(3):
        times, units = recording.spikes("a", sample)
        assert counts[sample].tolist() == np.bincount(units, minlength=2).tolist()
        for neuron in range(2):
            mine = times[units == neuron]
            if mine.size:
                assert recording.times[first[sample, neuron]] == mine[0]
            else:
                assert first[sample, neuron] == -1


def test_unknown_populations_and_samples_are_named(recording):
    with pytest.raises(InvalidInput, match="'up'"):
        recording.spikes("up", 0)
    for sample in (3, -4):
        with pytest.raises(InvalidInput, match="sample"):
            recording.spikes("a", sample)
