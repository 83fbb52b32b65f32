"""The arrivals of one window: summed for all neurons, and listed in order for the few that might fire."""

import numpy as np

from ..compile import inlined, kernel
from ..neurons.base import mode_growth, responses, unit_integral
from ..places import cell_of, place_of
from ..queue import NOTHING
from ..simd import BLOCK, add_rows, prefetch
from ..state import TARGET
from ..workspace import MOST_ROWS, NONE, RUN, Arrival, Factor, Row
from .trains import list_arrivals, synapses_at

# A binary search is taken to cost so many synapses that are looked through.
STEPS_A_SEARCH = 16
# The rounding of the modes, relative to what is added up (docs/engine.md).
MODE_SAFETY = 1e-11


@inlined
def sum_modes(net, work, pop, window):
    """Turn the modes of a window into the effect of its arrivals on V and I, and the bound for the screening."""
    start, stop = net.pops[pop].start, net.pops[pop].stop
    v_mem, v_syn, i_syn = 1.0, 0.0, 1.0
    if net.pops[pop].modal:
        by_mem, i_syn = mode_growth(net, pop, window)
        v_mem, v_syn = net.pops[pop].psp_scale * by_mem, net.pops[pop].psp_scale * i_syn
    up_mem, up_syn = v_mem + abs(v_mem) * MODE_SAFETY, v_syn - abs(v_syn) * MODE_SAFETY
    first = place_of(net, window)
    modes = work.modes[4 * (first + start) : 4 * (first + stop)]
    dv, di, up = work.values[Row.DV, start:stop], work.values[Row.DI, start:stop], work.values[Row.UP, start:stop]
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
        values[Row.DV, j] += w * to_v
        values[Row.DI, j] += w * to_i
        values[Row.UP, j] += max(w, 0.0) * to_v


@inlined
def sum_rows(net, work, pop, window, end):
    """Add the arrivals of all whole rows of a window; returns their number."""
    item, n, n_rows = work.cells[cell_of(net, window, pop)].first_row, 0, 0
    while item >= 0:
        event = work.queue.events[item]
        left = end - event.time
        if not (net.pops[pop].uniform and net.conns[event.conn].dense):
            sum_row(net, work, pop, left, event)
        else:
            _, to_i, to_v = responses(net, net.pops[pop].start, left)
            factors = work.row_factors
            factors[Factor.V, n_rows], factors[Factor.I, n_rows] = to_v * event.count, to_i * event.count
            work.row_first[n_rows] = event.at
            n_rows += 1
            if n_rows == MOST_ROWS:
                add_rows(net, work, n_rows, net.pops[pop].start, net.pops[pop].stop)
                n_rows = 0
        n += event.stop - event.at
        item = event.next
    if n_rows > 0:
        add_rows(net, work, n_rows, net.pops[pop].start, net.pops[pop].stop)
    return n


@inlined
def sum_arrivals(net, work, pop, window, end):
    """Sum up what the arrivals of a window do to V and I until its end; returns the number of those of whole rows."""
    cell = cell_of(net, window, pop)
    if work.cells[cell].touched:
        sum_modes(net, work, pop, window)
    return sum_rows(net, work, pop, window, end) if work.cells[cell].first_row >= 0 else 0


@inlined
def insert(work, n, left, weight):
    """Insert an arrival, number n, into the sorted run at hand, behind those of the same time; False for no room.

    The latest comes first: what was handed over in order of time is met from its end, and needs no sorting then.
    """
    rows = work.sorted
    if n == rows.shape[1]:
        return False
    p, first = n, n & -RUN
    while p > first and rows[Arrival.LEFT, p - 1] > left:
        rows[Arrival.LEFT, p], rows[Arrival.WEIGHT, p] = rows[Arrival.LEFT, p - 1], rows[Arrival.WEIGHT, p - 1]
        p -= 1
    rows[Arrival.LEFT, p], rows[Arrival.WEIGHT, p] = left, weight
    return True


@kernel
def merge(rows, spare, first, middle, stop):
    """Merge two sorted runs of arrivals side by side, the second not the longer; equal times stay in order."""
    if rows[Arrival.LEFT, middle - 1] <= rows[Arrival.LEFT, middle]:
        return
    for p in range(stop - middle):
        for row in (Arrival.LEFT, Arrival.WEIGHT):
            spare[row, p] = rows[row, middle + p]
    a, b, p = middle - 1, stop - middle - 1, stop - 1
    while b >= 0:
        if a >= first and rows[Arrival.LEFT, a] > spare[Arrival.LEFT, b]:
            rows[Arrival.LEFT, p], rows[Arrival.WEIGHT, p] = rows[Arrival.LEFT, a], rows[Arrival.WEIGHT, a]
            a -= 1
        else:
            rows[Arrival.LEFT, p], rows[Arrival.WEIGHT, p] = spare[Arrival.LEFT, b], spare[Arrival.WEIGHT, b]
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
    """The synapse of a sparse whole row that ends at neuron j, or -1; the targets of a row are sorted."""
    low, high = event.at, event.stop
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
def note_in_row(work, number, s, item, n):
    """Append synapse s of a whole row to those of a suspect, at place n; returns the next place, or -1 for no room."""
    if n < 0 or n == work.in_rows.size:
        return -1
    found, ends = work.in_rows[n], work.in_rows_of[number]
    found.synapse, found.event, found.next = s, item, NOTHING
    if ends.first == NOTHING:
        ends.first = n
    else:
        work.in_rows[ends.last].next = n
    ends.last = n
    return n + 1


@kernel
def find_in_rows(net, work, item):
    """List, for every suspect, its synapses of a cell's sparse whole rows, from event ``item`` on; False for no room.

    A row is looked through once for all suspects, or searched for each of them, whichever is less work. Counts the
    dense rows, in which each has its place.
    """
    progress = work.progress[0]
    n, n_suspects, progress.n_dense = 0, progress.n_suspects, 0
    for number in range(n_suspects):
        work.in_rows_of[number].first = NOTHING
        work.number[work.suspects[number]] = number
    while item >= 0:
        event = work.queue.events[item]
        if net.conns[event.conn].dense:
            progress.n_dense += 1
        elif event.stop - event.at <= n_suspects * STEPS_A_SEARCH:
            for s in range(event.at, event.stop):
                number = work.number[net.slot[s] >> TARGET]
                if number != NOTHING:
                    n = note_in_row(work, number, s, item, n)
        else:
            for number in range(n_suspects):
                s = synapse_to(net, event, work.suspects[number])
                if s >= 0:
                    n = note_in_row(work, number, s, item, n)
        item = event.next
    for number in range(n_suspects):
        work.number[work.suspects[number]] = NOTHING
    return n >= 0


@inlined
def find_suspects(net, work, window):
    """List the arrivals of each suspect of a window; returns False for no room."""
    place, n = place_of(net, window), 0
    for number in range(work.progress[0].n_suspects):
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
def gather_from_trains(net, work, number, window, end):
    """Sort a suspect's arrivals among those found in trains, the latest first; their number, or -1 for no room."""
    pop, n, spare = net.neurons[work.suspects[number]].pop, 0, work.spare
    place, first = work.suspects[number] - net.pops[pop].start, net.pops[pop].first_known
    n_known, k = net.pops[pop].last_known - first, window - work.progress[0].first_window
    begin = work.scanned_until[number * n_known - 1] if number > 0 else 0
    if work.scanned_until[(number + 1) * n_known - 1] - begin > spare.shape[1]:
        return -1
    for m in range(n_known):
        conn, until = net.known[first + m], work.scanned_until[number * n_known + m]
        row = net.pops[net.conns[conn].source].train
        n = list_arrivals(
            work.scanned[begin:until], work.trains.unit[row], work.trains.sent[row], synapses_at(net, conn, place),
            (k, end, net.h), (net.fixed, net.delay, net.weight), (spare[0], spare[1]), n,
        )  # fmt: skip
        begin = until
    for k in range(n):
        if not insert(work, k, spare[Arrival.LEFT, k], spare[Arrival.WEIGHT, k]):
            return -1
    return n


@inlined
def gather(net, work, number, window, end):
    """Sort the arrivals of a suspect in a window, the latest first; returns their number, or -1 for no room."""
    j, n = work.suspects[number], 0
    if net.pops[net.neurons[j].pop].last_known > net.pops[net.neurons[j].pop].first_known:
        n = gather_from_trains(net, work, number, window, end)
        if n < 0:
            return -1
    for k in range(work.found_until[number - 1] if number > 0 else 0, work.found_until[number]):
        time, charge = arrival_of(net, work, work.found[k])
        if not insert(work, n, end - time, charge):
            return -1
        n += 1
    pop = net.neurons[j].pop
    item = work.cells[cell_of(net, window, pop)].first_row
    at = work.in_rows_of[number].first if item >= 0 else NOTHING
    while item >= 0 and work.progress[0].n_dense > 0:
        event = work.queue.events[item]
        if net.conns[event.conn].dense:
            s = event.at + j - net.pops[pop].start
            if not insert(work, n, end - event.time, net.weight[s] * event.count):
                return -1
            n += 1
        item = event.next
    while at != NOTHING:
        found = work.in_rows[at]
        event = work.queue.events[found.event]
        if not insert(work, n, end - event.time, net.weight[found.synapse] * event.count):
            return -1
        n += 1
        at = found.next
    if n > RUN:
        merge_runs(work.sorted, work.spare, n)
    return n


@inlined
def integrate_readout(net, work, pop, window, integral):
    """Add what the arrivals of a window bring to the integrals of a readout population until the end."""
    place, cell, uniform = place_of(net, window), cell_of(net, window, pop), net.pops[pop].uniform
    touched = work.cells[cell].touched != 0
    for j in range(net.pops[pop].start, net.pops[pop].stop if touched else 0):
        for head in (work.head[2 * (place + j)], work.head[2 * (place + j) + 1]):
            arrival = head
            while arrival != NONE:
                time, charge = arrival_of(net, work, arrival)
                integral[j] += charge * unit_integral(net, j, time)
                arrival = work.link[arrival]
    item = work.cells[cell].first_row
    while item >= 0:
        event = work.queue.events[item]
        unit = unit_integral(net, net.pops[pop].start, event.time)
        for s in range(event.at, event.stop):
            j = net.slot[s] >> TARGET
            if not uniform:
                unit = unit_integral(net, j, event.time)
            integral[j] += net.weight[s] * event.count * unit
        item = event.next
