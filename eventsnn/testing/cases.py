"""Random networks with data and a loss, for tests over many of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..aliases import Array, Floats, Milliseconds, Parameters
from ..checks import answers_keywords
from ..engines.checking import forward
from ..errors import EventStorm
from ..losses.spike_times import FirstSpike, RelativeFirstSpike, SpikeTimeRegression
from ..losses.voltage import ExponentialMeanVoltage, MaxVoltage, MeanVoltage
from ..network.initializers import Constant, Normal, Uniform
from ..network.network import Network
from ..network.parts import Population
from ..spikes.batch import SpikeBatch


class Case(NamedTuple):
    """A learning problem: everything that ``value_and_grad`` takes."""

    network: Network
    parameters: Parameters
    batch: dict[str, SpikeBatch]
    labels: Array
    loss: Any
    duration: Milliseconds


TOPOLOGIES = ("feedforward", "recurrent", "deep", "skip", "loop")
LOSSES = ("mean", "exponential", "maximum", "first", "relative", "regression")
# As what share of the threshold (1 for a readout) v_reset and v_rest are drawn, and a bias as what share of the rise
# from rest to it: none of them ends near a threshold, whatever else is drawn.
SHARES = {"v_reset": (-0.6, 0.8), "v_rest": (-0.4, 0.6), "bias": (-0.5, 0.5)}
# In half of the cases most of them are far from zero: resets that take many arrivals to come back from, neurons that
# rest low, or a tenth of the way below their thresholds. Lower ones would leave few spikes to be fired.
FAR = {"v_reset": (-2.0, -0.6), "v_rest": (-1.5, -0.4), "bias": (0.5, 0.9)}
FIRES_BY_ITSELF = (1.2, 1.8)
# The stream of these; with this number the cases that tests hold from before are without them, as they were.
VOLTAGES = 2104
# The stream that says which cases are far from zero; the others are what they were before there were such.
DISTANCE = 2105


@answers_keywords
def random_case(
    seed: int, *, loss: str | None = None, topology: str | None = None, n_samples: int = 2,
    duration: Milliseconds = 60.0, max_spikes: int = 400,
) -> Case:  # fmt: skip
    """Draw a small learning problem from a seed: a Case (network, parameters, batch, labels, loss, duration).

    Over the seeds, networks are recurrent, sparse, deep, with skip connections or loops, one or two inputs, shared or
    own time constants (equal ones and nearly equal ones included), shared or own resets, rests and biases, near zero
    or far from it, or none, neurons that fire by themselves, neurons whose reset is above another's threshold,
    per-synapse, axonal, shared, long or no delays, and inputs with ties and counts. ``loss`` (one of LOSSES) and
    ``topology`` (one of TOPOLOGIES) fix what else would be drawn; ``max_spikes`` bounds the spikes of a sample: weights
    and biases are halved until they keep it.
    """
    rng = np.random.default_rng([seed, 2024])
    loss = LOSSES[rng.integers(len(LOSSES))] if loss is None else loss
    topology = TOPOLOGIES[rng.integers(len(TOPOLOGIES))] if topology is None else topology
    voltages, far = np.random.default_rng([seed, VOLTAGES]), np.random.default_rng([seed, DISTANCE]).random() < 0.5
    draw = _CaseDrawer(rng, voltages, bool(far), grid=float(rng.choice([0.0, 0.0, 0.5, 1.0])))
    network, out = draw.network(topology, spiking=loss in ("first", "relative", "regression"))
    parameters = draw.parameters(network, seed)
    batch = {p.name: draw.batch(p, n_samples, duration) for p in network.populations.values() if p.kind == "input"}
    n_classes = network.populations[out].n
    labels: Array = rng.integers(0, n_classes, n_samples)
    if loss == "regression":
        labels = rng.uniform(5.0, 40.0, (n_samples, n_classes))
    parameters = _calmed(network, parameters, batch, duration, max_spikes)
    return Case(network, parameters, batch, labels, _named_loss(loss, out), duration)


def _named_loss(name: str, population: str) -> Any:
    return {
        "mean": MeanVoltage(population),
        "exponential": ExponentialMeanVoltage(population),
        "maximum": MaxVoltage(population),
        "first": FirstSpike(population=population),
        "relative": RelativeFirstSpike(population=population),
        "regression": SpikeTimeRegression(population),
    }[name]


def _calmed(
    network: Network, parameters: Parameters, batch: dict[str, SpikeBatch], duration: Milliseconds, max_spikes: int
) -> Parameters:  # fmt: skip
    """Halve all weights and biases until no sample fires more than ``max_spikes`` spikes."""
    while True:
        try:
            forward(network, parameters, batch, duration, "compiled", 1, max_spikes, {})
            return parameters
        except EventStorm:
            parameters = {k: v * 0.5 if k.endswith((".weight", ".bias")) else v for k, v in parameters.items()}


class _CaseDrawer:
    """Draws the parts of a Case from two random streams; ``grid`` (ms) > 0 puts times and delays on a grid.

    ``voltages``: the stream of v_reset, v_rest and bias; a case that has none of them owes nothing to it. ``far``:
    most of them, and of the zeros of neurons, are far from zero.
    """

    def __init__(self, rng: np.random.Generator, voltages: np.random.Generator, far: bool, grid: Milliseconds) -> None:
        self.rng, self.voltages, self.far, self.grid = rng, voltages, far, grid
        self.plain = voltages.random() < 0.3

    def network(self, topology: str, spiking: bool) -> tuple[Network, str]:
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

    def _neurons(self, add: Callable[..., None], name: str, n: int, threshold: bool) -> None:
        rng = self.rng
        tau_mem = float(rng.uniform(4.0, 25.0))
        ratio = rng.choice([1.0, 1.0 + 1e-12, 1.0 + 1e-7, 1.001, 0.5, 0.25, 0.3, 1.7])
        settings: dict[str, Any] = {"tau_mem": tau_mem, "tau_syn": tau_mem * float(ratio)}
        if threshold and rng.random() < 0.3:
            settings["v_threshold"] = float(rng.uniform(0.5, 1.5))
        for key in list(settings):
            if rng.random() < 0.3:
                settings[key] = settings[key] * rng.uniform(0.8, 1.25, n)
        train = [key for key in ("tau_mem", "tau_syn", "v_threshold")[: 3 if threshold else 2] if rng.random() < 0.6]
        thresholds = np.broadcast_to(settings.get("v_threshold", 1.0), n)
        for key in train:
            if rng.random() < 0.3 and key in settings and not np.ndim(settings[key]):
                settings[key] = Uniform(0.9 * settings[key], 1.1 * settings[key])
        if self.plain:
            add(name, n, **settings, train=train)
            return
        voltages, more = self._voltages(thresholds, fires=threshold)
        if threshold and self.voltages.random() < 0.25 and not isinstance(settings.get("v_threshold"), Uniform):
            # nothing depends on where the zero of a neuron's voltages is
            reach = 3.0 if self.far else 1.0
            zeros, given = self.voltages.uniform(-reach, reach, n), {"v_threshold": thresholds, **voltages}
            voltages |= {key: zeros + given.get(key, 0.0) for key in ("v_threshold", "v_reset", "v_rest")}
        add(name, n, **(settings | voltages), train=[*train, *more])

    def _voltages(self, thresholds: Floats, fires: bool) -> tuple[dict[str, Any], list[str]]:
        """({constant: its value} of v_reset, v_rest and bias, which of them are trained); half of them are given."""
        rng = self.voltages
        found: dict[str, Any] = {}
        train: list[str] = []
        for key in ("v_reset", "v_rest", "bias") if fires else ("v_rest", "bias"):
            given = rng.random() < 0.5
            # some are trained from what they are if nothing is said
            trained = rng.random() < (0.7 if given else 0.1 * fires)
            train += [key] * trained
            if not given:
                continue
            shares = (FAR if self.far and rng.random() < 0.7 else SHARES)[key]
            rise = thresholds - found.get("v_rest", 0.0) if key == "bias" else thresholds
            if key == "bias" and fires and rng.random() < 0.3:
                # different, so that no two fire at once, and a parameter, so that it can be halved
                values = rng.uniform(*FIRES_BY_ITSELF, rise.size) * rise
                found[key] = values if trained else Uniform(*(share * rise.max() for share in FIRES_BY_ITSELF))
            elif rng.random() < 0.5 or (not fires and (trained or key == "bias")):
                # softmax sees nothing that all classes share: its gradients would be 0, and their rounding all there is
                found[key] = rng.uniform(*shares, rise.size) * rise
            else:
                found[key] = float(rng.uniform(*shares) * rise.min())
        return found, train

    def _connect(self, network: Network, pre: str, post: str, mean: float, cycle: bool = False) -> None:
        rng = self.rng
        shape = (network.populations[pre].n, network.populations[post].n)
        kind = rng.choice(["synapse", "synapse", "neuron", "connection", "none"])
        longest = float(rng.choice([5.0, 15.0, 15.0, 80.0]))
        delay: Uniform | Constant | None
        delay = None if kind == "none" and not cycle else Uniform(network.min_delay if cycle else 0.0, longest)
        if delay is not None and rng.random() < 0.1:
            delay = Constant(2.0)
        mask = rng.random(shape) < 0.6 if rng.random() < 0.35 else None
        network.connect(
            pre, post, weight=Normal(mean, 1.5 if not cycle else 0.8), delay=delay, mask=mask,
            delay_per="synapse" if kind == "none" else str(kind),
        )  # fmt: skip

    def parameters(self, network: Network, seed: int) -> Parameters:
        """Drawn parameters; with a grid, delays lie on it."""
        parameters = network.initialize(int(seed))
        bounds = network.bounds()
        for name in parameters:
            if self.grid and name.endswith(".delay"):
                low = bounds[name][0]
                parameters[name] = np.maximum(np.round(parameters[name] / self.grid) * self.grid, low)
        return parameters

    def batch(self, population: Population, n_samples: int, duration: Milliseconds) -> SpikeBatch:
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
