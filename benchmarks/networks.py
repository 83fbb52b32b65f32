"""The networks that are measured and the spike trains that they are given."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from eventsnn import Network, Normal, SpikeBatch, Uniform, data, losses

CHANNELS, CLASSES, SECOND, INPUT_SPIKES = 700, 20, 1000.0, 8000
# Weights at which the hidden neurons fire 10 to 12 times in a second, with delays and without.
INPUT_MEAN, INPUT_SD, RECURRENT_SD, READOUT_SD = 0.0126, 0.02, 0.02, 0.03
# Of the second of two layers, so that it fires as often as the first.
LAYER_WEIGHT = (0.03, 0.06)
LONGEST_DELAY, SHORTEST_RECURRENT_DELAY = 30.0, 1.0  # ms
# Each sharing of delays with the words that tables use for it.
DELAYS = {"synapse": "per synapse", "neuron": "axonal", "none": "none"}

YIN_YANG_DURATION = 60.0  # ms
# Mean weights at which 100 hidden neurons fire 124 spikes in a sample, and 200 of them 248.
YIN_YANG_MEAN = {"synapse": 1.30, "none": 1.20}
YIN_YANG_SD, YIN_YANG_READOUT = 0.5, (6.0, 4.0)

# Of the chain of layers: few neurons, which fire a few times.
CHAIN_WEIGHT, CHAIN_SPIKES = (1.5, 0.5), 10

# The networks of the curve over the number of neurons: 1,000 arrivals per neuron and second from the inputs, as many
# from other neurons at 10 spikes in a second, in rows of at most 100 synapses beyond the dense ones.
FAN_OUT, CHANNEL_RATE, NEURONS_PER_CHANNEL = 100, 0.1, 10  # rate in spikes per ms
SPARSE_INPUT, SPARSE_RECURRENT_SD = (0.085, 0.04), 0.3


class Task(NamedTuple):
    """One training step to be measured: a network with its parameters, a batch, a loss and a duration in ms."""

    network: Network
    parameters: dict
    batch: SpikeBatch
    labels: np.ndarray
    loss: Any
    duration: float

    @property
    def n_samples(self):
        """Number of samples in the batch."""
        return self.batch.n_samples

    @property
    def n_synapses(self):
        """Number of synapses of the network."""
        return sum(c.n_synapses for c in self.network.connections.values())

    def run_settings(self):
        """The engine's settings for this step on one thread."""
        # here, as `against` builds these networks with earlier commits too
        from eventsnn.engines.problem import Run
        from eventsnn.losses.together import joint_probes

        losses_of = () if self.loss is None else (self.loss,)
        return Run(self.duration, joint_probes(losses_of, self.network, self.duration), 1)


def uniform_spikes(n_samples, n_spikes, n_channels, duration):
    """``n_samples`` samples of ``n_spikes`` spikes, uniform over ``duration`` (ms) and over the channels."""
    rng = np.random.default_rng(0)
    return SpikeBatch.from_lists(
        [(rng.uniform(0, duration, n_spikes), rng.integers(0, n_channels, n_spikes)) for _ in range(n_samples)]
    )


def _with_readout(network, batch, duration):
    """The Task of a network with a readout "out", drawn from seed 0, on a loss that reads the voltages."""
    labels = np.arange(batch.n_samples) % network.populations["out"].n
    loss = losses.ExponentialMeanVoltage(population="out")
    return Task(network, network.initialize(0), batch, labels, loss, float(duration))


def _input_delay(delays, longest):
    return {} if delays == "none" else {"delay": Uniform(0, longest), "delay_per": delays}


def _recurrent_delay(delays, longest):
    if delays == "none":
        return {"delay": SHORTEST_RECURRENT_DELAY, "delay_per": "connection", "train": ["weight"]}
    # where input delays end before the shortest recurrent one, those of the recurrent synapses are moved up
    low = SHORTEST_RECURRENT_DELAY
    return {"delay": Uniform(low, max(longest, 2 * low)), "delay_per": delays}


def recurrent(
    n_hidden, delays="synapse", *, n_samples=4, duration=SECOND, rate=INPUT_SPIKES, drive=INPUT_MEAN,
    longest=LONGEST_DELAY,
):  # fmt: skip
    """The recurrent network: 700 channels, ``n_hidden`` recurrent neurons, 20 readouts, tau_mem 20 and tau_syn 10 ms.

    ``delays``: "synapse" or "neuron" (trained), or "none" (the recurrent spikes then take 1 ms); ``rate``: input spikes
    per second over all channels; ``drive``: mean input weight; ``longest``: longest delay in ms.
    """
    network = Network()
    network.add_input("in", CHANNELS)
    network.add_lif("hidden", n_hidden, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", CLASSES, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=Normal(drive, INPUT_SD), **_input_delay(delays, longest))
    network.connect("hidden", "hidden", weight=Normal(0, RECURRENT_SD), **_recurrent_delay(delays, longest))
    network.connect("hidden", "out", weight=Normal(0, READOUT_SD))
    n_spikes = round(rate * duration / SECOND)
    return _with_readout(network, uniform_spikes(n_samples, n_spikes, CHANNELS, duration), duration)


def feed_forward(*, n_samples=4):
    """Two layers of 256 neurons without feedback behind the inputs of ``recurrent``: 700-256-256-20."""
    network = Network()
    network.add_input("in", CHANNELS)
    for name in ("first", "hidden"):
        network.add_lif(name, 256, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", CLASSES, tau_mem=20.0, tau_syn=10.0)
    delay = _input_delay("synapse", LONGEST_DELAY)
    network.connect("in", "first", weight=Normal(INPUT_MEAN, INPUT_SD), **delay)
    network.connect("first", "hidden", weight=Normal(*LAYER_WEIGHT), **delay)
    network.connect("hidden", "out", weight=Normal(0, READOUT_SD))
    return _with_readout(network, uniform_spikes(n_samples, INPUT_SPIKES, CHANNELS, SECOND), SECOND)


def yin_yang(n_hidden, delays="synapse", *, n_samples=32, tau_syn=10.0):
    """The Yin-Yang network 5-``n_hidden``-3 on the first spike of its outputs: 60 ms, delays U(0, 30) ms or none."""
    train, _, _ = data.load_yin_yang(seed=0, sizes=(n_samples, 1, 1), bias=1.5, duration=YIN_YANG_DURATION)
    network = Network()
    network.add_input("in", 5)
    network.add_lif("hidden", n_hidden, tau_mem=20.0, tau_syn=tau_syn)
    network.add_lif("out", 3, tau_mem=20.0, tau_syn=tau_syn)
    delay = _input_delay(delays, LONGEST_DELAY)
    stronger = 10.0 / tau_syn  # what a spike brings to V does not change
    mean, sd = (stronger * value for value in (YIN_YANG_MEAN[delays], YIN_YANG_SD))
    network.connect("in", "hidden", weight=Normal(mean, sd), **delay)
    mean, sd = (stronger * value / n_hidden for value in YIN_YANG_READOUT)
    network.connect("hidden", "out", weight=Normal(mean, sd), **delay)
    return Task(network, network.initialize(0), train.spikes, train.labels, losses.FirstSpike(), train.duration)


def chain(sizes=(5, 3, 2)):
    """The smallest network that anybody trains: layers in a row, one sample of a few spikes, delays U(0, 30) ms."""
    network, names = Network(), ["in", "hidden", "out"]
    network.add_input("in", sizes[0])
    network.add_lif("hidden", sizes[1], tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", sizes[2], tau_mem=20.0, tau_syn=10.0)
    for pre, post in pairwise(names):
        network.connect(pre, post, weight=Normal(*CHAIN_WEIGHT), **_input_delay("synapse", LONGEST_DELAY))
    batch = uniform_spikes(1, CHAIN_SPIKES, sizes[0], YIN_YANG_DURATION)
    return _with_readout(network, batch, YIN_YANG_DURATION)


def fan_out_mask(n_pre, n_post, seed):
    """A scipy.sparse matrix in which each of ``n_pre`` rows has min(100, n_post) non-zeros, drawn from ``seed``."""
    from scipy.sparse import csr_array

    rng, size = np.random.default_rng(seed), min(FAN_OUT, n_post)
    # one target from each of ``size`` equal ranges: distinct, in order, and drawn for all rows at once
    edges = np.arange(size + 1) * n_post // size
    indices = (edges[:-1] + (rng.random((n_pre, size)) * np.diff(edges)).astype(np.int64)).astype(np.int32)
    return csr_array((np.ones(indices.size, bool), indices.ravel(), np.arange(n_pre + 1) * size), (n_pre, n_post))


def scaled(n_hidden, sparse, *, n_samples=1, duration=SECOND):
    """A recurrent network of ``n_hidden`` neurons with the same drive at every size, delays U(0, 30) ms per synapse.

    ``sparse``: the recurrent rows have 100 synapses; otherwise they are dense.
    """
    n_channels = max(NEURONS_PER_CHANNEL, n_hidden // NEURONS_PER_CHANNEL)
    network = Network()
    network.add_input("in", n_channels)
    network.add_lif("hidden", n_hidden, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", 2, tau_mem=20.0, tau_syn=10.0)
    inputs, delay = fan_out_mask(n_channels, n_hidden, 0), _input_delay("synapse", LONGEST_DELAY)
    network.connect("in", "hidden", weight=Normal(*SPARSE_INPUT), mask=inputs, **delay)
    fan_in = min(n_hidden, FAN_OUT) if sparse else n_hidden
    network.connect(
        "hidden",
        "hidden",
        weight=Normal(0, SPARSE_RECURRENT_SD / np.sqrt(fan_in)),
        mask=fan_out_mask(n_hidden, n_hidden, 1) if sparse else None,
        **_recurrent_delay("synapse", LONGEST_DELAY),
    )
    network.connect("hidden", "out", weight=Normal(0, 1.0 / n_hidden))
    n_spikes = round(CHANNEL_RATE * n_channels * duration)
    return _with_readout(network, uniform_spikes(n_samples, n_spikes, n_channels, duration), duration)


def sparse_rows(delays="none", *, n_samples=2):
    """1,000 channels onto 10,000 neurons that 1 % of the synapses make fire ten times in 100 ms; whole rows or not.

    ``delays``: "none" (whole rows arrive), or "synapse" (the same zero delays, one for each synapse).
    """
    network, duration = Network(), SECOND / 10.0
    network.add_input("in", 1000)
    network.add_lif("hidden", 10_000, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", 2, tau_mem=20.0, tau_syn=10.0)
    delay = {} if delays == "none" else {"delay": Uniform(0.0, 0.0)}
    network.connect("in", "hidden", weight=Normal(1.5, 0.75), mask=fan_out_mask(1000, 10_000, 0), **delay)
    network.connect("hidden", "out", weight=Normal(0, 1e-4))
    return _with_readout(network, uniform_spikes(n_samples, 2000, 1000, duration), duration)


def scaled_synapses(n_hidden, sparse):
    """The number of synapses that ``scaled`` will have, before anything is built."""
    n_channels = max(NEURONS_PER_CHANNEL, n_hidden // NEURONS_PER_CHANNEL)
    row = min(n_hidden, FAN_OUT)
    return n_channels * row + n_hidden * (row if sparse else n_hidden) + 2 * n_hidden
