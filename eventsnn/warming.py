"""Compile every kernel ahead of the first simulation."""

import time

import numpy as np

from .gradients import value_and_grad
from .losses.voltage import MeanVoltage
from .network.network import Network
from .simulation import simulate
from .spikes.batch import SpikeBatch


def warmup() -> dict[str, float]:
    """Compile the kernels, or load them from the cache; returns the seconds taken, {"forward": s, "backward": s}.

    The first simulation of a process does the same; call this where that should not be part of a measurement, or
    before many processes start at once. Numba's cache lies beside the package or in the user's cache folder;
    EVENTSNN_CACHE moves it (docs/errors-and-limits.md).
    """
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1)
    network.add_readout("out", 1)
    # a cycle, as without one the way back needs less
    for pre, post in (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out")):
        network.connect(pre, post, weight=1.0, delay=1.0)
    parameters, batch = network.initialize(0), SpikeBatch.from_lists([([1.0], [0])])
    started = time.perf_counter()
    simulate(network, parameters, batch, duration=3.0, n_threads=1)
    middle = time.perf_counter()
    value_and_grad(network, parameters, batch, np.array([0]), loss=MeanVoltage(), duration=3.0, n_threads=1)
    return {"forward": middle - started, "backward": time.perf_counter() - middle}
