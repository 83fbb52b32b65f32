"""Brain-like networks in no simulator's words: a balanced random one, and the cortical microcircuit.

Delays and times of input spikes are whole steps of 0.1 ms where a simulator on a grid would round them, so that all
simulators are given the same network. No neuron is refractory: that is a constant of ``Neuron``, 0 so far.
"""

from typing import NamedTuple

import numpy as np

STEP = 0.1  # ms, of the simulators that have one


class Neuron(NamedTuple):
    """tau_mem dV/dt = -V + R I, tau_syn dI/dt = -I: times in ms, voltages above rest in mV, capacitance in pF."""

    tau_mem: float
    tau_syn: float
    threshold: float
    capacitance: float
    refractory: float = 0.0

    @property
    def millivolts(self):
        """What a current of 1 pA is as a voltage, R I."""
        return self.tau_mem / self.capacitance


class Synapses(NamedTuple):
    """One entry for each synapse, by presynaptic and then postsynaptic neuron; weight in pA, delay in ms."""

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay: np.ndarray


class Brain(NamedTuple):
    """A network, its populations one after the other, and Poisson spikes from the rest of the brain for each neuron."""

    neuron: Neuron
    sizes: dict  # {population: neurons}
    synapses: Synapses
    rates: dict  # {population: spikes from outside, 1/ms}
    weight: float  # of those, pA
    duration: float  # ms

    @property
    def n_neurons(self):
        """Number of neurons of all populations."""
        return sum(self.sizes.values())

    def outside(self, seed=1):
        """(times, neurons) of the spikes from outside, on whole steps, in the order of time."""
        rng, n = np.random.default_rng(seed), self.n_neurons
        rates = np.repeat(list(self.rates.values()), list(self.sizes.values()))
        neurons = np.repeat(np.arange(n), rng.poisson(rates * self.duration))
        # one number for both, as numbers are sorted faster than pairs
        spikes = np.sort(rng.integers(2, round(self.duration / STEP), neurons.size) * n + neurons)
        return spikes // n * STEP, (spikes % n).astype(np.int32)


def on_grid(delays):
    """Delays as a simulator on the grid would round them: at least one step."""
    return np.maximum(np.round(delays / STEP), 1.0) * STEP


def sorted_synapses(pre, post, weight, delay):
    """The Synapses in their order."""
    order = np.lexsort((post, pre))
    return Synapses(*(values[order] for values in (pre, post, weight, delay)))


# ------------------------------------------------------------------------------------------------- balanced network

BALANCED = Neuron(tau_mem=20.0, tau_syn=2.0, threshold=20.0, capacitance=250.0)
BALANCED_SIZES, BALANCED_IN = {"E": 3200, "I": 800}, {"E": 320, "I": 80}
# pA: an excitatory synapse moves V by 0.5 mV at most, an inhibitory one by five times that.
BALANCED_WEIGHT = {"E": 80.0, "I": -400.0}
BALANCED_DRIVE = 3.0  # spikes per ms and neuron


def balanced(duration=500.0, scale=1.0, seed=0):
    """4,000 neurons, 400 synapses each with delays from 1 to 2 ms, and 3,000 spikes a second from outside for each."""
    rng = np.random.default_rng(seed)
    sizes = {name: round(n * scale) for name, n in BALANCED_SIZES.items()}
    n, first, parts = sum(sizes.values()), 0, []
    for name, size in sizes.items():
        degree = round(BALANCED_IN[name] * scale)
        # different sources for each neuron: the first of a random order of all
        chosen = np.argsort(rng.random((n, size)), axis=1)[:, :degree] + first
        parts.append((chosen.ravel(), np.repeat(np.arange(n), degree), np.full(n * degree, BALANCED_WEIGHT[name])))
        first += size
    pre, post, weight = (np.concatenate(values) for values in zip(*parts, strict=True))
    synapses = sorted_synapses(pre, post, weight, on_grid(rng.uniform(1.0, 2.0, pre.size)))
    return Brain(BALANCED, sizes, synapses, dict.fromkeys(sizes, BALANCED_DRIVE), BALANCED_WEIGHT["E"], duration)


# ------------------------------------------------------------- microcircuit (Potjans and Diesmann, Cereb. Cortex 2014)

CORTEX = Neuron(tau_mem=10.0, tau_syn=0.5, threshold=15.0, capacitance=250.0)
CORTEX_SIZES = {
    "L23E": 20683, "L23I": 5834, "L4E": 21915, "L4I": 5479, "L5E": 4850, "L5I": 1065, "L6E": 14395, "L6I": 2948,
}  # fmt: skip
# Probability that two neurons are connected: a row for each target, a column for each source.
CONNECTED = np.array([
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
    [0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443],
])  # fmt: skip
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
EXTERNAL_RATE = 0.008  # spikes per ms of each external synapse
# pA: 0.15 mV at the peak of a postsynaptic potential.
CORTEX_WEIGHT, INHIBITION, SPREAD = 87.8, -4.0, 0.1
# (mean, standard deviation) in ms of excitatory and of inhibitory delays.
CORTEX_DELAYS = ((1.5, 0.75), (0.8, 0.4))


def synapse_numbers():
    """Synapses from each population (column) to each (row), of the whole circuit (their equation 1)."""
    n = np.array(list(CORTEX_SIZES.values()), float)
    pairs = n[:, None] * n[None, :]
    return np.round(np.log1p(-CONNECTED) / np.log1p(-1.0 / pairs)).astype(np.int64)


def _projection(rng, source, target, n):
    """(weight, delay) of n synapses between two populations, by their numbers."""
    inhibitory = source % 2
    mean = CORTEX_WEIGHT * (INHIBITION if inhibitory else 1.0)
    # from layer 4 to layer 2/3
    mean *= 2.0 if (source, target) == (2, 0) else 1.0
    weight = rng.normal(mean, SPREAD * abs(mean), n)
    weight = np.maximum(weight, 0.0) if mean > 0.0 else np.minimum(weight, 0.0)
    return weight, on_grid(rng.normal(*CORTEX_DELAYS[inhibitory], n))


def microcircuit(duration=1000.0, scale=0.1, seed=0):
    """A part of the neurons, each with as many synapses and as many spikes from outside as in the whole circuit."""
    rng = np.random.default_rng(seed)
    sizes = {name: round(n * scale) for name, n in CORTEX_SIZES.items()}
    n = np.array(list(sizes.values()))
    starts, parts = np.cumsum(n) - n, []
    for target, numbers in enumerate(synapse_numbers()):
        for source, number in enumerate(numbers):
            many = round(number * scale)
            ends = (rng.integers(starts[end], starts[end] + n[end], many) for end in (source, target))
            parts.append((*ends, *_projection(rng, source, target, many)))
    synapses = sorted_synapses(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    rates = dict(zip(sizes, (EXTERNAL * EXTERNAL_RATE).tolist(), strict=True))
    return Brain(CORTEX, sizes, synapses, rates, CORTEX_WEIGHT, duration)


BRAINS = {"balanced": balanced, "microcircuit": microcircuit}
