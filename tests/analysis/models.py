"""A small network with delays, spikes for it, and a look at what was drawn."""

import numpy as np

from eventsnn.network import Network, Normal, Uniform
from eventsnn.random import stream
from eventsnn.spikes import SpikeBatch

DURATION = 80.0


def make_network(tau_syn=5.0, sharing="synapse", sparsity=None):
    network = Network()
    network.add_input("input", 5)
    network.add_lif("hidden", 4, tau_mem=12.0, tau_syn=tau_syn, v_threshold=np.array([0.8, 1.0, 1.2, 1.0]))
    network.add_readout("output", 2, tau_mem=20.0, tau_syn=5.0)
    more = {"delay_per": sharing, "sparsity": sparsity}
    network.connect("input", "hidden", weight=Normal(1.2, 0.6), delay=Uniform(0.0, 10.0), **more)
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.5), delay=Uniform(1.0, 6.0), **more)
    network.connect("hidden", "output", weight=Normal(0.2, 0.5))
    return network


def make_batch(n=2):
    samples = []
    for sample in range(n):
        draw = stream(5, "plot", sample=sample)
        samples.append((draw.uniform(0, 60, 40), draw.integers(0, 5, 40), draw.integers(1, 3, 40).astype(float)))
    return SpikeBatch.from_lists(samples)


def check_picture(path, colours=20):
    """A picture has a fair size and more than a blank page's colours."""
    from matplotlib import image

    pixels = image.imread(path)
    assert pixels.shape[0] > 300 and pixels.shape[1] > 300
    flat = (pixels[..., :3].reshape(-1, 3) * 255).astype(int)
    assert np.unique(flat, axis=0).shape[0] > colours
    assert 0.005 < np.mean(flat.min(axis=1) < 200) < 0.6  # some ink, not a flood


def records(n):
    return tuple(
        {
            "epoch": index + 1, "train_loss": 2.0 / (index + 1), "train_accuracy": 1 - 0.8 / (index + 1),
            "validation_loss": 2.2 / (index + 1), "validation_accuracy": 1 - 0.9 / (index + 1), "validation_n": 10,
            "spikes_per_neuron": 10.0 + index, "seconds": 1.0, "learning_rates": {},
        }
        for index in range(n)
    )  # fmt: skip
