"""Exact gradients of weights, delays, time constants, thresholds and input times, beside central differences."""

from typing import Any

import numpy as np

from eventsnn import Network, Normal, SpikeBatch, Uniform, losses, value_and_grad

network = Network()
network.add_input("in", 10)
network.add_lif("hidden", 8, tau_mem=20.0, tau_syn=5.0, train=True)
network.add_readout("out", 3, train=("tau_mem", "tau_syn"))
network.connect("in", "hidden", weight=Normal(1.2, 0.6), delay=Uniform(0, 15))
network.connect("hidden", "hidden", weight=Normal(0, 0.5), delay=Uniform(1, 10))
network.connect("hidden", "out", weight=Normal(0, 0.5), delay=Uniform(0, 10))
parameters = network.initialize(seed=2)

rng = np.random.default_rng(0)
batch = SpikeBatch.from_lists([(rng.uniform(0, 60, 30), rng.integers(0, 10, 30)) for _ in range(4)])
arguments: dict[str, Any] = {"labels": [0, 1, 2, 0], "loss": losses.ExponentialMeanVoltage(), "duration": 100.0}

value, gradients, times, recording = value_and_grad(
    network, parameters, batch, **arguments, input_times=True, return_recording=True
)
print(f"loss {value:.9f}, {recording.times.size} spikes\n")
print(f"{'parameter':<24}{'adjoint':>15}{'difference':>15}")


def loss_at(name, index, change):
    """The loss and the number of spikes with one entry of one parameter changed."""
    changed = {key: array.copy() for key, array in parameters.items()}
    changed[name][index] += change
    value, _, recording = value_and_grad(network, changed, batch, **arguments, return_recording=True)
    return value, recording.times.size


step, largest = 1e-5, 0.0
for name in network.trainable:
    index = np.unravel_index(np.argmax(np.abs(gradients[name])), gradients[name].shape)
    (above, n_above), (below, n_below) = loss_at(name, index, step), loss_at(name, index, -step)
    # a spike that comes or goes is a jump of the loss, where no derivative exists: not so here
    assert n_above == n_below == recording.times.size
    difference = (above - below) / (2 * step)
    largest = max(largest, abs(difference / gradients[name][index] - 1.0))
    print(f"{name:<24}{gradients[name][index]:>15.9f}{difference:>15.9f}")
print(f"\nlargest relative difference below 1e-6: {largest < 1e-6}")
print(f"dL/dt of the first input spike of sample 0: {times['in'][0]:.9f} per ms")
