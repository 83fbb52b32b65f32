"""One shard of samples backward: the adjoint ring and the gradient rows.

Windows are walked backwards. The ring keeps (lambda_V, lambda_I) of every neuron at the end of each of the last
windows, as far as the largest delay reaches; a neuron that fired inside a window also leaves its adjoint just before
each spike. A spike at t then reads lambda at t + delay for each of its targets in closed form (docs/mathematics.md,
sections 3 to 5). Nothing of the forward pass is needed but the spikes and their slopes.
"""

import math
from typing import NamedTuple

import numpy as np

from .compile import kernel
from .membrane import double_psp, flow, polynomial, psp
from .state import LIF

NEGLIGIBLE = 1e-290
NO_SPIKE = -1
# Rows of the tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn} (docs/mathematics.md, section 5).
RESET_TAIL, PSP_TAIL, CURRENT_TAIL = 0, 1, 2


class Ring(NamedTuple):
    """Adjoint states at window ends, indexed slot * n_state + neuron, and at the jumps of the current sample.

    ``first`` is the earliest jump of the neuron inside the window, or NO_SPIKE. ``tails`` and ``jump_tails`` have no
    columns unless time constants are trained.
    """

    lambda_v: np.ndarray
    lambda_i: np.ndarray
    first: np.ndarray
    tails: np.ndarray
    jump_v: np.ndarray
    jump_i: np.ndarray
    jump_tails: np.ndarray


class Step(NamedTuple):
    """Constants of the backward flow over one whole window, per neuron; ``drive``: the loss's pull on each readout."""

    decay_v: np.ndarray
    decay_i: np.ndarray
    v_to_i: np.ndarray
    drive: np.ndarray


class Scratch(NamedTuple):
    """lambda_V - lambda_I and tau_syn lambda_I at the arrivals of one row; the arrival times."""

    difference: np.ndarray
    current: np.ndarray
    arrival: np.ndarray


@kernel
def make_ring(net, n_jumps, with_tails):
    """A ring for one thread with room for ``n_jumps`` jumps."""
    size = (net.ring_mask + 1) * net.tau_mem.size
    return Ring(
        np.zeros(size), np.zeros(size), np.full(size, NO_SPIKE, np.int32), np.zeros((3, size if with_tails else 0)),
        np.empty(n_jumps), np.empty(n_jumps), np.empty((3, n_jumps if with_tails else 0)),
    )  # fmt: skip


@kernel(inline=True)
def _clean(x):
    return x if abs(x) > NEGLIGIBLE else 0.0


@kernel
def _set_step(net, step, length):
    for j in range(net.tau_mem.size):
        step.decay_v[j] = math.exp(-length / net.tau_mem[j])
        response, step.decay_i[j] = flow(0.0, 1.0, length, net.tau_mem[j], net.tau_syn[j])
        step.v_to_i[j] = response * (net.tau_mem[j] / net.tau_syn[j])


@kernel
def window_end(net, window):
    """End (ms) of a window; the last one ends with the simulation."""
    return min((window + 1) * net.h, net.duration)


@kernel
def _flow_back(net, j, lambda_v, lambda_i, x):
    """The adjoint of neuron j, x <= h ms earlier."""
    table = net.series[net.series_of[j]]
    decay_i, response = polynomial(table, 0, x), polynomial(table, 1, x)
    ratio = net.tau_mem[j] / net.tau_syn[j]
    return lambda_v * (decay_i + (ratio - 1.0) * response), lambda_i * decay_i + lambda_v * response * ratio


@kernel
def _tails_back(net, j, adjoint, tails, x):
    """The three tails of neuron j, x <= h ms earlier; ``adjoint``: (lambda_V, lambda_I)."""
    lambda_v, lambda_i = adjoint
    table = net.series[net.series_of[j]]
    tau_mem, tau_syn = net.tau_mem[j], net.tau_syn[j]
    decay_i, response = polynomial(table, 0, x), polynomial(table, 1, x)
    decay_v = decay_i + (tau_mem / tau_syn - 1.0) * response
    return (
        (tails[0] + lambda_v * x) * decay_v,
        tails[1] * decay_v + tau_syn * lambda_i * response + lambda_v * polynomial(table, 3, x),
        (tails[2] + lambda_i * x) * decay_i + lambda_v * (tau_mem / tau_syn) * polynomial(table, 2, x),
    )


@kernel
def _jump_after(net, ring, jumps, j, time, window):
    """The first jump of neuron j at or after ``time`` in ``window``, or NO_SPIKE.

    An arrival at the instant of a spike acted before the spike, so it belongs to the state before the jump.
    """
    e = ring.first[(window & net.ring_mask) * net.tau_mem.size + j]
    if e == NO_SPIKE:
        return NO_SPIKE
    end, (times, neurons, n_jumps) = window_end(net, window), jumps
    while e < n_jumps and neurons[e] == j and times[e] < end:
        if times[e] >= time:
            return e
        e += 1
    return NO_SPIKE


@kernel
def adjoint_at(net, ring, jumps, j, time):
    """(lambda_V, lambda_I) of neuron j as an arrival at ``time`` sees it, without the loss's direct pull."""
    window = np.int64(time / net.h)
    e = _jump_after(net, ring, jumps, j, time, window)
    if e != NO_SPIKE:
        return _flow_back(net, j, ring.jump_v[e], ring.jump_i[e], jumps[0][e] - time)
    at = (window & net.ring_mask) * net.tau_mem.size + j
    return _flow_back(net, j, ring.lambda_v[at], ring.lambda_i[at], window_end(net, window) - time)


@kernel
def tails_at(net, ring, jumps, j, time):
    """The tails of neuron j at ``time``."""
    window = np.int64(time / net.h)
    e = _jump_after(net, ring, jumps, j, time, window)
    if e != NO_SPIKE:
        return _tails_back(net, j, (ring.jump_v[e], ring.jump_i[e]), ring.jump_tails[:, e], jumps[0][e] - time)
    at = (window & net.ring_mask) * net.tau_mem.size + j
    adjoint = (ring.lambda_v[at], ring.lambda_i[at])
    return _tails_back(net, j, adjoint, ring.tails[:, at], window_end(net, window) - time)


@kernel
def _read_uniform(net, ring, run, arrival, scratch):
    """Read the ring at every arrival of a run, as if no target had jumped; returns whether any has.

    All targets share their time constants. ``run``: (first synapse, number).
    """
    first, n = run
    j0 = net.target[first]
    table = net.series[net.series_of[j0]]
    tau_syn, ratio = net.tau_syn[j0], net.tau_mem[j0] / net.tau_syn[j0]
    difference, current = scratch.difference, scratch.current
    per_ms, n_state = 1.0 / net.h, net.tau_mem.size
    latest = NO_SPIKE
    for s in range(n):
        window = np.int64(arrival[s] * per_ms)
        at = (window & net.ring_mask) * n_state + net.target[first + s]
        x = min((window + 1) * net.h, net.duration) - arrival[s]
        decay_i, response = polynomial(table, 0, x), polynomial(table, 1, x)
        lambda_v, lambda_i = ring.lambda_v[at], ring.lambda_i[at]
        now_i = lambda_i * decay_i + lambda_v * response * ratio
        difference[s] = lambda_v * (decay_i + (ratio - 1.0) * response) - now_i
        current[s] = tau_syn * now_i
        latest = max(latest, ring.first[at])
    return latest != NO_SPIKE


@kernel
def _read_exact(net, ring, jumps, run, arrival, scratch, only_jumped):
    """Read the adjoint at every arrival of a run one by one, or only where the target jumped in that window."""
    first, n = run
    for s in range(n):
        j = net.target[first + s]
        if only_jumped:
            window = np.int64(arrival[s] / net.h)
            if ring.first[(window & net.ring_mask) * net.tau_mem.size + j] == NO_SPIKE:
                continue
        lambda_v, lambda_i = adjoint_at(net, ring, jumps, j, arrival[s])
        scratch.difference[s] = lambda_v - lambda_i
        scratch.current[s] = net.tau_syn[j] * lambda_i


@kernel
def _add_drive(net, step, rate, run, arrival, scratch):
    """Add the particular solution C e^{-rate t} of lambda_V (and that of lambda_I) on a readout with a voltage loss."""
    first, n = run
    for s in range(n):
        j = net.target[first + s]
        drive_v = step.drive[j] * math.exp(-rate * arrival[s])
        drive_i = drive_v / (1.0 + rate * net.tau_syn[j])
        scratch.difference[s] += drive_v - drive_i
        scratch.current[s] += net.tau_syn[j] * drive_i


@kernel
def _add_tau(net, step, ring, jumps, run, arrival, spike, gradients):
    """Add what the arrivals of one row give to dL/dtau; ``spike``: (count, rate of the readout's loss)."""
    first, n = run
    count, rate = spike
    for s in range(n):
        j = net.target[first + s]
        tau_mem, tau_syn = net.tau_mem[j], net.tau_syn[j]
        _, lambda_i = adjoint_at(net, ring, jumps, j, arrival[s])
        _, psp_tail, current_tail = tails_at(net, ring, jumps, j, arrival[s])
        drive_i = step.drive[j] * math.exp(-rate * arrival[s]) / (1.0 + rate * tau_syn)
        lambda_i += drive_i
        psp_tail += tau_syn * drive_i / (1.0 + rate * tau_mem)
        current_tail += tau_syn * drive_i / (1.0 + rate * tau_syn)
        weight = count * net.weight[first + s]
        gradients.tau_mem[j] += weight * (tau_syn * lambda_i - psp_tail) / tau_mem
        gradients.tau_syn[j] -= weight * current_tail / tau_syn


@kernel
def row_back(net, step, ring, jumps, spike, scratch, gradients):
    """Add the gradients of one row for one spike; returns sum of w (lambda_V - lambda_I) over its arrivals.

    ``spike``: (connection, index of the neuron in its population, time, count).
    """
    conn, local, time, count = spike
    row = net.first_row[conn] + local
    first, last = net.row_ptr[row], net.row_ptr[row + 1]
    per_synapse, pop = net.per_synapse[conn], net.conn_target[conn]
    if per_synapse:
        while last > first and time + net.delay[last - 1] >= net.duration:
            last -= 1
    elif time + net.row_delay[row] >= net.duration:
        return 0.0
    n = last - first
    if n == 0:
        return 0.0
    arrival, difference, current = scratch.arrival, scratch.difference, scratch.current
    for s in range(n):
        arrival[s] = time + (net.delay[first + s] if per_synapse else net.row_delay[row])
    if net.pop_uniform[pop]:
        if _read_uniform(net, ring, (first, n), arrival, scratch):
            _read_exact(net, ring, jumps, (first, n), arrival, scratch, True)
    else:
        _read_exact(net, ring, jumps, (first, n), arrival, scratch, False)
    if net.pop_kind[pop] != LIF:
        _add_drive(net, step, net.decay_rate[pop], (first, n), arrival, scratch)
    if ring.tails.shape[1] > 0:
        _add_tau(net, step, ring, jumps, (first, n), arrival, (count, net.decay_rate[pop]), gradients)
    total = 0.0
    grad_weight, weight = gradients.weight[first:last], net.weight[first:last]
    for s in range(n):
        grad_weight[s] -= count * current[s]
    if per_synapse:
        grad_delay = gradients.delay[first:last]
        for s in range(n):
            pull = weight[s] * difference[s]
            grad_delay[s] += count * pull
            total += pull
    else:
        for s in range(n):
            total += weight[s] * difference[s]
        gradients.row_delay[row] += count * total
    return count * total


@kernel
def _start_window(net, ring, step, jumps, window, entries):
    """Carry the adjoint from the end of ``window`` to the end of the window before it.

    ``entries``: (first, last) jumps of ``window``; neurons that jumped continue from their earliest jump.
    """
    times, neurons, _ = jumps
    n = net.tau_mem.size
    new, old = ((window - 1) & net.ring_mask) * n, (window & net.ring_mask) * n
    begin, end = window * net.h, window_end(net, window)
    if end - begin != net.h:
        _set_step(net, step, end - begin)
    for j in range(n):
        lambda_v, lambda_i = ring.lambda_v[old + j], ring.lambda_i[old + j]
        ring.lambda_v[new + j] = _clean(lambda_v * step.decay_v[j])
        ring.lambda_i[new + j] = _clean(lambda_i * step.decay_i[j] + lambda_v * step.v_to_i[j])
        ring.first[new + j] = NO_SPIKE
    if end - begin != net.h:
        _set_step(net, step, net.h)
    for j in range(n if ring.tails.shape[1] > 0 else 0):
        adjoint = (ring.lambda_v[old + j], ring.lambda_i[old + j])
        tails = _tails_back(net, j, adjoint, ring.tails[:, old + j], end - begin)
        for row in range(3):
            ring.tails[row, new + j] = tails[row]
    for e in range(entries[0], entries[1]):
        j = neurons[e]
        if ring.first[old + j] != e:
            continue
        x = times[e] - begin
        lambda_v, lambda_i = _flow_back(net, j, ring.jump_v[e], ring.jump_i[e], x)
        ring.lambda_v[new + j], ring.lambda_i[new + j] = lambda_v, lambda_i
        if ring.tails.shape[1] > 0:
            tails = _tails_back(net, j, (ring.jump_v[e], ring.jump_i[e]), ring.jump_tails[:, e], x)
            for row in range(3):
                ring.tails[row, new + j] = tails[row]


@kernel
def _leap_back(net, ring, source, target, x):
    """Carry the adjoint of every neuron x ms back across a silence, from one ring slot to another."""
    n = net.tau_mem.size
    for j in range(n):
        old, new = source * n + j, target * n + j
        lambda_v, lambda_i, tau_mem, tau_syn = ring.lambda_v[old], ring.lambda_i[old], net.tau_mem[j], net.tau_syn[j]
        decay_v, decay_i = math.exp(-x / tau_mem), math.exp(-x / tau_syn)
        response, ratio = psp(x, tau_mem, tau_syn), tau_mem / tau_syn
        if ring.tails.shape[1] > 0:
            tails = ring.tails[:, old].copy()
            ring.tails[0, new] = (tails[0] + lambda_v * x) * decay_v
            ring.tails[1, new] = (
                tails[1] * decay_v
                + tau_syn * lambda_i * response
                + lambda_v * double_psp(x, tau_mem, tau_syn) / tau_mem
            )
            ring.tails[2, new] = (tails[2] + lambda_i * x) * decay_i + lambda_v * ratio * (
                double_psp(x, tau_syn, tau_mem) / tau_mem
            )
        ring.lambda_v[new] = _clean(lambda_v * decay_v)
        ring.lambda_i[new] = _clean(lambda_i * decay_i + lambda_v * response * ratio)
        ring.first[new] = NO_SPIKE


@kernel
def _jump(net, step, ring, jumps, entry, cotangents, scratch, gradients):
    """The adjoint jump at one tape entry; ``entry``: (index, window), ``cotangents``: (slope, dL/dt, kick)."""
    e, window = entry
    slope, pull, kick = cotangents
    times, neurons, _ = jumps
    j, time = neurons[e], times[e]
    n, slot = net.tau_mem.size, window & net.ring_mask
    # the adjoint just after the spike: from the neuron's next spike in this window, or from the window's end
    lambda_v, lambda_i = adjoint_at(net, ring, jumps, j, time)
    with_tails = ring.tails.shape[1] > 0
    if with_tails:
        tails = tails_at(net, ring, jumps, j, time)
        for row in range(3):
            ring.jump_tails[row, e] = tails[row]
    pop = np.searchsorted(net.pop_start, j, side="right") - 1
    for c in range(net.out_ptr[pop], net.out_ptr[pop + 1]):
        spike = (net.out_conn[c], j - net.pop_start[pop], time, 1.0)
        pull += row_back(net, step, ring, jumps, spike, scratch, gradients)
    if net.pop_kind[pop] == LIF:
        threshold = net.threshold[j]
        lambda_v += (threshold * lambda_v + pull) / slope + kick
        gradients.threshold[j] += net.tau_mem[j] * lambda_v
        if with_tails:
            gradients.tau_mem[j] += threshold * ring.jump_tails[RESET_TAIL, e] / net.tau_mem[j]
    else:
        lambda_v += kick
    ring.jump_v[e], ring.jump_i[e] = lambda_v, lambda_i
    ring.first[slot * n + j] = e


@kernel
def _end_conditions(net, step, ring, slot):
    """lambda = 0 at the end of the simulation: the homogeneous part cancels the loss's particular solution."""
    n = net.tau_mem.size
    ring.first[slot * n : (slot + 1) * n] = NO_SPIKE
    for pop in range(net.pop_kind.size):
        rate = net.decay_rate[pop]
        last = math.exp(-rate * net.duration)
        for j in range(net.pop_start[pop], net.pop_start[pop + 1]):
            drive_v = step.drive[j] * last
            drive_i = drive_v / (1.0 + rate * net.tau_syn[j])
            ring.lambda_v[slot * n + j], ring.lambda_i[slot * n + j] = -drive_v, -drive_i
            if ring.tails.shape[1] > 0:
                # only LIF neurons reset, and nothing pulls on them directly
                ring.tails[RESET_TAIL, slot * n + j] = 0.0
                ring.tails[PSP_TAIL, slot * n + j] = -drive_i * net.tau_syn[j] / (1.0 + rate * net.tau_mem[j])
                ring.tails[CURRENT_TAIL, slot * n + j] = -drive_i * net.tau_syn[j] / (1.0 + rate * net.tau_syn[j])


@kernel
def _inputs_back(net, step, ring, jumps, spikes, range_, scratch, gradients):
    """Add the gradients of the input spikes ``range_``: (first, last)."""
    for at in range(range_[1] - 1, range_[0] - 1, -1):
        source = spikes.sources[at]
        pop, local = net.source_pop[source], net.source_local[source]
        for c in range(net.out_ptr[pop], net.out_ptr[pop + 1]):
            spike = (net.out_conn[c], local, spikes.times[at], spikes.counts[at])
            gradients.input_times[at] += row_back(net, step, ring, jumps, spike, scratch, gradients)


@kernel
def _event_window(net, jumps, spikes, e, at, first):
    """The last window that holds one of the jumps up to e or input spikes up to ``at``, or -1."""
    latest = -1
    if e >= 0:
        latest = np.int64(jumps[0][e] / net.h)
    if at >= first:
        latest = max(latest, np.int64(spikes.times[at] / net.h))
    return latest


@kernel
def backward_sample(net, spikes, sample, jumps, work, gradients):
    """Accumulate the gradients of one sample; ``jumps``: a Jumps, ``work``: (Step, Ring, Scratch)."""
    step, ring, scratch = work
    begin, stop = jumps.offsets[sample], jumps.offsets[sample + 1]
    mine = (jumps.times[begin:stop], jumps.neurons[begin:stop], stop - begin)
    first, at = spikes.offsets[sample], spikes.offsets[sample + 1] - 1
    while at >= first and spikes.times[at] >= net.duration:
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
        while e >= 0 and mine[0][e] >= start:
            cotangents = (jumps.slopes[begin + e], jumps.time_cotangents[begin + e], jumps.kicks[begin + e])
            _jump(net, step, ring, mine, (e, window), cotangents, scratch, gradients)
            e -= 1
        while at >= first and spikes.times[at] >= start:
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


@kernel
def backward_shard(net, spikes, samples, jumps, drive, with_tails, gradients):
    """Accumulate the gradients of samples first..last, in order.

    ``samples``: (first, last); ``drive`` (n_samples, n_state): dL/dz of each readout's weighted voltage integral;
    ``gradients``: a Gradients whose arrays are added to.
    """
    n = net.tau_mem.size
    constants = np.zeros((4, n))
    step = Step(constants[0], constants[1], constants[2], constants[3])
    _set_step(net, step, net.h)
    most_jumps, widest = 0, 1
    for sample in range(samples[0], samples[1]):
        most_jumps = max(most_jumps, jumps.offsets[sample + 1] - jumps.offsets[sample])
    for row in range(net.row_delay.size):
        widest = max(widest, net.row_ptr[row + 1] - net.row_ptr[row])
    ring = make_ring(net, most_jumps, with_tails)
    scratch = Scratch(np.empty(widest), np.empty(widest), np.empty(widest))
    for sample in range(samples[0], samples[1]):
        for pop in range(net.pop_kind.size):
            for j in range(net.pop_start[pop], net.pop_start[pop + 1]):
                # tau_mem lambda' = -lambda - g e^{-rate t} has the particular solution -g/(1 + rate tau_mem) e^{-rate t}
                step.drive[j] = -drive[sample, j] / (1.0 + net.decay_rate[pop] * net.tau_mem[j])
        backward_sample(net, spikes, sample, jumps, (step, ring, scratch), gradients)
