"""One shard of samples backward: the network in reverse, window by window.

The adjoint is a network that runs backwards: a spike fired at t was felt at t + delay, so on the way back it collects,
at that time, the adjoint of each of its targets, and has collected everything when its own time comes. The queue that
carried it down its row carries it up again, from the far end. Only the adjoint of the stretch at hand is kept:
(lambda_V, lambda_I) of every neuron at the end of each of its windows, and just before each of its spikes inside them.
Nothing of the forward pass is needed but the spikes and their slopes (docs/mathematics.md, sections 3 to 5).
"""

import math
from typing import NamedTuple

import numpy as np

from .compile import entry, inlined, kernel
from .membrane import clean, coefficients, double_psp, estrin, flow, polynomial, psp, responses
from .queue import LIVE, NOTHING, Queue, clear, is_empty, make_queue, new_event, put, release, take_all
from .simd import BLOCK, accumulate, copy_due_back, prefetch
from .state import LEAST_LEAP, LIF, TAU_MEM, TAU_SYN, THRESHOLD

NO_SPIKE = -1
# Arrivals whose polynomials are evaluated together.
CHUNK = 256
# Rows of Adjoint.states: lambda_V and lambda_I at the end of the window.
LAMBDA_V, LAMBDA_I = range(2)
# Rows of the tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn} (docs/mathematics.md, section 5).
RESET_TAIL, PSP_TAIL, CURRENT_TAIL = range(3)
# Rows of Adjoint.steps: the backward flow over one whole window, and the loss's pull on each readout.
DECAY_V, DECAY_I, V_TO_I, DRIVE = range(4)
# Rows of Adjoint.chunk, the arrivals at hand: their times, the backward flow from the window's end to them, and what
# they collect from their targets, lambda_V - lambda_I and tau_syn lambda_I.
ARRIVAL, TO_V, TO_I, CROSS, DIFFERENCE, CURRENT = range(6)
# Rows of Adjoint.runs, the consecutive synapses of one event in the chunk: the event, its first synapse, their number.
OF_EVENT, SYNAPSE, LENGTH = range(3)


class Adjoint(NamedTuple):
    """The buffers of one thread; the row names above say what is where.

    ``tails`` and ``jump_tails`` have no columns unless time constants are trained.
    """

    states: np.ndarray  # (2, stretch * n_state) one window of the stretch after the other
    first: np.ndarray  # (stretch * n_state,) the earliest jump inside the window so far, or NO_SPIKE
    tails: np.ndarray  # (3, stretch * n_state)
    entries: (
        np.ndarray
    )  # (2, stretch * n_pops) the first jump of each window and population, and the one after the last
    steps: np.ndarray  # (4, n_state)
    jump_states: np.ndarray  # (2, n_jumps) just before each jump of the sample
    jump_tails: np.ndarray  # (3, n_jumps)
    home: np.ndarray  # (n_jumps,) the first event of each jump that has come to the stretch of its own spike
    pulls: np.ndarray  # sums of w (lambda_V - lambda_I) over the arrivals of each spike: jumps, then input spikes
    chunk: np.ndarray  # (6, CHUNK and a block to spare, or n_state)
    target: np.ndarray  # (CHUNK,) of each arrival of the chunk
    place: np.ndarray  # (CHUNK,) where in ``states`` the window of each arrival begins
    jumped: np.ndarray  # (CHUNK,) arrivals of the chunk that must be read exactly
    runs: np.ndarray  # (3, CHUNK)
    queue: Queue


def make_adjoint(n_state, n_pops, stretch, n_buckets, n_jumps, n_spikes, n_events, with_tails):
    """Buffers for samples of ``n_jumps`` jumps, ``n_spikes`` jumps and input spikes, ``n_events`` events at once."""
    return Adjoint(
        states=np.zeros((2, stretch * n_state)),
        first=np.zeros(stretch * n_state, np.int64),
        tails=np.zeros((3, stretch * n_state if with_tails else 0)),
        entries=np.zeros((2, stretch * n_pops), np.int64),
        steps=np.zeros((4, n_state)),
        jump_states=np.zeros((2, n_jumps)),
        jump_tails=np.zeros((3, n_jumps if with_tails else 0)),
        home=np.zeros(n_jumps, np.int32),
        pulls=np.zeros(n_spikes),
        chunk=np.zeros((6, max(CHUNK + BLOCK, n_state))),
        target=np.zeros(CHUNK, np.uint32),
        place=np.zeros(CHUNK, np.uint32),
        jumped=np.zeros(CHUNK, np.int64),
        runs=np.zeros((3, CHUNK), np.int64),
        queue=make_queue(n_buckets, n_events),
    )


@kernel
def _set_step(net, steps, length):
    for j in range(net.neurons.size):
        steps[DECAY_V, j] = math.exp(-length / net.neurons[j].tau_mem)
        response, steps[DECAY_I, j] = flow(0.0, 1.0, length, net.neurons[j].tau_mem, net.neurons[j].tau_syn)
        steps[V_TO_I, j] = response * (net.neurons[j].tau_mem / net.neurons[j].tau_syn)


@inlined
def window_end(net, window):
    """End (ms) of a window; the last one ends with the simulation."""
    return min((window + 1) * net.h, net.duration)


@inlined
def _flow_back(net, j, lambda_v, lambda_i, x):
    """The adjoint of neuron j, x <= h ms earlier."""
    decay_v, decay_i, response = responses(net, j, x)
    return lambda_v * decay_v, lambda_i * decay_i + lambda_v * response * (
        net.neurons[j].tau_mem / net.neurons[j].tau_syn
    )


@kernel
def _tails_back(net, j, adjoint, tails, x):
    """The three tails of neuron j, x <= h ms earlier; ``adjoint``: (lambda_V, lambda_I)."""
    lambda_v, lambda_i = adjoint
    k, tau_mem, tau_syn = net.neurons[j].series, net.neurons[j].tau_mem, net.neurons[j].tau_syn
    decay_v, decay_i, response = responses(net, j, x)
    return (
        (tails[0] + lambda_v * x) * decay_v,
        tails[1] * decay_v + tau_syn * lambda_i * response + lambda_v * polynomial(net.series, k, 3, x),
        (tails[2] + lambda_i * x) * decay_i + lambda_v * (tau_mem / tau_syn) * polynomial(net.series, k, 2, x),
    )


@inlined
def _place_of(net, window):
    """Where in ``states`` a window begins."""
    return (window & (net.stretch - 1)) * net.neurons.size


@inlined
def _jump_after(net, adjoint, jumps, j, time, window):
    """The first jump of neuron j at or after ``time`` in ``window``, or NO_SPIKE.

    An arrival at the instant of a spike acted before the spike, so it belongs to the state before the jump.
    """
    e = adjoint.first[_place_of(net, window) + j]
    if e == NO_SPIKE:
        return NO_SPIKE
    end = window_end(net, window)
    while e < jumps.size and jumps[e].neuron == j and jumps[e].time < end:
        if jumps[e].time >= time:
            return e
        e += 1
    return NO_SPIKE


@kernel
def _adjoint_at(net, adjoint, jumps, j, time):
    """(lambda_V, lambda_I) of neuron j as an arrival at ``time`` sees it, without the loss's direct pull."""
    window = np.int64(time * net.per_ms)
    e = _jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e])
        return _flow_back(net, j, state[0], state[1], jumps[e].time - time)
    at = _place_of(net, window) + j
    return _flow_back(
        net, j, adjoint.states[LAMBDA_V, at], adjoint.states[LAMBDA_I, at], window_end(net, window) - time
    )


@kernel
def _tails_at(net, adjoint, jumps, j, time):
    """The tails of neuron j at ``time``."""
    window = np.int64(time * net.per_ms)
    e = _jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e])
        return _tails_back(net, j, state, adjoint.jump_tails[:, e], jumps[e].time - time)
    at = _place_of(net, window) + j
    state = (adjoint.states[LAMBDA_V, at], adjoint.states[LAMBDA_I, at])
    return _tails_back(net, j, state, adjoint.tails[:, at], window_end(net, window) - time)


@kernel
def _add_tau(net, adjoint, jumps, j, arrival, charge, lambda_i, gradients):
    """Add what one arrival gives to dL/dtau; ``charge``: count times weight, ``lambda_i`` with the loss's pull."""
    _, psp_tail, current_tail = _tails_at(net, adjoint, jumps, j, arrival)
    tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
    rate = net.pops[net.neurons[j].pop].decay_rate
    drive = adjoint.steps[DRIVE, j]
    if drive != 0.0:
        pull = tau_syn * drive * math.exp(-rate * arrival) / (1.0 + rate * tau_syn)
        psp_tail += pull / (1.0 + rate * tau_mem)
        current_tail += pull / (1.0 + rate * tau_syn)
    gradients.neurons[TAU_MEM, j] += charge * (tau_syn * lambda_i - psp_tail) / tau_mem
    gradients.neurons[TAU_SYN, j] -= charge * current_tail / tau_syn


@inlined
def _set_arrival(net, adjoint, jumps, k, j):
    """What arrival k of the chunk, at neuron j, collects: read exactly, whether j jumps in this window or not."""
    v, i = _adjoint_at(net, adjoint, jumps, j, adjoint.chunk[ARRIVAL, k])
    adjoint.chunk[DIFFERENCE, k], adjoint.chunk[CURRENT, k] = v - i, net.neurons[j].tau_syn * i


@kernel
def _read_uniform(net, adjoint, pop, first):
    """Read the adjoint at the arrivals of the chunk, from ``first`` on, as if no target jumped in their windows.

    All neurons of the population share their time constants. Returns how many arrivals ``jumped`` lists that must be
    read again.
    """
    j0 = net.pops[pop].start
    tau_syn, ratio = net.neurons[j0].tau_syn, net.neurons[j0].tau_mem / net.neurons[j0].tau_syn
    to_i = coefficients(net.series, net.neurons[j0].series, 0)
    to_v = coefficients(net.series, net.neurons[j0].series, 1)
    # views: an index that counts from 0 needs no check for being negative
    chunk, n, target, place = adjoint.chunk, CHUNK - first, adjoint.target[first:CHUNK], adjoint.place[first:CHUNK]
    h, per_ms, duration, mask, n_state = net.h, net.per_ms, net.duration, net.stretch - 1, net.neurons.size
    arrival, by_v, by_i, cross = (
        chunk[ARRIVAL, first:CHUNK], chunk[TO_V, first:CHUNK], chunk[TO_I, first:CHUNK], chunk[CROSS, first:CHUNK]
    )  # fmt: skip
    # this loop runs on vectors: keep look-ups out of it
    for k in range(n):
        window = np.int64(arrival[k] * per_ms)
        place[k] = (window & mask) * n_state
        x = min((window + 1) * h, duration) - arrival[k]
        decay_i, response = estrin(to_i, x), estrin(to_v, x)
        by_i[k], by_v[k], cross[k] = decay_i, decay_i + (ratio - 1.0) * response, response * ratio
    lambda_v, lambda_i, jump = adjoint.states[LAMBDA_V], adjoint.states[LAMBDA_I], adjoint.first
    difference, current = chunk[DIFFERENCE, first:CHUNK], chunk[CURRENT, first:CHUNK]
    jumped, n_jumped = adjoint.jumped, np.uint32(0)
    for k in range(n):
        j = target[k] + place[k]
        v, i = lambda_v[j] * by_v[k], lambda_i[j] * by_i[k] + lambda_v[j] * cross[k]
        difference[k], current[k] = v - i, tau_syn * i
        jumped[n_jumped] = first + k
        n_jumped += np.uint32(jump[j] != NO_SPIKE)
    return n_jumped


@kernel
def _add_drive(net, adjoint, pop, first):
    """Add the particular solution C e^{-rate t} of lambda_V (and that of lambda_I) on a readout with a voltage loss."""
    rate = net.pops[pop].decay_rate
    for k in range(first, CHUNK):
        j = adjoint.target[k]
        if adjoint.steps[DRIVE, j] == 0.0:
            continue
        size = math.exp(-rate * adjoint.chunk[ARRIVAL, k]) if rate != 0.0 else 1.0
        drive, tau_syn = adjoint.steps[DRIVE, j] * size, net.neurons[j].tau_syn
        drive_i = drive / (1.0 + rate * tau_syn)
        adjoint.chunk[DIFFERENCE, k] += drive - drive_i
        adjoint.chunk[CURRENT, k] += tau_syn * drive_i


@kernel
def _collect_chunk(net, adjoint, jumps, pop, first, n_runs, gradients):
    """Add the gradients of the arrivals in the chunk, from ``first`` on, all in one stretch and one population."""
    chunk, runs = adjoint.chunk, adjoint.runs
    if net.pops[pop].uniform:
        n_exact = _read_uniform(net, adjoint, pop, first)
    else:
        n_exact = np.uint32(CHUNK - first)
        for k in range(n_exact):
            adjoint.jumped[k] = first + k
    for k in range(n_exact):
        exact = adjoint.jumped[k]
        _set_arrival(net, adjoint, jumps, exact, adjoint.target[exact])
    if net.pops[pop].kind != LIF:
        _add_drive(net, adjoint, pop, first)
    with_tails, k = adjoint.tails.shape[1] > 0, CHUNK
    for run in range(n_runs):
        event, s, length = adjoint.queue.events[runs[OF_EVENT, run]], runs[SYNAPSE, run], runs[LENGTH, run]
        k -= length
        if net.conns[event.conn].per_synapse:
            adjoint.pulls[event.spike] += accumulate(
                net.weight, gradients.weight, gradients.delay, s, chunk[CURRENT], chunk[DIFFERENCE], k, event.count,
                length,
            )  # fmt: skip
        else:
            total = 0.0
            for m in range(length):
                gradients.weight[s + m] -= event.count * chunk[CURRENT, k + m]
                total += event.count * net.weight[s + m] * chunk[DIFFERENCE, k + m]
            adjoint.pulls[event.spike] += total
            gradients.row_delay[event.row] += total
        for m in range(length if with_tails else 0):
            j = adjoint.target[k + m]
            lambda_i, charge = chunk[CURRENT, k + m] / net.neurons[j].tau_syn, event.count * net.weight[s + m]
            _add_tau(net, adjoint, jumps, j, chunk[ARRIVAL, k + m], charge, lambda_i, gradients)


@kernel
def _collect_row(net, adjoint, jumps, event, gradients):
    """Add the gradients of a dense row that arrived as a whole."""
    pop, window = net.conns[event.conn].target, np.int64(event.time * net.per_ms)
    cell, end = (window & (net.stretch - 1)) * net.n_pops + pop, window_end(net, window)
    start, n, time, count = net.pops[pop].start, event.at - event.stop, event.time, event.count
    difference, current = adjoint.chunk[DIFFERENCE, :n], adjoint.chunk[CURRENT, :n]
    at = _place_of(net, window) + start
    lambda_v, lambda_i = adjoint.states[LAMBDA_V, at : at + n], adjoint.states[LAMBDA_I, at : at + n]
    if net.pops[pop].uniform:
        decay_v, decay_i, response = responses(net, start, end - time)
        tau_syn = net.neurons[start].tau_syn
        cross = response * (net.neurons[start].tau_mem / tau_syn)
        for j in range(n):
            i = lambda_i[j] * decay_i + lambda_v[j] * cross
            difference[j], current[j] = lambda_v[j] * decay_v - i, tau_syn * i
    else:
        for j in range(n):
            v, i = _flow_back(net, start + j, lambda_v[j], lambda_i[j], end - time)
            difference[j], current[j] = v - i, net.neurons[start + j].tau_syn * i
    for e in range(adjoint.entries[0, cell], adjoint.entries[1, cell]):
        j = jumps[e].neuron
        if adjoint.first[at - start + j] == e:
            v, i = _adjoint_at(net, adjoint, jumps, j, time)
            difference[j - start], current[j - start] = v - i, net.neurons[j].tau_syn * i
    if net.pops[pop].kind != LIF:
        rate = net.pops[pop].decay_rate
        size = math.exp(-rate * time)
        for j in range(n):
            drive, tau_syn = adjoint.steps[DRIVE, start + j] * size, net.neurons[start + j].tau_syn
            drive_i = drive / (1.0 + rate * tau_syn)
            difference[j] += drive - drive_i
            current[j] += tau_syn * drive_i
    weight, weight_gradient = net.weight[event.stop : event.at], gradients.weight[event.stop : event.at]
    if adjoint.tails.shape[1] > 0:
        for j in range(n):
            i = current[j] / net.neurons[start + j].tau_syn
            _add_tau(net, adjoint, jumps, start + j, time, count * weight[j], i, gradients)
    total = 0.0
    for j in range(n):
        weight_gradient[j] -= count * current[j]
        total += weight[j] * difference[j]
    adjoint.pulls[event.spike] += count * total
    gradients.row_delay[event.row] += count * total


@inlined
def _ask_for(net, gradients, s):
    """Start to load the synapses up to s: a row is visited too seldom for the processor to foresee it."""
    for line in range(s, s - 16, -8):
        prefetch(net.delay, line)
        prefetch(net.weight, line)
        prefetch(gradients.weight, line)
        prefetch(gradients.delay, line)
    prefetch(net.target, s - 8)


@inlined
def _take_block(net, adjoint, event, per_synapse, n, begin):
    """Write up to a block of an event's last arrivals not before ``begin`` in front of those from n on.

    Returns how many. As in the forward pass a block is copied whole, and the next one overwrites what does not count.
    """
    if per_synapse:
        arrivals, most = adjoint.chunk[ARRIVAL], event.at - event.stop
        return copy_due_back(net.delay, net.target, event.at, arrivals, adjoint.target, n, event.time, begin, most)
    length = min(event.at - event.stop, BLOCK)
    for k in range(length):
        adjoint.chunk[ARRIVAL, n - 1 - k] = event.time
        adjoint.target[n - 1 - k] = net.target[event.at - 1 - k]
    return length


@inlined
def _wait(net, adjoint, jumps, item, arrival):
    """Let an event wait for the stretch of ``arrival``: there all spikes collect when the walk leaves it, except those
    fired in it, which need what they collect before."""
    event = adjoint.queue.events[item]
    stretch = np.int64(arrival * net.per_ms) >> net.shift
    if event.spike < jumps.size and np.int64(jumps[event.spike].time * net.per_ms) >> net.shift == stretch:
        event.next, adjoint.home[event.spike] = adjoint.home[event.spike], item
    else:
        put(adjoint.queue, (stretch & net.ring_mask) * net.n_pops + net.conns[event.conn].target, item)


@kernel
def _collect(net, adjoint, jumps, item, stretch, gradients):
    """Let a list of events collect the adjoint at their arrivals in a stretch, then wait for an earlier one."""
    queue, runs = adjoint.queue, adjoint.runs
    begin, pop, n, n_runs, finished = stretch * net.stretch * net.h, np.int64(-1), CHUNK, 0, NOTHING
    while item >= 0:
        event, this = queue.events[item], item
        item = event.next
        if item >= 0:
            _ask_for(net, gradients, queue.events[item].at - 1)
        per_synapse = net.conns[event.conn].per_synapse != 0
        if not per_synapse and net.conns[event.conn].dense:
            _collect_row(net, adjoint, jumps, event, gradients)
            release(queue, this)
            continue
        if pop != net.conns[event.conn].target:
            if n_runs > 0:
                _collect_chunk(net, adjoint, jumps, pop, n, n_runs, gradients)
            pop, n, n_runs = net.conns[event.conn].target, CHUNK, 0
        length = BLOCK
        while length == BLOCK and event.at > event.stop:
            if n < BLOCK:
                _collect_chunk(net, adjoint, jumps, pop, n, n_runs, gradients)
                n, n_runs = CHUNK, 0
            length = _take_block(net, adjoint, event, per_synapse, n, begin)
            event.at -= length
            n -= length
            runs[OF_EVENT, n_runs], runs[SYNAPSE, n_runs], runs[LENGTH, n_runs] = this, event.at, length
            n_runs += length > 0
        s = event.at - 1
        if s < event.stop:
            # the chunk may still speak of it
            event.next, finished = finished, this
            continue
        _wait(net, adjoint, jumps, this, event.time + net.delay[s])
        _ask_for(net, gradients, s - 8)
    if n_runs > 0:
        _collect_chunk(net, adjoint, jumps, pop, n, n_runs, gradients)
    while finished >= 0:
        following = queue.events[finished].next
        release(queue, finished)
        finished = following


@inlined
def _first_after_end(net, time, low, high):
    """The first synapse of a row that a spike at ``time`` reaches only after the end of the simulation."""
    if time + net.delay[high - 1] < net.duration:
        return high
    while low < high:
        middle = (low + high) >> 1
        if time + net.delay[middle] >= net.duration:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _admit(net, adjoint, jumps, pop, local, time, count, spike):
    """Put a spike at the far end of each of its rows; the queue has room for all spikes within the ring's reach."""
    queue = adjoint.queue
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        row = net.conns[conn].first_row + local
        start, at = net.row_ptr[row], net.row_ptr[row + 1]
        if start == at:
            continue
        if net.conns[conn].per_synapse:
            sent = time
            at = _first_after_end(net, time, start, at)
            arrival = time + net.delay[at - 1] if at > start else net.duration
        else:
            sent = arrival = time + net.row_delay[row]
        if at == start or arrival >= net.duration:
            continue
        item = new_event(queue)
        event = queue.events[item]
        event.time, event.count, event.at, event.row, event.conn, event.spike = sent, count, at, row, conn, spike
        event.stop = start
        _wait(net, adjoint, jumps, item, arrival)


@kernel
def _start_window(net, adjoint, jumps, window, entries):
    """Carry the adjoint from the end of ``window`` to the end of the window before it.

    ``entries``: (first, last) jumps of ``window``; neurons that jumped continue from their earliest jump.
    """
    begin, end = window * net.h, window_end(net, window)
    old, new, n = _place_of(net, window), _place_of(net, window - 1), net.neurons.size
    lambda_v, lambda_i = adjoint.states[LAMBDA_V, old : old + n], adjoint.states[LAMBDA_I, old : old + n]
    new_v, new_i = adjoint.states[LAMBDA_V, new : new + n], adjoint.states[LAMBDA_I, new : new + n]
    steps, with_tails = adjoint.steps, adjoint.tails.shape[1] > 0
    if end - begin != net.h:
        _set_step(net, steps, end - begin)
    for j in range(n if with_tails else 0):
        tails = _tails_back(net, j, (lambda_v[j], lambda_i[j]), adjoint.tails[:, old + j], end - begin)
        for row in range(3):
            adjoint.tails[row, new + j] = tails[row]
    for j in range(n):
        # in this order, as both windows may lie in one place
        new_i[j] = clean(lambda_i[j] * steps[DECAY_I, j] + lambda_v[j] * steps[V_TO_I, j])
        new_v[j] = clean(lambda_v[j] * steps[DECAY_V, j])
    if end - begin != net.h:
        _set_step(net, steps, net.h)
    for e in range(entries[0], entries[1]):
        j = jumps[e].neuron
        if adjoint.first[old + j] != e:
            continue
        x, state = jumps[e].time - begin, (adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e])
        if with_tails:
            tails = _tails_back(net, j, state, adjoint.jump_tails[:, e], x)
            for row in range(3):
                adjoint.tails[row, new + j] = tails[row]
        new_v[j], new_i[j] = _flow_back(net, j, state[0], state[1], x)
    adjoint.first[new : new + n] = NO_SPIKE


@kernel
def _leap_back(net, adjoint, window, previous):
    """Carry the adjoint of every neuron across a silence, from the end of ``window`` to that of ``previous``."""
    x, old, new = (window - previous) * net.h, _place_of(net, window), _place_of(net, previous)
    lambda_v, lambda_i, tails = adjoint.states[LAMBDA_V], adjoint.states[LAMBDA_I], adjoint.tails
    for j in range(net.neurons.size):
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        decay_v, decay_i = math.exp(-x / tau_mem), math.exp(-x / tau_syn)
        response, ratio = psp(x, tau_mem, tau_syn), tau_mem / tau_syn
        v, i = lambda_v[old + j], lambda_i[old + j]
        if tails.shape[1] > 0:
            tails[0, new + j] = (tails[0, old + j] + v * x) * decay_v
            tails[1, new + j] = (
                tails[1, old + j] * decay_v + tau_syn * i * response + v * double_psp(x, tau_mem, tau_syn) / tau_mem
            )
            tails[2, new + j] = (tails[2, old + j] + i * x) * decay_i + v * ratio * (
                double_psp(x, tau_syn, tau_mem) / tau_mem
            )
        lambda_i[new + j] = clean(i * decay_i + v * response * ratio)
        lambda_v[new + j] = clean(v * decay_v)
        adjoint.first[new + j] = NO_SPIKE


@kernel
def _jump(net, adjoint, jumps, e, window, gradients):
    """The adjoint jump at entry e of the sample's jumps; what its arrivals collected stands in ``pulls``."""
    j, time, kick = jumps[e].neuron, jumps[e].time, jumps[e].kick
    _collect(net, adjoint, jumps, np.int64(adjoint.home[e]), window >> net.shift, gradients)
    pull = jumps[e].pull + adjoint.pulls[e]
    # the adjoint just after the spike: from the neuron's next spike in this window, or from the window's end
    lambda_v, lambda_i = _adjoint_at(net, adjoint, jumps, j, time)
    with_tails = adjoint.tails.shape[1] > 0
    if with_tails:
        tails = _tails_at(net, adjoint, jumps, j, time)
        for row in range(3):
            adjoint.jump_tails[row, e] = tails[row]
    if net.pops[net.neurons[j].pop].kind == LIF:
        threshold = net.neurons[j].threshold
        lambda_v += (threshold * lambda_v + pull) / jumps[e].slope + kick
        gradients.neurons[THRESHOLD, j] += net.neurons[j].tau_mem * lambda_v
        if with_tails:
            gradients.neurons[TAU_MEM, j] += threshold * adjoint.jump_tails[RESET_TAIL, e] / net.neurons[j].tau_mem
    else:
        lambda_v += kick
    adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e] = lambda_v, lambda_i
    adjoint.first[_place_of(net, window) + j] = e


@kernel
def _begin_sample(net, adjoint, n_jumps, n_spikes):
    """lambda = 0 at the end of the simulation: the homogeneous part cancels the loss's particular solution."""
    clear(adjoint.queue)
    adjoint.pulls[:n_spikes] = 0.0
    adjoint.home[:n_jumps] = NOTHING
    place = _place_of(net, net.n_windows - 1)
    for j in range(net.neurons.size):
        at = place + j
        adjoint.first[at] = NO_SPIKE
        rate, tau_syn = net.pops[net.neurons[j].pop].decay_rate, net.neurons[j].tau_syn
        drive_v = adjoint.steps[DRIVE, j] * math.exp(-rate * net.duration)
        drive_i = drive_v / (1.0 + rate * tau_syn)
        adjoint.states[LAMBDA_V, at], adjoint.states[LAMBDA_I, at] = -drive_v, -drive_i
        if adjoint.tails.shape[1] > 0:
            # only LIF neurons reset, and nothing pulls on them directly
            adjoint.tails[RESET_TAIL, at] = 0.0
            adjoint.tails[PSP_TAIL, at] = -drive_i * tau_syn / (1.0 + rate * net.neurons[j].tau_mem)
            adjoint.tails[CURRENT_TAIL, at] = -drive_i * tau_syn / (1.0 + rate * tau_syn)


@inlined
def _window_of(net, entries, at):
    """The window of entry ``at`` of a table with times, or -1 before its start."""
    return np.int64(entries[at].time * net.per_ms) if at >= 0 else -1


@inlined
def _stretch_of(net, entries, at):
    """The stretch of entry ``at`` of a table with times, or -1 before its start."""
    return _window_of(net, entries, at) >> net.shift


@kernel
def _previous_window(net, adjoint, window, jump, spike):
    """The last window before ``window`` in a stretch with work in it, or -1.

    ``jump`` and ``spike``: the windows of the next jump and of the next spike to be admitted. A stretch is walked from
    its end: what a spike collects may lie in any window after it.
    """
    stretch = window >> net.shift
    latest = max(jump >> net.shift, (spike >> net.shift) + net.ring_mask if spike >= 0 else -1)
    if latest >= stretch or not is_empty(net, adjoint.queue, stretch):
        return window - 1
    if adjoint.queue.use[LIVE] > 0:
        stretch -= 1
        while stretch > latest and is_empty(net, adjoint.queue, stretch):
            stretch -= 1
        latest = stretch
    return min((latest + 1) * net.stretch - 1, window - 1)


@kernel
def _admit_spikes(net, adjoint, jumps, inputs, next_ones, stretch):
    """Admit all spikes that can have an arrival in a stretch; ``next_ones``: (fired, given) yet to be admitted."""
    fired, given = next_ones
    while fired >= 0 and _stretch_of(net, jumps, fired) >= stretch - net.ring_mask:
        j = jumps[fired].neuron
        pop = net.neurons[j].pop
        _admit(net, adjoint, jumps, pop, j - net.pops[pop].start, jumps[fired].time, 1.0, fired)
        fired -= 1
    while given >= 0 and _stretch_of(net, inputs, given) >= stretch - net.ring_mask:
        source, spike = net.sources[inputs[given].source], jumps.size + given
        _admit(net, adjoint, jumps, source.pop, source.local, inputs[given].time, inputs[given].count, spike)
        given -= 1
    return fired, given


@kernel
def backward_sample(net, spikes, sample, jumps, adjoint, gradients):
    """Accumulate the gradients of one sample; ``jumps``: a Jumps."""
    mine = jumps.entries[jumps.offsets[sample] : jumps.offsets[sample + 1]]
    first, stop = spikes.offsets[sample], spikes.offsets[sample + 1]
    inputs = spikes.events[first:stop]
    _begin_sample(net, adjoint, mine.size, mine.size + inputs.size)
    # the next jump to take, the next fired spike and the next input spike to be admitted
    e, fired, given = mine.size - 1, mine.size - 1, inputs.size - 1
    while given >= 0 and inputs[given].time >= net.duration:
        given -= 1
    window, stretch = net.n_windows - 1, np.int64(-1)
    while window >= 0:
        if window >> net.shift != stretch:
            stretch = window >> net.shift
            fired, given = _admit_spikes(net, adjoint, mine, inputs, (fired, given), stretch)
        last_entry, cell = e + 1, (window & (net.stretch - 1)) * net.n_pops
        for pop in range(net.n_pops - 1, -1, -1):
            adjoint.entries[1, cell + pop] = e + 1
            while e >= 0 and mine[e].neuron >= net.pops[pop].start and _window_of(net, mine, e) == window:
                _jump(net, adjoint, mine, e, window, gradients)
                e -= 1
            adjoint.entries[0, cell + pop] = e + 1
        if window & (net.stretch - 1) == 0:
            for pop in range(net.n_pops):
                item = take_all(adjoint.queue, (stretch & net.ring_mask) * net.n_pops + pop)
                _collect(net, adjoint, mine, item, stretch, gradients)
        spike = max(_window_of(net, mine, fired), _window_of(net, inputs, given))
        previous = _previous_window(net, adjoint, window, _window_of(net, mine, e), spike)
        if previous < 0:
            break
        _start_window(net, adjoint, mine, window, (e + 1, last_entry))
        window -= 1
        if window - previous >= LEAST_LEAP:
            _leap_back(net, adjoint, window, previous)
            window = previous
    for k in range(inputs.size):
        gradients.input_times[first + k] = adjoint.pulls[mine.size + k]


@entry
def backward_shard(net, spikes, samples, jumps, drive, adjoint, gradients):
    """Accumulate the gradients of samples first..last, in order.

    ``samples``: (first, last); ``drive`` (n_samples, n_state): dL/dz of each readout's weighted voltage integral;
    ``gradients``: a Gradients whose arrays are added to.
    """
    _set_step(net, adjoint.steps, net.h)
    for sample in range(samples[0], samples[1]):
        for j in range(net.neurons.size):
            # tau_mem lambda' = -lambda - g e^{-rate t} has the particular solution -g/(1 + rate tau_mem) e^{-rate t}
            rate = net.pops[net.neurons[j].pop].decay_rate
            adjoint.steps[DRIVE, j] = -drive[sample, j] / (1.0 + rate * net.neurons[j].tau_mem)
        backward_sample(net, spikes, sample, jumps, adjoint, gradients)


@entry
def most_in_flight(given, given_offsets, fired, fired_offsets, reach):
    """The most spikes of one sample that the backward pass has in its queue at once.

    ``given``, ``fired``: the stretches of input spikes and of jumps, ascending within each sample; ``reach``: stretches
    of the ring less one. While a stretch is walked those are spikes of that stretch and of ``reach`` before it: a spike
    is admitted when it comes within reach, and has collected everything when its own stretch is done.
    """
    most = 0
    for sample in range(given_offsets.size - 1):
        a, b = given_offsets[sample], fired_offsets[sample]
        last_a, last_b, first_a, first_b = given_offsets[sample + 1], fired_offsets[sample + 1], a, b
        while a < last_a or b < last_b:
            if b == last_b or (a < last_a and given[a] <= fired[b]):
                stretch = given[a]
                a += 1
            else:
                stretch = fired[b]
                b += 1
            while first_a < a and given[first_a] < stretch - reach:
                first_a += 1
            while first_b < b and fired[first_b] < stretch - reach:
                first_b += 1
            most = max(most, a - first_a + b - first_b)
    return most
