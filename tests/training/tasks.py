"""A small task with two classes, a network and a Trainer for it, and what its checkpoints hold."""

import numpy as np

from eventsnn import checkpoints
from eventsnn.data.augment import Augmentation
from eventsnn.data.dataset import Dataset
from eventsnn.losses import MeanVoltage, SilentNeuronRaise, SpikeCountTarget
from eventsnn.network import Network, Normal, Uniform
from eventsnn.optimizers import Adam, Cosine
from eventsnn.random import stream
from eventsnn.spikes import SpikeBatch
from eventsnn.training import Trainer, TrainingOptions

EPOCHS = 3
HANG = 300  # seconds after which a child is given up; nothing here is meant to take a tenth of it


def make_data(n=30, seed=0, purpose="data"):
    """Two classes: early low channels against early high channels."""
    samples, labels = [], np.arange(n) % 2
    for index, label in enumerate(labels):
        draw = stream(seed, purpose, sample=index)
        early, late = draw.uniform(0, 10, 8), draw.uniform(15, 30, 8)
        low, high = draw.integers(0, 3, 8), draw.integers(3, 6, 8)
        first, second = (low, high) if label == 0 else (high, low)
        samples.append((np.concatenate([early, late]), np.concatenate([first, second])))
    return Dataset(SpikeBatch.from_lists(samples), labels, 6, 2, 60.0, name=purpose)


def make_network(n_hidden=5):
    network = Network()
    network.add_input("input", 6)
    network.add_lif("hidden", n_hidden, tau_mem=20.0, tau_syn=5.0)
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("input", "hidden", weight=Normal(0.9, 0.5), delay=Uniform(0.0, 10.0))
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.2), delay=Uniform(1.0, 5.0))
    network.connect("hidden", "output", weight=Normal(0.0, 0.5))
    return network


OPTIONS = TrainingOptions(
    batch_size=8,
    seed=3,
    regularizers=(SpikeCountTarget("hidden", 3.0, 1e-3),),
    augmentation=Augmentation(blend=0.3, channel_shift=1, time_jitter=0.5),
    silent_raise=(SilentNeuronRaise("hidden", 0.05),),
    average=0.9,
    neuron_drop=0.2,
)


def make_trainer(options=OPTIONS, *, loss=None, optimizer=None, network=None, **more):
    network = make_network() if network is None else network
    loss = MeanVoltage() if loss is None else loss
    if optimizer is None:
        optimizer = Adam(0.02, learning_rates={"*.delay": 0.3, "*->output.*": 0.3}, schedule=Cosine(40, 0.1))
    more = {"n_threads": 1, "progress": False, **more}
    return Trainer(network, network.initialize(1), loss=loss, optimizer=optimizer, options=options, **more)


TRAIN, VALIDATION = make_data(), make_data(20, purpose="validation")


def contents(path):
    """A checkpoint's arrays as bytes and its metadata, less the wall-clock seconds."""
    arrays, meta = checkpoints.load(path)
    for record in meta["state"]["history"]:
        record["seconds"] = 0.0
    meta["state"]["running"]["seconds"] = 0.0
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}, meta


def spiking_output(n=2, weight=8.0):
    network = Network()
    network.add_input("input", 6)
    network.add_lif("hidden", 5)
    network.add_lif("output", n)
    network.connect("input", "hidden", weight=4.0, delay=1.0)
    network.connect("hidden", "output", weight=weight)
    return network
