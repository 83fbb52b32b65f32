"""What losses share: what they are, labels and cross-entropy."""

from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from ..aliases import AnyPopulation, Array, Floats, Integers, Milliseconds
from ..arrays import plain_array
from ..errors import InvalidInput, Unsupported
from ..spikes.cotangents import Cotangents, Probe
from ..spikes.recording import Readout


class Regularizer(Protocol):
    """What can be added to a loss: all of a Loss but ``predict``."""

    # a loss may be for one kind of network, recording and labels alone, and then says so where it is written: hence Any
    def probes(self, network: Any, duration: Milliseconds) -> Mapping[str, Probe]:
        """Return {readout name: Probe}, what the engines must read from which readout."""

    def __call__(self, recording: Any, labels: Any) -> tuple[Array, Cotangents]:
        """Return (values (n_samples,), Cotangents of their sum)."""


class Loss(Regularizer, Protocol):
    """What training minimizes: any object with these three methods (see eventsnn.losses)."""

    def predict(self, recording: Any) -> Integers:
        """Return the predicted labels, (n_samples,) int64."""


class AnyNetwork(Protocol):
    """What losses read of a Network or a GridNetwork."""

    @property
    def populations(self) -> Mapping[str, AnyPopulation]:
        """{name: population}."""


class AnyRecording(Protocol):
    """What losses read of a Recording or a GridRecording."""

    @property
    def duration(self) -> Milliseconds:
        """How far the simulation has come."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""

    @property
    def readouts(self) -> Mapping[str, Readout]:
        """{readout: what was read of it}."""

    def spike_totals(self) -> Integers:
        """Return the number of spikes of each neuron in all samples."""

    def slice_of(self, population: str) -> tuple[int, int]:
        """Return the range of a population in ``spike_totals``."""

    def own(self, cotangents: Cotangents) -> Cotangents:
        """Return the part of a loss's cotangents that belongs to the samples simulated here."""


def check_labels(labels: npt.ArrayLike, n_samples: int, n_classes: int) -> Integers:
    """Return class labels as int64 (n_samples,); raises InvalidInput naming the entry that is out of range."""
    classes = plain_array(labels, "labels")
    if classes.shape != (n_samples,) or classes.dtype.kind not in "iu":
        raise InvalidInput("labels", None, (classes.dtype, classes.shape), f"integers of shape ({n_samples},)")
    if np.any(bad := (classes < 0) | (classes >= n_classes)):
        index = int(np.argmax(bad))
        raise InvalidInput("labels", index, int(classes[index]), f"classes from 0 to {n_classes - 1}")
    return classes.astype(np.int64)


def real(targets: Array) -> Floats:
    if targets.dtype.kind not in "fiu":
        raise InvalidInput("labels", None, targets.dtype, "real numbers as targets")
    return targets.astype(np.float64)


def cross_entropy(logits: Array, labels: npt.ArrayLike) -> tuple[Array, Array]:
    """Return (values (n,), d value/d logits (n, k)) of the softmax cross entropy of ``logits`` (n, k)."""
    classes = check_labels(labels, *logits.shape)
    shifted = logits - np.max(logits.real, axis=1, keepdims=True)
    normaliser = np.log(np.sum(np.exp(shifted), axis=1))
    rows = np.arange(classes.size)
    gradient = np.exp(shifted - normaliser[:, None])
    gradient[rows, classes] -= 1.0
    return normaliser - shifted[rows, classes], gradient


def refuse_classes(loss: Regularizer, remedy: str = "value_and_grad takes targets.") -> NoReturn:
    """Refuse to learn from a Dataset's labels what a loss wants targets for, and to predict them."""
    allowed = "a loss on class labels, which are what a Dataset holds and predict returns"
    raise Unsupported("loss", None, type(loss).__name__, allowed, remedy)
