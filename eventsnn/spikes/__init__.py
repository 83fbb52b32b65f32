"""Spikes in and out: trains and batches of them, recordings, and what losses say of them."""

from .. import renamed
from .batch import SpikeBatch, SpikeTrain
from .cotangents import Cotangents, Probe
from .recording import Counters, Readout, Recording

__all__ = [
    "Cotangents",
    "Counters",
    "Probe",
    "Readout",
    "Recording",
    "SpikeBatch",
    "SpikeTrain",
]


def __getattr__(name: str) -> object:
    return renamed.find("spikes", name)
