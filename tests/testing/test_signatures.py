"""A signature changes where the order of events does."""

import numpy as np

from eventsnn import Network, SpikeBatch, simulate, testing


def test_signature_sees_an_arrival_that_passes_a_spike():
    network = Network()
    network.add_input("in", 2)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=np.array([[6.0], [1.0]]))
    parameters = network.initialize()
    batch = SpikeBatch.from_lists([([5.0], [0])])
    time = simulate(network, parameters, {"in": batch}, duration=40.0, n_threads=1).times[0]
    causes = []
    for shift in (-1e-3, 1e-3):
        batch = {"in": SpikeBatch.from_lists([([5.0, time + shift], [0, 1])])}
        recording = simulate(network, parameters, batch, duration=40.0, n_threads=1)
        causes.append(testing.signature(network, parameters, recording).causes)
    assert causes[0][0] == 2 and causes[1][0] == 1
