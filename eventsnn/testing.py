"""Checks for networks and losses of one's own: gradients against differences, engine against engine, random networks.

``check_gradients`` and ``compare_engines`` return a report, and raise with the worst coordinate where a bar is missed.
``networks``, ``parameters_for`` and ``batches_for`` are hypothesis strategies (hypothesis is imported when one is
called); ``random_case`` draws a whole learning problem from a seed with numpy alone.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from . import reference
from .errors import EventStorm, InvalidInput, Portable
from .gradients import evaluate, joint_probes, value_and_grad
from .initializers import Constant, Normal, Uniform
from .losses import (
    ExponentialMeanVoltage,
    FirstSpike,
    MaxVoltage,
    MeanVoltage,
    RelativeFirstSpike,
    SpikeTimeRegression,
)
from .network import DELAY_SHARING, Network
from .simulation import check_batch, check_duration, forward, spiking_outputs
from .spikes import Probe, Run, SpikeBatch

# A gradient is a sum over spikes, and where its terms cancel the digits that are left say nothing about the code. An
# error is therefore measured against at least FLOOR times the largest gradient in the same array, and GLOBAL_FLOOR
# times the largest of all: a shared delay may have a derivative of exactly 0, which sums of rounded terms miss.
FLOOR = 1e-3
GLOBAL_FLOOR = 1e-6
# Where a gradient is 0 because its terms cancel, what is left of it is their rounding, and that is no difference. On a
# maximum of a readout the terms are those of dV/dt, which is 0 there: I/tau_mem and V/tau_mem, each a sum of few
# arrivals, rounded by a few eps. On their way to a weight or a threshold they are multiplied by the weight after the
# spike (up to about 5) and divided by the spike's slope I - v_threshold (few are below 0.1); the largest gradient is in
# turn about the response to a unit jump (1/4). So 5 / 0.1 / (1/4) = 200 times a few eps of the largest gradient; the
# most that was seen in 4,240 random networks is 200 eps.
ROUNDINGS = 1000
# Below this slope (in units of V) a spike's time, hence every gradient through it, has lost four digits.
STEEP = 1e-4
# Steps at which a difference is retried, relative to the first, when the spikes on its two sides do not match.
SHRINK = (1.0, 0.1, 0.01)
# A maximum whose time moves faster than this many ms per unit of the step has jumped to another peak.
FASTEST_MAXIMUM = 1e3
COMPLEX_STEP = 1e-30
# A difference of two losses L over 2 h is rounded at a few eps L/h: no gradient below this many times that is resolved.
RESOLUTION = 1e6
LATENESS_OF_ZEROS = 0.8
TIMES = "times"


class GradientMismatch(Portable, AssertionError):
    """A gradient that disagrees with its difference.

    Attributes: ``method``, ``coordinate`` (name, flat index), ``analytic``, ``numeric`` and ``report``.
    """

    def __init__(self, method, coordinate, analytic, numeric, report):
        self.method, self.coordinate, self.analytic, self.numeric = method, coordinate, analytic, numeric
        self.report = report
        name, index = coordinate
        super().__init__(f"{name}[{index}]: gradient {analytic:.17g}, {method} difference {numeric:.17g}; {report}")


class EngineMismatch(Portable, AssertionError):
    """Two engines that disagree; ``what``: "spikes", "times", a readout or a parameter; ``comparison``: how far."""

    def __init__(self, what, message, comparison):
        self.what, self.comparison = what, comparison
        super().__init__(f"{what}: {message}; {comparison}")


@dataclass(frozen=True)
class Differences:
    """One method's numeric derivatives: coordinates (name, index), analytic and numeric values, relative errors.

    ``excluded``: the coordinates across whose step a spike, an order or a maximum changed at every step tried. They
    stand in no other field.
    """

    method: str
    coordinates: tuple
    analytic: np.ndarray
    numeric: np.ndarray
    errors: np.ndarray
    excluded: tuple = ()

    @property
    def n_coordinates(self):
        """Number of coordinates compared or excluded."""
        return len(self.coordinates) + len(self.excluded)

    @property
    def excluded_share(self):
        """The share of the coordinates that had to be excluded."""
        return len(self.excluded) / max(self.n_coordinates, 1)

    def quantile(self, q):
        """A quantile of the relative errors, 0 without any."""
        return float(np.quantile(self.errors, q)) if self.errors.size else 0.0

    def __str__(self):
        return (
            f"{self.method}: {self.n_coordinates} coordinates, {len(self.excluded)} excluded, relative error median "
            f"{self.quantile(0.5):.2e}, p99 {self.quantile(0.99):.2e}, max {self.quantile(1.0):.2e}"
        )


@dataclass(frozen=True)
class GradientReport:
    """What ``check_gradients`` found: the loss and one Differences per method (None for a method not asked for)."""

    value: float
    central: Differences | None = None
    complex: Differences | None = None

    def __str__(self):
        return "; ".join(str(part) for part in (self.central, self.complex) if part is not None)


@dataclass(frozen=True)
class Tolerances:
    """Largest relative errors that ``check_gradients`` accepts."""

    central_median: float = 1e-7
    central_p99: float = 1e-5
    complex_max: float = 1e-8


@dataclass(frozen=True)
class Comparison:
    """What ``compare_engines`` found.

    ``n_spikes``; ``time_error`` (ms, largest); ``gradient_error`` (relative, largest); ``grazing``: contacts counted by
    either engine; ``slope``: the smallest I - v_threshold at a spike, infinite without spikes.
    """

    n_spikes: int
    time_error: float = 0.0
    gradient_error: float = 0.0
    grazing: int = 0
    slope: float = np.inf

    @property
    def ill_conditioned(self):
        """True where a contact was so flat that the two engines may differ by rounding."""
        return self.grazing > 0 or self.slope < STEEP


class Case(NamedTuple):
    """A learning problem: everything that ``value_and_grad`` takes."""

    network: Network
    parameters: dict
    batch: dict
    labels: np.ndarray
    loss: object
    duration: float


def floors(gradients):
    """{name: the size below which no gradient of that array counts as smaller}, from FLOOR and GLOBAL_FLOOR."""
    largest = {name: float(np.max(np.abs(values), initial=0.0)) for name, values in gradients.items()}
    least = max(GLOBAL_FLOOR * max(largest.values(), default=0.0), np.finfo(float).tiny)
    return {name: max(FLOOR * scale, least) for name, scale in largest.items()}


def largest_of(gradients):
    """The largest absolute value in {name: gradient}, 0 without any; NaN or infinite ones excuse nothing: 0 too."""
    largest = max((float(np.max(np.abs(values), initial=0.0)) for values in gradients.values()), default=0.0)
    return largest if np.isfinite(largest) else 0.0


def relative_errors(one, other, floor, largest=0.0):
    """|one - other| / max(|one|, |other|, floor) elementwise; infinite where that is not a number.

    A difference within ROUNDINGS eps of ``largest``, the largest gradient of all, counts as ROUNDINGS eps at most.
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    difference, rounded = np.abs(one - other), ROUNDINGS * np.finfo(float).eps
    errors = difference / np.maximum(np.maximum(np.abs(one), np.abs(other)), floor)
    errors = np.where(difference <= rounded * largest, np.minimum(errors, rounded), errors)
    return np.where(np.isnan(errors), np.inf, errors)


def check_gradients(
    network, parameters, batch, labels, *, loss, duration, method="both", regularizers=(), n_coordinates=200,
    input_times=True, step=1e-5, seed=0, engine="compiled", tolerances=None,
):  # fmt: skip
    """Compare the gradient with central differences and complex-step derivatives; returns a GradientReport.

    Parameters as for ``value_and_grad``, and: ``method`` ("both", "central" or "complex"); ``n_coordinates`` (drawn
    with ``seed`` and spread over all trained arrays and, with ``input_times``, the input spikes; None: all); ``step``
    (of the central differences, retried at a tenth and a hundredth where spikes change); ``engine`` ("compiled" or
    "reference": whose gradient is checked); ``tolerances`` (a Tolerances).

    Central differences ask the loss itself, so they see a loss or an engine that is wrong. Complex steps run the
    reference engine in complex numbers and have no truncation error. A relative error is |a - b| / max(|a|, |b|,
    FLOOR times the largest gradient of the array, GLOBAL_FLOOR times the largest of all), and at most ROUNDINGS eps
    where |a - b| is no more than that of the largest; for central differences the denominator is also at least
    RESOLUTION times their rounding.

    Raises GradientMismatch naming the worst coordinate; InvalidInput for a loss with a pseudo-gradient
    (SpikeCountTarget), which no difference can confirm.
    """
    if method not in ("both", "central", "complex"):
        raise InvalidInput("method", None, method, '"both", "central" or "complex"')
    problem = _Problem(network, parameters, batch, labels, (loss, *regularizers), check_duration(duration), engine)
    gradients, recording = problem.analytic(input_times)
    coordinates = _choose(gradients, n_coordinates, np.random.default_rng(seed))
    central = problem.central(gradients, coordinates, step) if method != "complex" else None
    exact = problem.complex(gradients, coordinates) if method != "central" else None
    report = GradientReport(problem.value(recording), central, exact)
    _hold(report, Tolerances() if tolerances is None else tolerances)
    return report


def _hold(report, tolerances):
    """Raise GradientMismatch if a figure of the report exceeds its tolerance."""
    bars = [(report.central, 0.5, tolerances.central_median), (report.central, 0.99, tolerances.central_p99)]
    for part, q, bar in [*bars, (report.complex, 1.0, tolerances.complex_max)]:
        if part is None or not part.errors.size:
            continue
        errors = np.where(np.isfinite(part.errors), part.errors, np.inf)
        if np.quantile(errors, q, method="higher" if q == 0.5 else "linear") > bar:
            worst = int(np.argmax(errors))
            raise GradientMismatch(
                part.method, part.coordinates[worst], part.analytic[worst], part.numeric[worst], report
            )


def _choose(gradients, n_coordinates, rng):
    """(name, flat index) of ``n_coordinates`` entries, spread evenly over the arrays; all of them for None.

    Entries whose gradient is 0 come late, but not last: a missing gradient is an error too.
    """
    orders = {}
    for name, values in gradients.items():
        orders[name] = np.argsort(rng.random(values.size) + LATENESS_OF_ZEROS * (values.reshape(-1) == 0))
    longest = max((order.size for order in orders.values()), default=0)
    chosen = [(name, int(order[k])) for k in range(longest) for name, order in orders.items() if k < order.size]
    return tuple(chosen if n_coordinates is None else chosen[:n_coordinates])


class _Problem:
    """A loss as a function of its parameters and input times, in real and in complex numbers."""

    def __init__(self, network, parameters, batch, labels, losses, duration, engine):
        self.network, self.labels, self.losses, self.duration, self.engine = network, labels, losses, duration, engine
        self.parameters, self.inputs = network.check_parameters(parameters), check_batch(network, batch)
        asked = joint_probes(losses, network, duration)
        # a rate of None asks for no integral: the reference then gives the plain one
        self.probes = {name: Probe(probe.decay_rate or 0.0, probe.maximum) for name, probe in asked.items()}

    def analytic(self, input_times):
        """({name: gradient}, Recording); the gradient of an input population's times is called "<population>.times"."""
        _, gradients, times, recording = value_and_grad(
            self.network, self.parameters, self.inputs, self.labels, loss=self.losses[0], duration=self.duration,
            engine=self.engine, n_threads=1, regularizers=self.losses[1:], input_times=True, return_recording=True,
        )  # fmt: skip
        if evaluate(self.losses, recording, self.labels)[1].counts:
            remedy = "Leave SpikeCountTarget out: its pseudo-gradient is no derivative."
            raise InvalidInput("regularizers", None, "a loss on spike counts", "losses that have a gradient", remedy)
        if input_times:
            gradients |= {f"{name}.{TIMES}": values for name, values in times.items()}
        return gradients, recording

    def value(self, recording):
        return evaluate(self.losses, recording, self.labels)[0]

    def complex(self, gradients, coordinates):
        """Differences by complex steps in the reference engine."""
        numeric = np.array([self._complex_derivative(*coordinate) for coordinate in coordinates])
        return _differences("complex", gradients, coordinates, numeric)

    def _complex_derivative(self, name, index):
        parameters = {key: values.astype(complex) for key, values in self.parameters.items()}
        times = {key: batch.times.astype(complex) for key, batch in self.inputs.items()}
        moved = times[name.removesuffix(f".{TIMES}")] if name.endswith(f".{TIMES}") else parameters[name]
        moved.flat[index] += 1j * COMPLEX_STEP
        run = Run(self.duration, self.probes)
        simulations = []
        for sample in range(next(iter(self.inputs.values())).n_samples):
            given = {}
            for key, batch in self.inputs.items():
                chosen = slice(batch.offsets[sample], batch.offsets[sample + 1])
                counts = np.ones(batch.times.size) if batch.counts is None else batch.counts
                given[key] = (times[key][chosen], batch.units[chosen], counts[chosen])
            simulations.append(reference.Simulation(self.network, parameters, run, reference.COMPLEX).run(given))
        recording = reference.record(self.network, self.inputs, run, simulations)
        recording.outputs = spiking_outputs(self.network)
        return np.imag(self.value(recording)) / COMPLEX_STEP

    def central(self, gradients, coordinates, step):
        """Central differences of the loss (at a bound one-sided ones), with the detector of discontinuities."""
        here = self._evaluate(self.parameters, self.inputs, self.engine)
        kept, numeric, excluded = [], [], []
        for coordinate in coordinates:
            derivative = self._difference(coordinate, here, step)
            if derivative is None:
                excluded.append(coordinate)
            else:
                kept.append(coordinate)
                numeric.append(derivative)
        noise = RESOLUTION * np.finfo(float).eps * abs(here[0]) / step
        return _differences("central", gradients, tuple(kept), np.array(numeric), tuple(excluded), noise)

    def _difference(self, coordinate, here, step):
        """The derivative along a coordinate, or None where the loss is discontinuous at every step tried."""
        value, signature = here
        for factor in SHRINK:
            h = step * factor
            at_bound = self._base(coordinate) < h and not coordinate[0].endswith(".weight")
            sides = [self._moved(coordinate, k * h) for k in ((1, 2) if at_bound else (-1, 1))]
            if all(_same(signature, side, FASTEST_MAXIMUM * h) for _, side in sides):
                if at_bound:
                    return (4 * sides[0][0] - 3 * value - sides[1][0]) / (2 * h)
                return (sides[1][0] - sides[0][0]) / (2 * h)
        return None

    def _base(self, coordinate):
        name, index = coordinate
        if name.endswith(f".{TIMES}"):
            return self.inputs[name.removesuffix(f".{TIMES}")].times[index]
        return self.parameters[name].flat[index]

    def _moved(self, coordinate, shift):
        """(value, signature) with one coordinate moved."""
        name, index = coordinate
        if name.endswith(f".{TIMES}"):
            key = name.removesuffix(f".{TIMES}")
            inputs = self.inputs | {key: _with_time(self.inputs[key], index, shift)}
            return self._evaluate(self.parameters, inputs, self.engine)
        values = self.parameters[name].copy()
        values.flat[index] += shift
        return self._evaluate(self.parameters | {name: values}, self.inputs, self.engine)

    def _evaluate(self, parameters, inputs, engine):
        recording, _ = forward(self.network, parameters, inputs, self.duration, engine, 1, None, self.probes)
        return self.value(recording), signature(self.network, parameters, recording)


def _with_time(batch, index, shift):
    """The batch with one spike moved, sorted again."""
    times = batch.times.copy()
    times[index] += shift
    counts = np.ones(times.size) if batch.counts is None else batch.counts
    samples = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    return SpikeBatch.from_lists([(times[a:b], batch.units[a:b], counts[a:b]) for a, b in samples])


def _differences(method, gradients, coordinates, numeric, excluded=(), noise=0.0):
    """Compare numeric derivatives with the gradients; none counts as smaller than ``noise``."""
    floor = {name: max(value, noise) for name, value in floors(gradients).items()}
    analytic = np.array([gradients[name].flat[index] for name, index in coordinates])
    floor = np.array([floor[name] for name, _ in coordinates])
    errors = relative_errors(analytic, numeric, floor, largest_of(gradients))
    return Differences(method, coordinates, analytic, numeric, errors, excluded)


@dataclass(frozen=True)
class Signature:
    """What must stay the same for a loss to be differentiable between two parameter settings.

    ``order``: (sample, population, neuron) of all spikes in the order of their times; ``causes``: the number of
    arrivals at the neuron before each of these spikes; ``maximum_times`` {readout: (n_samples, n)}.
    """

    order: np.ndarray
    causes: np.ndarray
    maximum_times: dict = field(default_factory=dict)


def signature(network, parameters, recording):
    """Return the Signature of a simulation: its spikes in order, what caused them and where voltages peaked."""
    rows, causes = [np.zeros((0, 3), int)], [np.zeros(0, int)]
    populations = list(recording.slices)
    for sample in range(recording.n_samples):
        times, labels, before = [], [], []
        for rank, name in enumerate(sorted(populations)):
            when, units = recording.spikes(name, sample)
            times.append(when)
            labels.append(np.column_stack([np.full(units.size, sample), np.full(units.size, rank), units]))
            before.append(_arrivals_before(network, parameters, recording, (name, sample)))
        order = np.argsort(np.concatenate(times), kind="stable") if times else slice(0, 0)
        rows.append(np.concatenate(labels)[order])
        causes.append(np.concatenate(before)[order])
    maxima = {
        name: np.where(readout.maximum > 0, readout.maximum_time, -1.0)
        for name, readout in recording.readouts.items()
        if readout.maximum is not None
    }
    return Signature(np.concatenate(rows), np.concatenate(causes), maxima)


def _arrivals_before(network, parameters, recording, place):
    """For each spike of (population, sample): how many arrivals its neuron had received."""
    name, sample = place
    times, units = recording.spikes(name, sample)
    total = np.zeros(times.size, int)
    for connection in network.connections.values():
        if connection.post == name and times.size:
            sent, pre = recording.spikes(connection.pre, sample)
            delays = dense_delays(connection, parameters)
            arrivals = sent[:, None] + delays[pre][:, units]
            total += np.sum(arrivals <= times, axis=0)
    return total


def dense_delays(connection, parameters):
    """The delays of a connection as an (n_pre, n_post) matrix (ms), infinite where there is no synapse."""
    shape = (connection.n_pre, connection.n_post)
    delay = 0.0 if connection.delay is None else parameters[f"{connection.name}.delay"]
    if connection.delay is not None and connection.delay_per == "neuron":
        delay = delay[:, None]
    if connection.indptr is None:
        return np.broadcast_to(delay, shape)
    dense = np.full(shape, np.inf)
    rows = np.repeat(np.arange(connection.n_pre), np.diff(connection.indptr))
    per_synapse = connection.delay is not None and connection.delay_per == "synapse"
    dense[rows, connection.indices] = delay if per_synapse else np.broadcast_to(delay, shape)[rows, connection.indices]
    return dense


def _same(one, other, tolerance):
    """True where two signatures agree, and no maximum moved by more than ``tolerance`` ms."""
    return (
        np.array_equal(one.order, other.order)
        and np.array_equal(one.causes, other.causes)
        and all(np.all(np.abs(one.maximum_times[k] - other.maximum_times[k]) <= tolerance) for k in one.maximum_times)
    )


def compare_engines(
    network, parameters, batch, labels, *, loss, duration, regularizers=(), time_tolerance=1e-9,
    gradient_tolerance=1e-8, max_spikes=None,
):  # fmt: skip
    """Hold the compiled engine to the reference: same spikes in the same order, times and gradients within tolerance.

    Parameters as for ``value_and_grad``; ``time_tolerance`` in ms, ``gradient_tolerance`` relative as in
    ``check_gradients``. Returns a Comparison; raises EngineMismatch, whose ``comparison.ill_conditioned`` says whether
    a grazing contact excuses the difference.
    """
    results = {}
    for engine in ("compiled", "reference"):
        _, gradients, times, recording = value_and_grad(
            network, parameters, batch, labels, loss=loss, duration=duration, engine=engine, n_threads=1,
            max_spikes=max_spikes, regularizers=regularizers, input_times=True, return_recording=True,
        )  # fmt: skip
        results[engine] = gradients | {f"{name}.{TIMES}": values for name, values in times.items()}, recording
    (mine, compiled), (theirs, oracle) = results["compiled"], results["reference"]
    comparison = _compare_spikes(compiled, oracle, time_tolerance)
    floor, largest = floors(theirs), largest_of(theirs)
    errors = {
        name: relative_errors(mine[name], theirs[name], floor[name], largest) for name in theirs if theirs[name].size
    }
    if not errors:
        return comparison
    worst = max(errors, key=lambda name: errors[name].max())
    comparison = replace(comparison, gradient_error=float(errors[worst].max()))
    if comparison.gradient_error > gradient_tolerance:
        index = int(np.argmax(errors[worst]))
        pair = f"compiled {mine[worst].flat[index]:.17g}, reference {theirs[worst].flat[index]:.17g} at {index}"
        raise EngineMismatch(worst, pair, comparison)
    return comparison


def _compare_spikes(one, other, tolerance):
    """Comparison of the spikes of two recordings; raises EngineMismatch."""
    n_spikes, error = int(other.times.size), 0.0
    slope = float(min(np.min(one.slopes, initial=np.inf), np.min(other.slopes, initial=np.inf)))
    grazing = int(max(one.counters.grazing.sum(), other.counters.grazing.sum()))
    base = Comparison(n_spikes, grazing=grazing, slope=slope)
    if not np.array_equal(one.counters.after_end, other.counters.after_end):
        raise EngineMismatch("counters.after_end", f"{one.counters.after_end} against {other.counters.after_end}", base)
    for sample in range(other.n_samples):
        for name in other.slices:
            (t1, u1), (t2, u2) = one.spikes(name, sample), other.spikes(name, sample)
            if t1.size != t2.size:
                raise EngineMismatch("spikes", f"{name}, sample {sample}: {t1.size} against {t2.size}", base)
            differs = np.flatnonzero((u1 != u2) | (np.abs(t1 - t2) > tolerance))
            if differs.size:
                k = differs[0]
                text = f"{name}, sample {sample}, spike {k}: {u1[k]} at {t1[k]!r} against {u2[k]} at {t2[k]!r}"
                raise EngineMismatch("times" if u1[k] == u2[k] else "spikes", text, base)
            error = max(error, np.max(np.abs(t1 - t2), initial=0.0))
    for name, readout in other.readouts.items():
        _compare_readouts(name, one.readouts[name], readout, base)
    return Comparison(n_spikes, float(error), 0.0, grazing, slope)


def _compare_readouts(name, one, other, base):
    """Raise EngineMismatch unless integrals and maxima agree to 1e-9 of their size."""
    for key in ("integral", "maximum"):
        a, b = getattr(one, key), getattr(other, key)
        if b is not None and not np.allclose(a, b, rtol=1e-9, atol=1e-9 * np.max(np.abs(b), initial=0.0)):
            raise EngineMismatch(f"{name}.{key}", f"{a} against {b}", base)


TOPOLOGIES = ("feedforward", "recurrent", "deep", "skip", "loop")
LOSSES = ("mean", "exponential", "maximum", "first", "relative", "regression")


def random_case(seed, *, loss=None, topology=None, n_samples=2, duration=60.0, max_spikes=400):
    """Draw a small learning problem from a seed: a Case (network, parameters, batch, labels, loss, duration).

    Over the seeds, networks are recurrent, sparse, deep, with skip connections or loops, one or two inputs, shared or
    own time constants (equal ones and nearly equal ones included), per-synapse, axonal, shared, long or no delays, and
    inputs with ties and counts. ``loss`` (one of LOSSES) and ``topology`` (one of TOPOLOGIES) fix what else would be
    drawn; ``max_spikes`` bounds the spikes of a sample: weights are halved until they keep it.
    """
    rng = np.random.default_rng([seed, 2024])
    loss = LOSSES[rng.integers(len(LOSSES))] if loss is None else loss
    topology = TOPOLOGIES[rng.integers(len(TOPOLOGIES))] if topology is None else topology
    draw = _CaseDrawer(rng, grid=float(rng.choice([0.0, 0.0, 0.5, 1.0])))
    network, out = draw.network(topology, spiking=loss in ("first", "relative", "regression"))
    parameters = draw.parameters(network, seed)
    batch = {p.name: draw.batch(p, n_samples, duration) for p in network.populations.values() if p.kind == "input"}
    n_classes = network.populations[out].n
    labels = rng.integers(0, n_classes, n_samples)
    if loss == "regression":
        labels = rng.uniform(5.0, 40.0, (n_samples, n_classes))
    parameters = _calmed(network, parameters, batch, duration, max_spikes)
    return Case(network, parameters, batch, labels, _named_loss(loss, out), duration)


def _named_loss(name, population):
    return {
        "mean": MeanVoltage(population),
        "exponential": ExponentialMeanVoltage(population),
        "maximum": MaxVoltage(population),
        "first": FirstSpike(population=population),
        "relative": RelativeFirstSpike(population=population),
        "regression": SpikeTimeRegression(population),
    }[name]


def _calmed(network, parameters, batch, duration, max_spikes):
    """Halve all weights until no sample fires more than ``max_spikes`` spikes."""
    while True:
        try:
            forward(network, parameters, batch, duration, "compiled", 1, max_spikes, {})
            return parameters
        except EventStorm:
            parameters = {k: v * 0.5 if k.endswith(".weight") else v for k, v in parameters.items()}


class _CaseDrawer:
    """Draws the parts of a Case from one random stream; ``grid`` (ms) > 0 puts times and delays on a grid."""

    def __init__(self, rng, grid):
        self.rng, self.grid = rng, grid

    def network(self, topology, spiking):
        """(Network, name of the population that the loss reads)."""
        rng = self.rng
        network = Network(min_delay=float(rng.choice([0.5, 1.0])))
        inputs = [f"input{k}" for k in range(rng.integers(1, 3))]
        for name in inputs:
            network.add_input(name, int(rng.integers(1, 5)))
        hidden = ["hidden"] if topology in ("feedforward", "recurrent") else ["first", "second"]
        for name in hidden:
            self._neurons(network.add_lif, name, int(rng.integers(1, 6)), threshold=True)
        out = "out"
        self._neurons(network.add_lif if spiking else network.add_readout, out, 3, threshold=spiking)
        for name in inputs:
            self._connect(network, name, hidden[0], 1.2)
        chain = [*hidden, out]
        for pre, post in zip(chain[:-1], chain[1:], strict=True):
            self._connect(network, pre, post, 1.0)
        if topology == "recurrent":
            self._connect(network, "hidden", "hidden", 0.0, cycle=True)
        if topology == "loop":
            self._connect(network, "second", "first", 0.0, cycle=True)
        if topology == "skip":
            self._connect(network, inputs[-1], "second", 0.8)
            self._connect(network, "first", out, 0.3)
        return network, out

    def _neurons(self, add, name, n, threshold):
        rng = self.rng
        tau_mem = float(rng.uniform(4.0, 25.0))
        ratio = rng.choice([1.0, 1.0 + 1e-12, 1.0 + 1e-7, 1.001, 0.5, 0.25, 0.3, 1.7])
        settings = {"tau_mem": tau_mem, "tau_syn": tau_mem * float(ratio)}
        if threshold and rng.random() < 0.3:
            settings["v_threshold"] = float(rng.uniform(0.5, 1.5))
        for key in list(settings):
            if rng.random() < 0.3:
                settings[key] = settings[key] * rng.uniform(0.8, 1.25, n)
        train = [key for key in ("tau_mem", "tau_syn", "v_threshold")[: 3 if threshold else 2] if rng.random() < 0.6]
        for key in train:
            if rng.random() < 0.3 and key in settings and not np.ndim(settings[key]):
                settings[key] = Uniform(0.9 * settings[key], 1.1 * settings[key])
        add(name, n, **settings, train=train)

    def _connect(self, network, pre, post, mean, cycle=False):
        rng = self.rng
        shape = (network.populations[pre].n, network.populations[post].n)
        kind = rng.choice(["synapse", "synapse", "neuron", "connection", "none"])
        longest = float(rng.choice([5.0, 15.0, 15.0, 80.0]))
        delay = None if kind == "none" and not cycle else Uniform(network.min_delay if cycle else 0.0, longest)
        if delay is not None and rng.random() < 0.1:
            delay = Constant(2.0)
        mask = rng.random(shape) < 0.6 if rng.random() < 0.35 else None
        network.connect(
            pre, post, weight=Normal(mean, 1.5 if not cycle else 0.8), delay=delay, mask=mask,
            delay_per="synapse" if kind == "none" else str(kind),
        )  # fmt: skip

    def parameters(self, network, seed):
        """Drawn parameters; with a grid, delays lie on it."""
        parameters = network.initialize(int(seed))
        bounds = network.bounds()
        for name in parameters:
            if self.grid and name.endswith(".delay"):
                low = bounds[name][0]
                parameters[name] = np.maximum(np.round(parameters[name] / self.grid) * self.grid, low)
        return parameters

    def batch(self, population, n_samples, duration):
        """Random spikes, some of them at or after the end; with counts in a third of the cases."""
        rng, samples = self.rng, []
        with_counts, rate = rng.random() < 0.3, rng.uniform(2.0, 8.0)
        for _ in range(n_samples):
            n = int(rng.poisson(rate * population.n))
            times = rng.uniform(0.0, 1.05 * duration, n)
            times = np.round(times / self.grid) * self.grid if self.grid else times
            units = rng.integers(0, population.n, n)
            samples.append((times, units, rng.integers(1, 4, n).astype(float)) if with_counts else (times, units))
        return SpikeBatch.from_lists(samples)


def networks(max_neurons=4):
    """A hypothesis strategy for small networks: an input "in", LIF populations and a readout "out"."""
    from hypothesis import strategies as st

    settings = st.fixed_dictionaries(
        {"tau_mem": st.sampled_from([5.0, 10.0, 20.0]), "tau_syn": st.sampled_from([2.5, 5.0, 10.0])}
    )
    size, sharing = st.integers(1, max_neurons), st.sampled_from(["none", *DELAY_SHARING])

    @st.composite
    def build(draw):
        network = Network()
        network.add_input("in", draw(size))
        names = [f"hidden{k}" for k in range(draw(st.integers(1, 2)))]
        for name in names:
            network.add_lif(name, draw(size), **draw(settings), train=draw(st.booleans()))
        network.add_readout("out", draw(size), **draw(settings), train=draw(st.booleans()))
        chain = ["in", *names, "out"]
        for pre, post in zip(chain[:-1], chain[1:], strict=True):
            _draw_connection(draw, network, (pre, post), draw(sharing))
        for name in names:
            if draw(st.booleans()):
                _draw_connection(draw, network, (name, name), draw(st.sampled_from(DELAY_SHARING)))
        return network

    return build()


def _draw_connection(draw, network, ends, sharing):
    """Connect two populations with a drawn sparsity, and a delay that is shared as ``sharing`` says, or "none"."""
    from hypothesis import strategies as st

    pre, post = ends
    delay = None if sharing == "none" else Uniform(1.0, 10.0)
    mean = 0.0 if pre == post else 1.0
    sparsity = draw(st.sampled_from([None, None, 0.4]))
    delay_per = "synapse" if sharing == "none" else sharing
    network.connect(pre, post, weight=Normal(mean, 1.0), delay=delay, delay_per=delay_per, sparsity=sparsity)


def parameters_for(network):
    """A hypothesis strategy for parameters of a network, drawn from its initializers."""
    from hypothesis import strategies as st

    return st.integers(0, 2**32 - 1).map(network.initialize)


def batches_for(network, max_samples=2, max_spikes=12, duration=50.0):
    """A hypothesis strategy for {input population: SpikeBatch}: times on a grid of 1/8 ms, so that many are equal."""
    from hypothesis import strategies as st

    inputs = [p for p in network.populations.values() if p.kind == "input"]

    def sample(n):
        spike = st.tuples(st.integers(0, int(8 * duration)), st.integers(0, n - 1), st.integers(1, 3))
        return st.lists(spike, max_size=max_spikes)

    def batch(samples):
        return SpikeBatch.from_lists(
            [
                ([t / 8 for t, _, _ in spikes], [u for _, u, _ in spikes], [c for _, _, c in spikes])
                for spikes in samples
            ]
        )

    def batches(n_samples):
        return st.fixed_dictionaries(
            {p.name: st.lists(sample(p.n), min_size=n_samples, max_size=n_samples).map(batch) for p in inputs}
        )

    return st.integers(1, max_samples).flatmap(batches)
