"""The neuron through one window: screened, walked from arrival to arrival, or crossed in one leap."""

import math

from ...compile import inlined, kernel
from ...simd import BLOCK, advance_calm, is_set, trailing_zeros
from ...state import Kind, Reading, Status
from ...workspace import Arrival, Row
from .crossing import CONTACT, GRAZING, CrossingConstants, Outcome, crossing, crossing_below_rest
from .membrane import (
    FORGET_EVERY,
    advance,
    clean,
    flow,
    forget_small,
    is_other,
    leap_on,
    peak_time,
    psp,
    response_integral,
    start_integrals,
    step_on,
)

# The bound is an upper bound in real numbers; this part of the threshold covers its rounding.
BOUND_SAFETY = 1e-9


@kernel
def prepare(net, work, length):
    """Flow constants of every neuron over a window of ``length`` ms."""
    values, fall_v, fall_i, response = work.values, 0.0, 0.0, 0.0
    for j in range(net.neurons.size):
        if is_other(net, j):
            tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
            fall_v, fall_i = math.expm1(-length / tau_mem), math.expm1(-length / tau_syn)
            response = psp(length, tau_mem, tau_syn)
        values[Row.FALL_V, j], values[Row.FALL_I, j], values[Row.PSP, j] = fall_v, fall_i, response


@inlined
def start(net, work, outputs):
    """U starts where its record says, and the readings of a readout with what start and rest give to them."""
    for j in range(net.neurons.size):
        work.values[Row.LIMIT, j] = net.neurons[j].threshold - BOUND_SAFETY * net.model.shifts[j].scale
    if net.model.moved == 0:
        return
    for j in range(net.neurons.size):
        begin, rest, rate = net.model.shifts[j].start, net.model.shifts[j].rest, net.model.integrals[j].rate
        by_whole, by_start, _ = start_integrals(net.duration, rate, net.neurons[j].tau_mem)
        work.values[Row.V, j] = outputs[Reading.MAXIMUM, j] = begin
        outputs[Reading.SHARE, j] = 1.0
        outputs[Reading.INTEGRAL, j] = rest * by_whole + begin * by_start


@kernel
def forget(net, work, window):
    """Set negligible states to zero, now and then; `adjoint._forget_back` is its mirror."""
    if window & (FORGET_EVERY - 1) != 0:
        return
    forget_small(work.values[Row.V], work.values[Row.LOST_V], 0, net.neurons.size)
    forget_small(work.values[Row.I], work.values[Row.LOST_I], 0, net.neurons.size)


@inlined
def screen(net, work, pop, maximum):
    """Advance each neuron that surely stays below its threshold (or its maximum so far); note the others.

    Without inhibition V is highest at the end of the window if it rises there without arrivals as well; else it is
    below what it would be at one of the ends if the current did not decay either (docs/engine.md).
    """
    start, stop, values, n_suspects = net.pops[pop].start, net.pops[pop].stop, work.values, 0
    if net.pops[pop].kind == Kind.READOUT_MAXIMUM:
        for j in range(start, stop):
            values[Row.LIMIT, j] = maximum[j]
    for block in range(start, stop, BLOCK):
        left = advance_calm(values, net.pops[pop].slack, block, stop - block)
        while left != 0:
            work.suspects[n_suspects] = block + trailing_zeros(left)
            n_suspects += 1
            left &= left - 1
    work.progress[0].n_suspects = n_suspects


@inlined
def settle(work, j):
    """Take a suspect to the end of its window as if it fired no spike: as `simd.advance_calm` takes the others."""
    values = work.values
    v, i = values[Row.V, j], values[Row.I, j]
    step_v = v * values[Row.FALL_V, j] + (i * values[Row.PSP, j] + values[Row.DV, j])
    step_i = i * values[Row.FALL_I, j] + values[Row.DI, j]
    values[Row.V, j], values[Row.LOST_V, j] = step_on(v, step_v, values[Row.LOST_V, j])
    values[Row.I, j], values[Row.LOST_I, j] = step_on(i, step_i, values[Row.LOST_I, j])
    values[Row.DV, j] = values[Row.DI, j] = 0.0


@inlined
def _walk(net, work, j, n, span, end, crossing):
    """`walk`, with the ``crossing`` that suits the neuron's threshold.

    The walk finds the spikes. What V and I are at the end of the window only follows from it where V was reset: so
    their errors do not grow with the number of windows walked.
    """
    left, weight = work.sorted[Arrival.LEFT], work.sorted[Arrival.WEIGHT]
    shift, progress = net.model.shifts[j], work.progress[0]
    tau_mem, tau_syn, threshold = net.neurons[j].tau_mem, net.neurons[j].tau_syn, net.neurons[j].threshold
    neuron = CrossingConstants(tau_mem, tau_syn, threshold, shift.scale)
    v, i, x, grazed, m = work.values[Row.V, j], work.values[Row.I, j], span, 0, n - 1
    before = progress.n_spikes
    while True:
        until = left[m] if m >= 0 else 0.0
        v_end, i_end = advance(net, j, v, i, x - until)
        outcome, t, slope = crossing(v, i, v_end, i_end, x - until, neuron)
        if outcome == Outcome.FIRES:
            x = max(x - t, until)
            i, v = slope + neuron.threshold, shift.reset
            grazed += slope < GRAZING * neuron.scale
            if progress.n_spikes == progress.most_spikes:
                return Status.TOO_MANY_SPIKES, grazed
            if progress.n_spikes == work.tape.size:
                return Status.TAPE_FULL, grazed
            if is_set(work.stop):
                return Status.INTERRUPTED, grazed
            slot = work.tape[progress.n_spikes]
            # a spike belongs to the window that found it, even when rounding puts it on the window's end
            slot.time, slot.neuron, slot.slope = min(end - x, end * (1.0 - 1.2e-16)), j, slope
            progress.n_spikes += 1
            continue
        grazed += outcome == Outcome.GRAZES
        v, i, x = v_end, i_end, until
        if m < 0:
            break
        while m >= 0 and left[m] == until:
            i += weight[m]
            m -= 1
    settle(work, j)
    if progress.n_spikes > before:
        work.values[Row.V, j], work.values[Row.LOST_V, j] = clean(v), 0.0
    return Status.OK, grazed


@kernel
def _walk_below_rest(net, work, j, n, span, end):
    """`walk` for a neuron that fires without input; apart, so that it takes no registers from the others."""
    return _walk(net, work, j, n, span, end, crossing_below_rest)


@inlined
def walk(net, work, j, n, span, end):
    """Take neuron j through its n sorted arrivals of a window, recording spikes; returns (status, grazing contacts)."""
    if net.neurons[j].threshold + CONTACT * net.model.shifts[j].scale < 0.0:
        return _walk_below_rest(net, work, j, n, span, end)
    return _walk(net, work, j, n, span, end, crossing)


@inlined
def keep_maximum(outputs, j, v, time, share):
    """Write down the largest voltage of readout neuron j so far."""
    outputs[Reading.MAXIMUM, j], outputs[Reading.MAXIMUM_TIME, j], outputs[Reading.SHARE, j] = v, time, share


@inlined
def keep_edge(outputs, j, v, end):
    """Let a maximum at the end of a window be the V that the next one begins with, which rounds in another way.

    An arrival on the very edge belongs to the next window, which knows by this V whether it meets the maximum.
    """
    if outputs[Reading.MAXIMUM_TIME, j] == end:
        outputs[Reading.MAXIMUM, j] = v


@inlined
def walk_maximum(net, work, j, n, span, end, outputs):
    """Take readout neuron j through its n sorted arrivals and keep its largest voltage, the time and the share.

    An inhibitory arrival can end the rise of V: the maximum then moves with that arrival, at the slope before it. The
    arrival feels the share (I- - V)/(I- - I+) of the pull, which gives just that (docs/mathematics.md, section 6).
    """
    left, weight, start = work.sorted[Arrival.LEFT], work.sorted[Arrival.WEIGHT], net.model.shifts[j].start
    v, i, x, m = work.values[Row.V, j], work.values[Row.I, j], span, n - 1
    while True:
        until = left[m] if m >= 0 else 0.0
        v_end, i_end = advance(net, j, v, i, x - until)
        if i > v and i_end < v_end:
            t = min(peak_time(v, i, net.neurons[j].tau_mem, net.neurons[j].tau_syn), x - until)
            v_peak, _ = advance(net, j, v, i, t)
            if v_peak > outputs[Reading.MAXIMUM, j]:
                keep_maximum(outputs, j, v_peak, end - (x - t), 1.0)
        v, i, x = v_end, i_end, until
        while m >= 0 and left[m] == until:
            i += weight[m]
            m -= 1
        # equality: an arrival on the very edge of the window before has not been seen yet
        if v >= outputs[Reading.MAXIMUM, j] and v > start:
            keep_maximum(outputs, j, v, end - until, (i_end - v) / (i_end - i) if i < v < i_end else 1.0)
        if until == 0.0:
            break
    settle(work, j)
    keep_edge(outputs, j, work.values[Row.V, j], end)


@inlined
def unit_integral(net, j, time):
    """The integral of e^{-decay_rate t} V, from ``time`` to the end, that a unit jump of I at ``time`` brings."""
    rate, (whole, _) = net.model.integrals[j].rate, response_integral(net.duration - time, net.model.integrals[j])
    return whole * math.exp(-rate * time) if rate != 0.0 else whole


@inlined
def is_quiet(net, work):
    """True when no neuron can fire without a new arrival: none has a current above threshold."""
    for j in range(net.neurons.size):
        # with a threshold below where U rests it fires without any current
        if max(work.values[Row.I, j], 0.0) > net.neurons[j].threshold:
            return False
    return True


@kernel
def leap(net, work, outputs, begin, end):
    """Cross a silence from ``begin`` to ``end`` in one step."""
    values, x, decay_v, fall_v, decay_i, fall_i, response = work.values, end - begin, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(net.neurons.size):
        v, i, tau_mem, tau_syn = values[Row.V, j], values[Row.I, j], net.neurons[j].tau_mem, net.neurons[j].tau_syn
        if is_other(net, j):
            decay_v, fall_v = math.exp(-x / tau_mem), math.expm1(-x / tau_mem)
            decay_i, fall_i = math.exp(-x / tau_syn), math.expm1(-x / tau_syn)
            response = psp(x, tau_mem, tau_syn)
        if net.pops[net.neurons[j].pop].kind == Kind.READOUT_MAXIMUM and i > v:
            t = min(peak_time(v, i, tau_mem, tau_syn), x)
            v_peak, _ = flow(v, i, t, tau_mem, tau_syn)
            if v_peak > outputs[Reading.MAXIMUM, j]:
                time = begin + t if t < x else end
                keep_maximum(outputs, j, v_peak, time, 1.0)
        values[Row.V, j], values[Row.LOST_V, j] = leap_on(v, i * response, decay_v, fall_v, values[Row.LOST_V, j])
        values[Row.I, j], values[Row.LOST_I, j] = leap_on(i, 0.0, decay_i, fall_i, values[Row.LOST_I, j])
        keep_edge(outputs, j, values[Row.V, j], end)
