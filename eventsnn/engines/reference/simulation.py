"""The reference engine: one typed event at a time out of a priority queue keyed on delivery time.

Slow, short and independent of the compiled kernels, which are tested against it. It runs in any arithmetic that has
exp, expm1 and log1p: floats, complex numbers (for complex-step derivatives) or mpmath.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from sortedcontainers import SortedList

from ...aliases import Array
from ...errors import EventStorm
from ...network.network import Network
from ...network.parts import Connection
from ...spikes.batch import SpikeBatch
from ...spikes.cotangents import Probe
from ...spikes.recording import Counters, Readout, Recording
from ..problem import Run
from .arithmetic import FLOAT, Arithmetic, Number, constant_integral, real
from .model import Constants, State, Timed, constants_of

# Event kinds in the order in which they act at one instant: every arrival acts before a threshold is looked at.
ARRIVAL, SPIKE = 0, 1

NeuronName: TypeAlias = tuple[str, int]
"""(population, index in it)."""
Source: TypeAlias = tuple[str, Any]
"""Where a spike is from: ("input", (population, index of the spike in its sample)) or ("spike", index of a spike)."""
Synapse: TypeAlias = tuple[str, int, int, int]
"""(connection, presynaptic neuron, synapse, postsynaptic neuron)."""
Arrival: TypeAlias = tuple[str, int, Number, Synapse, Source, Number]
"""(population, index, time, synapse, source, count)."""
Train: TypeAlias = tuple[Iterable[Number], Iterable[int], Iterable[Number]]
"""(times, units, counts)."""


@dataclass
class Neuron:
    """One neuron's state as of ``time``; ``version`` outdates threshold events that were scheduled before."""

    constants: Constants
    state: State
    time: Number = 0.0
    version: int = 0


@dataclass
class _Row:
    """The synapses of one presynaptic neuron in one connection."""

    connection: Connection
    first: int
    posts: Iterable[int]


@dataclass
class Logged:
    """A processed event, with the state of its neuron just after the event before it, and the time of that."""

    kind: int
    time: Number
    neuron: NeuronName
    before: Timed
    source: Source  # of an arrival: the presynaptic spike; of a spike: itself
    # () but for arrivals; "| Any", because who reads it has looked at the kind
    synapse: Synapse | Any = ()
    count: Number = 1.0


class Simulation:
    """One sample in the reference engine: run it with ``run``; its log is the tape."""

    def __init__(
        self, network: Network, parameters: Mapping[str, Array], run: Run, arithmetic: Arithmetic = FLOAT
    ) -> None:
        self.network, self.parameters, self.settings, self.arithmetic = network, parameters, run, arithmetic
        self.neurons: dict[NeuronName, Neuron] = {}
        self.queue = SortedList(key=lambda event: event[0])
        self.log: list[Logged] = []
        self.spikes: list[tuple[Number, NeuronName, Number]] = []  # (time, neuron, slope)
        self.sequence = 0
        self.events = self.grazing = 0
        self.rank = {name: index for index, name in enumerate(network.populations)}
        self.order = {name: index for index, name in enumerate(network.connections)}
        self.maximum: dict[NeuronName, tuple[Number, Number, float]] = {}  # (V, time, share): see Readout
        self.final: dict[NeuronName, Timed] = {}
        self.state_before: dict[NeuronName, State] = {}  # before the first of the arrivals at one time
        self.integral: defaultdict[NeuronName, Number] = defaultdict(float)
        for population in network.populations.values():
            if population.kind != "input":
                columns = network.values_of(population.name, parameters)
                for index in range(population.n):
                    values = {key: column[index] for key, column in columns.items()}
                    constants = constants_of(population.kind, values)
                    state = constants.first_state()
                    self.neurons[population.name, index] = Neuron(constants, state)
                    self.maximum[population.name, index] = (constants.voltage(state), 0.0, 1.0)

    def run(self, inputs: Mapping[str, Train]) -> Self:
        """Simulate; ``inputs``: {population: (times, units, counts)} of one sample, in any arithmetic."""
        for population, (times, units, counts) in inputs.items():
            for index, (time, unit, count) in enumerate(zip(times, units, counts, strict=True)):
                if real(time) < self.settings.duration:
                    self._send(population, int(unit), time, ("input", (population, index)), count)
        for name in self.neurons:
            self._schedule(name)
        while self.queue:
            key, event = self.queue.pop(0)
            if key[1] == ARRIVAL:
                self._arrive(event)
            elif event[1] == self.neurons[event[0]].version and not self._is_forestalled(event[0]):
                self._fire(event[0], event[2])
        self.final = {name: self._advance(name, self.settings.duration) for name in self.neurons}
        return self

    def _send(self, population: str, index: int, time: Number, source: Source, count: Number) -> None:
        """Queue the arrivals of one spike at every target of every connection."""
        for connection in self.network.connections.values():
            if connection.pre != population:
                continue
            row = row_of(connection, index)
            for offset, post in enumerate(row.posts):
                synapse = (connection.name, index, row.first + offset, int(post))
                arrival = time + delay_of(connection, self.parameters, synapse)
                if real(arrival) < self.settings.duration:
                    self.sequence += 1
                    rank = (self.rank[connection.post], int(post), self.order[connection.name], index, self.sequence)
                    key = (real(arrival), ARRIVAL, *rank)
                    self.queue.add((key, (connection.post, int(post), arrival, synapse, source, count)))

    def _advance(self, name: NeuronName, time: Number) -> Timed:
        """Bring a neuron to ``time``; returns its state as of the event before, and the time of that."""
        neuron = self.neurons[name]
        before = (neuron.state, neuron.time)
        if self.network.populations[name[0]].is_readout:
            self._track_maximum(name, time)
            self._integrate(name, time)
        neuron.state = neuron.constants.flow(neuron.state, time - neuron.time, self.arithmetic)
        neuron.time = time
        return before

    def _integrate(self, name: NeuronName, time: Number) -> None:
        """Add the stretch from the event before until ``time`` to the weighted voltage integral of a readout."""
        neuron = self.neurons[name]
        if name[0] in self.settings.probes:
            rate, exp = self.settings.decay_rate(name[0]), self.arithmetic.exp
            whole = neuron.constants.integral(neuron.state, time - neuron.time, rate, self.arithmetic)
            self.integral[name] += exp(-rate * neuron.time) * whole

    def _track_maximum(self, name: NeuronName, time: Number) -> None:
        neuron = self.neurons[name]
        candidates, top = [time - neuron.time], neuron.constants.peak(neuron.state, self.arithmetic)
        if top is not None and real(top) < real(time - neuron.time):
            candidates.append(top)
        for t in candidates:
            v = neuron.constants.voltage(neuron.constants.flow(neuron.state, t, self.arithmetic))
            if real(v) > real(self.maximum[name][0]):
                self.maximum[name] = (v, neuron.time + t, 1.0)

    def _arrive(self, event: Arrival) -> None:
        population, index, time, synapse, source, count = event
        name = (population, index)
        before = self._advance(name, time)
        neuron = self.neurons[name]
        if name not in self.state_before or real(time) > real(before[1]):
            self.state_before[name] = neuron.state
        charge = self.parameters[f"{synapse[0]}.weight"].flat[synapse[2]] * count
        neuron.state = neuron.constants.receive(neuron.state, charge)
        self._share_kink(name, time)
        self.log.append(Logged(ARRIVAL, time, name, before, source, synapse, count))
        self.events += 1
        self._schedule(name)

    def _share_kink(self, name: NeuronName, time: Number) -> None:
        """An arrival that ends the rise of a readout feels a share of the pull (docs/mathematics.md, section 6)."""
        neuron, (v, when, _) = self.neurons[name], self.maximum[name]
        share = neuron.constants.kink_share(v, self.state_before[name], neuron.state)
        if real(when) == real(time) and share is not None:
            self.maximum[name] = (v, when, share)

    def _is_forestalled(self, name: NeuronName) -> bool:
        """Whether an arrival acts on a rising neuron before V exceeds the threshold by more than rounding."""
        neuron = self.neurons[name]
        if neuron.constants.has_crossed(neuron.state):
            return False
        for key, event in self.queue:
            then = neuron.constants.flow(neuron.state, event[2] - neuron.time, self.arithmetic)
            if not neuron.constants.is_crossing(then):
                return False
            if key[1] == ARRIVAL and event[:2] == name:
                return True
        return False

    def _fire(self, name: NeuronName, time: Number) -> None:
        before = self._advance(name, time)
        neuron = self.neurons[name]
        self.log.append(Logged(SPIKE, time, name, before, ("spike", len(self.spikes))))
        neuron.state, slope = neuron.constants.fire(neuron.state)
        self.spikes.append((time, name, slope))
        if len(self.spikes) <= self.settings.max_spikes:
            self._send(*name, time, self.log[-1].source, 1.0)
            self._schedule(name)
        else:
            self.queue.clear()

    def _schedule(self, name: NeuronName) -> None:
        """Queue the next threshold crossing of a neuron, if it would have one; an earlier forecast is void."""
        neuron = self.neurons[name]
        neuron.version += 1
        if not self.network.populations[name[0]].fires:
            return
        t, grazes = neuron.constants.next_spike(neuron.state, self.arithmetic)
        self.grazing += grazes
        if t is not None and real(neuron.time + t) < self.settings.duration:
            time = neuron.time + t
            key = (real(time), SPIKE, self.rank[name[0]], name[1], 0, 0, 0)
            self.queue.add((key, (name, neuron.version, time)))


def row_of(connection: Connection, index: int) -> _Row:
    """The synapses that leave presynaptic neuron ``index``."""
    if connection.indptr is None or connection.indices is None:
        return _Row(connection, index * connection.n_post, range(connection.n_post))
    first, last = connection.indptr[index], connection.indptr[index + 1]
    return _Row(connection, int(first), connection.indices[first:last])


def delay_index(connection: Connection, synapse: Synapse) -> int:
    """Where in the connection's delay array (flattened) a synapse finds its delay."""
    return {"synapse": synapse[2], "neuron": synapse[1], "connection": 0}[connection.delay_per]


def delay_of(connection: Connection, parameters: Mapping[str, Array], synapse: Synapse) -> Number:
    """The delay (ms) of a synapse (connection name, presynaptic neuron, synapse, postsynaptic neuron)."""
    if connection.delay is None:
        return 0.0
    return parameters[f"{connection.name}.delay"].flat[delay_index(connection, synapse)]


def _readout(simulations: Sequence[Simulation], population: str, probe: Probe, network: Network) -> Readout:
    """Assemble a Readout from what the simulations have read."""
    n, run = network.populations[population].n, simulations[0].settings
    rate = run.decay_rate(population)
    whole = constant_integral(run.duration, rate)
    rests = [simulations[0].neurons[population, index].constants.rest for index in range(n)]
    integral = np.array([[s.integral[population, k] + rests[k] * whole for k in range(n)] for s in simulations])
    if not probe.maximum:
        return Readout(integral, rate)
    found = [[s.maximum[population, index] for index in range(n)] for s in simulations]
    maximum, when, share = np.moveaxis(np.array(found).reshape(len(simulations), n, 3), 2, 0)
    return Readout(integral, rate, maximum + np.array(rests), when, share.real)


def forward(
    network: Network, parameters: Mapping[str, Array], inputs: dict[str, SpikeBatch], run: Run,
    arithmetic: Arithmetic = FLOAT,
) -> tuple[Recording, list[Simulation]]:  # fmt: skip
    """Simulate a batch; ``inputs``: {population: SpikeBatch}. Returns (Recording, list of Simulation)."""
    n_samples = next(iter(inputs.values())).n_samples if inputs else 0
    simulations = []
    for sample in range(n_samples):
        trains = {name: batch[sample] for name, batch in inputs.items()}
        given = {
            name: (train.times, train.units, np.ones(len(train)) if train.counts is None else train.counts)
            for name, train in trains.items()
        }
        simulation = Simulation(network, parameters, run, arithmetic).run(given)
        if len(simulation.spikes) > run.max_spikes:
            raise _storm(sample, simulation)
        simulations.append(simulation)
    return record(network, inputs, run, simulations), simulations


def _storm(sample: int, simulation: Simulation) -> EventStorm:
    counts: defaultdict[NeuronName, int] = defaultdict(int)
    budget = simulation.spikes[:-1]  # the last one is the one too many
    for _, name, _ in budget:
        counts[name] += 1
    busiest = [(*name, number) for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]]
    network = simulation.network
    recurrent = network.exciting_loops((name for name, *_ in busiest), simulation.parameters)
    return EventStorm(
        sample, real(budget[-1][0]), len(budget), busiest, recurrent=recurrent, n_neurons=network.n_neurons
    )  # fmt: skip


def record(network: Network, inputs: dict[str, SpikeBatch], run: Run, simulations: Sequence[Simulation]) -> Recording:
    """Assemble the Recording of finished simulations."""
    slices, start = {}, 0
    for population in network.populations.values():
        if population.kind != "input":
            slices[population.name] = (start, start + population.n)
            start += population.n
    spikes = [spike for simulation in simulations for spike in simulation.spikes]
    offsets = np.cumsum([0, *(len(simulation.spikes) for simulation in simulations)])
    table = np.zeros((5, len(simulations)), np.int64)
    for sample, simulation in enumerate(simulations):
        late = sum(int(np.sum(batch[sample].times >= run.duration)) for batch in inputs.values())
        table[:, sample] = simulation.events, simulation.events, 0, simulation.grazing, late
    readouts = {name: _readout(simulations, name, probe, network) for name, probe in run.probes.items() if simulations}
    return Recording(
        duration=run.duration,
        times=np.array([time for time, _, _ in spikes]),
        neurons=np.array([slices[name[0]][0] + name[1] for _, name, _ in spikes], dtype=np.int32),
        slopes=np.array([slope for _, _, slope in spikes]),
        offsets=offsets,
        slices=slices,
        inputs=inputs,
        readouts=readouts,
        counters=Counters(*table),
    )
