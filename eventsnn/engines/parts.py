"""The parts of a stream: how many there are, and which spikes are in one."""

import math

import numpy as np

from ..aliases import Milliseconds
from ..spikes.batch import SpikeBatch


def n_parts(duration: Milliseconds, every: Milliseconds) -> int:
    """Return how many parts there are; a remainder that is only rounding belongs to the last one."""
    return math.ceil(duration / every * (1.0 - 4.0 * np.finfo(float).eps))


def between(batch: SpikeBatch, start: Milliseconds, end: Milliseconds) -> SpikeBatch:
    """Return the spikes of a batch of one sample from ``start`` to before ``end``."""
    chosen = slice(*np.searchsorted(batch.times, [start, end]))
    counts = None if batch.counts is None else batch.counts[chosen]
    times = batch.times[chosen]
    return SpikeBatch(times, batch.units[chosen], np.array([0, times.size]), counts)
