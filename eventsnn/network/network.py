"""Describe a network: populations, connections, what is trained; draw its parameters and check given ones.

A Network holds structure and settings only. Its parameters are a flat dict of float64 arrays, for example
``{"input->hidden.weight": (n_pre, n_post), "input->hidden.delay": (n_pre, n_post)}``, made by ``initialize`` and passed
to every function that needs them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bound, Bounds, Description, Milliseconds, Parameters, Shape
from ..arrays import is_number
from ..checks import check_ends, check_names, check_new_name, check_seed, check_size
from ..citing import EVENTPROP, Paper
from ..errors import InvalidInput, NetworkError, ZeroDelayCycle
from ..neurons import LIF, MODELS, READOUT, Model
from ..neurons.lif import LifSettings, ReadoutSettings
from ..random import stream
from .arrays import check_arrays
from .graph import find_cycle, reachable
from .initializers import Constant, Given, Initializer, as_initializer
from .parts import (
    DELAY_SHARING,
    Connection,
    Population,
    as_initializers,
    described_mask,
    surely_zero,
)
from .structure import draw_structure, structure_stream
from .synapses import SparseMatrix, Values, structure_of

# Constants that are written down in every description, given or not.
SAID = ("tau_mem", "tau_syn", "v_threshold")
ANY = (-np.inf, np.inf)


class Network:
    """A directed graph of populations: inputs, leaky integrate-and-fire neurons and leaky readouts.

    ``min_delay`` (ms, > 0): trained delays on cycles are kept at or above it; it also bounds from below how far
    neurons of a cycle can be simulated independently of each other, so larger is faster.
    """

    papers: ClassVar[tuple[Paper, ...]] = (EVENTPROP,)

    def __init__(self, min_delay: Milliseconds = 1.0) -> None:
        if not (is_number(min_delay) and 0 < min_delay < np.inf):
            raise InvalidInput("min_delay", None, min_delay, "a finite number > 0 (ms)")
        self.min_delay = float(min_delay)
        self.populations: dict[str, Population] = {}
        self.connections: dict[str, Connection] = {}

    def add_input(self, name: str, n: int) -> None:
        """Add ``n`` input channels, whose spikes come from a SpikeBatch."""
        self._add(Population(check_new_name(name, self.populations), "input", check_size(n, self.populations)))

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

    def _add_neurons(
        self, name: str, model: Model, n: int, given: Mapping[str, Any], train: bool | str | Iterable[str]
    ) -> None:
        name, n = check_new_name(name, self.populations), check_size(n, self.populations)
        model.check_names(name, given)
        # all: of those that are given, or always said
        own = tuple(f.name for f in model.fields if train is not True or f.name in {*given, *SAID})
        chosen = check_names(train, own, f"{name}.train")
        # in one order whatever the order given; what is not said later releases may say in another way
        named = {f.name: given.get(f.name, f.default) for f in model.fields if f.name in {*given, *chosen, *SAID}}
        settings = {key: as_initializer(value, f"{name}.{key}") for key, value in named.items()}
        for value in settings.values():
            if isinstance(value, Given):
                value.draw(None, (n,))
        population = Population(name, model.kind, n, settings, chosen)
        _ = population.ranges  # which refuses what is not allowed
        self._add(population)

    def _add(self, population: Population) -> None:
        self.populations[population.name] = population

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
        if source.kind == "readout":
            raise NetworkError(f"{pre!r} is a readout: it emits no spikes to send to {post!r}.")
        name = f"{pre}->{post}" if name is None else name
        if not isinstance(name, str) or not name or "." in name:
            raise InvalidInput("name", None, name, "a non-empty string without '.'")
        if name in self.connections:
            raise NetworkError(f"connection {name!r} exists already; pass name= for a second one.")
        if delay_per not in DELAY_SHARING:
            raise InvalidInput("delay_per", None, delay_per, f"one of {DELAY_SHARING}")
        shape = (source.n, target.n)
        mask = structure_of(weight, mask, sparsity, name, shape)
        indptr, indices = draw_structure(mask, sparsity, shape, structure_stream(seed, name))
        weight, delay = as_initializers(weight, delay, delay_per, name, ((indptr, indices, shape), mask))
        if isinstance(delay, (Constant, Given)) and delay.smallest < 0:
            raise InvalidInput(f"{name}.delay", None, delay.smallest, "delays >= 0 ms")
        chosen = check_names(train, ("weight", "delay"), f"{name}.train")
        chosen = tuple(key for key in chosen if key == "weight" or delay is not None)
        connection = Connection(
            name, pre, post, source.n, target.n, weight, delay, delay_per, chosen, indptr, indices
        )  # fmt: skip
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
        return sum(p.n for p in self.populations.values() if p.kind == "lif")

    def lowest_delay(self, connection: Connection) -> Milliseconds:
        """Lower bound (ms) of the connection's delays in training: 0, or ``min_delay`` on a cycle."""
        return self.min_delay if self.on_cycle(connection) else 0.0

    def _entries(self) -> Iterator[tuple[str, Shape, Initializer, bool, tuple[Bound, Bound], float | None]]:
        """Yield (parameter name, shape, Initializer, trained, (low, high) in training, fan-in)."""
        for population in self.populations.values():
            ranges = population.ranges
            for key, value in population.settings.items():
                if population.is_parameter(key):
                    name = f"{population.name}.{key}"
                    yield name, population.shape(key), value, key in population.train, ranges[key], None
        for c in self.connections.values():
            fan_in = max(c.n_synapses / c.n_post, 1.0)
            yield f"{c.name}.weight", c.weight_shape, c.weight, "weight" in c.train, ANY, fan_in
            if c.delay is not None and c.delay_shape is not None:
                allowed = self.lowest_delay(c), np.inf
                yield f"{c.name}.delay", c.delay_shape, c.delay, "delay" in c.train, allowed, fan_in

    def initialize(self, seed: int = 0) -> Parameters:
        """Draw the parameters: a flat dict of float64 arrays, each a function of (seed, its name) alone."""
        parameters = {}
        for name, shape, initializer, _, (low, high), fan_in in self._entries():
            values = initializer.draw(stream(check_seed(seed), name), shape, fan_in)
            if not isinstance(initializer, (Constant, Given)):
                values = np.minimum(np.maximum(values, low), high)
            parameters[name] = values
        return parameters

    @property
    def trainable(self) -> list[str]:
        """Names of the trained parameters."""
        return [name for name, _, _, trained, _, _ in self._entries() if trained]

    def bounds(self) -> Bounds:
        """Return {trained parameter: (low, high)}, numbers or arrays: the ranges that projections keep in training."""
        return {name: allowed for name, _, _, trained, allowed, _ in self._entries() if trained}

    def check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """Return the parameters as float64 arrays after checking names, shapes and values.

        Raises InvalidInput naming the array, the index and the value; ZeroDelayCycle if the delays allow one.
        """
        checked = check_arrays(parameters, {name: shape for name, shape, *_ in self._entries()})
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
        """Return a constant (tau_mem, ...) of every neuron of a population, shape (n,), real or complex."""
        found = self.populations[population]
        if attribute not in found.settings:
            return np.broadcast_to(MODELS[found.kind].field(attribute).default, (found.n,))
        if found.is_parameter(attribute):
            values = parameters[f"{found.name}.{attribute}"]
        else:
            values = found.settings[attribute].draw(None, found.shape(attribute))
        return np.broadcast_to(values, (found.n,))

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
        populations = [
            {
                "name": p.name,
                "kind": p.kind,
                "n": p.n,
                "settings": {key: value.to_dict() for key, value in p.settings.items()},
                "train": list(p.train),
            }
            for p in self.populations.values()
        ]
        connections = [
            {
                "name": c.name,
                "pre": c.pre,
                "post": c.post,
                "weight": c.weight.to_dict(),
                "delay": None if c.delay is None else c.delay.to_dict(),
                "delay_per": c.delay_per,
                "train": list(c.train),
                "indptr": None if c.indptr is None else c.indptr.tolist(),
                "indices": None if c.indices is None else c.indices.tolist(),
            }
            for c in self.connections.values()
        ]
        return {"min_delay": self.min_delay, "populations": populations, "connections": connections}

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

    def fingerprint(self) -> str:
        """Return the SHA-256 of the description, in hex: equal networks have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


for _method, _model in ((Network.add_lif, LIF), (Network.add_readout, READOUT)):
    _lines = "\n        ".join(["", "", *_model.describe().splitlines(), ""])
    _method.__doc__ = (_method.__doc__ or "").rstrip() + _lines
