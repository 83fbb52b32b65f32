"""From a network trained on a grid to one of events, which simulate and Trainer run and train further.

What carries over as it is: weights but for a factor, real-valued delays, thresholds, masks, the decay of voltages and
currents per step, the statistics of batch normalisation. What does not is in docs/surrogates.md: a step of the grid is
a moment of continuous time only as the steps become short.
"""

import warnings
from dataclasses import replace

import numpy as np

from ..aliases import Array, Floats, Milliseconds, Parameters
from ..checks import answers_keywords, check_given, positive
from ..data.dataset import Dataset
from ..errors import InvalidInput
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from .binning import n_steps
from .layers import BATCH_NORM_EPSILON
from .network import GridConnection, GridNetwork, GridPopulation


@answers_keywords
def to_events(
    network: GridNetwork, parameters: Parameters, *, tau_syn: Milliseconds | None = None
) -> tuple[Network, Parameters]:
    """Return ``(Network, parameters)``: the event-driven network that a GridNetwork stands for.

    ``tau_syn`` (ms, > 0): for populations without one, whose input a grid adds to the voltage at once. Events need
    one; the shorter it is, the closer they come. Weights are such that a spike brings the same area under the voltage.
    A bias, and what batch normalisation adds, become the ``bias`` of the neurons, which is trained. Names, and what is
    trained of weights and delays, stay; trained delays are not rounded.

    Raises InvalidInput without ``tau_syn`` where it is needed, and where tau_mem is a single step (alpha = 0).
    """
    check_given(network, "network", GridNetwork, "network, parameters")
    bridge = _Bridge(network, network.check_parameters(parameters), tau_syn)
    return bridge.events, bridge.events.check_parameters(bridge.found)


class _Bridge:
    """``events`` and the parameters ``found`` for it."""

    found: Parameters

    def __init__(self, network: GridNetwork, parameters: Parameters, tau_syn: Milliseconds | None) -> None:
        self._network, self._parameters, self._tau_syn = network, parameters, tau_syn
        self.events, self.found = Network(min_delay=network.dt), {}
        for p in network.populations.values():
            if p.kind == "input":
                self.events.add_input(p.name, p.n)
            else:
                self._add(p)

    def _add(self, p: GridPopulation) -> None:
        dt, (tau_mem, tau_syn, scale) = self._network.dt, self._constants(p)
        settings = {"tau_mem": -dt / np.log1p(-dt / tau_mem), "tau_syn": tau_syn}
        gain, constant = self._normalisation(p)
        biased = p.bias is not None or p.batch_norm
        if biased:
            # what is added in each step brings the voltage to this in the end
            settings["bias"] = constant * scale * tau_syn / dt
        train = ("bias",) if biased else ()
        if p.kind == "lif":
            self.events.add_lif(p.name, p.n, v_threshold=p.v_threshold, train=train, **settings)
        else:
            self.events.add_readout(p.name, p.n, train=train, **settings)
        if biased:
            self.found[f"{p.name}.bias"] = settings["bias"]
        for c in self._network.incoming(p.name):
            self._connect(c, gain * scale)
        if (back := self._network.recurrence(p.name)) is not None:
            self._connect(back, scale)

    def _constants(self, p: GridPopulation) -> tuple[Floats, Floats, Floats]:
        """(tau_mem on the grid, tau_syn, what a weight of the grid is worth), each (n,)."""
        dt, tau_mem = self._network.dt, self._network.value_of(p.name, "tau_mem", self._parameters)
        if np.any(bad := tau_mem <= dt):
            index = int(np.argmax(bad))
            allowed = f"time constants > dt = {dt:g} ms: with one of a single step no voltage lasts"
            raise InvalidInput(f"{p.name}.tau_mem", index, float(tau_mem[index]), allowed)
        if "tau_syn" in p.settings:
            tau_syn = self._network.value_of(p.name, "tau_syn", self._parameters)
            return tau_mem, tau_syn, tau_mem / tau_syn / -np.expm1(-dt / tau_syn)
        allowed = f"a finite number > 0 (ms), because {p.name!r} has no synaptic time constant"
        tau_syn = np.full(p.n, positive(self._tau_syn, "tau_syn", allowed))
        return tau_mem, tau_syn, tau_mem / tau_syn

    def _normalisation(self, p: GridPopulation) -> tuple[Floats, Floats]:
        """(factor on the input, what is added to it in each step) of bias and batch normalisation, each (n,)."""
        of = lambda key: self._parameters[f"{p.name}.{key}"]  # noqa: E731
        constant = np.zeros(p.n) if p.bias is None else of("bias")
        if not p.batch_norm:
            return np.ones(p.n), constant
        gain = of("gain") / np.sqrt(of("running_variance") + BATCH_NORM_EPSILON)
        return gain, of("offset") + gain * (constant - of("running_mean"))

    def _connect(self, c: GridConnection, factor: Floats) -> None:
        """Each of several synapses is a connection of its own."""
        weights = self._parameters[f"{c.name}.weight"].reshape(c.count, c.n_pre, c.n_post) * factor
        delays = None if c.delay is None else self._parameters[f"{c.name}.delay"]
        if delays is not None and c.spread is None:
            delays = self._network.dt * np.rint(delays / self._network.dt)  # as the grid always has them
        for number, weight in enumerate(weights):
            delay = delays[number] if delays is not None and c.count > 1 else delays
            if c.recurrent:
                # a spike that comes back is a step late, whatever its delay
                delay = self._network.dt + (0.0 if delay is None else delay)
            name = c.name if number == 0 else f"{c.name} ({number + 1})"
            self._synapses(c, name, weight, delay)

    def _synapses(self, c: GridConnection, name: str, weight: Array, delay: Array | float | None) -> None:
        per = c.delay_per if c.delay is not None else "connection"
        if c.mask is not None:
            weight = weight[c.mask]
            delay = delay[c.mask] if isinstance(delay, np.ndarray) and delay.ndim == 2 else delay
        self.events.connect(
            c.pre, c.post, weight=0.0, delay=None if delay is None else self._network.dt, delay_per=per, mask=c.mask,
            train=tuple(key for key in c.train if key == "weight" or delay is not None), name=name,
        )  # fmt: skip
        self.found[f"{name}.weight"] = weight
        if delay is not None:
            self.found[f"{name}.delay"] = np.asarray(delay, dtype=float)


def with_clock(dataset: Dataset, network: GridNetwork) -> Dataset:
    """Return a Dataset with one more channel, which fires in each step of a GridNetwork: at 0, dt, 2 dt, ... ms.

    Networks that ``to_events`` of release 0.1.0 made need it; since then the neurons have their bias, and data go in as
    they are. Raises InvalidInput unless the data have as many channels as the input, after which the clock comes.
    """
    text = "networks of to_events have a bias in place of the clock: give the data as they are; with_clock goes in 1.0"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    if not isinstance(network, GridNetwork):
        raise InvalidInput("network", None, type(network).__name__, "the GridNetwork that to_events was given")
    if not isinstance(dataset, Dataset):
        raise InvalidInput("dataset", None, type(dataset).__name__, "a Dataset, which says how long its samples are")
    for p in network.populations.values():
        if p.kind == "input" and p.n != dataset.n_units:
            remedy = f"add_input({p.name!r}, {dataset.n_units}) makes a network for these data."
            if dataset.n_units == p.n + 1:
                remedy = "Perhaps they have their clock already: it is added once."
            raise InvalidInput("dataset.n_units", None, dataset.n_units, f"{p.n}, as input {p.name!r} has", remedy)
    ticks = network.dt * np.arange(n_steps(dataset.duration, network.dt))
    trains = []
    for sample in range(len(dataset)):
        times, units, counts = dataset.spikes.arrays(sample)
        train = [np.append(times, ticks), np.append(units, np.full(ticks.size, dataset.n_units))]
        trains.append((*train, np.append(counts, np.ones(ticks.size))) if counts is not None else tuple(train))
    return replace(dataset, spikes=SpikeBatch.from_lists(trains), n_units=dataset.n_units + 1)
