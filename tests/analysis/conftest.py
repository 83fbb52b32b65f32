"""A network and its recording."""

import pytest

from eventsnn.simulation import simulate
from tests.analysis.models import DURATION, make_batch, make_network


@pytest.fixture(scope="module")
def model():
    network = make_network()
    parameters = network.initialize(0)
    batch = make_batch()
    return network, parameters, batch, simulate(network, parameters, batch, duration=DURATION, n_threads=1)
