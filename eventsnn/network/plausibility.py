"""What is allowed and yet hardly meant: spikes beyond a sample, delays longer than it, time constants in seconds.

Such input is simulated as it is, and warned of with the likely reason: what follows from it, a network that never
fires, says nothing of the cause.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ..aliases import Array, Milliseconds
from ..neurons import MODELS
from ..spikes.batch import SpikeBatch
from .base import BaseConnection, BaseNetwork, BasePopulation

# Of a duration, where times in seconds end long before; and of the spikes, of which few come after the duration.
SMALL_SHARE = 0.01
# Of the delays of a connection, which are meant to bring most spikes within the sample.
LARGE_SHARE = 0.5
# No membrane forgets within less (ms), and a typical one of 10 to 100 ms that is given in seconds would.
SHORTEST_MEMORY = 0.1
# A time constant in seconds is given beside a duration in ms, which is longer by more than this.
TAUS_PER_SAMPLE = 100


class Doubt(NamedTuple):
    """What can hardly be meant, in words, and the names of the ``populations`` that it can keep silent."""

    text: str
    populations: frozenset[str]


class HasBlocks(Protocol):
    """Spikes: a SpikeBatch, or what hands some out."""

    def blocks(self) -> Iterator[SpikeBatch]: ...


def warn_of_doubts(found: Iterable[Doubt], stacklevel: int) -> None:
    """Warn of each Doubt that ``doubts`` returned; ``stacklevel`` 1 is who calls this function."""
    for doubt in found:
        warnings.warn(doubt.text, stacklevel=stacklevel + 1)


def doubts(
    network: BaseNetwork,
    parameters: Mapping[str, Array],
    spikes: Sequence[HasBlocks],
    duration: Milliseconds,
    name: str = "the batch",
    some_late: bool = False,
) -> list[Doubt]:
    """Return what can hardly be meant, one Doubt for each, of a Network or a GridNetwork and checked parameters.

    ``spikes``: a list of SpikeBatches, or what else has ``blocks``, one for each input; ``duration`` in ms; ``name``
    is what the spikes are called; ``some_late``: say also where not all, but some of them come after the duration.
    """
    times = _Times(spikes, duration)
    fed = [c.post for c in network.connections.values() if network.populations[c.pre].kind == "input"]
    found = [(times.late(name, some_late), fed), (times.early(name), fed)]
    found += [(_short_taus(network, p, parameters, duration), [p.name]) for p in network.populations.values()]
    if times.total > times.n_late:
        left = duration - times.first
        found += [(_long_delays(c.name, parameters[f"{c.name}.delay"], left), [c.post]) for c in _delayed(network)]
    return [Doubt(text, frozenset(populations)) for text, populations in found if text]


def unexcited(network: BaseNetwork, parameters: Mapping[str, Array], silent: Iterable[str]) -> list[str]:
    """Return one text for each population among ``silent`` (names) onto which nothing sends with a weight above 0."""
    return [
        f"No weight onto {name!r} from other populations is above 0: nothing excites it. Draw weights of both signs."
        for name in silent
        if not _is_excited(network, parameters, name)
    ]


def _is_excited(network: BaseNetwork, parameters: Mapping[str, Array], name: str) -> bool:
    population = network.populations[name]
    if getattr(population, "batch_norm", False) or getattr(population, "bias", None) is not None:
        return True  # on a grid: what is added to the input can be above 0
    sending = [c.name for c in network.connections.values() if c.post == name and c.pre != name]
    return any(np.max(parameters[f"{connection}.weight"], initial=0.0) > 0 for connection in sending)


class _Times:
    """Where the input spikes lie: ``total`` and ``n_late`` count them, ``first`` and ``last`` are in ms."""

    def __init__(self, spikes: Iterable[HasBlocks], duration: Milliseconds) -> None:
        self.duration, self.total, self.n_late, self.first, self.last = duration, 0, 0, np.inf, 0.0
        for block in (block for part in spikes for block in part.blocks()):
            self.total += block.times.size
            self.n_late += int(np.count_nonzero(block.times >= duration))
            self.first = min(self.first, float(block.times.min(initial=np.inf)))
            self.last = max(self.last, float(block.times.max(initial=0.0)))

    def late(self, name: str, some: bool) -> str:
        if self.n_late == 0 or (self.n_late < self.total and not some):
            return ""
        text = f"{self.n_late} of {self.total} input spikes of {name} are at or after {self.duration:g} ms"
        text = f"{text}, the duration, and do not act."
        if self.n_late <= SMALL_SHARE * self.total:
            return text
        return f"{text} Are the times in ms? Divide times in us by 1000; multiply a duration in s by 1000."

    def early(self, name: str) -> str:
        if not 0 < self.last < SMALL_SHARE * self.duration:
            return ""
        text = f"the last input spike of {name} is at {self.last:g} of {self.duration:g} ms"
        return f"{text}. Are the times in ms? Multiply times in seconds by 1000."


def _short_taus(
    network: BaseNetwork, population: BasePopulation, parameters: Mapping[str, Array], duration: Milliseconds
) -> str:
    for field in MODELS[population.kind].fields if population.kind in MODELS else ():
        if field.memory and field.name in population.settings:
            largest = float(np.max(network.value_of(population.name, field.name, parameters)))
            if largest < min(SHORTEST_MEMORY, duration / TAUS_PER_SAMPLE):
                text = f"{field.name} of {population.name!r} is {largest:g} ms, so its neurons forget at once"
                return f"{text}. Time constants are in ms: {largest:g} s would be {1000 * largest:g}."
    return ""


def _delayed(network: BaseNetwork) -> list[BaseConnection]:
    return [c for c in network.connections.values() if c.delay is not None]


def _long_delays(name: str, delays: Array, left: Milliseconds) -> str:
    """Where most delays of a connection are longer than what is ``left`` of a sample after its first spike."""
    long = int(np.count_nonzero(delays >= left))
    if long <= LARGE_SHARE * delays.size:
        return ""
    text = f"{long} of {delays.size} delays of {name!r} are so long (from {delays[delays >= left].min():g} ms)"
    text = f"{text} that no spike sent over them arrives within the sample"
    return f"{text}. Delays are in ms; are they, and is the duration?"
