"""One shard of samples forward: deliver, screen, fire, window by window.

In each window a population first collects its arrivals, then every neuron is screened: a bound on its voltage shows
that most cannot reach threshold, and for those the sums over unsorted arrivals are the exact end state. The few that
might fire are walked through their sorted arrivals with the closed-form handlers (docs/engine.md).

A buffer that runs full ends the kernel with a status; the caller makes it larger and the sample starts again, so that
results cannot depend on how large the buffers were.
"""

import math

import numpy as np

from ..compile import entry, inlined, kernel
from ..neurons.base import is_quiet, leap, prepare, screen, start, walk, walk_maximum
from ..queue import LIVE, clear, is_empty, release
from ..simd import is_set
from ..state import AFTER_END, EVENTS, GRAZED, INTEGRAL, LEAST_LEAP, LIF, MAXIMUM, SCREENED, WALKED
from ..workspace import (
    ARRIVALS_FULL,
    DI,
    DV,
    FIRST_ROW,
    INPUT,
    INTERRUPTED,
    LOST_I,
    LOST_V,
    MOST_SPIKES,
    N_ARRIVALS,
    N_SPIKES,
    N_SUSPECTS,
    NONE,
    OK,
    STRETCH,
    TOO_MANY_SPIKES,
    TOUCHED,
    UP,
    WINDOW,
    I,
    V,
)
from .arrivals import find_suspects, gather, integrate_readout, sum_arrivals
from .delivery import activate, ask_for_rows, begin_stretch


@inlined
def walk_suspects(net, queue, work, pop, window, span, end, outputs):
    """Walk every suspect of the window just screened; returns (status, grazing contacts)."""
    grazed, kind = 0, net.pops[pop].kind
    if not find_suspects(net, work, window):
        return ARRIVALS_FULL, grazed
    for number in range(work.size[N_SUSPECTS]):
        j = work.suspects[number]
        n = -1 if is_set(work.stop) else gather(net, queue, work, number, window, end)
        if n < 0:
            return ARRIVALS_FULL, grazed
        if kind == LIF:
            status, more = walk(net, work, j, n, span, end)
            grazed += more
            if status != OK:
                return status, grazed
        else:
            walk_maximum(net, work, j, n, span, end, outputs)
    return OK, grazed


@inlined
def run_population(net, queue, work, pop, window, outputs, counters):
    """Take one population through one window and send its spikes; returns a status."""
    begin, end = window * net.h, min((window + 1) * net.h, net.duration)
    first, stop, kind = net.pops[pop].start, net.pops[pop].stop, net.pops[pop].kind
    cell = (window & (net.stretch - 1)) * net.n_pops + pop
    counters[EVENTS] += sum_arrivals(net, queue, work, pop, window, end)
    if kind != LIF:
        integrate_readout(net, queue, work, pop, window, outputs[INTEGRAL])
    screen(net, work, pop, outputs[MAXIMUM])
    before, n_suspects = work.size[N_SPIKES], work.size[N_SUSPECTS]
    counters[WALKED] += n_suspects
    counters[SCREENED] += stop - first - n_suspects
    if n_suspects > 0:
        status, grazed = walk_suspects(net, queue, work, pop, window, end - begin, end, outputs)
        counters[GRAZED] += grazed
        if status != OK:
            return status
    if work.cells[TOUCHED, cell]:
        place = (window & (net.stretch - 1)) * net.neurons.size
        work.head[2 * (place + first) : 2 * (place + stop)] = NONE
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        following = queue.events[item].next
        release(queue, item)
        item = following
    for n in range(before, work.size[N_SPIKES]):
        ask_for_rows(net, pop, work.tape[n].neuron - first)
    for n in range(before, work.size[N_SPIKES]):
        if is_set(work.stop):
            return INTERRUPTED
        local, time = work.tape[n].neuron - first, work.tape[n].time
        status = activate(net, queue, work, pop, local, time, 1.0, window >> net.shift)
        if status != OK:
            return status
    return OK


@kernel
def begin_sample(net, queue, work, outputs, first_input):
    """Put every neuron to rest and empty the queue."""
    clear(queue)
    for j in range(net.neurons.size):
        for row in (V, I, LOST_V, LOST_I, DV, DI, UP):
            work.values[row, j] = 0.0
    start(net, work, outputs)
    work.size[N_ARRIVALS] = 0
    work.size[WINDOW], work.size[STRETCH], work.size[INPUT] = 0, -1, first_input


@kernel
def end_sample(net, work):
    """Leave the workspace so that the next sample starts from the beginning."""
    if net.n_windows * net.h != net.duration:
        prepare(net, work, net.h)
    work.size[WINDOW] = 0


@inlined
def nothing_arrives(net, work, window):
    """True when nothing arrives in a window of the stretch at hand."""
    first = (window & (net.stretch - 1)) * net.n_pops
    for cell in range(first, first + net.n_pops):
        if work.cells[TOUCHED, cell] or work.cells[FIRST_ROW, cell] >= 0:
            return False
    return True


@inlined
def next_arrival(net, queue, work, window, next_input):
    """The first window after ``window`` in which anything may arrive or an input spike is due (``next_input``, ms)."""
    last = net.n_windows
    if next_input < net.duration:
        last = np.int64(next_input * net.per_ms)
    next_stretch = ((window >> net.shift) + 1) << net.shift
    window += 1
    while window < min(last, next_stretch):
        if not nothing_arrives(net, work, window):
            return window
        window += 1
    if queue.use[LIVE] == 0:
        return last
    while window < last and is_empty(net, queue, window >> net.shift):
        window += net.stretch
    return min(window, last)


@kernel
def forward_sample(net, spikes, queue, work, outputs, counters):
    """Simulate a sample until window ``spikes[2]`` at least; returns a status.

    ``spikes``: (input spikes, the sample's last, window); ``outputs``: its readings.
    """
    events, last, until = spikes
    window, stretch, at = work.size[WINDOW], work.size[STRETCH], work.size[INPUT]
    while window < until:
        if is_set(work.stop):
            return INTERRUPTED
        begin, end = window * net.h, min((window + 1) * net.h, net.duration)
        if window >> net.shift != stretch:
            stretch = window >> net.shift
            counters[EVENTS] += work.size[N_ARRIVALS]
            if not begin_stretch(net, queue, work, stretch):
                return ARRIVALS_FULL
        next_input = events[at].time if at < last else math.inf
        if next_input >= end and nothing_arrives(net, work, window) and is_quiet(net, work):
            later = next_arrival(net, queue, work, window, next_input)
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
            status = activate(net, queue, work, source.pop, source.local, events[at].time, events[at].count, stretch)
            if status != OK:
                return status
            at += 1
        for pop in range(net.n_pops):
            status = run_population(net, queue, work, pop, window, outputs, counters)
            if status != OK:
                return status
        window += 1
    work.size[WINDOW], work.size[STRETCH], work.size[INPUT] = window, stretch, at
    if window == net.n_windows:
        counters[EVENTS] += work.size[N_ARRIVALS]
        counters[AFTER_END] = last - at
        end_sample(net, work)
    return OK


@entry
def forward_shard(net, spikes, samples, workspace, outputs, ends):
    """Simulate samples first..last one after the other until one does not end well.

    ``samples``: (first, last, largest number of spikes of a sample, window to stop at). Short of the last window the
    one sample is left there, to go on from when it is called for again. ``workspace``: (Queue, Workspace), whose tape
    already holds ``size[N_SPIKES]`` spikes of earlier samples or windows; ``outputs``: (readings (n_samples,
    N_READINGS, n_state), counters (n_samples, 5)), zero on entry; ``ends`` (n_samples,) receives the spikes on the tape
    after each sample. Returns (status, number of the sample that did not end well, or last).
    """
    first, last, most, until = samples
    queue, work = workspace
    readings, counters = outputs
    if work.size[WINDOW] == 0:
        # a sample that did not end well leaves its arrivals behind
        work.modes[:] = 0.0
        work.head[:] = NONE
        prepare(net, work, net.h)
    for sample in range(first, last):
        if work.size[WINDOW] == 0:
            begin_sample(net, queue, work, readings[sample], spikes.offsets[sample])
        before = work.size[N_SPIKES]
        work.size[MOST_SPIKES] = before + most
        mine = (spikes.events, spikes.offsets[sample + 1], until)
        status = forward_sample(net, mine, queue, work, readings[sample], counters[sample])
        if status != OK:
            if is_set(work.stop):
                status = INTERRUPTED  # whatever the place that saw it first has said
            if status != TOO_MANY_SPIKES:
                work.size[N_SPIKES] = before
            return status, sample
        ends[sample] = work.size[N_SPIKES]
    return OK, last
