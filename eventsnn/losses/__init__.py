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

A loss that its file enters with ``register`` has a name, which presets can give as ``loss.kind``; every file of this
folder is imported for that.
"""

from importlib import import_module
from pkgutil import iter_modules

from .. import renamed
from .base import Loss
from .homeostasis import SilentNeuronRaise, SpikeCountTarget
from .registry import KNOWN, register
from .spike_times import FirstSpike, RelativeFirstSpike, SpikeTimeRegression
from .steps import MeanSquaredError, SummedSoftmax, SummedVoltage
from .voltage import ExponentialMeanVoltage, MaxVoltage, MeanVoltage

__all__ = [
    "ExponentialMeanVoltage",
    "KNOWN",
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
    "register",
]

for _found in iter_modules(__path__):
    import_module(f".{_found.name}", __name__)


def __getattr__(name: str) -> object:
    named = {known.loss.__name__: known.loss for known in KNOWN.values()}
    return named[name] if name in named else renamed.find("losses", name)
