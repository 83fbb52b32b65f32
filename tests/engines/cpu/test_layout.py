"""The engines agree on both sides of every seam of the layout."""

import numpy as np
import pytest

from eventsnn import Network, Normal, SpikeBatch, Uniform, simulate
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.losses import MeanVoltage
from eventsnn.testing import compare_engines


def recurrent(n_in, tau_mem, tau_syn, longest, shortest, seed):
    """A recurrent network of 12 neurons with delays per synapse, its parameters, and a batch that makes it fire."""
    rng, t = np.random.default_rng(seed), np.linspace(0.0, 10.0 * tau_mem, 10_001)
    drive = np.cumsum(np.exp(t / tau_mem - t / tau_syn)) * (t[1] - t[0]) / tau_mem
    unit = 1.0 / np.max(np.exp(-t / tau_mem) * drive)  # the weight whose response peaks at the threshold
    network = Network(min_delay=shortest)
    network.add_input("in", n_in)
    network.add_lif("hidden", 12, tau_mem=tau_mem, tau_syn=tau_syn)
    network.add_readout("out", 3)
    network.connect("in", "hidden", weight=rng.normal(0.25 * unit, 0.4 * unit, (n_in, 12)), delay=Uniform(0, longest))
    network.connect("hidden", "hidden", weight=Normal(0, 0.05 * unit), delay=Uniform(shortest, longest))
    network.connect("hidden", "out", weight=Normal(0, 1.0), delay=Uniform(0, longest))
    times = rng.uniform(0, 60.0, (1, 30))
    batch = SpikeBatch.from_lists([(t, rng.integers(0, n_in, 30), rng.uniform(0.2, 2.0, 30)) for t in times])
    return network, network.initialize(seed), batch


# The seams of the engine: modes told apart or not, products of exponentials near their limits, windows short and long,
# stretches of one window and of many.
@pytest.mark.parametrize(
    ("taus", "longest", "shortest", "modal"),
    [
        ((20.0, 10.0), 25.0, 1.0, True),
        ((5.0, 12.0), 25.0, 1.0, True),
        ((20.0, 20.0 * (1 - 0.051)), 25.0, 1.0, True),
        ((20.0, 20.0 * (1 - 0.049)), 25.0, 1.0, False),
        ((20.0, 20.0), 25.0, 1.0, False),
        ((0.3, 0.25), 70.0, 1.0, True),  # e^280
        ((0.3, 0.2), 70.0, 1.0, False),  # e^350
        ((90.0, 0.4), 40.0, 1.0, True),
        ((20.0, 10.0), 40.0, 40.0, True),  # windows of a time constant
        ((20.0, 10.0), 60.0, 0.01, True),  # a hundred windows a millisecond
    ],
)
@pytest.mark.parametrize("n_in", [3, 40])
def test_the_engines_agree_on_both_sides_of_every_seam(taus, longest, shortest, modal, n_in):
    network, parameters, batch = recurrent(n_in, *taus, longest, shortest, seed=n_in)
    layout = Layout(network, parameters, Run(90.0, {}))
    assert bool(layout.net.pops["modal"][layout.rank["hidden"]]) == modal
    recording = simulate(network, parameters, batch, duration=90.0, max_spikes=3000)
    assert recording.times.size > 10 or max(taus) < 1.0
    compare_engines(network, parameters, batch, [0], loss=MeanVoltage(), duration=90.0)


@pytest.mark.parametrize("ratio", [0.9985, 1.0011, 0.994, 1.02, 0.951, 0.949, 1.06])
def test_near_equal_time_constants_lose_no_digits(ratio):
    # modes of time constants apart by a share d lose a factor 1/d: 3e-11 ms for a thousandth
    network, parameters, batch = recurrent(40, 20.0, 20.0 * ratio, 25.0, 1.0, seed=41)
    found = compare_engines(network, parameters, batch, [0], loss=MeanVoltage(), duration=90.0)
    assert found.n_spikes > 200 and found.time_error <= 3e-12
