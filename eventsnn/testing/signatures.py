"""The order of events of a simulation: a gradient holds as long as it stays the same."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..aliases import Floats, Integers, Milliseconds, Parameters
from ..network.network import Network
from ..network.parts import Connection
from ..spikes.recording import Recording


@dataclass(frozen=True)
class Signature:
    """What must stay the same for a loss to be differentiable between two parameter settings.

    ``order``: (sample, population, neuron) of all spikes in the order of their times; ``causes``: the number of
    arrivals at the neuron before each of these spikes; ``maximum_times`` {readout: (n_samples, n)}.
    """

    order: Integers
    causes: Integers
    maximum_times: dict[str, Floats] = field(default_factory=dict)


def signature(network: Network, parameters: Parameters, recording: Recording) -> Signature:
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
        # no time of its own has one that is where V starts
        name: np.where(readout.maximum_time > 0.0, readout.maximum_time, -1.0)
        for name, readout in recording.readouts.items()
        if readout.maximum is not None and readout.maximum_time is not None
    }
    return Signature(np.concatenate(rows), np.concatenate(causes), maxima)


def _arrivals_before(
    network: Network, parameters: Parameters, recording: Recording, place: tuple[str, int]
) -> Integers:
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


def dense_delays(connection: Connection, parameters: Parameters) -> Floats:
    """The delays of a connection as an (n_pre, n_post) matrix (ms), infinite where there is no synapse."""
    shape = (connection.n_pre, connection.n_post)
    delay: Any = 0.0 if connection.delay is None else parameters[f"{connection.name}.delay"]
    if connection.delay is not None and connection.delay_per == "neuron":
        delay = delay[:, None]
    if connection.indptr is None:
        return np.broadcast_to(delay, shape)
    dense = np.full(shape, np.inf)
    rows = np.repeat(np.arange(connection.n_pre), np.diff(connection.indptr))
    per_synapse = connection.delay is not None and connection.delay_per == "synapse"
    dense[rows, connection.indices] = delay if per_synapse else np.broadcast_to(delay, shape)[rows, connection.indices]
    return dense


def same(one: Signature, other: Signature, tolerance: Milliseconds) -> bool:
    """True where two signatures agree, and no maximum moved by more than ``tolerance`` ms."""
    return (
        np.array_equal(one.order, other.order)
        and np.array_equal(one.causes, other.causes)
        and all(np.all(np.abs(one.maximum_times[k] - other.maximum_times[k]) <= tolerance) for k in one.maximum_times)
    )
