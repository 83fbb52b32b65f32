"""The adjoint of the reference engine: a log of events, replayed in reverse."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from ...aliases import Array, Floats, Milliseconds, Parameters
from ...network.network import Network
from ...spikes.cotangents import Cotangents
from ...spikes.recording import Recording
from .arithmetic import real
from .model import Adjoint, Lambdas, Timed
from .simulation import ARRIVAL, Logged, NeuronName, Simulation, Source, delay_index

Stretch: TypeAlias = tuple[NeuronName, Milliseconds, Milliseconds, Callable[[Milliseconds], Lambdas]]
"""(neuron, from, to, its lambdas as a function of time)."""
Maximum: TypeAlias = tuple[Milliseconds, int, NeuronName, float]
"""(when a readout is largest, order among events at that time, neuron, pull)."""


def empty_sums(parameters: Mapping[str, Array], recording: Recording) -> tuple[Parameters, dict[str, Floats]]:
    """Return ({parameter: zeros}, {input population: zeros, one per spike}), for ``replay`` to add to."""
    gradients = {name: np.zeros(np.shape(values)) for name, values in parameters.items()}
    return gradients, {name: np.zeros(batch.times.size) for name, batch in recording.inputs.items()}


def replay(
    network: Network, parameters: Mapping[str, Array], recording: Recording, numbered: tuple[int, Simulation],
    cotangents: Cotangents, sums: tuple[Parameters, dict[str, Floats]],
) -> Iterator[Stretch]:  # fmt: skip
    """Replay the log of one sample in reverse, and add its gradients to ``sums``: (of parameters, of input times).

    ``numbered``: (index of the sample, its Simulation). Before each event it yields (neuron, from, to, function of
    time) for the stretch in which that neuron's (lambda_V, lambda_I) are given by the function, until the next is asked
    for.
    """
    sample, simulation = numbered
    gradients, inputs = sums
    adjoints, maxima = _start(simulation, recording, sample, cotangents)
    pulls: defaultdict[Source, float] = defaultdict(float)
    histories = _states_after_events(simulation)
    for entry in (*reversed(simulation.log), None):
        while maxima and (entry is None or maxima[-1][:2] > (entry.time, 0)):
            when, _, name, pull = maxima.pop()
            yield name, when, adjoints[name].time, adjoints[name].at
            _pull_maximum(adjoints, histories, when, name, pull)
        if entry is None:
            break
        adjoint = adjoints[entry.neuron]
        yield entry.neuron, entry.time, adjoint.time, adjoint.at
        adjoint.back_to(entry.time, histories[entry.neuron].pop())
        if entry.kind == ARRIVAL:
            _arrival_back(network, parameters, adjoint, entry, gradients, pulls)
        else:
            _spike_back(recording, sample, simulation, adjoint, entry, cotangents, pulls[entry.source])
    for name, adjoint in adjoints.items():
        yield name, 0.0, adjoint.time, adjoint.at
    for (kind, key), pull in pulls.items():
        if kind == "input":
            population, index = key
            inputs[population][recording.inputs[population].offsets[sample] + index] += pull
    for (population, index), adjoint in adjoints.items():
        adjoint.start_back(histories[population, index].pop())
        for key, value in adjoint.gradients().items():
            _add_neuron(gradients, population, index, key, value)


def _start(
    simulation: Simulation, recording: Recording, sample: int, cotangents: Cotangents
) -> tuple[dict[NeuronName, Adjoint], list[Maximum]]:
    """The adjoint of each neuron at the end, and [(time, order, neuron, pull)] of maxima, by time."""
    adjoints: dict[NeuronName, Adjoint] = {}
    maxima: list[Maximum] = []
    for (population, index), neuron in simulation.neurons.items():
        pull = cotangents.integral.get(population)
        rate = simulation.settings.decay_rate(population)
        drive = 0.0 if pull is None else pull[sample, index]
        adjoints[population, index] = neuron.constants.adjoint(recording.duration, drive, rate)
        if population in cotangents.maximum:
            _, when, share = simulation.maximum[population, index]
            name, pull = (population, index), cotangents.maximum[population][sample, index]
            if real(when) == 0.0:  # the start, which no arrival moves
                maxima.append((0.0, -1, name, pull))
                continue
            # what arrivals at that very instant feel comes before them in reverse, the rest after them
            maxima += [(when, 1, name, share * pull), (when, 0, name, (1 - share) * pull)]
    return adjoints, sorted(maxima, key=lambda entry: entry[:2])


def _states_after_events(simulation: Simulation) -> dict[NeuronName, list[Timed]]:
    """For each neuron the (state, time) just after each of its events, the start included, in order."""
    histories: dict[NeuronName, list[Timed]] = defaultdict(list)
    for entry in simulation.log:
        histories[entry.neuron].append(entry.before)
    for name in simulation.neurons:
        histories[name].append(simulation.final[name])
    return histories


def _pull_maximum(
    adjoints: Mapping[NeuronName, Adjoint], histories: Mapping[NeuronName, list[Timed]], time: Milliseconds,
    name: NeuronName, pull: float,
) -> None:  # fmt: skip
    """A readout's maximum pulls at the instant at which it was reached."""
    adjoint = adjoints[name]
    adjoint.back_to(time, histories[name][-1])
    adjoint.maximum_back(pull)


def _arrival_back(
    network: Network, parameters: Mapping[str, Array], adjoint: Adjoint, entry: Logged, gradients: Parameters,
    pulls: defaultdict[Source, float],
) -> None:  # fmt: skip
    name = entry.synapse[0]
    weight = parameters[f"{name}.weight"].flat[entry.synapse[2]]
    gradients[f"{name}.weight"].flat[entry.synapse[2]] += adjoint.by_weight(entry.count)
    pull = entry.count * weight * adjoint.pull()
    connection = network.connections[name]
    if connection.delay is not None:
        gradients[f"{name}.delay"].flat[delay_index(connection, entry.synapse)] += pull
    pulls[entry.source] += pull


def _spike_back(
    recording: Recording, sample: int, simulation: Simulation, adjoint: Adjoint, entry: Logged,
    cotangents: Cotangents, pull: float,
) -> None:  # fmt: skip
    index = entry.source[1]
    _, name, slope = simulation.spikes[index]
    tape = recording.offsets[sample] + index
    if cotangents.spike_times is not None:
        pull = pull + cotangents.spike_times[tape]
    by_count = cotangents.counts[name[0]][sample, name[1]] if name[0] in cotangents.counts else None
    adjoint.spike_back(slope, pull, by_count)


def _add_neuron(gradients: Parameters, population: str, index: int, attribute: str, value: float) -> None:
    name = f"{population}.{attribute}"
    if name in gradients:
        gradients[name].flat[index if gradients[name].ndim else 0] += value
