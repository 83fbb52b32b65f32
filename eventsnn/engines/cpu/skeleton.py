"""What a layout takes from the structure of a network alone, made once and not at each step of a training."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ...aliases import Array, Integers, Milliseconds, Parameters
from ...errors import NetworkError
from ...kernels.blocks import OCTET
from ...kernels.neurons.laying import Laying, PopulationConstants, Span, laying_of
from ...kernels.state import BLOCK, CONNECTION, POPULATION, SOURCE, Kind, Way
from ...network.base import Listing
from ...network.graph import find_cycle
from ...network.network import Network
from ...network.parts import Connection, Population
from ...neurons import MODELS
from ...spikes.cotangents import Probe
from ..problem import Run


class Told(NamedTuple):
    """What the model is told of each population, and what `Laying.reach` and `Laying.modal_until` say then."""

    groups: dict[str, PopulationConstants]
    reach: tuple[Milliseconds, Milliseconds]
    modal_until: dict[str, Milliseconds]


class Constants(NamedTuple):
    """The neurons as their model lays them out (`Laying.lay`), and the tables of `kernels.state.Net` beside them."""

    pops: Array
    conns: Array
    known: Integers
    neurons: Array
    model: Any


class Order:
    """Populations in the order in which kernels take them, and all that is numbered by it."""

    def __init__(self, populations: Sequence[Population], skeleton: "Skeleton") -> None:
        self.populations, inputs, connections = populations, skeleton.inputs, skeleton.connections
        starts = np.cumsum([0, *(p.n for p in populations)]).tolist()
        self.slices = {p.name: (start, start + p.n) for p, start in zip(populations, starts, strict=False)}
        self.rank = {p.name: number for number, p in enumerate([*populations, *inputs])}
        links = {name: [number for number, c in enumerate(connections) if c.pre == name] for name in self.rank}
        self.links = np.array([number for numbers in links.values() for number in numbers], np.int64)
        self._conns = skeleton.conns.copy()
        self._conns["target"] = [self.rank[c.post] for c in connections]
        self._conns["source"] = [self.rank[c.pre] for c in connections]
        self.sources = np.zeros(sum(p.n for p in inputs), SOURCE)
        self.sources["pop"] = np.repeat([self.rank[p.name] for p in inputs], [p.n for p in inputs])
        self.sources["local"] = [local for p in inputs for local in range(p.n)]
        self._pops = np.zeros(len(self.rank), POPULATION)
        ends = np.cumsum([len(numbers) for numbers in links.values()])
        self._pops["first_link"], self._pops["last_link"] = [0, *ends[:-1]], ends
        n = len(populations)
        self._pops["start"][:n], self._pops["stop"][:n] = starts[:-1], starts[1:]
        # the constants laid out last, and for what
        self._laid: tuple[object, Constants] | None = None

    def constants(
        self, skeleton: "Skeleton", groups: dict[str, PopulationConstants], modal: Sequence[bool],
        span: Span, run: Run, ways: Sequence[Way],
    ) -> Constants:  # fmt: skip
        """Lay the neurons out; ``modal``: of each population, ``ways``: of each connection."""
        kinds = [_kind(p, run) for p in self.populations]
        key = (tuple(kinds), tuple(run.decay_rate(p.name) for p in self.populations), tuple(modal), span, tuple(ways))
        if skeleton.fixed and self._laid is not None and self._laid[0] == key:
            return self._laid[1]
        pops, n = self._pops.copy(), len(kinds)
        pops["kind"][:n], pops["decay_rate"][:n], pops["modal"][:n] = kinds, key[1], modal
        laid = skeleton.laying.lay(pops, [groups[p.name] for p in self.populations], span)
        found = Constants(pops, *self._enter_ways(pops, np.array(ways, np.int64)), *laid)
        if skeleton.fixed:
            self._laid = (key, found)
        return found

    def _enter_ways(self, pops: Array, ways: Integers) -> tuple[Array, Integers]:
        """Write into ``pops`` how populations hear of spikes; returns (conns, known)."""
        conns, n = self._conns.copy(), len(self.populations)
        channels = np.where(ways == Way.COLUMNS, conns["n_pre"] + 1, 0)
        conns["way"], conns["channels"] = ways, np.cumsum(channels) - channels
        known = np.flatnonzero(ways != Way.QUEUE)
        known = known[np.argsort(conns["target"][known], kind="stable")]
        ends = np.searchsorted(conns["target"][known], np.arange(n + 1))
        pops["first_known"][:n], pops["last_known"][:n] = ends[:-1], ends[1:]
        octets = np.where(np.diff(ends) > 0, -(-(pops["stop"] - pops["start"])[:n] // OCTET), 0)
        pops["octet"][:n], pops["n_octets"][:n] = np.cumsum(octets) - octets, octets
        queued = conns["target"][(ways == Way.QUEUE) & (conns["per_synapse"] != 0)]
        pops["queued"][:n] = pops["modal"][:n] * np.isin(np.arange(n), queued)
        sources = np.unique(conns["source"][known])
        pops["train"] = -1
        pops["train"][sources] = np.arange(sources.size)
        return conns, known


class Skeleton:
    """The parts of a network, and where their synapses lie; connections with a delay per synapse come first."""

    def __init__(self, network: Network) -> None:
        parts = network.populations.values()
        self.inputs = [p for p in parts if p.kind == "input"]
        self.neurons = [p for p in parts if p.kind != "input"]
        # so that only those with a delay per synapse take room in the delay array, and dense ones among them in others
        self.connections = sorted(
            network.connections.values(), key=lambda c: (not has_own_delays(c), c.indptr is not None)
        )
        self.laying, self.trained = _laying_of(self.neurons), frozenset(network.trainable)
        # whether all constants of neurons are the same at each step
        self.fixed = not network.listing.fields.keys() & {entry.name for entry in network.listing.entries}
        sizes = [row_sizes(c) for c in self.connections]
        # a block to spare at both ends (see kernels.simd)
        self.row_ptr = BLOCK + np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, int), *sizes]))])
        edges = (BLOCK + np.cumsum([0, *(c.n_synapses for c in self.connections)])).tolist()
        self.synapses = {c.name: slice(*ends) for c, ends in zip(self.connections, pairwise(edges), strict=True)}
        self.first_shared = BLOCK + sum(c.n_synapses for c in self.connections if has_own_delays(c))
        self.n_synapses, self.n_targets = edges[-1] - BLOCK, sum(p.n for p in self.neurons)
        self.is_acyclic = not find_cycle([(c.pre, c.post) for c in self.connections])
        self.conns = self._conns()
        self._told: Told | None = None
        self._orders: dict[tuple[str, ...], Order] = {}

    def _conns(self) -> Array:
        conns, own = np.zeros(len(self.connections), CONNECTION), [has_own_delays(c) for c in self.connections]
        conns["first_row"] = np.cumsum([0, *(c.n_pre for c in self.connections)])[:-1]
        conns["per_synapse"], conns["dense"] = own, [c.indptr is None for c in self.connections]
        trained = [f"{c.name}.delay" in self.trained for c in self.connections]
        conns["first"] = [self.synapses[c.name].start for c in self.connections]
        conns["n_pre"] = [c.n_pre for c in self.connections]
        conns["trained_delay"] = [asked and not its_own for asked, its_own in zip(trained, own, strict=True)]
        return conns

    def told(self, network: Network, parameters: Parameters) -> Told:
        """What the model is told of the neurons, and what it says of them; the same at each step if they are fixed."""
        if self._told is None or not self.fixed:
            values = {p.name: (network.values_of(p.name, parameters), frozenset(p.train)) for p in self.neurons}
            groups = {name: PopulationConstants(*pair) for name, pair in values.items()}
            until = {name: self.laying.modal_until(group) for name, group in groups.items()}
            self._told = Told(groups, self.laying.reach(list(groups.values())), until)
        return self._told

    def order(self, populations: Sequence[Population]) -> Order:
        """The Order of the populations of neurons; there are few in which they ever stand."""
        names = tuple(p.name for p in populations)
        if names not in self._orders:
            self._orders[names] = Order(populations, self)
        return self._orders[names]


_skeletons: WeakKeyDictionary[Network, tuple[Listing, Skeleton]] = WeakKeyDictionary()


def skeleton_of(network: Network) -> Skeleton:
    """The Skeleton of a network as it is now."""
    listing = network.listing
    known = _skeletons.get(network)
    if known is None or known[0] is not listing:
        known = _skeletons[network] = (listing, Skeleton(network))
    return known[1]


def has_own_delays(connection: Connection) -> bool:
    """True where each synapse has its own delay."""
    return connection.delay is not None and connection.delay_per == "synapse"


def row_sizes(connection: Connection) -> Integers:
    """Synapses of each presynaptic neuron, (n_pre,)."""
    c = connection
    return np.full(c.n_pre, c.n_post) if c.indptr is None else np.diff(c.indptr)


def _kind(population: Population, run: Run) -> Kind:
    if population.fires:
        return Kind.SPIKING
    return Kind.READOUT_MAXIMUM if run.probes.get(population.name, Probe()).maximum else Kind.READOUT


def _laying_of(neurons: Sequence[Population]) -> Laying:
    """What the model says that all neurons of a network have."""
    families = sorted({MODELS[p.kind].family for p in neurons}) or [next(iter(MODELS.values())).family]
    if len(families) > 1:
        raise NetworkError(
            f"the compiled engine simulates one family of neurons at a time, not {' and '.join(families)} in one "
            'network; engine="reference" does.'
        )
    return laying_of(families[0])
