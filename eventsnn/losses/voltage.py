"""Losses that read the voltages of readouts: their means and maxima."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Integers, Milliseconds
from ..checks import answers_keywords, check_duration, nearest
from ..citing import LEARNED_DELAYS, Paper
from ..errors import InvalidInput, Unsupported
from ..spikes.cotangents import Cotangents, Probe
from ..spikes.recording import Readout
from .base import AnyNetwork, AnyRecording, cross_entropy
from .registry import KNOWN, register

HOW_TO_READ = "Simulate with probes=loss.probes(network, duration); of a stream, the last part alone has them."
LOSS_SHAPING = Paper(
    ("T. Nowotny", "J. P. Turner", "J. C. Knight"),
    "Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks",
    "Neuromorphic Computing and Engineering", 2025, "2212.01232", journal=True,
)  # fmt: skip


class ReadoutLoss:
    """What the losses on readout voltages share: which readout, and prediction by the largest logit."""

    population: str | None = None

    if TYPE_CHECKING:  # what subclasses have, unless they need none of it

        def _probe(self, duration: Milliseconds) -> Probe:
            """What is asked of the readout."""

        def _logits(self, recording: AnyRecording) -> Array:
            """What is largest for the class that is predicted, (n_samples, n)."""

        def _cotangents(self, recording: AnyRecording, gradient: Array) -> Cotangents:
            """The loss's cotangents from its gradient by the logits."""

    def _readout(self, readouts: Collection[str]) -> str:
        if not readouts:
            of_spikes = " or ".join(known.loss.__name__ for known in KNOWN.values() if known.reads == "spikes")
            remedy = f"Add one with add_readout, or, of events, take a loss that reads spikes: {of_spikes}."
            allowed = f"the readout that {type(self).__name__} reads, and this network has none"
            raise InvalidInput("population", None, self.population, allowed, remedy)
        if self.population is not None:
            if self.population not in readouts:
                allowed, remedy = f"one of the readouts {sorted(readouts)}", nearest(str(self.population), [*readouts])
                raise InvalidInput("population", None, self.population, allowed, remedy)
            return self.population
        if len(readouts) != 1:
            raise InvalidInput("population", None, None, f"one of the readouts {sorted(readouts)}", "Pass population=.")
        return next(iter(readouts))

    def _read(self, recording: AnyRecording) -> Readout:
        """Return what was read of the readout; refuses a recording for which not all was asked that ``probes`` asks."""
        readouts, loss = recording.readouts, type(self).__name__
        if not readouts:
            raise Unsupported("recording.readouts", None, {}, f"what {loss} reads", HOW_TO_READ)
        name = self._readout(readouts)
        found, asked, place = readouts[name], self._probe(recording.duration), f"recording.readouts[{name!r}]"
        if asked.maximum and found.maximum is None:
            raise Unsupported(f"{place}.maximum", None, None, f"what {loss} reads, the maximum", HOW_TO_READ)
        # the duration of a grid, and a rate of 1 / duration with it, is rounded to whole steps
        slack, rate = getattr(recording, "dt", 0.0) / recording.duration, asked.decay_rate
        if rate is not None and not math.isclose(found.decay_rate, rate, rel_tol=slack + 1e-12):
            allowed = f"{rate:g} (1/ms), as {loss} weights time"
            raise Unsupported(f"{place}.decay_rate", None, found.decay_rate, allowed, HOW_TO_READ)
        return found

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Ask for this loss's quantity at its readout."""
        names = [p.name for p in network.populations.values() if p.is_readout]
        return {self._readout(names): self._probe(duration)}

    def class_population(self, readouts: Sequence[str], outputs: Sequence[str]) -> str:
        """Return the name of the readout that has a neuron for each class."""
        return self._readout(readouts)

    def predict(self, recording: AnyRecording) -> Integers:
        """Return the class with the largest logit, (n_samples,) int64."""
        return np.argmax(self._logits(recording).real, axis=1)

    def __call__(self, recording: AnyRecording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        values, gradient = cross_entropy(self._logits(recording), labels)
        return values, self._cotangents(recording, gradient)


@register("mean_voltage", reads="readout")
@answers_keywords
@dataclass(frozen=True)
class MeanVoltage(ReadoutLoss):
    """Cross entropy of the mean readout voltages z = (1/T) integral of V dt, T the duration."""

    population: str | None = None

    def _probe(self, duration: Milliseconds) -> Probe:
        return Probe()

    def _logits(self, recording: AnyRecording) -> Array:
        return self._read(recording).integral / recording.duration

    def _cotangents(self, recording: AnyRecording, gradient: Array) -> Cotangents:
        return Cotangents(integral={self._readout(recording.readouts): gradient / recording.duration})


@register("exponential_mean_voltage", reads="readout", settings=("tau_window",))
@answers_keywords
@dataclass(frozen=True)
class ExponentialMeanVoltage(MeanVoltage):
    """Cross entropy of z = (1/T) integral of e^{-t/tau_window} V dt; ``tau_window`` (ms, > 0), T itself by default.

    Early voltage counts most (Nowotny, Turner & Knight 2025; used by Mészáros, Knight & Nowotny 2025).
    """

    tau_window: float | None = None
    papers: ClassVar[tuple[Paper, ...]] = (LOSS_SHAPING, LEARNED_DELAYS)

    def __post_init__(self) -> None:
        if self.tau_window is not None:
            check_duration(self.tau_window, "tau_window")

    def _probe(self, duration: Milliseconds) -> Probe:
        return Probe(decay_rate=1.0 / (duration if self.tau_window is None else self.tau_window))


@register("max_voltage", reads="readout")
@answers_keywords
@dataclass(frozen=True)
class MaxVoltage(ReadoutLoss):
    """Cross entropy of the largest readout voltages z = max over t of V(t)."""

    population: str | None = None

    def _probe(self, duration: Milliseconds) -> Probe:
        return Probe(decay_rate=None, maximum=True)

    def _logits(self, recording: AnyRecording) -> Array:
        return self._read(recording).maximum

    def _cotangents(self, recording: AnyRecording, gradient: Array) -> Cotangents:
        return Cotangents(maximum={self._readout(recording.readouts): gradient})
