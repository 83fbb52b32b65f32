"""What kernels have left, as a recording; what a loss says of one, as kernels read it."""

from collections.abc import Mapping

import numpy as np

from ...aliases import Array, Floats, Integers, Milliseconds
from ...errors import EventStorm
from ...kernels.state import JUMP, Count, Jumps, Outputs, Reading
from ...spikes.batch import SpikeBatch
from ...spikes.cotangents import Cotangents, Probe
from ...spikes.recording import Counters, Readout, Recording
from .layout import Layout

# A maximum's time is known to half a rounding of the larger of itself and the window length: this many of them from it,
# an arrival is before or after it for certain.
NUDGE = 2 * np.finfo(float).eps


def empty_outputs(layout: Layout, n_samples: int) -> Outputs:
    """Zeroed tables for what kernels write of each sample, beside its spikes."""
    readings = np.zeros((n_samples, len(Reading), layout.net.neurons.size))
    return Outputs(readings, np.zeros((n_samples, len(Count)), np.int64))


def make_recording(
    layout: Layout, inputs: dict[str, SpikeBatch], fired: tuple[Array, Integers], outputs: Outputs,
    probes: Mapping[str, Probe], span: tuple[Milliseconds, Milliseconds],
) -> Recording:  # fmt: skip
    """The Recording of a ``span`` (start, end) in ms.

    ``fired``: (tape, offsets of the samples).
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


def _readout(layout: Layout, name: str, probe: Probe, readings: Floats) -> Readout:
    """What the kernels have read from one readout."""
    mine = readings[:, :, slice(*layout.slices[name])].swapaxes(0, 1)
    rest = layout.laying.rests(layout.net, slice(*layout.slices[name]))
    maximum: tuple[Floats | None, ...] = (None, None, None)
    if probe.maximum:
        maximum = (mine[Reading.MAXIMUM] + rest, mine[Reading.MAXIMUM_TIME], mine[Reading.SHARE])
    return Readout(mine[Reading.INTEGRAL], layout.run.decay_rate(name), *maximum)


def storm(layout: Layout, sample: int, tape: Array, start: Milliseconds = 0.0) -> EventStorm:
    """The error for a sample over its budget: who fired most, and when it stopped."""
    busy, counts = np.unique(tape["neuron"], return_counts=True)
    busiest = []
    for k in np.argsort(-counts, kind="stable")[:5]:
        name = next(n for n, (start, stop) in layout.slices.items() if start <= busy[k] < stop)
        busiest.append((name, int(busy[k] - layout.slices[name][0]), int(counts[k])))
    network = layout.network
    recurrent = network.exciting_loops((name for name, *_ in busiest), layout.parameters)
    return EventStorm(sample, float(tape["time"][-1]), tape.size, busiest, start, recurrent, network.n_neurons)


def jumps_of(layout: Layout, recording: Recording, cotangents: Cotangents) -> Jumps:
    """The tape as the adjoint sees it: with the loss's part at each spike, and the maxima of readouts as entries."""
    net, laying, offsets = layout.net, layout.laying, recording.offsets
    sample = np.repeat(np.arange(recording.n_samples), np.diff(offsets))
    jumps = np.zeros(recording.times.size, JUMP)
    jumps["time"], jumps["neuron"], jumps["slope"] = recording.times, recording.neurons, recording.slopes
    if cotangents.spike_times is not None:
        jumps["pull"] = cotangents.spike_times
    for name, values in cotangents.counts.items():
        start, stop = layout.slices[name]
        chosen = (recording.neurons >= start) & (recording.neurons < stop)
        j = recording.neurons[chosen]
        jumps["kick"][chosen] += laying.count_kicks(net, j, values[sample[chosen], j - start])
    if not cotangents.maximum:
        return Jumps(jumps, offsets)
    parts, samples = [jumps], [sample]
    for name, values in cotangents.maximum.items():
        start, _ = layout.slices[name]
        readout = recording.readouts[name]
        # a maximum that was reached at 0 is the start, which nothing else moves
        acts = np.isfinite(readout.maximum) if laying.starts_matter(net) else readout.maximum_time > 0
        at, j = np.nonzero(acts)
        # arrivals at the instant of the maximum feel only the share that acts just after it
        for share, nudge in ((readout.maximum_share, NUDGE), (1.0 - readout.maximum_share, -NUDGE)):
            part = np.zeros(at.size, JUMP)
            # a maximum reached at the very end belongs to the last window
            when = readout.maximum_time[at, j]
            when = np.maximum(when + nudge * np.maximum(when, net.h), 0.0)
            part["time"] = np.minimum(when, np.nextafter(net.duration, 0.0))
            part["neuron"], part["slope"] = start + j, np.where(readout.maximum_time[at, j] > 0.0, np.inf, -np.inf)
            part["kick"] = laying.maximum_kicks(net, start + j, (values * share)[at, j])
            parts.append(part)
            samples.append(at)
    jumps, sample = np.concatenate(parts), np.concatenate(samples)
    order = np.lexsort((jumps["time"], jumps["neuron"], np.floor(jumps["time"] / net.h), sample))
    return Jumps(jumps[order], np.searchsorted(sample[order], np.arange(recording.n_samples + 1)))
