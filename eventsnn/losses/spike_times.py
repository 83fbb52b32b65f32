"""Losses of the times of first spikes, and of spike times given as targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Integers, Milliseconds
from ..arrays import in_milliseconds
from ..checks import answers_keywords, check_duration, nearest
from ..citing import LEARNED_DELAYS, Paper
from ..errors import InvalidInput, Unsupported
from ..spikes.cotangents import Cotangents, Probe
from ..spikes.recording import Recording
from .base import AnyNetwork, check_labels, cross_entropy, real, refuse_classes
from .registry import register


class _SpikeTimeLoss:
    """What the losses on spike times share: the output population and its first spikes."""

    population: str | None = None

    if TYPE_CHECKING:

        def __call__(self, recording: Recording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
            """Subclasses have it."""

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Spike-time losses read no voltage; a network whose classes seem to sit in a readout is refused."""
        if hasattr(network, "dt"):  # a network on a grid
            allowed = "a loss on voltages or counts: spikes of a grid have no times to move"
            raise Unsupported("loss", None, type(self).__name__, allowed)
        readouts = [p.name for p in network.populations.values() if p.is_readout]
        lif = [p.name for p in network.populations.values() if p.fires]
        if self.population is None and readouts:
            allowed = f"the name of one of the LIF populations {lif}, as there is a readout, {readouts[0]!r}"
            remedy = f"Where the classes are in {readouts[0]!r}, MeanVoltage() reads its voltage; it has no spikes."
            raise InvalidInput("population", None, None, allowed, remedy)
        if self.population is not None and self.population not in lif:
            allowed, remedy = f"one of the LIF populations {lif}", nearest(str(self.population), lif)
            raise InvalidInput("population", None, self.population, allowed, remedy)
        return {}

    def class_population(self, readouts: Sequence[str], outputs: Sequence[str]) -> str:
        """Return the name of the LIF population that has a neuron for each class."""
        return self._output(outputs)

    def _output(self, outputs: Sequence[str]) -> str:
        if self.population is not None:
            return self.population
        if not outputs:
            allowed = f"the LIF population that {type(self).__name__} reads, and no output of this network is one"
            raise InvalidInput("population", None, None, allowed, "Add one with add_lif, or pass population=.")
        if len(outputs) != 1:
            raise InvalidInput("population", None, None, f"one of {sorted(outputs)}", "Pass population=.")
        return outputs[0]

    def first_times(self, recording: Recording) -> tuple[Array, Integers]:
        """Return (times (n_samples, n), indices into recording.times): a silent output counts as the duration."""
        if recording.start > 0:
            allowed = "the Recording of a whole run: an output may have fired before"
            raise InvalidInput("recording", None, f"a part from {recording.start} ms on", allowed)
        first = recording.first_spikes(self._output(recording.outputs))
        silent = first < 0
        if recording.times.size == 0:
            return np.full(first.shape, recording.duration), first
        return np.where(silent, recording.duration, recording.times[first]), first

    def predict(self, recording: Recording) -> Integers:
        """Return the output that fires first, (n_samples,) int64; the lowest index among equals."""
        return np.argmin(self.first_times(recording)[0].real, axis=1)

    @staticmethod
    def _cotangents(recording: Recording, first: Integers, gradient: Array) -> Cotangents:
        """Put d value/dt of the first spikes where those spikes stand; silent outputs have no gradient."""
        at_spikes = np.zeros(recording.times.size, gradient.dtype)
        fired = first >= 0
        at_spikes[first[fired]] = gradient[fired]
        return Cotangents(spike_times=at_spikes)


@register("first_spike", reads="spikes", settings=("tau",))
@answers_keywords
@dataclass(frozen=True)
class FirstSpike(_SpikeTimeLoss):
    """Cross entropy of softmax(-t_first / tau); ``tau`` in ms, > 0.

    A silent output counts as t = duration and gives no gradient.
    """

    tau: float = 5.0
    population: str | None = None

    def __post_init__(self) -> None:
        check_duration(self.tau, "tau")

    def __call__(self, recording: Recording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        values, gradient = cross_entropy(-times / self.tau, labels)
        return values, self._cotangents(recording, first, -gradient / self.tau)


@register("relative_first_spike", reads="spikes", settings=("delta",))
@answers_keywords
@dataclass(frozen=True)
class RelativeFirstSpike(_SpikeTimeLoss):
    """Half the sum over wrong outputs i of (t_i - t_correct - delta)^2; ``delta`` in ms, > 0.

    The margin of Mészáros, Knight & Nowotny 2025. A silent output counts as t = duration and gives no gradient.
    """

    delta: float = 1.0
    population: str | None = None
    papers: ClassVar[tuple[Paper, ...]] = (LEARNED_DELAYS,)

    def __post_init__(self) -> None:
        check_duration(self.delta, "delta")

    def __call__(self, recording: Recording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        classes = check_labels(labels, *times.shape)
        rows = np.arange(classes.size)
        gap = times - times[rows, classes][:, None] - self.delta
        gap[rows, classes] = 0.0
        gradient = gap.copy()
        gradient[rows, classes] = -gap.sum(axis=1)
        return 0.5 * np.sum(gap**2, axis=1), self._cotangents(recording, first, gradient)


@answers_keywords
@dataclass(frozen=True)
class SpikeTimeRegression(_SpikeTimeLoss):
    """Half the sum of (t_first - target)^2; the labels are target times (n_samples, n) in ms, NaN for "any"."""

    population: str | None = None

    def __call__(self, recording: Recording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        targets = real(in_milliseconds(labels, "labels"))
        if targets.shape != times.shape:
            raise InvalidInput("labels", None, targets.shape, f"target times of shape {times.shape}")
        gap = np.where(np.isnan(targets), 0.0, times - targets)
        return 0.5 * np.sum(gap**2, axis=1), self._cotangents(recording, first, gap)

    def class_population(self, readouts: Sequence[str], outputs: Sequence[str]) -> NoReturn:
        """There are no classes; raises InvalidInput."""
        refuse_classes(self)
