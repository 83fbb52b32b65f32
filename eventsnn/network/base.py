"""What every network is: named populations and connections, and parameters that are drawn, checked and told apart.

A kind of network says what differs: what can be added and connected, in which order its parameters stand, and what
becomes of draws that are not allowed.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bound, Bounds, Description, Floats, Parameters, Shape
from ..checks import check_new_name, check_seed, check_size
from ..neurons import Field, Kinded
from ..random import stream
from .arrays import SIGNED, check_arrays
from .initializers import Constant, Given, Initializer, as_initializer
from .synapses import Values


@dataclass(frozen=True)
class ParameterEntry:
    """A parameter of a network: its name, its shape, what draws it, and whether and within what it is trained.

    ``low`` and ``high``, numbers or arrays of that shape, are the range that training keeps; ``fan_in``: inputs per
    neuron, of which an Initializer may make use, None where there is no such number.
    """

    name: str
    shape: Shape
    initializer: Initializer
    trained: bool
    low: Bound = -math.inf
    high: Bound = math.inf
    fan_in: float | None = None


@dataclass(frozen=True)
class BasePopulation(Kinded):
    """Neurons or input channels: ``name``, ``kind`` ("input", or a neuron model's), ``n`` and the neuron settings.

    ``settings`` maps constants of the neuron to an Initializer; ``train`` names those that are trained.
    """

    name: str
    kind: str
    n: int
    settings: dict[str, Initializer] = field(default_factory=dict)
    train: tuple[str, ...] = ()

    def is_parameter(self, attribute: str) -> bool:
        """True where the attribute stands in the parameters: it is trained, or drawn at random."""
        return attribute in self.train or not isinstance(self.settings[attribute], (Constant, Given))

    def shape(self, attribute: str) -> Shape:
        """() for one value shared by the population, (n,) for one per neuron."""
        return () if isinstance(self.settings[attribute], Constant) else (self.n,)

    def entries(self, ranges: Bounds) -> Iterator[ParameterEntry]:
        """Yield an entry for each constant that is a parameter; ``ranges``: {constant: (low, high)} in training."""
        for key, value in self.settings.items():
            if self.is_parameter(key):
                yield ParameterEntry(f"{self.name}.{key}", self.shape(key), value, key in self.train, *ranges[key])

    def to_dict(self) -> Description:
        """Return a JSON-able description."""
        return {"name": self.name, "kind": self.kind, "n": self.n}


@dataclass(frozen=True)
class BaseConnection(ABC):
    """Synapses from ``pre`` to ``post``, of ``n_pre`` and ``n_post`` neurons.

    ``delay`` is None for no delay; ``delay_per`` ("synapse", "neuron", "connection") says what shares one delay value;
    ``train`` names which of "weight" and "delay" are trained.
    """

    name: str
    pre: str
    post: str
    n_pre: int
    n_post: int
    weight: Initializer
    delay: Initializer | None
    delay_per: str
    train: tuple[str, ...]

    @property
    @abstractmethod
    def weight_shape(self) -> Shape:
        """Shape of the weight array."""

    @property
    @abstractmethod
    def fan_in(self) -> float:
        """Synapses per postsynaptic neuron, in the mean."""

    @property
    def delay_shape(self) -> Shape | None:
        """Shape of the delay array, None without one."""
        if self.delay is None:
            return None
        return {"synapse": self.weight_shape, "neuron": (self.n_pre,), "connection": ()}[self.delay_per]

    def entries(self, low: float, high: float) -> Iterator[ParameterEntry]:
        """Yield an entry for the weights and one for the delays, which training keeps from ``low`` to ``high`` ms."""
        fan_in, shape, trained = self.fan_in, self.delay_shape, "weight" in self.train
        yield ParameterEntry(f"{self.name}.weight", self.weight_shape, self.weight, trained, fan_in=fan_in)
        if self.delay is not None and shape is not None:
            yield ParameterEntry(f"{self.name}.delay", shape, self.delay, "delay" in self.train, low, high, fan_in)

    def to_dict(self) -> Description:
        """Return a JSON-able description."""
        delay = None if self.delay is None else self.delay.to_dict()
        drawn = {"weight": self.weight.to_dict(), "delay": delay, "delay_per": self.delay_per}
        return {"pre": self.pre, "post": self.post, **drawn, "train": list(self.train)}


@dataclass(frozen=True)
class Listing:
    """The parameters of a network in their order, for as long as it has the same ``parts``.

    ``fields``: {parameter: what its neuron model says of it}, for those that are constants of neurons.
    """

    parts: tuple[Any, ...]
    entries: tuple[ParameterEntry, ...]
    fields: dict[str, Field]

    def is_of(self, parts: tuple[Any, ...]) -> bool:
        """True where these very parts were listed; none of them can change."""
        return len(parts) == len(self.parts) and all(a is b for a, b in zip(parts, self.parts, strict=True))


class BaseNetwork(ABC):
    """Any network: its populations and connections by name; its parameters lie outside, in a flat dict of arrays.

    ``method`` is how its gradients are found: "exact", or "surrogate" on a grid of time.
    """

    method: ClassVar[str]
    signed: ClassVar[tuple[str, ...]] = SIGNED
    """Parameters of connections, by the last part of their names, that may be negative."""
    populations: Mapping[str, BasePopulation]
    connections: Mapping[str, BaseConnection]

    def __init__(self) -> None:
        self.populations, self.connections = {}, {}
        self._last_listing = Listing((), (), {})

    @property
    def inputs(self) -> list[str]:
        """Names of the populations that are given spikes, in the order of adding."""
        return [p.name for p in self.populations.values() if p.kind == "input"]

    @property
    def spiking(self) -> list[str]:
        """Names of the populations whose neurons fire, in the order of adding."""
        return [p.name for p in self.populations.values() if p.fires]

    @property
    def readouts(self) -> list[str]:
        """Names of the populations that send no spikes, and whose voltages are read, in the order of adding."""
        return [p.name for p in self.populations.values() if p.is_readout]

    def initialize(self, seed: int = 0) -> Parameters:
        """Draw the parameters: a flat dict of float64 arrays, each a function of (seed, its name) alone."""
        parameters = {}
        for entry in self.listing.entries:
            values = entry.initializer.draw(stream(check_seed(seed), entry.name), entry.shape, entry.fan_in)
            parameters[entry.name] = self._allowed(entry, values)
        return parameters

    @property
    def trainable(self) -> list[str]:
        """Names of the trained parameters."""
        return [entry.name for entry in self.listing.entries if entry.trained]

    def bounds(self) -> Bounds:
        """Return {trained parameter: (low, high)}, numbers or arrays: the ranges that projections keep in training."""
        return {entry.name: (entry.low, entry.high) for entry in self.listing.entries if entry.trained}

    def check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """Return the parameters as float64 arrays after checking names, shapes and values.

        Raises InvalidInput naming the array, the index and the value.
        """
        listing = self.listing
        shapes = {entry.name: entry.shape for entry in listing.entries}
        return check_arrays(parameters, shapes, listing.fields, self.signed)

    def value_of(self, population: str, attribute: str, parameters: Mapping[str, Array]) -> Array:
        """Return a constant of every neuron of a population, shape (n,), real or complex."""
        found = self.populations[population]
        if found.is_parameter(attribute):
            values = parameters[f"{population}.{attribute}"]
        else:
            values = found.settings[attribute].draw(None, found.shape(attribute))
        return np.broadcast_to(values, (found.n,))

    def present(self, name: str) -> Array | None:
        """Return the mask of a parameter's entries whose synapses are there, None where all are."""
        return None

    def fingerprint(self) -> str:
        """Return the SHA-256 of the description, in hex: equal networks have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> Description:
        """Return a JSON-able description from which ``from_dict`` builds an equal network."""
        populations = [population.to_dict() for population in self.populations.values()]
        return {"populations": populations, "connections": [c.to_dict() for c in self.connections.values()]}

    @classmethod
    @abstractmethod
    def from_dict(cls, description: Description) -> Self:
        """Build the network that ``to_dict`` described."""

    @property
    def listing(self) -> Listing:
        """The parameters as they are listed: asked for several times in each step of a training."""
        parts = self._parts()
        if not self._last_listing.is_of(parts):
            self._last_listing = Listing(parts, tuple(self._entries()), self._fields())
        return self._last_listing

    def _parts(self) -> tuple[Any, ...]:
        """All that the entries follow from."""
        return *self.populations.values(), *self.connections.values()

    @abstractmethod
    def _entries(self) -> Iterator[ParameterEntry]:
        """Yield the parameters in their order."""

    def _fields(self) -> dict[str, Field]:
        """{parameter: what its neuron model says of it}, for those that are constants of neurons."""
        return {}

    @abstractmethod
    def _allowed(self, entry: ParameterEntry, values: Floats) -> Floats:
        """What becomes of draws: themselves, the nearest in the range of training, or an error."""

    def _new(self, name: str, n: int) -> tuple[str, int]:
        """The name and the size of a population to come, checked."""
        return check_new_name(name, self.populations), check_size(n, self.populations)


def as_settings(name: str, n: int, given: Mapping[str, Values]) -> dict[str, Initializer]:
    """Return constants of ``n`` neurons as Initializers; raises InvalidInput for arrays that are not (n,)."""
    settings = {key: as_initializer(value, f"{name}.{key}") for key, value in given.items()}
    for value in settings.values():
        if isinstance(value, Given):
            value.draw(None, (n,))
    return settings
