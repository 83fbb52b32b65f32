"""Spikes on their way back: up their rows, from the last synapse to the first, collecting gradients."""

import numpy as np

from ..adjoint_workspace import NO_SPIKE, Lambda, Mode
from ..compile import inlined, kernel
from ..neurons.base import add_constants, adjoint_at, mode_growth, responses, seen, share_of_mode, unit_drive
from ..places import cell_of, jump_after, place_of, state_at_end, window_end
from ..queue import (
    bucket_of,
    move_modes,
    new_event,
    put,
    reached_before_end,
    release,
    set_modes,
    stretch_of,
    stretch_of_arrival,
    ticks_since,
)
from ..simd import BLOCK, collect, collect_and_sum, collect_row, collect_row_and_sum, is_set, places_back, prefetch
from ..state import TARGET, Kind, Way


@inlined
def _collect_exactly(net, adjoint, jumps, event, s, gradients):
    """Add the gradients of one synapse onto a population that is not modal; returns its pull."""
    j, arrival, count = np.int64(net.slot[s] >> TARGET), event.time + net.delay[s], event.count
    charge = count * net.weight[s]
    unit = (0.0, 0.0) if net.pops[net.neurons[j].pop].kind == Kind.SPIKING else unit_drive(net, j, arrival)
    pull, lambda_i, free = seen(net, adjoint, jumps, j, arrival, unit)
    gradients.per_synapse[2 * s] -= count * net.neurons[j].tau_syn * lambda_i
    gradients.per_synapse[2 * s + 1] += charge * pull
    if adjoint.tails.shape[1] > 0:
        add_constants(net, adjoint, jumps, j, arrival, charge, free, gradients)
    return charge * pull


@inlined
def _needs_pull(net, jumps, event, gradients):
    """Whether anyone asks for the sum over an event's targets: its neuron's jump, dL/dt or a shared delay."""
    return event.spike < jumps.size or gradients.input_times.size > 0 or net.conns[event.conn].trained_delay


@inlined
def _put_off(net, adjoint, event, s):
    """Leave a synapse whose target jumps in the window of its arrival for `_collect_late`, and ask for its delay."""
    slot = adjoint.late[adjoint.n_late[0]]
    slot.time, slot.by_mem, slot.by_syn = event.time, event.by_mem, event.by_syn
    slot.synapse, slot.spike = s, event.spike
    prefetch(net.delay, s)
    prefetch(net.charge, 2 * s)
    adjoint.n_late[0] += 1


@kernel
def _collect_late(net, adjoint, jumps, gradients):
    """Add the gradients of the synapses put off: each sees the adjoint before the first jump after its arrival."""
    for number in range(adjoint.n_late[0]):
        late = adjoint.late[number]
        s, j = late.synapse, np.int64(net.slot[late.synapse] >> TARGET)
        arrival, pop = late.time + net.delay[s], net.neurons[j].pop
        window = np.int64(arrival * net.per_ms)
        e, before = jump_after(net, adjoint, jumps, j, arrival, window)
        if e != NO_SPIKE:
            mem, syn = adjoint.jump_modes[Mode.MEM, e], adjoint.jump_modes[Mode.SYN, e]
        else:
            lambda_v, lambda_i = state_at_end(net, adjoint, j, window, before)
            by_mem, by_syn = mode_growth(net, pop, window)
            mem, syn = lambda_v * by_mem, (lambda_i - share_of_mode(net, pop) * lambda_v) * by_syn
        mem, syn, share = late.by_mem * mem, late.by_syn * syn, share_of_mode(net, pop)
        gradients.per_synapse[2 * s] += mem
        gradients.per_synapse[2 * s + 1] += syn
        adjoint.pulls[late.spike] += (1.0 - share) * mem * net.charge[2 * s] - syn * net.charge[2 * s + 1]
    adjoint.n_late[0] = 0


@inlined
def _places_back_exactly(net, place, last, time, begin, most):
    """`simd.places_back` in full precision; returns the number of arrivals not before ``begin``."""
    for k in range(min(BLOCK, most)):
        s = last - 1 - k
        arrival = time + net.delay[s]
        if arrival < begin:
            return k
        place[BLOCK - 1 - k] = net.slot[s] + np.uint32((arrival - begin) * net.per_ms) * np.uint32(4 * net.neurons.size)
    return min(BLOCK, most)


@inlined
def _collect_synapses(net, adjoint, jumps, event, stretch, since, gradients):
    """Let an event collect the adjoint at its arrivals in a stretch, from the last one on.

    ``since``: when the spike was fired, in ticks from the start of the stretch.
    """
    pop, begin, factors = net.conns[event.conn].target, stretch * net.stretch * net.h, (event.by_mem, event.by_syn)
    modal, place = net.pops[pop].modal, adjoint.place
    with_pull = _needs_pull(net, jumps, event, gradients)
    pull, length = 0.0, BLOCK
    adjoint.total[Mode.MEM] = adjoint.total[Mode.SYN] = 0.0
    while length == BLOCK and event.at > event.stop:
        most = event.at - event.stop
        length = places_back(net, place, event.at, since, most)
        if length < 0:
            length = _places_back_exactly(net, place, event.at, event.time, begin, most)
        s, skip, n_missed = event.at - length, BLOCK - length, 0
        if not modal:
            for k in range(s, event.at):
                pull += _collect_exactly(net, adjoint, jumps, event, k, gradients)
        elif with_pull:
            n_missed = collect_and_sum(net, adjoint, gradients, s, skip, length, factors)
        else:
            n_missed = collect(net, adjoint, gradients, s, skip, length, factors)
        event.at = s
        if n_missed > 0:
            if adjoint.n_late[0] + n_missed > adjoint.late.size:
                _collect_late(net, adjoint, jumps, gradients)
            for m in range(n_missed):
                _put_off(net, adjoint, event, s + adjoint.missed[m] - skip)
    if modal:
        mem, syn = adjoint.total[Mode.MEM], adjoint.total[Mode.SYN]
        pull = (1.0 - share_of_mode(net, pop)) * event.by_mem * mem - event.by_syn * syn
    adjoint.pulls[event.spike] += pull


@inlined
def _collect_dense_row(net, adjoint, jumps, event, gradients):
    """`_collect_row` for all the LIF neurons of a population that share their time constants."""
    pop, window, time, first = net.conns[event.conn].target, np.int64(event.time * net.per_ms), event.time, event.stop
    start, n, at = net.pops[pop].start, event.at - first, place_of(net, window)
    decay_v, decay_i, response = responses(net, start, window_end(net, window) - time)
    tau_syn = net.neurons[start].tau_syn
    cross, scale = response * (net.neurons[start].tau_mem / tau_syn), -event.count * tau_syn
    factors, total = (scale * cross, scale * decay_i), 0.0
    with_pull = _needs_pull(net, jumps, event, gradients)
    if with_pull:
        collect_row_and_sum(net, adjoint, gradients, first, at + start, n, factors)
        total = (decay_v - cross) * adjoint.total[Lambda.V] - decay_i * adjoint.total[Lambda.I]
    else:
        collect_row(net, adjoint, gradients, first, at + start, n, factors)
    cell = cell_of(net, window, pop)
    for e in range(adjoint.entries[0, cell], adjoint.entries[1, cell]):
        j = jumps[e].neuron
        if adjoint.first[at + j] == e:
            v, i = adjoint_at(net, adjoint, jumps, j, time)
            gradients.weight[first - net.first_shared + j - start] += scale * i
            if with_pull:
                total += net.weight[first + j - start] * (v - i)
    _add_pull(adjoint, event, event.count * total, gradients)


@inlined
def _add_pull(adjoint, event, pull, gradients):
    """Add what a row that shares one delay collected to the pull on its spike and to the gradient of the delay."""
    adjoint.pulls[event.spike] += pull
    gradients.row_delay[event.row] += pull


@inlined
def _collect_row(net, adjoint, jumps, event, gradients):
    """Add the gradients of a row that arrived as a whole."""
    time, count, total, with_tails = event.time, event.count, 0.0, adjoint.tails.shape[1] > 0
    pop, unit = net.conns[event.conn].target, (0.0, 0.0)
    driven, uniform = net.pops[pop].kind != Kind.SPIKING, net.pops[pop].uniform
    if driven and uniform:
        unit = unit_drive(net, net.pops[pop].start, time)
    for s in range(event.stop, event.at):
        j = np.int64(net.slot[s] >> TARGET)
        if driven and not uniform:
            unit = unit_drive(net, j, time)
        pull, lambda_i, free = seen(net, adjoint, jumps, j, time, unit)
        gradients.weight[s - net.first_shared] -= count * net.neurons[j].tau_syn * lambda_i
        total += net.weight[s] * pull
        if with_tails:
            add_constants(net, adjoint, jumps, j, time, count * net.weight[s], free, gradients)
    _add_pull(adjoint, event, count * total, gradients)


@inlined
def _collect_similar_row(net, adjoint, jumps, event, gradients):
    """`_collect_row` for LIF neurons that share their time constants."""
    pop, window, time = net.conns[event.conn].target, np.int64(event.time * net.per_ms), event.time
    at, start, total = place_of(net, window), net.pops[pop].start, 0.0
    decay_v, decay_i, response = responses(net, start, window_end(net, window) - time)
    cross, scale = response * (net.neurons[start].tau_mem / net.neurons[start].tau_syn), net.neurons[start].tau_syn
    for s in range(event.stop, event.at):
        j = np.int64(net.slot[s] >> TARGET)
        v, i = adjoint.states[Lambda.V, at + j], adjoint.states[Lambda.I, at + j]
        v, i = v * decay_v, i * decay_i + v * cross
        if adjoint.first[at + j] != NO_SPIKE:
            v, i = adjoint_at(net, adjoint, jumps, j, time)
        gradients.weight[s - net.first_shared] -= event.count * scale * i
        total += net.weight[s] * (v - i)
    _add_pull(adjoint, event, event.count * total, gradients)


@inlined
def ask_for(net, gradients, event):
    """Start to load an event's next synapses: a row is visited too seldom for the processor to foresee it."""
    s = event.at - 1
    if not net.conns[event.conn].per_synapse:
        for line in range(event.stop - net.first_shared, event.stop - net.first_shared + 32, 8):
            prefetch(gradients.weight, line)
        return
    for line in range(s, s - 32, -8):
        prefetch(gradients.per_synapse, 2 * line)
        prefetch(gradients.per_synapse, 2 * line - 8)
        # what is fired, and not given, needs them too
        prefetch(net.charge, 2 * line)
        prefetch(net.charge, 2 * line - 8)
    for line in range(s, s - 32, -16):
        prefetch(net.tick, line)
        prefetch(net.slot, line)


@inlined
def _wait(net, adjoint, jumps, item, stretch):
    """Let an event wait for a stretch: there all spikes collect when the walk leaves it, except those
    fired in it, which need what they collect before."""
    event = adjoint.queue.events[item]
    if event.spike < jumps.size and stretch_of(net, jumps[event.spike].time) == stretch:
        event.next, adjoint.home[event.spike] = adjoint.home[event.spike], item
    else:
        put(adjoint.queue, bucket_of(net, stretch, net.conns[event.conn].target), item)


@kernel
def collect_stretch(net, adjoint, jumps, item, stretch, gradients):
    """Let a list of events collect the adjoint at their arrivals in a stretch, then wait for an earlier one."""
    queue = adjoint.queue
    while item >= 0 and not is_set(adjoint.stop):
        event, this = queue.events[item], item
        item = event.next
        if item >= 0:
            ask_for(net, gradients, queue.events[item])
        if net.conns[event.conn].per_synapse:
            since = ticks_since(net, event.time, stretch)
            _collect_synapses(net, adjoint, jumps, event, stretch, since, gradients)
            if event.at > event.stop:
                earlier = stretch_of_arrival(net, event, event.at - 1, stretch, since)
                move_modes(net, event, stretch, earlier)
                _wait(net, adjoint, jumps, this, earlier)
                continue
        else:
            pop = net.conns[event.conn].target
            if not net.pops[pop].uniform or net.pops[pop].kind != Kind.SPIKING or adjoint.tails.shape[1] > 0:
                _collect_row(net, adjoint, jumps, event, gradients)
            elif net.conns[event.conn].dense:
                _collect_dense_row(net, adjoint, jumps, event, gradients)
            else:
                _collect_similar_row(net, adjoint, jumps, event, gradients)
        release(queue, this)
    if adjoint.n_late[0] > 0:
        _collect_late(net, adjoint, jumps, gradients)


@inlined
def admit(net, adjoint, jumps, pop, local, time, count, spike):
    """Put a spike at the far end of each of its rows; the queue has room for all spikes within the ring's reach."""
    queue = adjoint.queue
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        if net.conns[conn].way != Way.QUEUE:
            continue
        row = net.conns[conn].first_row + local
        start, at = net.row_ptr[row], net.row_ptr[row + 1]
        if start == at:
            continue
        if net.conns[conn].per_synapse:
            sent = time
            at = reached_before_end(net, time, start, at)
            arrival = time + net.delay[at - 1] if at > start else net.duration
        else:
            sent = arrival = time + net.row_delay[row]
        if at == start or arrival >= net.duration:
            continue
        # there is one: in_flight of the engine has counted them
        item = new_event(queue)
        event = queue.events[item]
        event.time, event.count, event.at, event.row, event.conn, event.spike = sent, count, at, row, conn, spike
        event.stop = start
        stretch = stretch_of(net, arrival)
        if net.conns[conn].per_synapse:
            set_modes(net, event, stretch)
        _wait(net, adjoint, jumps, item, stretch)
