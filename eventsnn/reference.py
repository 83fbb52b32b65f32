"""The reference engine: one typed event at a time out of a priority queue keyed on delivery time.

Slow, short and independent of the compiled kernels, which are tested against it. It runs in any arithmetic that has
exp, expm1 and log1p: floats, complex numbers (for complex-step derivatives) or mpmath.
"""

import cmath
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from sortedcontainers import SortedList

from .errors import EventStorm
from .spikes import Counters, Readout, Recording

# Event kinds in the order in which they act at one instant: every arrival acts before a threshold is looked at.
ARRIVAL, SPIKE = 0, 1
GRAZING = 1e-6
# A voltage that does not exceed the threshold by more than this part of it has not crossed it (section 1).
CONTACT = 5e-15


@dataclass(frozen=True)
class Arithmetic:
    """The functions and the number of Newton steps that a kind of number needs."""

    exp: object = math.exp
    log1p: object = math.log1p
    newton_steps: int = 1


def _complex_log1p(z):
    """log1p to first order in the imaginary part, which a complex step keeps far below rounding."""
    z = complex(z)
    return complex(math.log1p(z.real), z.imag / (1 + z.real))


FLOAT = Arithmetic()
COMPLEX = Arithmetic(cmath.exp, _complex_log1p, 2)


def mpmath_arithmetic():
    """Return the Arithmetic of mpmath at its working precision."""
    import mpmath

    return Arithmetic(mpmath.exp, mpmath.log1p, 6)


def _real(x):
    return float(x.real)


def _relative_growth(x, arithmetic):
    """(1 - e^{-x}) / x for real part of x >= 0, by its series where the quotient would cancel."""
    if _real(x) > 0.5:
        return (1 - arithmetic.exp(-x)) / x
    term = total = 1 + 0 * x
    for n in range(2, 40):
        term = -term * x / n
        total = total + term
        if abs(term) < 1e-40:
            break
    return total


def flow(v, i, t, tau_mem, tau_syn, arithmetic=FLOAT):
    """(V, I) of a membrane after t ms without arrivals (docs/mathematics.md, section 1)."""
    slow, fast = (tau_mem, tau_syn) if _real(tau_mem) >= _real(tau_syn) else (tau_syn, tau_mem)
    difference = (slow - fast) / (slow * fast)
    psp = t / tau_mem * arithmetic.exp(-t / slow) * _relative_growth(t * difference, arithmetic)
    return v * arithmetic.exp(-t / tau_mem) + i * psp, i * arithmetic.exp(-t / tau_syn)


def _triangle_mean(a, b, arithmetic):
    """(g(a) - g(b))/(b - a) for g = `_relative_growth` and real parts >= 0, without that difference."""
    near, far = (a, b) if _real(a) <= _real(b) else (b, a)
    if _real(far) > 1:
        gap = far - near
        left = arithmetic.exp(-near) * _relative_growth(gap, arithmetic)
        return (_relative_growth(near, arithmetic) - left) / far
    # (e^x - 1)/x and its divided difference have the coefficients 1/(n + 1)! and 1/(n + 2)! at -a and -b
    power = mixed = 1 + 0 * a
    total = share = mixed / 2
    for n in range(1, 40):
        power = -near * power
        mixed = -far * mixed + power
        share = share / (n + 2)
        total = total + mixed * share
        if abs(share) < 1e-42:
            break
    return total


def integrals(t, rate, tau_mem, tau_syn, arithmetic=FLOAT):
    """The integrals of e^{-rate u} V over 0 <= u <= t, after V = 1 at u = 0, and after I = 1 (section 4)."""
    a, b = t * (rate + 1 / tau_mem), t * (rate + 1 / tau_syn)
    return t * _relative_growth(a, arithmetic), t * t / tau_mem * _triangle_mean(a, b, arithmetic)


def peak_time(v, i, tau_mem, tau_syn, arithmetic=FLOAT):
    """Time until V is largest, or None if it never turns: V equals I there. Takes a rising state (i > v)."""
    excess = tau_mem / tau_syn - 1
    bottom = i + excess * v
    if _real(bottom) <= 0:
        return None
    ratio = (i - v) / bottom
    product = excess * ratio
    if abs(product) < 1e-3:
        # log1p(z)/z by its series: an exact quotient would lose the derivative at tau_mem = tau_syn
        return tau_mem * ratio * sum((-product) ** n / (n + 1) for n in range(12))
    return tau_mem * arithmetic.log1p(product) / excess if _real(product) > -1 else None


def first_crossing(v, i, neuron, arithmetic=FLOAT):
    """Time until V next reaches the threshold from below if nothing arrives, or None; and whether it grazes.

    ``neuron``: (tau_mem, tau_syn, v_threshold). The real root is bracketed by now and the peak and bisected; Newton
    steps then carry it into the arithmetic at hand.
    """
    tau_mem, tau_syn, threshold = neuron
    level = _real(threshold) * (1 + CONTACT)
    if _real(i) <= max(level, _real(v)):
        return None, False
    top = peak_time(v, i, tau_mem, tau_syn, arithmetic)
    if top is None:
        return None, False
    v_top, _ = flow(v, i, top, tau_mem, tau_syn, arithmetic)
    if _real(v_top) <= level:
        return None, _real(v_top) > _real(threshold) * (1 - GRAZING)
    if _real(v) >= _real(threshold):
        return 0 * i, False
    reals = [_real(x) for x in (v, i, tau_mem, tau_syn, threshold)]
    t = _bisect(*reals, _real(top))
    for _ in range(arithmetic.newton_steps):
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
        t = t + (threshold - v_t) * tau_mem / (i_t - v_t)
    _, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
    return t, _real(i_t - threshold) < GRAZING * _real(threshold)


def _bisect(v, i, tau_mem, tau_syn, threshold, high):
    low = 0.0
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if flow(v, i, middle, tau_mem, tau_syn)[0] < threshold:
            low = middle
        else:
            high = middle


@dataclass
class _Neuron:
    """One neuron's state as of ``time``; ``version`` outdates threshold events that were scheduled before."""

    constants: tuple
    v: object = 0.0
    i: object = 0.0
    time: object = 0.0
    version: int = 0


@dataclass
class _Row:
    """The synapses of one presynaptic neuron in one connection."""

    connection: object
    first: int
    posts: object


@dataclass
class _Logged:
    """A processed event, with the state of its neuron just after the event before it."""

    kind: int
    time: object
    neuron: tuple
    before: tuple
    source: object = None  # arrivals: ("input", index) or ("spike", index) of the presynaptic spike
    synapse: tuple = ()  # arrivals: (connection, presynaptic neuron, synapse, postsynaptic neuron)
    count: object = 1.0


class Simulation:
    """One sample in the reference engine: run it with ``run``; its log is the tape."""

    def __init__(self, network, parameters, run, arithmetic=FLOAT):
        self.network, self.parameters, self.settings, self.arithmetic = network, parameters, run, arithmetic
        self.neurons = {}
        self.queue = SortedList(key=lambda event: event[0])
        self.log, self.spikes, self.sequence = [], [], 0
        self.events = self.grazing = 0
        self.rank = {name: index for index, name in enumerate(network.populations)}
        self.order = {name: index for index, name in enumerate(network.connections)}
        self.maximum, self.final, self.current_before, self.integral = {}, {}, {}, defaultdict(float)
        for population in network.populations.values():
            if population.kind != "input":
                columns = [network.value_of(population.name, key, parameters) for key in population.settings]
                for index, constants in enumerate(zip(*columns, strict=True)):
                    self.neurons[population.name, index] = _Neuron(tuple(constants))
                    self.maximum[population.name, index] = (0.0, 0.0, 1.0)

    def run(self, inputs):
        """Simulate; ``inputs``: {population: (times, units, counts)} of one sample, in any arithmetic."""
        for population, (times, units, counts) in inputs.items():
            for index, (time, unit, count) in enumerate(zip(times, units, counts, strict=True)):
                if _real(time) < self.settings.duration:
                    self._send(population, int(unit), time, ("input", (population, index)), count)
        while self.queue:
            key, event = self.queue.pop(0)
            if key[1] == ARRIVAL:
                self._arrive(event)
            elif event[1] == self.neurons[event[0]].version and not self._is_forestalled(event[0]):
                self._fire(event[0], event[2])
        self.final = {name: self._advance(name, self.settings.duration) for name in self.neurons}
        return self

    def _send(self, population, index, time, source, count):
        """Queue the arrivals of one spike at every target of every connection."""
        for connection in self.network.connections.values():
            if connection.pre != population:
                continue
            row = row_of(connection, index)
            for offset, post in enumerate(row.posts):
                synapse = (connection.name, index, row.first + offset, int(post))
                arrival = time + delay_of(connection, self.parameters, synapse)
                if _real(arrival) < self.settings.duration:
                    self.sequence += 1
                    rank = (self.rank[connection.post], int(post), self.order[connection.name], index, self.sequence)
                    key = (_real(arrival), ARRIVAL, *rank)
                    self.queue.add((key, (connection.post, int(post), arrival, synapse, source, count)))

    def _advance(self, name, time):
        """Bring a neuron to ``time``; returns its state as of the event before."""
        neuron = self.neurons[name]
        before = (neuron.v, neuron.i, neuron.time)
        if self.network.populations[name[0]].kind == "readout":
            self._track_maximum(name, time)
            self._integrate(name, time)
        tau_mem, tau_syn = neuron.constants[:2]
        neuron.v, neuron.i = flow(neuron.v, neuron.i, time - neuron.time, tau_mem, tau_syn, self.arithmetic)
        neuron.time = time
        return before

    def _integrate(self, name, time):
        """Add the stretch from the event before until ``time`` to the weighted voltage integral of a readout."""
        neuron, probe = self.neurons[name], self.settings.probes.get(name[0])
        if probe is not None:
            rate, exp = probe.decay_rate, self.arithmetic.exp
            by_v, by_i = integrals(time - neuron.time, rate, *neuron.constants[:2], self.arithmetic)
            self.integral[name] += exp(-rate * neuron.time) * (neuron.v * by_v + neuron.i * by_i)

    def _track_maximum(self, name, time):
        neuron = self.neurons[name]
        tau_mem, tau_syn = neuron.constants[:2]
        candidates = [time - neuron.time]
        if _real(neuron.i) > _real(neuron.v):
            top = peak_time(neuron.v, neuron.i, tau_mem, tau_syn, self.arithmetic)
            if top is not None and _real(top) < _real(time - neuron.time):
                candidates.append(top)
        for t in candidates:
            v, _ = flow(neuron.v, neuron.i, t, tau_mem, tau_syn, self.arithmetic)
            if _real(v) > _real(self.maximum[name][0]):
                self.maximum[name] = (v, neuron.time + t, 1.0)

    def _arrive(self, event):
        population, index, time, synapse, source, count = event
        name = (population, index)
        before = self._advance(name, time)
        neuron = self.neurons[name]
        if name not in self.current_before or _real(time) > _real(before[2]):
            self.current_before[name] = neuron.i
        neuron.i = neuron.i + self.parameters[f"{synapse[0]}.weight"].flat[synapse[2]] * count
        self._share_kink(name, time)
        self.log.append(_Logged(ARRIVAL, time, name, before, source, synapse, count))
        self.events += 1
        self._schedule(name)

    def _share_kink(self, name, time):
        """An arrival that ends the rise of a readout feels a share of the pull (docs/mathematics.md, section 6)."""
        neuron, (v, when, _) = self.neurons[name], self.maximum[name]
        before, after = _real(self.current_before[name]), _real(neuron.i)
        if _real(when) == _real(time) and after < _real(v) < before:
            self.maximum[name] = (v, when, (before - _real(v)) / (before - after))

    def _is_forestalled(self, name):
        """Whether an arrival acts on a rising neuron before V exceeds the threshold by more than rounding."""
        neuron = self.neurons[name]
        tau_mem, tau_syn, threshold = neuron.constants
        if _real(neuron.v) >= _real(threshold):
            return False
        for key, event in self.queue:
            v, i = flow(neuron.v, neuron.i, event[2] - neuron.time, tau_mem, tau_syn, self.arithmetic)
            if abs(_real(v) - _real(threshold)) > CONTACT * _real(threshold) or _real(i) <= _real(v):
                return False
            if key[1] == ARRIVAL and event[:2] == name:
                return True
        return False

    def _fire(self, name, time):
        before = self._advance(name, time)
        neuron = self.neurons[name]
        self.log.append(_Logged(SPIKE, time, name, before, ("spike", len(self.spikes))))
        self.spikes.append((time, name, neuron.i - neuron.constants[2]))
        neuron.v = 0 * neuron.v
        if len(self.spikes) <= self.settings.max_spikes:
            self._send(*name, time, self.log[-1].source, 1.0)
            self._schedule(name)
        else:
            self.queue.clear()

    def _schedule(self, name):
        """Queue the next threshold crossing of a neuron, if it would have one; an earlier forecast is void."""
        neuron = self.neurons[name]
        neuron.version += 1
        if self.network.populations[name[0]].kind != "lif":
            return
        t, grazes = first_crossing(neuron.v, neuron.i, neuron.constants, self.arithmetic)
        self.grazing += grazes
        if t is not None and _real(neuron.time + t) < self.settings.duration:
            time = neuron.time + t
            key = (_real(time), SPIKE, self.rank[name[0]], name[1], 0, 0, 0)
            self.queue.add((key, (name, neuron.version, time)))


def row_of(connection, index):
    """The synapses that leave presynaptic neuron ``index``."""
    if connection.indptr is None:
        return _Row(connection, index * connection.n_post, range(connection.n_post))
    first, last = connection.indptr[index], connection.indptr[index + 1]
    return _Row(connection, int(first), connection.indices[first:last])


def delay_index(connection, synapse):
    """Where in the connection's delay array (flattened) a synapse finds its delay."""
    return {"synapse": synapse[2], "neuron": synapse[1], "connection": 0}[connection.delay_per]


def delay_of(connection, parameters, synapse):
    """The delay (ms) of a synapse (connection name, presynaptic neuron, synapse, postsynaptic neuron)."""
    if connection.delay is None:
        return 0.0
    return parameters[f"{connection.name}.delay"].flat[delay_index(connection, synapse)]


def _readout(simulations, population, probe, network):
    """Assemble a Readout from what the simulations have read."""
    n, rate = network.populations[population].n, probe.decay_rate
    integral = np.array([[s.integral[population, index] for index in range(n)] for s in simulations])
    if not probe.maximum:
        return Readout(integral, rate)
    maximum = [[s.maximum[population, index] for index in range(n)] for s in simulations]
    maximum, when, share = np.moveaxis(np.array(maximum).reshape(len(simulations), n, 3), 2, 0)
    return Readout(integral, rate, maximum, when, share.real)


def forward(network, parameters, inputs, run, arithmetic=FLOAT):
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


def _storm(sample, simulation):
    counts = defaultdict(int)
    budget = simulation.spikes[:-1]  # the last one is the one too many
    for _, name, _ in budget:
        counts[name] += 1
    busiest = [(*name, number) for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]]
    network = simulation.network
    recurrent = network.exciting_loops((name for name, *_ in busiest), simulation.parameters)
    return EventStorm(
        sample, _real(budget[-1][0]), len(budget), busiest, recurrent=recurrent, n_neurons=network.n_neurons
    )  # fmt: skip


def record(network, inputs, run, simulations):
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


class _Adjoint:
    """lambda_V and lambda_I of one neuron, moving back in time: what spikes and maxima put in, and the loss's drive.

    The drive of a readout is known in closed form at any time (docs/mathematics.md, section 4); ``v`` and ``i`` are the
    rest, as of ``time``.
    """

    def __init__(self, neuron, duration, drive, rate):
        self.tau_mem, self.tau_syn = neuron.constants[:2]
        self.time, self.duration, self.drive, self.rate = duration, duration, drive, rate
        self.v = self.i = 0.0
        self.tau_mem_gradient = self.tau_syn_gradient = 0.0

    def _free(self, time):
        """(lambda_V, lambda_I) without the drive: roles of V and I are exchanged with respect to the membrane."""
        i, v = flow(self.i, self.v, self.time - time, self.tau_syn, self.tau_mem)
        return v, i

    def _driven(self, time):
        """The integrals of e^{-rate t} V from ``time`` to the end, after V = 1 and after I = 1, times the drive."""
        by_v, by_i = integrals(self.duration - time, self.rate, self.tau_mem, self.tau_syn)
        scale = self.drive * math.exp(-self.rate * time)
        return scale * by_v, scale * by_i

    def at(self, time):
        """(lambda_V, lambda_I) at a time not after ``self.time``."""
        v, i = self._free(time)
        by_v, by_i = self._driven(time) if self.drive else (0.0, 0.0)
        return v - by_v / self.tau_mem, i - by_i / self.tau_syn

    def pull(self):
        """lambda_V - lambda_I now; of the drive, how its integral changes as an arrival comes later."""
        if not self.drive:
            return self.v - self.i
        _, by_i = self._driven(self.time)
        end, _ = flow(0.0, 1.0, self.duration - self.time, self.tau_mem, self.tau_syn)
        return self.v - self.i - self.rate * by_i - self.drive * math.exp(-self.rate * self.duration) * end

    def back_to(self, time, before):
        """Move back to ``time``, through a stretch in which the neuron went on from ``before``: (V, I, time)."""
        self._integrate(time, before)
        self.move_to(time)

    def move_to(self, time):
        """Move back to ``time``."""
        self.v, self.i = self._free(time)
        self.time = time

    def _integrate(self, time, before):
        """Add the part from ``time`` on of the integrals of lambda_V dV/dt and lambda_I dI/dt, by Gauss's rule."""
        v, i, start = before
        for middle, half in _pieces(time, self.time, 1 / (self.rate + 1 / min(self.tau_mem, self.tau_syn))):
            for node, weight in zip(*GAUSS, strict=True):
                t = middle + half * node
                v_t, i_t = flow(v, i, t - start, self.tau_mem, self.tau_syn)
                lambda_v, lambda_i = self.at(t)
                self.tau_mem_gradient += half * weight * lambda_v * (i_t - v_t) / self.tau_mem
                self.tau_syn_gradient -= half * weight * lambda_i * i_t / self.tau_syn


# Exact for polynomials of degree 23. On pieces that grow so, the integral of e^{-u} is right to 1e-15.
GAUSS, GROWTH = np.polynomial.legendre.leggauss(12), 2.0


def _pieces(start, end, tau):
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


def backward(network, parameters, recording, simulations, cotangents):
    """Replay the logs in reverse; returns ({parameter: gradient}, {input population: dL/dt per spike})."""
    gradients = {name: np.zeros(np.shape(values)) for name, values in parameters.items()}
    inputs = {name: np.zeros(batch.times.size) for name, batch in recording.inputs.items()}
    for sample, simulation in enumerate(simulations):
        _backward_sample(network, parameters, recording, (sample, simulation), cotangents, (gradients, inputs))
    return gradients, inputs


def _backward_sample(network, parameters, recording, numbered, cotangents, sums):
    sample, simulation = numbered
    gradients, inputs = sums
    adjoints, maxima = {}, []
    for (population, index), neuron in simulation.neurons.items():
        pull = cotangents.integral.get(population)
        probe = simulation.settings.probes.get(population)
        rate = probe.decay_rate if probe else 0.0
        adjoints[population, index] = _Adjoint(
            neuron, recording.duration, 0.0 if pull is None else pull[sample, index], rate
        )
        if population in cotangents.maximum:
            highest, when, share = simulation.maximum[population, index]
            # a maximum of 0 is the start, which nothing moves
            pull = cotangents.maximum[population][sample, index] if _real(highest) > 0.0 else 0.0
            # what arrivals at that very instant feel comes before them in reverse, the rest after them
            maxima += [(when, 1, (population, index), share * pull), (when, 0, (population, index), (1 - share) * pull)]
    maxima.sort(key=lambda entry: entry[:2])
    pulls = defaultdict(float)
    histories = _states_after_events(simulation)
    for entry in reversed(simulation.log):
        while maxima and maxima[-1][:2] > (entry.time, 0):
            when, _, name, pull = maxima.pop()
            _pull_maximum(adjoints, histories, when, name, pull)
        adjoint = adjoints[entry.neuron]
        adjoint.back_to(entry.time, histories[entry.neuron].pop())
        if entry.kind == ARRIVAL:
            _arrival_back(network, parameters, adjoint, entry, gradients, pulls)
        else:
            _spike_back(recording, sample, simulation, adjoint, entry, cotangents, pulls[entry.source], gradients)
    for (kind, key), pull in pulls.items():
        if kind == "input":
            population, index = key
            inputs[population][recording.inputs[population].offsets[sample] + index] += pull
    for (population, index), adjoint in adjoints.items():
        for key, value in (("tau_mem", adjoint.tau_mem_gradient), ("tau_syn", adjoint.tau_syn_gradient)):
            _add_neuron(gradients, population, index, key, value)


def _states_after_events(simulation):
    """For each neuron the states (V, I, time) just after each of its events, the start included, in order."""
    histories = defaultdict(list)
    for entry in simulation.log:
        histories[entry.neuron].append(entry.before)
    for name in simulation.neurons:
        histories[name].append(simulation.final[name])
    return histories


def _pull_maximum(adjoints, histories, time, name, pull):
    """A readout's maximum pulls on lambda_V at the instant at which it was reached."""
    adjoint = adjoints[name]
    adjoint.back_to(time, histories[name][-1])
    adjoint.v -= pull / adjoint.tau_mem


def _arrival_back(network, parameters, adjoint, entry, gradients, pulls):
    name = entry.synapse[0]
    weight = parameters[f"{name}.weight"].flat[entry.synapse[2]]
    _, lambda_i = adjoint.at(entry.time)
    gradients[f"{name}.weight"].flat[entry.synapse[2]] -= entry.count * adjoint.tau_syn * lambda_i
    pull = entry.count * weight * adjoint.pull()
    connection = network.connections[name]
    if connection.delay is not None:
        gradients[f"{name}.delay"].flat[delay_index(connection, entry.synapse)] += pull
    pulls[entry.source] += pull


def _spike_back(recording, sample, simulation, adjoint, entry, cotangents, pull, gradients):
    index = entry.source[1]
    _, name, slope = simulation.spikes[index]
    tape = recording.offsets[sample] + index
    threshold = simulation.neurons[name].constants[2]
    if cotangents.spike_times is not None:
        pull = pull + cotangents.spike_times[tape]
    adjoint.v += (threshold * adjoint.v + pull) / slope
    if name[0] in cotangents.counts:
        adjoint.v -= cotangents.counts[name[0]][sample, name[1]] / (adjoint.tau_mem * threshold)
    _add_neuron(gradients, *name, "v_threshold", adjoint.tau_mem * adjoint.v)


def _add_neuron(gradients, population, index, attribute, value):
    name = f"{population}.{attribute}"
    if name in gradients:
        gradients[name].flat[index if gradients[name].ndim else 0] += value
