"""What a GridNetwork did on a batch, in the words of an event-driven Recording, so that one loss serves both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from ..aliases import Array, Floats, Integers, Milliseconds, Parameters
from ..errors import InvalidInput, Unsupported
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Cotangents, Probe
from ..spikes.recording import Readout, check_sample


@dataclass
class GridRecording:
    """``voltages`` of readouts, LIF ``potentials`` before the reset and ``fired``: {population: (n_samples, steps, n)}.

    A batch in training keeps of its spikes the ``counts``, {LIF population: (n_samples, n)}, alone.
    ``inputs`` {input: SpikeBatch, as it was before it was binned}; ``duration`` and ``dt`` in ms; ``slices`` {LIF
    population: (first, last)} in the order of ``spike_totals``; ``statistics``: {running mean or variance: its new
    value} where batches were normalised in training.
    """

    duration: Milliseconds
    dt: Milliseconds
    inputs: dict[str, SpikeBatch] = field(default_factory=dict)
    voltages: dict[str, Array] = field(default_factory=dict)
    counts: dict[str, Integers] = field(default_factory=dict)
    potentials: dict[str, Array] = field(default_factory=dict)
    fired: dict[str, Array] = field(default_factory=dict)
    statistics: Parameters = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    start: Milliseconds = 0.0

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(next(iter({**self.voltages, **self.counts}.values())))

    @property
    def slices(self) -> dict[str, tuple[int, int]]:
        """{LIF population: (first, last)}: its neurons among those of all LIF populations."""
        edges = np.cumsum([0, *(counts.shape[1] for counts in self.counts.values())])
        return {name: (int(edges[k]), int(edges[k + 1])) for k, name in enumerate(self.counts)}

    def slice_of(self, population: str) -> tuple[int, int]:
        """Return (first, last) of a LIF population; raises InvalidInput for any other."""
        if population not in self.counts:
            raise InvalidInput("population", None, population, f"one of the LIF populations {sorted(self.counts)}")
        return self.slices[population]

    def spike_counts(self, population: str) -> Integers:
        """Return the number of spikes of each neuron, int64 of shape (n_samples, n)."""
        self.slice_of(population)
        return self.counts[population]

    def spike_totals(self) -> Integers:
        """Return the number of spikes of each LIF neuron in all samples, int64."""
        return np.concatenate([np.zeros(0, np.int64), *(counts.sum(axis=0) for counts in self.counts.values())])

    def spikes(self, population: str, sample: int) -> tuple[Array, Array]:
        """Return (times, units) of one sample's spikes: ms, at the beginning of their steps (inputs: as they came)."""
        check_sample(sample, self.n_samples)
        if population in self.inputs:
            train = self.inputs[population][sample]
            return train.times, train.units
        self.slice_of(population)
        steps, units = np.nonzero(self.fired[population][sample])
        return self.dt * steps, units

    def own(self, cotangents: Cotangents) -> Cotangents:
        """Return the part of a loss's cotangents that belongs to the samples simulated here: all of them."""
        return cotangents

    def first_spikes(self, population: str) -> NoReturn:
        """A spike of the grid has no time that a gradient could move."""
        allowed = "a loss on voltages or counts: spikes of a grid have no times to move"
        raise Unsupported("loss", None, "a loss on spike times", allowed, "Train a Network for it.")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of populations for losses on spike times, which ``first_spikes`` refuses."""
        return tuple(self.counts)[-1:]

    def weights(self, readout: str) -> Floats:
        """Return dt e^{-decay_rate t} of each step, (steps,): what its voltage counts in the integral."""
        steps = self.voltages[readout].shape[1]
        return self.dt * np.exp(-self._rate(readout) * self.dt * np.arange(steps))

    def _rate(self, readout: str) -> float:
        probe = self.probes.get(readout)
        return 0.0 if probe is None or probe.decay_rate is None else probe.decay_rate

    @property
    def readouts(self) -> dict[str, Readout]:
        """{readout: Readout}: sums over steps in place of integrals, and the largest voltage of a step."""
        found = {}
        for name, voltages in self.voltages.items():
            integral = np.einsum("btn,t->bn", voltages.astype(np.float64), self.weights(name))
            latest = voltages.argmax(axis=1)
            found[name] = Readout(integral, self._rate(name), voltages.max(axis=1), latest * self.dt)
        return found

    def by_step(self, cotangents: Cotangents) -> tuple[dict[str, Floats], dict[str, Array]]:
        """Return ({readout: dL/d(voltages)}, {LIF population: dL/d(spikes), the same in each step}) of Cotangents."""
        by_voltage = {name: np.array(values, dtype=np.float64) for name, values in cotangents.voltages.items()}
        for name in {*cotangents.integral, *cotangents.maximum}:
            total = by_voltage.setdefault(name, np.zeros(self.voltages[name].shape))
            if name in cotangents.integral:
                total += cotangents.integral[name][:, None, :] * self.weights(name)[:, None]
            if name in cotangents.maximum:
                latest = self.voltages[name].argmax(axis=1)[:, None, :]
                np.put_along_axis(
                    total, latest, np.take_along_axis(total, latest, 1) + cotangents.maximum[name][:, None, :], 1
                )
        return by_voltage, {name: values[:, None, :] for name, values in cotangents.counts.items()}
