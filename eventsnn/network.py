"""Describe a network: populations, connections, what is trained; draw its parameters and check given ones.

A Network holds structure and settings only. Its parameters are a flat dict of float64 arrays, for example
``{"input->hidden.weight": (n_pre, n_post), "input->hidden.delay": (n_pre, n_post)}``, made by ``initialize`` and passed
to every function that needs them.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field

import numpy as np

from .arrays import is_number, plain_array
from .checks import (
    check_arrays,
    check_ends,
    check_names,
    check_new_name,
    check_seed,
    check_size,
    draw_structure,
    structure_stream,
)
from .errors import InvalidInput, NetworkError, ZeroDelayCycle
from .initializers import Constant, Given, Initializer, as_initializer
from .random import stream
from .synapses import check_sharing, per_synapse, structure_of, to_dense, to_sparse

NEURON_ATTRIBUTES = ("tau_mem", "tau_syn", "v_threshold")
DELAY_SHARING = ("synapse", "neuron", "connection")
# A trained time constant or threshold may come this close to zero (ms, or units of V) before the projection holds it.
SMALLEST_TAU = 0.1
SMALLEST_THRESHOLD = 1e-3


@dataclass(frozen=True)
class Population:
    """Neurons or input channels: ``name``, ``kind`` ("input", "lif" or "readout"), ``n`` and the neuron settings.

    ``settings`` maps tau_mem, tau_syn (ms) and v_threshold to an Initializer; ``train`` names those that are trained.
    """

    name: str
    kind: str
    n: int
    settings: dict = field(default_factory=dict)
    train: tuple = ()

    def is_parameter(self, attribute):
        """True where the attribute stands in the parameters: it is trained, or drawn at random."""
        return attribute in self.train or not isinstance(self.settings[attribute], (Constant, Given))

    def shape(self, attribute):
        """() for one value shared by the population, (n,) for one per neuron."""
        return () if isinstance(self.settings[attribute], Constant) else (self.n,)


@dataclass(frozen=True)
class Connection:
    """Synapses from one population to another.

    Dense when ``indptr`` is None: the weight has shape (n_pre, n_post). Sparse otherwise: synapses
    ``indptr[i]:indptr[i + 1]`` leave presynaptic neuron i for the neurons in ``indices``, and the weight has shape
    (n_synapses,). ``delay`` is None for no delay; ``delay_per`` says what shares one delay value.
    """

    name: str
    pre: str
    post: str
    n_pre: int
    n_post: int
    weight: Initializer
    delay: Initializer | None
    delay_per: str
    train: tuple
    indptr: np.ndarray | None = None
    indices: np.ndarray | None = None

    @property
    def weight_shape(self):
        """Shape of the weight array."""
        return (self.n_pre, self.n_post) if self.indptr is None else (self.indices.size,)

    @property
    def delay_shape(self):
        """Shape of the delay array, None without one."""
        if self.delay is None:
            return None
        return {"synapse": self.weight_shape, "neuron": (self.n_pre,), "connection": ()}[self.delay_per]

    def per_synapse(self, values):
        """Return one value per presynaptic neuron, ``values`` (n_pre,), as an array that multiplies the weights."""
        return values[:, None] if self.indptr is None else np.repeat(values, np.diff(self.indptr))

    @property
    def rows(self):
        """(indptr, indices, (n_pre, n_post)): where the synapses are; indptr and indices are None for all of them."""
        return self.indptr, self.indices, (self.n_pre, self.n_post)

    def to_dense(self, values, absent=0.0):
        """Return weights or delays as an array (n_pre, n_post), with ``absent`` where there is no synapse.

        ``values``: this connection's array of parameters; a delay that is shared is repeated for each synapse. Of
        delays, ``absent=np.nan`` tells no synapse from no delay; ``connect(delay=..., mask=...)`` reads neither.
        """
        return to_dense(self._of_each(values), self.rows, absent)

    def to_sparse(self, values):
        """Return weights or delays as a scipy.sparse.csr_array (n_pre, n_post), zeros stored; see ``to_dense``."""
        return to_sparse(self._of_each(values), self.rows)

    def _of_each(self, values):
        """Weights or delays, one for each synapse."""
        values = plain_array(values, f"values of {self.name}")
        if values.shape == self.weight_shape:
            return values
        if self.delay is None or values.shape != self.delay_shape:
            shapes = {self.weight_shape, self.delay_shape} - {None}
            raise InvalidInput(f"values of {self.name}", None, values.shape, f"shape {' or '.join(map(str, shapes))}")
        # an array of n_pre values may be that of as many synapses: then it is, as its shape says
        values = np.broadcast_to(values, (self.n_pre,))
        return np.broadcast_to(self.per_synapse(values), self.weight_shape)

    @property
    def n_synapses(self):
        """Number of synapses."""
        return math.prod(self.weight_shape)


class Network:
    """A directed graph of populations: inputs, leaky integrate-and-fire neurons and leaky readouts.

    ``min_delay`` (ms, > 0): trained delays on cycles are kept at or above it; it also bounds from below how far
    neurons of a cycle can be simulated independently of each other, so larger is faster.
    """

    def __init__(self, min_delay=1.0):
        if not (is_number(min_delay) and 0 < min_delay < np.inf):
            raise InvalidInput("min_delay", None, min_delay, "a finite number > 0 (ms)")
        self.min_delay = float(min_delay)
        self.populations = {}
        self.connections = {}

    def add_input(self, name, n):
        """Add ``n`` input channels, whose spikes come from a SpikeBatch."""
        self._add(Population(check_new_name(name, self.populations), "input", check_size(n, self.populations)))

    def add_lif(self, name, n, *, tau_mem=20.0, tau_syn=5.0, v_threshold=1.0, train=()):
        """Add ``n`` leaky integrate-and-fire neurons with exponential synapses that reset to 0.

        ``tau_mem``, ``tau_syn`` (ms, > 0) and ``v_threshold`` (> 0) are a number, an array of shape (n,) or an
        Initializer; ``train`` names those that are trained (one shared value for a number, else one per neuron).
        """
        settings = {"tau_mem": tau_mem, "tau_syn": tau_syn, "v_threshold": v_threshold}
        self._add_neurons(name, "lif", n, settings, train)

    def add_readout(self, name, n, *, tau_mem=20.0, tau_syn=5.0, train=()):
        """Add ``n`` leaky integrators without threshold, whose voltages a loss reads; see ``add_lif``."""
        self._add_neurons(name, "readout", n, {"tau_mem": tau_mem, "tau_syn": tau_syn}, train)

    def _add_neurons(self, name, kind, n, settings, train):
        name, n = check_new_name(name, self.populations), check_size(n, self.populations)
        # in one order whatever the order given: engines take the settings by position
        settings = {k: as_initializer(settings[k], f"{name}.{k}") for k in NEURON_ATTRIBUTES if k in settings}
        for key, value in settings.items():
            if isinstance(value, Given):
                value.draw(None, (n,))
            if isinstance(value, (Constant, Given)) and not value.smallest > 0:
                raise InvalidInput(f"{name}.{key}", None, value.smallest, "numbers > 0")
        self._add(Population(name, kind, n, settings, check_names(train, tuple(settings), f"{name}.train")))

    def _add(self, population):
        self.populations[population.name] = population

    def connect(
        self, pre, post, *, weight, delay=None, delay_per="synapse", train=("weight", "delay"),
        mask=None, sparsity=None, seed=0, name=None,
    ):  # fmt: skip
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
        weight, delay = _as_initializers(weight, delay, delay_per, name, ((indptr, indices, shape), mask))
        if isinstance(delay, (Constant, Given)) and delay.smallest < 0:
            raise InvalidInput(f"{name}.delay", None, delay.smallest, "delays >= 0 ms")
        chosen = check_names(train, ("weight", "delay"), f"{name}.train")
        chosen = tuple(key for key in chosen if key == "weight" or delay is not None)
        connection = Connection(
            name, pre, post, source.n, target.n, weight, delay, delay_per, chosen, indptr, indices
        )  # fmt: skip
        for key, shape in (("weight", connection.weight_shape), ("delay", connection.delay_shape)):
            if isinstance(getattr(connection, key), Given):
                getattr(connection, key).draw(None, shape)
        edges = [(c.pre, c.post) for c in (*self.connections.values(), connection) if _surely_zero(c)]
        if cycle := find_cycle(edges):
            raise ZeroDelayCycle(cycle)
        self.connections[name] = connection

    def on_cycle(self, connection):
        """True where a spike sent down this connection can come back to its presynaptic population."""
        edges = [(c.pre, c.post) for c in self.connections.values()]
        return connection.pre in _reachable(connection.post, edges)

    def exciting_loops(self, populations, parameters):
        """Return the names of the connections through which spikes of any of these populations excite it again."""
        exciting = [c for c in self.connections.values() if np.any(parameters[f"{c.name}.weight"] > 0)]
        ahead = [(c.pre, c.post) for c in exciting]
        behind = [(post, pre) for pre, post in ahead]
        ranges = [(_reachable(name, ahead), _reachable(name, behind)) for name in set(populations)]
        return tuple(c.name for c in exciting if any(c.pre in after and c.post in before for after, before in ranges))

    @property
    def n_neurons(self):
        """How many neurons can fire: those of the LIF populations."""
        return sum(p.n for p in self.populations.values() if p.kind == "lif")

    def lowest_delay(self, connection):
        """Lower bound (ms) of the connection's delays in training: 0, or ``min_delay`` on a cycle."""
        return self.min_delay if self.on_cycle(connection) else 0.0

    def _entries(self):
        """Yield (parameter name, shape, Initializer, trained, lowest allowed value in training, fan-in)."""
        for population in self.populations.values():
            for key, value in population.settings.items():
                if population.is_parameter(key):
                    low = SMALLEST_THRESHOLD if key == "v_threshold" else SMALLEST_TAU
                    name = f"{population.name}.{key}"
                    yield name, population.shape(key), value, key in population.train, low, None
        for c in self.connections.values():
            fan_in = max(c.n_synapses / c.n_post, 1.0)
            yield f"{c.name}.weight", c.weight_shape, c.weight, "weight" in c.train, -np.inf, fan_in
            if c.delay is not None:
                low = self.lowest_delay(c)
                yield f"{c.name}.delay", c.delay_shape, c.delay, "delay" in c.train, low, fan_in

    def initialize(self, seed=0):
        """Draw the parameters: a flat dict of float64 arrays, each a function of (seed, its name) alone."""
        parameters = {}
        for name, shape, initializer, _, low, fan_in in self._entries():
            values = initializer.draw(stream(check_seed(seed), name), shape, fan_in)
            if not isinstance(initializer, (Constant, Given)):
                values = np.maximum(values, low)
            parameters[name] = values
        return parameters

    @property
    def trainable(self):
        """Names of the trained parameters."""
        return [name for name, _, _, trained, _, _ in self._entries() if trained]

    def bounds(self):
        """Return {trained parameter: (low, high)}: the ranges that projections keep in training."""
        return {name: (low, np.inf) for name, _, _, trained, low, _ in self._entries() if trained}

    def check_parameters(self, parameters):
        """Return the parameters as float64 arrays after checking names, shapes and values.

        Raises InvalidInput naming the array, the index and the value; ZeroDelayCycle if the delays allow one.
        """
        checked = check_arrays(parameters, {name: shape for name, shape, *_ in self._entries()})
        undelayed = [
            (c.pre, c.post)
            for c in self.connections.values()
            if c.n_synapses and (c.delay is None or checked[f"{c.name}.delay"].min() == 0)
        ]
        if cycle := find_cycle(undelayed):
            raise ZeroDelayCycle(cycle)
        return checked

    def value_of(self, population, attribute, parameters):
        """Return tau_mem, tau_syn or v_threshold of every neuron of a population, shape (n,), real or complex."""
        population = self.populations[population]
        if population.is_parameter(attribute):
            values = parameters[f"{population.name}.{attribute}"]
        else:
            values = population.settings[attribute].draw(None, population.shape(attribute))
        return np.broadcast_to(values, (population.n,))

    def describe(self):
        """Return a table of the populations and connections as text."""
        lines = [f"{'population':<24}{'kind':<10}{'neurons':>10}"]
        lines += [f"{p.name:<24}{p.kind:<10}{p.n:>10,}" for p in self.populations.values()]
        lines.append(f"{'connection':<24}{'synapses':>10}{'delay per':>12}  trained")
        for c in self.connections.values():
            sharing = "-" if c.delay is None else c.delay_per
            lines.append(f"{c.name:<24}{c.n_synapses:>10,}{sharing:>12}  {', '.join(c.train) or 'nothing'}")
        return "\n".join(lines)

    def to_dict(self):
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
    def from_dict(cls, description):
        """Build the network that ``to_dict`` described."""
        network = cls(description["min_delay"])
        for p in description["populations"]:
            if p["kind"] == "input":
                network.add_input(p["name"], p["n"])
                continue
            settings = {key: Initializer.from_dict(value) for key, value in p["settings"].items()}
            network._add_neurons(p["name"], p["kind"], p["n"], settings, p["train"])
        for c in description["connections"]:
            shape = (network.populations[c["pre"]].n, network.populations[c["post"]].n)
            network.connect(
                c["pre"],
                c["post"],
                weight=Initializer.from_dict(c["weight"]),
                delay=None if c["delay"] is None else Initializer.from_dict(c["delay"]),
                delay_per=c["delay_per"],
                train=c["train"],
                mask=_described_mask(c, shape),
                name=c["name"],
            )
        return network

    def fingerprint(self):
        """Return the SHA-256 of the description, in hex: equal networks have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def _as_initializers(weight, delay, delay_per, name, structure):
    """(weight, delay) as Initializers, delay None for none; ``structure``: (rows, mask) for ``per_synapse``."""
    weight, delay = (value.values if isinstance(value, Given) else value for value in (weight, delay))
    weight = as_initializer(per_synapse(weight, f"{name}.weight", *structure), f"{name}.weight")
    if delay is None:
        return weight, None
    check_sharing(delay, delay_per, name)
    if delay_per == "synapse":
        delay = per_synapse(delay, f"{name}.delay", *structure)
    return weight, as_initializer(delay, f"{name}.delay")


def _described_mask(connection, shape):
    """The scipy.sparse mask of a description's connection, checked; None for a dense one."""
    if connection["indptr"] is None:
        return None
    from scipy.sparse import csr_array

    indices = connection["indices"]
    try:
        mask = csr_array((np.ones(len(indices), bool), indices, connection["indptr"]), shape)
        mask.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        allowed = f"compressed sparse rows of shape (n_pre, n_post) = {shape}"
        raise InvalidInput(f"{connection['name']}.indices", None, str(error), allowed) from None
    return mask


def _surely_zero(connection):
    """True where the smallest delay of a connection is 0 whatever is drawn (drawn delays on cycles are > 0)."""
    if connection.delay is None:
        return True
    return isinstance(connection.delay, (Constant, Given)) and connection.delay.smallest == 0


def _reachable(start, edges):
    """Populations that spikes of `start` can reach, itself included."""
    found, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for pre, post in edges:
            if pre == here and post not in found:
                found.add(post)
                frontier.append(post)
    return found


def find_cycle(edges):
    """Return the populations of one cycle of a directed graph in order, or [] if it has none."""
    for pre, post in edges:
        path = _path(post, pre, edges)
        if path:
            return path
    return []


def _path(start, goal, edges):
    """Return a path of nodes from `start` to `goal` inclusive, or []."""
    came_from, frontier = {start: None}, [start]
    while frontier:
        here = frontier.pop(0)
        if here == goal:
            path = []
            while here is not None:
                path.append(here)
                here = came_from[here]
            return path[::-1]
        for pre, post in edges:
            if pre == here and post not in came_from:
                came_from[post] = here
                frontier.append(post)
    return []
