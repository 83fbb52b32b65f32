"""Rules that keep neurons firing: targets for spike counts, and help for silent neurons."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Milliseconds, Parameters
from ..checks import answers_keywords, number
from ..spikes.cotangents import Cotangents, Probe
from .base import AnyNetwork, AnyRecording, refuse_classes

BESIDE_A_LOSS = "Pass it as regularizers=(...,), beside a loss."


class _Connection(Protocol):
    """What a rule reads of a connection."""

    @property
    def name(self) -> str: ...

    @property
    def pre(self) -> str: ...

    @property
    def post(self) -> str: ...

    @property
    def train(self) -> Collection[str]: ...

    @property
    def indptr(self) -> Array | None: ...

    @property
    def indices(self) -> Array | None: ...


class _Network(Protocol):
    """What a rule reads of a Network."""

    @property
    def connections(self) -> Mapping[str, _Connection]: ...


@answers_keywords
@dataclass(frozen=True)
class SpikeCountTarget:
    """Homeostasis, a regularizer: strength/2 times the sum over neurons of (mean spike count - target)^2.

    The mean is over the batch. A spike count has no exact gradient (it is piecewise constant): the engines use the
    pseudo-gradient described at Cotangents.counts. ``population``: a LIF population; ``target`` spikes per sample
    (>= 0); ``strength`` (>= 0). ``only_above=True`` leaves quieter neurons alone.
    """

    population: str
    target: float = 14.0
    strength: float = 1e-3
    only_above: bool = False

    def __post_init__(self) -> None:
        for name in ("target", "strength"):
            number(getattr(self, name), name, "a finite number >= 0", 0.0)

    def probes(self, network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
        """Counts need no voltage."""
        return {}

    def __call__(self, recording: AnyRecording, labels: npt.ArrayLike) -> tuple[Floats, Cotangents]:
        """Return the same value for every sample of the batch, and the cotangents of their sum."""
        totals = recording.spike_totals()[slice(*recording.slice_of(self.population))]
        excess = totals / recording.n_samples - self.target
        if self.only_above:
            excess = np.maximum(excess, 0.0)
        values = np.full(recording.n_samples, 0.5 * self.strength * np.sum(excess**2))
        by_count = np.broadcast_to(self.strength * excess, (recording.n_samples, excess.size))
        return values, Cotangents(counts={self.population: by_count})

    def predict(self, recording: AnyRecording) -> NoReturn:
        """There are no classes; raises InvalidInput."""
        refuse_classes(self, BESIDE_A_LOSS)

    def class_population(self, readouts: Sequence[str], outputs: Sequence[str]) -> NoReturn:
        """There are no classes; raises InvalidInput."""
        refuse_classes(self, BESIDE_A_LOSS)


@answers_keywords
@dataclass(frozen=True)
class SilentNeuronRaise:
    """After an epoch, raise the incoming feed-forward weights of each neuron that did not fire once by ``amount``.

    Connections of one pair of populations share it: together they raise what one would. This follows no gradient: a
    silent neuron has none. Recurrent connections (pre == post) are left alone.
    """

    population: str
    amount: float = 0.002

    def __call__(self, network: _Network, parameters: Parameters, spike_totals: npt.ArrayLike) -> Parameters:
        """Return new parameters; ``spike_totals`` (n,): spikes of each neuron of the population in the epoch."""
        silent = np.asarray(spike_totals) == 0
        if not silent.any():
            return parameters
        raised = dict(parameters)
        incoming = [
            c for c in network.connections.values()
            if c.post == self.population and c.pre != self.population and "weight" in c.train
        ]  # fmt: skip
        for connection in incoming:
            name = f"{connection.name}.weight"
            chosen = silent[None, :] if connection.indptr is None else silent[connection.indices]
            parallel = sum(other.pre == connection.pre for other in incoming)
            raised[name] = parameters[name] + self.amount / parallel * chosen
        return raised
