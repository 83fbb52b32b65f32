"""The adjoints of a block, on the way back: collected by columns when it is left, and by rows at each spike."""

import numpy as np

from ..adjoint_workspace import NO_SPIKE, Lambda, Mode
from ..blocks import FIXED_BITS, GROUP, OCTET, first_of_block
from ..compile import inlined, kernel
from ..neurons.base import mode_fall, share_of_mode
from ..places import jump_from, window_at
from ..simd import is_set
from ..simd_blocks import collect_along, collect_fours, collect_ones
from ..state import Way
from .grouping import first_at, group_spikes, in_block, place_of_group


@inlined
def is_known(net, pop):
    """True where arrivals come to a population in another way than by the queue."""
    return net.pops[pop].last_known > net.pops[pop].first_known


@inlined
def row_of(net, pop, j):
    """The row of a neuron's modes in ``adjoint.held``."""
    return OCTET * net.pops[pop].octet + j - net.pops[pop].start


@kernel
def enter_block(net, adjoint, jumps, e, window):
    """Prepare for the block of ``window``; ``e``: the next jump to take. What is held of the later block moves up.

    Behind the end of the simulation nothing is felt.
    """
    first, reach = first_of_block(net, window), net.reach
    last_of_all = first + net.block >= net.n_windows
    for pop in range(net.n_pops):
        if not is_known(net, pop):
            continue
        by = mode_fall(net, pop, net.block)
        for j in range(net.pops[pop].start, net.pops[pop].stop):
            held = adjoint.held[row_of(net, pop, j)]
            if last_of_all:
                held[2 * (net.n_windows - first) :] = 0.0
                continue
            for k in range(2 * reach):
                x, jumped = held[k], held[k & -2] != held[k & -2]
                # the number of a jump stays what it is
                held[2 * net.block + k] = x if jumped else x * by[k & 1]
    k = e + 1
    while not last_of_all and k < jumps.size and window_at(net, jumps, k) < first + net.block + reach:
        pop = net.neurons[jumps[k].neuron].pop
        if is_known(net, pop):
            by = mode_fall(net, pop, net.block)
            for mode in range(len(by)):
                adjoint.block_modes[mode, k] *= by[mode]
        k += 1


@inlined
def hold_jump(net, adjoint, jumps, e, window, state):
    """Note the jump at entry e in place of its neuron's modes, and its modes; ``state``: just before it."""
    j = jumps[e].neuron
    pop, first = net.neurons[j].pop, first_of_block(net, window)
    held = adjoint.held[row_of(net, pop, j)]
    held[2 * (window - first)], held[2 * (window - first) + 1] = np.nan, e
    _, growth = in_block(net, pop, jumps[e].time, 1.0, first)
    adjoint.block_modes[Mode.MEM, e] = state[0] / growth[0]
    adjoint.block_modes[Mode.SYN, e] = (state[1] - share_of_mode(net, pop) * state[0]) / growth[1]


@kernel
def modes_at_jump(net, adjoint, jumps, e, arrival, k, first):
    """The modes that an arrival in window k of the block meets at a neuron whose first jump there is entry e."""
    j = jumps[e].neuron
    after, before = jump_from(net, jumps, e, j, arrival, first + k)
    if after != NO_SPIKE:
        return adjoint.block_modes[Mode.MEM, after], adjoint.block_modes[Mode.SYN, after]
    lambda_v, lambda_i = adjoint.jump_ends[Lambda.V, before], adjoint.jump_ends[Lambda.I, before]
    (by_mem, by_syn), share = mode_fall(net, net.neurons[j].pop, k + 1), share_of_mode(net, net.neurons[j].pop)
    return lambda_v * by_mem, (lambda_i - share * lambda_v) * by_syn


@kernel
def collect_rings(net, adjoint, jumps, e, window, gradients):
    """Let a fired spike collect up its rows that were sent at once; returns its pull."""
    j, time, pull = jumps[e].neuron, jumps[e].time, 0.0
    source, first = net.neurons[j].pop, first_of_block(net, window)
    for link in range(net.pops[source].first_link, net.pops[source].last_link):
        conn = net.links[link]
        if net.conns[conn].way != Way.RING:
            continue
        pop = net.conns[conn].target
        start, length = net.pops[pop].start, net.pops[pop].stop - net.pops[pop].start
        row = net.conns[conn].first + (j - net.pops[source].start) * length
        fixed, factor = in_block(net, pop, time, 1.0, first)
        adjoint.total[:] = 0.0
        n = collect_along(net, adjoint, gradients, (row, length, OCTET * net.pops[pop].octet), fixed, factor)
        mem, syn = adjoint.total[Mode.MEM], adjoint.total[Mode.SYN]
        for number in range(n):
            place = adjoint.jumping[number]
            s = row + place
            k = (fixed + net.fixed[s]) >> FIXED_BITS
            at = np.int64(adjoint.held[row_of(net, pop, start + place), 2 * k + 1])
            by_mem, by_syn = modes_at_jump(net, adjoint, jumps, at, time + net.delay[s], k, first)
            gradients.per_synapse[2 * s] += factor[0] * by_mem
            gradients.per_synapse[2 * s + 1] += factor[1] * by_syn
            mem, syn = mem + net.charge[2 * s] * by_mem, syn + net.charge[2 * s + 1] * by_syn
        pull += (1.0 - share_of_mode(net, pop)) * factor[0] * mem - factor[1] * syn
    return pull


@kernel
def _collect_column(net, adjoint, conn, row, first, gradients):
    """Collect for all groups at one neuron, whose column begins with synapse ``first``; returns how many are left."""
    groups, of, held, late = adjoint.groups, adjoint.groups.of[conn], adjoint.held[row], adjoint.late_groups
    at = (first, of.first, of.stop, place_of_group(of.first, of.first, of.size))
    if of.size == GROUP:
        return collect_fours(net, groups, held, at, gradients, late)
    return collect_ones(net, groups, held, at, gradients, late)


@inlined
def _met_by(net, adjoint, jumps, inputs, held, s, p, window):
    """What the input spike in place p meets through synapse s, times its factors; ``held``: modes of the neuron."""
    spike, factor = adjoint.groups.spike[p], adjoint.groups.factor
    k = (adjoint.groups.fixed[p] + net.fixed[s]) >> FIXED_BITS
    mem, syn = held[2 * k], held[2 * k + 1]
    if mem != mem:
        mem, syn = modes_at_jump(net, adjoint, jumps, np.int64(syn), inputs[spike].time + net.delay[s], k, window)
    return factor[2 * p] * mem, factor[2 * p + 1] * syn


@kernel
def _collect_late_groups(net, adjoint, jumps, inputs, place, first, gradients):
    """Collect for the groups that were put off, spike by spike.

    ``place``: (connection, the neuron's row of ``adjoint.held``, how many groups); ``first``: (first synapse of the
    column, first window).
    """
    (conn, row, n_late), groups = place, adjoint.groups
    of, held = groups.of[conn], adjoint.held[row]
    for number in range(n_late):
        group = adjoint.late_groups[number]
        s, begin = first[0] + groups.channel[group], place_of_group(of.first, group, of.size)
        for p in range(begin, begin + of.size):
            if groups.spike[p] >= 0:
                mem, syn = _met_by(net, adjoint, jumps, inputs, held, s, p, first[1])
                gradients.per_synapse[2 * s] += mem
                gradients.per_synapse[2 * s + 1] += syn


@kernel
def _add_pulls(net, adjoint, jumps, inputs, place, first):
    """Add what one neuron pulls at the input spikes; arguments as of `_collect_late_groups`."""
    (conn, row, _), groups = place, adjoint.groups
    held, of, share = adjoint.held[row], groups.of[conn], share_of_mode(net, net.conns[conn].target)
    for group in range(of.first, of.stop):
        s, begin = first[0] + groups.channel[group], place_of_group(of.first, group, of.size)
        for p in range(begin, begin + of.size):
            if groups.spike[p] >= 0:
                mem, syn = _met_by(net, adjoint, jumps, inputs, held, s, p, first[1])
                pull = (1.0 - share) * net.charge[2 * s] * mem - net.charge[2 * s + 1] * syn
                adjoint.pulls[jumps.size + groups.spike[p]] += pull


@kernel
def leave_block(net, adjoint, jumps, inputs, window, gradients):
    """Let the input spikes of the block from ``window`` on collect by columns, when all its adjoints are held."""
    end = min((window + net.block) * net.h, net.duration)
    span, at = (first_at(inputs, window * net.h), first_at(inputs, end)), 0
    for conn in range(net.conns.size if span[1] > span[0] else 0):
        if net.conns[conn].way != Way.COLUMNS:
            continue
        of, pop = adjoint.groups.of[conn], net.conns[conn].target
        of.first = at
        group_spikes(net, adjoint.groups, conn, inputs, span, window)  # there is room: buffers.key_of_adjoint
        at = of.stop
        for j in range(net.pops[pop].start, net.pops[pop].stop):
            if is_set(adjoint.stop):
                return
            first = net.conns[conn].first + (j - net.pops[pop].start) * net.conns[conn].n_pre
            row = row_of(net, pop, j)
            n_late = _collect_column(net, adjoint, conn, row, first, gradients)
            place, begin = (conn, row, n_late), (first, window)
            _collect_late_groups(net, adjoint, jumps, inputs, place, begin, gradients)
            if gradients.input_times.size > 0:
                _add_pulls(net, adjoint, jumps, inputs, place, begin)
