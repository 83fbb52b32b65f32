"""One shard of samples forward: deliver, screen, fire, window by window.

In each window a population first collects its arrivals, then every neuron is screened: a bound on its voltage shows
that most cannot reach threshold, and for those the sums over unsorted arrivals are the exact end state. The few that
might fire are walked through their sorted arrivals with the closed-form handlers (docs/engine.md).

A buffer that runs full ends the kernel with a status; the caller makes it larger and the sample starts again, so that
results cannot depend on how large the buffers were.
"""

import math

import numpy as np

from ..blocks import first_of_block
from ..compile import entry, inlined, kernel, merged
from ..neurons.base import forget, is_quiet, leap, prepare, screen, start, walk, walk_maximum
from ..places import cell_of, place_of
from ..queue import clear, is_empty, release
from ..simd import is_set
from ..state import LEAST_LEAP, Count, Kind, Reading, Status
from ..workspace import NONE, Row
from .arrivals import find_in_rows, find_suspects, gather, integrate_readout, sum_arrivals
from .columns import add_columns, begin_block
from .delivery import activate, ask_for_rows, begin_stretch
from .rings import add_ring
from .trains import append_to_train, find_in_trains


@inlined
def walk_suspects(net, work, pop, window, span, end, outputs):
    """Walk every suspect of the window just screened; returns (status, grazing contacts)."""
    grazed, kind = 0, net.pops[pop].kind
    first_row = work.cells[cell_of(net, window, pop)].first_row
    if first_row >= 0 and not find_in_rows(net, work, first_row):
        return Status.IN_ROWS_FULL, grazed
    if not find_suspects(net, work, window):
        return Status.ARRIVALS_FULL, grazed
    if net.pops[pop].last_known > net.pops[pop].first_known and not find_in_trains(net, work, pop, window):
        return Status.ARRIVALS_FULL, grazed
    for number in range(work.progress[0].n_suspects):
        j = work.suspects[number]
        n = -1 if is_set(work.stop) else gather(net, work, number, window, end)
        if n < 0:
            return Status.ARRIVALS_FULL, grazed
        if kind == Kind.SPIKING:
            status, more = walk(net, work, j, n, span, end)
            grazed += more
            if status != Status.OK:
                return status, grazed
        else:
            walk_maximum(net, work, j, n, span, end, outputs)
    return Status.OK, grazed


@inlined
def run_population(net, work, pop, window, outputs, counters):
    """Take one population through one window and send its spikes; returns a status."""
    begin, end = window * net.h, min((window + 1) * net.h, net.duration)
    first, stop, kind = net.pops[pop].start, net.pops[pop].stop, net.pops[pop].kind
    cell = cell_of(net, window, pop)
    counters[Count.EVENTS] += sum_arrivals(net, work, pop, window, end)
    if net.pops[pop].last_known > net.pops[pop].first_known:
        add_ring(net, work, pop, window)
        add_columns(net, work, pop, window)
    if kind != Kind.SPIKING:
        integrate_readout(net, work, pop, window, outputs[Reading.INTEGRAL])
    screen(net, work, pop, outputs[Reading.MAXIMUM])
    before, n_suspects = work.progress[0].n_spikes, work.progress[0].n_suspects
    counters[Count.WALKED] += n_suspects
    counters[Count.SCREENED] += stop - first - n_suspects
    if n_suspects > 0:
        status, grazed = walk_suspects(net, work, pop, window, end - begin, end, outputs)
        counters[Count.GRAZED] += grazed
        if status != Status.OK:
            return status
    if work.cells[cell].touched:
        place = place_of(net, window)
        work.head[2 * (place + first) : 2 * (place + stop)] = NONE
    item = work.cells[cell].first_row
    while item >= 0:
        following = work.queue.events[item].next
        release(work.queue, item)
        item = following
    for n in range(before, work.progress[0].n_spikes):
        ask_for_rows(net, pop, work.tape[n].neuron - first)
    for n in range(before, work.progress[0].n_spikes):
        if is_set(work.stop):
            return Status.INTERRUPTED
        local, time = work.tape[n].neuron - first, work.tape[n].time
        status = activate(net, work, pop, local, time, 1.0, window >> net.shift)
        if status != Status.OK:
            return status
        if net.pops[pop].train >= 0:
            if not append_to_train(net, work, pop, local, time, 1.0, work.progress[0].first_window):
                return Status.TRAINS_FULL
    return Status.OK


@kernel
def begin_sample(net, work, outputs):
    """Put every neuron to rest and empty the queue."""
    clear(work.queue)
    for j in range(net.neurons.size):
        for row in (Row.V, Row.I, Row.LOST_V, Row.LOST_I, Row.DV, Row.DI, Row.UP):
            work.values[row, j] = 0.0
    start(net, work, outputs)
    progress = work.progress[0]
    progress.n_arrivals, progress.window, progress.stretch, progress.next_input = 0, 0, -1, 0
    progress.first_window, progress.known_input = -1, 0
    work.ring[:] = 0.0
    work.ring_until[:], work.tailed[:] = -1, 0
    for row in range(net.n_trains):
        ends = work.trains.ends[row]
        ends.first, ends.next, ends.last = 0, 0, 0


@kernel
def end_sample(net, work):
    """Leave the workspace so that the next sample starts from the beginning."""
    if net.n_windows * net.h != net.duration:
        prepare(net, work, net.h)
    work.progress[0].window = 0


@inlined
def nothing_arrives(net, work, window):
    """True when nothing arrives in a window of the stretch at hand."""
    first = cell_of(net, window, 0)
    for cell in range(first, first + net.n_pops):
        if work.cells[cell].touched or work.cells[cell].first_row >= 0:
            return False
    return net.block == 0 or nothing_is_known(net, work, window)


@inlined
def nothing_is_known(net, work, window):
    """True when nothing arrives by columns or ring in a window of the block at hand."""
    k = window - work.progress[0].first_window
    for pop in range(net.n_pops):
        if net.pops[pop].last_known > net.pops[pop].first_known:
            if work.busy[pop, k] != 0 or window <= work.ring_until[pop]:
                return False
    return True


@inlined
def next_arrival(net, work, window, next_input):
    """The first window after ``window`` in which anything may arrive or an input spike is due (``next_input``, ms)."""
    last = net.n_windows
    if next_input < net.duration:
        last = np.int64(next_input * net.per_ms)
    if net.block > 0:
        last = min(last, first_of_block(net, window) + net.block)
    next_stretch = ((window >> net.shift) + 1) << net.shift
    window += 1
    while window < min(last, next_stretch):
        if not nothing_arrives(net, work, window):
            return window
        window += 1
    if work.queue.use[0].live > 0:
        while window < last and is_empty(net, work.queue, window >> net.shift):
            window += net.stretch
        last = min(window, last)
    window = next_stretch
    while net.block > 0 and window < last:
        if not nothing_is_known(net, work, window):
            return window
        window += 1
    return last


@merged
def forward_sample(net, events, until, work, outputs, counters):
    """Simulate a sample until window ``until`` at least; returns a status.

    ``events``: its input spikes; ``outputs``: its readings; ``counters``: its counts.
    """
    progress, last = work.progress[0], events.size
    window, stretch, at = progress.window, progress.stretch, progress.next_input
    while window < until:
        if is_set(work.stop):
            return Status.INTERRUPTED
        begin, end = window * net.h, min((window + 1) * net.h, net.duration)
        if net.block > 0 and first_of_block(net, window) != progress.first_window:
            status, arrivals = begin_block(net, work, events, window)
            if status != Status.OK:
                return status
            counters[Count.EVENTS] += arrivals
        if window >> net.shift != stretch:
            stretch = window >> net.shift
            counters[Count.EVENTS] += progress.n_arrivals
            if not begin_stretch(net, work, stretch):
                return Status.ARRIVALS_FULL
        next_input = events[at].time if at < last else math.inf
        if next_input >= end and nothing_arrives(net, work, window) and is_quiet(net, work):
            later = next_arrival(net, work, window, next_input)
            if later - window >= LEAST_LEAP:
                leap(net, work, outputs, begin, min(later * net.h, net.duration))
                window = later
                continue
        if end - begin != net.h:
            # the last window ends with the simulation
            prepare(net, work, end - begin)
        while at < last and events[at].time < end:
            if at + 1 < last:
                source = net.sources[events[at + 1].source]
                ask_for_rows(net, source.pop, source.local)
            source = net.sources[events[at].source]
            status = activate(net, work, source.pop, source.local, events[at].time, events[at].count, stretch)
            if status != Status.OK:
                return status
            at += 1
        forget(net, work, window)
        for pop in range(net.n_pops):
            status = run_population(net, work, pop, window, outputs, counters)
            if status != Status.OK:
                return status
        window += 1
    progress.window, progress.stretch, progress.next_input = window, stretch, at
    if window == net.n_windows:
        counters[Count.EVENTS] += progress.n_arrivals
        counters[Count.AFTER_END] = last - at
        end_sample(net, work)
    return Status.OK


@entry
def forward_shard(net, spikes, chosen, work, outputs, ends):
    """Simulate samples one after the other, until all that are ``chosen`` are done or one does not end well.

    ``work``: a Workspace, whose tape already holds the spikes of earlier samples or windows; ``outputs``: an Outputs;
    ``ends`` (n_samples,) receives the spikes on the tape after each sample. Returns (value of a Status, number of the
    sample that did not end well, or ``chosen.last``).
    """
    progress = work.progress[0]
    if progress.window == 0:
        # a sample that did not end well leaves its arrivals behind
        work.modes[:] = 0.0
        work.octet_modes[:] = 0.0
        work.head[:] = NONE
        prepare(net, work, net.h)
    for sample in range(chosen.first, chosen.last):
        readings, counters = outputs.readings[sample], outputs.counters[sample]
        events = spikes.events[spikes.offsets[sample] : spikes.offsets[sample + 1]]
        if progress.window == 0:
            begin_sample(net, work, readings)
        before = progress.n_spikes
        progress.most_spikes = before + chosen.most_spikes
        status = forward_sample(net, events, chosen.until, work, readings, counters)
        if status != Status.OK:
            if is_set(work.stop):
                status = Status.INTERRUPTED  # whatever the place that saw it first has said
            if status != Status.TOO_MANY_SPIKES:
                progress.n_spikes = before
            return status.value, sample
        ends[sample] = progress.n_spikes
    return Status.OK.value, chosen.last
