"""The adjoint of the reference engine: a log of events, replayed in reverse."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from ...aliases import Array, Floats, Milliseconds, Parameters
from ...network.network import Network
from ...spikes.cotangents import Cotangents
from ...spikes.recording import Recording
from .arithmetic import real
from .lif import constant_integral, field_gradients, flow, integrals
from .simulation import ARRIVAL, Logged, Neuron, NeuronName, Simulation, Source, State, delay_index

Lambdas: TypeAlias = tuple[float, float]
"""(lambda_V, lambda_I)."""
Stretch: TypeAlias = tuple[NeuronName, Milliseconds, Milliseconds, Callable[[Milliseconds], Lambdas]]
"""(neuron, from, to, its lambdas as a function of time)."""
Maximum: TypeAlias = tuple[Milliseconds, int, NeuronName, float]
"""(when a readout is largest, order among events at that time, neuron, pull)."""


class _Adjoint:
    """lambda_V and lambda_I of one neuron, moving back in time: what spikes and maxima put in, and the loss's drive.

    The drive of a readout is known in closed form at any time (docs/mathematics.md, section 4); ``v`` and ``i`` are the
    rest, as of ``time``.
    """

    def __init__(self, neuron: Neuron, duration: Milliseconds, drive: float, rate: float) -> None:
        self.tau_mem, self.tau_syn = neuron.constants[:2]
        self.time, self.duration, self.drive, self.rate = duration, duration, drive, rate
        self.v = self.i = 0.0
        self.by = dict.fromkeys(("tau_mem", "tau_syn", "threshold", "reset", "start", "whole"), 0.0)

    def _free(self, time: Milliseconds) -> Lambdas:
        """(lambda_V, lambda_I) without the drive: roles of V and I are exchanged with respect to the membrane."""
        i, v = flow(self.i, self.v, self.time - time, self.tau_syn, self.tau_mem)
        return v, i

    def _driven(self, time: Milliseconds) -> tuple[float, float]:
        """The integrals of e^{-rate t} V from ``time`` to the end, after V = 1 and after I = 1, times the drive."""
        by_v, by_i = integrals(self.duration - time, self.rate, self.tau_mem, self.tau_syn)
        scale = self.drive * math.exp(-self.rate * time)
        return scale * by_v, scale * by_i

    def at(self, time: Milliseconds) -> Lambdas:
        """(lambda_V, lambda_I) at a time not after ``self.time``."""
        v, i = self._free(time)
        by_v, by_i = self._driven(time) if self.drive else (0.0, 0.0)
        return v - by_v / self.tau_mem, i - by_i / self.tau_syn

    def pull(self) -> float:
        """lambda_V - lambda_I now; of the drive, how its integral changes as an arrival comes later."""
        if not self.drive:
            return self.v - self.i
        _, by_i = self._driven(self.time)
        end, _ = flow(0.0, 1.0, self.duration - self.time, self.tau_mem, self.tau_syn)
        return self.v - self.i - self.rate * by_i - self.drive * math.exp(-self.rate * self.duration) * end

    def start_back(self, before: State) -> None:
        """Move back to time 0, and add what U there, and all of V at once, give to the loss; ``before``: U, I, 0."""
        self._integrate(0.0, before)
        by_v, _ = self.at(0.0)
        self.by["start"] -= self.tau_mem * by_v
        if self.drive:
            self.by["whole"] += self.drive * constant_integral(self.duration, self.rate)

    def back_to(self, time: Milliseconds, before: State) -> None:
        """Move back to ``time``, through a stretch in which the neuron went on from ``before``: (V, I, time)."""
        self._integrate(time, before)
        self.move_to(time)

    def move_to(self, time: Milliseconds) -> None:
        """Move back to ``time``."""
        self.v, self.i = self._free(time)
        self.time = time

    def _integrate(self, time: Milliseconds, before: State) -> None:
        """Add the part from ``time`` on of the integrals of lambda_V dV/dt and lambda_I dI/dt, by Gauss's rule."""
        v, i, start = before
        for middle, half in _pieces(time, self.time, 1 / (self.rate + 1 / min(self.tau_mem, self.tau_syn))):
            for node, weight in zip(*GAUSS, strict=True):
                t = middle + half * node
                v_t, i_t = flow(v, i, t - start, self.tau_mem, self.tau_syn)
                lambda_v, lambda_i = self.at(t)
                self.by["tau_mem"] += half * weight * lambda_v * (i_t - v_t) / self.tau_mem
                self.by["tau_syn"] -= half * weight * lambda_i * i_t / self.tau_syn


# Exact for polynomials of degree 23. On pieces that grow so, the integral of e^{-u} is right to 1e-15.
GAUSS, GROWTH = np.polynomial.legendre.leggauss(12), 2.0


def _pieces(start: Milliseconds, end: Milliseconds, tau: Milliseconds) -> Iterator[tuple[float, float]]:
    """(middle, half length) of pieces that begin with tau at both ends of a stretch and grow towards its middle.

    All that is integrated is a sum of exponentials that decay from either end: where a piece is longer than tau, those
    that could not be integrated over it have decayed. So the number of pieces grows with the logarithm of the stretch.
    """
    left, right, length = start, end, tau
    while right - left > 2 * length:
        yield left + 0.5 * length, 0.5 * length
        yield right - 0.5 * length, 0.5 * length
        left, right, length = left + length, right - length, GROWTH * length
    n_left = math.ceil((right - left) / length)
    for piece in range(n_left):
        half = 0.5 * (right - left) / n_left
        yield left + (2 * piece + 1) * half, half


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
        for key, value in field_gradients(adjoint.by).items():
            _add_neuron(gradients, population, index, key, value)


def _start(
    simulation: Simulation, recording: Recording, sample: int, cotangents: Cotangents
) -> tuple[dict[NeuronName, _Adjoint], list[Maximum]]:
    """The adjoint of each neuron at the end, and [(time, order, neuron, pull)] of maxima, by time."""
    adjoints: dict[NeuronName, _Adjoint] = {}
    maxima: list[Maximum] = []
    for (population, index), neuron in simulation.neurons.items():
        pull = cotangents.integral.get(population)
        rate = simulation.settings.decay_rate(population)
        adjoints[population, index] = _Adjoint(
            neuron, recording.duration, 0.0 if pull is None else pull[sample, index], rate
        )
        if population in cotangents.maximum:
            _, when, share = simulation.maximum[population, index]
            name, pull = (population, index), cotangents.maximum[population][sample, index]
            if real(when) == 0.0:  # the start, which no arrival moves
                maxima.append((0.0, -1, name, pull))
                continue
            # what arrivals at that very instant feel comes before them in reverse, the rest after them
            maxima += [(when, 1, name, share * pull), (when, 0, name, (1 - share) * pull)]
    return adjoints, sorted(maxima, key=lambda entry: entry[:2])


def _states_after_events(simulation: Simulation) -> dict[NeuronName, list[State]]:
    """For each neuron the states (V, I, time) just after each of its events, the start included, in order."""
    histories: dict[NeuronName, list[State]] = defaultdict(list)
    for entry in simulation.log:
        histories[entry.neuron].append(entry.before)
    for name in simulation.neurons:
        histories[name].append(simulation.final[name])
    return histories


def _pull_maximum(
    adjoints: Mapping[NeuronName, _Adjoint], histories: Mapping[NeuronName, list[State]], time: Milliseconds,
    name: NeuronName, pull: float,
) -> None:  # fmt: skip
    """A readout's maximum pulls on lambda_V at the instant at which it was reached."""
    adjoint = adjoints[name]
    adjoint.back_to(time, histories[name][-1])
    adjoint.v -= pull / adjoint.tau_mem
    adjoint.by["whole"] += pull


def _arrival_back(
    network: Network, parameters: Mapping[str, Array], adjoint: _Adjoint, entry: Logged, gradients: Parameters,
    pulls: defaultdict[Source, float],
) -> None:  # fmt: skip
    name = entry.synapse[0]
    weight = parameters[f"{name}.weight"].flat[entry.synapse[2]]
    _, lambda_i = adjoint.at(entry.time)
    gradients[f"{name}.weight"].flat[entry.synapse[2]] -= entry.count * adjoint.tau_syn * lambda_i
    pull = entry.count * weight * adjoint.pull()
    connection = network.connections[name]
    if connection.delay is not None:
        gradients[f"{name}.delay"].flat[delay_index(connection, entry.synapse)] += pull
    pulls[entry.source] += pull


def _spike_back(
    recording: Recording, sample: int, simulation: Simulation, adjoint: _Adjoint, entry: Logged,
    cotangents: Cotangents, pull: float,
) -> None:  # fmt: skip
    index = entry.source[1]
    _, name, slope = simulation.spikes[index]
    tape = recording.offsets[sample] + index
    constants = simulation.neurons[name].constants
    fall = constants.threshold - constants.reset
    if cotangents.spike_times is not None:
        pull = pull + cotangents.spike_times[tape]
    adjoint.by["reset"] -= adjoint.tau_mem * adjoint.v
    adjoint.v += (fall * adjoint.v + pull) / slope
    if name[0] in cotangents.counts:
        adjoint.v -= cotangents.counts[name[0]][sample, name[1]] / (adjoint.tau_mem * fall)
    adjoint.by["threshold"] += adjoint.tau_mem * adjoint.v


def _add_neuron(gradients: Parameters, population: str, index: int, attribute: str, value: float) -> None:
    name = f"{population}.{attribute}"
    if name in gradients:
        gradients[name].flat[index if gradients[name].ndim else 0] += value
