"""Describe a network: populations, connections, what is trained; draw its parameters and check given ones.

A Network holds structure and settings only. Its parameters are a flat dict of float64 arrays, for example
``{"input->hidden.weight": (n_pre, n_post), "input->hidden.delay": (n_pre, n_post)}``, made by ``initialize`` and passed
to every function that needs them.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Description, Floats, Milliseconds, Parameters
from ..arrays import is_number
from ..checks import answers_keywords, check_ends, check_names, one_of
from ..citing import EVENTPROP, Paper
from ..errors import InvalidInput, NetworkError, ZeroDelayCycle
from ..neurons import LIF, MODELS, READOUT, Field, Model
from ..neurons.lif import LifSettings, ReadoutSettings
from .base import BaseNetwork, ParameterEntry, as_settings
from .graph import find_cycle, reachable
from .initializers import Constant, Given, Initializer
from .parts import DELAY_SHARING, Connection, Population, as_initializers, described_mask, surely_zero
from .structure import structured
from .synapses import SparseMatrix, Values


@answers_keywords
class Network(BaseNetwork):
    """A directed graph of populations: inputs, leaky integrate-and-fire neurons and leaky readouts.

    ``min_delay`` (ms, > 0): trained delays on cycles are kept at or above it; it also bounds from below how far
    neurons of a cycle can be simulated independently of each other, so larger is faster.
    """

    papers: ClassVar[tuple[Paper, ...]] = (EVENTPROP,)
    method = "exact"
    populations: dict[str, Population]
    connections: dict[str, Connection]

    def __init__(self, min_delay: Milliseconds = 1.0) -> None:
        if not (is_number(min_delay) and 0 < min_delay < np.inf):
            raise InvalidInput("min_delay", None, min_delay, "a finite number > 0 (ms)")
        self.min_delay = float(min_delay)
        super().__init__()

    initialize = answers_keywords(BaseNetwork.initialize)

    @answers_keywords
    def add_input(self, name: str, n: int) -> None:
        """Add ``n`` input channels, whose spikes come from a SpikeBatch."""
        name, n = self._new(name, n)
        self.populations[name] = Population(name, "input", n)

    def add_lif(
        self, name: str, n: int, *, train: bool | str | Iterable[str] = (), **settings: Unpack[LifSettings]
    ) -> None:
        """Add ``n`` leaky integrate-and-fire neurons with exponential synapses.

        ``settings`` are numbers, arrays of shape (n,) or Initializers; ``train`` names those that are trained (one
        shared value for a number, else one per neuron). They are, with what they are if not given:
        """
        self._add_neurons(name, LIF, n, settings, train)

    def add_readout(
        self, name: str, n: int, *, train: bool | str | Iterable[str] = (), **settings: Unpack[ReadoutSettings]
    ) -> None:
        """Add ``n`` leaky integrators without threshold, whose voltages a loss reads.

        ``settings`` and ``train`` as of ``add_lif``. They are, with what they are if not given:
        """
        self._add_neurons(name, READOUT, n, settings, train)

    def add_neurons(
        self, name: str, kind: str, n: int, *, train: bool | str | Iterable[str] = (), **settings: Any
    ) -> None:  # fmt: skip
        """Add ``n`` neurons of any model, by its ``kind`` in ``neurons.MODELS``; the rest as of ``add_lif``."""
        if is_number(kind):
            allowed = f"one of {tuple(MODELS)}"
            raise InvalidInput("kind", None, kind, allowed, "The order is add_neurons(name, kind, n).")
        one_of(kind, "kind", tuple(MODELS))
        self._add_neurons(name, MODELS[kind], n, settings, train)

    def _add_neurons(
        self, name: str, model: Model, n: int, given: Mapping[str, Any], train: bool | str | Iterable[str]
    ) -> None:
        name, n = self._new(name, n)
        model.check_names(name, given)
        # all: of those that are given, or always said
        own = tuple(f.name for f in model.fields if train is not True or f.said or f.name in given)
        chosen = check_names(train, own, f"{name}.train")
        # in one order whatever the order given; what is not said later releases may say in another way
        named = {f.name: given.get(f.name, f.default) for f in model.fields if f.said or f.name in {*given, *chosen}}
        population = Population(name, model.kind, n, as_settings(name, n, named), chosen)
        _ = population.ranges  # which refuses what is not allowed
        self.populations[name] = population

    @answers_keywords
    def connect(
        self, pre: str, post: str, *, weight: Values, delay: Values | None = None,
        delay_per: str = "synapse", train: bool | str | Iterable[str] = ("weight", "delay"),
        mask: npt.ArrayLike | SparseMatrix | None = None, sparsity: float | None = None, seed: int = 0,
        name: str | None = None,
    ) -> None:  # fmt: skip
        """Connect every neuron of ``pre`` to every neuron of ``post``, or those that mask or sparsity leave.

        Parameters: ``weight`` and ``delay`` (ms, >= 0): a number, an array or an Initializer; no delay means 0 and
        no delay parameter. ``delay_per``: "synapse" (default), "neuron" (axonal: one per presynaptic neuron) or
        "connection" (one). ``train``: which of "weight" and "delay" are trained. ``mask``: bool array (n_pre, n_post)
        or a scipy.sparse matrix whose non-zeros are the synapses; ``sparsity`` in [0, 1): the fraction of absent
        synapses, drawn from ``seed``. ``name``: default "pre->post"; needed for a second connection of one pair.

        A scipy.sparse matrix (n_pre, n_post) as ``weight`` is structure and values together: its stored entries are the
        synapses, zeros too. Where not all synapses are there, arrays are (n_pre, n_post), of which only the entries of
        synapses are looked at, or (n_synapses,), by rows and in them by columns. A sparse ``delay`` has the entries of
        the synapses, zeros stored.

        A drawn delay below the allowed range (0, or ``min_delay`` on a cycle) is placed at its lower end. Raises
        ZeroDelayCycle, naming the cycle, if spikes could travel around a cycle in no time.
        """
        check_ends(pre, post, self.populations)
        source, target = self.populations[pre], self.populations[post]
        if target.kind == "input":
            raise NetworkError(f"{post!r} is an input population: it cannot receive a connection from {pre!r}.")
        if source.is_readout:
            raise NetworkError(f"{pre!r} is a readout: it emits no spikes to send to {post!r}.")
        name = f"{pre}->{post}" if name is None else name
        if not isinstance(name, str) or not name or "." in name:
            raise InvalidInput("name", None, name, "a non-empty string without '.'")
        if name in self.connections:
            raise NetworkError(f"connection {name!r} exists already; pass name= for a second one.")
        one_of(delay_per, "delay_per", DELAY_SHARING)
        rows, mask = structured(weight, mask, sparsity, seed, name, (source.n, target.n))
        weight, delay = as_initializers(weight, delay, delay_per, name, (rows, mask))
        if isinstance(delay, (Constant, Given)) and delay.smallest < 0:
            raise InvalidInput(f"{name}.delay", None, delay.smallest, "delays >= 0 ms")
        chosen = check_names(train, ("weight", "delay"), f"{name}.train")
        chosen = tuple(key for key in chosen if key == "weight" or delay is not None)
        connection = Connection(name, pre, post, source.n, target.n, weight, delay, delay_per, chosen, *rows[:2])
        for key, wanted in (("weight", connection.weight_shape), ("delay", connection.delay_shape)):
            if isinstance(getattr(connection, key), Given):
                getattr(connection, key).draw(None, wanted)
        edges = [(c.pre, c.post) for c in (*self.connections.values(), connection) if surely_zero(c)]
        if cycle := find_cycle(edges):
            raise ZeroDelayCycle(cycle)
        self.connections[name] = connection

    def on_cycle(self, connection: Connection) -> bool:
        """True where a spike sent down this connection can come back to its presynaptic population."""
        edges = [(c.pre, c.post) for c in self.connections.values()]
        return connection.pre in reachable(connection.post, edges)

    def exciting_loops(self, populations: Iterable[str], parameters: Mapping[str, Array]) -> tuple[str, ...]:
        """Return the names of the connections through which spikes of any of these populations excite it again."""
        exciting = [c for c in self.connections.values() if np.any(parameters[f"{c.name}.weight"] > 0)]
        ahead = [(c.pre, c.post) for c in exciting]
        behind = [(post, pre) for pre, post in ahead]
        ranges = [(reachable(name, ahead), reachable(name, behind)) for name in set(populations)]
        return tuple(c.name for c in exciting if any(c.pre in after and c.post in before for after, before in ranges))

    @property
    def n_neurons(self) -> int:
        """How many neurons can fire: those of the LIF populations."""
        return sum(self.populations[name].n for name in self.spiking)

    def lowest_delay(self, connection: Connection) -> Milliseconds:
        """Lower bound (ms) of the connection's delays in training: 0, or ``min_delay`` on a cycle."""
        return self.min_delay if self.on_cycle(connection) else 0.0

    def _parts(self) -> tuple[Any, ...]:
        return self.min_delay, *super()._parts()

    def _entries(self) -> Iterator[ParameterEntry]:
        for population in self.populations.values():
            yield from population.entries(population.ranges)
        for c in self.connections.values():
            yield from c.entries(self.lowest_delay(c), np.inf)

    def _allowed(self, entry: ParameterEntry, values: Floats) -> Floats:
        if isinstance(entry.initializer, (Constant, Given)):
            return values
        kept = np.minimum(np.maximum(values, entry.low), entry.high)
        if not entry.name.endswith(".delay") and (n_moved := np.count_nonzero(kept != values)):
            text = f"{n_moved} of {values.size} draws of {entry.name} lie outside their range and are put at its end"
            warnings.warn(f"{text}. Draw from a range that leaves room for the others.", stacklevel=4)
        return kept

    def _fields(self) -> dict[str, Field]:
        return {f"{p.name}.{key}": p.field(key) for p in self.populations.values() for key in p.settings}

    def check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """Return the parameters as float64 arrays after checking names, shapes and values.

        Raises InvalidInput naming the array, the index and the value; ZeroDelayCycle if the delays allow one.
        """
        checked = super().check_parameters(parameters)
        for population in self.populations.values():
            population.check(checked)
        undelayed = [
            (c.pre, c.post)
            for c in self.connections.values()
            if c.n_synapses and (c.delay is None or checked[f"{c.name}.delay"].min() == 0)
        ]
        if cycle := find_cycle(undelayed):
            raise ZeroDelayCycle(cycle)
        return checked

    def value_of(self, population: str, attribute: str, parameters: Mapping[str, Array]) -> Array:
        """Return a constant of every neuron of a population, shape (n,), real or complex."""
        # laid out at each step of a training, and most of them do not change
        fixed = self.populations[population].fixed
        return fixed[attribute] if attribute in fixed else super().value_of(population, attribute, parameters)

    def values_of(self, population: str, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Return {constant: (n,)} of all constants that the neurons of a population have: see ``value_of``."""
        fields = MODELS[self.populations[population].kind].fields
        return {field.name: self.value_of(population, field.name, parameters) for field in fields}

    def describe(self) -> str:
        """Return a table of the populations and connections as text."""
        lines = [f"{'population':<24}{'kind':<10}{'neurons':>10}"]
        lines += [f"{p.name:<24}{p.kind:<10}{p.n:>10,}" for p in self.populations.values()]
        lines.append(f"{'connection':<24}{'synapses':>10}{'delay per':>12}  trained")
        for c in self.connections.values():
            sharing = "-" if c.delay is None else c.delay_per
            lines.append(f"{c.name:<24}{c.n_synapses:>10,}{sharing:>12}  {', '.join(c.train) or 'nothing'}")
        return "\n".join(lines)

    def to_dict(self) -> Description:
        """Return a JSON-able description from which ``from_dict`` builds an equal network."""
        return {"min_delay": self.min_delay, **super().to_dict()}

    @classmethod
    def from_dict(cls, description: Description) -> Self:
        """Build the network that ``to_dict`` described."""
        network = cls(description["min_delay"])
        for p in description["populations"]:
            if p["kind"] == "input":
                network.add_input(p["name"], p["n"])
                continue
            settings = {key: Initializer.from_dict(value) for key, value in p["settings"].items()}
            network._add_neurons(p["name"], MODELS[p["kind"]], p["n"], settings, p["train"])
        for c in description["connections"]:
            shape = (network.populations[c["pre"]].n, network.populations[c["post"]].n)
            network.connect(
                c["pre"],
                c["post"],
                weight=Initializer.from_dict(c["weight"]),
                delay=None if c["delay"] is None else Initializer.from_dict(c["delay"]),
                delay_per=c["delay_per"],
                train=c["train"],
                mask=described_mask(c, shape),
                name=c["name"],
            )
        return network


for _method, _model in ((Network.add_lif, LIF), (Network.add_readout, READOUT)):
    _lines = "\n        ".join(["", "", *_model.describe().splitlines(), ""])
    _method.__doc__ = (_method.__doc__ or "").rstrip() + _lines
