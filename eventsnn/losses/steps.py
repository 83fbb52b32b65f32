"""Losses that read the voltages of readouts at the steps of a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Integers, Milliseconds
from ..arrays import plain_array
from ..checks import answers_keywords
from ..citing import DCLS_DELAYS, DELREC, Paper
from ..errors import InvalidInput, Unsupported
from ..spikes.cotangents import Cotangents, Probe
from .base import AnyNetwork, AnyRecording, cross_entropy, real, refuse_classes
from .registry import register
from .voltage import ReadoutLoss


@register("summed_softmax", reads="grid")
@answers_keywords
@dataclass(frozen=True)
class SummedSoftmax(ReadoutLoss):
    """Cross entropy, with a second softmax, of the sum over steps of softmax(V), on a grid (DCLS, DelRec on SHD)."""

    population: str | None = None
    papers: ClassVar[tuple[Paper, ...]] = (DCLS_DELAYS, DELREC)

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Steps are read, not integrals."""
        return {}

    def predict(self, recording: AnyRecording) -> Integers:
        """Return the class with the largest sum, (n_samples,) int64."""
        return np.argmax(self._shares(recording).sum(axis=1), axis=1)

    def __call__(self, recording: AnyRecording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        shares = self._shares(recording)
        values, gradient = cross_entropy(shares.sum(axis=1), labels)
        pulled = shares * gradient[:, None, :]
        pulled -= shares * pulled.sum(axis=2, keepdims=True)
        return values, Cotangents(voltages={self._name(recording): pulled})

    def _name(self, recording: AnyRecording) -> str:
        return self._readout(_steps(recording))

    def _shares(self, recording: AnyRecording) -> Floats:
        """Softmax of the voltages of each step, (n_samples, steps, n) float64."""
        voltages = _steps(recording)[self._name(recording)].astype(np.float64)
        shares = np.exp(voltages - voltages.max(axis=2, keepdims=True))
        return shares / shares.sum(axis=2, keepdims=True)


@register("summed_voltage", reads="grid")
@answers_keywords
@dataclass(frozen=True)
class SummedVoltage(ReadoutLoss):
    """Cross entropy of the sum over steps of V, on a grid (DelRec on SSC and on sequential MNIST)."""

    population: str | None = None
    papers: ClassVar[tuple[Paper, ...]] = (DELREC,)

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Steps are read, not integrals."""
        return {}

    def _logits(self, recording: AnyRecording) -> Array:
        steps = _steps(recording)
        return steps[self._readout(steps)].sum(axis=1, dtype=np.float64)

    def _cotangents(self, recording: AnyRecording, gradient: Array) -> Cotangents:
        steps = _steps(recording)
        name = self._readout(steps)
        return Cotangents(voltages={name: np.broadcast_to(gradient[:, None, :], steps[name].shape)})


@answers_keywords
@dataclass(frozen=True)
class MeanSquaredError(ReadoutLoss):
    """Mean over steps and outputs of (V - target)^2, on a grid; the labels are targets (n_samples, steps, n).

    A target that is NaN asks for nothing. Nothing is predicted but the voltages, so there is no accuracy.
    """

    population: str | None = None

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Steps are read, not integrals."""
        return {}

    def __call__(self, recording: AnyRecording, labels: npt.ArrayLike) -> tuple[Array, Cotangents]:
        """Return (values, Cotangents): see the module's description."""
        steps = _steps(recording)
        name = self._readout(steps)
        targets = real(plain_array(labels, "labels"))
        if targets.shape != steps[name].shape:
            raise InvalidInput("labels", None, targets.shape, f"targets of shape {steps[name].shape}")
        asked = ~np.isnan(targets)
        gap = np.where(asked, steps[name] - targets, 0.0)
        n = np.maximum(asked.sum(axis=(1, 2)), 1)
        return np.sum(gap**2, axis=(1, 2)) / n, Cotangents(voltages={name: 2.0 * gap / n[:, None, None]})

    def predict(self, recording: AnyRecording) -> NoReturn:
        """There are no classes; raises InvalidInput."""
        refuse_classes(self)

    def class_population(self, readouts: Sequence[str], outputs: Sequence[str]) -> NoReturn:
        """There are no classes; raises InvalidInput."""
        refuse_classes(self)


def _steps(recording: AnyRecording) -> Mapping[str, Array]:
    """{readout: voltages of each step} of a GridRecording."""
    if not hasattr(recording, "voltages"):
        raise Unsupported("loss", None, "a loss on the voltages of steps", "such a loss for a GridNetwork alone")
    return recording.voltages
