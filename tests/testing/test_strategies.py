"""What the strategies draw is a network that runs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import testing
from eventsnn.losses import MeanVoltage
from eventsnn.testing import compare_engines


@given(st.data())
def test_strategies_make_networks_that_run(data):
    network = data.draw(testing.networks())
    parameters = data.draw(testing.parameters_for(network))
    batch = data.draw(testing.batches_for(network))
    loss = MeanVoltage("out")
    labels = np.zeros(len(batch["in"]), int)
    comparison = compare_engines(network, parameters, batch, labels, loss=loss, duration=60.0, max_spikes=5000)
    assert comparison.time_error <= 1e-9 and comparison.n_spikes >= 0
