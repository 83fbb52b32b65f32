"""The order of events of a simulation: a gradient holds as long as it stays the same."""

from dataclasses import dataclass, field

import numpy as np


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


def same(one, other, tolerance):
    """True where two signatures agree, and no maximum moved by more than ``tolerance`` ms."""
    return (
        np.array_equal(one.order, other.order)
        and np.array_equal(one.causes, other.causes)
        and all(np.all(np.abs(one.maximum_times[k] - other.maximum_times[k]) <= tolerance) for k in one.maximum_times)
    )
