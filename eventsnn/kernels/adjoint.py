"""One shard of samples backward: the adjoint ring and the gradient rows.

Windows are walked backwards. The ring keeps (lambda_V, lambda_I) of every neuron at the end of each of the last
windows, as far as the largest delay reaches; a neuron that fired inside a window also leaves its adjoint just before
each spike. A spike at t then reads lambda at t + delay for each of its targets in closed form (docs/mathematics.md,
sections 3 to 5). Nothing of the forward pass is needed but the spikes and their slopes.
"""

import math
from typing import NamedTuple

import numpy as np

from .compile import entry, inlined, kernel
from .membrane import coefficients, double_psp, flow, horner, polynomial, psp
from .state import LIF, TAU_MEM, TAU_SYN, THRESHOLD

NEGLIGIBLE = 1e-290
NO_SPIKE = -1
# Rows of the tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn} (docs/mathematics.md, section 5).
RESET_TAIL, PSP_TAIL, CURRENT_TAIL = 0, 1, 2


# One neuron at the end of one window: lambda_V, lambda_I, and the earliest jump inside the window, or NO_SPIKE. Kept
# together because a row's targets are read in an order that the cache cannot foresee.
STATE = np.dtype([("v", np.float64), ("i", np.float64), ("first", np.int64)])


class Ring(NamedTuple):
    """Adjoint states at window ends, indexed slot * n_state + neuron, and at the jumps of the current sample.

    ``tails`` and ``jump_tails`` have no columns unless time constants are trained.
    """

    states: np.ndarray  # STATE
    tails: np.ndarray
    jump_v: np.ndarray
    jump_i: np.ndarray
    jump_tails: np.ndarray
    jumped: np.ndarray  # scratch: arrivals of one row at targets that jumped in that window


# Rows of the step table: the backward flow over one whole window, and the loss's pull on each readout.
DECAY_V, DECAY_I, V_TO_I, DRIVE = range(4)
# Rows of the scratch table, for the arrivals of one row: lambda_V - lambda_I, tau_syn lambda_I, the arrival times.
DIFFERENCE, CURRENT, ARRIVAL = range(3)


def make_adjoint_workspace(n_state, n_slots, widest, n_jumps, with_tails):
    """The step table, the ring and the scratch table of one thread; ``widest``: synapses of the longest row."""
    size = n_slots * n_state
    ring = Ring(
        states=np.zeros(size, STATE),
        tails=np.zeros((3, size if with_tails else 0)),
        jump_v=np.zeros(n_jumps),
        jump_i=np.zeros(n_jumps),
        jump_tails=np.zeros((3, n_jumps if with_tails else 0)),
        jumped=np.zeros(widest, np.int64),
    )
    return np.zeros((4, n_state)), ring, np.zeros((3, widest))


@inlined
def _clean(x):
    return x if abs(x) > NEGLIGIBLE else 0.0


@kernel
def _set_step(net, step, length):
    for j in range(net.neurons.size):
        step[DECAY_V, j] = math.exp(-length / net.neurons[j].tau_mem)
        response, step[DECAY_I, j] = flow(0.0, 1.0, length, net.neurons[j].tau_mem, net.neurons[j].tau_syn)
        step[V_TO_I, j] = response * (net.neurons[j].tau_mem / net.neurons[j].tau_syn)


@inlined
def window_end(net, window):
    """End (ms) of a window; the last one ends with the simulation."""
    return min((window + 1) * net.h, net.duration)


@inlined
def _flow_back(net, j, lambda_v, lambda_i, x):
    """The adjoint of neuron j, x <= h ms earlier."""
    k = net.neurons[j].series
    decay_i, response = polynomial(net.series, k, 0, x), polynomial(net.series, k, 1, x)
    ratio = net.neurons[j].tau_mem / net.neurons[j].tau_syn
    return lambda_v * (decay_i + (ratio - 1.0) * response), lambda_i * decay_i + lambda_v * response * ratio


@kernel
def _tails_back(net, j, adjoint, tails, x):
    """The three tails of neuron j, x <= h ms earlier; ``adjoint``: (lambda_V, lambda_I)."""
    lambda_v, lambda_i = adjoint
    k, tau_mem, tau_syn = net.neurons[j].series, net.neurons[j].tau_mem, net.neurons[j].tau_syn
    decay_i, response = polynomial(net.series, k, 0, x), polynomial(net.series, k, 1, x)
    decay_v = decay_i + (tau_mem / tau_syn - 1.0) * response
    return (
        (tails[0] + lambda_v * x) * decay_v,
        tails[1] * decay_v + tau_syn * lambda_i * response + lambda_v * polynomial(net.series, k, 3, x),
        (tails[2] + lambda_i * x) * decay_i + lambda_v * (tau_mem / tau_syn) * polynomial(net.series, k, 2, x),
    )


@inlined
def _jump_after(net, ring, jumps, j, time, window):
    """The first jump of neuron j at or after ``time`` in ``window``, or NO_SPIKE.

    An arrival at the instant of a spike acted before the spike, so it belongs to the state before the jump.
    """
    e = ring.states[(window & net.ring_mask) * net.neurons.size + j].first
    if e == NO_SPIKE:
        return NO_SPIKE
    end = window_end(net, window)
    while e < jumps.size and jumps[e].neuron == j and jumps[e].time < end:
        if jumps[e].time >= time:
            return e
        e += 1
    return NO_SPIKE


@inlined
def adjoint_at(net, ring, jumps, j, time):
    """(lambda_V, lambda_I) of neuron j as an arrival at ``time`` sees it, without the loss's direct pull."""
    window = np.int64(time / net.h)
    e = _jump_after(net, ring, jumps, j, time, window)
    if e != NO_SPIKE:
        return _flow_back(net, j, ring.jump_v[e], ring.jump_i[e], jumps[e].time - time)
    at = (window & net.ring_mask) * net.neurons.size + j
    return _flow_back(net, j, ring.states[at].v, ring.states[at].i, window_end(net, window) - time)


@kernel
def tails_at(net, ring, jumps, j, time):
    """The tails of neuron j at ``time``."""
    window = np.int64(time / net.h)
    e = _jump_after(net, ring, jumps, j, time, window)
    if e != NO_SPIKE:
        return _tails_back(net, j, (ring.jump_v[e], ring.jump_i[e]), ring.jump_tails[:, e], jumps[e].time - time)
    at = (window & net.ring_mask) * net.neurons.size + j
    adjoint = (ring.states[at].v, ring.states[at].i)
    return _tails_back(net, j, adjoint, ring.tails[:, at], window_end(net, window) - time)


@kernel
def _read_uniform(net, ring, run, scratch, jumped):
    """Read the ring at every arrival of a run, as if no target had jumped there; returns how many have.

    All targets share their time constants. ``run``: (first synapse, number); ``jumped`` receives the exceptions.
    """
    first, n = run
    j0 = net.target[first]
    tau_syn, ratio = net.neurons[j0].tau_syn, net.neurons[j0].tau_mem / net.neurons[j0].tau_syn
    to_i = coefficients(net.series, net.neurons[j0].series, 0)
    to_v = coefficients(net.series, net.neurons[j0].series, 1)
    per_ms, h, duration = 1.0 / net.h, net.h, net.duration
    # first the arithmetic, which runs on vectors
    for s in range(n):
        arrival = scratch[ARRIVAL, s]
        x = min(math.floor(arrival * per_ms) * h + h, duration) - arrival
        scratch[CURRENT, s], scratch[DIFFERENCE, s] = horner(to_i, x), horner(to_v, x)
    # then the look-ups
    n_state, mask, n_jumped = net.neurons.size, net.ring_mask, 0
    for s in range(n):
        state = ring.states[(np.int64(scratch[ARRIVAL, s] * per_ms) & mask) * n_state + net.target[first + s]]
        decay_i, response = scratch[CURRENT, s], scratch[DIFFERENCE, s]
        lambda_v = state.v
        now_i = state.i * decay_i + lambda_v * response * ratio
        scratch[DIFFERENCE, s] = lambda_v * (decay_i + (ratio - 1.0) * response) - now_i
        scratch[CURRENT, s] = tau_syn * now_i
        jumped[n_jumped] = s
        n_jumped += state.first != NO_SPIKE
    return n_jumped


@inlined
def _read_exact(net, ring, jumps, first, s, scratch):
    """Read the adjoint at arrival s of a run that starts with synapse ``first``."""
    j = net.target[first + s]
    lambda_v, lambda_i = adjoint_at(net, ring, jumps, j, scratch[ARRIVAL, s])
    scratch[DIFFERENCE, s] = lambda_v - lambda_i
    scratch[CURRENT, s] = net.neurons[j].tau_syn * lambda_i


@kernel
def _read_row(net, ring, jumps, run, scratch, jumped):
    """Read the adjoint at every arrival of a run whose arrival times stand in ``scratch``."""
    first, n = run
    if net.pops[net.neurons[net.target[first]].pop].uniform:
        for k in range(_read_uniform(net, ring, run, scratch, jumped)):
            _read_exact(net, ring, jumps, first, jumped[k], scratch)
    else:
        for s in range(n):
            _read_exact(net, ring, jumps, first, s, scratch)


@kernel
def _add_drive(net, step, rate, run, scratch):
    """Add the particular solution C e^{-rate t} of lambda_V (and that of lambda_I) on a readout with a voltage loss."""
    first, n = run
    for s in range(n):
        j = net.target[first + s]
        drive_v = step[DRIVE, j] * math.exp(-rate * scratch[ARRIVAL, s])
        drive_i = drive_v / (1.0 + rate * net.neurons[j].tau_syn)
        scratch[DIFFERENCE, s] += drive_v - drive_i
        scratch[CURRENT, s] += net.neurons[j].tau_syn * drive_i


@kernel
def _add_tau(net, step, ring, jumps, run, scratch, spike, gradients):
    """Add what the arrivals of one row give to dL/dtau; ``spike``: (count, rate of the readout's loss)."""
    first, n = run
    count, rate = spike
    for s in range(n):
        j, arrival = net.target[first + s], scratch[ARRIVAL, s]
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        _, lambda_i = adjoint_at(net, ring, jumps, j, arrival)
        _, psp_tail, current_tail = tails_at(net, ring, jumps, j, arrival)
        drive_i = step[DRIVE, j] * math.exp(-rate * arrival) / (1.0 + rate * tau_syn)
        lambda_i += drive_i
        psp_tail += tau_syn * drive_i / (1.0 + rate * tau_mem)
        current_tail += tau_syn * drive_i / (1.0 + rate * tau_syn)
        weight = count * net.weight[first + s]
        gradients.neurons[TAU_MEM, j] += weight * (tau_syn * lambda_i - psp_tail) / tau_mem
        gradients.neurons[TAU_SYN, j] -= weight * current_tail / tau_syn


@kernel
def row_back(net, step, ring, jumps, spike, scratch, gradients):
    """Add the gradients of one row for one spike; returns sum of w (lambda_V - lambda_I) over its arrivals.

    ``spike``: (connection, index of the neuron in its population, time, count).
    """
    conn, local, time, count = spike
    row = net.conns[conn].first_row + local
    first, last = net.row_ptr[row], net.row_ptr[row + 1]
    per_synapse, pop = net.conns[conn].per_synapse, net.conns[conn].target
    if per_synapse:
        while last > first and time + net.delay[last - 1] >= net.duration:
            last -= 1
    elif time + net.row_delay[row] >= net.duration:
        return 0.0
    n = last - first
    if n == 0:
        return 0.0
    shared = time + net.row_delay[row]
    for s in range(n):
        scratch[ARRIVAL, s] = time + net.delay[first + s] if per_synapse else shared
    _read_row(net, ring, jumps, (first, n), scratch, ring.jumped)
    rate = net.pops[pop].decay_rate
    if net.pops[pop].kind != LIF:
        _add_drive(net, step, rate, (first, n), scratch)
    if ring.tails.shape[1] > 0:
        _add_tau(net, step, ring, jumps, (first, n), scratch, (count, rate), gradients)
    total = 0.0
    for s in range(n):
        gradients.weight[first + s] -= count * scratch[CURRENT, s]
        scratch[DIFFERENCE, s] *= count * net.weight[first + s]
        total += scratch[DIFFERENCE, s]
    if per_synapse:
        for s in range(n):
            gradients.delay[first + s] += scratch[DIFFERENCE, s]
    else:
        gradients.row_delay[row] += total
    return total


@kernel
def _start_window(net, ring, step, jumps, window, entries):
    """Carry the adjoint from the end of ``window`` to the end of the window before it.

    ``entries``: (first, last) jumps of ``window``; neurons that jumped continue from their earliest jump.
    """
    n = net.neurons.size
    new, old = ((window - 1) & net.ring_mask) * n, (window & net.ring_mask) * n
    begin, end = window * net.h, window_end(net, window)
    if end - begin != net.h:
        _set_step(net, step, end - begin)
    for j in range(n):
        lambda_v, lambda_i = ring.states[old + j].v, ring.states[old + j].i
        ring.states[new + j].v = _clean(lambda_v * step[DECAY_V, j])
        ring.states[new + j].i = _clean(lambda_i * step[DECAY_I, j] + lambda_v * step[V_TO_I, j])
        ring.states[new + j].first = NO_SPIKE
    if end - begin != net.h:
        _set_step(net, step, net.h)
    for j in range(n if ring.tails.shape[1] > 0 else 0):
        adjoint = (ring.states[old + j].v, ring.states[old + j].i)
        tails = _tails_back(net, j, adjoint, ring.tails[:, old + j], end - begin)
        for row in range(3):
            ring.tails[row, new + j] = tails[row]
    for e in range(entries[0], entries[1]):
        j = jumps[e].neuron
        if ring.states[old + j].first != e:
            continue
        x = jumps[e].time - begin
        lambda_v, lambda_i = _flow_back(net, j, ring.jump_v[e], ring.jump_i[e], x)
        ring.states[new + j].v, ring.states[new + j].i = lambda_v, lambda_i
        if ring.tails.shape[1] > 0:
            tails = _tails_back(net, j, (ring.jump_v[e], ring.jump_i[e]), ring.jump_tails[:, e], x)
            for row in range(3):
                ring.tails[row, new + j] = tails[row]


@kernel
def _leap_back(net, ring, source, target, x):
    """Carry the adjoint of every neuron x ms back across a silence, from one ring slot to another."""
    n = net.neurons.size
    for j in range(n):
        old, new = source * n + j, target * n + j
        lambda_v, lambda_i, tau_mem, tau_syn = (
            ring.states[old].v,
            ring.states[old].i,
            net.neurons[j].tau_mem,
            net.neurons[j].tau_syn,
        )
        decay_v, decay_i = math.exp(-x / tau_mem), math.exp(-x / tau_syn)
        response, ratio = psp(x, tau_mem, tau_syn), tau_mem / tau_syn
        if ring.tails.shape[1] > 0:
            tails = (ring.tails[0, old], ring.tails[1, old], ring.tails[2, old])
            ring.tails[0, new] = (tails[0] + lambda_v * x) * decay_v
            ring.tails[1, new] = (
                tails[1] * decay_v
                + tau_syn * lambda_i * response
                + lambda_v * double_psp(x, tau_mem, tau_syn) / tau_mem
            )
            ring.tails[2, new] = (tails[2] + lambda_i * x) * decay_i + lambda_v * ratio * (
                double_psp(x, tau_syn, tau_mem) / tau_mem
            )
        ring.states[new].v = _clean(lambda_v * decay_v)
        ring.states[new].i = _clean(lambda_i * decay_i + lambda_v * response * ratio)
        ring.states[new].first = NO_SPIKE


@kernel
def _jump(net, step, ring, jumps, e, scratch, gradients):
    """The adjoint jump at entry e of the sample's jumps."""
    j, time, pull, kick = jumps[e].neuron, jumps[e].time, jumps[e].pull, jumps[e].kick
    slot = np.int64(time / net.h) & net.ring_mask
    # the adjoint just after the spike: from the neuron's next spike in this window, or from the window's end
    lambda_v, lambda_i = adjoint_at(net, ring, jumps, j, time)
    with_tails = ring.tails.shape[1] > 0
    if with_tails:
        tails = tails_at(net, ring, jumps, j, time)
        for row in range(3):
            ring.jump_tails[row, e] = tails[row]
    pop = net.neurons[j].pop
    for c in range(net.pops[pop].out_first, net.pops[pop].out_last):
        spike = (net.links[c], j - net.pops[pop].start, time, 1.0)
        pull += row_back(net, step, ring, jumps, spike, scratch, gradients)
    if net.pops[pop].kind == LIF:
        threshold = net.neurons[j].threshold
        lambda_v += (threshold * lambda_v + pull) / jumps[e].slope + kick
        gradients.neurons[THRESHOLD, j] += net.neurons[j].tau_mem * lambda_v
        if with_tails:
            gradients.neurons[TAU_MEM, j] += threshold * ring.jump_tails[RESET_TAIL, e] / net.neurons[j].tau_mem
    else:
        lambda_v += kick
    ring.jump_v[e], ring.jump_i[e] = lambda_v, lambda_i
    ring.states[slot * net.neurons.size + j].first = e


@kernel
def _end_conditions(net, step, ring, slot):
    """lambda = 0 at the end of the simulation: the homogeneous part cancels the loss's particular solution."""
    n = net.neurons.size
    for j in range(n):
        ring.states[slot * n + j].first = NO_SPIKE
    for pop in range(net.n_pops):
        rate = net.pops[pop].decay_rate
        last = math.exp(-rate * net.duration)
        for j in range(net.pops[pop].start, net.pops[pop].stop):
            drive_v = step[DRIVE, j] * last
            drive_i = drive_v / (1.0 + rate * net.neurons[j].tau_syn)
            ring.states[slot * n + j].v, ring.states[slot * n + j].i = -drive_v, -drive_i
            if ring.tails.shape[1] > 0:
                # only LIF neurons reset, and nothing pulls on them directly
                ring.tails[RESET_TAIL, slot * n + j] = 0.0
                ring.tails[PSP_TAIL, slot * n + j] = (
                    -drive_i * net.neurons[j].tau_syn / (1.0 + rate * net.neurons[j].tau_mem)
                )
                ring.tails[CURRENT_TAIL, slot * n + j] = (
                    -drive_i * net.neurons[j].tau_syn / (1.0 + rate * net.neurons[j].tau_syn)
                )


@kernel
def _inputs_back(net, step, ring, jumps, spikes, range_, scratch, gradients):
    """Add the gradients of the input spikes ``range_``: (first, last)."""
    for at in range(range_[1] - 1, range_[0] - 1, -1):
        source = spikes.events[at].source
        pop, local = net.sources[source].pop, net.sources[source].local
        for c in range(net.pops[pop].out_first, net.pops[pop].out_last):
            spike = (net.links[c], local, spikes.events[at].time, spikes.events[at].count)
            gradients.input_times[at] += row_back(net, step, ring, jumps, spike, scratch, gradients)


@kernel
def _event_window(net, jumps, spikes, e, at, first):
    """The last window that holds one of the jumps up to e or input spikes up to ``at``, or -1."""
    latest = -1
    if e >= 0:
        latest = np.int64(jumps[e].time / net.h)
    if at >= first:
        latest = max(latest, np.int64(spikes.events[at].time / net.h))
    return latest


@kernel
def backward_sample(net, spikes, sample, jumps, workspace, gradients):
    """Accumulate the gradients of one sample; ``jumps``: a Jumps, ``workspace`` as in `backward_shard`."""
    step, ring, scratch = workspace
    begin, stop = jumps.offsets[sample], jumps.offsets[sample + 1]
    mine = jumps.entries[begin:stop]
    first, at = spikes.offsets[sample], spikes.offsets[sample + 1] - 1
    while at >= first and spikes.events[at].time >= net.duration:
        at -= 1
    e = stop - begin - 1
    n_slots = net.ring_mask + 1
    window = net.n_windows - 1
    _end_conditions(net, step, ring, window & net.ring_mask)
    latest = _event_window(net, mine, spikes, e, at, first)
    if window - latest > n_slots and latest >= 0:
        far = latest + n_slots
        _leap_back(net, ring, window & net.ring_mask, far & net.ring_mask, net.duration - (far + 1) * net.h)
        window = far
    while latest >= 0:
        start, last_entry, last_input = window * net.h, e + 1, at + 1
        while e >= 0 and mine[e].time >= start:
            _jump(net, step, ring, mine, e, scratch, gradients)
            e -= 1
        while at >= first and spikes.events[at].time >= start:
            at -= 1
        _inputs_back(net, step, ring, mine, spikes, (at + 1, last_input), scratch, gradients)
        latest = _event_window(net, mine, spikes, e, at, first)
        if latest < 0:
            break
        _start_window(net, ring, step, mine, window, (e + 1, last_entry))
        window -= 1
        if window - latest > n_slots:
            far = latest + n_slots
            _leap_back(net, ring, window & net.ring_mask, far & net.ring_mask, (window - far) * net.h)
            window = far


@entry
def backward_shard(net, spikes, samples, jumps, drive, workspace, gradients):
    """Accumulate the gradients of samples first..last, in order.

    ``samples``: (first, last); ``drive`` (n_samples, n_state): dL/dz of each readout's weighted voltage integral;
    ``workspace``: (step table, Ring, scratch table); ``gradients``: a Gradients whose arrays are added to.
    """
    step = workspace[0]
    _set_step(net, step, net.h)
    for sample in range(samples[0], samples[1]):
        for j in range(net.neurons.size):
            # tau_mem lambda' = -lambda - g e^{-rate t} has the particular solution -g/(1 + rate tau_mem) e^{-rate t}
            rate = net.pops[net.neurons[j].pop].decay_rate
            step[DRIVE, j] = -drive[sample, j] / (1.0 + rate * net.neurons[j].tau_mem)
        backward_sample(net, spikes, sample, jumps, workspace, gradients)
