"""Spikes that are known beforehand, target by target: the sums of a block of windows before it runs.

The synapses of a target are read once for all the spikes of a block, and its sums stay in the nearest cache, where a
row would find every target's sums in another place (docs/engine.md).
"""

from ..blocks import GROUP, OCTET
from ..compile import inlined, kernel
from ..neurons.base import mode_fall
from ..simd import is_set
from ..simd_blocks import add_sums, scatter_fours, scatter_ones, write_effects
from ..state import Status, Way
from .grouping import group_spikes, place_of_group
from .rings import effect_factors, move_ring
from .trains import append_to_train, move_trains


@kernel
def _count_arrivals(net, conn, events, span):
    """The arrivals of the input spikes ``span`` (first, last) before the end of the simulation."""
    connection, late, n = net.conns[conn], span[1], 0
    n_post = net.pops[connection.target].stop - net.pops[connection.target].start
    while late > span[0] and events[late - 1].time + net.conn_longest[conn] >= net.duration:
        late -= 1
    for k in range(span[0], late):
        n += n_post * (net.sources[events[k].source].pop == connection.source)
    for place in range(n_post if late < span[1] else 0):
        first = connection.first + place * connection.n_pre
        for k in range(late, span[1]):
            if net.sources[events[k].source].pop == connection.source:
                n += events[k].time + net.delay[first + net.sources[events[k].source].local] < net.duration
    return n


@kernel
def _scatter_column(net, groups, conn, modes, first):
    """Add the arrivals of all groups to the modes of one neuron, whose column begins with synapse ``first``."""
    of = groups.of[conn]
    at = (first, of.first, of.stop, place_of_group(of.first, of.first, of.size))
    if of.size == GROUP:
        scatter_fours(net, groups, modes, at)
    else:
        scatter_ones(net, groups, modes, at)


@kernel
def _add_tails(net, work, pop, octet):
    """Add what came over from the block before to the modes of eight neurons."""
    modes, tails = work.octet_modes, work.tails[octet]
    by_mem, by_syn = mode_fall(net, pop, net.block)
    for q in range(OCTET):
        for k in range(2 * net.reach):
            modes[q, 2 * k] += tails[q, 2 * k] * by_mem
            modes[q, 2 * k + 1] += tails[q, 2 * k + 1] * by_syn


@kernel
def _write_sums(net, work, pop, octet, n_windows):
    """Turn the modes of eight neurons into what arrives in each window, and clear them."""
    modes, busy, tails, at = work.octet_modes, work.busy[pop], work.tails[octet], 4 * n_windows
    for k in range(n_windows):
        busy[k] |= write_effects(work, octet, k, effect_factors(net, pop, k))
    for q in range(OCTET):
        for k in range(4 * net.reach):
            tails[q, k], modes[q, at + k] = modes[q, at + k], 0.0


@kernel
def _sum_columns(net, work, pop, n_windows):
    """Work out what arrives at a population by columns in each window of a block; returns a status."""
    start, stop, spikes = net.pops[pop].start, net.pops[pop].stop, 0
    work.busy[pop, :] = 0
    for k in range(net.pops[pop].first_known, net.pops[pop].last_known):
        of = work.groups.of[net.known[k]]
        if net.conns[net.known[k]].way == Way.COLUMNS:
            spikes += of.stop - of.first
    if spikes == 0 and work.tailed[pop] == 0:
        return Status.OK
    for place in range(0, stop - start, OCTET):
        if is_set(work.stop):
            return Status.INTERRUPTED
        octet = net.pops[pop].octet + place // OCTET
        if work.tailed[pop] != 0:
            _add_tails(net, work, pop, octet)
        for k in range(net.pops[pop].first_known, net.pops[pop].last_known):
            conn = net.known[k]
            for q in range(min(OCTET, stop - start - place) if net.conns[conn].way == Way.COLUMNS else 0):
                first = net.conns[conn].first + (place + q) * net.conns[conn].n_pre
                _scatter_column(net, work.groups, conn, work.octet_modes[q], first)
        _write_sums(net, work, pop, octet, n_windows)
    work.tailed[pop] = spikes
    return Status.OK


@kernel
def begin_block(net, work, events, window):
    """Work out all that is known of the block from ``window`` on; returns (status, arrivals before the end)."""
    progress, arrivals, at = work.progress[0], 0, 0
    if window > 0:
        move_trains(net, work)
        move_ring(net, work)
    end = min((window + net.block) * net.h, net.duration)
    first, last = progress.known_input, progress.known_input
    while last < events.size and events[last].time < end:
        source = net.sources[events[last].source]
        if net.pops[source.pop].train >= 0:
            if not append_to_train(net, work, source.pop, source.local, events[last].time, events[last].count, window):
                return Status.TRAINS_FULL, 0
        last += 1
    progress.known_input, progress.first_window = last, window
    for conn in range(net.conns.size):
        if net.conns[conn].way != Way.COLUMNS:
            continue
        work.groups.of[conn].first = at
        if not group_spikes(net, work.groups, conn, events, (first, last), window):
            return Status.GROUPS_FULL, 0
        at = work.groups.of[conn].stop
        arrivals += _count_arrivals(net, conn, events, (first, last))
    n_windows = min(net.block, net.n_windows - window)
    for pop in range(net.n_pops):
        if net.pops[pop].last_known > net.pops[pop].first_known:
            status = _sum_columns(net, work, pop, n_windows)
            if status != Status.OK:
                return status, 0
    return Status.OK, arrivals


@inlined
def add_columns(net, work, pop, window):
    """Add what known spikes do in a window to the sums of all neurons of a population."""
    k, start = window - work.progress[0].first_window, net.pops[pop].start
    if work.busy[pop, k] == 0:
        return
    for place in range(0, net.pops[pop].stop - start, OCTET):
        add_sums(work, start + place, net.pops[pop].octet + place // OCTET, k)
