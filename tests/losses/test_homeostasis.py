"""Targets for numbers of spikes, and what raises silent neurons."""

import numpy as np
import pytest

from eventsnn.errors import InvalidInput
from eventsnn.losses import SilentNeuronRaise, SpikeCountTarget
from tests.losses.recordings import NEURONS, OFFSETS, TIMES, network, recording


def test_count_target():
    made = recording(TIMES, NEURONS, OFFSETS)  # counts: [1, 2, 0] and [1, 1, 1]; means 1, 1.5, 0.5
    values, cotangents = SpikeCountTarget("lif", target=1.0, strength=4.0)(made, None)
    assert values.tolist() == [0.5 * 4.0 * (0.25 + 0.25)] * 2
    np.testing.assert_allclose(cotangents.counts["lif"], [[0.0, 2.0, -2.0]] * 2)
    values, cotangents = SpikeCountTarget("lif", target=1.0, strength=4.0, only_above=True)(made, None)
    assert values.tolist() == [0.5] * 2
    np.testing.assert_allclose(cotangents.counts["lif"], [[0.0, 2.0, 0.0]] * 2)


@pytest.mark.parametrize(
    "arguments", [{"target": -1.0}, {"strength": np.nan}, {"strength": np.inf}, {"target": np.nan}]
)
def test_count_target_refuses_nonsense(arguments):
    with pytest.raises(InvalidInput, match=next(iter(arguments))):
        SpikeCountTarget("lif", **arguments)


def test_silent_neurons_are_raised_feed_forward_only():
    net = network()
    parameters = net.initialize()
    raised = SilentNeuronRaise("lif", amount=0.25)(net, parameters, np.array([0, 5, 0]))
    # two connections from one population share what one would be raised by
    np.testing.assert_array_equal(raised["in->lif.weight"], [[1.125, 1.0, 1.125]] * 2)
    np.testing.assert_array_equal(raised["sparse.weight"], [1.125, 1.125, 1.125])
    for name in ("lif->lif.weight", "in->lif.delay"):
        assert raised[name] is parameters[name]
    assert np.all(parameters["in->lif.weight"] == 1.0)
    assert SilentNeuronRaise("lif")(net, parameters, np.array([1, 5, 2])) is parameters
