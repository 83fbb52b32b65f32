"""The compiled engine: runs the kernels shard by shard on threads and assembles recordings and gradients."""

import numpy as np

from .errors import EventStorm, Status
from .kernels.adjoint import backward_shard
from .kernels.forward import forward_shard
from .kernels.state import Jumps, Readings
from .layout import Layout
from .spikes import Counters, Readout, Recording
from .threads import map_in_order, shards


def forward(network, parameters, inputs, run):
    """Simulate a batch; ``inputs``: {population: SpikeBatch}. Returns (Recording, (Layout, merged inputs))."""
    layout = Layout(network, parameters, run)
    spikes = layout.gather_inputs(inputs)
    n_samples, n_state = spikes.offsets.size - 1, layout.net.tau_mem.size
    readings = Readings(*np.zeros((5, n_samples, n_state)))
    counters = np.zeros((n_samples, 5), np.int64)

    def simulate_shard(samples):
        limits = (run.max_spikes, run.capacity)
        return samples, forward_shard(layout.net, spikes, samples, limits, (readings, counters))

    tapes, ends = [], [np.zeros(1, np.int64)]
    for samples, (status, tape, shard_ends) in map_in_order(simulate_shard, shards(n_samples), run.n_threads):
        if status == Status.TOO_MANY_SPIKES:
            raise _storm(layout, samples, tape, shard_ends)
        tapes.append(tape)
        ends.append(ends[-1][-1] + shard_ends)
    recording = Recording(
        duration=run.duration,
        times=np.concatenate([np.zeros(0), *(tape.times for tape in tapes)]),
        neurons=np.concatenate([np.zeros(0, np.int32), *(tape.neurons for tape in tapes)]),
        slopes=np.concatenate([np.zeros(0), *(tape.slopes for tape in tapes)]),
        offsets=np.concatenate(ends),
        slices=layout.slices,
        inputs=inputs,
        readouts={name: _readout(layout, name, probe, readings) for name, probe in run.probes.items()},
        counters=Counters(*counters.T.copy()),
    )
    return recording, (layout, spikes)


def _readout(layout, name, probe, readings):
    """Voltage integrals from the weighted arrivals and the end state (docs/mathematics.md, section 4)."""
    chosen, net, rate = slice(*layout.slices[name]), layout.net, probe.decay_rate
    tau_mem, tau_syn, last = net.tau_mem[chosen], net.tau_syn[chosen], np.exp(-rate * net.duration)
    current = tau_syn * (readings.weighted[:, chosen] - last * readings.current[:, chosen]) / (1 + rate * tau_syn)
    integral = (current - tau_mem * last * readings.voltage[:, chosen]) / (1 + rate * tau_mem)
    maximum = (readings.maximum[:, chosen], readings.maximum_time[:, chosen]) if probe.maximum else (None, None)
    return Readout(integral, rate, *maximum)


def _storm(layout, samples, tape, ends):
    """The error for a sample over its budget: who fired most, and when it stopped."""
    failed = int(np.flatnonzero(ends)[-1])
    first = ends[failed - 1] if failed else 0
    neurons = tape.neurons[first:]
    busy, counts = np.unique(neurons, return_counts=True)
    busiest = []
    for k in np.argsort(-counts, kind="stable")[:5]:
        name = next(n for n, (start, stop) in layout.slices.items() if start <= busy[k] < stop)
        busiest.append((name, int(busy[k] - layout.slices[name][0]), int(counts[k])))
    return EventStorm(samples[0] + failed, float(tape.times[-1]), neurons.size, busiest)


def backward(network, recording, tape, cotangents, names):
    """Replay the tape backwards; ``tape`` is what ``forward`` returned beside the recording.

    Returns ({parameter: gradient} for the given names, {input population: dL/dt of each spike}).
    """
    (layout, spikes), run = tape, tape[0].run
    net = layout.net
    jumps = _jumps(layout, recording, cotangents)
    drive = np.zeros((recording.n_samples, net.tau_mem.size))
    for name, values in cotangents.integral.items():
        drive[:, slice(*layout.slices[name])] = values
    with_tails = any(name.endswith((".tau_mem", ".tau_syn")) for name in names)
    input_times = np.zeros(spikes.times.size)

    def accumulate(samples):
        gradients = layout.empty_gradients(input_times)
        backward_shard(net, spikes, samples, jumps, drive, with_tails, gradients)
        return gradients

    sums = None
    for gradients in map_in_order(accumulate, shards(recording.n_samples), run.n_threads):
        if sums is None:
            sums = gradients
            continue
        for total, part in zip(sums[:-1], gradients[:-1], strict=True):
            total += part
    if sums is None:
        sums = layout.empty_gradients(input_times)
    return layout.name_gradients(sums, names), layout.split_inputs(input_times, recording.inputs)


def _jumps(layout, recording, cotangents):
    """The tape as the adjoint sees it: with the loss's part at each spike, and the maxima of readouts as entries."""
    net, times, neurons = layout.net, recording.times, recording.neurons
    pulls = np.zeros(times.size) if cotangents.spike_times is None else cotangents.spike_times
    kicks, slopes, offsets = np.zeros(times.size), recording.slopes, recording.offsets
    sample = np.repeat(np.arange(recording.n_samples), np.diff(offsets))
    for name, values in cotangents.counts.items():
        start, stop = layout.slices[name]
        chosen = (neurons >= start) & (neurons < stop)
        j = neurons[chosen]
        kicks[chosen] -= values[sample[chosen], j - start] / (net.tau_mem[j] * net.threshold[j])
    if not cotangents.maximum:
        return Jumps(times, neurons, slopes, pulls, kicks, offsets)
    columns = [[times], [neurons], [slopes], [pulls], [kicks], [sample]]
    for name, values in cotangents.maximum.items():
        start, stop = layout.slices[name]
        at, j = np.nonzero(recording.readouts[name].maximum > 0)  # a maximum of 0 is the start, which nothing moves
        entries = (
            recording.readouts[name].maximum_time[at, j], (start + j).astype(np.int32), np.full(at.size, np.inf),
            np.zeros(at.size), -values[at, j] / net.tau_mem[start + j], at,
        )  # fmt: skip
        for column, entry in zip(columns, entries, strict=True):
            column.append(entry)
    times, neurons, slopes, pulls, kicks, sample = (np.concatenate(column) for column in columns)
    # a maximum reached at the very end belongs to the last window
    times = np.minimum(times, np.nextafter(net.duration, 0.0))
    order = np.lexsort((times, neurons, np.floor(times / net.h), sample))
    offsets = np.searchsorted(sample[order], np.arange(recording.n_samples + 1)).astype(np.int64)
    return Jumps(*(column[order] for column in (times, neurons, slopes, pulls, kicks)), offsets)
