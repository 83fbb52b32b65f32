"""One shard of samples forward: deliver, screen, fire, window by window.

In each window a population first collects its arrivals, then every neuron is screened: a bound on its voltage shows
that most cannot reach threshold, and for those the sums over unsorted arrivals are the exact end state. The few that
might fire are walked through their sorted arrivals with the closed-form handlers (docs/engine.md).

A buffer that runs full ends the kernel with a status; the caller makes it larger and the sample starts again, so that
results cannot depend on how large the buffers were.
"""

import math
from typing import NamedTuple

import numpy as np

from ..errors import Status
from .compile import entry, inlined, kernel
from .crossing import FIRES, GRAZES, GRAZING, crossing
from .membrane import coefficients, flow, horner, peak_time, polynomial
from .queue import CHUNK, FIRST_CHUNK, FIRST_ROW, LIVE, activate, clear, events_in, release
from .state import (
    AFTER_END,
    CURRENT,
    EVENTS,
    GRAZED,
    LIF,
    MAXIMUM,
    MAXIMUM_TIME,
    READOUT_MAXIMUM,
    SCREENED,
    SHARE,
    SPIKE,
    VOLTAGE,
    WALKED,
    WEIGHTED,
)

OK, TOO_MANY_SPIKES, QUEUE_FULL, ARRIVALS_FULL, TAPE_FULL = (int(status) for status in Status)
# The bound is an upper bound in real numbers; this factor covers its rounding.
BOUND_SAFETY = 1.0 - 1e-9
# Below this a state is zero: it cannot move any result, and denormal numbers would slow every window.
NEGLIGIBLE = 1e-290
# Rows of Workspace.values: V, I; arrivals summed to the window's end; constants of the flow over a window.
V, I, DV, DI, POSITIVE, DECAY_V, DECAY_I, PSP, RISE = range(9)
N_VALUES = 9
# Rows of Workspace.suspects: a neuron's number among the suspects of this window, or -1; the suspects; the place of
# the first arrival of each suspect.
NUMBER, SUSPECT, FIRST = range(3)
# Rows of Workspace.sorted: time left to the end of the window and weight of one neuron's arrivals, the earliest first.
LEFT, WEIGHT = range(2)
# Rows of Workspace.chunk: time left, then the responses of I and V to the arrivals of one chunk.
TO_I, TO_V = 1, 2
# Places in Workspace.size: suspects, arrivals of this window, spikes on the tape, spikes that the sample may reach.
N_SUSPECTS, N_EVENTS, N_SPIKES, MOST_SPIKES = range(4)


class Workspace(NamedTuple):
    """The buffers of one thread beside its queue; the row names above say what is where."""

    values: np.ndarray  # (9, n_state)
    suspects: np.ndarray  # (3, n_state)
    chunk: np.ndarray  # (3, CHUNK)
    sorted: np.ndarray  # (2, capacity)
    size: np.ndarray  # (4,)
    tape: np.ndarray  # SPIKE


def make_workspace(n_state, capacity):
    """Buffers for ``n_state`` neurons with room for ``capacity`` spikes, and arrivals of one neuron in one window."""
    return Workspace(
        np.zeros((N_VALUES, n_state)),
        np.zeros((3, n_state), np.int64),
        np.zeros((3, CHUNK)),
        np.zeros((2, capacity)),
        np.zeros(4, np.int64),
        np.zeros(capacity, SPIKE),
    )


@kernel
def set_window(net, work, length):
    """Flow constants of every neuron over a window of ``length`` ms."""
    values = work.values
    for j in range(net.neurons.size):
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        values[DECAY_V, j] = math.exp(-length / tau_mem)
        values[PSP, j], values[DECAY_I, j] = flow(0.0, 1.0, length, tau_mem, tau_syn)
        values[RISE, j] = length / tau_mem


@kernel
def sum_chunk(net, queue, work, place, n, k):
    """Add the effect of n events on the end of the window; ``k``: the table of their targets, -1 if each has its own.

    ``place``: (first event, end of the window).
    """
    first, end = place
    chunk, values, events = work.chunk, work.values, queue.events
    for e in range(n):
        chunk[LEFT, e] = end - events[first + e].time
    if k >= 0:
        # this loop runs on vectors: keep look-ups out of it
        series_i, series_v = coefficients(net.series, k, 0), coefficients(net.series, k, 1)
        for e in range(n):
            x = chunk[LEFT, e]
            chunk[TO_I, e], chunk[TO_V, e] = horner(series_i, x), horner(series_v, x)
    else:
        for e in range(n):
            own, x = net.neurons[events[first + e].target].series, chunk[LEFT, e]
            chunk[TO_I, e], chunk[TO_V, e] = polynomial(net.series, own, 0, x), polynomial(net.series, own, 1, x)
    for e in range(n):
        j, w = events[first + e].target, events[first + e].weight
        values[DV, j] += w * chunk[TO_V, e]
        values[DI, j] += w * chunk[TO_I, e]
        values[POSITIVE, j] += max(w, 0.0)


@kernel
def sum_row(net, work, pop, left, arrival):
    """Add the simultaneous arrivals of a dense row, ``left`` ms before the end of the window."""
    start, stop, first = net.pops[pop].start, net.pops[pop].stop, net.row_ptr[arrival.row]
    dv, di = work.values[DV, start:stop], work.values[DI, start:stop]
    positive, weight = work.values[POSITIVE, start:stop], net.weight[first : first + stop - start]
    count, k, uniform = arrival.count, net.neurons[start].series, net.pops[pop].uniform
    to_v, to_i = count * polynomial(net.series, k, 1, left), count * polynomial(net.series, k, 0, left)
    if uniform:
        for j in range(weight.size):
            dv[j] += weight[j] * to_v
            di[j] += weight[j] * to_i
            positive[j] += max(weight[j], 0.0) * count
        return
    for j in range(weight.size):
        k = net.neurons[start + j].series
        dv[j] += weight[j] * count * polynomial(net.series, k, 1, left)
        di[j] += weight[j] * count * polynomial(net.series, k, 0, left)
        positive[j] += max(weight[j], 0.0) * count


@kernel
def sum_arrivals(net, queue, work, pop, bucket, end):
    """Add each arrival's effect on the end of the window, and the positive weights for the bound; count them."""
    chunk, n_events = queue.buckets[FIRST_CHUNK, bucket], 0
    k = net.neurons[net.pops[pop].start].series if net.pops[pop].uniform else -1
    while chunk >= 0:
        n = events_in(queue, bucket, chunk)
        sum_chunk(net, queue, work, (chunk * CHUNK, end), n, k)
        n_events += n
        chunk = queue.next_chunk[chunk]
    item = queue.buckets[FIRST_ROW, bucket]
    while item >= 0:
        arrival = queue.rows[item]
        sum_row(net, work, pop, end - arrival.time, arrival)
        n_events += net.pops[pop].stop - net.pops[pop].start
        item = arrival.next
    work.size[N_EVENTS] = n_events


@inlined
def clean(x):
    """x, or zero in place of a number too small to matter."""
    return x if abs(x) > NEGLIGIBLE else 0.0


@kernel
def screen(net, work, pop, maximum):
    """Advance each neuron that surely stays below its threshold (or its maximum so far); note the others."""
    v, i, dv, di = work.values[V], work.values[I], work.values[DV], work.values[DI]
    positive, rise = work.values[POSITIVE], work.values[RISE]
    decay_v, decay_i, psp = work.values[DECAY_V], work.values[DECAY_I], work.values[PSP]
    n_suspects, kind = 0, net.pops[pop].kind
    for j in range(net.pops[pop].start, net.pops[pop].stop):
        # V stays below the response to everything positive arriving at once, which is concave until it peaks and so
        # lies below its first tangent (docs/engine.md)
        drive, above = max(i[j], 0.0) + positive[j], max(v[j], 0.0)
        highest = above + max(drive - above, 0.0) * rise[j]
        limit = maximum[j] if kind == READOUT_MAXIMUM else net.neurons[j].threshold * BOUND_SAFETY
        # a spike also needs I above threshold; a new maximum needs only V
        if highest <= limit or (kind == LIF and drive <= limit):
            v[j] = clean(v[j] * decay_v[j] + i[j] * psp[j] + dv[j])
            i[j] = clean(i[j] * decay_i[j] + di[j])
        else:
            work.suspects[SUSPECT, n_suspects] = j
            work.suspects[NUMBER, j] = n_suspects
            n_suspects += 1
        dv[j], di[j], positive[j] = 0.0, 0.0, 0.0
    work.size[N_SUSPECTS] = n_suspects


@kernel
def chain(queue, work, bucket):
    """Link the events of each suspect, the last pushed first."""
    for number in range(work.size[N_SUSPECTS]):
        work.suspects[FIRST, number] = -1
    chunk = queue.buckets[FIRST_CHUNK, bucket]
    while chunk >= 0:
        first = chunk * CHUNK
        for place in range(first, first + events_in(queue, bucket, chunk)):
            number = work.suspects[NUMBER, queue.events[place].target]
            if number >= 0:
                queue.events[place].next = work.suspects[FIRST, number]
                work.suspects[FIRST, number] = place
        chunk = queue.next_chunk[chunk]


@inlined
def insert(work, n, left, weight):
    """Insert an arrival among the n sorted ones, in front of those of the same time; returns False for no room."""
    rows = work.sorted
    if n == rows.shape[1]:
        return False
    p = n
    while p > 0 and rows[LEFT, p - 1] <= left:
        rows[LEFT, p], rows[WEIGHT, p] = rows[LEFT, p - 1], rows[WEIGHT, p - 1]
        p -= 1
    rows[LEFT, p], rows[WEIGHT, p] = left, weight
    return True


@kernel
def gather(net, queue, work, number, bucket, end):
    """Sort the arrivals of a suspect, the earliest first; returns their number, or -1 for no room.

    Events come last-pushed first, so inserting in front of equals leaves equal times in the order of pushing.
    """
    j, place, n = work.suspects[SUSPECT, number], work.suspects[FIRST, number], 0
    while place >= 0:
        if not insert(work, n, end - queue.events[place].time, queue.events[place].weight):
            return -1
        n += 1
        place = queue.events[place].next
    offset, item = j - net.pops[net.neurons[j].pop].start, queue.buckets[FIRST_ROW, bucket]
    while item >= 0:
        arrival = queue.rows[item]
        if not insert(work, n, end - arrival.time, net.weight[net.row_ptr[arrival.row] + offset] * arrival.count):
            return -1
        n += 1
        item = arrival.next
    return n


@inlined
def advance(net, j, v, i, dt):
    """(V, I) of neuron j after dt within a window."""
    k = net.neurons[j].series
    decay_i, psp = polynomial(net.series, k, 0, dt), polynomial(net.series, k, 1, dt)
    decay_v = decay_i + (net.neurons[j].tau_mem / net.neurons[j].tau_syn - 1.0) * psp
    return v * decay_v + i * psp, i * decay_i


@kernel
def walk_lif(net, work, j, n, span, end):
    """Take neuron j through its n sorted arrivals of a window, recording spikes; returns (status, grazing contacts)."""
    left, weight = work.sorted[LEFT], work.sorted[WEIGHT]
    neuron = (net.neurons[j].tau_mem, net.neurons[j].tau_syn, net.neurons[j].threshold)
    v, i, x, grazed, m = work.values[V, j], work.values[I, j], span, 0, 0
    while True:
        until = left[m] if m < n else 0.0
        v_end, i_end = advance(net, j, v, i, x - until)
        outcome, t, slope = crossing(v, i, v_end, i_end, x - until, neuron)
        if outcome == FIRES:
            x = max(x - t, until)
            i, v = slope + neuron[2], 0.0
            grazed += slope < GRAZING * neuron[2]
            at = work.size[N_SPIKES]
            if at == work.size[MOST_SPIKES]:
                return TOO_MANY_SPIKES, grazed
            if at == work.tape.size:
                return TAPE_FULL, grazed
            slot = work.tape[at]
            # a spike belongs to the window that found it, even when rounding puts it on the window's end
            slot.time, slot.neuron, slot.slope = min(end - x, end * (1.0 - 1.2e-16)), j, slope
            work.size[N_SPIKES] = at + 1
            continue
        grazed += outcome == GRAZES
        v, i, x = v_end, i_end, until
        if m == n:
            break
        while m < n and left[m] == until:
            i += weight[m]
            m += 1
    work.values[V, j], work.values[I, j] = clean(v), clean(i)
    return OK, grazed


@kernel
def walk_maximum(net, work, j, n, span, end, outputs):
    """Take readout neuron j through its n sorted arrivals and keep its largest voltage, the time and the share.

    An inhibitory arrival can end the rise of V: the maximum then moves with that arrival, at the slope before it. The
    arrival feels the share (I- - V)/(I- - I+) of the pull, which gives just that (docs/mathematics.md, section 6).
    """
    left, weight = work.sorted[LEFT], work.sorted[WEIGHT]
    v, i, x, m = work.values[V, j], work.values[I, j], span, 0
    while True:
        until = left[m] if m < n else 0.0
        v_end, i_end = advance(net, j, v, i, x - until)
        if i > v and i_end < v_end:
            t = min(peak_time(v, i, net.neurons[j].tau_mem, net.neurons[j].tau_syn), x - until)
            v_peak, _ = advance(net, j, v, i, t)
            if v_peak > outputs[MAXIMUM, j]:
                outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j], outputs[SHARE, j] = v_peak, end - (x - t), 1.0
        v, i, x = v_end, i_end, until
        while m < n and left[m] == until:
            i += weight[m]
            m += 1
        # equality: an arrival on the very edge of the window before has not been seen yet
        if v >= outputs[MAXIMUM, j] and v > 0.0:
            outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j] = v, end - until
            outputs[SHARE, j] = (i_end - v) / (i_end - i) if i < v < i_end else 1.0
        if until == 0.0:
            break
    work.values[V, j], work.values[I, j] = clean(v), clean(i)


@kernel
def weigh_readout(net, queue, pop, bucket, weighted):
    """Add w e^{-decay_rate s} of every arrival of a readout population to ``weighted``."""
    rate, start = net.pops[pop].decay_rate, net.pops[pop].start
    chunk = queue.buckets[FIRST_CHUNK, bucket]
    while chunk >= 0:
        for place in range(chunk * CHUNK, chunk * CHUNK + events_in(queue, bucket, chunk)):
            event = queue.events[place]
            weighted[event.target] += event.weight * math.exp(-rate * event.time)
        chunk = queue.next_chunk[chunk]
    item = queue.buckets[FIRST_ROW, bucket]
    while item >= 0:
        arrival = queue.rows[item]
        factor, first = arrival.count * math.exp(-rate * arrival.time), net.row_ptr[arrival.row]
        for j in range(net.pops[pop].stop - start):
            weighted[start + j] += net.weight[first + j] * factor
        item = arrival.next


@kernel
def is_quiet(net, work):
    """True when no neuron can fire without a new arrival: none has a current above threshold."""
    for j in range(net.neurons.size):
        if work.values[I, j] > net.neurons[j].threshold:
            return False
    return True


@kernel
def leap(net, work, outputs, begin, end):
    """Cross a silence from ``begin`` to ``end`` in one step."""
    for j in range(net.neurons.size):
        v, i, tau_mem, tau_syn = work.values[V, j], work.values[I, j], net.neurons[j].tau_mem, net.neurons[j].tau_syn
        if net.pops[net.neurons[j].pop].kind == READOUT_MAXIMUM and i > v:
            t = min(peak_time(v, i, tau_mem, tau_syn), end - begin)
            v_peak, _ = flow(v, i, t, tau_mem, tau_syn)
            if v_peak > outputs[MAXIMUM, j]:
                outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j], outputs[SHARE, j] = v_peak, begin + t, 1.0
        v, i = flow(v, i, end - begin, tau_mem, tau_syn)
        work.values[V, j], work.values[I, j] = clean(v), clean(i)


@kernel
def walk_suspects(net, queue, work, place, outputs):
    """Walk every suspect of the window just screened; returns (status, grazing contacts).

    ``place``: (population, bucket, length and end of the window).
    """
    pop, bucket, span, end = place
    chain(queue, work, bucket)
    grazed, kind = 0, net.pops[pop].kind
    for number in range(work.size[N_SUSPECTS]):
        j = work.suspects[SUSPECT, number]
        work.suspects[NUMBER, j] = -1
        n = gather(net, queue, work, number, bucket, end)
        if n < 0:
            return ARRIVALS_FULL, grazed
        if kind == LIF:
            status, more = walk_lif(net, work, j, n, span, end)
            grazed += more
            if status != OK:
                return status, grazed
        else:
            walk_maximum(net, work, j, n, span, end, outputs)
    return OK, grazed


@kernel
def run_population(net, queue, work, place, outputs, counters):
    """Take one population through one window and send its spikes; returns a status.

    ``place``: (population, bucket, length and end of the window); ``outputs``: the readings of the sample.
    """
    pop, bucket, _, end = place
    start, stop, kind = net.pops[pop].start, net.pops[pop].stop, net.pops[pop].kind
    sum_arrivals(net, queue, work, pop, bucket, end)
    if kind != LIF:
        weigh_readout(net, queue, pop, bucket, outputs[WEIGHTED])
    screen(net, work, pop, outputs[MAXIMUM])
    before, n_suspects = work.size[N_SPIKES], work.size[N_SUSPECTS]
    counters[EVENTS] += work.size[N_EVENTS]
    counters[WALKED] += n_suspects
    counters[SCREENED] += stop - start - n_suspects
    if n_suspects > 0:
        status, grazed = walk_suspects(net, queue, work, place, outputs)
        counters[GRAZED] += grazed
        if status != OK:
            return status
    release(queue, bucket)
    for n in range(before, work.size[N_SPIKES]):
        if not activate(net, queue, pop, work.tape[n].neuron - start, work.tape[n].time, 1.0):
            return QUEUE_FULL
    return OK


@kernel
def begin_sample(net, queue, work):
    """Put every neuron to rest and empty the queue."""
    clear(queue)
    for j in range(net.neurons.size):
        for row in (V, I, DV, DI, POSITIVE):
            work.values[row, j] = 0.0
        work.suspects[NUMBER, j] = -1
    set_window(net, work, net.h)


@kernel
def forward_sample(net, spikes, queue, work, outputs, counters):
    """Simulate one sample; ``spikes``: (input spikes, first, last), ``outputs``: its readings. Returns a status."""
    events, at, last = spikes
    begin_sample(net, queue, work)
    window = 0
    while window < net.n_windows:
        begin, end = window * net.h, min((window + 1) * net.h, net.duration)
        if queue.use[LIVE] == 0 and (at == last or events[at].time >= end) and is_quiet(net, work):
            later = net.n_windows
            if at < last and events[at].time < net.duration:
                later = np.int64(events[at].time / net.h)
            leap(net, work, outputs, begin, min(later * net.h, net.duration))
            window = later
            continue
        if end - begin != net.h:
            set_window(net, work, end - begin)
        while at < last and events[at].time < end:
            source = net.sources[events[at].source]
            if not activate(net, queue, source.pop, source.local, events[at].time, events[at].count):
                return QUEUE_FULL
            at += 1
        for pop in range(net.n_pops):
            place = (pop, (window & net.ring_mask) * net.n_pops + pop, end - begin, end)
            status = run_population(net, queue, work, place, outputs, counters)
            if status != OK:
                return status
        window += 1
    counters[AFTER_END] = last - at
    for j in range(net.neurons.size):
        outputs[VOLTAGE, j], outputs[CURRENT, j] = work.values[V, j], work.values[I, j]
    return OK


@entry
def forward_shard(net, spikes, samples, workspace, outputs, ends):
    """Simulate samples first..last one after the other until one does not end well.

    ``samples``: (first, last, largest number of spikes of a sample); ``workspace``: (Queue, Workspace), whose tape
    already holds ``size[N_SPIKES]`` spikes of earlier samples; ``outputs``: (readings (n_samples, N_READINGS, n_state),
    counters (n_samples, 5)), zero on entry; ``ends`` (n_samples,) receives the spikes on the tape after each sample.
    Returns (status, number of the sample that did not end well, or last).
    """
    first, last, most = samples
    queue, work = workspace
    readings, counters = outputs
    for sample in range(first, last):
        before = work.size[N_SPIKES]
        work.size[MOST_SPIKES] = before + most
        mine = (spikes.events, spikes.offsets[sample], spikes.offsets[sample + 1])
        status = forward_sample(net, mine, queue, work, readings[sample], counters[sample])
        if status != OK:
            if status != TOO_MANY_SPIKES:
                work.size[N_SPIKES] = before
            return status, sample
        ends[sample] = work.size[N_SPIKES]
    return OK, last
