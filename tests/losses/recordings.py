"""Recordings made by hand, a network with readouts, and gradients by complex steps."""

import numpy as np

from eventsnn import Network
from eventsnn.spikes import Counters, Readout, Recording

H = 1e-20


def recording(times=(), neurons=(), offsets=(0, 0, 0), integral=None, maximum=None, n=3, rate=0.0):
    """A hand-made recording of two samples with one LIF population "lif" and one readout "out", n neurons each."""
    n_samples = len(offsets) - 1
    zeros = np.zeros(n_samples, np.int64)
    integral = np.zeros((n_samples, n)) if integral is None else integral
    readout = Readout(integral, rate, maximum, None if maximum is None else np.ones(maximum.shape))
    times = np.array(times)
    return Recording(
        duration=50.0, times=times, neurons=np.array(neurons, np.int32), slopes=np.ones(times.size),
        offsets=np.array(offsets), slices={"lif": (0, n), "out": (n, 2 * n)}, inputs={}, readouts={"out": readout},
        counters=Counters(zeros, zeros, zeros, zeros, zeros), outputs=("lif",),
    )  # fmt: skip


TIMES = np.array([3.0, 4.5, 7.0, 1.0, 2.0, 9.0])
NEURONS = np.array([1, 0, 1, 2, 0, 1])
OFFSETS = (0, 3, 6)
LABELS = np.array([1, 2])


def network(n_readouts=1):
    net = Network()
    net.add_input("in", 2)
    net.add_lif("lif", 3)
    for k in range(n_readouts):
        net.add_readout("out" if k == 0 else f"out{k}", 3)
    net.connect("in", "lif", weight=1.0, delay=1.0)
    net.connect("lif", "lif", weight=0.5, delay=1.0)
    net.connect("in", "lif", weight=1.0, mask=np.array([[True, False, True], [False, False, True]]), name="sparse")
    return net
