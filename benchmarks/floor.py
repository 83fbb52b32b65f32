"""The floor: what an engine that queues synaptic events does at least, for the same network and the same spikes.

For every synaptic event it reads target, weight and delay and appends one 24-byte record to the bucket of the
arrival's millisecond. Nothing is done with the records. It tells fast machines and quiet hours from slow ones.
"""

import numba
import numpy as np

SYNAPTIC_EVENT = np.dtype([("time", np.float64), ("weight", np.float64), ("target", np.int32)], align=True)
SMALLEST_BUCKET = 1024
SPARE = 2  # buckets hold twice the events of a mean millisecond


@numba.njit(nogil=True, error_model="numpy")
def push(synapses, spikes, duration, tails, buckets):
    """Append a record for each arrival before ``duration`` (ms); returns how many there were.

    ``synapses``: row starts, targets, weights, delays, the rows sorted by delay; ``spikes``: sample offsets, rows,
    times.
    """
    starts, targets, weights, delays = synapses
    offsets, rows, times = spikes
    slots, room, pushed = tails.size - 1, buckets.shape[1] - 1, 0
    for sample in range(offsets.size - 1):
        tails[:] = 0
        now = 0
        for k in range(offsets[sample], offsets[sample + 1]):
            while now < np.int64(times[k]):
                tails[now & slots] = 0
                now += 1
            for s in range(starts[rows[k]], starts[rows[k] + 1]):
                arrival = times[k] + delays[s]
                if arrival >= duration:
                    break
                slot = np.int64(arrival) & slots
                event = buckets[slot, tails[slot] & room]
                event.time, event.weight, event.target = arrival, weights[s], targets[s]
                tails[slot] += 1
                pushed += 1
    return pushed


class Floor:
    """The push kernel with the synapses and the spikes of one recording of a task."""

    def __init__(self, task, recording):
        parts, first_row, starts = [], {}, [np.zeros(1, np.int64)]
        for c in task.network.connections.values():
            first_row[c.name] = sum(s.size for s in starts) - 1
            lengths, *columns = _rows(c, task.parameters)
            starts.append(starts[-1][-1] + np.cumsum(lengths))
            parts.append(columns)
        synapses = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.synapses = (np.concatenate(starts), *synapses)
        self.spikes = _spikes(task.network, recording, first_row)
        self.duration = task.duration
        longest = min(float(self.synapses[3].max(initial=0.0)), task.duration)
        n_slots = _power_of_two(int(longest) + 2)
        room = _power_of_two(max(SMALLEST_BUCKET, SPARE * self._events_per_millisecond(recording)))
        self.tails, self.buckets = np.zeros(n_slots, np.int64), np.zeros((n_slots, room), SYNAPTIC_EVENT)

    def _events_per_millisecond(self, recording):
        return int(recording.counters.events.max(initial=0) / self.duration)

    def __call__(self):
        """Push every synaptic event of the recording; returns how many there were."""
        return push(self.synapses, self.spikes, self.duration, self.tails, self.buckets)


def _power_of_two(n):
    return 1 << (n - 1).bit_length()


def _rows(connection, parameters):
    """(row lengths, targets, weights, delays) of a connection, each row sorted by delay."""
    c, weight = connection, parameters[f"{connection.name}.weight"].ravel()
    if c.indptr is None:
        lengths, targets = np.full(c.n_pre, c.n_post), np.tile(np.arange(c.n_post, dtype=np.int32), c.n_pre)
    else:
        lengths, targets = np.diff(c.indptr), c.indices
    if c.delay is None or c.delay_per == "connection":
        shared = 0.0 if c.delay is None else float(parameters[f"{c.name}.delay"])
        return lengths, targets, weight, np.full(weight.size, shared)
    delay = parameters[f"{c.name}.delay"]
    if c.delay_per == "neuron":
        return lengths, targets, weight, np.repeat(delay, lengths)
    delay = delay.ravel()
    order = np.lexsort((delay, np.repeat(np.arange(c.n_pre), lengths)))
    return lengths, targets[order], weight[order], delay[order]


def _spikes(network, recording, first_row):
    """(sample offsets, rows, times): an entry for each spike and row that it goes down, in order of time."""
    offsets, rows, times = [0], [], []
    for sample in range(recording.n_samples):
        found = [(first_row[c.name], *recording.spikes(c.pre, sample)) for c in network.connections.values()]
        at = np.concatenate([time for _, time, _ in found])
        order = np.argsort(at, kind="stable")
        rows.append(np.concatenate([first + units for first, _, units in found])[order].astype(np.int64))
        times.append(at[order])
        offsets.append(offsets[-1] + at.size)
    return np.array(offsets), np.concatenate(rows), np.concatenate(times)
