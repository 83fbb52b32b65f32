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

from .compile import entry, inlined, kernel
from .crossing import FIRES, GRAZES, GRAZING, crossing
from .membrane import advance, clean, coefficients, estrin, flow, peak_time, polynomial
from .queue import LIVE, NOTHING, bucket_of, clear, is_empty, new_event, put, release, take_all
from .simd import BLOCK, copy_due, prefetch
from .state import (
    AFTER_END,
    CURRENT,
    EVENTS,
    GRAZED,
    LEAST_LEAP,
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
    Status,
)

OK, TOO_MANY_SPIKES, QUEUE_FULL, ARRIVALS_FULL, TAPE_FULL = (int(status) for status in Status)
# The bound is an upper bound in real numbers; this factor covers its rounding.
BOUND_SAFETY = 1.0 - 1e-9
# Cells of a power-of-two size would crowd into the same few sets of the cache.
CELL_OFFSET = 40
# Arrivals whose polynomials are evaluated together.
CHUNK = 64
# Rows of Workspace.values: V, I; arrivals summed to the window's end; constants of the flow over a window.
V, I, DV, DI, POSITIVE, DECAY_V, DECAY_I, PSP, RISE = range(9)
N_VALUES = 9
# Rows of Workspace.suspects: a neuron's number among the suspects of this window, or -1; the suspects; the place of
# the first arrival of each suspect.
NUMBER, SUSPECT, FIRST = range(3)
# Rows of Workspace.sorted, the arrivals of one neuron, the latest first: time left to the window's end, and weight.
LEFT, WEIGHT = range(2)
# Rows of Workspace.chunk: the responses of I and V to the arrivals of one chunk.
TO_I, TO_V = range(2)
# Places in Workspace.size: suspects, spikes on the tape, spikes that the sample may reach.
N_SUSPECTS, N_SPIKES, MOST_SPIKES = range(3)
# Rows of Workspace.cells: arrivals of one window and population so far, and the first of its whole rows.
N_ARRIVALS, FIRST_ROW = range(2)


class Workspace(NamedTuple):
    """The buffers of one thread beside its queue; the row names above say what is where."""

    values: np.ndarray  # (9, n_state)
    suspects: np.ndarray  # (3, n_state)
    chunk: np.ndarray  # (2, CHUNK)
    cells: np.ndarray  # (2, n_cells): a cell is a window of the stretch, times populations, plus a population
    left: np.ndarray  # (n_cells * capacity,) of each arrival, cell by cell: time left to the end of its window
    weight: np.ndarray  # (n_cells * capacity,)
    target: np.ndarray  # (n_cells * capacity,)
    following: np.ndarray  # (capacity,) where the next arrival of the same neuron lies, once a walk asks; -1 for none
    sorted: np.ndarray  # (2, capacity)
    size: np.ndarray  # (3,)
    tape: np.ndarray  # SPIKE


def make_workspace(n_state, n_cells, capacity):
    """Buffers for ``n_state`` neurons with room for ``capacity`` spikes, and for as many arrivals in each cell."""
    room = capacity + CELL_OFFSET
    return Workspace(
        values=np.zeros((N_VALUES, n_state)),
        suspects=np.zeros((3, n_state), np.int64),
        chunk=np.zeros((2, CHUNK)),
        cells=np.zeros((2, n_cells), np.int64),
        left=np.zeros(n_cells * room),
        weight=np.zeros(n_cells * room),
        target=np.zeros(n_cells * room, np.uint32),
        following=np.zeros(room, np.int32),
        sorted=np.zeros((2, room)),
        size=np.zeros(3, np.int64),
        tape=np.zeros(capacity, SPIKE),
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


@inlined
def ask_for(net, s):
    """Start to load the synapses from s on: a row is visited too seldom for the processor to foresee it."""
    for line in range(s, s + 16, 8):
        prefetch(net.delay, line)
        prefetch(net.weight, line)
    prefetch(net.target, s + 8)


@inlined
def hand_over_block(net, work, event, cell, end):
    """Write an event's arrivals before ``end``, the end of a window, into a cell; returns False for no room.

    A block of synapses is copied whole, and only as many are kept as are due: without branches that is cheaper than
    stopping in time, and what is not kept is overwritten by the next. Arrays have a block to spare at their ends.
    """
    capacity = work.following.size
    first, n, s = cell * capacity, work.cells[N_ARRIVALS, cell], event.at
    while True:
        if n + BLOCK > capacity:
            return False
        due = copy_due(
            net.delay, net.weight, net.target, s, work.left, work.weight, work.target, first + n, event.time,
            event.count, end, event.stop - s,
        )  # fmt: skip
        s += due
        n += due
        if due < BLOCK or s == event.stop:
            break
    event.at, work.cells[N_ARRIVALS, cell] = s, n
    return True


@inlined
def hand_over(net, work, event, end):
    """Write an event's arrivals before ``end``, the end of a stretch, into their cells; returns False for no room."""
    capacity, mask, pop = work.following.size, net.stretch - 1, net.conns[event.conn].target
    s, count = event.at, event.count
    while s < event.stop:
        arrival = event.time + net.delay[s]
        if arrival >= end:
            break
        window = np.int64(arrival * net.per_ms)
        cell = (window & mask) * net.n_pops + pop
        n = work.cells[N_ARRIVALS, cell]
        if n == capacity:
            return False
        place = cell * capacity + n
        work.left[place] = min((window + 1) * net.h, net.duration) - arrival
        work.weight[place], work.target[place] = net.weight[s] * count, net.target[s]
        work.cells[N_ARRIVALS, cell] = n + 1
        s += 1
    event.at = s
    return True


@inlined
def deliver(net, queue, work, item, stretch):
    """Let an event hand over what arrives in this stretch and send it on; returns False for no room.

    A row that arrives as a whole stays linked to its cell until the window is done.
    """
    event = queue.events[item]
    if not net.conns[event.conn].per_synapse:
        window = np.int64(event.time * net.per_ms)
        cell = (window & (net.stretch - 1)) * net.n_pops + net.conns[event.conn].target
        event.next, work.cells[FIRST_ROW, cell] = work.cells[FIRST_ROW, cell], item
        return True
    end = min((stretch + 1) * net.stretch * net.h, net.duration)
    if net.stretch == 1:
        room = hand_over_block(net, work, event, net.conns[event.conn].target, end)
    else:
        room = hand_over(net, work, event, end)
    if not room:
        return False
    s = event.at
    arrival = event.time + net.delay[s] if s < event.stop else net.duration
    if arrival >= net.duration:
        release(queue, item)
        return True
    put(queue, bucket_of(net, arrival, net.conns[event.conn].target), item)
    ask_for(net, s + 8)
    return True


@kernel
def activate(net, queue, work, pop, local, time, count, stretch):
    """Send the spike of neuron ``local`` of a population down its rows; returns a status."""
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        row = net.conns[conn].first_row + local
        first, last = net.row_ptr[row], net.row_ptr[row + 1]
        if first == last:
            continue
        if net.conns[conn].per_synapse:
            sent, arrival = time, time + net.delay[first]
        else:
            sent = arrival = time + net.row_delay[row]
        if arrival >= net.duration:
            continue
        item = new_event(queue)
        if item == NOTHING:
            return QUEUE_FULL
        ask_for(net, first)
        event = queue.events[item]
        event.time, event.count, event.at, event.stop, event.row, event.conn = sent, count, first, last, row, conn
        if np.int64(arrival * net.per_ms) >> net.shift == stretch:
            if not deliver(net, queue, work, item, stretch):
                return ARRIVALS_FULL
        else:
            put(queue, bucket_of(net, arrival, net.conns[conn].target), item)
    return OK


@kernel
def begin_stretch(net, queue, work, stretch):
    """Let every event that has arrivals in a stretch of windows hand them over; returns False for no room."""
    work.cells[N_ARRIVALS], work.cells[FIRST_ROW] = 0, NOTHING
    for pop in range(net.n_pops):
        item = take_all(queue, (stretch & net.ring_mask) * net.n_pops + pop)
        while item >= 0:
            this, item = item, queue.events[item].next
            if item >= 0:
                ask_for(net, queue.events[item].at)
            if not deliver(net, queue, work, this, stretch):
                return False
    return True


@kernel
def sum_chunk(net, work, first, n, k):
    """Add the effect of n arrivals on the end of the window; ``k``: the table of their targets, or -1 for several."""
    values, to_v, to_i = work.values, work.chunk[TO_V], work.chunk[TO_I]
    left, weight, target = work.left[first:], work.weight[first:], work.target[first:]
    if k >= 0:
        # this loop runs on vectors: keep look-ups out of it
        series_i, series_v = coefficients(net.series, k, 0), coefficients(net.series, k, 1)
        for e in range(n):
            to_i[e], to_v[e] = estrin(series_i, left[e]), estrin(series_v, left[e])
    else:
        for e in range(n):
            own = net.neurons[target[e]].series
            to_i[e], to_v[e] = polynomial(net.series, own, 0, left[e]), polynomial(net.series, own, 1, left[e])
    for e in range(n):
        j, w = target[e], weight[e]
        values[DV, j] += w * to_v[e]
        values[DI, j] += w * to_i[e]
        values[POSITIVE, j] += max(w, 0.0)


@kernel
def sum_row(net, work, pop, left, event):
    """Add the simultaneous arrivals of a row, ``left`` ms before the end of the window."""
    values, count, start = work.values, event.count, net.pops[pop].start
    k, uniform = net.neurons[start].series, net.pops[pop].uniform
    to_v, to_i = count * polynomial(net.series, k, 1, left), count * polynomial(net.series, k, 0, left)
    weight, target = net.weight[event.at : event.stop], net.target[event.at : event.stop]
    if uniform and net.conns[event.conn].dense:
        stop = start + weight.size
        dv, di, positive = values[DV, start:stop], values[DI, start:stop], values[POSITIVE, start:stop]
        for s in range(weight.size):
            dv[s] += weight[s] * to_v
            di[s] += weight[s] * to_i
            positive[s] += max(weight[s], 0.0) * count
        return
    for s in range(weight.size):
        j, w = target[s], weight[s]
        if not uniform:
            k = net.neurons[j].series
            to_v, to_i = count * polynomial(net.series, k, 1, left), count * polynomial(net.series, k, 0, left)
        values[DV, j] += w * to_v
        values[DI, j] += w * to_i
        values[POSITIVE, j] += max(w, 0.0) * count


@kernel
def sum_arrivals(net, queue, work, pop, cell, end):
    """Add each arrival's effect on the end of the window, and the weights for the bound; returns their number."""
    k = net.neurons[net.pops[pop].start].series if net.pops[pop].uniform else -1
    n_arrivals, start = work.cells[N_ARRIVALS, cell], cell * work.following.size
    for first in range(0, n_arrivals, CHUNK):
        sum_chunk(net, work, start + first, min(CHUNK, n_arrivals - first), k)
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        event = queue.events[item]
        sum_row(net, work, pop, end - event.time, event)
        n_arrivals += event.stop - event.at
        item = event.next
    return n_arrivals


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
def chain(work, cell):
    """Link the arrivals of each suspect, the last one first."""
    number, first = work.suspects[NUMBER], work.suspects[FIRST]
    following, start = work.following, cell * work.following.size
    target = work.target[start:]
    first[: work.size[N_SUSPECTS]] = -1
    for place in range(work.cells[N_ARRIVALS, cell]):
        suspect = number[target[place]]
        if suspect >= 0:
            following[place], first[suspect] = first[suspect], place


@inlined
def insert(work, n, left, weight):
    """Insert an arrival among the n sorted ones, behind those of the same time; returns False for no room.

    The latest comes first: what was handed over in order of time is met from its end, and needs no sorting then.
    """
    rows = work.sorted
    if n == rows.shape[1]:
        return False
    p = n
    while p > 0 and rows[LEFT, p - 1] > left:
        rows[LEFT, p], rows[WEIGHT, p] = rows[LEFT, p - 1], rows[WEIGHT, p - 1]
        p -= 1
    rows[LEFT, p], rows[WEIGHT, p] = left, weight
    return True


@inlined
def synapse_to(net, event, j):
    """The synapse of a whole row that ends at neuron j, or -1; the targets of a row are sorted."""
    low, high = event.at, event.stop
    if net.conns[event.conn].dense:
        return low + j - net.pops[net.neurons[j].pop].start
    while low < high:
        middle = (low + high) >> 1
        if net.target[middle] < j:
            low = middle + 1
        else:
            high = middle
    return low if low < event.stop and net.target[low] == j else -1


@kernel
def gather(net, queue, work, number, cell, end):
    """Sort the arrivals of a suspect, the latest first; returns their number, or -1 for no room."""
    j, place, n = work.suspects[SUSPECT, number], work.suspects[FIRST, number], 0
    start = cell * work.following.size
    while place >= 0:
        if not insert(work, n, work.left[start + place], work.weight[start + place]):
            return -1
        n += 1
        place = work.following[place]
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        event = queue.events[item]
        s = synapse_to(net, event, j)
        if s >= 0:
            if not insert(work, n, end - event.time, net.weight[s] * event.count):
                return -1
            n += 1
        item = event.next
    return n


@kernel
def walk_lif(net, work, j, n, span, end):
    """Take neuron j through its n sorted arrivals of a window, recording spikes; returns (status, grazing contacts)."""
    left, weight = work.sorted[LEFT], work.sorted[WEIGHT]
    neuron = (net.neurons[j].tau_mem, net.neurons[j].tau_syn, net.neurons[j].threshold)
    v, i, x, grazed, m = work.values[V, j], work.values[I, j], span, 0, n - 1
    while True:
        until = left[m] if m >= 0 else 0.0
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
        if m < 0:
            break
        while m >= 0 and left[m] == until:
            i += weight[m]
            m -= 1
    work.values[V, j], work.values[I, j] = clean(v), clean(i)
    return OK, grazed


@kernel
def walk_maximum(net, work, j, n, span, end, outputs):
    """Take readout neuron j through its n sorted arrivals and keep its largest voltage, the time and the share.

    An inhibitory arrival can end the rise of V: the maximum then moves with that arrival, at the slope before it. The
    arrival feels the share (I- - V)/(I- - I+) of the pull, which gives just that (docs/mathematics.md, section 6).
    """
    left, weight = work.sorted[LEFT], work.sorted[WEIGHT]
    v, i, x, m = work.values[V, j], work.values[I, j], span, n - 1
    while True:
        until = left[m] if m >= 0 else 0.0
        v_end, i_end = advance(net, j, v, i, x - until)
        if i > v and i_end < v_end:
            t = min(peak_time(v, i, net.neurons[j].tau_mem, net.neurons[j].tau_syn), x - until)
            v_peak, _ = advance(net, j, v, i, t)
            if v_peak > outputs[MAXIMUM, j]:
                outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j], outputs[SHARE, j] = v_peak, end - (x - t), 1.0
        v, i, x = v_end, i_end, until
        while m >= 0 and left[m] == until:
            i += weight[m]
            m -= 1
        # equality: an arrival on the very edge of the window before has not been seen yet
        if v >= outputs[MAXIMUM, j] and v > 0.0:
            outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j] = v, end - until
            outputs[SHARE, j] = (i_end - v) / (i_end - i) if i < v < i_end else 1.0
        if until == 0.0:
            break
    work.values[V, j], work.values[I, j] = clean(v), clean(i)


@kernel
def weigh_readout(net, queue, work, pop, cell, end, weighted):
    """Add w e^{-decay_rate s} of every arrival of a readout population to ``weighted``."""
    rate = net.pops[pop].decay_rate
    first = cell * work.following.size
    for place in range(first, first + work.cells[N_ARRIVALS, cell]):
        factor = math.exp(-rate * (end - work.left[place])) if rate != 0.0 else 1.0
        weighted[work.target[place]] += work.weight[place] * factor
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        event = queue.events[item]
        factor = event.count * math.exp(-rate * event.time)
        for s in range(event.at, event.stop):
            weighted[net.target[s]] += net.weight[s] * factor
        item = event.next


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
def walk_suspects(net, queue, work, pop, cell, span, end, outputs):
    """Walk every suspect of the window just screened; returns (status, grazing contacts)."""
    chain(work, cell)
    grazed, kind = 0, net.pops[pop].kind
    for number in range(work.size[N_SUSPECTS]):
        j = work.suspects[SUSPECT, number]
        work.suspects[NUMBER, j] = -1
        n = gather(net, queue, work, number, cell, end)
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
def run_population(net, queue, work, pop, window, outputs, counters):
    """Take one population through one window and send its spikes; returns a status."""
    begin, end = window * net.h, min((window + 1) * net.h, net.duration)
    start, stop, kind = net.pops[pop].start, net.pops[pop].stop, net.pops[pop].kind
    cell = (window & (net.stretch - 1)) * net.n_pops + pop
    counters[EVENTS] += sum_arrivals(net, queue, work, pop, cell, end)
    if kind != LIF:
        weigh_readout(net, queue, work, pop, cell, end, outputs[WEIGHTED])
    screen(net, work, pop, outputs[MAXIMUM])
    before, n_suspects = work.size[N_SPIKES], work.size[N_SUSPECTS]
    counters[WALKED] += n_suspects
    counters[SCREENED] += stop - start - n_suspects
    if n_suspects > 0:
        status, grazed = walk_suspects(net, queue, work, pop, cell, end - begin, end, outputs)
        counters[GRAZED] += grazed
        if status != OK:
            return status
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        following = queue.events[item].next
        release(queue, item)
        item = following
    for n in range(before, work.size[N_SPIKES]):
        local, time = work.tape[n].neuron - start, work.tape[n].time
        status = activate(net, queue, work, pop, local, time, 1.0, window >> net.shift)
        if status != OK:
            return status
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


@inlined
def nothing_arrives(net, work, window):
    """True when nothing arrives in a window of the stretch at hand."""
    first = (window & (net.stretch - 1)) * net.n_pops
    for cell in range(first, first + net.n_pops):
        if work.cells[N_ARRIVALS, cell] > 0 or work.cells[FIRST_ROW, cell] >= 0:
            return False
    return True


@kernel
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
    """Simulate one sample; ``spikes``: (input spikes, first, last), ``outputs``: its readings. Returns a status."""
    events, at, last = spikes
    begin_sample(net, queue, work)
    window = 0
    stretch = -1
    while window < net.n_windows:
        begin, end = window * net.h, min((window + 1) * net.h, net.duration)
        if window >> net.shift != stretch:
            stretch = window >> net.shift
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
            set_window(net, work, end - begin)
        while at < last and events[at].time < end:
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
