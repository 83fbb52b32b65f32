"""What a simulation returns: the spikes of each sample, what was read from readouts, and counters."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..aliases import Array, Indices, Integers, Milliseconds
from ..arrays import is_whole
from ..errors import InvalidInput
from .batch import SpikeBatch
from .cotangents import Cotangents


def check_sample(sample: object, n_samples: int) -> None:
    """Refuse what is no index of a sample; negative ones count from the end."""
    if not is_whole(sample) or not -n_samples <= sample < n_samples:
        raise InvalidInput("sample", None, sample, f"a sample index below {n_samples}")


@dataclass
class Counters:
    """What happened in each sample; every field is an (n_samples,) int64 array.

    ``events``: synaptic events delivered. ``walked`` and ``screened``: neuron-windows that were walked event by event,
    and those that a bound showed to be silent. ``grazing``: contacts with the threshold so flat that the gradient is
    ill-conditioned. ``after_end``: input spikes at or after the end of the simulated duration, which act on nothing.
    """

    events: Integers
    walked: Integers
    screened: Integers
    grazing: Integers
    after_end: Integers


@dataclass
class Readout:
    """Closed-form results of one readout population; each array has shape (n_samples, n).

    ``integral``: the integral over the duration of e^{-decay_rate t} V(t) dt (ms). ``maximum`` and
    ``maximum_time`` (ms): the largest voltage and when it was reached, with ``maximum_share``, the part of a pull on
    the maximum that an arrival at that very instant feels (docs/mathematics.md, section 6); None unless asked for.
    """

    integral: Array
    decay_rate: float
    # None unless asked for; "| Any", because who asked for it reads it without looking
    maximum: Array | Any = None
    maximum_time: Array | Any = None
    maximum_share: Array | Any = None


@dataclass
class Recording:
    """What a simulation leaves: every spike of every population, readout results and counters.

    ``times`` (ms), ``neurons`` and ``slopes`` hold the emitted spikes of all samples in engine order, sample s between
    ``offsets[s]`` and ``offsets[s + 1]``; ``slices[population]`` is the range that a population takes in ``neurons``.
    ``slopes`` is tau_mem dV/dt just before the reset: I - v_threshold, and v_rest and bias. ``inputs`` maps each input
    population to its SpikeBatch, ``readouts`` each probed readout population to its Readout. ``outputs`` names the LIF
    populations that send no spikes to other LIF populations. ``duration`` (ms) is how far the simulation has come, and
    ``start`` (ms) where the spikes that are held begin: 0, but for the parts of a stream.
    """

    duration: Milliseconds
    times: Array
    neurons: Indices
    slopes: Array
    offsets: Integers
    slices: dict[str, tuple[int, int]]
    inputs: dict[str, SpikeBatch]
    readouts: dict[str, Readout]
    counters: Counters
    outputs: tuple[str, ...] = ()
    start: Milliseconds = 0.0
    _order: dict[tuple[str, int], Integers] = field(default_factory=dict, repr=False)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.offsets.size - 1

    def __len__(self) -> int:
        return self.n_samples

    def spikes(self, population: str, sample: int) -> tuple[Array, Indices]:
        """Return ``(times, units)`` of one population in one sample, sorted by (time, unit)."""
        check_sample(sample, self.n_samples)
        if population in self.inputs:
            train = self.inputs[population][sample]
            return train.times, train.units
        chosen = self.spike_indices(population, sample)
        return self.times[chosen], self.neurons[chosen] - self.slices[population][0]

    def slopes_of(self, population: str, sample: int) -> Array:
        """Return tau_mem dV/dt at each spike, in the order of ``spikes``."""
        return self.slopes[self.spike_indices(population, sample)]

    def spike_indices(self, population: str, sample: int) -> Integers:
        """Return where in ``times`` the spikes of one population in one sample stand, in the order of ``spikes``."""
        start, stop = self.slice_of(population)
        check_sample(sample, self.n_samples)
        sample %= self.n_samples
        key = (population, sample)
        if key not in self._order:
            first, last = self.offsets[sample], self.offsets[sample + 1]
            neurons = self.neurons[first:last]
            chosen = first + np.flatnonzero((neurons >= start) & (neurons < stop))
            self._order[key] = chosen[np.lexsort((self.neurons[chosen], np.real(self.times[chosen])))]
        return self._order[key]

    def slice_of(self, population: str) -> tuple[int, int]:
        """Return the range of a population in ``neurons``; raises InvalidInput for a name that is not there."""
        if population not in self.slices:
            raise InvalidInput("population", None, population, f"one of {sorted(self.slices)}")
        return self.slices[population]

    def spike_counts(self, population: str) -> Integers:
        """Return the number of spikes of each neuron, int64 of shape (n_samples, n)."""
        start, stop = self.slice_of(population)
        counts = np.zeros((self.n_samples, stop - start), dtype=np.int64)
        sample = np.repeat(np.arange(self.n_samples), np.diff(self.offsets))
        chosen = (self.neurons >= start) & (self.neurons < stop)
        np.add.at(counts, (sample[chosen], self.neurons[chosen] - start), 1)
        return counts

    def spike_totals(self) -> Integers:
        """Return the number of spikes of each neuron in all samples, int64, in the order of ``slices``."""
        n_neurons = max((stop for _, stop in self.slices.values()), default=0)
        return np.bincount(self.neurons, minlength=n_neurons).astype(np.int64)

    def own(self, cotangents: Cotangents) -> Cotangents:
        """Return the part of a loss's cotangents that belongs to the samples simulated here: all of them."""
        return cotangents

    def first_spikes(self, population: str) -> Integers:
        """Return the index into ``times`` of each neuron's first spike, int64 of shape (n_samples, n), -1 if silent."""
        start, stop = self.slice_of(population)
        first = np.full((self.n_samples, stop - start), -1, dtype=np.int64)
        chosen = np.flatnonzero((self.neurons >= start) & (self.neurons < stop))
        cells = np.repeat(np.arange(self.n_samples), np.diff(self.offsets))[chosen], self.neurons[chosen] - start
        # backwards in time, so that the first spike (of equal ones, the first on the tape) is the last one written
        latest_first = np.argsort(np.real(self.times[chosen]), kind="stable")[::-1]
        first[cells[0][latest_first], cells[1][latest_first]] = chosen[latest_first]
        return first
