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
from .membrane import (
    double_psp,
    integral_by_taus,
    is_other,
    leap_on,
    mode_growth,
    polynomial,
    psp,
    response_integral,
    responses,
    step_on,
)
from .queue import (
    LIVE,
    NOTHING,
    Queue,
    bucket_of,
    clear,
    is_empty,
    make_queue,
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
from .simd import BLOCK, collect, collect_and_sum, collect_row, collect_row_and_sum, is_set, places_back, prefetch
from .state import LEAST_LEAP, LIF, NEVER, READOUT, TARGET, TAU_MEM, TAU_SYN, THRESHOLD, Status

OK, INTERRUPTED = int(Status.OK), int(Status.INTERRUPTED)
NO_SPIKE = -1
# Rows of Adjoint.states: lambda_V and lambda_I at the end of the window, and zero once a jump is found inside it.
LAMBDA_V, LAMBDA_I = range(2)
# Rows of the tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn} (docs/mathematics.md, section 5).
RESET_TAIL, PSP_TAIL, CURRENT_TAIL = range(3)
# Rows of Adjoint.lost: what rounding took from lambda_V and lambda_I, and from the three tails after them
# (membrane.step_on).
LOST_V, LOST_I, LOST_TAILS = range(3)
# Rows of Adjoint.steps: the loss's pull on each readout; the backward flow over one whole window: e^{-h/tau} - 1, and
# what lambda_V adds to lambda_I; what lambda_V and lambda_I add to the tails, as far as there are any.
DRIVE, FALL_V, FALL_I, V_TO_I, V_TO_RESET, V_TO_PSP, I_TO_PSP, V_TO_CURRENT, I_TO_CURRENT = range(9)
N_STEPS = 9
# A synapse whose target jumps in the window in which a spike arrives there; as in queue.EVENT.
LATE = np.dtype(
    [(name, np.float64) for name in ("time", "by_mem", "by_syn")] + [(name, np.int64) for name in ("synapse", "spike")]
)
# How many are put off before they are collected: enough for their lines to come.
MOST_LATE = 256


class Adjoint(NamedTuple):
    """The buffers of one thread; the row names above say what is where.

    ``tails`` and ``jump_tails`` have no columns unless time constants are trained.
    """

    states: np.ndarray  # (2, stretch * n_state and a block to spare) one window of the stretch after the other
    modes: np.ndarray  # (stretch * n_state * 2,) the states as modes, or not a number where the neuron jumps
    first: np.ndarray  # (stretch * n_state,) the earliest jump inside the window so far, or NO_SPIKE
    tails: np.ndarray  # (3, stretch * n_state)
    entries: np.ndarray  # (2, stretch * n_pops) the first jump of each window and population; the one after the last
    steps: np.ndarray  # (N_STEPS, n_state)
    lost: np.ndarray  # (2, n_state), with tails (5, n_state)
    jump_states: np.ndarray  # (2, n_jumps) just before each jump of the sample
    jump_ends: np.ndarray  # (2, n_jumps) for the last jump of a neuron in a window: at the window's end
    jump_modes: np.ndarray  # (2, n_jumps) those of modal populations as modes, at the end of the stretch
    jump_tails: np.ndarray  # (3, n_jumps)
    home: np.ndarray  # (n_jumps,) the first event of each jump that has come to the stretch of its own spike
    pulls: np.ndarray  # sums of w (lambda_V - lambda_I) over the arrivals of each spike: jumps, then input spikes
    total: np.ndarray  # (2,) sum of charges times modes over the synapses of one visit
    place: np.ndarray  # (BLOCK,) of the arrivals at hand, as in the forward pass
    missed: np.ndarray  # (BLOCK,) those of them whose targets jump in the same window
    late: np.ndarray  # LATE
    n_late: np.ndarray  # (1,) of them
    queue: Queue
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


def make_adjoint(n_state, n_pops, stretch, n_buckets, n_jumps, n_spikes, n_events, with_tails):
    """Buffers for samples of ``n_jumps`` jumps, ``n_spikes`` jumps and input spikes, ``n_events`` events at once."""
    return Adjoint(
        states=np.zeros((2, stretch * n_state + BLOCK)),
        modes=np.zeros(stretch * n_state * 2),
        first=np.zeros(stretch * n_state, np.int64),
        tails=np.zeros((3, stretch * n_state if with_tails else 0)),
        entries=np.zeros((2, stretch * n_pops), np.int64),
        steps=np.zeros((N_STEPS, n_state)),
        lost=np.zeros((LOST_TAILS + 3 * with_tails, n_state)),
        jump_states=np.zeros((2, n_jumps)),
        jump_ends=np.zeros((2, n_jumps)),
        jump_modes=np.zeros((2, n_jumps)),
        jump_tails=np.zeros((3, n_jumps if with_tails else 0)),
        home=np.zeros(n_jumps, np.int32),
        pulls=np.zeros(n_spikes),
        total=np.zeros(2),
        place=np.zeros(BLOCK, np.uint32),
        missed=np.zeros(BLOCK, np.int64),
        late=np.zeros(MOST_LATE, LATE),
        n_late=np.zeros(1, np.int64),
        queue=make_queue(n_buckets, n_events),
        stop=NEVER.ctypes.data,
    )


@kernel
def _set_step(net, steps, length, with_tails):
    """The constants of the backward flow of every neuron over a window of ``length`` ms."""
    for j in range(net.neurons.size):
        if not is_other(net, j):
            for row in range(FALL_V, N_STEPS):
                steps[row, j] = steps[row, j - 1]
            continue
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        ratio, response = tau_mem / tau_syn, psp(length, tau_mem, tau_syn)
        steps[FALL_V, j], steps[FALL_I, j] = math.expm1(-length / tau_mem), math.expm1(-length / tau_syn)
        steps[V_TO_I, j] = response * ratio
        if with_tails:
            steps[V_TO_RESET, j] = length * math.exp(-length / tau_mem)
            steps[V_TO_PSP, j] = double_psp(length, tau_mem, tau_syn) / tau_mem
            steps[I_TO_PSP, j] = tau_syn * response
            steps[V_TO_CURRENT, j] = ratio * (double_psp(length, tau_syn, tau_mem) / tau_mem)
            steps[I_TO_CURRENT, j] = length * math.exp(-length / tau_syn)


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
    """The first jump of neuron j at or after ``time`` in ``window``, or NO_SPIKE; and its last jump before, likewise.

    An arrival at the instant of a spike acted before the spike, so it belongs to the state before the jump.
    """
    e = adjoint.first[_place_of(net, window) + j]
    if e == NO_SPIKE:
        return NO_SPIKE, NO_SPIKE
    end = window_end(net, window)
    # strides that double, then halve: of a neuron that jumps many times in the window not all are looked at
    stride, before = 1, e - 1
    while _is_before(jumps, before + stride, j, time, end):
        before += stride
        stride *= 2
    while stride > 1:
        stride >>= 1
        if _is_before(jumps, before + stride, j, time, end):
            before += stride
    after, before = before + 1, before if before >= e else NO_SPIKE
    there = after < jumps.size and jumps[after].neuron == j and jumps[after].time < end
    return after if there else NO_SPIKE, before


@inlined
def _is_before(jumps, e, j, time, end):
    """True where entry e, at or after the first one of neuron j in a window, is one of its jumps before ``time``."""
    return e < jumps.size and jumps[e].neuron == j and jumps[e].time < min(time, end)


@inlined
def _state_at_end(net, adjoint, j, window, last):
    """(lambda_V, lambda_I) of neuron j at the end of a window; ``last``: its last jump inside, or NO_SPIKE."""
    if last != NO_SPIKE:
        return adjoint.jump_ends[LAMBDA_V, last], adjoint.jump_ends[LAMBDA_I, last]
    at = _place_of(net, window) + j
    return adjoint.states[LAMBDA_V, at], adjoint.states[LAMBDA_I, at]


@inlined
def _adjoint_at(net, adjoint, jumps, j, time):
    """(lambda_V, lambda_I) of neuron j as an arrival at ``time`` sees it, without the loss's direct pull."""
    window = np.int64(time * net.per_ms)
    e, before = _jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e])
        return _flow_back(net, j, state[0], state[1], jumps[e].time - time)
    state = _state_at_end(net, adjoint, j, window, before)
    return _flow_back(net, j, state[0], state[1], window_end(net, window) - time)


@kernel
def _tails_at(net, adjoint, jumps, j, time):
    """The tails of neuron j at ``time``."""
    window = np.int64(time * net.per_ms)
    e, before = _jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[LAMBDA_V, e], adjoint.jump_states[LAMBDA_I, e])
        return _tails_back(net, j, state, adjoint.jump_tails[:, e], jumps[e].time - time)
    state, tails = _state_at_end(net, adjoint, j, window, before), adjoint.tails[:, _place_of(net, window) + j]
    return _tails_back(net, j, state, tails, window_end(net, window) - time)


@kernel
def _add_tau(net, adjoint, jumps, j, arrival, charge, lambda_i, gradients):
    """Add what one arrival gives to dL/dtau; ``charge``: count times weight, ``lambda_i`` without the loss's drive."""
    _, psp_tail, current_tail = _tails_at(net, adjoint, jumps, j, arrival)
    tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
    by_mem, by_syn = (tau_syn * lambda_i - psp_tail) / tau_mem, -current_tail / tau_syn
    drive = adjoint.steps[DRIVE, j]
    if drive != 0.0:
        rate = net.pops[net.neurons[j].pop].decay_rate
        drive *= math.exp(-rate * arrival)
        mem, syn = integral_by_taus(net.duration - arrival, rate, tau_mem, tau_syn)
        by_mem, by_syn = by_mem + drive * mem, by_syn + drive * syn
    gradients.neurons[TAU_MEM, j] += charge * by_mem
    gradients.neurons[TAU_SYN, j] += charge * by_syn


@inlined
def _share(net, pop):
    """How much of lambda_V's mode there is in lambda_I; the rest of lambda_I decays with tau_syn."""
    neuron = net.neurons[net.pops[pop].start]
    return net.pops[pop].psp_scale * neuron.tau_mem / neuron.tau_syn


@inlined
def _write_modes(net, adjoint, window):
    """Write the states at the end of a window as modes, carried on to the end of the stretch as if undisturbed."""
    place = _place_of(net, window)
    for pop in range(net.n_pops):
        if net.pops[pop].modal:
            first, last = place + net.pops[pop].start, place + net.pops[pop].stop
            (by_mem, by_syn), share = mode_growth(net, pop, window), _share(net, pop)
            lambda_v, lambda_i = adjoint.states[LAMBDA_V, first:last], adjoint.states[LAMBDA_I, first:last]
            modes = adjoint.modes[2 * first : 2 * last]
            for j in range(last - first):
                modes[2 * j], modes[2 * j + 1] = lambda_v[j] * by_mem, (lambda_i[j] - share * lambda_v[j]) * by_syn


@inlined
def _unit_drive(net, j, time):
    """(-d/dtime, 1/tau_syn) of the integral of e^{-rate t} V that a unit jump of I at ``time`` brings to a readout."""
    rate, (whole, last) = net.integrals[j].rate, response_integral(net.duration - time, net.integrals[j])
    decay = math.exp(-rate * time) if rate != 0.0 else 1.0
    return decay * (rate * whole + last), decay * whole / net.neurons[j].tau_syn


@inlined
def _seen(net, adjoint, jumps, j, time, unit):
    """(lambda_V - lambda_I, lambda_I, and lambda_I without the drive) of neuron j as an arrival at ``time`` sees it.

    ``unit``: what a unit of the loss's drive does there, by `_unit_drive`.
    """
    v = i = 0.0
    # a readout without a maximum has nothing but its drive
    if net.pops[net.neurons[j].pop].kind != READOUT:
        v, i = _adjoint_at(net, adjoint, jumps, j, time)
    drive = adjoint.steps[DRIVE, j]
    return v - i - drive * unit[0], i - drive * unit[1], i


@inlined
def _collect_exactly(net, adjoint, jumps, event, s, gradients):
    """Add the gradients of one synapse onto a population that is not modal; returns its pull."""
    j, arrival, count = np.int64(net.slot[s] >> TARGET), event.time + net.delay[s], event.count
    charge = count * net.weight[s]
    unit = (0.0, 0.0) if net.pops[net.neurons[j].pop].kind == LIF else _unit_drive(net, j, arrival)
    pull, lambda_i, free = _seen(net, adjoint, jumps, j, arrival, unit)
    gradients.per_synapse[2 * s] -= count * net.neurons[j].tau_syn * lambda_i
    gradients.per_synapse[2 * s + 1] += charge * pull
    if adjoint.tails.shape[1] > 0:
        _add_tau(net, adjoint, jumps, j, arrival, charge, free, gradients)
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
        e, before = _jump_after(net, adjoint, jumps, j, arrival, window)
        if e != NO_SPIKE:
            mem, syn = adjoint.jump_modes[0, e], adjoint.jump_modes[1, e]
        else:
            lambda_v, lambda_i = _state_at_end(net, adjoint, j, window, before)
            by_mem, by_syn = mode_growth(net, pop, window)
            mem, syn = lambda_v * by_mem, (lambda_i - _share(net, pop) * lambda_v) * by_syn
        mem, syn, share = late.by_mem * mem, late.by_syn * syn, _share(net, pop)
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
    pop, begin, stride = net.conns[event.conn].target, stretch * net.stretch * net.h, 4 * net.neurons.size
    modal, place, missed = net.pops[pop].modal, adjoint.place, adjoint.missed
    with_pull = _needs_pull(net, jumps, event, gradients)
    by_mem, by_syn, pull, length = event.by_mem, event.by_syn, 0.0, BLOCK
    adjoint.total[0] = adjoint.total[1] = 0.0
    while length == BLOCK and event.at > event.stop:
        most = event.at - event.stop
        length = places_back(net.tick, net.slot, event.at, place, since, stride, net.bits, most)
        if length < 0:
            length = _places_back_exactly(net, place, event.at, event.time, begin, most)
        s, skip, n_missed = event.at - length, BLOCK - length, 0
        if not modal:
            for k in range(s, event.at):
                pull += _collect_exactly(net, adjoint, jumps, event, k, gradients)
        elif with_pull:
            n_missed = collect_and_sum(
                place, skip, adjoint.modes, gradients.per_synapse, s, by_mem, by_syn, length, missed, net.charge,
                adjoint.total,
            )  # fmt: skip
        else:
            n_missed = collect(place, skip, adjoint.modes, gradients.per_synapse, s, by_mem, by_syn, length, missed)
        event.at = s
        if n_missed > 0:
            if adjoint.n_late[0] + n_missed > adjoint.late.size:
                _collect_late(net, adjoint, jumps, gradients)
            for m in range(n_missed):
                _put_off(net, adjoint, event, s + missed[m] - skip)
    if modal:
        pull = (1.0 - _share(net, pop)) * by_mem * adjoint.total[0] - by_syn * adjoint.total[1]
    adjoint.pulls[event.spike] += pull


@inlined
def _collect_dense_row(net, adjoint, jumps, event, gradients):
    """`_collect_row` for all the LIF neurons of a population that share their time constants."""
    pop, window, time, first = net.conns[event.conn].target, np.int64(event.time * net.per_ms), event.time, event.stop
    start, n, at = net.pops[pop].start, event.at - first, _place_of(net, window)
    decay_v, decay_i, response = responses(net, start, window_end(net, window) - time)
    tau_syn, at_gradient = net.neurons[start].tau_syn, first - net.first_shared
    cross, scale = response * (net.neurons[start].tau_mem / tau_syn), -event.count * tau_syn
    lambda_v, lambda_i, total = adjoint.states[LAMBDA_V], adjoint.states[LAMBDA_I], 0.0
    with_pull = _needs_pull(net, jumps, event, gradients)
    if with_pull:
        collect_row_and_sum(
            gradients.weight, at_gradient, lambda_v, lambda_i, at + start, scale * cross, scale * decay_i, n,
            net.weight, first, adjoint.total,
        )  # fmt: skip
        total = (decay_v - cross) * adjoint.total[0] - decay_i * adjoint.total[1]
    else:
        collect_row(gradients.weight, at_gradient, lambda_v, lambda_i, at + start, scale * cross, scale * decay_i, n)
    cell = (window & (net.stretch - 1)) * net.n_pops + pop
    for e in range(adjoint.entries[0, cell], adjoint.entries[1, cell]):
        j = jumps[e].neuron
        if adjoint.first[at + j] == e:
            v, i = _adjoint_at(net, adjoint, jumps, j, time)
            gradients.weight[at_gradient + j - start] += scale * i
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
    driven, uniform = net.pops[pop].kind != LIF, net.pops[pop].uniform
    if driven and uniform:
        unit = _unit_drive(net, net.pops[pop].start, time)
    for s in range(event.stop, event.at):
        j = np.int64(net.slot[s] >> TARGET)
        if driven and not uniform:
            unit = _unit_drive(net, j, time)
        pull, lambda_i, free = _seen(net, adjoint, jumps, j, time, unit)
        gradients.weight[s - net.first_shared] -= count * net.neurons[j].tau_syn * lambda_i
        total += net.weight[s] * pull
        if with_tails:
            _add_tau(net, adjoint, jumps, j, time, count * net.weight[s], free, gradients)
    _add_pull(adjoint, event, count * total, gradients)


@inlined
def _collect_similar_row(net, adjoint, jumps, event, gradients):
    """`_collect_row` for LIF neurons that share their time constants."""
    pop, window, time = net.conns[event.conn].target, np.int64(event.time * net.per_ms), event.time
    at, start, total = _place_of(net, window), net.pops[pop].start, 0.0
    decay_v, decay_i, response = responses(net, start, window_end(net, window) - time)
    cross, scale = response * (net.neurons[start].tau_mem / net.neurons[start].tau_syn), net.neurons[start].tau_syn
    for s in range(event.stop, event.at):
        j = np.int64(net.slot[s] >> TARGET)
        v, i = adjoint.states[LAMBDA_V, at + j], adjoint.states[LAMBDA_I, at + j]
        v, i = v * decay_v, i * decay_i + v * cross
        if adjoint.first[at + j] != NO_SPIKE:
            v, i = _adjoint_at(net, adjoint, jumps, j, time)
        gradients.weight[s - net.first_shared] -= event.count * scale * i
        total += net.weight[s] * (v - i)
    _add_pull(adjoint, event, event.count * total, gradients)


@inlined
def _ask_for(net, gradients, event):
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
def _collect(net, adjoint, jumps, item, stretch, gradients):
    """Let a list of events collect the adjoint at their arrivals in a stretch, then wait for an earlier one."""
    queue = adjoint.queue
    while item >= 0 and not is_set(adjoint.stop):
        event, this = queue.events[item], item
        item = event.next
        if item >= 0:
            _ask_for(net, gradients, queue.events[item])
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
            if not net.pops[pop].uniform or net.pops[pop].kind != LIF or adjoint.tails.shape[1] > 0:
                _collect_row(net, adjoint, jumps, event, gradients)
            elif net.conns[event.conn].dense:
                _collect_dense_row(net, adjoint, jumps, event, gradients)
            else:
                _collect_similar_row(net, adjoint, jumps, event, gradients)
        release(queue, this)
    if adjoint.n_late[0] > 0:
        _collect_late(net, adjoint, jumps, gradients)


@inlined
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
            at = reached_before_end(net, time, start, at)
            arrival = time + net.delay[at - 1] if at > start else net.duration
        else:
            sent = arrival = time + net.row_delay[row]
        if at == start or arrival >= net.duration:
            continue
        # there is one: compiled.in_flight has counted them
        item = new_event(queue)
        event = queue.events[item]
        event.time, event.count, event.at, event.row, event.conn, event.spike = sent, count, at, row, conn, spike
        event.stop = start
        stretch = stretch_of(net, arrival)
        if net.conns[conn].per_synapse:
            set_modes(net, event, stretch)
        _wait(net, adjoint, jumps, item, stretch)


@inlined
def _step_tails(adjoint, old, new, n):
    """Carry the tails of n neurons over a window, from their place ``old`` to ``new``."""
    steps, lost, tails = adjoint.steps, adjoint.lost[LOST_TAILS:], adjoint.tails
    for j in range(n):
        v, i = adjoint.states[LAMBDA_V, old + j], adjoint.states[LAMBDA_I, old + j]
        reset, psp_tail, current = tails[RESET_TAIL, old + j], tails[PSP_TAIL, old + j], tails[CURRENT_TAIL, old + j]
        fall_v, fall_i = steps[FALL_V, j], steps[FALL_I, j]
        grows = (
            reset * fall_v + v * steps[V_TO_RESET, j],
            psp_tail * fall_v + (v * steps[V_TO_PSP, j] + i * steps[I_TO_PSP, j]),
            current * fall_i + (v * steps[V_TO_CURRENT, j] + i * steps[I_TO_CURRENT, j]),
        )
        for row in range(3):
            tails[row, new + j], lost[row, j] = step_on(tails[row, old + j], grows[row], lost[row, j])


@inlined
def _start_window(net, adjoint, jumps, window, entries):
    """Carry the adjoint from the end of ``window`` to the end of the window before it.

    ``entries``: (first, last) jumps of ``window``; neurons that jumped continue from their earliest jump.
    """
    begin, end = window * net.h, window_end(net, window)
    old, new, n = _place_of(net, window), _place_of(net, window - 1), net.neurons.size
    lambda_v, lambda_i = adjoint.states[LAMBDA_V, old : old + n], adjoint.states[LAMBDA_I, old : old + n]
    new_v, new_i = adjoint.states[LAMBDA_V, new : new + n], adjoint.states[LAMBDA_I, new : new + n]
    steps, lost, with_tails = adjoint.steps, adjoint.lost, adjoint.tails.shape[1] > 0
    if end - begin != net.h:
        _set_step(net, steps, end - begin, with_tails)
    # in this order, as both windows may lie in one place
    if with_tails:
        _step_tails(adjoint, old, new, n)
    for j in range(n):
        v, i = lambda_v[j], lambda_i[j]
        new_i[j], lost[LOST_I, j] = step_on(i, i * steps[FALL_I, j] + v * steps[V_TO_I, j], lost[LOST_I, j])
        new_v[j], lost[LOST_V, j] = step_on(v, v * steps[FALL_V, j], lost[LOST_V, j])
    if end - begin != net.h:
        _set_step(net, steps, net.h, with_tails)
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
        lost[:, j] = 0.0
    adjoint.first[new : new + n] = NO_SPIKE


@kernel
def _leap_back(net, adjoint, window, previous):
    """Carry the adjoint of every neuron across a silence, from the end of ``window`` to that of ``previous``."""
    x, old, new = (window - previous) * net.h, _place_of(net, window), _place_of(net, previous)
    states, tails, lost = adjoint.states, adjoint.tails, adjoint.lost
    decay_v = fall_v = decay_i = fall_i = response = 0.0
    for j in range(net.neurons.size):
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        ratio = tau_mem / tau_syn
        if is_other(net, j):
            decay_v, fall_v = math.exp(-x / tau_mem), math.expm1(-x / tau_mem)
            decay_i, fall_i = math.exp(-x / tau_syn), math.expm1(-x / tau_syn)
            response = psp(x, tau_mem, tau_syn)
        v, i = states[LAMBDA_V, old + j], states[LAMBDA_I, old + j]
        if tails.shape[1] > 0:
            to_psp, to_current = double_psp(x, tau_mem, tau_syn) / tau_mem, double_psp(x, tau_syn, tau_mem) / tau_mem
            grows = (v * x * decay_v, tau_syn * i * response + v * to_psp, i * x * decay_i + v * ratio * to_current)
            for row in range(3):
                decay, fall = (decay_i, fall_i) if row == CURRENT_TAIL else (decay_v, fall_v)
                at = LOST_TAILS + row
                tails[row, new + j], lost[at, j] = leap_on(tails[row, old + j], grows[row], decay, fall, lost[at, j])
        states[LAMBDA_I, new + j], lost[LOST_I, j] = leap_on(i, v * response * ratio, decay_i, fall_i, lost[LOST_I, j])
        states[LAMBDA_V, new + j], lost[LOST_V, j] = leap_on(v, 0.0, decay_v, fall_v, lost[LOST_V, j])
        adjoint.first[new + j] = NO_SPIKE


@inlined
def _jump(net, adjoint, jumps, e, window, gradients):
    """The adjoint jump at entry e of the sample's jumps; what its arrivals collected stands in ``pulls``."""
    j, time, kick = jumps[e].neuron, jumps[e].time, jumps[e].kick
    if e > 0 and adjoint.home[e - 1] >= 0:
        _ask_for(net, gradients, adjoint.queue.events[adjoint.home[e - 1]])
    if adjoint.home[e] >= 0:
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
    place, pop = _place_of(net, window) + j, net.neurons[j].pop
    if adjoint.first[place] == NO_SPIKE:
        for row in range(2):
            adjoint.jump_ends[row, e], adjoint.states[row, place] = adjoint.states[row, place], 0.0
    adjoint.first[place], adjoint.modes[2 * place] = e, math.nan
    if net.pops[pop].modal:
        x = ((window >> net.shift) + 1) * net.stretch * net.h - time
        adjoint.jump_modes[0, e] = lambda_v * math.exp(x / net.neurons[j].tau_mem)
        adjoint.jump_modes[1, e] = (lambda_i - _share(net, pop) * lambda_v) * math.exp(x / net.neurons[j].tau_syn)


@kernel
def _begin_sample(net, adjoint, n_jumps, n_spikes):
    """lambda = 0 at the end of the simulation; what the loss's drive adds is known in closed form (`_unit_drive`)."""
    clear(adjoint.queue)
    adjoint.lost[:] = 0.0
    adjoint.pulls[:n_spikes] = 0.0
    adjoint.home[:n_jumps] = NOTHING
    place = _place_of(net, net.n_windows - 1)
    for j in range(net.neurons.size):
        at = place + j
        adjoint.first[at] = NO_SPIKE
        adjoint.states[LAMBDA_V, at] = adjoint.states[LAMBDA_I, at] = 0.0
        if adjoint.tails.shape[1] > 0:
            for row in (RESET_TAIL, PSP_TAIL, CURRENT_TAIL):
                adjoint.tails[row, at] = 0.0


@inlined
def _window_of(net, entries, at):
    """The window of entry ``at`` of a table with times, or -1 before its start."""
    return np.int64(entries[at].time * net.per_ms) if at >= 0 else -1


@inlined
def _stretch_of(net, entries, at):
    """The stretch of entry ``at`` of a table with times, or -1 before its start."""
    return _window_of(net, entries, at) >> net.shift


@inlined
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


@inlined
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
    while window >= 0 and not is_set(adjoint.stop):
        if window >> net.shift != stretch:
            stretch = window >> net.shift
            fired, given = _admit_spikes(net, adjoint, mine, inputs, (fired, given), stretch)
        _write_modes(net, adjoint, window)
        last_entry, cell = e + 1, (window & (net.stretch - 1)) * net.n_pops
        for pop in range(net.n_pops - 1, -1, -1):
            adjoint.entries[1, cell + pop] = e + 1
            while e >= 0 and mine[e].neuron >= net.pops[pop].start and _window_of(net, mine, e) == window:
                if is_set(adjoint.stop):
                    return
                _jump(net, adjoint, mine, e, window, gradients)
                e -= 1
            adjoint.entries[0, cell + pop] = e + 1
        if window & (net.stretch - 1) == 0:
            for pop in range(net.n_pops):
                item = take_all(adjoint.queue, bucket_of(net, stretch, pop))
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
    for k in range(min(inputs.size, gradients.input_times.size)):
        gradients.input_times[first + k] = adjoint.pulls[mine.size + k]


@entry
def backward_shard(net, spikes, samples, jumps, drive, adjoint, gradients):
    """Accumulate the gradients of samples first..last, in order.

    ``samples``: (first, last); ``drive`` (n_samples, n_state): dL/dz of each readout's weighted voltage integral;
    ``gradients``: a Gradients whose arrays are added to. Returns a status: after INTERRUPTED they hold nothing of use.
    """
    _set_step(net, adjoint.steps, net.h, adjoint.tails.shape[1] > 0)
    for sample in range(samples[0], samples[1]):
        for j in range(net.neurons.size):
            adjoint.steps[DRIVE, j] = drive[sample, j]
        backward_sample(net, spikes, sample, jumps, adjoint, gradients)
        if is_set(adjoint.stop):
            return INTERRUPTED
    return OK


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
