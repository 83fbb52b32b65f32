"""The arrays that a thread works in: taken, enlarged, and looked at when a run is interrupted."""

import math
from typing import Any, TypeAlias

import numpy as np

from ...aliases import Array, Milliseconds
from ...kernels.adjoint_workspace import Room
from ...kernels.events.backward import most_in_flight
from ...kernels.state import BLOCK, Jumps, Net, Spikes, Status, Way
from ...kernels.workspace import Workspace, make_workspace
from ...parallel.threads import Stop
from .layout import Layout
from .memory import take
from .ways import shape_of

Key: TypeAlias = tuple[Any, ...]
"""The sizes that buffers were made for."""
Span: TypeAlias = tuple[Milliseconds, Milliseconds]
"""(start, end) of what a kernel was asked for."""


def take_buffers(layout: Layout) -> tuple[Key, Workspace]:
    """(key, buffers of one thread), ready to start a sample."""
    net = layout.net
    n_buckets = (net.ring_mask + 1) * net.n_pops
    key = (net.neurons.size, net.n_pops, net.stretch, n_buckets, layout.run.capacity, shape_of(net))
    work = take("forward", key, lambda: make_workspace(*key))
    work.progress.fill(0)
    return key, work


def n_spikes(work: Workspace) -> int:
    """How many spikes there are on the tape."""
    return int(work.progress["n_spikes"][0])


def looking_at(stop: Stop, work: Workspace) -> Workspace:
    """The buffers for a kernel that ends when ``stop`` says so."""
    return work if work.stop == stop.address else work._replace(stop=stop.address)


# A tape that is full grows as that part of the sample says which is on it, and a little more; at most so many times.
MORE_SPIKES, MOST_GROWTH = 1.2, 16


def fit_to_go_on(work: Workspace, status: int, stop: Stop, before: int, span: Span) -> Workspace:
    """The buffers for a sample that a kernel has left undone.

    ``before``: the spikes on the tape that are not its own; ``span``: what is to be simulated of it (ms).
    """
    if status == Status.TAPE_FULL:
        return work._replace(tape=_longer_tape(work.tape, before, span))
    if status != Status.INTERRUPTED:
        return _enlarged(work, status)
    stop.look_further()
    return looking_at(stop, work)


def _enlarged(work: Workspace, status: int) -> Workspace:
    """The buffers with twice the room in the one that was full, and all that they held."""
    if status == Status.QUEUE_FULL:
        return work._replace(queue=work.queue._replace(events=_doubled(work.queue.events)))
    if status == Status.IN_ROWS_FULL:
        return work._replace(in_rows=_doubled(work.in_rows))
    if status == Status.ARRIVALS_FULL:
        larger: dict[str, Any] = {
            name: _doubled(getattr(work, name)) for name in ("found", "link", "blocks", "sorted", "spare", "scanned")
        }
        return work._replace(**larger)
    if status == Status.TRAINS_FULL:
        trains = work.trains
        larger = {name: _doubled(getattr(trains, name)) for name in ("near", "unit", "sent")}
        return work._replace(trains=trains._replace(**larger))
    groups = work.groups  # Status.GROUPS_FULL: there is no other
    larger = {name: _doubled(getattr(groups, name)) for name in ("channel", "fixed", "factor", "spike")}
    return work._replace(groups=groups._replace(**larger))


def _longer_tape(tape: Array, before: int, span: Span) -> Array:
    """A tape with room for the whole sample, if it goes on as it has begun: doubled, it would begin again too often."""
    done = (tape["time"][-1] - span[0]) / (span[1] - span[0])
    needed = before + (tape.size - before) * min(MORE_SPIKES / max(done, 1.0 / MOST_GROWTH), MOST_GROWTH)
    return np.concatenate([tape, np.zeros(max(math.ceil(needed) - tape.size, tape.size), tape.dtype)])


def _doubled(array: Array) -> Array:
    return np.concatenate([array, np.zeros_like(array)], axis=-1)


def in_use(work: Workspace) -> list[tuple[Array, int]]:
    """(array, how much of it) for all that a sample goes on from; the rest is scratch, or room."""
    queue, n_blocks = work.queue, int(work.progress["n_blocks"][0])
    whole = (queue.heads, queue.use, work.values, work.cells, work.modes, work.head, work.progress)
    n_events = int(queue.use["fresh"][0])
    parts = ((queue.events, n_events), (work.link, BLOCK * n_blocks), (work.blocks, n_blocks))
    blocks = (work.sums, work.busy, work.tails, work.tailed, work.ring, work.ring_until, *work.trains)
    return [*((array, len(array)) for array in (*whole, *blocks)), *parts, (work.tape, n_spikes(work))]


def key_of_adjoint(net: Net, spikes: Spikes, jumps: Jumps, with_tails: bool) -> Key:
    """The arguments of `make_adjoint`: room for any sample, in powers of two, so that it fits the next batch too."""
    n_jumps, n_inputs = (int(np.diff(table.offsets).max(initial=0)) for table in (jumps, spikes))
    fan_out = int((net.pops["last_link"] - net.pops["first_link"]).max(initial=0))
    n_groups = groups_in_a_block(net, spikes) if (net.conns["way"] == Way.COLUMNS).any() else 0
    n_events = 0 if net.layered and not with_tails else in_flight(net, spikes, jumps) * fan_out
    needed = (n_jumps, n_jumps + n_inputs, n_events, n_groups)
    n_buckets, room = (net.ring_mask + 1) * net.n_pops, Room(*map(_round_up, needed))
    return net.neurons.size, net.n_pops, net.stretch, n_buckets, room, with_tails, shape_of(net)


def groups_in_a_block(net: Net, spikes: Spikes) -> int:
    """No more groups of input spikes than this does any block of any sample have."""
    columns = net.conns[net.conns["way"] == Way.COLUMNS]
    n_samples = spikes.offsets.size - 1
    block = (np.minimum(spikes.events["time"], net.duration) * net.per_ms).astype(np.int64) // net.block
    block += np.repeat(np.arange(n_samples) * (block.max(initial=0) + 1), np.diff(spikes.offsets))
    # spikes are in order of samples and times
    counts = np.diff(np.flatnonzero(np.diff(block, prepend=-1)), append=block.size)
    return int((counts.max(initial=0) + columns["n_pre"]).sum())


def in_flight(net: Net, spikes: Spikes, jumps: Jumps) -> int:
    """The most spikes of any sample that wait in the queue of the backward pass at once."""
    times = [np.minimum(table["time"], net.duration) for table in (spikes.events, jumps.entries)]
    stretches = [(time * net.per_ms).astype(np.int64) >> net.shift for time in times]
    return most_in_flight(stretches[0], spikes.offsets, stretches[1], jumps.offsets, net.ring_mask)


def _round_up(n: int) -> int:
    """The power of two >= n, and >= 1024."""
    return 1 << max(10, (n - 1).bit_length())
