"""Exact voltages of a recorded network, at any time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..aliases import Floats, Milliseconds, Parameters
from ..arrays import is_whole, plain_array
from ..checks import answers_keywords, check_given, nearest
from ..engines.reference.arithmetic import FLOAT
from ..engines.reference.model import Constants, constants_of
from ..errors import InvalidInput
from ..network.base import BaseNetwork
from ..network.network import Network
from ..network.parts import Connection
from ..spikes.batch import SpikeBatch
from ..spikes.recording import Recording

BEGINS = "network, parameters, recording, sample, population, neurons"


@answers_keywords
def psp(t: npt.ArrayLike, tau_mem: Milliseconds, tau_syn: Milliseconds) -> Floats:
    """Return the voltage (per unit weight) at ``t`` ms (array) after an arrival (docs/mathematics.md, 1), 0 before."""
    since = np.maximum(np.asarray(t, dtype=float), 0.0)
    slow, fast = max(tau_mem, tau_syn), min(tau_mem, tau_syn)
    x = since * (slow - fast) / (slow * fast)
    growth = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
    return since / tau_mem * np.exp(-since / slow) * growth


def arrivals(
    network: Network, parameters: Parameters, recording: Recording, sample: int, population: str, neuron: int
) -> tuple[Floats, Floats]:
    """Return ``(times, weights)`` of all that reaches one neuron in one sample: ms, and weight times count."""
    if recording.start > 0:
        allowed = "the Recording of a whole run: what was fired before moves the voltages too"
        raise InvalidInput("recording", None, f"a part from {recording.start} ms on", allowed, "simulate returns one.")
    parts, strengths = [np.zeros(0)], [np.zeros(0)]
    for c in network.connections.values():
        if c.post != population:
            continue
        fired, units = recording.spikes(c.pre, sample)
        counts = _counts(recording, c.pre, sample, fired.size)
        for synapse, pre in _synapses_onto(c, neuron):
            sent = units == pre
            delay = _delay(c, parameters, synapse, pre)
            parts.append(fired[sent] + delay)
            strengths.append(parameters[f"{c.name}.weight"].flat[synapse] * counts[sent])
    times, weights = np.concatenate(parts), np.concatenate(strengths)
    order = np.argsort(times, kind="stable")
    kept = order[times[order] < recording.duration]
    return times[kept], weights[kept]


def _counts(recording: Recording, name: str, sample: int, n: int) -> Floats:
    counts = recording.inputs[name][sample].counts if name in recording.inputs else None
    return np.ones(n) if counts is None else counts


def _synapses_onto(connection: Connection, neuron: int) -> list[tuple[int, int]]:
    """Pairs (synapse, presynaptic neuron) of a connection's synapses onto one neuron."""
    if connection.indptr is None:
        return [(pre * connection.n_post + neuron, pre) for pre in range(connection.n_pre)]
    synapses = np.flatnonzero(connection.indices == neuron)
    pres = np.searchsorted(connection.indptr, synapses, side="right") - 1
    return list(zip(synapses.tolist(), pres.tolist(), strict=True))


def _delay(connection: Connection, parameters: Parameters, synapse: int, pre: int) -> Milliseconds:
    if connection.delay is None:
        return 0.0
    place = {"synapse": synapse, "neuron": pre, "connection": 0}[connection.delay_per]
    return parameters[f"{connection.name}.delay"].flat[place]


@answers_keywords
def voltages(
    network: Network, parameters: Parameters, recording: Recording, sample: int, population: str,
    neurons: Sequence[int], times: npt.ArrayLike,
) -> Floats:  # fmt: skip
    """Return the exact voltages of ``neurons`` at ``times`` (ms): float64 (n_neurons, n_times), from the spikes alone.

    Each neuron is taken from arrival to arrival and from spike to spike by the equations of the reference engine
    (docs/mathematics.md, section 1). At a spike's own time the value is that after the reset. ``parameters``: those of
    the simulation; of others the voltages are those of no network. Raises InvalidInput for unknown neurons, for a
    recording of other populations, and for networks and recordings of a grid, which keeps its voltages.
    """
    for name, value, wanted in (("network", network, Network), ("recording", recording, Recording)):
        check_given(value, name, wanted, BEGINS, in_place_of(value))
    _check_same(network, recording)
    parameters, times = network.check_parameters(parameters), _as_times(times)
    wrong = np.flatnonzero(~((times >= 0) & (times <= recording.duration)))
    if wrong.size:
        raise InvalidInput(
            "times", int(wrong[0]), times[wrong[0]], f"0 to {recording.duration:g} ms, what was recorded"
        )
    check_neurons(network, population, neurons)
    found, columns = network.populations[population], network.values_of(population, parameters)
    fired, units = recording.spikes(population, sample) if found.fires else (np.zeros(0), np.zeros(0, int))
    traces = np.zeros((len(neurons), times.size))
    for trace, neuron in zip(traces, neurons, strict=True):
        constants = constants_of(found.kind, {key: values[neuron] for key, values in columns.items()})
        received = arrivals(network, parameters, recording, sample, population, neuron)
        trace[:] = _voltages(constants, received, fired[units == neuron], times)
    return traces


def _as_times(times: npt.ArrayLike) -> Floats:
    found = plain_array(times, "times")
    if found.ndim > 1 or (found.size and found.dtype.kind not in "fiu"):
        raise InvalidInput("times", None, (found.dtype, found.shape), "a list of times in ms")
    return np.atleast_1d(found).astype(float)


def in_place_of(value: object) -> str:
    """What to write where a network or a recording is wanted, and this was given; nothing where nothing is known."""
    if type(value).__name__.startswith("Grid"):
        return "The recording of a grid keeps voltages and potentials."
    if isinstance(value, SpikeBatch):
        return "simulate(network, parameters, spikes, duration=...) returns the Recording of a SpikeBatch."
    return ""


def _check_same(network: Network, recording: Recording) -> None:
    """Refuse the recording of a network with other populations."""
    recorded = {name: stop - start for name, (start, stop) in recording.slices.items()}
    own = {population.name: population.n for population in network.populations.values() if population.kind != "input"}
    if recorded != own or set(recording.inputs) != set(network.inputs):
        remedy = "Pass the network that was simulated."
        found, allowed = (
            f"of {recorded} with inputs {[*recording.inputs]}",
            f"one of {own} with inputs {network.inputs}",
        )
        raise InvalidInput("recording", None, found, allowed, remedy)


def _voltages(constants: Constants, received: tuple[Floats, Floats], fired: Floats, times: Floats) -> Floats:
    """V of one neuron at ``times``; ``received``: (times, charges) of arrivals, which act before a spike of then."""
    kinds = np.concatenate([np.zeros(received[0].size, int), np.ones(fired.size, int)])
    moments, charges = np.concatenate([received[0], fired]), np.concatenate([received[1], np.zeros(fired.size)])
    states, since = [constants.first_state()], [0.0]
    for event in np.lexsort((kinds, moments)).tolist():
        state = constants.flow(states[-1], moments[event] - since[-1], FLOAT)
        is_spike = kinds[event] == 1
        states.append(constants.fire(state)[0] if is_spike else constants.receive(state, charges[event]))
        since.append(moments[event])
    last = np.searchsorted(since, times, side="right") - 1
    flows = (constants.flow(states[k], t - since[k], FLOAT) for k, t in zip(last.tolist(), times.tolist(), strict=True))
    return np.array([constants.voltage(state) for state in flows]) + constants.rest


def check_neurons(network: BaseNetwork, population: str, neurons: Sequence[int]) -> None:
    """Refuse a population that is not there, or has no voltages, and what is no list of its neurons."""
    known = [p.name for p in network.populations.values() if p.kind != "input"]
    if population not in known:
        raise InvalidInput("population", None, population, f"one of {known}", nearest(str(population), known))
    n = network.populations[population].n
    if isinstance(neurons, str) or not (np.iterable(neurons) and hasattr(neurons, "__len__")):
        remedy = f"[{neurons}] for one." if is_whole(neurons) or isinstance(neurons, str) else ""
        raise InvalidInput("neurons", None, neurons, f"a list of neurons from 0 to {n - 1}", remedy)
    for index, neuron in enumerate(neurons):
        if not is_whole(neuron) or not 0 <= neuron < n:
            raise InvalidInput(
                "neurons", index, neuron, f"whole numbers from 0 to {n - 1}, the neurons of {population!r}"
            )
