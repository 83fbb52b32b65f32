"""Checks for networks and losses of one's own: gradients against differences, engine against engine, random networks.

``check_gradients`` and ``compare_engines`` return a report, and raise with the worst coordinate where a bar is missed.
``networks``, ``parameters_for`` and ``batches_for`` are hypothesis strategies (hypothesis is imported when one is
called); ``random_case`` draws a whole learning problem from a seed with numpy alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Milliseconds, Parameters
from ..checks import answers_keywords, check_duration
from ..engines.checking import check_batch, check_network, forward, spiking_outputs
from ..engines.problem import Run
from ..engines.reference.arithmetic import COMPLEX
from ..engines.reference.simulation import Simulation, record
from ..errors import InvalidInput, Portable
from ..gradients import value_and_grad
from ..losses.together import evaluate, joint_probes
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Probe
from ..spikes.recording import Recording
from .errors import TIMES, floors, largest_of, relative_errors
from .signatures import Signature, same, signature

# Steps at which a difference is retried, relative to the first, when the spikes on its two sides do not match.
SHRINK = (1.0, 0.1, 0.01)
# A maximum whose time moves faster than this many ms per unit of the step has jumped to another peak.
FASTEST_MAXIMUM = 1e3
COMPLEX_STEP = 1e-30
# A difference of two losses L over 2 h is rounded at a few eps L/h: no gradient below this many times that is resolved.
RESOLUTION = 1e6
LATENESS_OF_ZEROS = 0.8
Coordinate: TypeAlias = tuple[str, int]
Inputs: TypeAlias = dict[str, SpikeBatch]


class GradientMismatch(Portable, AssertionError):
    """A gradient that disagrees with its difference.

    Attributes: ``method``, ``coordinate`` (name, flat index), ``analytic``, ``numeric`` and ``report``.
    """

    def __init__(
        self, method: str, coordinate: Coordinate, analytic: float, numeric: float, report: "GradientReport"
    ) -> None:
        self.method, self.coordinate, self.analytic, self.numeric = method, coordinate, analytic, numeric
        self.report = report
        name, index = coordinate
        super().__init__(f"{name}[{index}]: gradient {analytic:.17g}, {method} difference {numeric:.17g}; {report}")


@dataclass(frozen=True)
class Differences:
    """One method's numeric derivatives: coordinates (name, index), analytic and numeric values, relative errors.

    ``excluded``: the coordinates across whose step a spike, an order or a maximum changed at every step tried. They
    stand in no other field.
    """

    method: str
    coordinates: tuple[Coordinate, ...]
    analytic: Floats
    numeric: Floats
    errors: Floats
    excluded: tuple[Coordinate, ...] = ()

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates compared or excluded."""
        return len(self.coordinates) + len(self.excluded)

    @property
    def excluded_share(self) -> float:
        """The share of the coordinates that had to be excluded."""
        return len(self.excluded) / max(self.n_coordinates, 1)

    def quantile(self, q: float) -> float:
        """A quantile of the relative errors, 0 without any."""
        return float(np.quantile(self.errors, q)) if self.errors.size else 0.0

    def __str__(self) -> str:
        return (
            f"{self.method}: {self.n_coordinates} coordinates, {len(self.excluded)} excluded, relative error median "
            f"{self.quantile(0.5):.2e}, p99 {self.quantile(0.99):.2e}, max {self.quantile(1.0):.2e}"
        )


@dataclass(frozen=True)
class GradientReport:
    """What ``check_gradients`` found: the loss and one Differences per method (None for a method not asked for)."""

    value: float
    # "| Any", because who asked for a method reads it without looking
    central: Differences | Any = None
    complex: Differences | Any = None

    def __str__(self) -> str:
        return "; ".join(str(part) for part in (self.central, self.complex) if part is not None)


@dataclass(frozen=True)
class Tolerances:
    """Largest relative errors that ``check_gradients`` accepts."""

    central_median: float = 1e-7
    central_p99: float = 1e-5
    complex_max: float = 1e-8


@answers_keywords
def check_gradients(
    network: Network, parameters: Parameters, batch: SpikeBatch | dict[str, SpikeBatch], labels: npt.ArrayLike, *,
    loss: Any, duration: Milliseconds, method: str = "both", regularizers: Sequence[Any] = (),
    n_coordinates: int | None = 200, input_times: bool = True, step: float = 1e-5, seed: int = 0,
    engine: str = "compiled", tolerances: Tolerances | None = None,
) -> GradientReport:  # fmt: skip
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


def _hold(report: GradientReport, tolerances: Tolerances) -> None:
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


def _choose(
    gradients: Mapping[str, Array], n_coordinates: int | None, rng: np.random.Generator
) -> tuple[Coordinate, ...]:
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

    def __init__(
        self, network: Network, parameters: Parameters, batch: SpikeBatch | dict[str, SpikeBatch],
        labels: npt.ArrayLike, losses: tuple[Any, ...], duration: Milliseconds, engine: str,
    ) -> None:  # fmt: skip
        check_network(network)
        self.network, self.labels, self.losses, self.duration, self.engine = network, labels, losses, duration, engine
        self.parameters, self.inputs = network.check_parameters(parameters), check_batch(network, batch)
        asked = joint_probes(losses, network, duration)
        # a rate of None asks for no integral: the reference then gives the plain one
        self.probes = {name: Probe(probe.decay_rate or 0.0, probe.maximum) for name, probe in asked.items()}

    def analytic(self, input_times: bool) -> tuple[Parameters, Recording]:
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

    def value(self, recording: Recording) -> Any:
        return evaluate(self.losses, recording, self.labels)[0]

    def complex(self, gradients: Mapping[str, Array], coordinates: tuple[Coordinate, ...]) -> Differences:
        """Differences by complex steps in the reference engine."""
        numeric = np.array([self._complex_derivative(*coordinate) for coordinate in coordinates])
        return _differences("complex", gradients, coordinates, numeric)

    def _complex_derivative(self, name: str, index: int) -> float:
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
            simulations.append(Simulation(self.network, parameters, run, COMPLEX).run(given))
        recording = record(self.network, self.inputs, run, simulations)
        recording.outputs = spiking_outputs(self.network)
        return np.imag(self.value(recording)) / COMPLEX_STEP

    def central(self, gradients: Mapping[str, Array], coordinates: tuple[Coordinate, ...], step: float) -> Differences:
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

    def _difference(self, coordinate: Coordinate, here: tuple[float, Signature], step: float) -> float | None:
        """The derivative along a coordinate, or None where the loss is discontinuous at every step tried."""
        value, signature = here
        for factor in SHRINK:
            h = step * factor
            at_bound = self._base(coordinate) < h and coordinate[0].endswith((".delay", f".{TIMES}"))
            sides = [self._moved(coordinate, k * h) for k in ((1, 2) if at_bound else (-1, 1))]
            if all(same(signature, side, FASTEST_MAXIMUM * h) for _, side in sides):
                if at_bound:
                    return (4 * sides[0][0] - 3 * value - sides[1][0]) / (2 * h)
                return (sides[1][0] - sides[0][0]) / (2 * h)
        return None

    def _base(self, coordinate: Coordinate) -> float:
        name, index = coordinate
        if name.endswith(f".{TIMES}"):
            return self.inputs[name.removesuffix(f".{TIMES}")].times[index]
        return self.parameters[name].flat[index]

    def _moved(self, coordinate: Coordinate, shift: float) -> tuple[float, Signature]:
        """(value, signature) with one coordinate moved."""
        name, index = coordinate
        if name.endswith(f".{TIMES}"):
            key = name.removesuffix(f".{TIMES}")
            inputs = self.inputs | {key: _with_time(self.inputs[key], index, shift)}
            return self._evaluate(self.parameters, inputs, self.engine)
        values = self.parameters[name].copy()
        values.flat[index] += shift
        return self._evaluate(self.parameters | {name: values}, self.inputs, self.engine)

    def _evaluate(self, parameters: Parameters, inputs: Inputs, engine: str) -> tuple[float, Signature]:
        _, recording, _ = forward(self.network, parameters, inputs, self.duration, engine, 1, None, self.probes)
        return self.value(recording), signature(self.network, parameters, recording)


def _with_time(batch: SpikeBatch, index: int, shift: Milliseconds) -> SpikeBatch:
    """The batch with one spike moved, sorted again."""
    times = batch.times.copy()
    times[index] += shift
    counts = np.ones(times.size) if batch.counts is None else batch.counts
    samples = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    return SpikeBatch.from_lists([(times[a:b], batch.units[a:b], counts[a:b]) for a, b in samples])


def _differences(
    method: str, gradients: Mapping[str, Array], coordinates: tuple[Coordinate, ...], numeric: Floats,
    excluded: tuple[Coordinate, ...] = (), noise: float = 0.0,
) -> Differences:  # fmt: skip
    """Compare numeric derivatives with the gradients; none counts as smaller than ``noise``."""
    lowest = {name: max(value, noise) for name, value in floors(gradients).items()}
    analytic = np.array([gradients[name].flat[index] for name, index in coordinates])
    floor = np.array([lowest[name] for name, _ in coordinates])
    errors = relative_errors(analytic, numeric, floor, largest_of(gradients))
    return Differences(method, coordinates, analytic, numeric, errors, excluded)
