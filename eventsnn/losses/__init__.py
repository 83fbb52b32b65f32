"""Losses: a Recording and labels in, a value per sample and its cotangents out. Nothing is sampled on a grid.

A loss is any object with three methods, so a user can write one in a few lines:

``probes(network, duration)``
    {readout name: Probe}, what the engines must read from which readout.
``__call__(recording, labels)``
    (values (n_samples,), Cotangents of their sum). Values must follow complex recordings, for complex-step checks.
``predict(recording)``
    (n_samples,) int64 predicted labels.

A fourth lets training hold labels to outputs before the first step:

``class_population(readouts, outputs)``
    The name of the population that has a neuron for each class, among the network's readouts and its LIF populations
    that send to no other LIF population.
"""

from .. import renamed
from .base import Loss
from .homeostasis import SilentNeuronRaise, SpikeCountTarget
from .spike_times import FirstSpike, RelativeFirstSpike, SpikeTimeRegression
from .steps import MeanSquaredError, SummedSoftmax, SummedVoltage
from .voltage import ExponentialMeanVoltage, MaxVoltage, MeanVoltage

__all__ = [
    "ExponentialMeanVoltage",
    "FirstSpike",
    "Loss",
    "MaxVoltage",
    "MeanSquaredError",
    "MeanVoltage",
    "RelativeFirstSpike",
    "SilentNeuronRaise",
    "SpikeCountTarget",
    "SpikeTimeRegression",
    "SummedSoftmax",
    "SummedVoltage",
]


def __getattr__(name: str) -> object:
    return renamed.find("losses", name)
