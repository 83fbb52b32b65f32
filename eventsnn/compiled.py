"""The compiled engine: runs the kernels shard by shard on threads and assembles recordings and gradients."""

import math

import numpy as np

from .buffers import give, take
from .errors import EventStorm
from .kernels.adjoint import backward_shard, make_adjoint, most_in_flight
from .kernels.forward import N_BLOCKS, N_SPIKES, WINDOW, forward_shard, make_workspace
from .kernels.queue import FRESH, make_queue
from .kernels.simd import BLOCK
from .kernels.state import (
    AFTER_END,
    INTEGRAL,
    JUMP,
    MAXIMUM,
    MAXIMUM_TIME,
    N_READINGS,
    NEVER,
    SHARE,
    SPIKE,
    Jumps,
    Status,
)
from .layout import Layout
from .sharding import N_SHARDS, Share, shards
from .spikes import Counters, Readout, Recording, SpikeBatch
from .threads import Stop, StoppedBySignals, in_order

# Fewer input spikes than this are not worth a call of their own.
SPIKES_WORTH_A_CALL = 256
# A maximum's time is known to half a rounding of the larger of itself and the window length: this many of them from it,
# an arrival is before or after it for certain.
NUDGE = 2 * np.finfo(float).eps


def forward(network, parameters, inputs, run):
    """Simulate a batch; ``inputs``: {population: SpikeBatch}. Returns (Recording, (Layout, merged inputs))."""
    layout = Layout(network, parameters, run)
    spikes = layout.gather_inputs(inputs)
    n_samples = spikes.offsets.size - 1
    readings = np.zeros((n_samples, N_READINGS, layout.net.neurons.size))
    counters = np.zeros((n_samples, 5), np.int64)
    # samples do not touch each other, so any ranges will do: on one thread none so small that the call of a kernel
    # costs more than it does
    worth = max(1, spikes.events.size // SPIKES_WORTH_A_CALL) if run.n_threads == 1 else N_SHARDS
    ranges = shards(n_samples, min(N_SHARDS, worth))
    outputs, span = (readings, counters), (0.0, run.duration)
    tapes, offsets = [np.zeros(0, SPIKE)], np.zeros(n_samples + 1, np.int64)

    def run_shard(samples, stop):
        return _run_shard(layout, spikes, samples, outputs, stop)

    if not forward_shard.overloads:
        # a thread could not be interrupted while it compiles
        buffers = _looking_at(Stop.at(NEVER), _take_buffers(layout)[1])
        forward_shard(layout.net, spikes, (0, 0, run.max_spikes, 0), buffers, outputs, offsets)
    with in_order(run_shard, ranges, run.n_threads) as shard_tapes:
        for (first, last), (tape, ends) in zip(ranges, shard_tapes, strict=True):
            offsets[first + 1 : last + 1] = offsets[first] + ends
            tapes.append(tape)
    tape = np.concatenate(tapes)
    recording = _recording(layout, inputs, (tape, offsets), outputs, run.probes, span)
    return recording, (layout, spikes)


def _run_shard(layout, spikes, samples, outputs, stop):
    """Simulate one shard, enlarging buffers as often as it takes; returns (tape, spikes after each sample)."""
    net, run = layout.net, layout.run
    key, buffers = _take_buffers(layout)
    buffers, (first, last) = _looking_at(stop, buffers), samples
    ends, sample = np.zeros(spikes.offsets.size, np.int64), first
    while sample < last:
        chosen = (sample, last, run.max_spikes, net.n_windows)
        status, sample = forward_shard(net, spikes, chosen, buffers, outputs, ends)
        if status == Status.TOO_MANY_SPIKES:
            before = ends[sample - 1] if sample > first else 0
            raise _storm(layout, sample, buffers[1].tape[before : buffers[1].size[N_SPIKES]])
        if status != Status.OK:
            for output in outputs:
                output[sample] = 0
            buffers = _fit_to_go_on(buffers, status, stop)
    tape = buffers[1].tape[: buffers[1].size[N_SPIKES]].copy()
    give("forward", key, buffers)
    return tape, ends[first:last]


def _take_buffers(layout):
    """(key, (Queue, Workspace)) of one thread, ready to start a sample."""
    net, capacity = layout.net, layout.run.capacity
    n_buckets, n_state = (net.ring_mask + 1) * net.n_pops, net.neurons.size
    key = (n_buckets, n_state, net.n_pops, net.stretch, capacity)
    queue, work = take(
        "forward",
        key,
        lambda: (make_queue(n_buckets, capacity), make_workspace(n_state, net.n_pops, net.stretch, capacity)),
    )
    work.size[:] = 0
    return key, (queue, work)


def _looking_at(stop, buffers):
    """The buffers for a kernel that ends when ``stop`` says so."""
    queue, work = buffers
    return buffers if work.stop == stop.address else (queue, work._replace(stop=stop.address))


def _fit_to_go_on(buffers, status, stop):
    """The buffers for a sample that a kernel has left undone."""
    if status != Status.INTERRUPTED:
        return _enlarged(buffers, status)
    stop.look_further()
    return _looking_at(stop, buffers)


def _enlarged(buffers, status):
    """The buffers with twice the room in the one that was full, and all that they held."""
    queue, work = buffers
    if status == Status.QUEUE_FULL:
        return queue._replace(events=_doubled(queue.events)), work
    if status == Status.ARRIVALS_FULL:
        larger = {name: _doubled(getattr(work, name)) for name in ("found", "link", "blocks", "sorted", "spare")}
        return queue, work._replace(**larger)
    return queue, work._replace(tape=_doubled(work.tape))


def _doubled(array):
    return np.concatenate([array, np.zeros_like(array)], axis=-1)


def stream(network, parameters, inputs, run, every):
    """Simulate one sample; yields a Recording for each ``every`` ms, and holds no other spikes.

    Parameters are read now, whatever becomes of their arrays before the first part is asked for.
    """
    layout = Layout(network, parameters, run)
    return _parts(layout, layout.gather_inputs(inputs), inputs, every)


def _parts(layout, spikes, inputs, every):
    net, run = layout.net, layout.run
    readings, ends, after_end = np.zeros((1, N_READINGS, net.neurons.size)), np.zeros(1, np.int64), 0
    (key, buffers), finished = _take_buffers(layout), False
    n_parts = _n_parts(run.duration, every)
    for part in range(n_parts):
        start, end = part * every, run.duration if part == n_parts - 1 else (part + 1) * every
        counters = np.zeros((1, 5), np.int64)
        if not finished:
            until = min(math.ceil(end * net.per_ms), net.n_windows)
            with StoppedBySignals() as stop:
                buffers = _looking_at(stop, buffers)
                buffers = _run_part(layout, spikes, until, buffers, (readings, counters), (ends, start), stop)
            # a leap over the rest may end the run in an earlier part than the last
            finished, after_end = buffers[1].size[WINDOW] == 0, after_end + counters[0, AFTER_END]
        counters[0, AFTER_END] = after_end if part == n_parts - 1 else 0
        found = buffers[1].tape[: buffers[1].size[N_SPIKES]]
        # the last window of the part may reach into the next one
        later = found["time"] >= end
        tape, kept = found[~later], found[later]
        buffers[1].size[N_SPIKES] = kept.size
        buffers[1].tape[: kept.size] = kept
        probes = run.probes if part == n_parts - 1 else {}
        mine = {name: _between(batch, start, end) for name, batch in inputs.items()}
        fired, outputs = (tape, np.array([0, tape.size])), (readings, counters)
        yield _recording(layout, mine, fired, outputs, probes, (start, end))
    give("forward", key, buffers)


def _n_parts(duration, every):
    """How many parts there are; a remainder that is only rounding belongs to the last one."""
    return math.ceil(duration / every * (1.0 - 4.0 * np.finfo(float).eps))


def _run_part(layout, spikes, until, buffers, outputs, place, stop):
    """Take a sample on to a window; returns the buffers, in larger ones if they were full.

    ``place``: (array for the number of spikes, start of the part in ms).
    """
    ends, start = place
    saved = [array[:n].copy() for array, n in _in_use(buffers)], [output.copy() for output in outputs]
    while True:
        chosen = (0, 1, layout.run.max_spikes, until)
        before = buffers[1].size[N_SPIKES]
        status, _ = forward_shard(layout.net, spikes, chosen, buffers, outputs, ends)
        if status == Status.OK:
            return buffers
        if status == Status.TOO_MANY_SPIKES:
            raise _storm(layout, 0, buffers[1].tape[before : buffers[1].size[N_SPIKES]], start)
        buffers = _fit_to_go_on(buffers, status, stop)
        arrays = [array for array, _ in _in_use(buffers)]
        for array, old in zip([*arrays, *outputs], [*saved[0], *saved[1]], strict=True):
            array[: len(old)] = old


def _in_use(buffers):
    """(array, how much of it) for all that a sample goes on from; the rest is scratch, or room."""
    queue, work = buffers
    n_blocks, n_events = work.size[N_BLOCKS], queue.use[FRESH]
    whole = (queue.heads, queue.use, work.values, work.cells, work.modes, work.head, work.size)
    parts = ((queue.events, n_events), (work.link, BLOCK * n_blocks), (work.blocks, n_blocks))
    return [*((array, len(array)) for array in whole), *parts, (work.tape, work.size[N_SPIKES])]


def _between(batch, start, end):
    """The spikes of a batch of one sample from ``start`` to before ``end`` (ms)."""
    chosen = slice(*np.searchsorted(batch.times, [start, end]))
    counts = None if batch.counts is None else batch.counts[chosen]
    times = batch.times[chosen]
    return SpikeBatch(times, batch.units[chosen], np.array([0, times.size]), counts)


def _recording(layout, inputs, fired, outputs, probes, span):
    """The Recording of a ``span`` (start, end) in ms.

    ``fired``: (tape, offsets of the samples); ``outputs``: (readings, counters).
    """
    (tape, offsets), (readings, counters), (start, end) = fired, outputs, span
    return Recording(
        duration=end,
        times=tape["time"].copy(),
        neurons=tape["neuron"].astype(np.int32),
        slopes=tape["slope"].copy(),
        offsets=offsets,
        slices=layout.slices,
        inputs=inputs,
        readouts={name: _readout(layout, name, probe, readings) for name, probe in probes.items()},
        counters=Counters(*counters.T.copy()),
        start=start,
    )


def _readout(layout, name, probe, readings):
    """What the kernels have read from one readout."""
    mine = readings[:, :, slice(*layout.slices[name])].swapaxes(0, 1)
    maximum = (mine[MAXIMUM], mine[MAXIMUM_TIME], mine[SHARE]) if probe.maximum else (None, None, None)
    return Readout(mine[INTEGRAL], probe.decay_rate, *maximum)


def _storm(layout, sample, tape, start=0.0):
    """The error for a sample over its budget: who fired most, and when it stopped."""
    busy, counts = np.unique(tape["neuron"], return_counts=True)
    busiest = []
    for k in np.argsort(-counts, kind="stable")[:5]:
        name = next(n for n, (start, stop) in layout.slices.items() if start <= busy[k] < stop)
        busiest.append((name, int(busy[k] - layout.slices[name][0]), int(counts[k])))
    network = layout.network
    recurrent = network.exciting_loops((name for name, *_ in busiest), layout.parameters)
    return EventStorm(sample, float(tape["time"][-1]), tape.size, busiest, start, recurrent, network.n_neurons)


def backward(network, recording, tape, cotangents, names, with_input_times=False, share=None):
    """Replay the tape backwards; ``tape`` is what ``forward`` returned beside the recording.

    ``share``: of which batch the recording holds this rank's samples (default: it is the batch). Returns ({parameter:
    gradient of the batch} for the given names, {input population: dL/dt of each spike simulated here} or None).
    """
    (layout, spikes), run = tape, tape[0].run
    net = layout.net
    jumps = _jumps(layout, recording, cotangents)
    drive = np.zeros((recording.n_samples, net.neurons.size))
    for name, values in cotangents.integral.items():
        drive[:, slice(*layout.slices[name])] = values
    input_times = np.zeros(spikes.events.size * with_input_times)
    key = (net.first_shared, net.weight.size, net.row_delay.size, net.neurons.size)
    adjoint_key = _adjoint_key(net, spikes, jumps, any(name.endswith((".tau_mem", ".tau_syn")) for name in names))

    def accumulate(samples, stop):
        gradients = take("gradients", key, layout.empty_gradients)
        for array in gradients[:-1]:
            array[:] = 0.0
        adjoint = take("adjoint", adjoint_key, lambda: make_adjoint(*adjoint_key))
        adjoint = adjoint if adjoint.stop == stop.address else adjoint._replace(stop=stop.address)
        mine = gradients._replace(input_times=input_times)
        status = backward_shard(net, spikes, samples, jumps, drive, adjoint, mine)
        if status == Status.INTERRUPTED:  # neither buffers nor sums are of use any more
            stop.look_further()
            return accumulate(samples, stop)
        give("adjoint", adjoint_key, adjoint)
        return gradients

    share = Share(recording.n_samples) if share is None else share
    if not backward_shard.overloads:  # on this thread, which can be interrupted
        nothing = layout.empty_gradients()._replace(input_times=input_times)
        backward_shard(net, spikes, (0, 0), jumps, drive, make_adjoint(*adjoint_key), nothing)
    with in_order(accumulate, share.ranges, run.n_threads) as parts:
        sums = share.add(
            parts, lambda: take("gradients", key, layout.empty_gradients), lambda part: give("gradients", key, part)
        )
    named = layout.name_gradients(sums, names)
    give("gradients", key, sums)
    return named, layout.split_inputs(input_times, recording.inputs) if with_input_times else None


def _adjoint_key(net, spikes, jumps, with_tails):
    """The arguments of `make_adjoint`: room for any sample, in powers of two, so that it fits the next batch too."""
    n_jumps, n_inputs = (int(np.diff(table.offsets).max(initial=0)) for table in (jumps, spikes))
    fan_out = int((net.pops["last_link"] - net.pops["first_link"]).max(initial=0))
    needed = (n_jumps, n_jumps + n_inputs, in_flight(net, spikes, jumps) * fan_out)
    n_buckets = (net.ring_mask + 1) * net.n_pops
    return net.neurons.size, net.n_pops, net.stretch, n_buckets, *map(_round_up, needed), with_tails


def in_flight(net, spikes, jumps):
    """The most spikes of any sample that wait in the queue of the backward pass at once."""
    times = [np.minimum(table["time"], net.duration) for table in (spikes.events, jumps.entries)]
    stretches = [(time * net.per_ms).astype(np.int64) >> net.shift for time in times]
    return most_in_flight(stretches[0], spikes.offsets, stretches[1], jumps.offsets, net.ring_mask)


def _round_up(n):
    """The power of two >= n, and >= 1024."""
    return 1 << max(10, (n - 1).bit_length())


def _jumps(layout, recording, cotangents):
    """The tape as the adjoint sees it: with the loss's part at each spike, and the maxima of readouts as entries."""
    net, offsets = layout.net, recording.offsets
    sample = np.repeat(np.arange(recording.n_samples), np.diff(offsets))
    jumps = np.zeros(recording.times.size, JUMP)
    jumps["time"], jumps["neuron"], jumps["slope"] = recording.times, recording.neurons, recording.slopes
    if cotangents.spike_times is not None:
        jumps["pull"] = cotangents.spike_times
    for name, values in cotangents.counts.items():
        start, stop = layout.slices[name]
        chosen = (recording.neurons >= start) & (recording.neurons < stop)
        j = recording.neurons[chosen]
        scale = net.neurons["tau_mem"][j] * net.neurons["threshold"][j]
        jumps["kick"][chosen] -= values[sample[chosen], j - start] / scale
    if not cotangents.maximum:
        return Jumps(jumps, offsets)
    parts, samples = [jumps], [sample]
    for name, values in cotangents.maximum.items():
        start, _ = layout.slices[name]
        readout = recording.readouts[name]
        at, j = np.nonzero(readout.maximum > 0)  # a maximum of 0 is the start, which nothing moves
        # arrivals at the instant of the maximum feel only the share that acts just after it
        for share, nudge in ((readout.maximum_share, NUDGE), (1.0 - readout.maximum_share, -NUDGE)):
            part = np.zeros(at.size, JUMP)
            # a maximum reached at the very end belongs to the last window
            when = readout.maximum_time[at, j]
            when = np.maximum(when + nudge * np.maximum(when, net.h), 0.0)
            part["time"] = np.minimum(when, np.nextafter(net.duration, 0.0))
            part["neuron"], part["slope"] = start + j, np.inf
            part["kick"] = -(values * share)[at, j] / net.neurons["tau_mem"][start + j]
            parts.append(part)
            samples.append(at)
    jumps, sample = np.concatenate(parts), np.concatenate(samples)
    order = np.lexsort((jumps["time"], jumps["neuron"], np.floor(jumps["time"] / net.h), sample))
    return Jumps(jumps[order], np.searchsorted(sample[order], np.arange(recording.n_samples + 1)))
