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
from .membrane import (
    NEGLIGIBLE,
    advance,
    clean,
    flow,
    is_other,
    leap_on,
    mode_growth,
    peak_time,
    psp,
    response_integral,
    responses,
    step_on,
)
from .queue import (
    LIVE,
    NOTHING,
    bucket_of,
    clear,
    is_empty,
    move_modes,
    new_event,
    put,
    reached_before_end,
    release,
    set_modes,
    stretch_of,
    stretch_of_arrival,
    take_all,
    ticks_since,
)
from .simd import BLOCK, add_rows, advance_calm, is_set, places_ahead, prefetch, scatter, trailing_zeros
from .state import (
    AFTER_END,
    EVENTS,
    GRAZED,
    INTEGRAL,
    LEAST_LEAP,
    LIF,
    MAXIMUM,
    MAXIMUM_TIME,
    NEVER,
    READOUT_MAXIMUM,
    SCREENED,
    SHARE,
    SPIKE,
    TARGET,
    WALKED,
    Status,
)

OK, TOO_MANY_SPIKES, QUEUE_FULL, ARRIVALS_FULL, TAPE_FULL, INTERRUPTED = (int(status) for status in Status)
# The bound is an upper bound in real numbers; this factor covers its rounding.
BOUND_SAFETY = 1.0 - 1e-9
# Rows of Workspace.values: V, I; what rounding took from them, to be given back (membrane.step_on); the effect of
# arrivals on them at the window's end, and that of excitatory ones alone on V; constants of the flow over a window,
# e^{-h/tau} - 1 and psp; what V must not reach unseen.
V, I, LOST_V, LOST_I, DV, DI, UP, FALL_V, FALL_I, PSP, LIMIT = range(11)
N_VALUES = 11
# The rounding of the modes, relative to what is added up (docs/engine.md).
MODE_SAFETY = 1e-11
# Rows of Workspace.row_factors: what a unit weight adds to V and I; and the rows that are added together.
TO_V, TO_I = range(2)
MOST_ROWS = 64
# Rows of Workspace.sorted, the arrivals of one neuron, the latest first: time left to the window's end, and weight.
LEFT, WEIGHT = range(2)
# So many arrivals are sorted by insertion: few are sorted fastest so.
RUN = 32
# Places in Workspace.size: suspects, spikes on the tape, spikes that the sample may reach; arrivals of the stretch at
# hand, and blocks of them. Then where a sample goes on: the next window (0: from the start), the stretch at hand, the
# next input spike.
N_SUSPECTS, N_SPIKES, MOST_SPIKES, N_ARRIVALS, N_BLOCKS, WINDOW, STRETCH, INPUT = range(8)
# Rows of Workspace.cells: 1 if a window has arrivals from per-synapse delays, and the first of its whole rows.
TOUCHED, FIRST_ROW = range(2)
# No arrival yet in a list of arrivals.
NONE = np.uint32(2**32 - 1)
# Up to BLOCK arrivals of one spike: arrival number BLOCK * b + k of the stretch is that of synapse ``first`` + k.
ARRIVALS = np.dtype([("time", np.float64), ("count", np.float64), ("first", np.int64)])


class Workspace(NamedTuple):
    """The buffers of one thread beside its queue; the row names above say what is where.

    An arrival is added to the modes of its neuron, window and sign, and linked to the others there: most neurons need
    no more than the sums, and those that might fire find their arrivals in the list.
    """

    values: np.ndarray  # (N_VALUES, n_state and a block to spare)
    suspects: np.ndarray  # (n_state,)
    found: np.ndarray  # (capacity,) the arrivals of one suspect after the other
    found_until: np.ndarray  # (n_state,) where those of each suspect end
    cells: np.ndarray  # (2, n_cells): a cell is a window of the stretch, times populations, plus a population
    modes: np.ndarray  # (stretch * n_state * 4,) sums that decay with tau_mem and tau_syn, excitatory and inhibitory
    head: np.ndarray  # (stretch * n_state * 2,) the newest arrival of each window, neuron and sign, or NONE
    link: np.ndarray  # (blocks * BLOCK,) the arrival before each arrival of the stretch in its list
    blocks: np.ndarray  # (capacity / 4,) ARRIVALS
    place: np.ndarray  # (BLOCK,)
    row_first: np.ndarray  # (MOST_ROWS,) the first synapses of dense rows at hand
    row_factors: np.ndarray  # (2, MOST_ROWS)
    sorted: np.ndarray  # (2, capacity)
    spare: np.ndarray  # (2, capacity / 2) room to merge sorted runs in
    size: np.ndarray  # (8,)
    tape: np.ndarray  # SPIKE
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


def make_workspace(n_state, n_pops, stretch, capacity):
    """Buffers for ``n_state`` neurons with room for ``capacity`` spikes, and for as many arrivals in a stretch."""
    return Workspace(
        values=np.zeros((N_VALUES, n_state + BLOCK)),
        suspects=np.zeros(n_state, np.int64),
        found=np.zeros(capacity, np.uint32),
        found_until=np.zeros(n_state, np.int64),
        cells=np.zeros((2, stretch * n_pops), np.int64),
        modes=np.zeros(stretch * n_state * 4),
        head=np.full(stretch * n_state * 2, NONE),
        link=np.zeros(-(-capacity // 4) * BLOCK, np.uint32),
        blocks=np.zeros(-(-capacity // 4), ARRIVALS),
        place=np.zeros(BLOCK, np.uint32),
        row_first=np.zeros(MOST_ROWS, np.int64),
        row_factors=np.zeros((2, MOST_ROWS)),
        sorted=np.zeros((2, capacity)),
        spare=np.zeros((2, -(-capacity // 2))),
        size=np.zeros(8, np.int64),
        tape=np.zeros(capacity, SPIKE),
        stop=NEVER.ctypes.data,
    )


@kernel
def set_window(net, work, length):
    """Flow constants of every neuron over a window of ``length`` ms."""
    values, fall_v, fall_i, response = work.values, 0.0, 0.0, 0.0
    for j in range(net.neurons.size):
        if is_other(net, j):
            tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
            fall_v, fall_i = math.expm1(-length / tau_mem), math.expm1(-length / tau_syn)
            response = psp(length, tau_mem, tau_syn)
        values[FALL_V, j], values[FALL_I, j], values[PSP, j] = fall_v, fall_i, response


@inlined
def ask_for(net, s):
    """Start to load the synapses from s on: a row is visited too seldom for the processor to foresee it."""
    for line in range(s, s + 32, 8):
        prefetch(net.charge, 2 * line)
        prefetch(net.charge, 2 * line + 8)
    for line in range(s, s + 32, 16):
        prefetch(net.tick, line)
        prefetch(net.slot, line)


@inlined
def scatter_responses(net, work, event, first, n, due):
    """As `simd.scatter`, for any targets: what is added is the response of V and I at the window's end."""
    for k in range(due):
        s, where = first + k, work.place[k]
        arrival = event.time + net.delay[s]
        left = min((np.int64(arrival * net.per_ms) + 1) * net.h, net.duration) - arrival
        _, decay_i, response = responses(net, net.slot[s] >> TARGET, left)
        work.modes[where] += net.weight[s] * event.count * response
        work.modes[where + np.uint32(1)] += net.weight[s] * event.count * decay_i
        place = where >> np.uint32(1)
        work.link[n + k] = work.head[place]
        work.head[place] = n + k


@inlined
def places_ahead_exactly(net, place, s, time, begin, end, most):
    """`simd.places_ahead` in full precision: the places of the next arrivals before ``end``; returns their number."""
    for k in range(min(BLOCK, most)):
        arrival = time + net.delay[s + k]
        if arrival >= end:
            return k
        # exact: the difference of numbers within a factor of two, times a power of two
        place[k] = net.slot[s + k] + np.uint32((arrival - begin) * net.per_ms) * np.uint32(4 * net.neurons.size)
    return min(BLOCK, most)


@inlined
def hand_over(net, work, event, stretch, since):
    """Add an event's arrivals in a stretch to the modes of their windows; returns False for no room.

    ``since``: when the spike was fired, in ticks from the start of the stretch.
    """
    begin, pop, s, block = stretch * net.stretch * net.h, net.conns[event.conn].target, event.at, work.size[N_BLOCKS]
    end, modal, stride = begin + net.stretch * net.h, net.pops[pop].modal, 4 * net.neurons.size
    first = last = work.place[0]
    while True:
        if block == work.blocks.size:
            return False
        due = places_ahead(net.tick, net.slot, s, work.place, since, stride, net.bits, net.stretch, event.stop - s)
        if due < 0:
            due = places_ahead_exactly(net, work.place, s, event.time, begin, end, event.stop - s)
        slot = work.blocks[block]
        slot.time, slot.count, slot.first = event.time, event.count, s
        if modal:
            scatter(
                work.place, net.charge, s, work.modes, work.head, work.link, BLOCK * block, event.by_mem, event.by_syn,
                due,
            )  # fmt: skip
        else:
            scatter_responses(net, work, event, s, BLOCK * block, due)
        if due > 0:
            if s == event.at:
                first = work.place[0]
            last = work.place[due - 1]
        s += due
        block += due > 0
        if due < BLOCK or s == event.stop:
            break
    if s > event.at:
        for window in range(np.int64(first) // stride, np.int64(last) // stride + 1):
            work.cells[TOUCHED, window * net.n_pops + pop] = 1
    work.size[N_ARRIVALS] += s - event.at
    event.at, work.size[N_BLOCKS] = s, block
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
    since = ticks_since(net, event.time, stretch)
    if not hand_over(net, work, event, stretch, since):
        return False
    if event.at < event.stop:
        later = stretch_of_arrival(net, event, event.at, stretch, since)
        move_modes(net, event, stretch, later)
        put(queue, bucket_of(net, later, net.conns[event.conn].target), item)
        return True
    release(queue, item)
    return True


@inlined
def activate(net, queue, work, pop, local, time, count, stretch):
    """Send the spike of neuron ``local`` of a population down its rows; returns a status."""
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        row = net.conns[conn].first_row + local
        first, last = net.row_ptr[row], net.row_ptr[row + 1]
        arrival = time + net.row_delay[row]
        if net.conns[conn].per_synapse:
            last = reached_before_end(net, time, first, last)
        if first == last or arrival >= net.duration:
            continue
        item = new_event(queue)
        if item == NOTHING:
            return QUEUE_FULL
        event = queue.events[item]
        event.time, event.count, event.at, event.stop, event.row, event.conn = time, count, first, last, row, conn
        if net.conns[conn].per_synapse:
            later = stretch_of_arrival(net, event, first, stretch, ticks_since(net, time, stretch))
            set_modes(net, event, later)
        else:
            event.time, later = arrival, stretch_of(net, arrival)
        if later == stretch:
            if not deliver(net, queue, work, item, stretch):
                return ARRIVALS_FULL
        else:
            put(queue, bucket_of(net, later, net.conns[conn].target), item)
    return OK


@inlined
def ask_for_rows(net, pop, local):
    """Start to load the synapses of a neuron that is about to send a spike."""
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        if net.conns[conn].per_synapse:
            ask_for(net, net.row_ptr[net.conns[conn].first_row + local])


@inlined
def begin_stretch(net, queue, work, stretch):
    """Let every event that has arrivals in a stretch of windows hand them over; returns False for no room."""
    work.cells[TOUCHED], work.cells[FIRST_ROW] = 0, NOTHING
    work.size[N_ARRIVALS], work.size[N_BLOCKS] = 0, 0
    for pop in range(net.n_pops):
        item = take_all(queue, bucket_of(net, stretch, pop))
        while item >= 0:
            this, item = item, queue.events[item].next
            if item >= 0 and net.conns[queue.events[item].conn].per_synapse:
                ask_for(net, queue.events[item].at)
            if is_set(work.stop) or not deliver(net, queue, work, this, stretch):
                return False
    return True


@inlined
def sum_modes(net, work, pop, window):
    """Turn the modes of a window into the effect of its arrivals on V and I, and the bound for the screening."""
    start, stop = net.pops[pop].start, net.pops[pop].stop
    v_mem, v_syn, i_syn = 1.0, 0.0, 1.0
    if net.pops[pop].modal:
        by_mem, i_syn = mode_growth(net, pop, window)
        v_mem, v_syn = net.pops[pop].psp_scale * by_mem, net.pops[pop].psp_scale * i_syn
    up_mem, up_syn = v_mem + abs(v_mem) * MODE_SAFETY, v_syn - abs(v_syn) * MODE_SAFETY
    first = (window & (net.stretch - 1)) * net.neurons.size
    modes = work.modes[4 * (first + start) : 4 * (first + stop)]
    dv, di, up = work.values[DV, start:stop], work.values[DI, start:stop], work.values[UP, start:stop]
    for j in range(stop - start):
        mem, syn = modes[4 * j] + modes[4 * j + 2], modes[4 * j + 1] + modes[4 * j + 3]
        up[j] = up_mem * modes[4 * j] - up_syn * modes[4 * j + 1]
        dv[j], di[j] = v_mem * mem - v_syn * syn, i_syn * syn
    modes[:] = 0.0


@inlined
def sum_row(net, work, pop, left, event):
    """Add the simultaneous arrivals of a row, ``left`` ms before the end of the window."""
    values, uniform = work.values, net.pops[pop].uniform
    _, to_i, to_v = responses(net, net.pops[pop].start, left)
    for s in range(event.at, event.stop):
        j, w = net.slot[s] >> TARGET, net.weight[s] * event.count
        if not uniform:
            _, to_i, to_v = responses(net, j, left)
        values[DV, j] += w * to_v
        values[DI, j] += w * to_i
        values[UP, j] += max(w, 0.0) * to_v


@inlined
def sum_dense_rows(net, work, pop, n_rows):
    """Add the rows listed in ``work``, each to every neuron of a population with one pair of time constants."""
    start, stop, factors = net.pops[pop].start, net.pops[pop].stop, work.row_factors
    add_rows(
        net.weight, work.row_first, factors[TO_V], factors[TO_I], n_rows,
        work.values[DV, start:], work.values[DI, start:], work.values[UP, start:], stop - start,
    )  # fmt: skip


@inlined
def sum_rows(net, queue, work, pop, window, end):
    """Add the arrivals of all whole rows of a window; returns their number."""
    item, n, n_rows = work.cells[FIRST_ROW, (window & (net.stretch - 1)) * net.n_pops + pop], 0, 0
    while item >= 0:
        event = queue.events[item]
        left = end - event.time
        if not (net.pops[pop].uniform and net.conns[event.conn].dense):
            sum_row(net, work, pop, left, event)
        else:
            _, to_i, to_v = responses(net, net.pops[pop].start, left)
            factors = work.row_factors
            factors[TO_V, n_rows], factors[TO_I, n_rows] = to_v * event.count, to_i * event.count
            work.row_first[n_rows] = event.at
            n_rows += 1
            if n_rows == MOST_ROWS:
                sum_dense_rows(net, work, pop, n_rows)
                n_rows = 0
        n += event.stop - event.at
        item = event.next
    if n_rows > 0:
        sum_dense_rows(net, work, pop, n_rows)
    return n


@inlined
def sum_arrivals(net, queue, work, pop, window, end):
    """Sum up what the arrivals of a window do to V and I until its end; returns the number of those of whole rows."""
    cell = (window & (net.stretch - 1)) * net.n_pops + pop
    if work.cells[TOUCHED, cell]:
        sum_modes(net, work, pop, window)
    return sum_rows(net, queue, work, pop, window, end) if work.cells[FIRST_ROW, cell] >= 0 else 0


@inlined
def screen(net, work, pop, maximum):
    """Advance each neuron that surely stays below its threshold (or its maximum so far); note the others.

    Without inhibition V is highest at the end of the window if it rises there without arrivals as well; else it is
    below what it would be at one of the ends if the current did not decay either (docs/engine.md).
    """
    start, stop, values, n_suspects = net.pops[pop].start, net.pops[pop].stop, work.values, 0
    if net.pops[pop].kind == READOUT_MAXIMUM:
        for j in range(start, stop):
            values[LIMIT, j] = maximum[j]
    for block in range(start, stop, BLOCK):
        left = advance_calm(
            values[V], values[I], values[LOST_V], values[LOST_I], values[DV], values[DI], values[UP], values[FALL_V],
            values[FALL_I], values[PSP], values[LIMIT], net.pops[pop].slack, NEGLIGIBLE, block, stop - block,
        )  # fmt: skip
        while left != 0:
            work.suspects[n_suspects] = block + trailing_zeros(left)
            n_suspects += 1
            left &= left - 1
    work.size[N_SUSPECTS] = n_suspects


@inlined
def insert(work, n, left, weight):
    """Insert an arrival, number n, into the sorted run at hand, behind those of the same time; False for no room.

    The latest comes first: what was handed over in order of time is met from its end, and needs no sorting then.
    """
    rows = work.sorted
    if n == rows.shape[1]:
        return False
    p, first = n, n & -RUN
    while p > first and rows[LEFT, p - 1] > left:
        rows[LEFT, p], rows[WEIGHT, p] = rows[LEFT, p - 1], rows[WEIGHT, p - 1]
        p -= 1
    rows[LEFT, p], rows[WEIGHT, p] = left, weight
    return True


@kernel
def merge(rows, spare, first, middle, stop):
    """Merge two sorted runs of arrivals side by side, the second not the longer; equal times stay in order."""
    if rows[LEFT, middle - 1] <= rows[LEFT, middle]:
        return
    for p in range(stop - middle):
        spare[LEFT, p], spare[WEIGHT, p] = rows[LEFT, middle + p], rows[WEIGHT, middle + p]
    a, b, p = middle - 1, stop - middle - 1, stop - 1
    while b >= 0:
        if a >= first and rows[LEFT, a] > spare[LEFT, b]:
            rows[LEFT, p], rows[WEIGHT, p] = rows[LEFT, a], rows[WEIGHT, a]
            a -= 1
        else:
            rows[LEFT, p], rows[WEIGHT, p] = spare[LEFT, b], spare[WEIGHT, b]
            b -= 1
        p -= 1


@kernel
def merge_runs(rows, spare, n):
    """Merge the sorted runs of n arrivals into one; takes n log n steps, and n / RUN if they are in order."""
    length = RUN
    while length < n:
        for first in range(0, n - length, 2 * length):
            merge(rows, spare, first, first + length, min(first + 2 * length, n))
        length *= 2


@inlined
def synapse_to(net, event, j):
    """The synapse of a whole row that ends at neuron j, or -1; the targets of a row are sorted."""
    low, high = event.at, event.stop
    if net.conns[event.conn].dense:
        return low + j - net.pops[net.neurons[j].pop].start
    while low < high:
        middle = (low + high) >> 1
        if net.slot[middle] >> TARGET < j:
            low = middle + 1
        else:
            high = middle
    return low if low < event.stop and net.slot[low] >> TARGET == j else -1


@inlined
def find_arrivals(net, work, head, n):
    """List the arrivals of one window, neuron and sign from place n on, and ask for their synapses; returns the next.

    Returns -1 for no room.
    """
    while head != NONE:
        if n == work.found.size:
            return -1
        s = work.blocks[head // np.uint32(BLOCK)].first + np.int64(head % np.uint32(BLOCK))
        prefetch(net.delay, s)
        prefetch(net.weight, s)
        work.found[n] = head
        n += 1
        head = work.link[head]
    return n


@inlined
def find_suspects(net, work, window):
    """List the arrivals of each suspect of a window; returns False for no room."""
    place, n = (window & (net.stretch - 1)) * net.neurons.size, 0
    for number in range(work.size[N_SUSPECTS]):
        cell = place + work.suspects[number]
        n = find_arrivals(net, work, work.head[2 * cell], n)
        if n >= 0:
            n = find_arrivals(net, work, work.head[2 * cell + 1], n)
        if n < 0:
            return False
        work.found_until[number] = n
    return True


@inlined
def arrival_of(net, work, n):
    """(time, charge) of arrival n of the stretch."""
    block = work.blocks[n // np.uint32(BLOCK)]
    s = block.first + np.int64(n % np.uint32(BLOCK))
    return block.time + net.delay[s], block.count * net.weight[s]


@inlined
def gather(net, queue, work, number, window, end):
    """Sort the arrivals of a suspect in a window, the latest first; returns their number, or -1 for no room."""
    j, n = work.suspects[number], 0
    for k in range(work.found_until[number - 1] if number > 0 else 0, work.found_until[number]):
        time, charge = arrival_of(net, work, work.found[k])
        if not insert(work, n, end - time, charge):
            return -1
        n += 1
    item = work.cells[FIRST_ROW, (window & (net.stretch - 1)) * net.n_pops + net.neurons[j].pop]
    while item >= 0:
        event = queue.events[item]
        s = synapse_to(net, event, j)
        if s >= 0:
            if not insert(work, n, end - event.time, net.weight[s] * event.count):
                return -1
            n += 1
        item = event.next
    if n > RUN:
        merge_runs(work.sorted, work.spare, n)
    return n


@inlined
def settle(work, j):
    """Take a suspect to the end of its window as if it fired no spike: as `simd.advance_calm` takes the others."""
    values = work.values
    v, i = values[V, j], values[I, j]
    step_v = v * values[FALL_V, j] + (i * values[PSP, j] + values[DV, j])
    step_i = i * values[FALL_I, j] + values[DI, j]
    values[V, j], values[LOST_V, j] = step_on(v, step_v, values[LOST_V, j])
    values[I, j], values[LOST_I, j] = step_on(i, step_i, values[LOST_I, j])
    values[DV, j] = values[DI, j] = 0.0


@inlined
def walk_lif(net, work, j, n, span, end):
    """Take neuron j through its n sorted arrivals of a window, recording spikes; returns (status, grazing contacts).

    The walk finds the spikes. What V and I are at the end of the window only follows from it where V was reset: so
    their errors do not grow with the number of windows walked.
    """
    left, weight = work.sorted[LEFT], work.sorted[WEIGHT]
    neuron = (net.neurons[j].tau_mem, net.neurons[j].tau_syn, net.neurons[j].threshold)
    v, i, x, grazed, m, before = work.values[V, j], work.values[I, j], span, 0, n - 1, work.size[N_SPIKES]
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
            if is_set(work.stop):
                return INTERRUPTED, grazed
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
    settle(work, j)
    if work.size[N_SPIKES] > before:
        work.values[V, j], work.values[LOST_V, j] = clean(v), 0.0
    return OK, grazed


@inlined
def keep_edge(outputs, j, v, end):
    """Let a maximum at the end of a window be the V that the next one begins with, which rounds in another way.

    An arrival on the very edge belongs to the next window, which knows by this V whether it meets the maximum.
    """
    if outputs[MAXIMUM_TIME, j] == end:
        outputs[MAXIMUM, j] = v


@inlined
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
    settle(work, j)
    keep_edge(outputs, j, work.values[V, j], end)


@inlined
def unit_integral(net, j, time):
    """The integral of e^{-decay_rate t} V, from ``time`` to the end, that a unit jump of I at ``time`` brings."""
    rate, (whole, _) = net.integrals[j].rate, response_integral(net.duration - time, net.integrals[j])
    return whole * math.exp(-rate * time) if rate != 0.0 else whole


@inlined
def integrate_readout(net, queue, work, pop, window, integral):
    """Add what the arrivals of a window bring to the integrals of a readout population until the end."""
    place, uniform = window & (net.stretch - 1), net.pops[pop].uniform
    touched = work.cells[TOUCHED, place * net.n_pops + pop] != 0
    for j in range(net.pops[pop].start, net.pops[pop].stop if touched else 0):
        cell = place * net.neurons.size + j
        for head in (work.head[2 * cell], work.head[2 * cell + 1]):
            arrival = head
            while arrival != NONE:
                time, charge = arrival_of(net, work, arrival)
                integral[j] += charge * unit_integral(net, j, time)
                arrival = work.link[arrival]
    item = work.cells[FIRST_ROW, place * net.n_pops + pop]
    while item >= 0:
        event = queue.events[item]
        unit = unit_integral(net, net.pops[pop].start, event.time)
        for s in range(event.at, event.stop):
            j = net.slot[s] >> TARGET
            if not uniform:
                unit = unit_integral(net, j, event.time)
            integral[j] += net.weight[s] * event.count * unit
        item = event.next


@inlined
def is_quiet(net, work):
    """True when no neuron can fire without a new arrival: none has a current above threshold."""
    for j in range(net.neurons.size):
        if work.values[I, j] > net.neurons[j].threshold:
            return False
    return True


@kernel
def leap(net, work, outputs, begin, end):
    """Cross a silence from ``begin`` to ``end`` in one step."""
    values, x, decay_v, fall_v, decay_i, fall_i, response = work.values, end - begin, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(net.neurons.size):
        v, i, tau_mem, tau_syn = values[V, j], values[I, j], net.neurons[j].tau_mem, net.neurons[j].tau_syn
        if is_other(net, j):
            decay_v, fall_v = math.exp(-x / tau_mem), math.expm1(-x / tau_mem)
            decay_i, fall_i = math.exp(-x / tau_syn), math.expm1(-x / tau_syn)
            response = psp(x, tau_mem, tau_syn)
        if net.pops[net.neurons[j].pop].kind == READOUT_MAXIMUM and i > v:
            t = min(peak_time(v, i, tau_mem, tau_syn), x)
            v_peak, _ = flow(v, i, t, tau_mem, tau_syn)
            if v_peak > outputs[MAXIMUM, j]:
                time = begin + t if t < x else end
                outputs[MAXIMUM, j], outputs[MAXIMUM_TIME, j], outputs[SHARE, j] = v_peak, time, 1.0
        values[V, j], values[LOST_V, j] = leap_on(v, i * response, decay_v, fall_v, values[LOST_V, j])
        values[I, j], values[LOST_I, j] = leap_on(i, 0.0, decay_i, fall_i, values[LOST_I, j])
        keep_edge(outputs, j, values[V, j], end)


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
            status, more = walk_lif(net, work, j, n, span, end)
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
    start, stop, kind = net.pops[pop].start, net.pops[pop].stop, net.pops[pop].kind
    cell = (window & (net.stretch - 1)) * net.n_pops + pop
    counters[EVENTS] += sum_arrivals(net, queue, work, pop, window, end)
    if kind != LIF:
        integrate_readout(net, queue, work, pop, window, outputs[INTEGRAL])
    screen(net, work, pop, outputs[MAXIMUM])
    before, n_suspects = work.size[N_SPIKES], work.size[N_SUSPECTS]
    counters[WALKED] += n_suspects
    counters[SCREENED] += stop - start - n_suspects
    if n_suspects > 0:
        status, grazed = walk_suspects(net, queue, work, pop, window, end - begin, end, outputs)
        counters[GRAZED] += grazed
        if status != OK:
            return status
    if work.cells[TOUCHED, cell]:
        first = (window & (net.stretch - 1)) * net.neurons.size
        work.head[2 * (first + start) : 2 * (first + stop)] = NONE
    item = work.cells[FIRST_ROW, cell]
    while item >= 0:
        following = queue.events[item].next
        release(queue, item)
        item = following
    for n in range(before, work.size[N_SPIKES]):
        ask_for_rows(net, pop, work.tape[n].neuron - start)
    for n in range(before, work.size[N_SPIKES]):
        if is_set(work.stop):
            return INTERRUPTED
        local, time = work.tape[n].neuron - start, work.tape[n].time
        status = activate(net, queue, work, pop, local, time, 1.0, window >> net.shift)
        if status != OK:
            return status
    return OK


@kernel
def begin_sample(net, queue, work, first_input):
    """Put every neuron to rest and empty the queue."""
    clear(queue)
    for j in range(net.neurons.size):
        for row in (V, I, LOST_V, LOST_I, DV, DI, UP):
            work.values[row, j] = 0.0
        work.values[LIMIT, j] = net.neurons[j].threshold * BOUND_SAFETY
    work.size[N_ARRIVALS] = 0
    work.size[WINDOW], work.size[STRETCH], work.size[INPUT] = 0, -1, first_input


@kernel
def end_sample(net, work):
    """Leave the workspace so that the next sample starts from the beginning."""
    if net.n_windows * net.h != net.duration:
        set_window(net, work, net.h)
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
            set_window(net, work, end - begin)
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
        set_window(net, work, net.h)
    for sample in range(first, last):
        if work.size[WINDOW] == 0:
            begin_sample(net, queue, work, spikes.offsets[sample])
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
