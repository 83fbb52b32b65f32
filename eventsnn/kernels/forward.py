"""One shard of samples forward: deliver, screen, fire, window by window.

In each window a population first collects its arrivals, then every neuron is screened: a bound on its voltage shows
that most cannot reach threshold, and for those the sums over unsorted arrivals are the exact end state. The few that
might fire are walked through their sorted arrivals with the closed-form handlers (docs/engine.md).
"""

import math
from typing import NamedTuple

import numpy as np

from ..errors import Status
from .compile import kernel
from .crossing import FIRES, GRAZES, crossing
from .membrane import flow, peak_time, polynomial, psp_bound
from .queue import LIVE, activate, append, clear, larger, make_queue, release
from .state import LIF, READOUT_MAXIMUM, Readings, Tape

OK, TOO_MANY_SPIKES = int(Status.OK), int(Status.TOO_MANY_SPIKES)
# Columns of the counter table: see eventsnn.spikes.Counters.
EVENTS, WALKED, SCREENED, GRAZED, AFTER_END = 0, 1, 2, 3, 4
# The bound is an upper bound in real numbers; this factor covers its rounding.
BOUND_SAFETY = 1.0 - 1e-9
# Below this a state is zero: it cannot move any result, and denormal numbers would slow every window.
NEGLIGIBLE = 1e-290


class Arrivals(NamedTuple):
    """Arrivals of one population in one window.

    Single arrivals: time left to the end of the window, weight times count, state neuron. Row arrivals of dense
    connections, at one instant: time left, row, count, connection. ``size``: number of each.
    """

    left: np.ndarray
    weight: np.ndarray
    target: np.ndarray
    row_left: np.ndarray
    row: np.ndarray
    row_count: np.ndarray
    row_conn: np.ndarray
    size: np.ndarray


class State(NamedTuple):
    """Per state neuron: V, I; arrivals summed to the window's end; the flow over a window; scratch for walks."""

    v: np.ndarray
    i: np.ndarray
    dv: np.ndarray
    di: np.ndarray
    positive: np.ndarray
    decay_v: np.ndarray
    decay_i: np.ndarray
    psp: np.ndarray
    bound: np.ndarray
    suspect: np.ndarray
    suspects: np.ndarray


@kernel
def make_state(n):
    """State arrays for n neurons."""
    rows = np.zeros((9, n))
    return State(
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8],
        np.full(n, -1, np.int64), np.empty(n, np.int64),
    )  # fmt: skip


@kernel
def make_arrivals(capacity):
    """Buffers with room for ``capacity`` arrivals before they grow."""
    return Arrivals(
        np.empty(capacity), np.empty(capacity), np.empty(capacity, np.int32), np.empty(capacity),
        np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity, np.int64), np.zeros(2, np.int64),
    )  # fmt: skip


@kernel
def set_window(net, state, length):
    """Flow constants of every neuron over a window of ``length`` ms."""
    for j in range(state.v.size):
        tau_mem, tau_syn = net.tau_mem[j], net.tau_syn[j]
        state.decay_v[j] = math.exp(-length / tau_mem)
        state.psp[j], state.decay_i[j] = flow(0.0, 1.0, length, tau_mem, tau_syn)
        state.bound[j] = psp_bound(length, tau_mem, tau_syn)


@kernel
def _room_for_single(a, extra):
    needed = a.size[0] + extra
    if needed <= a.left.size:
        return a
    room = max(2 * a.left.size, needed)
    return Arrivals(
        larger(a.left, room), larger(a.weight, room), larger(a.target, room),
        a.row_left, a.row, a.row_count, a.row_conn, a.size,
    )  # fmt: skip


@kernel
def _room_for_row(a):
    if a.size[1] < a.row.size:
        return a
    room = 2 * a.row.size
    return Arrivals(
        a.left, a.weight, a.target,
        larger(a.row_left, room), larger(a.row, room), larger(a.row_count, room), larger(a.row_conn, room), a.size,
    )  # fmt: skip


@kernel
def _take_run(net, arrivals, first, last, spike):
    """Copy synapses first..last of a row whose spike has (time, count, end of window) to the single arrivals."""
    time, count, end = spike
    arrivals = _room_for_single(arrivals, last - first)
    at = arrivals.size[0]
    left, weight, target = arrivals.left, arrivals.weight, arrivals.target
    for s in range(last - first):
        left[at + s] = end - (time + net.delay[first + s])
        weight[at + s] = net.weight[first + s] * count
        target[at + s] = net.target[first + s]
    arrivals.size[0] = at + last - first
    return arrivals


@kernel
def _take_row(net, arrivals, conn, row, left, count):
    """Note the arrival of a row whose synapses share one delay."""
    if net.dense[conn]:
        arrivals = _room_for_row(arrivals)
        at = arrivals.size[1]
        arrivals.row_left[at], arrivals.row[at] = left, row
        arrivals.row_count[at], arrivals.row_conn[at] = count, conn
        arrivals.size[1] = at + 1
        return arrivals
    first, last = net.row_ptr[row], net.row_ptr[row + 1]
    arrivals = _room_for_single(arrivals, last - first)
    at = arrivals.size[0]
    for s in range(last - first):
        arrivals.left[at + s] = left
        arrivals.weight[at + s] = net.weight[first + s] * count
        arrivals.target[at + s] = net.target[first + s]
    arrivals.size[0] = at + last - first
    return arrivals


@kernel
def collect(net, queue, arrivals, pop, window, end):
    """Take the arrivals of one population in one window off the queue; returns (arrivals, synaptic events)."""
    arrivals.size[:] = 0
    n_conns = net.first_row.size
    rows_events = 0
    for c in range(net.in_ptr[pop], net.in_ptr[pop + 1]):
        conn = net.in_conn[c]
        bucket = (window & net.ring_mask) * n_conns + conn
        entry = queue.head[bucket]
        queue.head[bucket] = -1
        while entry >= 0:
            following = queue.next[entry]
            time, row, count = queue.time[entry], queue.row[entry], queue.count[entry]
            if not net.per_synapse[conn]:
                arrivals = _take_row(net, arrivals, conn, row, end - (time + net.row_delay[row]), count)
                rows_events += (net.row_ptr[row + 1] - net.row_ptr[row]) if net.dense[conn] else 0
                release(queue, entry)
            else:
                first, stop = queue.cursor[entry], net.row_ptr[row + 1]
                last = first
                while last < stop and time + net.delay[last] < end:
                    last += 1
                arrivals = _take_run(net, arrivals, first, last, (time, count, end))
                if last < stop and time + net.delay[last] < net.duration:
                    queue.cursor[entry] = last
                    later = np.int64((time + net.delay[last]) / net.h) & net.ring_mask
                    append(queue, later * n_conns + conn, entry)
                else:
                    release(queue, entry)
            entry = following
    return arrivals, arrivals.size[0] + rows_events


@kernel
def _sum_single(net, state, arrivals, pop):
    """Add each single arrival's effect on the end of the window, and the positive weights for the bound."""
    dv, di, positive = state.dv, state.di, state.positive
    table = net.series[net.series_of[net.pop_start[pop]]]
    uniform = net.pop_uniform[pop]
    for e in range(arrivals.size[0]):
        j, w, x = arrivals.target[e], arrivals.weight[e], arrivals.left[e]
        if not uniform:
            table = net.series[net.series_of[j]]
        dv[j] += w * polynomial(table, 1, x)
        di[j] += w * polynomial(table, 0, x)
        positive[j] += max(w, 0.0)


@kernel
def _sum_row(net, state, pop, row, left, count):
    """Add the simultaneous arrivals of a dense row."""
    start, stop, first = net.pop_start[pop], net.pop_start[pop + 1], net.row_ptr[row]
    dv, di, positive = state.dv[start:stop], state.di[start:stop], state.positive[start:stop]
    weight = net.weight[first : first + stop - start]
    if net.pop_uniform[pop]:
        table = net.series[net.series_of[start]]
        to_v, to_i = count * polynomial(table, 1, left), count * polynomial(table, 0, left)
        for j in range(weight.size):
            dv[j] += weight[j] * to_v
            di[j] += weight[j] * to_i
            positive[j] += max(weight[j], 0.0) * count
        return
    for j in range(weight.size):
        table = net.series[net.series_of[start + j]]
        dv[j] += weight[j] * count * polynomial(table, 1, left)
        di[j] += weight[j] * count * polynomial(table, 0, left)
        positive[j] += max(weight[j], 0.0) * count


@kernel
def _clean(x):
    return x if abs(x) > NEGLIGIBLE else 0.0


@kernel
def screen(net, state, pop, maximum):
    """Advance each neuron that surely stays below its threshold (or its maximum so far); return how many are left."""
    v, i, dv, di, positive = state.v, state.i, state.dv, state.di, state.positive
    n_suspects = 0
    kind = net.pop_kind[pop]
    for j in range(net.pop_start[pop], net.pop_start[pop + 1]):
        drive = max(i[j], 0.0) + positive[j]
        highest = max(v[j], 0.0) + drive * state.bound[j]
        limit = maximum[j] if kind == READOUT_MAXIMUM else net.threshold[j] * BOUND_SAFETY
        # a spike also needs I above threshold; a new maximum needs only V
        if highest <= limit or (kind == LIF and drive <= net.threshold[j] * BOUND_SAFETY):
            v[j] = _clean(v[j] * state.decay_v[j] + i[j] * state.psp[j] + dv[j])
            i[j] = _clean(i[j] * state.decay_i[j] + di[j])
        else:
            state.suspects[n_suspects] = j
            state.suspect[j] = n_suspects
            n_suspects += 1
        dv[j], di[j], positive[j] = 0.0, 0.0, 0.0
    return n_suspects


@kernel
def chain(state, arrivals, n_suspects):
    """Link the single arrivals of each suspect in their order; returns (head per suspect, next per arrival)."""
    head = np.full(n_suspects, -1, np.int64)
    following = np.empty(arrivals.size[0], np.int64)
    for e in range(arrivals.size[0] - 1, -1, -1):
        slot = state.suspect[arrivals.target[e]]
        if slot >= 0:
            following[e] = head[slot]
            head[slot] = e
    return head, following


@kernel
def gather(net, arrivals, j, links, left, weight):
    """Copy the arrivals of neuron j, the earliest first, to ``left`` and ``weight``; returns their number."""
    e, following = links
    n = 0
    while e >= 0:
        left[n], weight[n] = arrivals.left[e], arrivals.weight[e]
        n += 1
        e = following[e]
    for r in range(arrivals.size[1]):
        offset = j - net.pop_start[net.conn_target[arrivals.row_conn[r]]]
        left[n] = arrivals.row_left[r]
        weight[n] = net.weight[net.row_ptr[arrivals.row[r]] + offset] * arrivals.row_count[r]
        n += 1
    # insertion sort: short lists, and stable, so that equal times keep one order
    for m in range(1, n):
        x, w, p = left[m], weight[m], m - 1
        while p >= 0 and left[p] < x:
            left[p + 1], weight[p + 1] = left[p], weight[p]
            p -= 1
        left[p + 1], weight[p + 1] = x, w
    return n


@kernel
def record(tape, n, time, neuron, slope):
    """Write a spike to the tape, which grows when it is full; returns the tape."""
    if n == tape.times.size:
        tape = Tape(larger(tape.times, 2 * n), larger(tape.neurons, 2 * n), larger(tape.slopes, 2 * n))
    tape.times[n], tape.neurons[n], tape.slopes[n] = time, neuron, slope
    return tape


@kernel
def _advance(net, table, j, v, i, dt):
    """(V, I) after dt within a window."""
    decay_i, psp = polynomial(table, 0, dt), polynomial(table, 1, dt)
    decay_v = decay_i + (net.tau_mem[j] / net.tau_syn[j] - 1.0) * psp
    return v * decay_v + i * psp, i * decay_i


@kernel
def walk_lif(net, state, j, window, arrivals, tape):
    """Take neuron j through its sorted arrivals and record its spikes.

    ``window``: (length, end); ``arrivals``: (left, weight, number); ``tape``: (tape, number of spikes, largest number).
    Returns (tape, number of spikes, grazing contacts).
    """
    span, end = window
    left, weight, n = arrivals
    tape, n_spikes, most = tape
    table = net.series[net.series_of[j]]
    neuron = (net.tau_mem[j], net.tau_syn[j], net.threshold[j])
    v, i, x, grazed, m = state.v[j], state.i[j], span, 0, 0
    while True:
        until = left[m] if m < n else 0.0
        v_end, i_end = _advance(net, table, j, v, i, x - until)
        outcome, t, slope = crossing(v, i, v_end, i_end, x - until, neuron)
        if outcome == FIRES:
            x = max(x - t, until)
            i, v = slope + neuron[2], 0.0
            grazed += slope < 1e-6 * neuron[2]
            # a spike belongs to the window that found it, even when rounding puts it on the window's end
            tape = record(tape, n_spikes, min(end - x, np.nextafter(end, 0.0)), j, slope)
            n_spikes += 1
            if n_spikes > most:
                break
            continue
        grazed += outcome == GRAZES
        v, i, x = v_end, i_end, until
        if m == n:
            break
        while m < n and left[m] == until:
            i += weight[m]
            m += 1
    state.v[j], state.i[j] = _clean(v), _clean(i)
    return tape, n_spikes, grazed


@kernel
def walk_maximum(net, state, j, window, arrivals, best):
    """Take readout neuron j through its sorted arrivals; returns its (largest voltage, when) so far."""
    span, end = window
    left, weight, n = arrivals
    maximum, when = best
    table = net.series[net.series_of[j]]
    v, i, x = state.v[j], state.i[j], span
    for m in range(n + 1):
        until = left[m] if m < n else 0.0
        v_end, i_end = _advance(net, table, j, v, i, x - until)
        if i > v and i_end < v_end:
            t = min(peak_time(v, i, net.tau_mem[j], net.tau_syn[j]), x - until)
            v_peak, _ = _advance(net, table, j, v, i, t)
            if v_peak > maximum:
                maximum, when = v_peak, end - (x - t)
        if v_end > maximum:
            maximum, when = v_end, end - until
        v, i, x = v_end, i_end, until
        if m < n:
            i += weight[m]
    state.v[j], state.i[j] = _clean(v), _clean(i)
    return maximum, when


@kernel
def weigh_readout(net, arrivals, pop, end, weighted):
    """Add w e^{-decay_rate s} of every arrival of a readout population to ``weighted``."""
    rate, start = net.decay_rate[pop], net.pop_start[pop]
    for e in range(arrivals.size[0]):
        weighted[arrivals.target[e]] += arrivals.weight[e] * math.exp(-rate * (end - arrivals.left[e]))
    for r in range(arrivals.size[1]):
        factor = arrivals.row_count[r] * math.exp(-rate * (end - arrivals.row_left[r]))
        first = net.row_ptr[arrivals.row[r]]
        for j in range(net.pop_start[pop + 1] - start):
            weighted[start + j] += net.weight[first + j] * factor


@kernel
def is_quiet(net, state):
    """True when no neuron can fire without a new arrival: none has a current above threshold."""
    for j in range(state.i.size):
        if state.i[j] > net.threshold[j]:
            return False
    return True


@kernel
def leap(net, state, readings, begin, end):
    """Cross a silence from ``begin`` to ``end`` in one step; ``readings``: (maximum, when) of this sample."""
    maximum, when = readings
    for pop in range(net.pop_kind.size):
        for j in range(net.pop_start[pop], net.pop_start[pop + 1]):
            v, i, tau_mem, tau_syn = state.v[j], state.i[j], net.tau_mem[j], net.tau_syn[j]
            if net.pop_kind[pop] == READOUT_MAXIMUM and i > v:
                t = min(peak_time(v, i, tau_mem, tau_syn), end - begin)
                v_peak, _ = flow(v, i, t, tau_mem, tau_syn)
                if v_peak > maximum[j]:
                    maximum[j], when[j] = v_peak, begin + t
            v, i = flow(v, i, end - begin, tau_mem, tau_syn)
            state.v[j], state.i[j] = _clean(v), _clean(i)


@kernel
def walk_suspects(net, state, arrivals, window, tape, best):
    """Walk every suspect of the window just screened; returns (tape, number of spikes, grazing contacts).

    ``window``: (population, number of suspects, length, end); ``best``: (maximum, when) of the readouts.
    """
    pop, n_suspects, span, end = window
    tape, n_spikes, most = tape
    head, following = chain(state, arrivals, n_suspects)
    room = arrivals.size[0] + arrivals.size[1]
    left, weight = np.empty(room), np.empty(room)
    grazed = 0
    for slot in range(n_suspects):
        j = state.suspects[slot]
        state.suspect[j] = -1
        n = gather(net, arrivals, j, (head[slot], following), left, weight)
        if net.pop_kind[pop] == LIF:
            if n_spikes <= most:
                tape, n_spikes, more = walk_lif(
                    net, state, j, (span, end), (left, weight, n), (tape, n_spikes, most)
                )
                grazed += more
        else:
            best[0][j], best[1][j] = walk_maximum(
                net, state, j, (span, end), (left, weight, n), (best[0][j], best[1][j])
            )
    return tape, n_spikes, grazed


@kernel
def _send(net, queue, tape, pop, first, last):
    """Send spikes first..last of the tape down every connection of their population; returns the queue."""
    start = net.pop_start[pop]
    for n in range(first, last):
        for c in range(net.out_ptr[pop], net.out_ptr[pop + 1]):
            queue = activate(net, queue, net.out_conn[c], tape.neurons[n] - start, tape.times[n], 1.0)
    return queue


@kernel
def _send_inputs(net, queue, spikes, at, last, end):
    """Send the input spikes before ``end``; returns (queue, next input spike)."""
    while at < last and spikes.times[at] < end:
        source = spikes.sources[at]
        pop = net.source_pop[source]
        for c in range(net.out_ptr[pop], net.out_ptr[pop + 1]):
            queue = activate(
                net, queue, net.out_conn[c], net.source_local[source], spikes.times[at], spikes.counts[at]
            )
        at += 1
    return queue, at


@kernel
def run_population(net, state, arrivals, window, tape, readings):
    """Sum the collected arrivals of a population, screen it and walk the suspects.

    ``window``: (population, length, end); ``readings``: (weighted, maximum, when) of this sample. Returns
    (tape, number of spikes, suspects, grazing contacts).
    """
    pop, span, end = window
    weighted, maximum, when = readings
    _sum_single(net, state, arrivals, pop)
    for r in range(arrivals.size[1]):
        _sum_row(net, state, pop, arrivals.row[r], arrivals.row_left[r], arrivals.row_count[r])
    if net.pop_kind[pop] != LIF:
        weigh_readout(net, arrivals, pop, end, weighted)
    n_suspects = screen(net, state, pop, maximum)
    if n_suspects == 0:
        return tape[0], tape[1], 0, 0
    new_tape, n_spikes, grazed = walk_suspects(
        net, state, arrivals, (pop, n_suspects, span, end), tape, (maximum, when)
    )
    return new_tape, n_spikes, n_suspects, grazed


@kernel
def forward_sample(net, spikes, sample, workspace, tape, outputs):
    """Simulate one sample.

    ``workspace``: (state, queue, arrivals); ``tape``: (tape, spikes so far, largest number); ``outputs``:
    (Readings, counters) whose row ``sample`` is filled. Returns (status, tape, number of spikes, queue, arrivals).
    """
    state, queue, arrivals = workspace
    tape, n_spikes, most = tape
    readings, counters = outputs[0], outputs[1][sample]
    best = (readings.maximum[sample], readings.maximum_time[sample])
    clear(queue)
    state.v[:], state.i[:] = 0.0, 0.0
    set_window(net, state, net.h)
    at, last = spikes.offsets[sample], spikes.offsets[sample + 1]
    window = 0
    while window < net.n_windows:
        begin, end = window * net.h, min((window + 1) * net.h, net.duration)
        if queue.use[LIVE] == 0 and (at == last or spikes.times[at] >= end) and is_quiet(net, state):
            target = net.n_windows
            if at < last and spikes.times[at] < net.duration:
                target = np.int64(spikes.times[at] / net.h)
            leap(net, state, best, begin, min(target * net.h, net.duration))
            window = target
            continue
        if end - begin != net.h:
            set_window(net, state, end - begin)
        queue, at = _send_inputs(net, queue, spikes, at, last, end)
        for pop in range(net.pop_kind.size):
            arrivals, events = collect(net, queue, arrivals, pop, window, end)
            before = n_spikes
            tape, n_spikes, walked, grazed = run_population(
                net, state, arrivals, (pop, end - begin, end), (tape, n_spikes, most),
                (readings.weighted[sample], best[0], best[1]),
            )  # fmt: skip
            queue = _send(net, queue, tape, pop, before, n_spikes)
            counters[EVENTS] += events
            counters[WALKED] += walked
            counters[SCREENED] += net.pop_start[pop + 1] - net.pop_start[pop] - walked
            counters[GRAZED] += grazed
            if n_spikes > most:
                return TOO_MANY_SPIKES, tape, n_spikes, queue, arrivals
        window += 1
    counters[AFTER_END] = last - at
    readings.voltage[sample], readings.current[sample] = state.v, state.i
    return OK, tape, n_spikes, queue, arrivals


@kernel
def forward_shard(net, spikes, samples, limits, outputs):
    """Simulate samples first..last one after the other.

    ``samples``: (first, last); ``limits``: (most spikes of a sample, initial capacity of every buffer); ``outputs``:
    (Readings, counters). Returns (status, Tape, spikes up to the end of each sample); on a status other than OK the
    last entry belongs to the sample that failed.
    """
    first, last = samples
    most, capacity = limits
    state = make_state(net.tau_mem.size)
    queue = make_queue((net.ring_mask + 1) * net.first_row.size, capacity)
    arrivals = make_arrivals(capacity)
    tape = Tape(np.empty(capacity), np.empty(capacity, np.int32), np.empty(capacity))
    ends = np.zeros(last - first, np.int64)
    n_spikes = 0
    for sample in range(first, last):
        status, tape, n_spikes, queue, arrivals = forward_sample(
            net, spikes, sample, (state, queue, arrivals), (tape, n_spikes, n_spikes + most), outputs
        )
        ends[sample - first] = n_spikes
        if status != OK:
            return status, Tape(tape.times[:n_spikes], tape.neurons[:n_spikes], tape.slopes[:n_spikes]), ends
    return OK, Tape(tape.times[:n_spikes], tape.neurons[:n_spikes], tape.slopes[:n_spikes]), ends
